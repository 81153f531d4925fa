/**
 * PCMPESTRI/M and PCMPISTRI/M (SDM volume 2, section 4.1). The immediate: [0] words instead of bytes, [1] signed, [3:2]
 * aggregation (equal any, ranges, equal each, equal ordered), [5:4] polarity, [6] most significant index / expanded mask.
 * One IR helper per aggregation and element form computes the bit mask "IntRes1"; the rest is inline.
 */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import { zero } from './integer.ts';

const count = (imm: number): 8 | 16 => (imm & 1 ? 8 : 16);
const shapeOf = (imm: number): 'i8x16' | 'i16x8' => (imm & 1 ? 'i16x8' : 'i8x16');

/** Elements before the first zero. */
export function implicitLength(ir: Builder, v: Value, imm: number): Value {
  const shape = shapeOf(imm);
  const zeros = ir[shape].bitmask(ir[shape].eq(v, zero(ir)));
  return ir.i32.ctz(ir.i32.or(zeros, ir.const32(1 << count(imm))));
}
/** |length| up to the number of elements; `length` is an i64. */
export function explicitLength(ir: Builder, length: Value, imm: number): Value {
  const n = count(imm);
  const sign = ir.i64.shr_s(length, ir.const64(63));
  const magnitude = ir.i64.sub(ir.i64.xor(length, sign), sign);
  return ir.select(ir.i64.lt_u(magnitude, ir.const64(n)), ir.i32.wrap_i64(magnitude), ir.const32(n));
}

const below = (ir: Builder, n: Value): Value => ir.i32.sub(ir.i32.shl(ir.const32(1), n), ir.const32(1));

/** Element `i` (an i32 value) of `v` in every lane. */
function broadcast(ir: Builder, v: Value, i: Value, imm: number): Value {
  if ((imm & 1) === 0) return ir.i8x16.swizzle(v, ir.i8x16.splat(i));
  const at = ir.i32.shl(i, ir.const32(1));
  return ir.i8x16.swizzle(v, ir.i16x8.splat(ir.i32.or(at, ir.i32.shl(ir.i32.add(at, ir.const32(1)), ir.const32(8)))));
}

/** (a, b, length of a, length of b) → mask over the elements of b, before polarity. `imm` & 15 only. */
function aggregate(ir: Builder, a: Value, b: Value, la: Value, lb: Value, imm: number): Value {
  const n = count(imm);
  const s = ir[shapeOf(imm)];
  const full = ir.const32((1 << n) - 1);
  const validB = below(ir, lb);
  const aggregation = (imm >> 2) & 3;
  if (aggregation === 2) {
    // equal each: both valid and equal, or both past their end
    const validA = below(ir, la);
    const equal = ir.i32.and(s.bitmask(s.eq(a, b)), ir.i32.and(validA, validB));
    return ir.i32.or(equal, ir.i32.and(full, ir.i32.xor(ir.i32.or(validA, validB), ir.const32(-1))));
  }
  const i = ir.temp('i32');
  const mask = ir.temp('i32');
  ir.set(i, ir.const32(0));
  ir.set(mask, aggregation === 3 ? full : ir.const32(0));
  const step = aggregation === 1 ? 2 : 1;
  // ranges take whole pairs only: an odd last element has no effect
  const end = aggregation === 1 ? ir.i32.and(la, ir.const32(-2)) : la;
  const done = ir.newBlock();
  const body = ir.newBlock();
  ir.branch(ir.i32.eqz(end), done, body);
  ir.begin(body);
  const k = ir.get(i);
  const x = broadcast(ir, a, k, imm);
  const old = ir.get(mask);
  if (aggregation === 0) ir.set(mask, ir.i32.or(old, s.bitmask(s.eq(b, x))));
  else if (aggregation === 1) {
    const high = broadcast(ir, a, ir.i32.add(k, ir.const32(1)), imm);
    const inside = imm & 2 ? ir.v128.and(s.ge_s(b, x), s.le_s(b, high)) : ir.v128.and(s.ge_u(b, x), s.le_u(b, high));
    ir.set(mask, ir.i32.or(old, s.bitmask(inside)));
  } else {
    // equal ordered: position j stays if element j + k of b is valid and equal, or lies past the register
    const equal = ir.i32.and(s.bitmask(s.eq(b, x)), validB);
    const past = ir.i32.xor(ir.i32.shr_u(full, k), ir.const32(-1));
    ir.set(mask, ir.i32.and(old, ir.i32.or(ir.i32.shr_u(equal, k), past)));
  }
  const next = ir.i32.add(k, ir.const32(step));
  ir.set(i, next);
  ir.branch(ir.i32.lt_u(next, end), body, done);
  ir.begin(done);
  const result = ir.get(mask);
  return aggregation === 3 ? result : ir.i32.and(result, validB);
}

