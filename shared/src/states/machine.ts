/**
 * A state machine is data: one human sentence per state, and edges named by the verb that takes them. From it come the
 * database's check constraints, the conditional updates of the verbs, what a UI may offer, and the model tests.
 */
export type Machine<S extends string, V extends string> = {
  states: Record<S, { sentence: string; terminal: boolean }>;
  edges: Record<V, { from: readonly S[]; to: readonly S[]; sentence: string }>;
};

export const machine = <S extends string, V extends string>(definition: Machine<S, V>): Machine<S, V> => definition;

export const stateNames = <S extends string, V extends string>(m: Machine<S, V>): [S, ...S[]] =>
  Object.keys(m.states) as [S, ...S[]]; // Object.keys loses the key type; a machine has at least one state

/** States in which a verb may act: the `from` of a conditional update. */
export const statesFor = <S extends string, V extends string>(m: Machine<S, V>, verb: V): readonly S[] =>
  m.edges[verb].from;

export const can = <S extends string, V extends string>(m: Machine<S, V>, verb: V, state: S): boolean =>
  m.edges[verb].from.includes(state);

export const isTerminal = <S extends string, V extends string>(m: Machine<S, V>, state: S): boolean =>
  m.states[state].terminal;

/** Why a verb is not possible, for a disabled button or a 409. */
export const whyNot = <S extends string, V extends string>(m: Machine<S, V>, verb: V, state: S): string | null =>
  can(m, verb, state)
    ? null
    : `${verb} needs a status of ${m.edges[verb].from.join(', ')}; it is ${state}: ${m.states[state].sentence}`;
