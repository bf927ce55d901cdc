import { bigint, customType } from 'drizzle-orm/pg-core';

/** timestamptz as the ISO string the API shows; the connection's parser already made it one. */
export const timestamptz = customType<{ data: string; driverData: string }>({ dataType: () => 'timestamptz' });
export const bytea = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => 'bytea' });

export const id = () => bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity();
export const ref = () => bigint({ mode: 'number' });
