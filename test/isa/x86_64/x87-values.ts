/** Seeded x87 operands that find mistakes: values near each other, at the edges of the formats, halfway, malformed. */
import type { NativeState } from './native-executor.ts';
import type { Random } from './random.ts';

/** Significand with explicit integer bit; sign and biased exponent. */
export interface Ext {
  readonly sig: bigint;
  readonly se: number;
}
const MSB = 1n << 63n;
const ALL = (1n << 64n) - 1n;

export function significand(random: Random): bigint {
  switch (random.below(8)) {
    case 0:
      return MSB;
    case 1:
      return ALL;
    case 2:
      return MSB | (1n << BigInt(random.below(63)));
    case 3:
      return MSB | (random.u64() & random.u64() & random.u64() & random.u64());
    case 4:
      return (ALL << BigInt(random.below(64))) & ALL;
    case 5: // halfway for single precision
      return ((MSB | random.u64()) & (ALL << 40n) & ALL) | (1n << 39n);
    default:
      return MSB | random.u64();
  }
}
const clamp = (e: number): number => Math.max(0, Math.min(0x7fff, e));
/** Any value; often one whose exponent is near `near`'s. */
export function ext(random: Random, near?: Ext): Ext {
  const sign = random.below(2) << 15;
  const kind = random.below(24);
  switch (kind) {
    case 0:
      return { sig: 0n, se: sign };
    case 1:
      return { sig: MSB, se: sign | 0x7fff };
    case 2: // NaN, quiet or signalling
      return { sig: significand(random) | MSB, se: sign | 0x7fff };
    case 3: // denormal
      return { sig: random.u64() >> BigInt(random.below(64)), se: sign };
    case 4: // unnormal, pseudo-NaN, pseudo-infinity
      return { sig: random.u64() >> BigInt(1 + random.below(63)), se: sign | random.below(0x8000) };
    case 5: // pseudo-denormal
      return { sig: MSB | random.u64(), se: sign };
    case 6:
      return { sig: significand(random), se: sign | (1 + random.below(70)) };
    case 7:
      return { sig: significand(random), se: sign | (0x7ffe - random.below(70)) };
    case 8:
      return { sig: significand(random), se: sign | random.below(0x8000) };
    case 9: // about an integer of up to 64 bits
      return { sig: (MSB | random.u64()) & (ALL << BigInt(random.below(64))) & ALL, se: sign | (0x3ffc + random.below(70)) };
    default:
      if (near !== undefined && kind < 20) return { sig: random.chance(0.3) ? near.sig : significand(random), se: sign | clamp((near.se & 0x7fff) + random.below(140) - 70) };
      return { sig: significand(random), se: sign | (0x3fff - 70 + random.below(140)) };
  }
}
/** Control word: all precisions and roundings, mostly with everything masked. */
export function control(random: Random): number {
  const masks = random.chance(0.7) ? 0x33f : (random.below(4) << 8) | random.below(64);
  return masks | 0x40 | (random.below(4) << 10);
}

/** Give the x87 part of `state` such values; `room`: no fault of the stack on push or pop. */
export function fillX87(random: Random, state: NativeState, room = false): void {
  const view = new DataView(state.fx.buffer, state.fx.byteOffset);
  const first = ext(random);
  const product = random.chance(0.2) ? 0x3fff - (first.se & 0x7fff) + (random.chance(0.5) ? 0 : 0x7fff) : undefined;
  for (let i = 0; i < 8; i++) {
    let v = i === 0 ? first : ext(random, first);
    // products and quotients at the ends of the exponent range
    if (i > 0 && product !== undefined) v = { sig: significand(random) | MSB, se: (random.below(2) << 15) | clamp(product + random.below(140) - 70) };
    view.setBigUint64(32 + 16 * i, v.sig, true);
    view.setUint16(40 + 16 * i, v.se, true);
  }
  const word = control(random);
  const top = random.below(8);
  let raised = random.chance(0.3) ? random.below(64) : 0;
  if (random.chance(0.95)) raised &= word; // else an exception is pending
  view.setUint16(0, word, true);
  const pending = raised & ~word & 0x3f ? 0x8080 : 0;
  view.setUint16(2, (top << 11) | (random.u32() & 0x4700) | raised | pending, true);
  let tags = 0xff;
  if (!room && random.chance(0.25)) tags = random.below(256);
  else if (room || random.chance(0.5)) tags = 0xff & ~(1 << ((top + 7) & 7));
  view.setUint8(4, tags);
}

/** A memory operand of each kind at `at`. */
export function fillOperand(random: Random, view: DataView, at: number, kind: 'float' | 'double' | 'extended' | 'integer' | 'decimal' | 'environment'): void {
  const sign = BigInt(random.below(2));
  switch (kind) {
    case 'float': {
      const e = BigInt(random.pick([0, 0, 0xff, 0xff, 1, 0xfe, random.below(256), 97 + random.below(60)]));
      const fraction = random.chance(0.2) ? 0n : (significand(random) >> 8n) & (random.chance(0.2) ? 0x400000n : 0x7fffffn);
      view.setUint32(at, Number((sign << 31n) | (e << 23n) | fraction), true);
      break;
    }
    case 'double': {
      const e = BigInt(random.pick([0, 0, 0x7ff, 0x7ff, 1, 0x7fe, random.below(2048), 973 + random.below(100)]));
      const fraction = random.chance(0.2) ? 0n : significand(random) & 0xfffffffffffffn;
      view.setBigUint64(at, (sign << 63n) | (e << 52n) | fraction, true);
      break;
    }
    case 'extended': {
      const v = ext(random);
      view.setBigUint64(at, v.sig, true);
      view.setUint16(at + 8, v.se, true);
      break;
    }
    case 'integer':
      view.setBigUint64(at, random.chance(0.25) ? random.pick([0n, MSB, ALL, 1n, 0x80008000n, 0x80000000n, 0x7fffn]) : BigInt.asUintN(64, BigInt.asIntN(64, random.u64()) >> BigInt(random.below(64))), true);
      break;
    case 'decimal':
      for (let k = 0; k < 9; k++) view.setUint8(at + k, random.chance(0.7) ? (random.below(10) << 4) | random.below(10) : random.chance(0.9) ? 0 : random.below(256));
      view.setUint8(at + 9, (random.below(2) << 7) | (random.chance(0.2) ? random.below(128) : 0));
      break;
    case 'environment':
      for (let k = 0; k < 108; k += 4) view.setUint32(at + k, random.u32(), true);
      view.setUint16(at, control(random), true);
      if (random.chance(0.6)) view.setUint16(at + 4, random.u32() & ~0x3f, true);
      if (random.chance(0.5)) view.setUint16(at + 8, 0, true);
      break;
  }
}
