// npm leaves an optional package out of package-lock.json when the registry at hand has no copy of that platform's build,
// and `npm ci` then refuses the very same file as incomplete. This writes the missing entries: the version its parent pins
// and the platform its name tells. Nothing is fetched for them until an install runs on that platform.
// Run it after `npm install <package>` whenever `npm run deps:check` says that the lock file is incomplete.
import { readFileSync, writeFileSync } from 'node:fs';
import { missingOptionals } from './locked.mjs';

const file = new URL('../../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));

const OS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const CPU = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'];

/** `@oxlint/binding-linux-arm-musleabihf` -> linux, arm, musl. */
const platform = (name) => {
  const words = name.replace('windows', 'win32').replace(/-64$/, '-x64').split(/[/-]/);
  const os = OS.find((word) => words.includes(word));
  const cpu = CPU.find((word) => words.includes(word));
  if (os === undefined || cpu === undefined)
    throw new Error(`${name}: its name tells no platform; write its entry by hand`);
  const libc = { gnu: 'glibc', musl: 'musl' }[words.at(-1)];
  return { os: [os], cpu: [cpu], libc: libc === undefined ? undefined : [libc] };
};

const missing = missingOptionals(lock);
for (const { name, version, parent } of missing) {
  const { os, cpu, libc } = platform(name);
  // In npm's own order of keys, so that npm does not rewrite them; a platform's build has its parent's licence.
  const entry = { version, cpu, dev: parent.dev, libc, license: parent.license, optional: true, os };
  lock.packages[`node_modules/${name}`] = entry;
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en')));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${missing.length} entries added`);
