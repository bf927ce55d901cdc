import { styleText } from 'node:util';

import Table from 'cli-table3';

import { manyLines, oneLine } from './sanitize.ts';
import type { Column, View } from './view.ts';

const noBorders = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

const layout = (rows: string[][]): string => {
  const table = new Table({ chars: noBorders, style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] } });
  table.push(...rows);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
};

// A cell wider than this is cut unless -o wide: one long title must not wrap every line of a list.
const CELL = 60;
const cut = (text: string, wide: boolean): string =>
  wide || text.length <= CELL ? text : `${text.slice(0, CELL - 1)}…`;

const bold = (text: string, stream: NodeJS.WriteStream): string => styleText('bold', text, { stream });

export type TableOptions = { wide: boolean; now: number; stream: NodeJS.WriteStream };

/** One line per row under a line of heads; no borders, so that `awk` and eyes both find the columns. */
export const listTable = <T>(view: View<T>, rows: readonly T[], { wide, now, stream }: TableOptions): string => {
  const columns = view.columns.filter((column) => wide || column.wide !== true);
  const heads = columns.map(({ head }) => bold(head, stream));
  return layout([heads, ...rows.map((row) => columns.map(({ cell }) => cut(oneLine(cell(row, now)), wide)))]);
};

/** `get`: one line per field, then the long texts. */
export const detailTable = <T>(view: View<T>, row: T, { now, stream }: TableOptions): string => {
  const fields: readonly Column<T>[] = [...view.columns, ...(view.details ?? [])];
  const lines = fields
    .map(({ head, cell }) => [bold(head, stream), oneLine(cell(row, now))])
    .filter(([, value]) => value !== '-');
  const texts = (view.texts ?? []).flatMap(({ head, text }) => {
    const value = text(row);
    return value === null || value === '' ? [] : [`\n${bold(head, stream)}\n${manyLines(value).trimEnd()}`];
  });
  return [layout(lines.map((line) => line.map(String))), ...texts].join('\n');
};
