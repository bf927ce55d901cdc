ALTER TABLE "leases" DROP CONSTRAINT "leases_workspace_id_task_id_tasks_workspace_id_id_fk";
--> statement-breakpoint
ALTER TABLE "tasks" DROP CONSTRAINT "tasks_workspace_id_claimed_by_agent_id_agents_workspace_id_id_fk";
--> statement-breakpoint
DROP INDEX "attempts_live";--> statement-breakpoint
DROP INDEX "attempts_one_live";--> statement-breakpoint
-- Room on the page for the start and the end of an attempt.
ALTER TABLE "attempts" SET (fillfactor = 70);--> statement-breakpoint
ALTER TABLE "leases" ADD COLUMN "claim_id" text;--> statement-breakpoint
UPDATE "leases" SET "claim_id" = a."claim_id" FROM "attempts" a WHERE a."id" = "leases"."attempt_id";--> statement-breakpoint
CREATE INDEX "queue_classes_anybody" ON "queue_classes" USING btree ("workspace_id") WHERE assigned_agent_id is null;--> statement-breakpoint
CREATE INDEX "queue_classes_agent" ON "queue_classes" USING btree ("assigned_agent_id") WHERE assigned_agent_id is not null;--> statement-breakpoint
CREATE INDEX "leases_agent" ON "leases" USING btree ("agent_id","epoch");
--> statement-breakpoint
-- "> " before each line, so that quoted text cannot be taken for the task.
CREATE FUNCTION "flotilla_quote"("said" text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT '> ' || replace(said, E'\n', E'\n> ')
$$;
--> statement-breakpoint
-- The questions of a task that people answered, with their answers, in order; what was deleted is not said again. Served by
-- task_comments_in_task and task_comments_reply.
CREATE FUNCTION "flotilla_answers"("workspace" bigint, "task" bigint) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT coalesce(string_agg(E'\n\nAn earlier attempt asked a person:\n\n' || flotilla_quote(said.question) || E'\n\nThe answer was:\n\n' || said.answers, '' ORDER BY said.id), '')
  FROM (
    SELECT q.id, q.text AS question, string_agg(flotilla_quote(r.text), E'\n\n' ORDER BY r.id) AS answers
    FROM task_comments q JOIN task_comments r ON r.reply_to = q.id
    WHERE q.workspace_id = workspace AND q.task_id = task AND q.question AND q.deleted_at IS NULL AND r.author_kind = 'api_token' AND r.deleted_at IS NULL
    GROUP BY q.id
  ) said
$$;
--> statement-breakpoint
-- The first `wanted` claimable tasks of some classes in claim order, not yet locked, without those in `but`: priority, then
-- due date (none last), then age. First few of each class are read; with fifty classes nearly all would be read in vain.
-- Where all that was read of a class is among the first, its next might be as well, and as many as are wanted are read of
-- it. Served by tasks_queue: 2 µs a row.
CREATE FUNCTION "flotilla_heads"("classes" bigint[], "wanted" int, "but" bigint[]) RETURNS bigint[] LANGUAGE plpgsql STABLE AS $$
DECLARE
  few int := least(wanted, CASE cardinality(classes) WHEN 1 THEN wanted ELSE greatest(2, ceil(2.0 * wanted / cardinality(classes))) END);
  limits int[] := array_fill(few, ARRAY[cardinality(classes)]);
  heads bigint[];
  places int[];
  used_up int[];
BEGIN
  LOOP
    SELECT array_agg(id), array_agg(at) INTO heads, places FROM (
      SELECT task.id, class.at FROM unnest(classes, limits) WITH ORDINALITY AS class (id, most, at) CROSS JOIN LATERAL (
        SELECT id, priority_rank, due_date, created_at FROM tasks
        WHERE queue_class_id = class.id AND status IN ('inbox', 'assigned') AND deferred_until IS NULL AND deleted_at IS NULL AND id <> ALL (but)
        ORDER BY priority_rank, due_date NULLS LAST, created_at, id LIMIT class.most
      ) task
      ORDER BY task.priority_rank, task.due_date NULLS LAST, task.created_at, task.id LIMIT wanted
    ) first;
    EXIT WHEN few = wanted;
    SELECT array_agg(at) INTO used_up FROM (SELECT at FROM unnest(places) AS at GROUP BY at HAVING count(*) = limits[at] AND limits[at] < wanted) used;
    EXIT WHEN used_up IS NULL;
    SELECT array_agg(CASE WHEN at = ANY (used_up) THEN wanted ELSE most END ORDER BY at) INTO limits FROM unnest(limits) WITH ORDINALITY AS class (most, at);
  END LOOP;
  RETURN coalesce(heads, '{}');
END $$;
--> statement-breakpoint
-- Of locked tasks, in claim order, those that may run now: without a concurrency key, or with a free one. Of two transactions
-- that claim tasks of one key the second does not wait (it could wait in a circle): it leaves them to its next look. What is
-- over the limit is taken out of the queue (key_blocked), so that it does not stand before the others; freeKeys puts it back.
-- The count comes after the lock, in a statement of its own: whoever held it before has committed, and is seen.
CREATE FUNCTION "flotilla_admit"("heads" bigint[]) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  open bigint[] := '{}';
  head record;
  running bigint;
BEGIN
  FOR head IN
    SELECT t.id, t.workspace_id, t.concurrency_key, t.concurrency_limit
    FROM unnest(heads) WITH ORDINALITY AS h (id, place) JOIN tasks t ON t.id = h.id ORDER BY h.place
  LOOP
    IF head.concurrency_key IS NULL THEN
      open := open || head.id;
      CONTINUE;
    END IF;
    -- 'keyl' as a number is the first half of the lock.
    CONTINUE WHEN NOT pg_try_advisory_xact_lock(x'6b65796c'::int, hashtext(head.workspace_id || '/' || head.concurrency_key));
    running := (SELECT count(*) FROM leases WHERE workspace_id = head.workspace_id AND concurrency_key = head.concurrency_key)
      + (SELECT count(*) FROM tasks WHERE id = ANY (open) AND workspace_id = head.workspace_id AND concurrency_key = head.concurrency_key);
    IF running < head.concurrency_limit THEN open := open || head.id;
    ELSE UPDATE tasks SET key_blocked = true, deferred_until = flotilla_now() + interval '1 hour' WHERE id = head.id;
    END IF;
  END LOOP;
  RETURN open;
END $$;
--> statement-breakpoint
-- Claims for many agents, each at most once in `agent_ids`: one transaction, one round trip. In this order and no other:
--
-- 1. lock the agents' rows: whoever drains or disables one waits for us, or we see it. What follows are statements of their
--    own, so they see what was committed until then (one statement for all would keep its snapshot from before the wait:
--    overfilled slots, claims after a drain);
-- 2. for each agent: what an earlier claim of this id got, or why it gets nothing, or how many it may get;
-- 3. agents that match the same classes form a group. For each group, in the order in which they asked: lock the first tasks
--    that nobody else holds, and hand them out in claim order, one at a time in turn, so that one agent with many free slots
--    does not empty the queue before the others had theirs; write claim, attempt, lease and events.
--
-- Answers a row per task, and one per agent that was given none: why it was refused (null: there is nothing more to get), and
-- what it matches.
-- `by_hand`: polls, whose leases calls renew; they may say how many they hold at most (`max_held`).
--
-- Served by agents_pkey, leases_agent, queue_classes_anybody, queue_classes_agent, tasks_queue and tasks_pkey.
CREATE FUNCTION "flotilla_claim"("agent_ids" bigint[], "claim_ids" text[], "slots" int[], "by_hand" boolean[], "max_held" int[],
  "lease_ms" bigint, "poll_lease_ms" bigint, "kill_grace_ms" bigint)
RETURNS TABLE ("agent_id" bigint, "refused" text, "agent" json, "task" json) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  -- By request: why not, how many, and what it matches ('': nothing).
  reasons text[];
  wishes int[];
  groups text[];
  replayed boolean[];
  classes bigint[];
  takers int[];
  heads bigint[];
  seen bigint[];
  locked bigint[];
  keyed boolean;
  given int;
  served int[] := '{}';
BEGIN
  PERFORM 1 FROM agents WHERE id = ANY (agent_ids) ORDER BY id FOR NO KEY UPDATE;

  WITH wish AS MATERIALIZED (
    SELECT r.at, a.id, a.workspace_id, a.tags, a.executors, coalesce(live.replays, false) AS replays, why.reason,
      CASE WHEN why.reason IS NULL AND live.replays IS NOT TRUE THEN greatest(0, least(r.slots, may.hold - live.held)) ELSE 0 END AS wanted
    FROM unnest(agent_ids, claim_ids, slots, by_hand, max_held) WITH ORDINALITY AS r (agent_id, claim_id, slots, by_hand, max_held, at)
    LEFT JOIN agents a ON a.id = r.agent_id
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS held, bool_or(claim_id = r.claim_id) AS replays
      -- In this order only leases_agent delivers them, also to a plan that was made while the table was empty.
      FROM (SELECT claim_id FROM leases WHERE agent_id = r.agent_id ORDER BY epoch) l
    ) live
    CROSS JOIN LATERAL (
      SELECT CASE WHEN a.id IS NULL OR a.deleted_at IS NOT NULL THEN 'gone' WHEN live.replays THEN NULL WHEN a.disabled_at IS NOT NULL THEN 'disabled'
        WHEN a.eligibility <> 'eligible' THEN 'draining' WHEN a.workspace_paused THEN 'paused' END AS reason
    ) why
    CROSS JOIN LATERAL (
      -- Who has no daemon says how much it can hold, up to the admin's ceiling.
      SELECT CASE WHEN r.by_hand AND r.max_held IS NOT NULL AND a.kind = 'poll' THEN least(r.max_held, a.slots_ceiling)
        ELSE least(coalesce(a.slots_reported, a.slots_default), a.slots_ceiling, CASE WHEN r.by_hand THEN r.max_held END) END AS hold
    ) may
  ), shared AS MATERIALIZED (
    SELECT w.workspace_id, w.tags, w.executors, array_to_string(array_agg(c.id ORDER BY c.id), ',') AS ids
    FROM (SELECT DISTINCT workspace_id, tags, executors FROM wish WHERE wanted > 0) w JOIN queue_classes c ON c.workspace_id = w.workspace_id
      AND c.assigned_agent_id IS NULL AND c.required_tags <@ w.tags AND (c.executor IS NULL OR w.executors = '{}' OR c.executor = ANY (w.executors))
    GROUP BY w.workspace_id, w.tags, w.executors
  ), own AS MATERIALIZED (
    -- Of the classes for one agent alone only those with work: nearly every agent of a fleet may have some, and none anything
    -- in it. One look into tasks_queue each; as a join, all of it would be read.
    SELECT c.assigned_agent_id, string_agg(c.id::text, ',' ORDER BY c.id) AS ids FROM queue_classes c JOIN agents a ON a.id = c.assigned_agent_id
    WHERE c.assigned_agent_id = ANY (agent_ids) AND c.required_tags <@ a.tags AND (c.executor IS NULL OR a.executors = '{}' OR c.executor = ANY (a.executors))
      AND (SELECT true FROM tasks WHERE queue_class_id = c.id AND status IN ('inbox', 'assigned') AND deferred_until IS NULL AND deleted_at IS NULL
        ORDER BY priority_rank, due_date NULLS LAST, created_at, id LIMIT 1)
    GROUP BY c.assigned_agent_id
  )
  SELECT array_agg(CASE WHEN w.reason IS NULL AND NOT w.replays AND w.wanted = 0 THEN 'at_capacity' ELSE w.reason END ORDER BY w.at), array_agg(w.wanted ORDER BY w.at),
    array_agg(w.replays ORDER BY w.at), array_agg(coalesce(CASE WHEN w.wanted > 0 THEN concat_ws(',', s.ids, own.ids) END, '') ORDER BY w.at)
  INTO reasons, wishes, replayed, groups
  FROM wish w LEFT JOIN shared s ON s.workspace_id = w.workspace_id AND s.tags = w.tags AND s.executors = w.executors LEFT JOIN own ON own.assigned_agent_id = w.id;

  IF true = ANY (replayed) THEN
    RETURN QUERY
    SELECT a.agent_id, NULL::text, NULL::json, json_build_object('id', t.id, 'kind', a.kind, 'title', t.title, 'prompt', a.prompt, 'epoch', a.epoch,
      'attempt_id', a.id, 'attempt', a.number, 'lease_ms', greatest(0, extract(epoch FROM l.expires_at - flotilla_now()) * 1000)::bigint,
      'timeout_s', t.timeout_s, 'executor', t.executor, 'model', t.model, 'on_host_loss', t.on_host_loss, 'metadata', t.metadata)
    FROM unnest(agent_ids, claim_ids, replayed) AS r (agent_id, claim_id, replayed)
    JOIN leases l ON l.agent_id = r.agent_id AND l.claim_id = r.claim_id JOIN attempts a ON a.id = l.attempt_id JOIN tasks t ON t.id = l.task_id
    WHERE r.replayed ORDER BY t.priority_rank, t.due_date, t.created_at, t.id; -- as it was given
  END IF;

  FOR classes, takers IN
    SELECT string_to_array(g.key, ',')::bigint[], array_agg(g.at ORDER BY turn, g.at)
    FROM unnest(groups, wishes) WITH ORDINALITY AS g (key, wanted, at), generate_series(1, g.wanted) AS turn
    WHERE g.key <> '' GROUP BY g.key ORDER BY min(g.at)
  LOOP
    seen := '{}';
    -- After so many looks the next claim goes on where this one stops.
    FOR look IN 1..8 LOOP
      heads := flotilla_heads(classes, cardinality(takers), seen);
      EXIT WHEN cardinality(heads) = 0;
      seen := seen || heads;
      SELECT coalesce(array_agg(l.id ORDER BY l.priority_rank, l.due_date, l.created_at, l.id), '{}'), coalesce(bool_or(l.concurrency_key IS NOT NULL), false) INTO locked, keyed
      FROM (SELECT * FROM tasks WHERE id = ANY (heads) AND status IN ('inbox', 'assigned') AND deferred_until IS NULL AND deleted_at IS NULL FOR UPDATE SKIP LOCKED) l;
      IF keyed THEN locked := flotilla_admit(locked); END IF;
      given := cardinality(locked);
      IF given > 0 THEN
        RETURN QUERY
        WITH now AS MATERIALIZED (SELECT flotilla_now() AS now), chosen AS MATERIALIZED (
          SELECT c.task_id, c.place, a.id AS agent_id, claim_ids[c.at] AS claim_id, nextval('epochs') AS epoch, now.now,
            CASE WHEN by_hand[c.at] OR a.kind = 'poll' THEN poll_lease_ms END AS call_ms
          FROM unnest(locked, takers[:given]) WITH ORDINALITY AS c (task_id, at, place) JOIN agents a ON a.id = agent_ids[c.at], now
          WHERE a.id = ANY (agent_ids)
        ), claimed AS (
          UPDATE tasks t SET status = 'in_progress', claimed_by_agent_id = c.agent_id, epoch = c.epoch, attempts = t.attempts + 1, version = t.version + 1, updated_at = c.now
          FROM chosen c WHERE t.id = c.task_id AND t.id = ANY (locked)
          RETURNING t.id, t.workspace_id, t.title, t.version, t.timeout_s, t.executor, t.model, t.on_host_loss, t.metadata, t.concurrency_key, c.*,
            coalesce(c.call_ms, lease_ms) AS lease,
            t.title || CASE t.description WHEN '' THEN '' ELSE E'\n\n' || t.description END || CASE WHEN t.answered THEN flotilla_answers(t.workspace_id, t.id) ELSE '' END
              || coalesce(E'\n\nThe last result was rejected in review, for this reason:\n\n' || flotilla_quote(t.feedback), '') AS prompt
        ), attempt AS (
          INSERT INTO attempts (workspace_id, task_id, number, agent_id, claim_id, epoch, prompt, executor, claimed_at)
          SELECT workspace_id, id, (SELECT coalesce(max(number), 0) + 1 FROM attempts a WHERE a.task_id = claimed.id), agent_id, claim_id, epoch, prompt, executor, now
          FROM claimed RETURNING id, task_id, kind, number
        ), lease AS (
          INSERT INTO leases (task_id, workspace_id, attempt_id, agent_id, epoch, expires_at, renewable_until, call_lease_ms, concurrency_key, claim_id)
          SELECT c.id, workspace_id, attempt.id, agent_id, epoch, now + lease * interval '1 ms', now + (timeout_s * 1000 + kill_grace_ms + lease) * interval '1 ms', call_ms, concurrency_key, claim_id
          FROM claimed c JOIN attempt ON attempt.task_id = c.id
        ), event AS (
          INSERT INTO event_batches (count, events, created_at)
          SELECT count(*), json_agg(json_build_object('workspace_id', workspace_id, 'type', 'task.claimed', 'entity_id', id, 'version', version, 'agent_id', agent_id,
            'summary', json_build_object('status', 'in_progress', 'agent_id', agent_id, 'epoch', epoch)) ORDER BY place), min(now)
          FROM claimed
        )
        SELECT c.agent_id, NULL::text, NULL::json, json_build_object('id', c.id, 'kind', attempt.kind, 'title', c.title, 'prompt', c.prompt, 'epoch', c.epoch, 'attempt_id', attempt.id,
          'attempt', attempt.number, 'lease_ms', c.lease, 'timeout_s', c.timeout_s, 'executor', c.executor, 'model', c.model, 'on_host_loss', c.on_host_loss, 'metadata', c.metadata)
        FROM claimed c JOIN attempt ON attempt.task_id = c.id ORDER BY c.place;
        served := served || takers[:given];
        takers := takers[given + 1:];
      END IF;
      EXIT WHEN cardinality(takers) = 0;
    END LOOP;
  END LOOP;

  RETURN QUERY
  SELECT r.id, r.reason, CASE WHEN a.id IS NOT NULL THEN json_build_object('id', a.id, 'workspace_id', a.workspace_id, 'tags', a.tags, 'executors', a.executors) END, NULL::json
  FROM unnest(agent_ids, reasons) WITH ORDINALITY AS r (id, reason, at) LEFT JOIN agents a ON a.id = r.id WHERE r.at <> ALL (served) ORDER BY r.at;
END $$;
