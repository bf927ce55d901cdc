-- What reports of attempts carry along: final log sizes and usage. `reports`: [{workspace_id, attempt_id, log_sizes, usage}].
-- Usage counts once per (attempt, seq); an attempt's totals are the newest cumulative report plus all deltas, and a price is
-- unknown until somebody reports one.
CREATE FUNCTION "flotilla_store_extras"("reports" json) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  stored bigint[];
BEGIN
  INSERT INTO attempt_streams (workspace_id, attempt_id, stream, final_size)
  SELECT r.workspace_id, r.attempt_id, size.key, size.value::bigint
  FROM json_to_recordset(reports) AS r (workspace_id bigint, attempt_id bigint, log_sizes json), json_each_text(r.log_sizes) AS size
  ON CONFLICT (attempt_id, stream) DO UPDATE SET final_size = greatest(excluded.final_size, attempt_streams.size)
  WHERE attempt_streams.final_size IS NULL;

  WITH new AS (
    INSERT INTO attempt_usage (workspace_id, attempt_id, seq, mode, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd_micros)
    SELECT r.workspace_id, r.attempt_id, u.*
    FROM json_to_recordset(reports) AS r (workspace_id bigint, attempt_id bigint, usage json), json_to_record(r.usage) AS u (seq int, mode text, model text,
      input_tokens bigint, output_tokens bigint, cache_read_tokens bigint, cache_write_tokens bigint, cost_usd_micros bigint)
    WHERE r.usage IS NOT NULL
    ON CONFLICT DO NOTHING RETURNING attempt_id
  ) SELECT array_agg(attempt_id) INTO stored FROM new;
  IF stored IS NULL THEN RETURN; END IF;

  WITH counted AS (
    SELECT attempt_id, input_tokens, output_tokens, cost_usd_micros FROM attempt_usage WHERE attempt_id = ANY (stored) AND mode = 'delta'
    UNION ALL
    (SELECT DISTINCT ON (attempt_id) attempt_id, input_tokens, output_tokens, cost_usd_micros FROM attempt_usage
     WHERE attempt_id = ANY (stored) AND mode = 'cumulative' ORDER BY attempt_id, seq DESC)
  ), total AS (
    SELECT attempt_id, sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens, sum(cost_usd_micros)::bigint AS cost
    FROM counted GROUP BY attempt_id
  )
  UPDATE attempts SET input_tokens = total.input_tokens, output_tokens = total.output_tokens, cost_usd_micros = total.cost
  FROM total WHERE id = total.attempt_id;
