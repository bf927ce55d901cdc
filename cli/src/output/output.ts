import { type Cli, say } from '../cli.ts';
import type { Format } from './format.ts';
import type { View } from './view.ts';

/** Everything that goes to stdout. The slow libraries are loaded when their format is asked for. */
export type Output = {
  format: Format;
  /** The answer of a list endpoint; `rows` are the resources in it. */
  list: <T>(view: View<T>, rows: readonly T[], answer: unknown) => Promise<void>;
  /** One resource, as a line of a table (after a change) or with all its fields (`get`). */
  one: <T>(view: View<T>, row: T, as?: 'line' | 'details') => Promise<void>;
  /** Anything without a view: `text` for people, `value` for machines. */
  value: (value: unknown, text: () => string) => Promise<void>;
  /** Bytes as they are, for logs and plain texts. */
  text: (text: string) => void;
};

const machine = async (format: Format, value: unknown): Promise<string> => {
  if (format === 'json') return JSON.stringify(value, null, 2);
  const { stringify } = await import('yaml');
  return stringify(value).trimEnd();
};

export const createOutput = (cli: Cli, format: Format): Output => {
  const line = (text: string): void => {
    cli.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  };
  const table = () => ({ wide: format === 'wide', now: cli.now(), stream: cli.stdout });
  const isMachine = format === 'json' || format === 'yaml';
  return {
    format,
    list: async (view, rows, answer) => {
      if (isMachine) return line(await machine(format, answer));
      if (format === 'name') return rows.forEach((row) => line(view.name(row)));
      if (rows.length === 0) return say(cli, `No ${view.plural}.`);
      const { listTable } = await import('./table.ts');
      line(listTable(view, rows, table()));
    },
    one: async (view, row, as = 'line') => {
      if (isMachine) return line(await machine(format, row));
      if (format === 'name') return line(view.name(row));
      const { listTable, detailTable } = await import('./table.ts');
      line(as === 'details' ? detailTable(view, row, table()) : listTable(view, [row], table()));
    },
    value: async (value, text) => line(isMachine ? await machine(format, value) : text()),
    text: (text) => {
      cli.stdout.write(text);
    },
  };
};
