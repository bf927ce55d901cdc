CREATE TABLE "attachment_chunks" (
	"workspace_id" bigint NOT NULL,
	"attachment_id" bigint NOT NULL,
	"seq" integer NOT NULL,
	"data" "bytea" NOT NULL,
	CONSTRAINT "attachment_chunks_attachment_id_seq_pk" PRIMARY KEY("attachment_id","seq")
);
--> statement-breakpoint
CREATE TABLE "task_attachments" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "task_attachments_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"task_id" bigint NOT NULL,
	"attempt_id" bigint NOT NULL,
	"name" text NOT NULL,
	"content_type" text NOT NULL,
	"size" bigint DEFAULT 0 NOT NULL,
	"sha256" text,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	"completed_at" timestamptz,
	CONSTRAINT "task_attachments_in_workspace" UNIQUE("workspace_id","id")
);
--> statement-breakpoint
CREATE TABLE "task_comments" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "task_comments_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"task_id" bigint NOT NULL,
	"reply_to" bigint,
	"author" text NOT NULL,
	"author_kind" text NOT NULL,
	"author_id" bigint NOT NULL,
	"agent_id" bigint,
	"text" text NOT NULL,
	"mentions" text[] DEFAULT '{}' NOT NULL,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	"edited_at" timestamptz,
	"deleted_at" timestamptz,
	CONSTRAINT "task_comments_in_task" UNIQUE("workspace_id","task_id","id")
);
--> statement-breakpoint
CREATE TABLE "quality_reviews" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "quality_reviews_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"workspace_id" bigint NOT NULL,
	"task_id" bigint NOT NULL,
	"attempt_id" bigint,
	"verdict" text NOT NULL,
	"feedback" text,
	"comment_id" bigint,
	"reviewer" text NOT NULL,
	"reviewer_kind" text NOT NULL,
	"reviewer_id" bigint NOT NULL,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL,
	CONSTRAINT "quality_reviews_verdict" CHECK (verdict in ('approved', 'rejected'))
);
--> statement-breakpoint
CREATE TABLE "task_search" (
	"task_id" bigint PRIMARY KEY NOT NULL,
	"workspace_id" bigint NOT NULL,
	"document" "tsvector" NOT NULL
);
--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "feedback" text;--> statement-breakpoint
ALTER TABLE "attachment_chunks" ADD CONSTRAINT "attachment_chunks_attachment_fk" FOREIGN KEY ("workspace_id","attachment_id") REFERENCES "public"."task_attachments"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "task_attachments" ADD CONSTRAINT "task_attachments_workspace_id_task_id_tasks_workspace_id_id_fk" FOREIGN KEY ("workspace_id","task_id") REFERENCES "public"."tasks"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "task_attachments" ADD CONSTRAINT "task_attachments_workspace_id_attempt_id_attempts_workspace_id_id_fk" FOREIGN KEY ("workspace_id","attempt_id") REFERENCES "public"."attempts"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "task_comments" ADD CONSTRAINT "task_comments_reply_to_fk" FOREIGN KEY ("workspace_id","task_id","reply_to") REFERENCES "public"."task_comments"("workspace_id","task_id","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "task_comments" ADD CONSTRAINT "task_comments_workspace_id_task_id_tasks_workspace_id_id_fk" FOREIGN KEY ("workspace_id","task_id") REFERENCES "public"."tasks"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "task_comments" ADD CONSTRAINT "task_comments_workspace_id_agent_id_agents_workspace_id_id_fk" FOREIGN KEY ("workspace_id","agent_id") REFERENCES "public"."agents"("workspace_id","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "quality_reviews" ADD CONSTRAINT "quality_reviews_workspace_id_task_id_tasks_workspace_id_id_fk" FOREIGN KEY ("workspace_id","task_id") REFERENCES "public"."tasks"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "quality_reviews" ADD CONSTRAINT "quality_reviews_workspace_id_attempt_id_attempts_workspace_id_id_fk" FOREIGN KEY ("workspace_id","attempt_id") REFERENCES "public"."attempts"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "quality_reviews" ADD CONSTRAINT "quality_reviews_comment_fk" FOREIGN KEY ("workspace_id","task_id","comment_id") REFERENCES "public"."task_comments"("workspace_id","task_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "task_search" ADD CONSTRAINT "task_search_workspace_id_task_id_tasks_workspace_id_id_fk" FOREIGN KEY ("workspace_id","task_id") REFERENCES "public"."tasks"("workspace_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "task_attachments_task" ON "task_attachments" USING btree ("task_id","id");--> statement-breakpoint
CREATE INDEX "task_attachments_attempt" ON "task_attachments" USING btree ("attempt_id");--> statement-breakpoint
CREATE UNIQUE INDEX "task_attachments_name" ON "task_attachments" USING btree ("attempt_id","name") WHERE completed_at is not null;--> statement-breakpoint
CREATE INDEX "task_comments_reply" ON "task_comments" USING btree ("reply_to");--> statement-breakpoint
CREATE INDEX "quality_reviews_task" ON "quality_reviews" USING btree ("task_id","id");--> statement-breakpoint
CREATE INDEX "quality_reviews_attempt" ON "quality_reviews" USING btree ("attempt_id");--> statement-breakpoint
CREATE INDEX "quality_reviews_comment" ON "quality_reviews" USING btree ("comment_id");--> statement-breakpoint
CREATE INDEX "task_search_document" ON "task_search" USING gin ("document");--> statement-breakpoint
CREATE INDEX "audit_task" ON "audit_events" USING btree ("entity_id","id") WHERE entity = 'task';--> statement-breakpoint
-- Tasks that were there before can be found as well. The same document as coordinator/src/tasks/search/index-task.ts.
INSERT INTO "task_search" ("task_id", "workspace_id", "document")
SELECT "id", "workspace_id", setweight(to_tsvector('simple', "title"), 'A') || setweight(to_tsvector('simple', left("description", 60000)), 'B')
FROM "tasks";
