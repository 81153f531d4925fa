/**
 * x · y + z with one rounding, over v128. Where the engine's relaxed multiply-add is fused (ir/relaxed.ts) that is one
 * operation; otherwise helpers do it exactly: f32 in f64 with rounding to odd, f64 in 128-bit integers.
 *
 * NaN: the first of x, y, z that is one, quieted; an invalid operation on numbers gives the negative default NaN. Which of
 * several NaN operands the engine's operation returns depends on its registers, so results that are NaN are made anew.
 */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import { maddIsFused } from '../../../ir/relaxed.ts';
import { exactMultiplyAdd } from './exact-vector.ts';
import type { Shape } from './float.ts';
import { exactContext } from './float-environment.ts';
import { constants } from './integer.ts';

/** What becomes of the product and the addend: x·y + z, x·y − z, −(x·y) + z, −(x·y) − z. */
export interface FmaSigns {
  readonly negateProduct: boolean;
  /** Lanes whose addend is subtracted: none, all, the even or the odd ones. */
  readonly subtract: 'none' | 'all' | 'even' | 'odd';
}

/** Sign bits of the lanes whose addend is negated. */
function signMask(ir: Builder, shape: Shape, which: 'all' | 'even' | 'odd'): Value {
  const size = shape === 'f32x4' ? 4 : 8;
  const wanted = (lane: number): boolean => which === 'all' || (lane % 2 === 0) === (which === 'even');
  return ir.const128(Array.from({ length: 16 }, (_, k) => (k % size === size - 1 && wanted(Math.floor(k / size)) ? 0x80 : 0)));
}

/** Per lane: the first NaN of x, y, z, quiet; r where there is none. */
const nanHelper = (shape: Shape): Helper => ({
  name: `fma_nan_${shape}`,
  params: ['v128', 'v128', 'v128', 'v128'],
  results: ['v128'],
  effect: 'pure',
  build(ir, x, y, z, r) {
    const quiet = shape === 'f32x4' ? constants.splat32(ir, 0x00400000) : ir.const128(Array.from({ length: 16 }, (_, k) => (k % 8 === 6 ? 8 : 0)));
    let result = r as Value;
    for (const v of [z, y, x] as Value[]) result = ir.v128.bitselect(ir.v128.or(v, quiet), result, ir[shape].ne(v, v));
    ir.ret([result]);
  },
});
const FMA_NAN = { f32x4: nanHelper('f32x4'), f64x2: nanHelper('f64x2') } as const;

/** x·y + z of f32 values. The product is exact in f64; the sum is rounded to odd there, so that the last rounding is the only one. */
export const FMA_F32: Helper = {
  name: 'fma_f32',
  params: ['f32', 'f32', 'f32'],
  results: ['f32'],
  effect: 'pure',
  build(ir, x, y, z) {
    const { f64, i64 } = ir;
    const p = f64.mul(f64.promote_f32(x as Value), f64.promote_f32(y as Value));
    const c = f64.promote_f32(z as Value);
    const sum = f64.add(p, c);
    // Knuth's exact error of an addition; NaN for infinities, which then compares as no error
    const b = f64.sub(sum, p);
    const error = f64.add(f64.sub(p, f64.sub(sum, b)), f64.sub(c, b));
    const nothing = ir.constF64(0n);
    const bits = i64.reinterpret_f64(sum);
    // away from zero if the error has the sign of the sum, toward zero otherwise
    const up = ir.i32.eq(f64.gt(error, nothing), f64.gt(sum, nothing));
    const step = ir.select(up, ir.const64(1), ir.const64(-1));
    const inexact = ir.i32.or(f64.lt(error, nothing), f64.gt(error, nothing));
    const even = i64.eqz(i64.and(bits, ir.const64(1)));
    const odd = ir.select(ir.i32.and(inexact, even), i64.add(bits, step), bits);
    ir.ret([ir.f32.demote_f64(f64.reinterpret_i64(odd))]);
  },
};

const EXPONENT = 0x7ffn;
const IMPLICIT = 1n << 52n;
/** Bit the highest digit of both numbers stands at before they are added, of 128. */
const TOP = 125;

