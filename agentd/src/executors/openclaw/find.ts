import { execFile } from 'node:child_process';
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { ConfigError, type OpenClawSettings } from '../../config.ts';
import { findCommand, findCommands } from '../../local/command.ts';
import { readEnvFile } from '../../local/env-file.ts';
import { type JsonObject, modelOf, parseBaseConfig, withoutForeign, variablesIn } from './base-config.ts';

/** `--version` takes 0.1 s; on a starved host more, and never this long. */
const VERSION_LIMIT_MS = 30_000;

/** OpenClaw as it was found on this host, and the files it is run with, read once at start. */
export type OpenClaw = {
  bin: string;
  version: string;
  /** PATH with which `bin` meets a suitable node. */
  path: string;
  base: JsonObject;
  model: string | JsonObject;
  env_file: string | null;
  soul: string | null;
};

const say = (file: string, PATH: string, env: Record<string, string> = {}): Promise<string | null> =>
  new Promise((resolve) => {
    execFile(
      file,
      ['--version'],
      { env: { ...env, PATH }, timeout: VERSION_LIMIT_MS, killSignal: 'SIGKILL' },
      (error, stdout) => resolve(error === null ? stdout.trim() : null),
    );
  });

/** What OpenClaw 2026.9 asks for: node:sqlite as it is since 24.16 and 26.1. */
const isSuitable = (version: string): boolean => {
  const [, major = 0, minor = 0] = (/^v(\d+)\.(\d+)\./.exec(version) ?? []).map(Number);
  return (major === 24 && minor >= 16) || (major === 26 && minor >= 1) || major > 26;
};

const findBin = async ({ bin }: OpenClawSettings, path: string): Promise<string> => {
  const found = await findCommand(bin, path, '/');
  if (found !== null) return found;
  const where = bin.includes('/') ? `${bin} is not an executable file` : `there is no "${bin}" in PATH (${path})`;
  throw new ConfigError([
    `FLOTILLA_EXECUTOR is openclaw, but ${where}: install OpenClaw (npm i -g openclaw), or set FLOTILLA_OPENCLAW_BIN to its path.`,
  ]);
};

/** The node that was asked for, else the first suitable one on PATH or beside openclaw. */
const findNode = async ({ node }: OpenClawSettings, bin: string, path: string): Promise<string> => {
  const beside = [join(dirname(bin), 'node'), join(dirname(await realpath(bin)), 'node')];
  const candidates = node === null ? [...(await findCommands('node', path, '/')), ...beside] : [node];
  const seen: string[] = [];
  for (const candidate of new Set(candidates)) {
    const version = await say(candidate, path);
    if (version !== null && isSuitable(version)) return candidate;
    if (version !== null) seen.push(`${candidate} is ${version}`);
  }
  const found = seen.length > 0 ? seen.join(', ') : node === null ? 'there is none' : `${node} does not run`;
  throw new ConfigError([
    `OpenClaw needs Node 24.16 or a later 24, or 26.1 or later, and ${found}: install Node 24 and set FLOTILLA_OPENCLAW_NODE to the path of its node.`,
  ]);
};

/** PATH on which `#!/usr/bin/env node` finds this node. A link is followed: what lies beside it is not for tasks. */
const pathWith = async (node: string, path: string): Promise<string> => {
  if ((await findCommand('node', path, '/')) === node) return path;
  const target = await realpath(node);
  return `${dirname(basename(target) === 'node' ? target : node)}:${path}`;
};

const readText = async (key: string, path: string): Promise<string> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new ConfigError([`${key} cannot be read (${(error as Error).message}): set it to the path of a file.`]);
  }
};

const askVersion = async (bin: string, path: string): Promise<string> => {
  const said = await say(bin, path, { OPENCLAW_NO_RESPAWN: '1', OPENCLAW_NO_AUTO_UPDATE: '1' });
  const version = /\bOpenClaw (\d[\w.+-]*)/.exec(said ?? '')?.[1];
  if (version !== undefined) return version;
  throw new ConfigError([
    `${bin} does not answer --version as OpenClaw does (${said === null ? 'it failed' : `"${said.slice(0, 100)}"`}): install it again (npm i -g openclaw), or correct FLOTILLA_OPENCLAW_BIN.`,
  ]);
};

/** Finds everything a run needs and refuses what cannot work, so that a wrong host is a sentence and not failed tasks. */
export const findOpenClaw = async (settings: OpenClawSettings, task_env: Record<string, string>): Promise<OpenClaw> => {
  const host_path = task_env.PATH ?? '';
  const base = withoutForeign(
    parseBaseConfig(settings.config_file, await readText('FLOTILLA_OPENCLAW_CONFIG', settings.config_file)),
  );
  const model = settings.model ?? modelOf(base);
  if (model === null) {
    throw new ConfigError([
      `No model for tasks that name none: set FLOTILLA_OPENCLAW_MODEL to provider/model, or agents.defaults.model in ${settings.config_file}.`,
    ]);
  }
  const secrets = settings.env_file === null ? {} : await readEnvFile(settings.env_file);
  const missing = variablesIn(base).filter((name) => !(secrets[name] ?? task_env[name]));
  if (missing.length > 0) {
    throw new ConfigError([
      `${settings.config_file} refers to ${missing.map((name) => `\${${name}}`).join(', ')}, which OpenClaw would not get: set it in the file named by FLOTILLA_OPENCLAW_ENV_FILE.`,
    ]);
  }
  const soul = settings.soul_file === null ? null : await readText('FLOTILLA_OPENCLAW_SOUL_FILE', settings.soul_file);
  const bin = await findBin(settings, host_path);
  const path = await pathWith(await findNode(settings, bin, host_path), host_path);
  const version = await askVersion(bin, path);
  return { bin, version, path, base, model, env_file: settings.env_file, soul };
};
