ALTER TABLE "task_comments" ADD COLUMN "question" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "asked_comment_id" bigint;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "answered" boolean DEFAULT false NOT NULL;