// Exits 0 when node_modules is what package-lock.json asks for, so that `make build` runs `npm ci` only when it must and
// works offline otherwise. npm writes node_modules/.package-lock.json last: an interrupted install is never "installed".
// Compared by content, not by time: switching branches back and forth reinstalls nothing.
import { readFileSync } from 'node:fs';

const read = (path) => JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')).packages;

const isInstalled = () => {
  const wanted = read('package-lock.json');
  const present = read('node_modules/.package-lock.json');
  const same = (a, b) => a.version === b.version && a.integrity === b.integrity && a.link === b.link;
  const missing = ([path, entry]) =>
    path.includes('node_modules/') && (present[path] === undefined ? !entry.optional : !same(entry, present[path]));
  return !Object.entries(wanted).some(missing) && Object.keys(present).every((path) => path in wanted);
};

try {
  process.exitCode = isInstalled() ? 0 : 1;
} catch {
  process.exitCode = 1; // no node_modules, or one that npm did not finish
}
