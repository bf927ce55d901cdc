ALTER TABLE "agents" ADD COLUMN "workspace_paused" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "workspaces" ADD COLUMN "paused_at" timestamptz;--> statement-breakpoint
ALTER TABLE "workspaces" ADD COLUMN "paused_by" text;--> statement-breakpoint
ALTER TABLE "workspaces" ADD COLUMN "pause_reason" text;