// What every dependency must be: pinned to one exact version, declared where it is used, and, when it ships, free to ship.
// Reads package.json files and package-lock.json only: no network, no node_modules.
import { readFileSync } from 'node:fs';
import { missingOptionals } from './locked.mjs';

const read = (path) => JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'));

const EXACT = /^\d+\.\d+\.\d+(-[\w.-]+)?$/;
const FREE = new Set(
  'MIT MIT-0 Apache-2.0 BSD-2-Clause BSD-3-Clause ISC 0BSD BlueOak-1.0.0 CC0-1.0 Python-2.0 Unlicense PostgreSQL'.split(
    ' ',
  ),
);
/** Packages whose code must exist once: two copies of zod do not recognise each other's schemas. */
const SINGLE = ['zod', '@types/node', 'typescript'];
/** Packages that state no licence in their package.json: name@version -> what its licence file says. */
const STATED_ELSEWHERE = {};

/** Packages share code through @flotilla/shared alone; but system tests run the fleet simulator of the benchmarks. */
const mayDependOn = (file, name) =>
  name === '@flotilla/shared' || (file === 'tests/package.json' && name === '@flotilla/bench');

const problems = [];
const lock = read('package-lock.json');
const root = read('package.json');

const checkManifest = (file, manifest) => {
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies']) {
    for (const [name, version] of Object.entries(manifest[kind] ?? {})) {
      if (!EXACT.test(version)) problems.push(`${file}: ${kind}.${name} is "${version}", not one exact version`);
      if (name.startsWith('@flotilla/') && !mayDependOn(file, name)) {
        problems.push(`${file}: ${name} may not be depended on; packages share code through @flotilla/shared alone`);
      }
    }
  }
};

/** SPDX: one free licence of an OR is enough, every part of an AND must be free. */
const isFree = (licence) =>
  licence
    .replace(/[()]/g, ' ')
    .split(/\s+OR\s+/)
    .some((choice) => choice.split(/\s+AND\s+/).every((part) => FREE.has(part.trim())));

const checkLocked = (path, entry) => {
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const id = `${name}@${entry.version}`;
  // Builds for other platforms may have been added by complete-lock.mjs, which cannot know their hash.
  if (!entry.integrity && !(entry.optional && entry.os))
    problems.push(`package-lock.json: ${id} has no integrity hash`);
  if (entry.dev) return;
  const licence = entry.license ?? STATED_ELSEWHERE[id] ?? 'none stated';
  if (!isFree(licence)) problems.push(`${id} ships with us under "${licence}", which is not on the list`);
};

checkManifest('package.json', root);
for (const folder of root.workspaces) checkManifest(`${folder}/package.json`, read(`${folder}/package.json`));

const installed = Object.entries(lock.packages).filter(
  ([path, entry]) => path.includes('node_modules/') && !entry.link,
);
for (const [path, entry] of installed) checkLocked(path, entry);
for (const { name } of missingOptionals(lock)) {
  problems.push(
    `package-lock.json: no entry for ${name}, so \`npm ci\` refuses it: node deploy/checks/complete-lock.mjs`,
  );
}
for (const name of SINGLE) {
  const versions = new Set(
    installed.filter(([path]) => path.endsWith(`node_modules/${name}`)).map(([, e]) => e.version),
  );
  if (versions.size > 1) problems.push(`${name} is locked in several versions: ${[...versions].join(', ')}`);
}

for (const problem of problems) console.error(problem);
console.log(`${installed.length} locked packages, ${problems.length} problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
