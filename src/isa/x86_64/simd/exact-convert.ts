/** Conversions as MXCSR asks, for the exact mode of float-environment.ts; the values are exact.ts's. */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import { MXCSR } from '../cpu-state.ts';
import { F16, F32, F64, type Format, isInfinite, isNan, isZero, pure, readOperands, RESULT, retRounded, signOf, UNARY_PARAMS, unpack } from './exact.ts';
import { currentMode, formatOf, isUsual, lane, least, roundedBy, scalarOf, type Shape, splat, withLane, withoutDenormals } from './exact-vector.ts';
import { CONTROL, EXCEPTION, type FloatContext, ROUNDING_SHIFT } from './float-environment.ts';

const VECTOR_RESULT = ['v128', 'i32'] as const;
const flag = (ir: Builder, condition: Value, bit: number): Value => ir.select(condition, ir.const32(bit), ir.const32(0));
const zeros = (ir: Builder): Value => ir.const128(new Uint8Array(16));

// ---- integers to floating point ----

/** (signed integer, MXCSR) */
const fromInteger = (f: Format): Helper =>
  pure(`integer.${f.name}`, UNARY_PARAMS, RESULT, (ir, v, mxcsr) => {
    const { i32, i64 } = ir;
    const value = v as Value;
    ir.if(i64.eqz(value), () => ir.ret([ir.const64(0), ir.const32(0)]));
    const sign = i32.wrap_i64(i64.shr_u(value, ir.const64(63)));
    const magnitude = ir.select(sign, i64.sub(ir.const64(0), value), value);
    const count = i64.clz(magnitude);
    const halved = i64.or(i64.shr_u(magnitude, ir.const64(1)), i64.and(magnitude, ir.const64(1)));
    const significand = ir.select(i64.eqz(count), halved, i64.shl(magnitude, i64.sub(count, ir.const64(1))));
    retRounded(ir, f, { sign, exponent: i32.sub(ir.const32(63), i32.wrap_i64(count)), significand }, mxcsr as Value, ir.const32(0));
  });
const FROM_INTEGER = { f32: fromInteger(F32), f64: fromInteger(F64) } as const;
/** Four dwords. */
const FROM_DWORDS = pure('dwords.f32x4', ['v128', 'i32'], VECTOR_RESULT, (ir, v, mxcsr) => {
  ir.if(isUsual(ir, mxcsr as Value), () => ir.ret([ir.f32x4.convert_i32x4_s(v as Value), ir.const32(0)]));
  let result = zeros(ir);
  let flags = ir.const32(0);
  for (let n = 0; n < 4; n++) {
    const [bits, raised] = ir.call(FROM_INTEGER.f32, [ir.i64.extend_i32_s(ir.i32x4.extract_lane(v as Value, n)), mxcsr as Value]) as [Value, Value];
    result = withLane(ir, 'f32x4', result, n, bits);
    flags = ir.i32.or(flags, raised);
  }
  ir.ret([result, flags]);
});
/** An i64 to f32 or f64. */
export function exactFromInteger(context: FloatContext, ir: Builder, to: 'f32' | 'f64', v: Value): Value {
  const [bits, flags] = ir.call(FROM_INTEGER[to], [v, ir.get(MXCSR)]) as [Value, Value];
  context.raise(flags);
  return to === 'f32' ? ir.f32.reinterpret_i32(ir.i32.wrap_i64(bits)) : ir.f64.reinterpret_i64(bits);
}
export function exactFromDwords(context: FloatContext, ir: Builder, v: Value): Value {
  const [r, flags] = ir.call(FROM_DWORDS, [v, ir.get(MXCSR)]) as [Value, Value];
  context.raise(flags);
  return r;
}

// ---- between formats ----

