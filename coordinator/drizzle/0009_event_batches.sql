CREATE TABLE "event_batches" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "event_batches_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"last_seq" bigint,
	"count" integer NOT NULL,
	"events" json NOT NULL,
	"created_at" timestamptz DEFAULT flotilla_now() NOT NULL
);
--> statement-breakpoint
-- Twenty claims of the same moment are 3 KB: kept in the row, and never compressed, which would cost each of them 12 µs.
ALTER TABLE "event_batches" ALTER COLUMN "events" SET STORAGE EXTERNAL, SET (toast_tuple_target = 8160);
--> statement-breakpoint
-- Each event that was there becomes a batch of its own and keeps its position.
INSERT INTO "event_batches" ("last_seq", "count", "events", "created_at")
SELECT "seq", 1, json_build_array(json_build_object('workspace_id', "workspace_id", 'type', "type", 'entity_id', "entity_id", 'version', "version",
  'permission', "permission", 'agent_id', "agent_id", 'summary', "summary")), "created_at"
FROM "events" ORDER BY "id";
--> statement-breakpoint
DROP TABLE "events" CASCADE;--> statement-breakpoint
CREATE INDEX "event_batches_unsequenced" ON "event_batches" USING btree ("id") WHERE last_seq is null;--> statement-breakpoint
CREATE UNIQUE INDEX "event_batches_seq" ON "event_batches" USING btree ("last_seq") WHERE last_seq is not null;--> statement-breakpoint
-- One by one, for people and audits; no request reads it.
CREATE VIEW "events" AS
SELECT b."id", b."last_seq" - b."count" + e."place" AS "seq", (e."event"->>'workspace_id')::bigint AS "workspace_id", e."event"->>'type' AS "type",
  (e."event"->>'entity_id')::bigint AS "entity_id", (e."event"->>'version')::int AS "version", coalesce(e."event"->>'permission', 'events:read') AS "permission",
  (e."event"->>'agent_id')::bigint AS "agent_id", (e."event"->'summary')::jsonb AS "summary", b."created_at"
FROM "event_batches" b CROSS JOIN LATERAL json_array_elements(b."events") WITH ORDINALITY AS e ("event", "place");
--> statement-breakpoint
-- Gives committed batches the positions of their events: no gaps, and for one entity in the order of its changes (its row
-- lock ordered their ids). Answers how many batches. One sequencer at a time over all coordinators, for the length of this
-- call; whoever finds it taken leaves the work to it. Each statement sees what was committed before it: what the holder
-- before us did comes after its lock, not after our call.
CREATE FUNCTION "flotilla_sequence"("most" int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[];
BEGIN
  IF NOT pg_try_advisory_xact_lock(x'666c7371'::int) THEN RETURN 0; END IF;
  ids := ARRAY(SELECT id FROM event_batches WHERE last_seq IS NULL ORDER BY id LIMIT most);
  IF cardinality(ids) = 0 THEN RETURN 0; END IF;
  WITH fresh AS (
    SELECT id, sum(count) OVER (ORDER BY id) AS upto FROM event_batches WHERE id = ANY (ids)
  ), chain AS (
    UPDATE sequencer SET last_seq = last_seq + total.events FROM (SELECT max(upto) AS events FROM fresh) total
    WHERE chain = 'events' RETURNING last_seq - total.events AS base
  )
  -- The array once more: a plan from when there were few events would read all of them ever after.
  UPDATE event_batches b SET last_seq = chain.base + fresh.upto FROM fresh, chain WHERE b.id = fresh.id AND b.id = ANY (ids);
  RETURN cardinality(ids);
END $$;
