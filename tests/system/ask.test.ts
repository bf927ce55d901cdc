import { describe, expect, it } from 'vitest';

import { openFleet } from '../lib/fleet.ts';
import { runFlotilla } from '../lib/flotilla.ts';
import { commands } from '../lib/ledger.ts';
import { processesOf } from '../lib/processes.ts';
import { until } from '../lib/until.ts';

const QUESTION = 'Which colour\nshall it have?';
const PROMPT = `Paint the shed

An earlier attempt asked a person:

> Which colour
> shall it have?

The answer was:

> Blue,
> like the door`;

describe('a command that asks a person', () => {
  it('is ended by agentd although it would run on; the answer starts the next attempt, which reads both', async (test) => {
    const fleet = await openFleet(test);
    const agent = await fleet.add({ name: 'one', command: commands.ask(fleet.ledger) });
    const { id, ref } = await fleet.createTask({ title: 'Paint the shed' });
    const waiting = await until('the question', async () => {
      const task = await fleet.task(id);
      return task.waiting_for?.code === 'answer' ? task : null;
    });
    const counted = { dispatch_attempts: 0, stale_requeues: 0, failure: null };
    expect(waiting).toMatchObject({ ...counted, status: 'inbox', question: QUESTION, attempts: 1 });
    await until('the end of its process', () => processesOf(`${agent.state_dir}/work`).length === 0, 10_000);
    await until('agentd to forget the attempt', () => agent.held().length === 0, 10_000);
    expect(fleet.ledger.starts(id)).toBe(1);

    expect(await runFlotilla(fleet, ['tasks', 'get', ref])).toContain(`QUESTION\n${QUESTION}\n`);
    expect(await runFlotilla(fleet, ['tasks', 'why', ref])).toContain('"Which colour shall it have?" (answer)');
    await runFlotilla(fleet, ['tasks', 'answer', ref, 'Blue,\nlike the door']);

    const [done] = await fleet.ended([id]);
    expect(done).toMatchObject({ ...counted, status: 'done', attempts: 2, question: null, resolution: PROMPT });
    const { attempts } = await fleet.client.tasks.attempts({ params: { id } });
    expect(attempts).toMatchObject([
      { number: 2, state: 'completed', failure: null },
      { number: 1, state: 'released', failure: { kind: 'asked' } },
    ]);
    // What it said before it was ended is kept.
    await until('its log', async () => (await fleet.log(id, 'stdout', attempts[1]?.number)) === 'asks a person\n');
    expect([fleet.ledger.starts(id), fleet.ledger.ends(id)]).toEqual([2, 1]);
    await until('agentd to forget it, too', () => agent.held().length === 0);
    await fleet.audit();
  });
});
