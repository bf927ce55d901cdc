import { createNotifier, type Notifier } from './notifier.ts';

/**
 * The channel to the coordinator, apart from what it says: whether beats get through, and whether our token is refused.
 * It never decides anything about running work.
 */
export type Link = {
  /** False from the first failed beat to the next good one. */
  up: boolean;
  /** How many beats were answered well: what goes on failing meanwhile has another cause than the channel. */
  beats: number;
  /** Set while our token is answered 401 or 403: everything waits, nothing is thrown away. */
  held: number | null;
  /** A beat got through after a time without: those that back off may try again at once. */
  restored: Notifier;
};

/** A link nobody has tried yet. */
export const createLink = (): Link => ({ up: false, beats: 0, held: null, restored: createNotifier() });

/** Calls fail though no beat did yet: the next good beat is news again, to all who wait for the channel. */
export const doubtLink = (link: Link): void => {
  link.up = false;
};

/** A beat was answered well: the channel works and the token is good. Says whether that is news. */
export const linkAnswered = (link: Link): boolean => {
  const news = !link.up || link.held !== null;
  link.up = true;
  link.beats += 1;
  link.held = null;
  if (news) link.restored.notify();
  return news;
};