const convert = (from: Format, to: Format): Helper =>
  pure(`${to.name}.${from.name}`, UNARY_PARAMS, RESULT, (ir, v, mxcsr) => {
    const { i64 } = ir;
    const value = v as Value;
    const sign = signOf(ir, from, value);
    const signed = (bits: Value): Value => i64.or(i64.shl(i64.extend_i32_u(sign), ir.const64(to.bits - 1)), bits);
    ir.if(isNan(ir, from, value), () => {
      const payload = i64.and(value, ir.const64(from.quiet - 1n));
      const moved = to.fraction > from.fraction ? i64.shl(payload, ir.const64(to.fraction - from.fraction)) : i64.shr_u(payload, ir.const64(from.fraction - to.fraction));
      const signalling = i64.eqz(i64.and(value, ir.const64(from.quiet)));
      ir.ret([signed(i64.or(moved, ir.const64(to.infinity | to.quiet))), signalling]);
    });
    const { values, denormal } = readOperands(ir, from, mxcsr as Value, [value]);
    const x = values[0] as Value;
    ir.if(isZero(ir, from, x), () => ir.ret([signed(ir.const64(0)), ir.const32(0)]));
    ir.if(isInfinite(ir, from, x), () => ir.ret([signed(ir.const64(to.infinity)), ir.const32(0)]));
    retRounded(ir, to, unpack(ir, from, x), mxcsr as Value, denormal);
  });
const DEMOTE = convert(F64, F32);
const PROMOTE = convert(F32, F64);
const TO_HALF = convert(F32, F16);

/** Two f64 to f32 in the lower half, zeros above. */
const DEMOTE_PAIR = pure('demote.f64x2', ['v128', 'i32'], VECTOR_RESULT, (ir, v, mxcsr) => {
  const value = v as Value;
  const { f32x4, f64x2, v128 } = ir;
  ir.if(isUsual(ir, mxcsr as Value), () => {
    // above the least and below the greatest f32 by a margin
    const size = f64x2.abs(value);
    const safe = v128.and(f64x2.gt(size, splat(ir, 'f64x2', 0x3820000000000000n)), f64x2.lt(size, splat(ir, 'f64x2', 0x47e0000000000000n)));
    ir.if(ir.i32x4.all_true(v128.or(safe, f64x2.eq(value, zeros(ir)))), () => ir.ret([f32x4.demote_f64x2_zero(value), ir.const32(0)]));
  });
  const [low, flagsLow] = ir.call(DEMOTE, [lane(ir, 'f64x2', value, 0), mxcsr as Value]) as [Value, Value];
  const [high, flagsHigh] = ir.call(DEMOTE, [lane(ir, 'f64x2', value, 1), mxcsr as Value]) as [Value, Value];
  ir.ret([withLane(ir, 'f32x4', withLane(ir, 'f32x4', zeros(ir), 0, low), 1, high), ir.i32.or(flagsLow, flagsHigh)]);
});
/** The two f32 in the lower half to f64. */
const PROMOTE_PAIR = pure('promote.f32x4', ['v128', 'i32'], VECTOR_RESULT, (ir, v, mxcsr) => {
  const value = v as Value;
  const { f32x4 } = ir;
  // neither NaN nor denormal: exact
  const fine = ir.v128.or(f32x4.ge(f32x4.abs(value), splat(ir, 'f32x4', least(F32))), f32x4.eq(value, zeros(ir)));
  ir.if(ir.i64.eq(ir.i64x2.extract_lane(fine, 0), ir.const64(-1)), () => ir.ret([ir.f64x2.promote_low_f32x4(value), ir.const32(0)]));
  const [low, flagsLow] = ir.call(PROMOTE, [lane(ir, 'f32x4', value, 0), mxcsr as Value]) as [Value, Value];
  const [high, flagsHigh] = ir.call(PROMOTE, [lane(ir, 'f32x4', value, 1), mxcsr as Value]) as [Value, Value];
  ir.ret([withLane(ir, 'f64x2', withLane(ir, 'f64x2', zeros(ir), 0, low), 1, high), ir.i32.or(flagsLow, flagsHigh)]);
});
export function exactDemotePair(context: FloatContext, ir: Builder, v: Value): Value {
  const [r, flags] = ir.call(DEMOTE_PAIR, [v, ir.get(MXCSR)]) as [Value, Value];
  context.raise(flags);
  return r;
}
export function exactPromotePair(context: FloatContext, ir: Builder, v: Value): Value {
  const [r, flags] = ir.call(PROMOTE_PAIR, [v, ir.get(MXCSR)]) as [Value, Value];
  context.raise(flags);
  return r;
}
/** One f64 to f32, and back. */
export function exactDemote(context: FloatContext, ir: Builder, v: Value): Value {
  return ir.f32x4.extract_lane(exactDemotePair(context, ir, ir.f64x2.splat(v)), 0);
}
export function exactPromote(context: FloatContext, ir: Builder, v: Value): Value {
  return ir.f64x2.extract_lane(exactPromotePair(context, ir, ir.f32x4.splat(v)), 0);
}

