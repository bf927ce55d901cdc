import type { Plugin } from 'esbuild';

/** An esbuild plugin: the driver as the bundle has it. */
export const patchedDriver: Plugin;
