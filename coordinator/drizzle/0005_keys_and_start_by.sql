ALTER TABLE "leases" ADD COLUMN "concurrency_key" text;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "start_by" timestamptz;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "concurrency_key" text;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "concurrency_limit" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "key_blocked" boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX "leases_key" ON "leases" USING btree ("workspace_id","concurrency_key") WHERE concurrency_key is not null;--> statement-breakpoint
CREATE INDEX "tasks_key_blocked" ON "tasks" USING btree ("workspace_id","concurrency_key","priority_rank","due_date","created_at","id") WHERE key_blocked;--> statement-breakpoint
CREATE INDEX "tasks_start_by" ON "tasks" USING btree ("start_by") WHERE start_by is not null and status in ('backlog', 'inbox', 'assigned');