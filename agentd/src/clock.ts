import { uptime } from 'node:os';

/** Time is an input, so that a test can own it. */
export type Clock = {
  /** Milliseconds since boot, suspend included: leases and timeouts go on while a laptop sleeps. */
  uptime_ms: () => number;
  /** Wall clock: shown and written down, never compared while uptime can be. */
  wall_ms: () => number;
};

/** The host's clocks. */
export const systemClock: Clock = {
  uptime_ms: () => Math.round(uptime() * 1000),
  wall_ms: () => Date.now(),
};

/** A moment that survives a restart of agentd: uptime while the boot is the same, wall clock otherwise. */
export type Moment = { boot_id: string; uptime_ms: number; wall_ms: number };

/** Now, as something that can be written to disk. */
export const momentNow = (clock: Clock, boot_id: string): Moment => ({
  boot_id,
  uptime_ms: clock.uptime_ms(),
  wall_ms: clock.wall_ms(),
});

/** Milliseconds since a written-down moment. */
export const elapsedSince = (moment: Moment, clock: Clock, boot_id: string): number =>
  moment.boot_id !== '' && moment.boot_id === boot_id
    ? clock.uptime_ms() - moment.uptime_ms
    : Math.max(0, clock.wall_ms() - moment.wall_ms);
