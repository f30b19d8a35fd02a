DROP INDEX "jobs_by_tenant";--> statement-breakpoint
DROP INDEX "jobs_by_type";--> statement-breakpoint
CREATE INDEX "jobs_by_type" ON "jobs" USING btree ("tenant","type","id" NULLS FIRST);