/** x·y + z of f64 values, in 128-bit integers. */
export const FMA_F64: Helper = {
  name: 'fma_f64',
  params: ['f64', 'f64', 'f64'],
  results: ['f64'],
  effect: 'pure',
  build(ir, x, y, z) {
    const { i64, f64, i32 } = ir;
    const k = (n: number | bigint): Value => ir.const64(n);
    const isSpecial = (v: Value): Value => {
      const exponent = i64.and(i64.shr_u(i64.reinterpret_f64(v), k(52)), k(EXPONENT));
      return i32.or(i64.eq(exponent, k(EXPONENT)), f64.eq(v, ir.constF64(0n)));
    };
    const product = f64.mul(x as Value, y as Value);
    // a product that is infinite, NaN or zero is exact; beside a finite one, an infinite addend stays (NaN: see above)
    ir.if(i32.or(isSpecial(x as Value), isSpecial(y as Value)), () => ir.ret([f64.add(product, z as Value)]));
    ir.if(isSpecial(z as Value), () => ir.ret([ir.select(f64.eq(z as Value, ir.constF64(0n)), product, z as Value)]));

    /** Mantissa with its top bit at 52, and the exponent of its lowest bit. */
    const split = (v: Value): { m: Value; e: Value; s: Value } => {
      const bits = i64.reinterpret_f64(v);
      const fraction = i64.and(bits, k(IMPLICIT - 1n));
      const exponent = i64.and(i64.shr_u(bits, k(52)), k(EXPONENT));
      const denormal = i64.eqz(exponent);
      const shift = i64.sub(i64.clz(fraction), k(11));
      return {
        m: ir.select(denormal, i64.shl(fraction, shift), i64.or(fraction, k(IMPLICIT))),
        e: ir.select(denormal, i64.sub(k(-1074), shift), i64.sub(exponent, k(1075))),
        s: i64.shr_u(bits, k(63)),
      };
    };
    const a = split(x as Value);
    const b = split(y as Value);
    const c = split(z as Value);
    // the product, 105 or 106 bits, to bit TOP
    const low = i64.mul(a.m, b.m);
    const high = ir.mulHiU(a.m, b.m);
    const shift = i64.sub(i64.clz(high), k(127 - TOP));
    const p = { hi: i64.or(i64.shl(high, shift), i64.shr_u(low, i64.sub(k(64), shift))), lo: i64.shl(low, shift), e: i64.sub(i64.add(a.e, b.e), shift), s: i64.xor(a.s, b.s) };
    const q = { hi: i64.shl(c.m, k(TOP - 64 - 52)), lo: k(0), e: i64.sub(c.e, k(TOP - 52)), s: c.s };
    // the greater first: by exponent, then by digits
    const below = (hi1: Value, lo1: Value, hi2: Value, lo2: Value): Value => i32.or(i64.lt_u(hi1, hi2), i32.and(i64.eq(hi1, hi2), i64.lt_u(lo1, lo2)));
    const swap = i32.or(i64.lt_s(p.e, q.e), i32.and(i64.eq(p.e, q.e), below(p.hi, p.lo, q.hi, q.lo)));
    const pick = (f: 'hi' | 'lo' | 'e' | 's'): [Value, Value] => [ir.select(swap, q[f], p[f]), ir.select(swap, p[f], q[f])];
    const [gHi, sHi] = pick('hi');
    const [gLo, sLo] = pick('lo');
    const [gE, sE] = pick('e');
    const [gS, sS] = pick('s');

    // the lesser shifted right, what is lost gathered in its lowest bit
    const distance = i64.sub(gE, sE);
    const hi = ir.temp('i64');
    const lo = ir.temp('i64');
    const sticky = (lost: Value): Value => i64.extend_i32_u(i64.ne(lost, k(0)));
    ir.if(
      i64.lt_u(distance, k(64)),
      () => {
        const far = i64.sub(k(64), distance);
        const none = i64.eqz(distance);
        const lost = ir.select(none, k(0), i64.shl(sLo, far));
        ir.set(hi, i64.shr_u(sHi, distance));
        ir.set(lo, i64.or(i64.or(i64.shr_u(sLo, distance), ir.select(none, k(0), i64.shl(sHi, far))), sticky(lost)));
      },
      () => {
        const rest = i64.sub(distance, k(64));
        const near = i64.lt_u(rest, k(64));
        const lost = i64.or(sLo, ir.select(near, ir.select(i64.eqz(rest), k(0), i64.shl(sHi, i64.sub(k(64), rest))), sHi));
        ir.set(hi, k(0));
        ir.set(lo, i64.or(ir.select(near, i64.shr_u(sHi, rest), k(0)), sticky(lost)));
      },
    );
    const tHi = ir.get(hi);
    const tLo = ir.get(lo);
    const same = i64.eq(gS, sS);
    const sumLo = i64.add(gLo, tLo);
    const sumHi = i64.add(i64.add(gHi, tHi), i64.extend_i32_u(i64.lt_u(sumLo, gLo)));
    const differenceHi = i64.sub(i64.sub(gHi, tHi), i64.extend_i32_u(i64.lt_u(gLo, tLo)));
    const rLo = ir.select(same, sumLo, i64.sub(gLo, tLo));
    const rHi = ir.select(same, sumHi, differenceHi);
    ir.if(i64.eqz(i64.or(rHi, rLo)), () => ir.ret([ir.constF64(0n)]));

    // 64 bits with the top one at 62; the sum of two numbers below 2^(TOP + 1) leaves bit 127 clear
    const zeros = ir.select(i64.ne(rHi, k(0)), i64.clz(rHi), i64.add(i64.clz(rLo), k(64)));
    const up = i64.sub(zeros, k(1));
    const e = i64.sub(gE, up);
    const significand = ir.temp('i64');
    ir.if(
      i64.lt_u(up, k(64)),
      () => {
        const fromLow = ir.select(i64.eqz(up), k(0), i64.shr_u(rLo, i64.sub(k(64), up)));
        ir.set(significand, i64.or(i64.or(i64.shl(rHi, up), fromLow), sticky(i64.shl(rLo, up))));
      },
      () => ir.set(significand, i64.shl(rLo, i64.sub(up, k(64)))),
    );
    // value = significand · 2^(e + 64); the lowest digit of a normal result is ten bits up
    const biased = i64.add(e, k(64 + 10 + 1075));
    const tooSmall = i64.lt_s(biased, k(1));
    const denormalShift = ir.select(tooSmall, i64.sub(k(1), biased), k(0));
    const full = ir.get(significand);
    const within = i64.lt_u(denormalShift, k(64));
    const shifted = i64.shr_u(full, denormalShift);
    const lost = i64.ne(i64.shl(shifted, denormalShift), full);
    const v = ir.select(within, i64.or(shifted, i64.extend_i32_u(lost)), k(1));
    const rounded = i64.shr_u(i64.add(i64.add(v, k(0x1ff)), i64.and(i64.shr_u(v, k(10)), k(1))), k(10));
    // the implicit bit, if there, carries into the exponent, as does rounding
    const exponent = ir.select(tooSmall, k(0), i64.sub(biased, k(1)));
    const magnitude = i64.add(i64.shl(exponent, k(52)), rounded);
    const limit = k(EXPONENT << 52n);
    const finite = ir.select(i32.or(i64.gt_s(exponent, k(0x7ff)), i64.ge_u(magnitude, limit)), limit, magnitude);
    ir.ret([f64.reinterpret_i64(i64.or(finite, i64.shl(gS, k(63))))]);
  },
};

