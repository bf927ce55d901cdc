ALTER TABLE "attempts" ADD COLUMN "progress" jsonb;--> statement-breakpoint
ALTER TABLE "leases" ADD COLUMN "call_lease_ms" bigint;