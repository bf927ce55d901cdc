import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** `flj_` join · `fla_` agent · `flu_` user API · `flt_` attempt. A prefix lets a secret scanner name what leaked. */
export type SecretPrefix = 'flj_' | 'fla_' | 'flu_';

/** 256 random bits and a CRC-32 of them, so that a truncated paste is told from a wrong token without a look-up. */
export const makeSecret = (prefix: SecretPrefix): string => {
  const random = randomBytes(32).toString('base64url');
  return `${prefix}${random}${checksum(random)}`;
};

/** Only this digest is stored or compared; looking up a SHA-256 leaks nothing about the secret through timing. */
export const digestSecret = (secret: string): Buffer => hash('sha256', secret, 'buffer');

/** The same in hex, as a key in memory, without a buffer between: every request makes one. */
export const digestKey = (secret: string): string => hash('sha256', secret, 'hex');

const checksum = (value: string): string => crc32(value).toString(36).padStart(7, '0');
