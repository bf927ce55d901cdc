import type { Route } from '@flotilla/shared';

/** The little of a zod schema that is needed to make values for it; the contract is the only source of requests here. */
type Schema = {
  def: {
    type: string;
    shape?: Record<string, Schema>;
    options?: Schema[];
    entries?: Record<string, string>;
    innerType?: Schema;
    in?: Schema;
  };
  safeParse(value: unknown): { success: boolean };
};

/** Zod's own type says the same in far more words. */
const asSchema = (schema: unknown): Schema => schema as Schema;

const WRAPPERS = new Set(['optional', 'nullable', 'default', 'catch', 'readonly']);

const unwrap = (schema: Schema): Schema =>
  schema.def.innerType !== undefined && WRAPPERS.has(schema.def.type) ? unwrap(schema.def.innerType) : schema;

/** One of these fits every field of the contract; a new kind of field needs a line here. */
const CANDIDATES: unknown[] = [
  'sample',
  1,
  true,
  '1',
  0,
  'stdout',
  {},
  [],
  [1],
  '0'.repeat(64),
  '2030-01-01T00:00:00.000Z',
  'https://example.com',
];

/** A valid value made of what is required alone. */
export const sample = (given: unknown): unknown => {
  const schema = unwrap(asSchema(given));
  const { shape, options, entries } = schema.def;
  if (shape !== undefined) {
    const required = Object.entries(shape).filter(([, field]) => !field.safeParse(undefined).success);
    return Object.fromEntries(required.map(([name, field]) => [name, sample(field)]));
  }
  if (entries !== undefined) return Object.values(entries)[0];
  if (options?.[0] !== undefined) return sample(options[0]);
  const found = CANDIDATES.find((candidate) => schema.safeParse(candidate).success);
  if (found === undefined)
    throw new Error(`no candidate fits a field of type ${schema.def.type}: add one to sample.ts`);
  return found;
};

/** The first shape a body may have, as name → field; null for bytes and none. */
export const fieldsOf = (body: Route['body']): Record<string, Schema> | null => {
  if (body === undefined || typeof body === 'string') return null;
  const schema = unwrap(asSchema(body));
  const object = schema.def.shape === undefined ? schema.def.options?.map(unwrap)[0] : schema;
  return object?.def.shape ?? null;
};

export const accepts = (schema: unknown, value: unknown): boolean => asSchema(schema).safeParse(value).success;

/** The smallest valid request of a route, with an id for every `:id` of its path. */
export const sampleRequest = (route: Route, id: number | string) => {
  const query = new URLSearchParams();
  const given = route.query === undefined ? {} : sample(route.query);
  for (const [key, value] of Object.entries(given as Record<string, unknown>)) query.set(key, String(value)); // an object's sample
  const search = query.size === 0 ? '' : `?${query.toString()}`;
  const path = `${route.path.replaceAll(/:[a-z_]+/g, String(id))}${search}`;
  if (route.body === undefined) return { method: route.method, path };
  if (typeof route.body === 'string')
    return { method: route.method, path, body: 'bytes', headers: { 'content-type': 'application/octet-stream' } };
  return { method: route.method, path, body: JSON.stringify(sample(route.body)) };
};
