import {
  Activity,
  Agent,
  ApiToken,
  Attachment,
  Attempt,
  AuditEvent,
  ClaimedTask,
  Comment,
  ErrorBody,
  errorCatalog,
  JoinToken,
  Json,
  listRoutes,
  Review,
  type Route,
  Task,
  Workspace,
} from '@flotilla/shared';
import { z } from 'zod';

import { VERSION } from '../version.ts';

/** Answers that get a name in the document; everything else is named after its operation. */
const named = {
  Activity,
  Agent,
  ApiToken,
  Attachment,
  Attempt,
  AuditEvent,
  ClaimedTask,
  Comment,
  ErrorBody,
  JoinToken,
  Review,
  Task,
  Workspace,
};

type JsonSchema = z.core.JSONSchema.BaseSchema;
type Components = Record<string, JsonSchema>;

const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` });

/** JSON Schema of many schemas at once, so that what they share becomes a reference. zod's own, which knows recursion. */
const toComponents = (schemas: Record<string, z.ZodType>, io: 'input' | 'output'): Components => {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
  const { schemas: made } = z.toJSONSchema(registry, {
    io,
    uri: (id) => `#/components/schemas/${id}`,
    unrepresentable: 'any',
  });
  return Object.fromEntries(
    Object.entries(made).map(([id, { $schema: _schema, $id: _id, ...schema }]) => [id, schema]),
  );
};

const nameOf = (operation: string, part: string): string =>
  operation
    .split(/[._]/)
    .map((word) => word[0]?.toUpperCase() + word.slice(1))
    .join('') + part;

/** OpenAPI 3.1 of the whole contract: served, checked in as docs/api/openapi.json, and compared by the gate. */
export const openApiDocument = () => {
  const routes = listRoutes();
  const inputs: Record<string, z.ZodType> = { Json };
  const outputs: Record<string, z.ZodType> = { ...named };
  const known = new Set<z.ZodType>(Object.values(named));
  for (const [operation, { body, output }] of routes) {
    if (body instanceof z.ZodType) inputs[nameOf(operation, 'Body')] = body;
    if (output instanceof z.ZodType && !known.has(output)) outputs[nameOf(operation, 'Answer')] = output;
  }
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [operation, route] of routes) {
    const path = route.path.replaceAll(/:([a-z_]+)/g, '{$1}');
    (paths[path] ??= {})[route.method.toLowerCase()] = describe(operation, route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Flotilla',
      version: VERSION,
      description: 'The coordinator of a fleet of agents. The same routes answer under /api.',
    },
    servers: [{ url: '/api/v1' }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        api_key: { type: 'apiKey', in: 'header', name: 'x-api-key' },
      },
      schemas: { ...toComponents(inputs, 'input'), ...toComponents(outputs, 'output') },
    },
  };
};

const describe = (operation: string, route: Route) => ({
  operationId: operation,
  summary: route.summary,
  ...(route.description === undefined ? {} : { description: route.description }),
  tags: [route.tag],
  security: route.permission === 'public' ? [] : [{ bearer: [] }, { api_key: [] }],
  'x-permission': route.permission,
  parameters: [...parameters(route.params, 'path'), ...parameters(route.query, 'query')],
  ...(route.body === undefined ? {} : { requestBody: { content: bodyContent(operation, route.body) } }),
  responses: { ...success(operation, route), ...failures(route) },
});

const parameters = (schema: z.ZodObject | undefined, location: 'path' | 'query') => {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' });
  const optional = (name: string) => schema.shape[name]?.safeParse(undefined).success === true;
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: location,
    required: required.includes(name) && !optional(name),
    schema: property,
  }));
};

const bodyContent = (operation: string, body: z.ZodType | 'bytes' | 'stream') =>
  typeof body === 'string'
    ? { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } }
    : { 'application/json': { schema: reference(nameOf(operation, 'Body')) } };

const success = (operation: string, { output, status, repeatable }: Route): Record<string, unknown> => {
  if (output === 'none') return { 204: { description: 'Done.' } };
  if (output === 'text')
    return { 200: { description: 'Text.', content: { 'text/plain': { schema: { type: 'string' } } } } };
  if (output === 'file')
    return {
      200: {
        description: 'A file to save.',
        content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
      },
    };
  if (output === 'event-stream')
    return {
      200: { description: 'Server-sent events.', content: { 'text/event-stream': { schema: { type: 'string' } } } },
    };
  const name = Object.entries(named).find(([, schema]) => schema === output)?.[0] ?? nameOf(operation, 'Answer');
  const content = { 'application/json': { schema: reference(name) } };
  return {
    ...(repeatable === true ? { 200: { description: 'It was there already.', content } } : {}),
    [status]: { description: 'Success.', content },
  };
};

const failures = (route: Route): Record<string, unknown> => {
  const common =
    route.permission === 'public'
      ? (['invalid_input'] as const)
      : (['invalid_input', 'unauthenticated', 'forbidden'] as const);
  const byStatus = new Map<number, string[]>();
  for (const code of [...common, ...route.errors]) {
    const { status } = errorCatalog[code];
    byStatus.set(status, [...new Set([...(byStatus.get(status) ?? []), code])]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      {
        description: `Codes: ${codes.join(', ')}.`,
        content: { 'application/json': { schema: reference('ErrorBody') } },
      },
    ]),
  );
};
