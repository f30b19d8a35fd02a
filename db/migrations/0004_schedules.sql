CREATE TABLE "occurrences" (
	"schedule_id" uuid NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"manual" boolean NOT NULL,
	"tenant" text NOT NULL,
	"outcome" text NOT NULL,
	"job_id" uuid,
	"through" timestamp with time zone,
	"count" integer,
	"recorded_at" timestamp with time zone NOT NULL,
	CONSTRAINT "occurrences_schedule_id_at_manual_pk" PRIMARY KEY("schedule_id","at","manual")
);
--> statement-breakpoint
CREATE TABLE "schedules" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"name" text NOT NULL,
	"source" text NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"rule" json NOT NULL,
	"jitter_ms" integer NOT NULL,
	"missed" text NOT NULL,
	"missed_max" integer NOT NULL,
	"overlap" text NOT NULL,
	"paused" boolean NOT NULL,
	"type" text NOT NULL,
	"queue" text NOT NULL,
	"input" json NOT NULL,
	"priority" smallint NOT NULL,
	"tags" text[] NOT NULL,
	"metadata" json NOT NULL,
	"max_attempts" integer NOT NULL,
	"timeout_ms" integer NOT NULL,
	"next_at" timestamp with time zone,
	"due_at" timestamp with time zone,
	"last_job_id" uuid,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE INDEX "occurrences_recorded" ON "occurrences" USING btree ("recorded_at");--> statement-breakpoint
CREATE UNIQUE INDEX "schedules_by_name" ON "schedules" USING btree ("tenant","name");--> statement-breakpoint
CREATE INDEX "schedules_due" ON "schedules" USING btree ("due_at") WHERE due_at is not null;