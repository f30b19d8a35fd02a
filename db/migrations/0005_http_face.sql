CREATE TABLE "api_keys" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"name" text NOT NULL,
	"role" text NOT NULL,
	"hash" "bytea" NOT NULL,
	"prefix" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"expires_at" timestamp with time zone,
	"last_used_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "audit_log" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"actor" text NOT NULL,
	"action" text NOT NULL,
	"target" text NOT NULL,
	"address" text NOT NULL,
	"asked_at" timestamp with time zone NOT NULL,
	"outcome" smallint
);
--> statement-breakpoint
CREATE TABLE "deduplications" (
	"tenant" text NOT NULL,
	"type" text NOT NULL,
	"key" text NOT NULL,
	"job_id" uuid NOT NULL,
	CONSTRAINT "deduplications_tenant_type_key_pk" PRIMARY KEY("tenant","type","key")
);
--> statement-breakpoint
CREATE TABLE "search_words" (
	"tenant" text NOT NULL,
	"word" text NOT NULL,
	"job_id" uuid NOT NULL,
	CONSTRAINT "search_words_tenant_word_job_id_pk" PRIMARY KEY("tenant","word","job_id")
);
--> statement-breakpoint
ALTER TABLE "jobs" ADD COLUMN "redriven_as" uuid;--> statement-breakpoint
ALTER TABLE "jobs" ADD COLUMN "deduplication_key" text;--> statement-breakpoint
CREATE UNIQUE INDEX "api_keys_by_hash" ON "api_keys" USING btree ("hash");--> statement-breakpoint
CREATE INDEX "api_keys_by_tenant" ON "api_keys" USING btree ("tenant","id");--> statement-breakpoint
CREATE INDEX "audit_log_by_tenant" ON "audit_log" USING btree ("tenant","id");--> statement-breakpoint
CREATE INDEX "audit_log_by_time" ON "audit_log" USING btree ("asked_at");--> statement-breakpoint
CREATE INDEX "deduplications_by_job" ON "deduplications" USING btree ("job_id");--> statement-breakpoint
CREATE INDEX "jobs_by_type" ON "jobs" USING btree ("tenant","type","id");