END $$;
--> statement-breakpoint
-- Takes results of many attempts, each of another task: one transaction, one round trip. Locks lease, then attempt, then task,
-- as every verb does, and rows of one table in the order of tasks; each statement sees what was committed before it.
--
-- Accepted is the first report of the newest claim of a task that exists, by whoever holds that claim: while it is live, and
-- after it ended without a report as long as nobody claimed since. What is not accepted has no row in the answer; why not is
-- for the caller to find out.
--
-- `reports`: [{place, workspace_id, agent_id | attempt_id, task_id, epoch, digest (hex), resolution, result, exit_code,
-- session_id, log_sizes, usage}]; `extras`: some have log sizes or usage. Served by leases_pkey, attempts_epoch and tasks_pkey;
-- each join repeats its keys as an array, or a plan from when the tables were small would read all of one for ever.
CREATE FUNCTION "flotilla_complete"("reports" json, "extras" boolean)
RETURNS TABLE ("place" int, "status" text, "attempt_id" bigint, "concurrency_key" text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  task_ids bigint[];
  epochs bigint[];
  accepted int[];
BEGIN
  SELECT array_agg(r.task_id), array_agg(r.epoch) INTO task_ids, epochs FROM json_to_recordset(reports) AS r (task_id bigint, epoch bigint);
  PERFORM 1 FROM leases WHERE task_id = ANY (task_ids) AND epoch = ANY (epochs) ORDER BY task_id FOR UPDATE;
  PERFORM 1 FROM attempts WHERE epoch = ANY (epochs) ORDER BY task_id FOR NO KEY UPDATE;
  PERFORM 1 FROM tasks WHERE id = ANY (task_ids) ORDER BY id FOR NO KEY UPDATE;

  SELECT array_agg(r.place) INTO accepted
  FROM json_to_recordset(reports) AS r (place int, workspace_id bigint, agent_id bigint, attempt_id bigint, task_id bigint, epoch bigint)
  JOIN attempts a ON a.epoch = r.epoch AND a.task_id = r.task_id JOIN tasks t ON t.id = a.task_id
  WHERE t.workspace_id = r.workspace_id AND (a.agent_id = r.agent_id OR a.id = r.attempt_id) AND t.deleted_at IS NULL AND t.epoch = a.epoch
    AND a.epoch = ANY (epochs) AND t.id = ANY (task_ids)
    AND a.report_digest IS NULL AND ((a.ended_at IS NULL AND t.status = 'in_progress') OR t.status IN ('inbox', 'assigned'));
  IF accepted IS NULL THEN RETURN; END IF;

  RETURN QUERY
  WITH at AS MATERIALIZED (SELECT flotilla_now() AS now), report AS MATERIALIZED (
    SELECT r.*, a.id AS attempt, at.now, t.version, t.claimed_by_agent_id AS claimer, t.cancel_requested_at IS NOT NULL AS cancelled,
      CASE t.review WHEN 'human' THEN 'review' ELSE 'done' END AS ends
    FROM json_to_recordset(reports) AS r (place int, workspace_id bigint, task_id bigint, epoch bigint, digest text, resolution text, result jsonb, exit_code int, session_id text)
    JOIN attempts a ON a.epoch = r.epoch JOIN tasks t ON t.id = r.task_id, at
    WHERE r.place = ANY (accepted) AND a.epoch = ANY (epochs) AND t.id = ANY (task_ids)
  ), lease AS (
    DELETE FROM leases l USING report r WHERE l.task_id = r.task_id AND l.epoch = r.epoch AND l.task_id = ANY (task_ids)
  ), attempt AS (
    -- An attempt that had lost its lease delivered after all: its end stays when it was.
    UPDATE attempts a SET state = 'completed', ended_at = coalesce(a.ended_at, r.now), exit_code = r.exit_code, failure = NULL,
      session_id = coalesce(r.session_id, a.session_id), report_digest = decode(r.digest, 'hex')
    FROM report r WHERE a.id = r.attempt AND a.epoch = ANY (epochs)
  ), event AS (
    INSERT INTO event_batches (count, events, created_at)
    SELECT count(*), json_agg(json_build_object('workspace_id', workspace_id, 'type', CASE ends WHEN 'done' THEN 'task.completed' ELSE 'task.review' END,
      'entity_id', task_id, 'version', version + 1, 'agent_id', claimer,
      'summary', json_build_object('status', ends, 'epoch', epoch, 'cancel_requested', cancelled)) ORDER BY place), min(now)
    FROM report
  )
  UPDATE tasks t SET status = r.ends, claimed_by_agent_id = NULL, resolution = r.resolution, result = r.result, failure = NULL,
    deferred_until = NULL, completed_at = CASE r.ends WHEN 'done' THEN r.now END, version = t.version + 1, updated_at = r.now
  FROM report r WHERE t.id = r.task_id AND t.id = ANY (task_ids)
  RETURNING r.place, r.ends, r.attempt, t.concurrency_key;

  IF extras THEN
    PERFORM flotilla_store_extras((
      SELECT json_agg(json_build_object('workspace_id', r.workspace_id, 'attempt_id', a.id, 'log_sizes', r.log_sizes, 'usage', r.usage))
      FROM json_to_recordset(reports) AS r (place int, workspace_id bigint, epoch bigint, log_sizes json, usage json) JOIN attempts a ON a.epoch = r.epoch
      WHERE r.place = ANY (accepted) AND a.epoch = ANY (epochs)));
  END IF;
END $$;
