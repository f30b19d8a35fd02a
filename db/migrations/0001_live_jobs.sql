CREATE TABLE "arrivals" (
	"queue" text NOT NULL,
	"priority" smallint NOT NULL,
	"suspect" boolean NOT NULL,
	"ticketed_at" timestamp with time zone NOT NULL,
	"job_ids" uuid[] NOT NULL
);
--> statement-breakpoint
CREATE TABLE "claims" (
	"worker_id" uuid NOT NULL,
	"claimed_at" timestamp with time zone NOT NULL,
	"job_ids" uuid[] NOT NULL
);
--> statement-breakpoint
CREATE TABLE "endings" (
	"queue" text,
	"tenant" text NOT NULL,
	"status" text NOT NULL,
	"ended_at" timestamp with time zone NOT NULL,
	"job_ids" uuid[] NOT NULL,
	"jobs" integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE "jobs" DROP CONSTRAINT "jobs_worker";--> statement-breakpoint
DROP INDEX "jobs_ready";--> statement-breakpoint
DROP INDEX "jobs_suspect";--> statement-breakpoint
DROP INDEX "jobs_running";--> statement-breakpoint
DROP INDEX "jobs_finished";--> statement-breakpoint
DROP INDEX "outbox_age";--> statement-breakpoint
DROP INDEX "jobs_due";--> statement-breakpoint
ALTER TABLE "jobs" ADD COLUMN "due_at" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "arrivals_lane" ON "arrivals" USING btree ("queue","priority","ticketed_at");--> statement-breakpoint
CREATE INDEX "arrivals_suspect" ON "arrivals" USING btree ("queue","ticketed_at") WHERE suspect;--> statement-breakpoint
CREATE INDEX "claims_worker" ON "claims" USING btree ("worker_id");--> statement-breakpoint
CREATE INDEX "endings_by_time" ON "endings" USING btree ("queue","status","ended_at");--> statement-breakpoint
CREATE INDEX "jobs_due" ON "jobs" USING btree ("due_at") WHERE due_at is not null;--> statement-breakpoint
UPDATE "jobs" SET "due_at" = "run_at" WHERE "status" IN ('scheduled', 'retrying');--> statement-breakpoint
INSERT INTO "arrivals" SELECT "queue", "priority", "crashes" >= 2, "ticketed_at", ARRAY["id"] FROM "jobs" WHERE "status" = 'queued';--> statement-breakpoint
INSERT INTO "claims" SELECT "worker_id", "started_at", array_agg("id") FROM "jobs" WHERE "status" = 'running' GROUP BY 1, 2;--> statement-breakpoint
INSERT INTO "endings" SELECT "queue", "tenant", "status", "finished_at", ARRAY["id"], 1 FROM "jobs" WHERE "finished_at" IS NOT NULL;--> statement-breakpoint
INSERT INTO "endings" SELECT NULL, "tenant", substr("type", 5), "occurred_at", ARRAY["id"], 1 FROM "outbox" WHERE NOT EXISTS (SELECT FROM "jobs" WHERE "jobs"."id" = "outbox"."id");--> statement-breakpoint
ALTER TABLE "jobs" ADD CONSTRAINT "jobs_due_at" CHECK ((due_at is not null) = (status in ('scheduled', 'retrying')));--> statement-breakpoint
ALTER TABLE "jobs" ADD CONSTRAINT "jobs_worker" CHECK (status <> 'running' or worker_id is not null);--> statement-breakpoint
ALTER TABLE "jobs" SET (fillfactor = 40);--> statement-breakpoint
ALTER TABLE "arrivals" ALTER COLUMN "job_ids" SET STORAGE EXTERNAL;--> statement-breakpoint
ALTER TABLE "claims" ALTER COLUMN "job_ids" SET STORAGE EXTERNAL;--> statement-breakpoint
ALTER TABLE "endings" ALTER COLUMN "job_ids" SET STORAGE EXTERNAL;
