import type { Download } from '../download.ts';

/** RFC 6266: a plain name for old clients, the real one in UTF-8. Quotes and what is not ASCII never reach the header. */
const disposition = (filename: string): string => {
  const plain = filename.replaceAll(/[^\x20-\x7e]|["\\%]/g, '_');
  const encoded = encodeURIComponent(filename).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
};

/** Headers of a file: always saved, never shown or run in the coordinator's origin. */
export const downloadHeaders = ({ content_type, filename, size }: Download): Record<string, string> => ({
  'content-type': content_type,
  'content-disposition': disposition(filename),
  'content-security-policy': "default-src 'none'; sandbox",
  ...(size === undefined ? {} : { 'content-length': String(size) }),
  'x-accel-buffering': 'no',
});
