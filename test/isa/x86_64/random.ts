/** Seeded random numbers and the operand values that find mistakes. Deterministic for a seed. */

export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  /** 32 random bits (mulberry32). */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(n: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * n);
  }
  chance(p: number): boolean {
    return this.u32() < p * 0x1_0000_0000;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }
}

const EDGES64 = [
  0n, 1n, 2n, 3n, 7n, 8n, 15n, 16n, 31n, 32n, 33n, 63n, 64n, 65n, 127n, 128n, 255n, 256n, 0x7fffn, 0x8000n, 0xffffn, 0x1_0000n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_fffen, 0xffff_ffff_8000_0000n, 0xffff_ffff_7fff_ffffn, 0x8080_8080_8080_8080n, 0x5555_5555_5555_5555n, 0x0123_4567_89ab_cdefn,
];
/** f32 bits: zeros, ones, denormals, limits, infinities, quiet and signalling NaNs, halves, the edges of i32 and i64. */
const EDGES_F32 = [
  0, 0x80000000, 0x3f800000, 0xbf800000, 1, 0x80000001, 0x007fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000,
  0x7fc00000, 0xffc00000, 0x7fc01234, 0xffe5a5a5, 0x7f800001, 0xff812345, 0x7fbfffff, 0x3f000000, 0xbf000000, 0x3fc00000, 0x40200000, 0xc0200000, 0x3effffff, 0x4b000000, 0x4b000001, 0x4b7fffff,
  0x4effffff, 0x4f000000, 0xcf000000, 0xcf000001, 0x4f7fffff, 0x4f800000, 0x5effffff, 0x5f000000, 0xdf000000, 0xdf000001, 0x42f6e979, 0x40490fdb,
];
const EDGES_F64 = [
  0n, 1n << 63n, 0x3ff0000000000000n, 0xbff0000000000000n, 1n, 0x8000000000000001n, 0x000fffffffffffffn, 0x0010000000000000n, 0x7fefffffffffffffn, 0xffefffffffffffffn, 0x7ff0000000000000n, 0xfff0000000000000n,
  0x7ff8000000000000n, 0xfff8000000000000n, 0x7ff8000000001234n, 0xfffc5a5a5a5a5a5an, 0x7ff0000000000001n, 0xfff4123456789abcn, 0x3fe0000000000000n, 0xbfe0000000000000n, 0x3ff8000000000000n, 0x4004000000000000n, 0xc004000000000000n, 0x3fdfffffffffffffn,
  0x41dfffffffc00000n, 0x41dfffffffe00000n, 0x41e0000000000000n, 0xc1e0000000000000n, 0xc1e0000000100000n, 0xc1e0000000200000n, 0x43dfffffffffffffn, 0x43e0000000000000n, 0xc3e0000000000000n, 0xc3e0000000000001n,
  0x4330000000000000n, 0x4330000000000001n, 0x47efffffe0000000n, 0x47effffff0000000n, 0x3810000000000000n, 0x36a0000000000000n, 0x369fffffffffffffn, 0x400921fb54442d18n,
];

export function integer64(random: Random): bigint {
  switch (random.below(4)) {
    case 0:
      return random.u64();
    case 1:
      return BigInt.asIntN(64, BigInt(random.u32() >> random.below(32))) & 0xffff_ffff_ffff_ffffn;
    default:
      return random.pick(EDGES64);
  }
}

/** Fill `target` with lanes of one kind, chosen at random: bytes, words, dwords, qwords, floats, doubles, text. */
export function fillVector(random: Random, target: Uint8Array): void {
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  const n = target.length;
  switch (random.below(8)) {
    case 0:
      for (let k = 0; k < n; k++) target[k] = random.u32();
      return;
    case 1:
      for (let k = 0; k < n; k++) target[k] = random.pick([0, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff, 0x0f, 0x10, random.u32()]);
      return;
    case 2:
      for (let k = 0; k < n; k += 2) view.setUint16(k, random.pick([0, 1, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff, 0xff, 0x100, random.u32() & 0xffff]), true);
      return;
    case 3:
      for (let k = 0; k < n; k += 8) view.setBigUint64(k, integer64(random), true);
      return;
    case 4:
      // text: few different characters and zeros, for the string instructions
      for (let k = 0; k < n; k++) target[k] = random.pick([0, 97, 98, 99, 97, 98, 200]);
      return;
    case 5:
      for (let k = 0; k < n; k += 4) {
        if (random.chance(0.3)) view.setFloat32(k, (random.u32() - 2 ** 31) / 2 ** random.below(40), true);
        else view.setUint32(k, random.pick(EDGES_F32), true);
      }
      return;
    default:
      for (let k = 0; k < n; k += 8) {
        if (random.chance(0.3)) view.setFloat64(k, (random.u32() - 2 ** 31) / 2 ** random.below(40), true);
        else view.setBigUint64(k, random.pick(EDGES_F64), true);
      }
  }
}
/** Values for one run: all lanes f32, all lanes f64, or mixed. */
export function fillVectors(random: Random, target: Uint8Array, count: number): void {
  const style = random.below(5);
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < count; i++) {
    if (style === 0) for (let k = 0; k < 16; k += 4) view.setUint32(16 * i + k, random.chance(0.4) ? random.u32() : random.pick(EDGES_F32), true);
    else if (style === 1) for (let k = 0; k < 16; k += 8) view.setBigUint64(16 * i + k, random.chance(0.4) ? random.u64() : random.pick(EDGES_F64), true);
    else fillVector(random, target.subarray(16 * i, 16 * i + 16));
  }
}
