CREATE TABLE "attempts" (
	"job_id" uuid NOT NULL,
	"epoch" integer NOT NULL,
	"tenant" text NOT NULL,
	"attempt" integer NOT NULL,
	"outcome" text NOT NULL,
	"error" json,
	"worker_id" uuid,
	"started_at" timestamp with time zone NOT NULL,
	"finished_at" timestamp with time zone NOT NULL,
	CONSTRAINT "attempts_job_id_epoch_pk" PRIMARY KEY("job_id","epoch")
);
--> statement-breakpoint
CREATE TABLE "github_activity" (
	"tenant" text NOT NULL,
	"repository" text NOT NULL,
	"event" text NOT NULL,
	"events" bigint NOT NULL,
	"last_action" text,
	"last_event_at" timestamp with time zone NOT NULL,
	CONSTRAINT "github_activity_tenant_repository_event_pk" PRIMARY KEY("tenant","repository","event")
);
--> statement-breakpoint
CREATE TABLE "idempotency_keys" (
	"tenant" text NOT NULL,
	"key" text NOT NULL,
	"request_hash" text NOT NULL,
	"job_id" uuid NOT NULL,
	"status" text NOT NULL,
	"run_at" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "idempotency_keys_tenant_key_pk" PRIMARY KEY("tenant","key")
);
--> statement-breakpoint
CREATE TABLE "jobs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"type" text NOT NULL,
	"queue" text NOT NULL,
	"status" text NOT NULL,
	"priority" smallint NOT NULL,
	"input" json NOT NULL,
	"output" json,
	"error" json,
	"metadata" json NOT NULL,
	"tags" text[] NOT NULL,
	"internal" boolean NOT NULL,
	"run_at" timestamp with time zone,
	"expires_at" timestamp with time zone,
	"max_attempts" integer NOT NULL,
	"timeout_ms" integer NOT NULL,
	"attempts_made" integer DEFAULT 0 NOT NULL,
	"crashes" smallint DEFAULT 0 NOT NULL,
	"epoch" integer DEFAULT 0 NOT NULL,
	"worker_id" uuid,
	"cancel_requested_at" timestamp with time zone,
	"ticketed_at" timestamp with time zone,
	"progress" real,
	"progress_note" text,
	"redrive_of" uuid,
	"created_at" timestamp with time zone NOT NULL,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	CONSTRAINT "jobs_status" CHECK (status in ('scheduled', 'queued', 'running', 'retrying', 'completed', 'failed', 'cancelled')),
	CONSTRAINT "jobs_finished_at" CHECK ((finished_at is not null) = (status in ('completed', 'failed', 'cancelled'))),
	CONSTRAINT "jobs_worker" CHECK ((worker_id is not null) = (status = 'running')),
	CONSTRAINT "jobs_ticketed" CHECK ((ticketed_at is not null) = (status = 'queued'))
);
--> statement-breakpoint
CREATE TABLE "outbox" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"job_id" uuid NOT NULL,
	"type" text NOT NULL,
	"position" bigint,
	"occurred_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "queues" (
	"name" text PRIMARY KEY NOT NULL,
	"paused" boolean DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workers" (
	"id" uuid PRIMARY KEY NOT NULL,
	"host" text NOT NULL,
	"pid" integer NOT NULL,
	"queues" json NOT NULL,
	"concurrency" integer NOT NULL,
	"beat" bigint DEFAULT 0 NOT NULL,
	"started_at" timestamp with time zone NOT NULL,
	"beat_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE INDEX "idempotency_keys_age" ON "idempotency_keys" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "jobs_ready" ON "jobs" USING btree ("queue","priority","ticketed_at") WHERE ticketed_at is not null;--> statement-breakpoint
CREATE INDEX "jobs_suspect" ON "jobs" USING btree ("queue","ticketed_at") WHERE ticketed_at is not null and crashes >= 2;--> statement-breakpoint
CREATE INDEX "jobs_due" ON "jobs" USING btree ("run_at") WHERE run_at is not null and status in ('scheduled', 'retrying');--> statement-breakpoint
CREATE INDEX "jobs_running" ON "jobs" USING btree ("worker_id") WHERE worker_id is not null;--> statement-breakpoint
CREATE INDEX "jobs_finished" ON "jobs" USING btree ("queue","status","finished_at") WHERE finished_at is not null;--> statement-breakpoint
CREATE INDEX "jobs_by_tenant" ON "jobs" USING btree ("tenant","id");--> statement-breakpoint
CREATE INDEX "outbox_age" ON "outbox" USING btree ("occurred_at");