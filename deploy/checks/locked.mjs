/** The entry that `name` resolves to from the package at `path`: its own node_modules first, then each parent's. */
const resolveLocked = (packages, path, name) => {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const entry = packages[at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`];
    if (entry !== undefined || at === '') return entry;
  }
};

/** Optional packages that a locked package names and the lock file has no entry for; `npm ci` refuses such a file. */
export const missingOptionals = (lock) =>
  Object.entries(lock.packages).flatMap(([path, parent]) =>
    Object.entries(parent.optionalDependencies ?? {})
      .filter(([name]) => resolveLocked(lock.packages, path, name) === undefined)
      .map(([name, version]) => ({ name, version, parent })),
  );
