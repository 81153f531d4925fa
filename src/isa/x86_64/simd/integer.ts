/**
 * Meaning of the integer vector instructions as functions over v128, shared by their SSE, MMX and VEX forms.
 * `a` is the first source (the destination of the two-operand forms), `b` the second. MMX forms pass values whose upper
 * half is zero and use the lower half of the result, unless a function says otherwise.
 */
import type { Builder, Value } from '../../../ir/builder.ts';
import { pool, pooled } from './constants.ts';

export type Unary = (ir: Builder, a: Value) => Value;
export type Binary = (ir: Builder, a: Value, b: Value) => Value;

const range = (n: number, f: (k: number) => number): number[] => Array.from({ length: n }, (_, k) => f(k));
export const zero = (ir: Builder): Value => ir.const128(new Uint8Array(16));
const splat32 = (ir: Builder, n: number): Value => ir.const128(range(16, (k) => (n >>> (8 * (k & 3))) & 255));
const splat16 = (ir: Builder, n: number): Value => ir.const128(range(16, (k) => (n >>> (8 * (k & 1))) & 255));
const splat8 = (ir: Builder, n: number): Value => ir.const128(range(16, () => n));
/** Lane numbers of a shuffle by lanes of `size` bytes. */
const lanes = (size: number, ...order: number[]): number[] => order.flatMap((lane) => range(size, (k) => lane * size + k));

/** pmulhw, pmulhuw: the upper 16 bits of the products. */
const highProducts = (signed: boolean): Binary => (ir, a, b) => {
  const low = signed ? ir.i32x4.extmul_low_i16x8_s(a, b) : ir.i32x4.extmul_low_i16x8_u(a, b);
  const high = signed ? ir.i32x4.extmul_high_i16x8_s(a, b) : ir.i32x4.extmul_high_i16x8_u(a, b);
  return ir.shuffle(low, high, lanes(2, 1, 3, 5, 7, 9, 11, 13, 15));
};

/** Products of the even 32-bit lanes. */
const evenProducts = (signed: boolean): Binary => (ir, a, b) => {
  const x = ir.shuffle(a, a, lanes(4, 0, 2, 0, 2));
  const y = a === b ? x : ir.shuffle(b, b, lanes(4, 0, 2, 0, 2));
  return signed ? ir.i64x2.extmul_low_i32x4_s(x, y) : ir.i64x2.extmul_low_i32x4_u(x, y);
};

/** 0x8000 × 0x8000 gives 0x8000 here, where the wasm operation saturates to 0x7fff. */
const pmulhrsw: Binary = (ir, a, b) => {
  const least = splat16(ir, 0x8000);
  const both = ir.v128.and(ir.i16x8.eq(a, least), ir.i16x8.eq(b, least));
  return ir.v128.xor(ir.i16x8.q15mulr_sat_s(a, b), both);
};

/** Unsigned bytes of `a` times signed bytes of `b`, neighbours added with signed saturation. */
const pmaddubsw: Binary = (ir, a, b) => {
  const eight = ir.const32(8);
  const even = ir.i16x8.mul(ir.v128.and(a, splat16(ir, 0xff)), ir.i16x8.shr_s(ir.i16x8.shl(b, eight), eight));
  const odd = ir.i16x8.mul(ir.i16x8.shr_u(a, eight), ir.i16x8.shr_s(b, eight));
  return ir.i16x8.add_sat_s(even, odd);
};

/** Sum of absolute differences of each eight bytes, as two 64-bit numbers. */
const psadbw: Binary = (ir, a, b) => {
  const difference = ir.v128.or(ir.i8x16.sub_sat_u(a, b), ir.i8x16.sub_sat_u(b, a));
  const sums = ir.i32x4.extadd_pairwise_i16x8_u(ir.i16x8.extadd_pairwise_i8x16_u(difference));
  return ir.i64x2.add(ir.v128.and(sums, ir.const128(range(16, (k) => (k % 8 < 4 ? 255 : 0)))), ir.i64x2.shr_u(sums, ir.const32(32)));
};

const sign = (shape: 'i8x16' | 'i16x8' | 'i32x4', bits: number): Binary => (ir, a, b) => {
  const negative = ir[shape].shr_s(b, ir.const32(bits - 1));
  const signed = ir[shape].sub(ir.v128.xor(a, negative), negative);
  return ir.v128.andnot(signed, ir[shape].eq(b, zero(ir)));
};

