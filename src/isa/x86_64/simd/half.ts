/** Between f32 and the 16-bit format of F16C (1 sign, 5 exponent, 10 fraction bits), four lanes at a time. */
import type { Builder, Value } from '../../../ir/builder.ts';
import { constants, zero } from './integer.ts';
import { exactToHalves, raiseForHalves } from './exact-convert.ts';
import { fixedMode, ROUND_OPS, type Rounding, roundByControl } from './float.ts';
import { exactContext } from './float-environment.ts';

const { splat32, lanes } = constants;

/** The four halves in the low 64 bits as f32. Signalling NaNs become quiet. */
export function halvesToFloats(ir: Builder, v: Value): Value {
  const { i32x4, v128 } = ir;
  const exact = exactContext(ir);
  if (exact !== undefined) raiseForHalves(exact, ir, v);
  const half = i32x4.extend_low_i16x8_u(v);
  const magnitude = v128.and(half, splat32(ir, 0x7fff));
  const sign = i32x4.shl(v128.and(half, splat32(ir, 0x8000)), ir.const32(16));
  const bias = splat32(ir, 112 << 23);
  const moved = i32x4.shl(magnitude, ir.const32(13));
  const rebased = i32x4.add(moved, bias);
  const special = i32x4.ge_u(magnitude, splat32(ir, 0x7c00));
  const number = i32x4.add(rebased, v128.and(special, bias));
  const nan = i32x4.gt_u(magnitude, splat32(ir, 0x7c00));
  const quiet = v128.or(number, v128.and(nan, splat32(ir, 0x00400000)));
  // denormal: that many times 2^-24, exact
  const tiny = ir.f32x4.mul(ir.f32x4.convert_i32x4_s(magnitude), splat32(ir, 0x33800000));
  return v128.or(v128.bitselect(tiny, quiet, i32x4.lt_u(magnitude, splat32(ir, 0x400))), sign);
}

/** Four f32 as halves in the low 64 bits, zeros above, rounded as `mode` says. */
export function floatsToHalves(ir: Builder, v: Value, mode: Rounding): Value {
  const { i32x4, f32x4, v128 } = ir;
  const exact = exactContext(ir);
  const fixed = fixedMode(mode);
  if (exact !== undefined) return exactToHalves(exact, ir, v, fixed);
  const sign = v128.and(i32x4.shr_u(v, ir.const32(16)), splat32(ir, 0x8000));
  const magnitude = v128.and(v, splat32(ir, 0x7fffffff));
  const rounded = (op: (typeof ROUND_OPS)[number]): Value => {
    // lanes in which the magnitude is rounded up; overflow goes to infinity there, to the greatest number elsewhere
    const negative = i32x4.shr_s(v, ir.const32(31));
    const away = op === 'floor' ? negative : op === 'ceil' ? v128.not(negative) : zero(ir);
    const base = i32x4.sub(magnitude, splat32(ir, 112 << 23));
    const up = op === 'nearest' ? i32x4.add(splat32(ir, 0xfff), v128.and(i32x4.shr_u(magnitude, ir.const32(13)), splat32(ir, 1))) : v128.and(away, splat32(ir, 0x1fff));
    const greatest = op === 'nearest' ? splat32(ir, 0x7c00) : i32x4.add(splat32(ir, 0x7bff), v128.and(away, splat32(ir, 1)));
    const normal = i32x4.min_u(i32x4.shr_u(i32x4.add(base, up), ir.const32(13)), greatest);
    // below 2^-14: a whole number of 2^-24, which scaling up gives exactly
    const scaled = f32x4.mul(magnitude, splat32(ir, 0x4b800000));
    const whole = op === 'nearest' ? f32x4.nearest(scaled) : op === 'trunc' ? f32x4.trunc(scaled) : v128.bitselect(f32x4.ceil(scaled), f32x4.trunc(scaled), away);
    const tiny = i32x4.trunc_sat_f32x4_s(whole);
    return v128.bitselect(tiny, normal, i32x4.lt_u(magnitude, splat32(ir, 0x38800000)));
  };
  const finite = fixed === undefined ? roundByControl(ir, 'v128', rounded) : rounded(ROUND_OPS[fixed]);
  const nan = v128.or(v128.and(i32x4.shr_u(magnitude, ir.const32(13)), splat32(ir, 0x3ff)), splat32(ir, 0x7e00));
  const infinity = splat32(ir, 0x7f800000);
  let half = v128.bitselect(splat32(ir, 0x7c00), finite, i32x4.eq(magnitude, infinity));
  half = v128.or(v128.bitselect(nan, half, i32x4.gt_u(magnitude, infinity)), sign);
  return ir.shuffle(half, zero(ir), lanes(2, 0, 2, 4, 6, 8, 8, 8, 8));
}
