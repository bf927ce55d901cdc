import { listRoutes } from '@flotilla/shared';
import { expect, test } from 'vitest';

import { testApp } from './lib/app.ts';

const app = await testApp();

type Operation = {
  operationId: string;
  'x-permission': string;
  security: unknown[];
  responses: Record<string, unknown>;
  parameters: { name: string; in: string }[];
};
type Document = {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
};

const read = async (path: string): Promise<Document> => (await app.request('GET', path)).body as Document; // the shape that this file checks

const referencesIn = (value: unknown): string[] => {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === '$ref' && typeof inner === 'string' ? [inner] : referencesIn(inner),
  );
};

test('is served without a token under both prefixes', async () => {
  const document = await read('/api/v1/openapi.json');
  expect(document.openapi).toBe('3.1.0');
  expect(await read('/api/openapi.json')).toEqual(document);
});

test('describes every route of the contract with its permission, parameters and answers', async () => {
  const { paths } = await read('/api/v1/openapi.json');
  const described = new Map(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [operation.operationId, { path, method, operation }]),
    ),
  );
  const routes = listRoutes();
  expect(described.size).toBe(routes.length);
  for (const [name, route] of routes) {
    const found = described.get(name);
    expect(found, name).toMatchObject({
      method: route.method.toLowerCase(),
      path: route.path.replaceAll(/:([a-z_]+)/g, '{$1}'),
    });
    const { operation } = found ?? { operation: null };
    expect(operation?.['x-permission'], name).toBe(route.permission);
    expect(operation?.security.length === 0, name).toBe(route.permission === 'public');
    const named = operation?.parameters
      .filter((parameter) => parameter.in === 'path')
      .map((parameter) => parameter.name);
    expect(named, name).toEqual([...route.path.matchAll(/:([a-z_]+)/g)].map(([, parameter]) => parameter));
    expect(Object.keys(operation?.responses ?? {}), name).toContain(
      route.output === 'none' ? '204' : String(route.status),
    );
    expect(Object.keys(operation?.responses ?? {}), name).toContain('400');
  }
});

test('has no reference that leads nowhere, and no schema that nothing leads to', async () => {
  const document = await read('/api/v1/openapi.json');
  const references = new Set(referencesIn(document));
  expect(references.size).toBeGreaterThan(10);
  const known = new Set(Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`));
  for (const reference of references) expect([...known], reference).toContain(reference);
  for (const name of known) expect([...references], name).toContain(name);
});