/** By imm & 15, with signedness only where it matters (ranges). */
const HELPERS = new Map<number, Helper>();
function helper(imm: number): Helper {
  const key = (imm & 12) === 4 ? imm & 15 : imm & 13;
  let h = HELPERS.get(key);
  if (h === undefined) {
    h = {
      name: `pcmpstr_${['any', 'ranges', 'each', 'ordered'][key >> 2]}_${key & 2 ? 's' : 'u'}${key & 1 ? 16 : 8}`,
      params: ['v128', 'v128', 'i32', 'i32'], results: ['i32'], effect: 'pure',
      build: (ir, a, b, la, lb) => ir.ret([aggregate(ir, a as Value, b as Value, la as Value, lb as Value, key)]),
    };
    HELPERS.set(key, h);
  }
  return h;
}
for (let imm = 0; imm < 16; imm++) helper(imm);
export const STRING_HELPERS: readonly Helper[] = [...HELPERS.values()];

export interface StringCompare {
  /** IntRes2. */
  readonly mask: Value;
  /** Status flags as in RFLAGS: CF any bit, ZF b ends here, SF a ends here, OF bit 0; AF and PF clear. */
  readonly cf: Value;
  readonly zf: Value;
  readonly sf: Value;
  readonly of: Value;
}
export function stringCompare(ir: Builder, a: Value, b: Value, la: Value, lb: Value, imm: number): StringCompare {
  const n = count(imm);
  let mask = (imm & 12) === 8 ? aggregate(ir, a, b, la, lb, imm & 13) : (ir.call(helper(imm), [a, b, la, lb])[0] as Value);
  const polarity = (imm >> 4) & 3;
  if (polarity === 1) mask = ir.i32.xor(mask, ir.const32((1 << n) - 1));
  else if (polarity === 3) mask = ir.i32.xor(mask, below(ir, lb));
  return {
    mask,
    cf: ir.i32.ne(mask, ir.const32(0)),
    zf: ir.i32.lt_u(lb, ir.const32(n)),
    sf: ir.i32.lt_u(la, ir.const32(n)),
    of: ir.i32.and(mask, ir.const32(1)),
  };
}
/** Index result (ecx): first or last set bit, the number of elements if none. */
export function indexOf(ir: Builder, mask: Value, imm: number): Value {
  const n = count(imm);
  if ((imm & 0x40) === 0) return ir.i32.ctz(ir.i32.or(mask, ir.const32(1 << n)));
  return ir.select(mask, ir.i32.sub(ir.const32(31), ir.i32.clz(mask)), ir.const32(n));
}
/** Mask result (xmm0): bits, or every element all ones or zero. */
export function maskOf(ir: Builder, mask: Value, imm: number): Value {
  if ((imm & 0x40) === 0) return ir.i32x4.replace_lane(zero(ir), 0, mask);
  if (imm & 1) {
    const bits = ir.const128([1, 0, 2, 0, 4, 0, 8, 0, 16, 0, 32, 0, 64, 0, 128, 0]);
    return ir.i16x8.eq(ir.v128.and(ir.i16x8.splat(mask), bits), bits);
  }
  const bits = ir.const128([1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
  const spread = ir.shuffle(ir.i16x8.splat(mask), zero(ir), [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  return ir.i8x16.eq(ir.v128.and(spread, bits), bits);
}