// ---- half precision ----

/** (four f32, rounding mode, MXCSR) → four halves in the lower half. Results are never flushed to zero. */
const TO_HALVES = pure('halves.f32x4', ['v128', 'i32', 'i32'], VECTOR_RESULT, (ir, v, mode, mxcsr) => {
  const { i32 } = ir;
  const control = i32.or(i32.and(mxcsr as Value, ir.const32(~(CONTROL.rounding | CONTROL.flushToZero))), i32.shl(mode as Value, ir.const32(ROUNDING_SHIFT)));
  let result = zeros(ir);
  let flags = ir.const32(0);
  for (let n = 0; n < 4; n++) {
    const [bits, raised] = ir.call(TO_HALF, [lane(ir, 'f32x4', v as Value, n), control]) as [Value, Value];
    result = ir.i16x8.replace_lane(result, n, i32.wrap_i64(bits));
    flags = i32.or(flags, raised);
  }
  ir.ret([result, flags]);
});
export function exactToHalves(context: FloatContext, ir: Builder, v: Value, mode: 0 | 1 | 2 | 3 | undefined): Value {
  const [r, flags] = ir.call(TO_HALVES, [v, mode === undefined ? currentMode(ir) : ir.const32(mode), ir.get(MXCSR)]) as [Value, Value];
  context.raise(flags);
  return r;
}
/** IE where one of the four halves is a signalling NaN; the conversion itself is exact. */
export function raiseForHalves(context: FloatContext, ir: Builder, halves: Value): void {
  const { i32x4, v128 } = ir;
  const v = ir.i32x4.extend_low_i16x8_u(halves);
  const c = (n: number): Value => i32x4.splat(ir.const32(n));
  const nan = i32x4.gt_s(v128.and(v, c(0x7fff)), c(0x7c00));
  context.raise(v128.any_true(v128.and(nan, i32x4.eq(v128.and(v, c(0x200)), zeros(ir)))));
}

// ---- floating point to integers ----

/** 2^31 and 2^63. */
const LIMIT = { 32: { f32: 0x4f000000n, f64: 0x41e0000000000000n }, 64: { f32: 0x5f000000n, f64: 0x43e0000000000000n } } as const;

/** [lanes in range, rounded, flags] of a conversion to integers of `bits`; `lanesUsed`: mask of those that count. */
function toIntegral(ir: Builder, shape: Shape, bits: 32 | 64, v: Value, mode: Value, mxcsr: Value): { fits: Value; rounded: Value; inexact: Value } {
  const f = ir[shape];
  const x = withoutDenormals(ir, shape, v, mxcsr);
  const rounded = roundedBy(ir, shape, x, mode);
  const limit = LIMIT[bits][scalarOf(shape)];
  const fits = ir.v128.and(f.ge(rounded, splat(ir, shape, limit | formatOf(shape).sign)), f.lt(rounded, splat(ir, shape, limit)));
  return { fits, rounded, inexact: ir.v128.and(fits, f.ne(rounded, x)) };
}
const flagsOf = (ir: Builder, allFit: Value, anyInexact: Value): Value => ir.i32.or(ir.i32.eqz(allFit), flag(ir, anyInexact, EXCEPTION.precision));

