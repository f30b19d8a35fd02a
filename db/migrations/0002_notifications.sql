LOCK TABLE "jobs", "attempts", "outbox", "endings" IN ACCESS EXCLUSIVE MODE;--> statement-breakpoint
CREATE TABLE "deliveries" (
	"job_id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"endpoint_id" uuid NOT NULL,
	"event_id" uuid NOT NULL,
	"event_type" text NOT NULL,
	"position" bigint,
	"created_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "endpoints" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"url" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"events" text[] NOT NULL,
	"job_types" text[] NOT NULL,
	"tags" text[] NOT NULL,
	"include_output" boolean DEFAULT false NOT NULL,
	"headers" text,
	"secret" text NOT NULL,
	"previous_secret" text,
	"previous_secret_until" timestamp with time zone,
	"max_in_flight" integer NOT NULL,
	"cursor" bigint NOT NULL,
	"replay_cursor" bigint,
	"replay_until" bigint,
	"replay_per_second" integer,
	"replayed_at" timestamp with time zone,
	"failing_since" timestamp with time zone,
	"failures" integer DEFAULT 0 NOT NULL,
	"open_until" timestamp with time zone,
	"disabled_reason" text,
	"disabled_at" timestamp with time zone,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "stream" (
	"only" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"head" bigint DEFAULT 0 NOT NULL,
	"tail" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "stream_only" CHECK ("stream"."only")
);
--> statement-breakpoint
CREATE TABLE "wishes" (
	"type" text PRIMARY KEY NOT NULL,
	"until" timestamp with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "outbox" ALTER COLUMN "job_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "endings" ADD COLUMN "events" integer;--> statement-breakpoint
UPDATE "endings" SET "events" = "jobs";--> statement-breakpoint
ALTER TABLE "endings" ALTER COLUMN "events" SET NOT NULL;--> statement-breakpoint
CREATE FUNCTION "endings_count_events"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.events := CASE WHEN NEW.queue = 'webhooks' THEN 0 ELSE NEW.jobs END;
	RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER "endings_of_version_before" BEFORE INSERT ON "endings" FOR EACH ROW WHEN (NEW.events IS NULL) EXECUTE FUNCTION "endings_count_events"();--> statement-breakpoint
ALTER TABLE "endings" ADD COLUMN "position" bigint;--> statement-breakpoint
ALTER TABLE "jobs" ADD COLUMN "told" integer;--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "data" json;--> statement-breakpoint
ALTER TABLE "outbox" ADD COLUMN "sequence" integer;--> statement-breakpoint
CREATE INDEX "deliveries_by_endpoint" ON "deliveries" USING btree ("endpoint_id","job_id");--> statement-breakpoint
CREATE INDEX "deliveries_by_tenant" ON "deliveries" USING btree ("tenant","job_id");--> statement-breakpoint
CREATE INDEX "deliveries_by_event" ON "deliveries" USING btree ("event_id");--> statement-breakpoint
CREATE INDEX "endpoints_by_tenant" ON "endpoints" USING btree ("tenant","id");--> statement-breakpoint
CREATE INDEX "endpoints_enabled" ON "endpoints" USING btree ("id") WHERE disabled_at is null;--> statement-breakpoint
CREATE INDEX "endings_unplaced" ON "endings" USING btree ("ended_at") WHERE position is null and events > 0;--> statement-breakpoint
CREATE INDEX "endings_by_position" ON "endings" USING btree ("position") WHERE position is not null;--> statement-breakpoint
CREATE INDEX "outbox_unplaced" ON "outbox" USING btree ("occurred_at") WHERE position is null and data is not null;--> statement-breakpoint
CREATE INDEX "outbox_by_position" ON "outbox" USING btree ("position") WHERE position is not null;--> statement-breakpoint
CREATE INDEX "outbox_by_job" ON "outbox" USING btree ("job_id") WHERE data is not null;--> statement-breakpoint
CREATE INDEX "outbox_of_no_job" ON "outbox" USING btree ("occurred_at") WHERE job_id is null;--> statement-breakpoint
ALTER TABLE "endpoints" SET (fillfactor = 40);--> statement-breakpoint
INSERT INTO "stream" DEFAULT VALUES;
