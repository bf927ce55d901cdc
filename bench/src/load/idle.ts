import { beat, type Caller, claim } from './ask.ts';
import { type Connection, openConnections } from './connection.ts';
import { type Measured, summarize } from './measure.ts';

/** A fleet with nothing to do: every agent parks a long poll and beats over a second connection, as agentd does. */
export type IdleJob = { url: string; agents: Caller[]; beat_ms: number; ms: number };

const PARK_S = 50;

export const runIdle = async ({ url, agents, beat_ms, ms }: IdleJob): Promise<Measured> => {
  const address = new URL(url);
  const parking = await openConnections(address, agents.length);
  const beating = await openConnections(address, agents.length);
  const began = performance.now();
  const latencies: number[] = [];
  const ended = new AbortController();
  const whileOpen = (work: Promise<unknown>) =>
    work.catch((error: unknown) => {
      if (!ended.signal.aborted) throw error;
    });
  const sleep = (wait: number) => new Promise((resolve) => setTimeout(resolve, wait));
  const park = async (connection: Connection, { token }: Caller) => {
    while (!ended.signal.aborted) await claim(connection, token, 1, PARK_S);
  };
  const beatOn = async (connection: Connection, agent: Caller, index: number) => {
    await sleep((beat_ms * index) / agents.length);
    for (let seq = 1; !ended.signal.aborted; seq++) {
      const at = performance.now();
      await beat(connection, agent, seq, []);
      latencies.push(performance.now() - at);
      await sleep(Math.min(beat_ms, began + ms - performance.now()));
    }
  };
  const lives = agents.flatMap((agent, index) => [
    whileOpen(park(parking[index] as Connection, agent)),
    whileOpen(beatOn(beating[index] as Connection, agent, index)),
  ]);
  try {
    await Promise.race([sleep(ms), Promise.all(lives)]);
    return summarize(latencies.length, ms / 1000, latencies);
  } finally {
    ended.abort();
    for (const connection of [...parking, ...beating]) connection.close();
  }
};
