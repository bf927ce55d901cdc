import { afterAll, afterEach } from 'vitest';

import { type FakeApi, startFakeApi } from './fake-api.ts';
import { createHome, type Home } from './flotilla.ts';

/** A fake coordinator, emptied after each test, and the home of a person who is logged in to it; for one test file. */
export const openSetting = async (): Promise<{ api: FakeApi; home: Home }> => {
  const api = await startFakeApi();
  const home = await createHome({ FLOTILLA_URL: api.url, FLOTILLA_TOKEN: 'flu_secret' });
  afterEach(() => api.reset());
  afterAll(async () => {
    await api.close();
    await home.close();
  });
  return { api, home };
};
