import { readFileSync, writeFileSync } from 'node:fs';

import { openApiDocument } from './http/openapi.ts';

// `openapi:write` stores the contract as JSON, `openapi:check` fails when the stored one says something else.
const file = new URL('../../docs/api/openapi.json', import.meta.url);
const current = `${JSON.stringify(openApiDocument(), null, 2)}\n`;

if (process.argv.includes('--check')) {
  const stored = readFileSync(file, 'utf8');
  if (stored !== current) {
    process.stderr.write(
      'docs/api/openapi.json is not what the contract says; run `npm run -w coordinator openapi:write` and commit it\n',
    );
    process.exitCode = 1;
  }
} else {
  writeFileSync(file, current);
}
