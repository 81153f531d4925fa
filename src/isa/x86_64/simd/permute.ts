/** AVX permutations by a vector of indices and shifts by a vector of counts, as functions over v128. */
import type { Builder, Value } from '../../../ir/builder.ts';
import { type Binary, constants, zero } from './integer.ts';

const { lanes, splat32 } = constants;
const bytes = (f: (k: number) => number): number[] => Array.from({ length: 16 }, (_, k) => f(k));

/** The byte numbers of lanes of `size` bytes whose numbers are in the low byte of each lane of `index`. */
function laneBytes(ir: Builder, index: Value, size: 4 | 8): Value {
  const scaled = ir.i32x4.shl(index, ir.const32(size === 4 ? 2 : 3));
  return ir.v128.or(ir.shuffle(scaled, scaled, bytes((k) => k - (k % size))), ir.const128(bytes((k) => k % size)));
}
/** vpermilps: lanes of `a` by bits 1:0 of the lanes of `b`. */
export const permuteDwordsWithin: Binary = (ir, a, b) => ir.i8x16.relaxed_swizzle(a, laneBytes(ir, ir.v128.and(b, splat32(ir, 3)), 4));
/** vpermilpd: lanes of `a` by bit 1 of the lanes of `b`. */
export const permuteQwordsWithin: Binary = (ir, a, b) => ir.i8x16.relaxed_swizzle(a, laneBytes(ir, ir.v128.and(ir.i64x2.shr_u(b, ir.const32(1)), splat32(ir, 1)), 8));
/** vpermd: dwords of the eight in `low` and `high` by bits 2:0 of `index`. An index of 16 bytes and more gives zero. */
export function permuteDwords(ir: Builder, low: Value, high: Value, index: Value): Value {
  const at = laneBytes(ir, ir.v128.and(index, splat32(ir, 7)), 4);
  const fromHigh = ir.i8x16.swizzle(high, ir.i8x16.sub(at, ir.const128(bytes(() => 16))));
  return ir.v128.or(ir.i8x16.swizzle(low, at), fromHigh);
}
/** vpermq: a quadword pair out of the four in `low` and `high`. */
export const pickQwords = (ir: Builder, low: Value, high: Value, imm: number): Value => ir.shuffle(low, high, lanes(8, imm & 3, (imm >> 2) & 3));

export type VariableShift = 'shl' | 'shr_u' | 'shr_s';
/** vpsllvd, vpsrlvd, vpsravd: each lane by its own count, one bit of the count after the other. */
export const shiftDwords = (kind: VariableShift): Binary => (ir, a, counts) => {
  const count = kind === 'shr_s' ? ir.i32x4.min_u(counts, splat32(ir, 31)) : counts;
  let v = a;
  for (let bit = 0; bit < 5; bit++) {
    const chosen = ir.i32x4.shr_s(ir.i32x4.shl(count, ir.const32(31 - bit)), ir.const32(31));
    v = ir.v128.bitselect(ir.i32x4[kind](v, ir.const32(1 << bit)), v, chosen);
  }
  return kind === 'shr_s' ? v : ir.v128.and(v, ir.i32x4.lt_u(counts, splat32(ir, 32)));
};
/** vpsllvq, vpsrlvq. */
export const shiftQwords = (kind: 'shl' | 'shr_u'): Binary => (ir, a, counts) => {
  let v = zero(ir);
  for (const lane of [0, 1]) {
    const count = ir.i64x2.extract_lane(counts, lane);
    const shifted = ir.i64[kind](ir.i64x2.extract_lane(a, lane), count);
    v = ir.i64x2.replace_lane(v, lane, ir.select(ir.i64.lt_u(count, ir.const64(64)), shifted, ir.const64(0)));
  }
  return v;
};
