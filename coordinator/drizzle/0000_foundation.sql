-- The one clock of leases, expiry and due times. Tests shift it by writing the single row of clock_shift; a coordinator's
-- or an agent's own clock is never compared with a stored time.
CREATE TABLE "clock_shift" ("one" boolean PRIMARY KEY DEFAULT true CHECK ("one"), "shift" interval NOT NULL);
--> statement-breakpoint
INSERT INTO "clock_shift" ("shift") VALUES ('0');
--> statement-breakpoint
-- STABLE although clock_timestamp() is volatile: one reading per statement is what comparisons want, and only a stable
-- function can be compared through an index.
CREATE FUNCTION "flotilla_now"() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT clock_timestamp() + (SELECT "shift" FROM "clock_shift")
$$;
