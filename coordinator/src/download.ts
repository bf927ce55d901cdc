/** A file that a verb hands out: how it is called, what it claims to be, and its bytes. */
export type Download = {
  content_type: string;
  filename: string;
  size?: number;
  body: AsyncIterable<Uint8Array>;
};
