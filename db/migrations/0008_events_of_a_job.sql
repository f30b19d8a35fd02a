-- Events can be read while the index is built; what writes them waits.
CREATE INDEX "outbox_by_job_and_type" ON "outbox" USING btree ("job_id","type","position") WHERE data is not null;--> statement-breakpoint
DROP INDEX "outbox_by_job";--> statement-breakpoint
ALTER INDEX "outbox_by_job_and_type" RENAME TO "outbox_by_job";
