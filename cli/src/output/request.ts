import type { TransportRequest } from '@flotilla/shared';

const MASK = '********';
const secretName = /token|secret|password|authorization|cookie|api[-_]?key/i;

const mask = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(mask);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      secretName.test(key) && typeof item === 'string' ? MASK : mask(item),
    ]),
  );
};

const maskedBody = (body: NonNullable<TransportRequest['body']>): unknown => {
  if (typeof body !== 'string') return `${'open' in body ? body.size : body.byteLength} bytes`;
  try {
    return mask(JSON.parse(body));
  } catch {
    return body;
  }
};

/** The request of a dry run as JSON: what would be sent, without anything that must not be seen. */
export const describeRequest = (request: TransportRequest): string =>
  JSON.stringify(
    {
      method: request.method,
      url: request.url,
      headers: mask(request.headers),
      ...(request.body === undefined ? {} : { body: maskedBody(request.body) }),
    },
    null,
    2,
  );
