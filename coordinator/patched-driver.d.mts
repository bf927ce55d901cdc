import type { Plugin } from 'esbuild';

/** A file of the driver as we use it; null for any other file. */
export const patchDriver: (path: string, contents: string) => string | null;

/** An esbuild plugin: the driver as the bundle has it. */
export const patchedDriver: Plugin;
