// make bench [ONLY=claims,…] [ROUNDS=5]: measures one scenario after the other and prints each as it ends.
import { startLoader } from './loader.ts';
import { print } from './report.ts';
import { type Bench, claims } from './scenarios/claims.ts';
import { openStage } from './stage.ts';

const scenarios = { claims };

const { ONLY = Object.keys(scenarios).join(','), ROUNDS = '5' } = process.env;
const stage = await openStage();
const loader = startLoader();
try {
  const bench: Bench = { stage, loader, agents: await stage.agents(512, 128), rounds: Number(ROUNDS) };
  for (const name of ONLY.split(',')) {
    if (!(name in scenarios)) throw new Error(`there is no scenario ${name}; use ${Object.keys(scenarios).join(', ')}`);
    for (const result of await scenarios[name as keyof typeof scenarios](bench)) print(result);
  }
} finally {
  loader.close();
  await stage.close();
}
