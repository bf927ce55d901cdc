import { describe, expect, test } from 'vitest';

import {
  BeatAnswer,
  commaList,
  listRoutes,
  Metadata,
  Name,
  openEnum,
  PageQuery,
  type Permission,
  permissionsByRole,
  type Role,
  roleGrants,
  Tag,
  text,
} from '../src/index.ts';

describe('schemas', () => {
  test('openEnum takes what it knows and what a newer version may say', () => {
    const state = openEnum(['running', 'draining']);
    expect(state.parse('running')).toBe('running');
    expect(state.parse('hibernating')).toBe('hibernating');
    expect(state.safeParse(7).success).toBe(false);
    expect(state.safeParse('a\u0000').success).toBe(false);
    // An older agent understands a newer coordinator's answer.
    expect(BeatAnswer.shape.eligibility.parse('suspended')).toBe('suspended');
  });

  test('names and tags are what can be typed and compared', () => {
    for (const name of ['a', '7', 'build-host-3', 'x.y_z', 'a'.repeat(63)])
      expect(Name.safeParse(name).success, name).toBe(true);
    for (const name of ['', 'A', '-a', 'a b', 'ü', 'a/b', 'a'.repeat(64), 'a\n'])
      expect(Name.safeParse(name).success, name).toBe(false);
    for (const tag of ['gpu', 'os=linux', 'team/a', 'v1.2']) expect(Tag.safeParse(tag).success, tag).toBe(true);
    for (const tag of ['', ' gpu', 'a,b', 'a\u0000']) expect(Tag.safeParse(tag).success, tag).toBe(false);
  });

  test('text is what Postgres can store', () => {
    expect(text(5).safeParse('héllo').success).toBe(true);
    expect(text(5).safeParse('toolong').success).toBe(false);
    expect(text(5).safeParse('a\u0000').success).toBe(false);
    expect(text(5).safeParse('a\ud800').success).toBe(false);
    expect(text(5).safeParse('🚀').success).toBe(true);
  });

  test('metadata is limited in size', () => {
    expect(Metadata.safeParse({ a: 'x'.repeat(16_000) }).success).toBe(true);
    expect(Metadata.safeParse({ a: 'x'.repeat(17_000) }).success).toBe(false);
    expect(Metadata.safeParse({ ['k'.repeat(101)]: 1 }).success).toBe(false);
  });

  test('lists in a query are split by comma, and never empty', () => {
    expect(commaList(Tag).parse('a,b,,c')).toEqual(['a', 'b', 'c']);
    expect(commaList(Tag).safeParse(',').success).toBe(false);
    expect(commaList(Tag).safeParse('a,b c').success).toBe(false);
  });

  test('pages have bounds', () => {
    expect(PageQuery.parse({})).toEqual({ limit: 50 });
    expect(PageQuery.parse({ limit: '500' })).toEqual({ limit: 500 });
    for (const limit of ['0', '501', '1.5', 'x']) expect(PageQuery.safeParse({ limit }).success, limit).toBe(false);
  });
});

describe('routes', () => {
  const routes = listRoutes();

  test('are declared once per method and path, with a permission somebody has', () => {
    const granted = new Set<string>(Object.values(permissionsByRole).flat());
    const taken = routes.flatMap(([, { method, aliases = [], path }]) =>
      [method, ...aliases].map((one) => `${one} ${path}`),
    );
    expect(new Set(taken).size).toBe(taken.length);
    for (const [name, { permission }] of routes)
      expect(permission === 'public' || granted.has(permission), name).toBe(true);
  });

  test('have a schema for every parameter in their path', () => {
    for (const [name, { path, params }] of routes) {
      const named = [...path.matchAll(/:([a-z_]+)/g)].map(([, parameter]) => parameter);
      expect(Object.keys(params?.shape ?? {}), name).toEqual(named);
    }
  });

  test('fixed paths stand before those that would swallow them', () => {
    for (const [index, [name, route]] of routes.entries()) {
      const pattern = new RegExp(`^${route.path.replaceAll(/:[a-z_]+/g, '[^/]+')}$`);
      const swallowed = routes
        .slice(index + 1)
        .filter(([, later]) => later.method === route.method && later.path !== route.path && pattern.test(later.path));
      expect(
        swallowed.map(([later]) => later),
        name,
      ).toEqual([]);
    }
  });
});

test('no person holds an agent’s permission, and an agent none of theirs that change things', () => {
  const people: Role[] = ['viewer', 'operator', 'admin'];
  const agentSide: Permission[] = [
    'agent:self',
    'agent:run',
    'attempt:self',
    'attempt:run',
    'attempt:report',
    'tasks:attach',
  ];
  for (const role of people)
    for (const permission of agentSide) expect(roleGrants(role, permission), `${role} ${permission}`).toBe(false);
  for (const permission of [
    'tasks:write',
    'agents:operate',
    'agents:admin',
    'tokens:admin',
    'audit:read',
    'workspaces:admin',
  ] as const) {
    expect(roleGrants('agent', permission)).toBe(false);
    expect(roleGrants('attempt', permission)).toBe(false);
    expect(roleGrants('admin', permission)).toBe(true);
  }
});
