import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

type Wish = { settings: Record<string, string>; config: string } | { instead: string };

/** The little of an OpenClaw configuration that is needed here. */
type Config = {
  models?: { providers?: Record<string, { apiKey?: unknown }> };
  agents?: { defaults?: { model?: string | { primary?: string } } };
};

/** Why a turn with this configuration would end without an answer; null when it may work, or is agentd's to judge. */
const lackOf = (text: string, given_model: string | undefined): string | null => {
  let config: Config;
  try {
    config = JSON.parse(text) as Config; // every field is looked at with care
  } catch {
    return null; // agentd says it better
  }
  const model = config.agents?.defaults?.model;
  const name = given_model ?? (typeof model === 'string' ? model : model?.primary) ?? '';
  const [provider = ''] = name.split('/');
  if (name === '' || config.models?.providers?.[provider]?.apiKey !== undefined) return null;
  return `it has no models.providers.${provider}.apiKey for ${name}, and logins of your own OpenClaw are not used`;
};

/**
 * Settings with which the local agent would run OpenClaw: the person's own FLOTILLA_OPENCLAW_* settings, else OpenClaw's
 * usual configuration. Whether they work is agentd's to find out. Of the environment, only the keys that the
 * configuration names are passed on.
 */
export const openclawWish = (env: NodeJS.ProcessEnv): Wish => {
  if (env.FLOTILLA_EXECUTOR === 'command') return { instead: 'FLOTILLA_EXECUTOR=command' };
  const config = env.FLOTILLA_OPENCLAW_CONFIG ?? join(homedir(), '.openclaw/openclaw.json');
  if (!existsSync(config)) {
    return { instead: `there is no OpenClaw configuration: neither FLOTILLA_OPENCLAW_CONFIG nor ${config}` };
  }
  const text = readFileSync(config, 'utf8');
  const lack = lackOf(text, env.FLOTILLA_OPENCLAW_MODEL);
  if (lack !== null) return { instead: `${config} will not do: ${lack}` };
  const named = [...text.matchAll(/\$\{([A-Z_][A-Z0-9_]*)\}/g)].map(([, name = '']) => name);
  const present = [...new Set(named)].filter((name) => !name.startsWith('FLOTILLA_') && env[name] !== undefined);
  const given = Object.entries(env).filter((entry): entry is [string, string] =>
    entry[0].startsWith('FLOTILLA_OPENCLAW_'),
  );
  const settings = {
    ...Object.fromEntries(given),
    FLOTILLA_EXECUTOR: 'openclaw',
    FLOTILLA_OPENCLAW_CONFIG: config,
    FLOTILLA_PASS_ENV: present.join(','),
  };
  return { settings, config };
};
