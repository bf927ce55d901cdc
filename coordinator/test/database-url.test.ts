import { userInfo } from 'node:os';

import { describe, expect, it } from 'vitest';

import { readDatabaseUrl } from '../src/db/database-url.ts';

const me = userInfo().username;
const socket = { host: '/run/postgresql', port: 5432 };

describe('DATABASE_URL', () => {
  it.for([
    ['postgres:///flotilla?host=/run/postgresql', { ...socket, user: me, database: 'flotilla' }],
    ['postgresql:///?host=/run/postgresql&user=f', { ...socket, user: 'f', database: 'f' }],
    ['postgres://f@/flotilla?host=%2Frun%2Fpostgresql', { ...socket, user: 'f', database: 'flotilla' }],
    ['postgres://f:p%40s:s@/x?host=/run/postgresql', { ...socket, user: 'f', password: 'p@s:s', database: 'x' }],
    ['postgres://f@%2Frun%2Fpostgresql:5433/x', { ...socket, port: 5433, user: 'f', database: 'x' }],
    [
      'postgres:///x?host=/run/postgresql&port=5433&user=f&password=s',
      { ...socket, port: 5433, user: 'f', password: 's', database: 'x' },
    ],
  ] as const)('%s names a unix socket', ([url, facts]) => {
    expect(readDatabaseUrl(url)).toEqual(facts);
  });

  it.for(['postgres://f:s@db.example:5433/x?sslmode=verify-full', 'postgres://[::1]/x', 'postgres://a:1,b:2/x'])(
    '%s goes to the drivers as it is',
    (url) => {
      expect(readDatabaseUrl(url)).toEqual({ url });
    },
  );
});
