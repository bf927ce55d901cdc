import { describe, expect, it } from 'vitest';

import { beatPause, claimPause, pace, type Timings } from '../src/index.ts';

const timings = (return_spread_ms?: number): Timings => ({
  heartbeat_ms: 10_000,
  suspect_ms: 25_000,
  lost_ms: 45_000,
  lease_ms: 90_000,
  requeue_grace_ms: 30_000,
  claim_wait_s: 50,
  reconnect_delay_ms: 0,
  return_spread_ms,
});

describe('the pause before a claim is repeated', () => {
  it('is short for a small fleet, and after the first failure for any', () => {
    for (const spread of [undefined, 0, 60]) {
      for (let failures = 0; failures < 20; failures++)
        expect(claimPause(failures, timings(spread), () => 0.999)).toBeLessThanOrEqual(pace.claim.max_ms);
    }
    expect(claimPause(0, timings(200_000), () => 0.999)).toBeLessThanOrEqual(pace.claim.min_ms);
  });

  it('of a large fleet covers the whole spread that the coordinator named, evenly', () => {
    const at = (share: number) => claimPause(1, timings(200_000), () => share);
    expect([at(0.1), at(0.5), at(0.9)]).toEqual([20_000, 100_000, 180_000]);
    expect(claimPause(2, timings(200_000), () => 0.1)).toBe(200_000);
  });
});

describe('the pause between two beats', () => {
  it('keeps to the rhythm within a tenth, less the gap that always follows a beat', () => {
    expect(beatPause(timings(), () => 0) + pace.beat_gap_ms).toBe(9_000);
    expect(beatPause(timings(), () => 1) + pace.beat_gap_ms).toBe(11_000);
  });
});
