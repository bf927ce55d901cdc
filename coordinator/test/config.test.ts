import { describe, expect, test } from 'vitest';

import { ConfigError, readConfig } from '../src/config.ts';

describe('the environment', () => {
  test('has a default for everything, and an empty variable is one that is not set', () => {
    expect(readConfig({ FLOTILLA_PORT: '' })).toEqual(readConfig({}));
  });

  test.each([
    ['FLOTILLA_PORT', { FLOTILLA_PORT: '70000' }],
    ['FLOTILLA_HOST', { FLOTILLA_HOST: '0.0.0.0' }],
    ['FLOTILLA_SUSPECT_MS', { FLOTILLA_HEARTBEAT_MS: '30000' }],
    ['FLOTILLA_LOST_MS', { FLOTILLA_SUSPECT_MS: '46000' }],
    ['FLOTILLA_LOST_MS', { FLOTILLA_LOST_MS: '120000' }],
  ])('that is wrong names %s: %o', (name, environment) => {
    expect(() => readConfig(environment)).toThrow(ConfigError);
    expect(() => readConfig(environment)).toThrow(new RegExp(`^${name}: `));
  });
});
