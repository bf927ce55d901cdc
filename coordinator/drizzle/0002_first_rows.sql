INSERT INTO "service" DEFAULT VALUES;
--> statement-breakpoint
INSERT INTO "sequencer" ("chain") VALUES ('events'), ('audit');
--> statement-breakpoint
-- Rows that are rewritten all the time: room for HOT updates on the page, and vacuum before they pile up.
ALTER TABLE "agent_beats" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
--> statement-breakpoint
ALTER TABLE "leases" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
--> statement-breakpoint
ALTER TABLE "tasks" SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
