/**
 * Product of polynomials over GF(2): 64 × 64 → 128 bits. Integer multiplication of operands with three zero bits between
 * two digits keeps the digits of the product apart: no digit is the sum of more than 16 products, and where it is 16, the
 * carry leaves the 64 bits. So 16 multiplications give the low half; the high half is the low half of the operands with
 * their bits reversed, reversed and shifted by one.
 */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import { pool, pooled } from './constants.ts';

const DIGITS = 0x1111_1111_1111_1111n;

function lowProduct(ir: Builder, x: Value, y: Value): Value {
  const { i64 } = ir;
  const spread = (v: Value): Value[] => [0n, 1n, 2n, 3n].map((k) => i64.and(v, ir.const64(DIGITS << k)));
  const a = spread(x);
  const b = spread(y);
  let result: Value | undefined;
  for (let digit = 0; digit < 4; digit++) {
    let sum: Value | undefined;
    for (let k = 0; k < 4; k++) {
      const product = i64.mul(a[k] as Value, b[(digit - k) & 3] as Value);
      sum = sum === undefined ? product : i64.xor(sum, product);
    }
    const part = i64.and(sum as Value, ir.const64(DIGITS << BigInt(digit)));
    result = result === undefined ? part : i64.or(result, part);
  }
  return result as Value;
}

const REVERSED = Array.from({ length: 16 }, (_, n) => ((n & 1) << 3) | ((n & 2) << 1) | ((n & 4) >> 1) | (n >> 3));
const REVERSED_HIGH = pool(REVERSED.map((n) => n << 4));
const REVERSED_LOW = pool(REVERSED);
const LOW_NIBBLES = pool(new Uint8Array(16).fill(15));
const BYTES_REVERSED = pool([7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8]);
/** Bit k of each 64-bit lane becomes bit 63 − k. */
function reverse(ir: Builder, v: Value): Value {
  const nibbles = pooled(ir, LOW_NIBBLES);
  const bytes = ir.i8x16.relaxed_swizzle(v, pooled(ir, BYTES_REVERSED));
  const low = ir.v128.and(bytes, nibbles);
  const high = ir.v128.and(ir.i16x8.shr_u(bytes, ir.const32(4)), nibbles);
  return ir.v128.or(ir.i8x16.relaxed_swizzle(pooled(ir, REVERSED_HIGH), low), ir.i8x16.relaxed_swizzle(pooled(ir, REVERSED_LOW), high));
}

/** The product of the two 64-bit lanes. */
export const CLMUL: Helper = {
  name: 'clmul',
  params: ['v128'],
  results: ['v128'],
  effect: 'pure',
  build(ir, pair) {
    const lane = ir.i64x2.extract_lane;
    const reversed = reverse(ir, pair as Value);
    const low = lowProduct(ir, lane(pair as Value, 0), lane(pair as Value, 1));
    const high = lowProduct(ir, lane(reversed, 0), lane(reversed, 1));
    const upper = ir.i64x2.shr_u(reverse(ir, ir.i64x2.splat(high)), ir.const32(1));
    ir.ret([ir.i64x2.replace_lane(upper, 0, low)]);
  },
};
