/**
 * A byte buffer with labels, enough to write a few dozen machine instructions by hand. Knows nothing of an
 * instruction set except that x86 jumps hold 32-bit distances from the end of the field.
 */

export class Assembler {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: { at: number; label: string }[] = [];

  /** Offset of the next byte. */
  get offset(): number {
    return this.#bytes.length;
  }

  bytes(...bytes: number[]): this {
    this.#bytes.push(...bytes);
    return this;
  }

  u32(value: number): this {
    return this.bytes(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, (value >>> 24) & 0xff);
  }

  u64(value: number | bigint): this {
    const v = BigInt.asUintN(64, BigInt(value));
    return this.u32(Number(v & 0xffff_ffffn)).u32(Number(v >> 32n));
  }

  label(name: string): this {
    if (this.#labels.has(name)) throw new Error(`label ${name} stands twice`);
    this.#labels.set(name, this.offset);
    return this;
  }

  /** A 32-bit distance from the end of this field to `label`. */
  relative(label: string): this {
    this.#fixups.push({ at: this.offset, label });
    return this.u32(0);
  }

  align(boundary: number, filler: number): this {
    while (this.offset % boundary !== 0) this.bytes(filler);
    return this;
  }

  labelOffset(name: string): number {
    const offset = this.#labels.get(name);
    if (offset === undefined) throw new Error(`label ${name} is missing`);
    return offset;
  }

  finish(): Uint8Array {
    const code = Uint8Array.from(this.#bytes);
    const view = new DataView(code.buffer);
    for (const { at, label } of this.#fixups) view.setInt32(at, this.labelOffset(label) - at - 4, true);
    return code;
  }
}
