import fc from 'fast-check';
import { expect, test } from 'vitest';

import { testApp } from './lib/app.ts';
import { commands, type Real } from './lib/commands/index.ts';
import * as model from './lib/model.ts';

/**
 * The same commands run against the pure model (`lib/model.ts`, written from the machines and limits of the contract)
 * and, through the door, against Postgres. After each command all tasks and attempts are compared and the SQL invariants
 * checked. A failure prints its seed and path; FLOTILLA_TEST_SEED runs one again, FLOTILLA_TEST_LONG=1 runs more.
 */
const LONG = process.env.FLOTILLA_TEST_LONG === '1';
const RUNS = LONG ? 1_000 : 120;
const COMMANDS = LONG ? 80 : 30;
const seed = Number(process.env.FLOTILLA_TEST_SEED ?? Date.now() % 2 ** 31);

const app = await testApp();
// Back-off of failures becomes zero: what failed may be claimed at once.
app.deps.random = () => 0;

test(
  `${RUNS} histories of up to ${COMMANDS} commands leave model and Postgres equal`,
  async () => {
    const histories = fc.commands(commands, {
      maxCommands: COMMANDS,
      size: 'max',
    });
    let ran = 0;
    const history = async (given: Iterable<fc.AsyncCommand<model.Model, Real>>) => {
      ran += 1;
      const setup = async () => {
        const workspace = await app.workspace();
        const agents = await Promise.all([1, 2, 3].map((slots) => workspace.agent({ slots })));
        const start_model = model.emptyModel(
          agents.map(({ id }, index) => ({ id, slots: index + 1, draining: false, generation: 0 })),
        );
        return { model: start_model, real: { app, workspace, agents, memory: [[], [], []], sent: [] } };
      };
      await fc.asyncModelRun(setup, given);
    };
    await fc.assert(fc.asyncProperty(histories, history), {
      seed,
      numRuns: RUNS,
      endOnFailure: false,
      interruptAfterTimeLimit: LONG ? undefined : 100_000,
    });
    expect(ran).toBe(RUNS);
  },
  LONG ? 3_600_000 : 120_000,
);
