import { userInfo } from 'node:os';

import type { ConnectionFacts } from './client.ts';

/** `postgres://user:password@host:port/database?options`, any part missing; URL refuses a user without a host. */
const SHAPE = /^postgres(?:ql)?:\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/;

/**
 * What DATABASE_URL names. A unix socket is written as libpq's users write it, `postgres:///flotilla?host=/run/postgresql`
 * or `postgres://user@%2Frun%2Fpostgresql/flotilla`; our drivers take it only as a host of its own. Any other URL is theirs.
 */
export const readDatabaseUrl = (url: string): ConnectionFacts => {
  const [, login = '', authority = '', path = '', search = ''] = SHAPE.exec(url) ?? [];
  const options = new URLSearchParams(search);
  const [, named = '', port] = /^(.*?)(?::(\d+))?$/.exec(authority) ?? [];
  const host = decodeURIComponent(named) || options.get('host') || '';
  if (!host.startsWith('/')) return { url };
  const [, user = '', password] =
    /^([^:]*)(?::(.*))?$/.exec(login)?.map((part) => part && decodeURIComponent(part)) ?? [];
  const person = user || options.get('user') || userInfo().username;
  const secret = password ?? options.get('password');
  return {
    host,
    port: Number(port ?? options.get('port') ?? 5432),
    user: person,
    ...(secret === null ? {} : { password: secret }),
    database: decodeURIComponent(path) || person,
  };
};
