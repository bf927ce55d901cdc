export { type Disturbance, disturb } from './disturb.ts';
export { feed } from './feed.ts';
export { createSimulatedFleet, type SimulatedFleet, startSpread } from './fleet.ts';
export type { Observer } from './host.ts';
export { busiest } from './tally.ts';
