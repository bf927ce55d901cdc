/**
 * Glob over a whole name: `*` is any text, `?` one character. Nothing else is special. Only the last `*` is ever tried
 * again, so a pattern of many takes no longer than their product with the name: a regular expression could take for ever.
 */
export const matchesPattern = (pattern: string, name: string): boolean => {
  let at = 0;
  let star = -1;
  let resume = 0;
  for (let read = 0; read < name.length;) {
    if (pattern[at] === '*') {
      star = at;
      at += 1;
      resume = read;
    } else if (pattern[at] === '?' || pattern[at] === name[read]) {
      at += 1;
      read += 1;
    } else if (star >= 0) {
      // The last star takes one character more.
      at = star + 1;
      resume += 1;
      read = resume;
    } else return false;
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
};
