import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Prometheus metrics of one coordinator. Queue depths are gauges that /metrics fills from one query per scrape. */
export const createMetrics = () => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'flotilla_' });
  const registers = [registry];
  return {
    registry,
    requests: new Histogram({
      name: 'flotilla_http_request_seconds',
      help: 'Duration of API requests; long polls include their wait.',
      labelNames: ['route', 'status'],
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60],
      registers,
    }),
    claims: new Counter({ name: 'flotilla_claims_total', help: 'Tasks handed to agents.', registers }),
    claim_batches: new Counter({ name: 'flotilla_claim_batches_total', help: 'Claim transactions.', registers }),
    beats: new Counter({ name: 'flotilla_heartbeats_total', help: 'Heartbeats stored.', registers }),
    expiries: new Counter({
      name: 'flotilla_lease_expiries_total',
      help: 'Leases that ran out, by what happened to the task.',
      labelNames: ['outcome'],
      registers,
    }),
    expiry_suspended: new Gauge({
      name: 'flotilla_expiry_suspended',
      help: '1 while no lease may expire (gap in service, clock step, mass silence).',
      labelNames: ['reason'],
      registers,
    }),
    mass_silences: new Counter({
      name: 'flotilla_mass_silences_total',
      help: 'Times that so many agents fell silent at once that nothing was requeued. Alert on any increase.',
      registers,
    }),
    future_epochs: new Counter({
      name: 'flotilla_future_epochs_total',
      help: 'Epochs that agents named and nobody gave out: a restore without a new era. Alert on any increase.',
      registers,
    }),
    reports: new Counter({
      name: 'flotilla_reports_total',
      help: 'Terminal reports of attempts by kind and verdict.',
      labelNames: ['kind', 'verdict'],
      registers,
    }),
    unknown_fields: new Counter({
      name: 'flotilla_unknown_fields_total',
      help: 'Body fields of agents that this version does not know.',
      labelNames: ['route'],
      registers,
    }),
    parked_claims: new Gauge({
      name: 'flotilla_parked_claims',
      help: 'Agents waiting for work in a long poll.',
      registers,
    }),
    loop_errors: new Counter({
      name: 'flotilla_loop_errors_total',
      help: 'Failed passes of background loops.',
      labelNames: ['loop'],
      registers,
    }),
    tasks: new Gauge({ name: 'flotilla_tasks', help: 'Tasks by status.', labelNames: ['status'], registers }),
    oldest_ready: new Gauge({
      name: 'flotilla_oldest_ready_task_seconds',
      help: 'Age of the oldest claimable task.',
      registers,
    }),
    stalled: new Gauge({
      name: 'flotilla_dispatch_stalled',
      help: '1 while tasks are ready for an online agent with a free slot, and nothing was claimed for a minute. Alert on 1.',
      registers,
    }),
    agents: new Gauge({ name: 'flotilla_agents', help: 'Agents by status.', labelNames: ['status'], registers }),
    unsequenced: new Gauge({
      name: 'flotilla_unsequenced_events',
      help: 'Committed events without position.',
      registers,
    }),
  };
};

export type Metrics = ReturnType<typeof createMetrics>;
