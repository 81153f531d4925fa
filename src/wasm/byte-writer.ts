/** A growing byte buffer with the number encodings of the WebAssembly binary format. */
export class ByteWriter {
  bytes = new Uint8Array(1024);
  length = 0;

  reset(): void {
    this.length = 0;
  }
  u8(x: number): void {
    if (this.length === this.bytes.length) this.#grow(1);
    this.bytes[this.length++] = x;
  }
  /** Unsigned LEB128 of an integer below 2^53. */
  u32(x: number): void {
    while (x > 127) {
      this.u8((x & 0x7f) | 0x80);
      x = x > 0xffffffff ? Math.floor(x / 128) : x >>> 7;
    }
    this.u8(x);
  }
  s32(x: number): void {
    for (;;) {
      const byte = x & 0x7f;
      x >>= 7;
      if ((x === 0 && (byte & 0x40) === 0) || (x === -1 && (byte & 0x40) !== 0)) {
        this.u8(byte);
        return;
      }
      this.u8(byte | 0x80);
    }
  }
  /** Signed LEB128 of the 64-bit integer with these words. */
  s64(lo: number, hi: number): void {
    lo |= 0;
    hi |= 0;
    for (;;) {
      const byte = lo & 0x7f;
      lo = (lo >>> 7) | (hi << 25);
      hi >>= 7;
      if ((hi === 0 && lo === 0 && (byte & 0x40) === 0) || (hi === -1 && lo === -1 && (byte & 0x40) !== 0)) {
        this.u8(byte);
        return;
      }
      this.u8(byte | 0x80);
    }
  }
  /** Four bytes, little-endian. */
  word(x: number): void {
    this.u8(x & 0xff);
    this.u8((x >>> 8) & 0xff);
    this.u8((x >>> 16) & 0xff);
    this.u8(x >>> 24);
  }
  raw(bytes: ArrayLike<number>, length = bytes.length): void {
    if (this.length + length > this.bytes.length) this.#grow(length);
    if (bytes instanceof Uint8Array)
      this.bytes.set(length === bytes.length ? bytes : bytes.subarray(0, length), this.length);
    else for (let i = 0; i < length; i++) this.bytes[this.length + i] = bytes[i] as number;
    this.length += length;
  }
  text(s: string): void {
    this.u32(s.length);
    for (let i = 0; i < s.length; i++) this.u8(s.charCodeAt(i));
  }
  /** A copy of what was written. */
  take(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length);
  }
  #grow(n: number): void {
    const bigger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + n));
    bigger.set(this.bytes.subarray(0, this.length));
    this.bytes = bigger;
  }
}