/** Lane-wise operations and others whose MMX form is the lower half of the XMM form. By mnemonic. */
export const LANEWISE = {
  paddb: (ir, a, b) => ir.i8x16.add(a, b),
  paddw: (ir, a, b) => ir.i16x8.add(a, b),
  paddd: (ir, a, b) => ir.i32x4.add(a, b),
  paddq: (ir, a, b) => ir.i64x2.add(a, b),
  psubb: (ir, a, b) => ir.i8x16.sub(a, b),
  psubw: (ir, a, b) => ir.i16x8.sub(a, b),
  psubd: (ir, a, b) => ir.i32x4.sub(a, b),
  psubq: (ir, a, b) => ir.i64x2.sub(a, b),
  paddsb: (ir, a, b) => ir.i8x16.add_sat_s(a, b),
  paddsw: (ir, a, b) => ir.i16x8.add_sat_s(a, b),
  paddusb: (ir, a, b) => ir.i8x16.add_sat_u(a, b),
  paddusw: (ir, a, b) => ir.i16x8.add_sat_u(a, b),
  psubsb: (ir, a, b) => ir.i8x16.sub_sat_s(a, b),
  psubsw: (ir, a, b) => ir.i16x8.sub_sat_s(a, b),
  psubusb: (ir, a, b) => ir.i8x16.sub_sat_u(a, b),
  psubusw: (ir, a, b) => ir.i16x8.sub_sat_u(a, b),
  pmullw: (ir, a, b) => ir.i16x8.mul(a, b),
  pmulhw: highProducts(true),
  pmulhuw: highProducts(false),
  pmaddwd: (ir, a, b) => ir.i32x4.dot_i16x8_s(a, b),
  pmuludq: evenProducts(false),
  pand: (ir, a, b) => ir.v128.and(a, b),
  pandn: (ir, a, b) => ir.v128.andnot(b, a),
  por: (ir, a, b) => ir.v128.or(a, b),
  pxor: (ir, a, b) => (a === b ? zero(ir) : ir.v128.xor(a, b)),
  pcmpeqb: (ir, a, b) => (a === b ? splat8(ir, 255) : ir.i8x16.eq(a, b)),
  pcmpeqw: (ir, a, b) => (a === b ? splat8(ir, 255) : ir.i16x8.eq(a, b)),
  pcmpeqd: (ir, a, b) => (a === b ? splat8(ir, 255) : ir.i32x4.eq(a, b)),
  pcmpgtb: (ir, a, b) => ir.i8x16.gt_s(a, b),
  pcmpgtw: (ir, a, b) => ir.i16x8.gt_s(a, b),
  pcmpgtd: (ir, a, b) => ir.i32x4.gt_s(a, b),
  pavgb: (ir, a, b) => ir.i8x16.avgr_u(a, b),
  pavgw: (ir, a, b) => ir.i16x8.avgr_u(a, b),
  pmaxub: (ir, a, b) => ir.i8x16.max_u(a, b),
  pminub: (ir, a, b) => ir.i8x16.min_u(a, b),
  pmaxsw: (ir, a, b) => ir.i16x8.max_s(a, b),
  pminsw: (ir, a, b) => ir.i16x8.min_s(a, b),
  psadbw,
  psignb: sign('i8x16', 8),
  psignw: sign('i16x8', 16),
  psignd: sign('i32x4', 32),
  pmulhrsw,
  pmaddubsw,
  punpcklbw: (ir, a, b) => ir.shuffle(a, b, [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23]),
  punpcklwd: (ir, a, b) => ir.shuffle(a, b, lanes(2, 0, 8, 1, 9, 2, 10, 3, 11)),
  punpckldq: (ir, a, b) => ir.shuffle(a, b, lanes(4, 0, 4, 1, 5)),
} as const satisfies Record<string, Binary>;

/** What a PSHUFB index byte is made of. */
const INDEX_BITS = pool(new Uint8Array(16).fill(0x8f));

