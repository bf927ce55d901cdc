import { z } from 'zod';

import { ConfigError } from '../../config.ts';

export type JsonObject = Record<string, unknown>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The object at a key, empty when there is none. */
export const objectAt = (parent: JsonObject, key: string): JsonObject => {
  const value = parent[key];
  return isObject(value) ? value : {};
};

/** The host's OpenClaw configuration. Plain JSON: OpenClaw reads JSON5, and a parser for it is not worth its weight. */
export const parseBaseConfig = (path: string, text: string): JsonObject => {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ConfigError([
      `${path} is not plain JSON (${(error as Error).message}): remove comments and trailing commas, or give FLOTILLA_OPENCLAW_CONFIG another file.`,
    ]);
  }
  const parsed = z.record(z.string(), z.unknown()).safeParse(json);
  if (parsed.success) return parsed.data;
  throw new ConfigError([`${path} is not a JSON object: give FLOTILLA_OPENCLAW_CONFIG an OpenClaw configuration.`]);
};

/** What belongs to a gateway with its channels and schedules; one turn needs none of it, nor its secrets. */
const FOREIGN = new Set(
  'meta wizard gateway channels bindings broadcast hooks cron discovery nodeHost talk cloudWorkers desktop ui'.split(
    ' ',
  ),
);

export const withoutForeign = (config: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(config).filter(([key]) => !FOREIGN.has(key)));

/** The host's own default model, as a name or with its fallbacks. */
export const modelOf = (config: JsonObject): string | JsonObject | null => {
  const { model } = objectAt(objectAt(config, 'agents'), 'defaults');
  if (typeof model === 'string' && model !== '') return model;
  return isObject(model) && typeof model.primary === 'string' ? model : null;
};

/** Names of the variables that OpenClaw replaces in the strings of a config: ${NAME}; $${NAME} is meant literally. */
export const variablesIn = (value: unknown): string[] => {
  const found = [...JSON.stringify(value).matchAll(/(?<!\$)\$\{([A-Z_][A-Z0-9_]*)\}/g)].map(([, name = '']) => name);
  return [...new Set(found)].toSorted();
};
