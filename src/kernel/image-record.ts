/**
 * What execve made, in shared memory for the engines of other guests (their view of /proc/PID): written by the process itself,
 * read from its memory by address. Layout: a 32-bit count that is odd while the text changes, its length, JSON.
 */

import type { Image } from './process.ts';

export const IMAGE_RECORD = 16384;
const TEXT = 8;

/** An image without the strings that the kernel shows itself. */
export type PublicImage = Omit<Image, 'argv' | 'envp' | 'auxv'> & { /** Base64. */ readonly auxv: string };

export class ImageRecord {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(buffer = new SharedArrayBuffer(IMAGE_RECORD)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  write(image: Image): void {
    const { argv: _argv, envp: _envp, auxv, ...rest } = image;
    const text = Buffer.from(JSON.stringify({ ...rest, auxv: Buffer.from(auxv).toString('base64') } satisfies PublicImage));
    Atomics.add(this.#words, 0, 1);
    this.#words[1] = Math.min(text.length, IMAGE_RECORD - TEXT);
    new Uint8Array(this.buffer, TEXT).set(text.subarray(0, IMAGE_RECORD - TEXT));
    Atomics.add(this.#words, 0, 1);
  }
}

/** What a copy of the record says; undefined while it is being written. */
export function readImageRecord(bytes: Uint8Array): PublicImage | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < TEXT || view.getInt32(0, true) % 2 !== 0) return undefined;
  try {
    const image = JSON.parse(Buffer.from(bytes.subarray(TEXT, TEXT + view.getInt32(4, true))).toString()) as PublicImage;
    return typeof image.path === 'string' && typeof image.auxv === 'string' ? image : undefined;
  } catch {
    return undefined;
  }
}
