-- Jobs can be read while the index is built, and wait for its end only for a moment.
CREATE INDEX "jobs_by_type_and_id" ON "jobs" USING btree ("tenant","type","id" NULLS FIRST);--> statement-breakpoint
DROP INDEX "jobs_by_tenant";--> statement-breakpoint
DROP INDEX "jobs_by_type";--> statement-breakpoint
ALTER INDEX "jobs_by_type_and_id" RENAME TO "jobs_by_type";