const TO_INTEGER_PARAMS = ['v128', 'i32', 'i32'] as const;
/** Lane 0 to an i64. */
const toScalar = (shape: Shape, bits: 32 | 64): Helper =>
  pure(`i${bits}.${scalarOf(shape)}`, TO_INTEGER_PARAMS, ['i64', 'i32'], (ir, v, mode, mxcsr) => {
    const { fits, rounded, inexact } = toIntegral(ir, shape, bits, v as Value, mode as Value, mxcsr as Value);
    const low = ir[shape].extract_lane(rounded, 0);
    const integer = shape === 'f32x4' ? ir.i64.trunc_sat_f32_s(low) : ir.i64.trunc_sat_f64_s(low);
    const fit = ir.i32.and(ir.i32x4.extract_lane(fits, 0), ir.const32(1));
    ir.ret([ir.select(fit, integer, ir.const64(1n << BigInt(bits - 1))), flagsOf(ir, fit, ir.i32x4.extract_lane(inexact, 0))]);
  });
const TO_SCALAR = { f32x4: { 32: toScalar('f32x4', 32), 64: toScalar('f32x4', 64) }, f64x2: { 32: toScalar('f64x2', 32), 64: toScalar('f64x2', 64) } } as const;
const TO_DWORDS = {
  f32x4: pure('dwords.of.f32x4', TO_INTEGER_PARAMS, VECTOR_RESULT, (ir, v, mode, mxcsr) => {
    const { fits, rounded, inexact } = toIntegral(ir, 'f32x4', 32, v as Value, mode as Value, mxcsr as Value);
    const result = ir.v128.bitselect(ir.i32x4.trunc_sat_f32x4_s(rounded), splat(ir, 'f32x4', 0x80000000n), fits);
    ir.ret([result, flagsOf(ir, ir.i32x4.all_true(fits), ir.v128.any_true(inexact))]);
  }),
  /** Two results in the lower half, the upper half zero. */
  f64x2: pure('dwords.of.f64x2', TO_INTEGER_PARAMS, VECTOR_RESULT, (ir, v, mode, mxcsr) => {
    const { fits, rounded, inexact } = toIntegral(ir, 'f64x2', 32, v as Value, mode as Value, mxcsr as Value);
    const indefinite = ir.const128([0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0]);
    const narrow = ir.shuffle(fits, zeros(ir), [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 16, 17, 18, 19]);
    const result = ir.v128.bitselect(ir.i32x4.trunc_sat_f64x2_s_zero(rounded), indefinite, narrow);
    ir.ret([result, flagsOf(ir, ir.i64x2.all_true(fits), ir.v128.any_true(inexact))]);
  }),
} as const;

/** `mode` 0…3, or undefined for MXCSR's. */
export function exactToInteger(context: FloatContext, ir: Builder, from: 'f32' | 'f64', bits: 32 | 64, v: Value, mode: 0 | 1 | 2 | 3 | undefined): Value {
  const shape = from === 'f32' ? 'f32x4' : 'f64x2';
  const m = mode === undefined ? currentMode(ir) : ir.const32(mode);
  const [r, flags] = ir.call(TO_SCALAR[shape][bits], [ir[shape].splat(v), m, ir.get(MXCSR)]) as [Value, Value];
  context.raise(flags);
  return bits === 64 ? r : ir.i32.wrap_i64(r);
}
export function exactToDwords(context: FloatContext, ir: Builder, shape: Shape, v: Value, mode: 0 | 1 | 2 | 3 | undefined): Value {
  const m = mode === undefined ? currentMode(ir) : ir.const32(mode);
  const [r, flags] = ir.call(TO_DWORDS[shape], [v, m, ir.get(MXCSR)]) as [Value, Value];
  context.raise(flags);
  return r;
}

export const CONVERSION_HELPERS: readonly Helper[] = [FROM_INTEGER.f32, FROM_INTEGER.f64, FROM_DWORDS, DEMOTE_PAIR, PROMOTE_PAIR, TO_HALVES, ...Object.values(TO_SCALAR).flatMap((by) => Object.values(by)), ...Object.values(TO_DWORDS)];