/** Operations with an XMM form only (or whose MMX form differs: see MMX_OWN). */
export const WIDE = {
  punpcklqdq: (ir, a, b) => ir.shuffle(a, b, lanes(8, 0, 2)),
  punpckhbw: (ir, a, b) => ir.shuffle(a, b, [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31]),
  punpckhwd: (ir, a, b) => ir.shuffle(a, b, lanes(2, 4, 12, 5, 13, 6, 14, 7, 15)),
  punpckhdq: (ir, a, b) => ir.shuffle(a, b, lanes(4, 2, 6, 3, 7)),
  punpckhqdq: (ir, a, b) => ir.shuffle(a, b, lanes(8, 1, 3)),
  packsswb: (ir, a, b) => ir.i8x16.narrow_i16x8_s(a, b),
  packuswb: (ir, a, b) => ir.i8x16.narrow_i16x8_u(a, b),
  packssdw: (ir, a, b) => ir.i16x8.narrow_i32x4_s(a, b),
  packusdw: (ir, a, b) => ir.i16x8.narrow_i32x4_u(a, b),
  pcmpeqq: (ir, a, b) => (a === b ? splat8(ir, 255) : ir.i64x2.eq(a, b)),
  pcmpgtq: (ir, a, b) => ir.i64x2.gt_s(a, b),
  pmaxsb: (ir, a, b) => ir.i8x16.max_s(a, b),
  pminsb: (ir, a, b) => ir.i8x16.min_s(a, b),
  pmaxuw: (ir, a, b) => ir.i16x8.max_u(a, b),
  pminuw: (ir, a, b) => ir.i16x8.min_u(a, b),
  pmaxsd: (ir, a, b) => ir.i32x4.max_s(a, b),
  pminsd: (ir, a, b) => ir.i32x4.min_s(a, b),
  pmaxud: (ir, a, b) => ir.i32x4.max_u(a, b),
  pminud: (ir, a, b) => ir.i32x4.min_u(a, b),
  pmuldq: evenProducts(true),
  pmulld: (ir, a, b) => ir.i32x4.mul(a, b),
  /** An index byte with bit 7 gives 0; otherwise its low four bits count. */
  pshufb: (ir, a, b) => ir.i8x16.relaxed_swizzle(a, ir.v128.and(b, pooled(ir, INDEX_BITS))),
  phaddw: (ir, a, b) => ir.i16x8.add(evenWords(ir, a, b), oddWords(ir, a, b)),
  phaddd: (ir, a, b) => ir.i32x4.add(evenDwords(ir, a, b), oddDwords(ir, a, b)),
  phaddsw: (ir, a, b) => ir.i16x8.add_sat_s(evenWords(ir, a, b), oddWords(ir, a, b)),
  phsubw: (ir, a, b) => ir.i16x8.sub(evenWords(ir, a, b), oddWords(ir, a, b)),
  phsubd: (ir, a, b) => ir.i32x4.sub(evenDwords(ir, a, b), oddDwords(ir, a, b)),
  phsubsw: (ir, a, b) => ir.i16x8.sub_sat_s(evenWords(ir, a, b), oddWords(ir, a, b)),
} as const satisfies Record<string, Binary>;
export const evenDwords: Binary = (ir, a, b) => ir.shuffle(a, b, lanes(4, 0, 2, 4, 6));
export const oddDwords: Binary = (ir, a, b) => ir.shuffle(a, b, lanes(4, 1, 3, 5, 7));
function evenWords(ir: Builder, a: Value, b: Value): Value {
  return ir.shuffle(a, b, lanes(2, 0, 2, 4, 6, 8, 10, 12, 14));
}
function oddWords(ir: Builder, a: Value, b: Value): Value {
  return ir.shuffle(a, b, lanes(2, 1, 3, 5, 7, 9, 11, 13, 15));
}

/** MMX forms that are not the lower half of the XMM form: the lower halves of both sources side by side first. */
const paired = (wide: Binary): Binary => (ir, a, b) => {
  const pair = WIDE.punpcklqdq(ir, a, b);
  return wide(ir, pair, pair);
};
/** The upper half of the low interleave. */
const upper = (low: Binary): Binary => (ir, a, b) => {
  const v = low(ir, a, b);
  return ir.shuffle(v, v, lanes(8, 1, 1));
};
export const MMX_OWN = {
  packsswb: paired(WIDE.packsswb),
  packuswb: paired(WIDE.packuswb),
  packssdw: paired(WIDE.packssdw),
  punpckhbw: upper(LANEWISE.punpcklbw),
  punpckhwd: upper(LANEWISE.punpcklwd),
  punpckhdq: upper(LANEWISE.punpckldq),
  phaddw: paired(WIDE.phaddw),
  phaddd: paired(WIDE.phaddd),
  phaddsw: paired(WIDE.phaddsw),
  phsubw: paired(WIDE.phsubw),
  phsubd: paired(WIDE.phsubd),
  phsubsw: paired(WIDE.phsubsw),
  pshufb: (ir, a, b) => ir.i8x16.relaxed_swizzle(a, ir.v128.and(b, splat8(ir, 0x87))),
} as const satisfies Record<string, Binary>;

export const ABSOLUTE = {
  pabsb: (ir, a) => ir.i8x16.abs(a),
  pabsw: (ir, a) => ir.i16x8.abs(a),
  pabsd: (ir, a) => ir.i32x4.abs(a),
} as const satisfies Record<string, Unary>;