/** Both lanes, or with `low` the lowest only (the others are x's). */
function exact(ir: Builder, shape: Shape, x: Value, y: Value, z: Value, low: boolean): Value {
  let result = x;
  const count = low ? 1 : shape === 'f32x4' ? 4 : 2;
  for (let lane = 0; lane < count; lane++) {
    const of = [x, y, z].map((v) => (shape === 'f32x4' ? ir.f32x4 : ir.f64x2).extract_lane(v, lane));
    const v = ir.call(shape === 'f32x4' ? FMA_F32 : FMA_F64, of)[0] as Value;
    result = (shape === 'f32x4' ? ir.f32x4 : ir.f64x2).replace_lane(result, lane, v);
  }
  return result;
}

/** ±(x·y) ± z in every lane; `low`: only lane 0 of the result means anything. */
export function multiplyAdd(ir: Builder, shape: Shape, x: Value, y: Value, z: Value, signs: FmaSigns, low = false): Value {
  const f = ir[shape];
  const context = exactContext(ir);
  if (context !== undefined) {
    const turned = signs.subtract === 'none' ? ir.const128(new Uint8Array(16)) : signMask(ir, shape, signs.subtract);
    return exactMultiplyAdd(context, ir, shape, x, y, z, turned, signs.negateProduct, low);
  }
  const addend = signs.subtract === 'none' ? z : ir.v128.xor(z, signMask(ir, shape, signs.subtract));
  let r: Value;
  if (!maddIsFused()) r = exact(ir, shape, signs.negateProduct ? ir.v128.xor(x, signMask(ir, shape, 'all')) : x, y, addend, low);
  else r = signs.negateProduct ? f.relaxed_nmadd(x, y, addend) : f.relaxed_madd(x, y, addend);
  const out = ir.temp('v128');
  ir.set(out, r);
  const isNan = low ? (shape === 'f32x4' ? ir.f32.ne(ir.f32x4.extract_lane(r, 0), ir.f32x4.extract_lane(r, 0)) : ir.f64.ne(ir.f64x2.extract_lane(r, 0), ir.f64x2.extract_lane(r, 0))) : ir.v128.any_true(f.ne(r, r));
  ir.if(isNan, () => ir.set(out, ir.call(FMA_NAN[shape], [x, y, z, r])[0] as Value));
  return ir.get(out);
}
export const FMA_HELPERS: readonly Helper[] = [FMA_F32, FMA_F64, FMA_NAN.f32x4, FMA_NAN.f64x2];
