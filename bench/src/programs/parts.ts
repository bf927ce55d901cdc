// A Node process with the parts that agentd cannot do without, loaded and unused.
import { createServer } from 'node:http';

import { execa } from 'execa';
import { pino } from 'pino';

const log = pino({ level: 'silent' });
const server = createServer((_, answer) => void execa('true').then(() => answer.end()));
setInterval(() => log.debug(server.listening), 60_000);
process.once('disconnect', () => process.exit());
process.send?.('ready');