/** pmovsx, pmovzx: [operation, bytes of the source used]. */
export const WIDEN = {
  pmovsxbw: [(ir, a) => ir.i16x8.extend_low_i8x16_s(a), 8],
  pmovsxbd: [(ir, a) => ir.i32x4.extend_low_i16x8_s(ir.i16x8.extend_low_i8x16_s(a)), 4],
  pmovsxbq: [(ir, a) => ir.i64x2.extend_low_i32x4_s(ir.i32x4.extend_low_i16x8_s(ir.i16x8.extend_low_i8x16_s(a))), 2],
  pmovsxwd: [(ir, a) => ir.i32x4.extend_low_i16x8_s(a), 8],
  pmovsxwq: [(ir, a) => ir.i64x2.extend_low_i32x4_s(ir.i32x4.extend_low_i16x8_s(a)), 4],
  pmovsxdq: [(ir, a) => ir.i64x2.extend_low_i32x4_s(a), 8],
  pmovzxbw: [(ir, a) => ir.i16x8.extend_low_i8x16_u(a), 8],
  pmovzxbd: [(ir, a) => ir.i32x4.extend_low_i16x8_u(ir.i16x8.extend_low_i8x16_u(a)), 4],
  pmovzxbq: [(ir, a) => ir.i64x2.extend_low_i32x4_u(ir.i32x4.extend_low_i16x8_u(ir.i16x8.extend_low_i8x16_u(a))), 2],
  pmovzxwd: [(ir, a) => ir.i32x4.extend_low_i16x8_u(a), 8],
  pmovzxwq: [(ir, a) => ir.i64x2.extend_low_i32x4_u(ir.i32x4.extend_low_i16x8_u(a)), 4],
  pmovzxdq: [(ir, a) => ir.i64x2.extend_low_i32x4_u(a), 8],
} as const satisfies Record<string, readonly [Unary, number]>;

// ---- shifts ----

type ShiftShape = 'i16x8' | 'i32x4' | 'i64x2';
type ShiftKind = 'shl' | 'shr_s' | 'shr_u';
export interface Shift {
  readonly shape: ShiftShape;
  readonly kind: ShiftKind;
  readonly bits: number;
}
export const SHIFTS = {
  psllw: { shape: 'i16x8', kind: 'shl', bits: 16 },
  pslld: { shape: 'i32x4', kind: 'shl', bits: 32 },
  psllq: { shape: 'i64x2', kind: 'shl', bits: 64 },
  psrlw: { shape: 'i16x8', kind: 'shr_u', bits: 16 },
  psrld: { shape: 'i32x4', kind: 'shr_u', bits: 32 },
  psrlq: { shape: 'i64x2', kind: 'shr_u', bits: 64 },
  psraw: { shape: 'i16x8', kind: 'shr_s', bits: 16 },
  psrad: { shape: 'i32x4', kind: 'shr_s', bits: 32 },
} as const satisfies Record<string, Shift>;

/** Shift by an immediate: from the lane width on, zero or the sign. */
export function shiftBy(ir: Builder, { shape, kind, bits }: Shift, a: Value, count: number): Value {
  if (count >= bits) return kind === 'shr_s' ? ir[shape].shr_s(a, ir.const32(bits - 1)) : zero(ir);
  return count === 0 ? a : ir[shape][kind](a, ir.const32(count));
}
/** Shift by the low 64 bits of a vector. */
export function shiftByVector(ir: Builder, { shape, kind, bits }: Shift, a: Value, counts: Value): Value {
  const count = ir.i64x2.extract_lane(counts, 0);
  const within = ir.i64.lt_u(count, ir.const64(bits));
  const small = ir.i32.wrap_i64(count);
  if (kind === 'shr_s') return ir[shape].shr_s(a, ir.select(within, small, ir.const32(bits - 1)));
  // a mask rather than a select of vectors, which the engine compiles to a branch
  const keep = ir.i32x4.splat(ir.i32.sub(ir.const32(0), within));
  return ir.v128.and(ir[shape][kind](a, small), keep);
}
/** pslldq, psrldq: by bytes. */
export function shiftBytesLeft(ir: Builder, a: Value, count: number): Value {
  return count > 15 ? zero(ir) : ir.shuffle(zero(ir), a, range(16, (k) => 16 + k - count));
}
export function shiftBytesRight(ir: Builder, a: Value, count: number): Value {
  return count > 15 ? zero(ir) : ir.shuffle(a, zero(ir), range(16, (k) => k + count));
}

// ---- shuffles by immediate ----

