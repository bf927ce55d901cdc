/* eslint-disable no-control-regex -- control characters are the subject here */

/** Titles, reasons and names come from agents and strangers: none of it may steer the terminal. Line breaks become spaces. */
export const oneLine = (text: string): string =>
  text.replaceAll(/[\r\n\t]+/g, ' ').replaceAll(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');

/** The same for texts of several lines. */
export const manyLines = (text: string): string =>
  text
    .replaceAll('\r\n', '\n')
    .replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');

/**
 * For logs on a terminal: colours pass, everything else that could move the cursor, set the title or answer back does
 * not. Stateful, since a sequence may be split between two chunks.
 */
export const terminalFilter = (): ((chunk: string) => string) => {
  let held = '';
  return (chunk) => {
    const text = held + chunk;
    held = /\u001b(?:\[[0-9;]{0,32})?$/.exec(text)?.[0] ?? '';
    return text
      .slice(0, text.length - held.length)
      .replaceAll(/\u001b(?!\[[0-9;]{0,32}m)/g, '\ufffd')
      .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f-\u009f]/g, '\ufffd');
  };
};
