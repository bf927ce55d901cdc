CREATE SEQUENCE "public"."epochs" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE TABLE "agent_beats" (
	"agent_id" bigint PRIMARY KEY NOT NULL,
	"workspace_id" bigint NOT NULL,
	"last_heartbeat_at" timestamptz NOT NULL,
	"instance_id" text,
	"boot_id" text,
	"machine_id" text,
	"seq" bigint DEFAULT 0 NOT NULL,
	"state" text DEFAULT 'running' NOT NULL,
	"isolation" text,
	"eligibility_generation" integer DEFAULT 0 NOT NULL,
	"observed" jsonb DEFAULT '{}'::jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "agent_tokens" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "agent_tokens_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"agent_id" bigint NOT NULL,
	"digest" "bytea" NOT NULL,
	"last_used_at" timestamptz,
	"revoked_at" timestamptz,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	CONSTRAINT "agent_tokens_digest_unique" UNIQUE("digest")
);
--> statement-breakpoint
CREATE TABLE "agents" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "agents_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"name" text NOT NULL,
	"kind" text DEFAULT 'daemon' NOT NULL,
	"role" text DEFAULT 'agent' NOT NULL,
	"hostname" text,
	"host_uid" text,
	"platform" text,
	"version" text,
	"tags" text[] DEFAULT '{}' NOT NULL,
	"reported_tags" text[] DEFAULT '{}' NOT NULL,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"executors" text[] DEFAULT '{}' NOT NULL,
	"slots_ceiling" integer DEFAULT 32 NOT NULL,
	"slots_default" integer DEFAULT 1 NOT NULL,
	"slots_reported" integer,
	"eligibility" text DEFAULT 'eligible' NOT NULL,
	"eligibility_generation" integer DEFAULT 0 NOT NULL,
	"drain_deadline" timestamptz,
	"drain_on_deadline" text,
	"drain_reason" text,
	"drain_requested_at" timestamptz,
	"restart_generation" integer DEFAULT 0 NOT NULL,
	"token_generation" integer DEFAULT 0 NOT NULL,
	"disabled_at" timestamptz,
	"deleted_at" timestamptz,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	"updated_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	"row_version" integer DEFAULT 1 NOT NULL,
	CONSTRAINT "agents_in_workspace" UNIQUE("workspace_id","id"),
	CONSTRAINT "agents_eligibility" CHECK (eligibility in ('eligible', 'ineligible')),
	CONSTRAINT "agents_kind" CHECK (kind in ('daemon', 'poll'))
);
--> statement-breakpoint
CREATE TABLE "attempt_logs" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "attempt_logs_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"attempt_id" bigint NOT NULL,
	"stream" text NOT NULL,
	"start" bigint NOT NULL,
	"data" "bytea" NOT NULL,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "attempt_streams" (
	"workspace_id" bigint NOT NULL,
	"attempt_id" bigint NOT NULL,
	"stream" text NOT NULL,
	"size" bigint DEFAULT 0 NOT NULL,
	"final_size" bigint,
	"truncated" boolean DEFAULT false NOT NULL,
	CONSTRAINT "attempt_streams_attempt_id_stream_pk" PRIMARY KEY("attempt_id","stream")
);
--> statement-breakpoint
CREATE TABLE "attempt_usage" (
	"workspace_id" bigint NOT NULL,
	"attempt_id" bigint NOT NULL,
	"seq" integer NOT NULL,
	"mode" text NOT NULL,
	"model" text,
	"input_tokens" bigint NOT NULL,
	"output_tokens" bigint NOT NULL,
	"cache_read_tokens" bigint NOT NULL,
	"cache_write_tokens" bigint NOT NULL,
	"cost_usd_micros" bigint,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	CONSTRAINT "attempt_usage_attempt_id_seq_pk" PRIMARY KEY("attempt_id","seq")
);
--> statement-breakpoint
CREATE TABLE "audit_events" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "audit_events_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"seq" bigint,
	"principal" text NOT NULL,
	"action" text NOT NULL,
	"entity" text NOT NULL,
	"entity_id" bigint,
	"details" jsonb NOT NULL,
	"request_id" text,
	"hash" "bytea",
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "events" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "events_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"seq" bigint,
	"type" text NOT NULL,
	"entity_id" bigint NOT NULL,
	"version" integer NOT NULL,
	"permission" text NOT NULL,
	"agent_id" bigint,
	"summary" jsonb NOT NULL,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sequencer" (
	"chain" text PRIMARY KEY NOT NULL,
	"last_seq" bigint DEFAULT 0 NOT NULL,
	"last_hash" "bytea"
);
--> statement-breakpoint
CREATE TABLE "attempts" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "attempts_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"task_id" bigint NOT NULL,
	"number" integer NOT NULL,
	"agent_id" bigint NOT NULL,
	"claim_id" text,
	"epoch" bigint NOT NULL,
	"kind" text DEFAULT 'task' NOT NULL,
	"state" text DEFAULT 'claimed' NOT NULL,
	"prompt" text NOT NULL,
	"executor" text,
	"session_id" text,
	"exit_code" integer,
	"failure" jsonb,
	"report_digest" "bytea",
	"late_result" jsonb,
	"input_tokens" bigint DEFAULT 0 NOT NULL,
	"output_tokens" bigint DEFAULT 0 NOT NULL,
	"cost_usd_micros" bigint,
	"claimed_at" timestamptz NOT NULL,
	"started_at" timestamptz,
	"ended_at" timestamptz,
	CONSTRAINT "attempts_in_workspace" UNIQUE("workspace_id","id"),
	CONSTRAINT "attempts_epoch" UNIQUE("epoch"),
	CONSTRAINT "attempts_number" UNIQUE("task_id","number"),
	CONSTRAINT "attempts_state" CHECK (state in ('claimed', 'running', 'completed', 'failed', 'cancelled', 'released', 'lost'))
);
--> statement-breakpoint
CREATE TABLE "leases" (
	"task_id" bigint PRIMARY KEY NOT NULL,
	"workspace_id" bigint NOT NULL,
	"attempt_id" bigint NOT NULL,
	"agent_id" bigint NOT NULL,
	"epoch" bigint NOT NULL,
	"expires_at" timestamptz NOT NULL,
	"renewable_until" timestamptz NOT NULL,
	"held_until" timestamptz,
	"phase" text DEFAULT 'claimed' NOT NULL
);
--> statement-breakpoint
CREATE TABLE "queue_classes" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "queue_classes_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"kind" text NOT NULL,
	"assigned_agent_id" bigint,
	"required_tags" text[] NOT NULL,
	"executor" text,
	CONSTRAINT "queue_classes_key" UNIQUE NULLS NOT DISTINCT("workspace_id","kind","assigned_agent_id","required_tags","executor")
);
--> statement-breakpoint
CREATE TABLE "tasks" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "tasks_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"title" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"status" text NOT NULL,
	"priority" text DEFAULT 'medium' NOT NULL,
	"priority_rank" smallint GENERATED ALWAYS AS (array_position(array['critical', 'high', 'medium', 'low'], priority)) STORED NOT NULL,
	"due_date" timestamptz,
	"tags" text[] DEFAULT '{}' NOT NULL,
	"required_tags" text[] DEFAULT '{}' NOT NULL,
	"assigned_to" text,
	"assigned_agent_id" bigint,
	"queue_class_id" bigint,
	"claimed_by_agent_id" bigint,
	"epoch" bigint,
	"executor" text,
	"model" text,
	"timeout_s" integer DEFAULT 3600 NOT NULL,
	"not_before" timestamptz,
	"deferred_until" timestamptz,
	"on_host_loss" text DEFAULT 'requeue' NOT NULL,
	"review" text DEFAULT 'auto' NOT NULL,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"dispatch_attempts" integer DEFAULT 0 NOT NULL,
	"stale_requeues" integer DEFAULT 0 NOT NULL,
	"rejections" integer DEFAULT 0 NOT NULL,
	"resolution" text,
	"result" jsonb,
	"failure" jsonb,
	"cancel_requested_at" timestamptz,
	"created_by" text NOT NULL,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	"updated_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	"started_at" timestamptz,
	"completed_at" timestamptz,
	"deleted_at" timestamptz,
	"version" integer DEFAULT 1 NOT NULL,
	CONSTRAINT "tasks_in_workspace" UNIQUE("workspace_id","id"),
	CONSTRAINT "tasks_status" CHECK (status in ('backlog', 'inbox', 'assigned', 'in_progress', 'review', 'done', 'failed', 'cancelled')),
	CONSTRAINT "tasks_priority" CHECK (priority in ('critical', 'high', 'medium', 'low')),
	CONSTRAINT "tasks_on_host_loss" CHECK (on_host_loss in ('requeue', 'fence', 'hold')),
	CONSTRAINT "tasks_claim" CHECK ((status = 'in_progress') = (claimed_by_agent_id is not null))
);
--> statement-breakpoint
CREATE TABLE "api_tokens" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "api_tokens_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"name" text NOT NULL,
	"role" text NOT NULL,
	"digest" "bytea" NOT NULL,
	"expires_at" timestamptz,
	"last_used_at" timestamptz,
	"revoked_at" timestamptz,
	"created_by" text NOT NULL,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	CONSTRAINT "api_tokens_digest_unique" UNIQUE("digest")
);
--> statement-breakpoint
CREATE TABLE "idempotency_keys" (
	"workspace_id" bigint NOT NULL,
	"principal" text NOT NULL,
	"key" text NOT NULL,
	"route" text NOT NULL,
	"body_digest" "bytea" NOT NULL,
	"response" jsonb,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	CONSTRAINT "idempotency_keys_workspace_id_principal_key_pk" PRIMARY KEY("workspace_id","principal","key")
);
--> statement-breakpoint
CREATE TABLE "join_tokens" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "join_tokens_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"digest" "bytea" NOT NULL,
	"tags" text[] NOT NULL,
	"role" text NOT NULL,
	"slots" integer,
	"name_pattern" text,
	"expires_at" timestamptz NOT NULL,
	"used_at" timestamptz,
	"used_by_agent_id" bigint,
	"used_digest" "bytea",
	"revoked_at" timestamptz,
	"created_by" text NOT NULL,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	CONSTRAINT "join_tokens_digest_unique" UNIQUE("digest")
);
--> statement-breakpoint
CREATE TABLE "service" (
	"one" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"alive_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	"expiry_suspended_until" timestamptz,
	"suspended_reason" text,
	"mass_silence_since" timestamptz,
	"mass_silence_released_at" timestamptz
);
--> statement-breakpoint
CREATE TABLE "settings" (
	"key" text PRIMARY KEY NOT NULL,
	"value" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "workspaces" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "workspaces_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"slug" text NOT NULL,
	"name" text NOT NULL,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	CONSTRAINT "workspaces_slug_unique" UNIQUE("slug")
);
--> statement-breakpoint
ALTER TABLE "agent_beats" ADD CONSTRAINT "agent_beats_workspace_id_agent_id_agents_workspace_id_id_fk" FOREIGN KEY ("workspace_id","agent_id") REFERENCES "public"."agents"("workspace_id","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "agent_tokens" ADD CONSTRAINT "agent_tokens_workspace_id_agent_id_agents_workspace_id_id_fk" FOREIGN KEY ("workspace_id","agent_id") REFERENCES "public"."agents"("workspace_id","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "agents" ADD CONSTRAINT "agents_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "attempt_logs" ADD CONSTRAINT "attempt_logs_workspace_id_attempt_id_attempts_workspace_id_id_fk" FOREIGN KEY ("workspace_id","attempt_id") REFERENCES "public"."attempts"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "attempt_streams" ADD CONSTRAINT "attempt_streams_workspace_id_attempt_id_attempts_workspace_id_id_fk" FOREIGN KEY ("workspace_id","attempt_id") REFERENCES "public"."attempts"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "attempt_usage" ADD CONSTRAINT "attempt_usage_workspace_id_attempt_id_attempts_workspace_id_id_fk" FOREIGN KEY ("workspace_id","attempt_id") REFERENCES "public"."attempts"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "audit_events" ADD CONSTRAINT "audit_events_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "events" ADD CONSTRAINT "events_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_workspace_id_task_id_tasks_workspace_id_id_fk" FOREIGN KEY ("workspace_id","task_id") REFERENCES "public"."tasks"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_workspace_id_agent_id_agents_workspace_id_id_fk" FOREIGN KEY ("workspace_id","agent_id") REFERENCES "public"."agents"("workspace_id","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "leases" ADD CONSTRAINT "leases_workspace_id_attempt_id_attempts_workspace_id_id_fk" FOREIGN KEY ("workspace_id","attempt_id") REFERENCES "public"."attempts"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "leases" ADD CONSTRAINT "leases_workspace_id_task_id_tasks_workspace_id_id_fk" FOREIGN KEY ("workspace_id","task_id") REFERENCES "public"."tasks"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "queue_classes" ADD CONSTRAINT "queue_classes_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "queue_classes" ADD CONSTRAINT "queue_classes_workspace_id_assigned_agent_id_agents_workspace_id_id_fk" FOREIGN KEY ("workspace_id","assigned_agent_id") REFERENCES "public"."agents"("workspace_id","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_queue_class_id_queue_classes_id_fk" FOREIGN KEY ("queue_class_id") REFERENCES "public"."queue_classes"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_workspace_id_assigned_agent_id_agents_workspace_id_id_fk" FOREIGN KEY ("workspace_id","assigned_agent_id") REFERENCES "public"."agents"("workspace_id","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_workspace_id_claimed_by_agent_id_agents_workspace_id_id_fk" FOREIGN KEY ("workspace_id","claimed_by_agent_id") REFERENCES "public"."agents"("workspace_id","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "api_tokens" ADD CONSTRAINT "api_tokens_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "idempotency_keys" ADD CONSTRAINT "idempotency_keys_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "join_tokens" ADD CONSTRAINT "join_tokens_workspace_id_workspaces_id_fk" FOREIGN KEY ("workspace_id") REFERENCES "public"."workspaces"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "agent_tokens_agent" ON "agent_tokens" USING btree ("workspace_id","agent_id");--> statement-breakpoint
CREATE UNIQUE INDEX "agents_name" ON "agents" USING btree ("workspace_id","name") WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX "attempt_logs_position" ON "attempt_logs" USING btree ("attempt_id","stream","start");--> statement-breakpoint
CREATE INDEX "audit_unsealed" ON "audit_events" USING btree ("id") WHERE seq is null;--> statement-breakpoint
CREATE UNIQUE INDEX "audit_seq" ON "audit_events" USING btree ("seq") WHERE seq is not null;--> statement-breakpoint
CREATE INDEX "audit_workspace" ON "audit_events" USING btree ("workspace_id","id");--> statement-breakpoint
CREATE INDEX "events_unsequenced" ON "events" USING btree ("id") WHERE seq is null;--> statement-breakpoint
CREATE UNIQUE INDEX "events_seq" ON "events" USING btree ("seq") WHERE seq is not null;--> statement-breakpoint
CREATE INDEX "attempts_live" ON "attempts" USING btree ("agent_id") WHERE ended_at is null;--> statement-breakpoint
CREATE UNIQUE INDEX "attempts_one_live" ON "attempts" USING btree ("task_id") WHERE ended_at is null;--> statement-breakpoint
CREATE INDEX "tasks_queue" ON "tasks" USING btree ("queue_class_id","priority_rank","due_date","created_at","id") WHERE status in ('inbox', 'assigned') and deferred_until is null and deleted_at is null;--> statement-breakpoint
CREATE INDEX "tasks_deferred" ON "tasks" USING btree ("deferred_until") WHERE deferred_until is not null;--> statement-breakpoint
CREATE INDEX "tasks_unbound" ON "tasks" USING btree ("workspace_id","assigned_to") WHERE assigned_to is not null and assigned_agent_id is null;--> statement-breakpoint
CREATE UNIQUE INDEX "api_tokens_name" ON "api_tokens" USING btree ("workspace_id","name") WHERE revoked_at is null;--> statement-breakpoint
CREATE INDEX "idempotency_keys_age" ON "idempotency_keys" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "join_tokens_workspace" ON "join_tokens" USING btree ("workspace_id","id");