export const pshufd = (ir: Builder, a: Value, imm: number): Value => ir.shuffle(a, a, lanes(4, ...range(4, (k) => (imm >> (2 * k)) & 3)));
/** The low four words; with MMX pshufw. */
export const pshuflw = (ir: Builder, a: Value, imm: number): Value => ir.shuffle(a, a, lanes(2, ...range(8, (k) => (k < 4 ? (imm >> (2 * k)) & 3 : k))));
export const pshufhw = (ir: Builder, a: Value, imm: number): Value => ir.shuffle(a, a, lanes(2, ...range(8, (k) => (k < 4 ? k : 4 + ((imm >> (2 * (k - 4))) & 3)))));
export const shufps = (ir: Builder, a: Value, b: Value, imm: number): Value => ir.shuffle(a, b, lanes(4, ...range(4, (k) => ((imm >> (2 * k)) & 3) + (k < 2 ? 0 : 4))));
export const shufpd = (ir: Builder, a: Value, b: Value, imm: number): Value => ir.shuffle(a, b, lanes(8, imm & 1, 2 + ((imm >> 1) & 1)));
/** `a:b` shifted right by bytes; `size` 16, or 8 for the MMX form. */
export function palignr(ir: Builder, a: Value, b: Value, imm: number, size: 8 | 16): Value {
  if (size === 8) return shiftBytesRight(ir, WIDE.punpcklqdq(ir, b, a), imm);
  if (imm >= 16) return shiftBytesRight(ir, a, imm - 16);
  return ir.shuffle(b, a, range(16, (k) => k + imm));
}
/** Lanes of `size` bytes from `b` where the immediate has a 1. */
export const blend = (ir: Builder, a: Value, b: Value, imm: number, size: 2 | 4 | 8): Value =>
  ir.shuffle(a, b, range(16, (k) => ((imm >> Math.floor(k / size)) & 1 ? 16 + k : k)));
/** pblendvb, blendvps, blendvpd: lanes from `b` where the mask lane is negative. */
export function blendBySign(ir: Builder, a: Value, b: Value, mask: Value, size: 1 | 4 | 8): Value {
  const full = size === 1 ? ir.i8x16.shr_s(mask, ir.const32(7)) : size === 4 ? ir.i32x4.shr_s(mask, ir.const32(31)) : ir.i64x2.lt_s(mask, zero(ir));
  return ir.v128.bitselect(b, a, full);
}

// ---- horizontal searches ----

/** Smallest word in bits 15:0, its position in 18:16, the rest zero. Position is put below the value, so one minimum finds both. */
export const phminposuw: Unary = (ir, a) => {
  const low = ir.v128.or(ir.i32x4.shl(ir.i32x4.extend_low_i16x8_u(a), ir.const32(3)), ir.const128(lanesOf32(0, 1, 2, 3)));
  const high = ir.v128.or(ir.i32x4.shl(ir.i32x4.extend_high_i16x8_u(a), ir.const32(3)), ir.const128(lanesOf32(4, 5, 6, 7)));
  const four = ir.i32x4.min_u(low, high);
  const two = ir.i32x4.min_u(four, ir.shuffle(four, four, lanes(4, 2, 3, 0, 1)));
  const one = ir.i32x4.extract_lane(ir.i32x4.min_u(two, ir.shuffle(two, two, lanes(4, 1, 0, 3, 2))), 0);
  const result = ir.i32.or(ir.i32.shr_u(one, ir.const32(3)), ir.i32.shl(ir.i32.and(one, ir.const32(7)), ir.const32(16)));
  return ir.i32x4.replace_lane(zero(ir), 0, result);
};
const lanesOf32 = (...n: number[]): number[] => n.flatMap((v) => [v & 255, (v >> 8) & 255, (v >> 16) & 255, (v >> 24) & 255]);

/** Eight sums of absolute differences of four bytes: blocks of `a` from imm[2]·4 on, one block of `b` at imm[1:0]·4. */
export function mpsadbw(ir: Builder, a: Value, b: Value, imm: number): Value {
  const from = ((imm >> 2) & 1) * 4;
  const block = (imm & 3) * 4;
  let sum: Value | undefined;
  for (let j = 0; j < 4; j++) {
    const x = ir.i16x8.extend_low_i8x16_u(ir.shuffle(a, a, range(16, (k) => Math.min(15, from + j + k))));
    const y = ir.i16x8.extend_low_i8x16_u(ir.shuffle(b, b, range(16, () => block + j)));
    const difference = ir.i16x8.abs(ir.i16x8.sub(x, y));
    sum = sum === undefined ? difference : ir.i16x8.add(sum, difference);
  }
  return sum as Value;
}

/** Constants other files need. */
export const constants = { splat8, splat16, splat32, lanes };
