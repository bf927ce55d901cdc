import http from 'node:http';

export type RawAnswer = {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
  json: Record<string, unknown>;
};

export type RawRequest = {
  method: string;
  /** Below /api/v1. */
  path: string;
  token?: string | null;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** Sends the body without saying how long it is. */
  chunked?: boolean;
};

// Kept alive: a server closes a connection that ends with its answer while a long body still comes in.
const connections = new http.Agent({ keepAlive: true });

const readJson = (text: string): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
};

/** One request exactly as given: no client of ours would send most of these. Streams are cut after their head. */
export const sendRaw = (
  base_url: string,
  { method, path, token, headers, body, chunked = false }: RawRequest,
): Promise<RawAnswer> =>
  new Promise((resolve, reject) => {
    const call = http.request(`${base_url}/api/v1${path}`, {
      method,
      agent: connections,
      headers: {
        ...(token === undefined || token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined || chunked ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
        ...(body === undefined || headers?.['content-type'] !== undefined
          ? {}
          : { 'content-type': 'application/json' }),
        ...headers,
      },
    });
    let answered = false;
    call.once('response', (response) => {
      answered = true;
      const status = response.statusCode ?? 0;
      let text = '';
      const end = () => resolve({ status, headers: response.headers, text, json: readJson(text) });
      if (response.headers['content-type'] === 'text/event-stream') {
        end();
        response.destroy();
        return;
      }
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.once('end', end);
      response.once('error', reject);
    });
    // A server that refuses a long body early may close before it is all sent; its answer still counts.
    call.on('error', (error) => {
      if (!answered) reject(error);
    });
    call.setTimeout(30_000, () => call.destroy(new Error(`no answer to ${method} ${path} within 30 s`)));
    call.end(body);
  });
