import type { Facts } from '../facts.ts';

/** A queue that others would pick, with a trivial job, tuned as its documentation says. */
export type Peer = {
  /** Adds one job, awaited as a caller who needs to know that it is kept. */
  add(): Promise<unknown>;
  addMany(count: number): Promise<void>;
  /** Starts working, CONCURRENCY at a time; calls `ran` once per job. */
  work(ran: () => void): Promise<void>;
  /** Ends all of it, without finishing what is left. */
  close(): Promise<void>;
};

export type OpenPeer = (where: PeerPlace) => Promise<Peer>;

/** An empty database of a Postgres, and an empty Redis on a socket. */
export type PeerPlace = { facts: Facts; redis: string | null };

export const CONCURRENCY = 50;
