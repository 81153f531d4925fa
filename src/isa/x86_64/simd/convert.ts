/**
 * Conversions between floating point and integers as x86 defines them: a source that is a NaN or does not fit gives the
 * "integer indefinite" 0x80000000 (…00000000), where the wasm operations saturate. Plain and exact mode as in float.ts.
 */
import type { Builder, Value } from '../../../ir/builder.ts';
import { constants, zero } from './integer.ts';
import { exactDemote, exactDemotePair, exactFromDwords, exactFromInteger, exactPromote, exactPromotePair, exactToDwords, exactToInteger } from './exact-convert.ts';
import { fixedMode, type Rounding, roundScalar, roundVector } from './float.ts';
import { exactContext } from './float-environment.ts';

const { lanes, splat32 } = constants;
/** 2^31 and 2^63 as f32 and f64 bits. */
const LIMIT = { f32: { 32: 0x4f000000, 64: 0x5f000000 }, f64: { 32: 0x41e0000000000000n, 64: 0x43e0000000000000n } } as const;

/** Scalar f32/f64 value to i32/i64. `mode` 3 for the truncating instructions. Too small a source saturates to the indefinite by itself. */
export function toInteger(ir: Builder, from: 'f32' | 'f64', bits: 32 | 64, a: Value, mode: Rounding): Value {
  const exact = exactContext(ir);
  if (exact !== undefined) return exactToInteger(exact, ir, from, bits, a, fixedMode(mode));
  const x = mode === 3 ? a : roundScalar(ir, from, a, mode);
  const limit = from === 'f32' ? ir.constF32(LIMIT.f32[bits]) : ir.constF64(LIMIT.f64[bits]);
  const fits = ir[from].lt(x, limit);
  const converted = bits === 32 ? (from === 'f32' ? ir.i32.trunc_sat_f32_s(x) : ir.i32.trunc_sat_f64_s(x)) : from === 'f32' ? ir.i64.trunc_sat_f32_s(x) : ir.i64.trunc_sat_f64_s(x);
  return ir.select(fits, converted, bits === 32 ? ir.const32(0x80000000) : ir.const64(1n << 63n));
}

/** cvtps2dq, cvttps2dq. */
export function floatsToDwords(ir: Builder, a: Value, mode: Rounding): Value {
  const exact = exactContext(ir);
  if (exact !== undefined) return exactToDwords(exact, ir, 'f32x4', a, fixedMode(mode));
  const x = mode === 3 ? a : roundVector(ir, 'f32x4', a, mode);
  const fits = ir.f32x4.lt(x, splat32(ir, LIMIT.f32[32]));
  return ir.v128.bitselect(ir.i32x4.trunc_sat_f32x4_s(x), splat32(ir, 0x80000000), fits);
}
/** cvtpd2dq, cvttpd2dq, cvt(t)pd2pi: two results in the lower half, the upper half zero. */
export function doublesToDwords(ir: Builder, a: Value, mode: Rounding): Value {
  const exact = exactContext(ir);
  if (exact !== undefined) return exactToDwords(exact, ir, 'f64x2', a, fixedMode(mode));
  const x = mode === 3 ? a : roundVector(ir, 'f64x2', a, mode);
  const limit = ir.f64x2.splat(ir.constF64(LIMIT.f64[32]));
  const fits = ir.f64x2.lt(x, limit);
  const indefinite = ir.const128([0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0]);
  return ir.v128.bitselect(ir.i32x4.trunc_sat_f64x2_s_zero(x), indefinite, ir.shuffle(fits, zero(ir), lanes(4, 0, 2, 4, 4)));
}

// ---- to and between floating-point formats ----

/** A signed integer of 32 or 64 bits to f32 or f64. */
export function fromInteger(ir: Builder, to: 'f32' | 'f64', bits: 32 | 64, v: Value): Value {
  const exact = exactContext(ir);
  // 32 bits always fit in f64
  if (exact !== undefined && (bits === 64 || to === 'f32')) return exactFromInteger(exact, ir, to, bits === 64 ? v : ir.i64.extend_i32_s(v));
  return bits === 64 ? ir[to].convert_i64_s(v) : ir[to].convert_i32_s(v);
}
/** cvtdq2ps. */
export function dwordsToFloats(ir: Builder, v: Value): Value {
  const exact = exactContext(ir);
  return exact === undefined ? ir.f32x4.convert_i32x4_s(v) : exactFromDwords(exact, ir, v);
}
/** f64 to f32, and back. */
export function demote(ir: Builder, v: Value): Value {
  const exact = exactContext(ir);
  return exact === undefined ? ir.f32.demote_f64(v) : exactDemote(exact, ir, v);
}
export function promote(ir: Builder, v: Value): Value {
  const exact = exactContext(ir);
  return exact === undefined ? ir.f64.promote_f32(v) : exactPromote(exact, ir, v);
}
/** Two f64 to f32 in the lower half, the upper half zero. */
export function demotePair(ir: Builder, v: Value): Value {
  const exact = exactContext(ir);
  return exact === undefined ? ir.f32x4.demote_f64x2_zero(v) : exactDemotePair(exact, ir, v);
}
/** The two f32 in the lower half to f64. */
export function promotePair(ir: Builder, v: Value): Value {
  const exact = exactContext(ir);
  return exact === undefined ? ir.f64x2.promote_low_f32x4(v) : exactPromotePair(exact, ir, v);
}
