/**
 * Binary floating point in integers, exactly as MXCSR asks: add, multiply, divide, square root, fused multiply-add and
 * the rounding they share. Helpers over one value; exact-vector.ts makes vectors of them.
 *
 * - A value is its encoding as an i64, zero-extended if narrower. Every helper takes MXCSR and returns the result's
 *   encoding and the exception flags it raises. If a raised flag is unmasked the result means nothing.
 * - *Unpacked* numbers: sign 0 or 1 (i32), exponent of the leading digit (i32), significand (i64) with its leading digit
 *   at bit 62 and everything below the digits kept gathered in bit 0.
 * - Tininess is detected after rounding. Sources: Intel SDM volume 1, 4.9 and 11.5; where it is silent, the host was asked.
 */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import { CONTROL, EXCEPTION, MASK_SHIFT, ROUNDING_SHIFT } from './float-environment.ts';

export interface Format {
  readonly name: string;
  readonly bits: number;
  /** Fraction bits of the encoding. */
  readonly fraction: number;
  readonly bias: number;
  /** Exponent field of infinities and NaNs. */
  readonly top: number;
  /** Encoding of infinity, of the sign, of the bit that makes a NaN quiet, of the default NaN, of 1. */
  readonly infinity: bigint;
  readonly sign: bigint;
  readonly quiet: bigint;
  readonly nan: bigint;
  readonly one: bigint;
}
function format(bits: number, fraction: number): Format {
  const top = (1 << (bits - fraction - 1)) - 1;
  const bias = top >> 1;
  const sign = 1n << BigInt(bits - 1);
  const infinity = BigInt(top) << BigInt(fraction);
  const quiet = 1n << BigInt(fraction - 1);
  return { name: `f${bits}`, bits, fraction, bias, top, infinity, sign, quiet, nan: sign | infinity | quiet, one: BigInt(bias) << BigInt(fraction) };
}
export const F16 = format(16, 10);
export const F32 = format(32, 23);
export const F64 = format(64, 52);

/** What every helper here returns: encoding and flags. */
export const RESULT = ['i64', 'i32'] as const;
export const pure = (name: string, params: Helper['params'], results: Helper['results'], build: NonNullable<Helper['build']>): Helper => ({ name: `sse.${name}`, params, results, effect: 'pure', build });

// ---- facts about an encoding; i32 0 or 1 ----

const magnitude = (ir: Builder, f: Format, v: Value): Value => ir.i64.and(v, ir.const64(f.sign - 1n));
export const isNan = (ir: Builder, f: Format, v: Value): Value => ir.i64.gt_u(magnitude(ir, f, v), ir.const64(f.infinity));
export const isInfinite = (ir: Builder, f: Format, v: Value): Value => ir.i64.eq(magnitude(ir, f, v), ir.const64(f.infinity));
export const isZero = (ir: Builder, f: Format, v: Value): Value => ir.i64.eqz(magnitude(ir, f, v));
const isSignalling = (ir: Builder, f: Format, v: Value): Value => ir.i32.and(isNan(ir, f, v), ir.i64.eqz(ir.i64.and(v, ir.const64(f.quiet))));
export const signOf = (ir: Builder, f: Format, v: Value): Value => ir.i32.wrap_i64(ir.i64.shr_u(v, ir.const64(f.bits - 1)));
const isDenormal = (ir: Builder, f: Format, v: Value): Value => ir.i64.lt_u(ir.i64.sub(magnitude(ir, f, v), ir.const64(1)), ir.const64((1n << BigInt(f.fraction)) - 1n));
const withSign = (ir: Builder, f: Format, sign: Value, v: Value): Value => ir.i64.or(ir.i64.shl(ir.i64.extend_i32_u(sign), ir.const64(f.bits - 1)), v);
const flag = (ir: Builder, condition: Value, bit: number): Value => (bit === 1 ? condition : ir.i32.shl(condition, ir.const32(Math.log2(bit))));
const or = (ir: Builder, ...v: Value[]): Value => v.reduce((a, b) => ir.i32.or(a, b));
const retInvalid = (ir: Builder, f: Format): void => ir.ret([ir.const64(f.nan), ir.const32(EXCEPTION.invalid)]);
const controlBit = (ir: Builder, mxcsr: Value, bit: number): Value => ir.i32.and(mxcsr, ir.const32(bit));
/** Rounding down: sums that cancel are −0. */
const roundsDown = (ir: Builder, mxcsr: Value): Value => ir.i32.eq(controlBit(ir, mxcsr, CONTROL.rounding), ir.const32(1 << ROUNDING_SHIFT));

/** NaN among the operands: the first, quiet. Returns from the helper then. */
export function retNan(ir: Builder, f: Format, operands: readonly Value[]): void {
  const nans = operands.map((v) => isNan(ir, f, v));
  ir.if(or(ir, ...nans), () => {
    let result = operands[operands.length - 1] as Value;
    for (let k = operands.length - 2; k >= 0; k--) result = ir.select(nans[k] as Value, operands[k] as Value, result);
    ir.ret([ir.i64.or(result, ir.const64(f.quiet)), or(ir, ...operands.map((v) => isSignalling(ir, f, v)))]);
  });
}
/** The operands with denormals taken as zeros if MXCSR says so, and DE if there are others. */
export function readOperands(ir: Builder, f: Format, mxcsr: Value, operands: readonly Value[]): { values: Value[]; denormal: Value } {
  const zeroing = controlBit(ir, mxcsr, CONTROL.denormalsAreZero);
  const denormals = operands.map((v) => isDenormal(ir, f, v));
  const values = operands.map((v, k) => ir.select(ir.select(zeroing, denormals[k] as Value, ir.const32(0)), ir.i64.and(v, ir.const64(f.sign)), v));
  return { values, denormal: ir.select(zeroing, ir.const32(0), flag(ir, or(ir, ...denormals), EXCEPTION.denormal)) };
}

export interface Unpacked {
  readonly sign: Value;
  readonly exponent: Value;
  readonly significand: Value;
}
/** A finite number. Zero has significand 0 and an exponent below all others. */
export function unpack(ir: Builder, f: Format, v: Value): Unpacked {
  const { i32, i64 } = ir;
  const fraction = i64.and(v, ir.const64((1n << BigInt(f.fraction)) - 1n));
  const biased = i32.and(i32.wrap_i64(i64.shr_u(v, ir.const64(f.fraction))), ir.const32(f.top));
  const zeros = i64.clz(fraction);
  const small = i64.shl(fraction, i64.sub(zeros, ir.const64(1)));
  const full = i64.shl(i64.or(fraction, ir.const64(1n << BigInt(f.fraction))), ir.const64(62 - f.fraction));
  const smallExponent = i32.sub(ir.const32(1 - f.bias - f.fraction + 63), i32.wrap_i64(zeros));
  const nothing = i64.eqz(fraction);
  return {
    sign: signOf(ir, f, v),
    exponent: ir.select(biased, i32.sub(biased, ir.const32(f.bias)), ir.select(nothing, ir.const32(-100_000), smallExponent)),
    significand: ir.select(biased, full, ir.select(nothing, ir.const64(0), small)),
  };
}
/** `v` shifted right by `n` ≥ 0 places (i64), what is lost gathered in bit 0. */
export function shiftRightSticky(ir: Builder, v: Value, n: Value): Value {
  const { i64 } = ir;
  const shifted = i64.shr_u(v, n);
  const lost = i64.ne(i64.shl(shifted, n), v);
  return ir.select(i64.lt_u(n, ir.const64(64)), i64.or(shifted, i64.extend_i32_u(lost)), i64.extend_i32_u(i64.ne(v, ir.const64(0))));
}

/** A significand that is not 0, shifted so that its leading digit is at bit 62 (it may be anywhere). */
function normalised(ir: Builder, exponent: Value, significand: Value): [exponent: Value, significand: Value] {
  const { i32, i64 } = ir;
  const zeros = i64.clz(significand);
  const carry = i64.eqz(zeros);
  const halved = i64.or(i64.shr_u(significand, ir.const64(1)), i64.and(significand, ir.const64(1)));
  return [i32.sub(i32.add(exponent, ir.const32(1)), i32.wrap_i64(zeros)), ir.select(carry, halved, i64.shl(significand, i64.sub(zeros, ir.const64(1))))];
}

// ---- rounding ----

/** (sign, exponent, significand ≠ 0, MXCSR, flags so far). */
const ROUND_PARAMS = ['i32', 'i32', 'i64', 'i32', 'i32'] as const;
const roundHelper = (f: Format): Helper =>
  pure(`round.${f.name}`, ROUND_PARAMS, RESULT, (ir, sign, exponent, significand, mxcsr, before) => {
    const { i32, i64 } = ir;
    const k = (n: number | bigint): Value => ir.const64(n);
    const [s, e, sig, control, flags] = [sign, exponent, significand, mxcsr, before] as [Value, Value, Value, Value, Value];
    const dropped = 62 - f.fraction;
    const rest = k((1n << BigInt(dropped)) - 1n);
    const half = k(1n << BigInt(dropped - 1));
    const mode = i32.and(i32.shr_u(control, ir.const32(ROUNDING_SHIFT)), ir.const32(3));
    // toward the infinity of this sign: down for negative, up for positive numbers
    const away = i32.eq(mode, ir.select(s, ir.const32(1), ir.const32(2)));
    const increment = ir.select(mode, ir.select(away, rest, k(0)), half);
    const nearest = i32.eqz(mode);
    /** In units of the last place, and whether anything was lost. */
    const cut = (v: Value): [Value, Value] => {
      const low = i64.and(v, rest);
      const q = i64.shr_u(i64.add(v, increment), k(dropped));
      const tie = i32.and(nearest, i64.eq(low, half));
      return [i64.and(q, i64.xor(i64.extend_i32_u(tie), k(-1))), i64.ne(low, k(0))];
    };
    const [units, inexact] = cut(sig);
    const biased = i32.add(e, ir.const32(f.bias));
    const precision = flag(ir, inexact, EXCEPTION.precision);
    const two = k(2n << BigInt(f.fraction));
    const carries = i64.eq(units, two);
    ir.if(i32.gt_s(biased, ir.const32(0)), () => {
      // the implicit digit carries into the exponent, as does rounding up to the next power of two
      const v = i64.add(i64.shl(i64.extend_i32_u(i32.sub(biased, ir.const32(1))), k(f.fraction)), units);
      const fits = i32.lt_u(i32.add(biased, carries), ir.const32(f.top));
      ir.if(fits, () => ir.ret([withSign(ir, f, s, v), i32.or(flags, precision)]));
      const masked = controlBit(ir, control, EXCEPTION.overflow << MASK_SHIFT);
      const infinite = i32.or(nearest, away);
      const limit = i64.sub(k(f.infinity), i64.extend_i32_u(i32.eqz(infinite)));
      ir.ret([withSign(ir, f, s, limit), or(ir, flags, ir.const32(EXCEPTION.overflow), ir.select(masked, ir.const32(EXCEPTION.precision), precision))]);
    });
    const tiny = i32.eqz(i32.and(i32.eqz(biased), carries));
    ir.if(i32.and(tiny, i32.eqz(controlBit(ir, control, EXCEPTION.underflow << MASK_SHIFT))), () => {
      ir.ret([k(0), or(ir, flags, ir.const32(EXCEPTION.underflow), precision)]);
    });
    ir.if(i32.and(tiny, i32.ne(controlBit(ir, control, CONTROL.flushToZero), ir.const32(0))), () => {
      ir.ret([withSign(ir, f, s, k(0)), i32.or(flags, ir.const32(EXCEPTION.underflow | EXCEPTION.precision))]);
    });
    const distance = i64.extend_i32_u(i32.sub(ir.const32(1), biased));
    const [small, lost] = cut(shiftRightSticky(ir, sig, distance));
    const raised = ir.select(lost, ir.select(tiny, ir.const32(EXCEPTION.underflow | EXCEPTION.precision), ir.const32(EXCEPTION.precision)), ir.const32(0));
    ir.ret([withSign(ir, f, s, small), i32.or(flags, raised)]);
  });
const ROUND = new Map([F16, F32, F64].map((f) => [f, roundHelper(f)]));
/** Return the unpacked number (not 0), rounded, from the helper being built. */
export function retRounded(ir: Builder, f: Format, v: Unpacked, mxcsr: Value, flags: Value): void {
  ir.ret(ir.call(ROUND.get(f) as Helper, [v.sign, v.exponent, v.significand, mxcsr, flags]));
}

// ---- arithmetic ----

export type Operation = 'add' | 'sub' | 'mul' | 'div';
export const BINARY_PARAMS = ['i64', 'i64', 'i32'] as const;

const addHelper = (f: Format, subtract: boolean): Helper =>
  pure(`${subtract ? 'sub' : 'add'}.${f.name}`, BINARY_PARAMS, RESULT, (ir, x, y, mxcsr) => {
    const { i32, i64 } = ir;
    retNan(ir, f, [x as Value, y as Value]);
    const { values, denormal } = readOperands(ir, f, mxcsr as Value, [x as Value, y as Value]);
    const first = values[0] as Value;
    const second = subtract ? i64.xor(values[1] as Value, ir.const64(f.sign)) : (values[1] as Value);
    const infiniteA = isInfinite(ir, f, first);
    const infiniteB = isInfinite(ir, f, second);
    ir.if(i32.or(infiniteA, infiniteB), () => {
      ir.if(i32.and(i32.and(infiniteA, infiniteB), i64.ne(first, second)), () => retInvalid(ir, f));
      ir.ret([ir.select(infiniteA, first, second), denormal]);
    });
    const a = unpack(ir, f, first);
    const b = unpack(ir, f, second);
    const swap = i32.or(i32.lt_s(a.exponent, b.exponent), i32.and(i32.eq(a.exponent, b.exponent), i64.lt_u(a.significand, b.significand)));
    const pick = (p: Unpacked, q: Unpacked): Unpacked => ({ sign: ir.select(swap, q.sign, p.sign), exponent: ir.select(swap, q.exponent, p.exponent), significand: ir.select(swap, q.significand, p.significand) });
    const greater = pick(a, b);
    const lesser = pick(b, a);
    const aligned = shiftRightSticky(ir, lesser.significand, i64.extend_i32_u(i32.sub(greater.exponent, lesser.exponent)));
    const same = i32.eq(a.sign, b.sign);
    const sum = ir.select(same, i64.add(greater.significand, aligned), i64.sub(greater.significand, aligned));
    ir.if(i64.eqz(sum), () => ir.ret([withSign(ir, f, ir.select(same, a.sign, roundsDown(ir, mxcsr as Value)), ir.const64(0)), denormal]));
    const [exponent, significand] = normalised(ir, greater.exponent, sum);
    retRounded(ir, f, { sign: greater.sign, exponent, significand }, mxcsr as Value, denormal);
  });

const multiplyHelper = (f: Format): Helper =>
  pure(`mul.${f.name}`, BINARY_PARAMS, RESULT, (ir, x, y, mxcsr) => {
    const { i32, i64 } = ir;
    retNan(ir, f, [x as Value, y as Value]);
    const { values, denormal } = readOperands(ir, f, mxcsr as Value, [x as Value, y as Value]);
    const [first, second] = values as [Value, Value];
    const sign = signOf(ir, f, i64.xor(first, second));
    const zero = i32.or(isZero(ir, f, first), isZero(ir, f, second));
    ir.if(i32.or(isInfinite(ir, f, first), isInfinite(ir, f, second)), () => {
      ir.if(zero, () => retInvalid(ir, f));
      ir.ret([withSign(ir, f, sign, ir.const64(f.infinity)), denormal]);
    });
    ir.if(zero, () => ir.ret([withSign(ir, f, sign, ir.const64(0)), denormal]));
    const a = unpack(ir, f, first);
    const b = unpack(ir, f, second);
    const [p, q] = [a, b].map((u) => i64.shl(u.significand, ir.const64(1))) as [Value, Value];
    const product = i64.or(ir.mulHiU(p, q), i64.extend_i32_u(i64.ne(i64.mul(p, q), ir.const64(0))));
    const [exponent, significand] = normalised(ir, i32.add(a.exponent, b.exponent), product);
    retRounded(ir, f, { sign, exponent, significand }, mxcsr as Value, denormal);
  });

const divideHelper = (f: Format): Helper =>
  pure(`div.${f.name}`, BINARY_PARAMS, RESULT, (ir, x, y, mxcsr) => {
    const { i32, i64 } = ir;
    const k = (n: number): Value => ir.const64(n);
    retNan(ir, f, [x as Value, y as Value]);
    const { values, denormal } = readOperands(ir, f, mxcsr as Value, [x as Value, y as Value]);
    const [first, second] = values as [Value, Value];
    const sign = signOf(ir, f, i64.xor(first, second));
    const infiniteA = isInfinite(ir, f, first);
    const infiniteB = isInfinite(ir, f, second);
    const zeroA = isZero(ir, f, first);
    const zeroB = isZero(ir, f, second);
    ir.if(i32.or(i32.and(infiniteA, infiniteB), i32.and(zeroA, zeroB)), () => retInvalid(ir, f));
    ir.if(infiniteA, () => ir.ret([withSign(ir, f, sign, ir.const64(f.infinity)), denormal]));
    ir.if(i32.or(infiniteB, zeroA), () => ir.ret([withSign(ir, f, sign, k(0)), denormal]));
    ir.if(zeroB, () => ir.ret([withSign(ir, f, sign, ir.const64(f.infinity)), ir.const32(EXCEPTION.zeroDivide)])); // no DE beside it
    const a = unpack(ir, f, first);
    const b = unpack(ir, f, second);
    const drop = k(62 - f.fraction);
    const divisor = i64.shr_u(b.significand, drop);
    let rest = i64.shr_u(a.significand, drop);
    let quotient: Value;
    let digits: number;
    if (f === F64) {
      // long division, eleven digits at a time: a remainder of 53 bits leaves so much room
      quotient = i64.div_u(rest, divisor);
      rest = i64.sub(rest, i64.mul(quotient, divisor));
      digits = 0;
      for (let n = 0; n < 5; n++) {
        const wide = i64.shl(rest, k(11));
        const q = i64.div_u(wide, divisor);
        rest = i64.sub(wide, i64.mul(q, divisor));
        quotient = i64.or(i64.shl(quotient, k(11)), q);
        digits += 11;
      }
    } else {
      digits = 39;
      const wide = i64.shl(rest, k(digits));
      quotient = i64.div_u(wide, divisor);
      rest = i64.sub(wide, i64.mul(quotient, divisor));
    }
    const exact = i64.or(i64.shl(quotient, k(1)), i64.extend_i32_u(i64.ne(rest, k(0))));
    const [exponent, significand] = normalised(ir, i32.add(i32.sub(a.exponent, b.exponent), ir.const32(62 - digits - 1)), exact);
    retRounded(ir, f, { sign, exponent, significand }, mxcsr as Value, denormal);
  });

export const UNARY_PARAMS = ['i64', 'i32'] as const;
const squareRootHelper = (f: Format): Helper =>
  pure(`sqrt.${f.name}`, UNARY_PARAMS, RESULT, (ir, x, mxcsr) => {
    const { i32, i64, f64 } = ir;
    const k = (n: number): Value => ir.const64(n);
    retNan(ir, f, [x as Value]);
    const { values, denormal } = readOperands(ir, f, mxcsr as Value, [x as Value]);
    const v = values[0] as Value;
    ir.if(isZero(ir, f, v), () => ir.ret([v, denormal]));
    ir.if(signOf(ir, f, v), () => retInvalid(ir, f));
    ir.if(isInfinite(ir, f, v), () => ir.ret([v, denormal]));
    const a = unpack(ir, f, v);
    // m · 2^(e − 52) with e even; √(m · 2^52) is then an integer of 53 digits to within one half
    const odd = i32.and(a.exponent, ir.const32(1));
    const m = i64.shl(i64.shr_u(a.significand, k(10)), i64.extend_i32_u(odd));
    const e = i32.sub(a.exponent, odd);
    const root = ir.i64.trunc_sat_f64_s(f64.mul(f64.sqrt(f64.convert_i64_s(m)), ir.constF64(0x4190000000000000n)));
    const [squareHi, squareLo] = [ir.mulHiU(root, root), i64.mul(root, root)];
    const [hi, lo] = [i64.shr_u(m, k(12)), i64.shl(m, k(52))];
    const less = i32.or(i64.lt_u(squareHi, hi), i32.and(i64.eq(squareHi, hi), i64.lt_u(squareLo, lo)));
    const exact = i32.and(i64.eq(squareHi, hi), i64.eq(squareLo, lo));
    const correction = ir.select(exact, k(0), ir.select(less, k(1), k(-1)));
    const significand = i64.add(i64.shl(root, k(10)), correction);
    retRounded(ir, f, { sign: ir.const32(0), exponent: i32.shr_s(e, ir.const32(1)), significand }, mxcsr as Value, denormal);
  });

type ByFormat = ReadonlyMap<Format, Helper>;
const both = (make: (f: Format) => Helper): ByFormat => new Map([F32, F64].map((f) => [f, make(f)]));
/** (a, b, MXCSR) → result, flags. */
export const ARITHMETIC: Readonly<Record<Operation, ByFormat>> = {
  add: both((f) => addHelper(f, false)),
  sub: both((f) => addHelper(f, true)),
  mul: both(multiplyHelper),
  div: both(divideHelper),
};
/** (a, MXCSR) → result, flags. */
export const SQUARE_ROOT: ByFormat = both(squareRootHelper);

// ---- fused multiply-add ----

/** (x, y, z, sign bits to turn: 1 the product's, 2 the addend's; MXCSR). */
const FMA_PARAMS = ['i64', 'i64', 'i64', 'i32', 'i32'] as const;
const fmaHelper = (f: Format): Helper =>
  pure(`fma.${f.name}`, FMA_PARAMS, RESULT, (ir, x, y, z, turn, mxcsr) => {
    const { i32, i64 } = ir;
    const k = (n: number): Value => ir.const64(n);
    const turned = turn as Value;
    retNan(ir, f, [x as Value, y as Value, z as Value]);
    const { values, denormal } = readOperands(ir, f, mxcsr as Value, [x as Value, y as Value, z as Value]);
    const [first, second, plain] = values as [Value, Value, Value];
    const third = i64.xor(plain, i64.shl(i64.extend_i32_u(i32.shr_u(turned, ir.const32(1))), k(f.bits - 1)));
    const sign = i32.xor(signOf(ir, f, i64.xor(first, second)), i32.and(turned, ir.const32(1)));
    const zero = i32.or(isZero(ir, f, first), isZero(ir, f, second));
    const infinite = i32.or(isInfinite(ir, f, first), isInfinite(ir, f, second));
    ir.if(infinite, () => {
      const product = withSign(ir, f, sign, ir.const64(f.infinity));
      ir.if(i32.or(zero, i32.and(isInfinite(ir, f, third), i64.ne(product, third))), () => retInvalid(ir, f));
      ir.ret([product, denormal]);
    });
    ir.if(isInfinite(ir, f, third), () => ir.ret([third, denormal]));
    const add = (ARITHMETIC.add.get(f) as Helper);
    ir.if(zero, () => {
      const [sum, flags] = ir.call(add, [withSign(ir, f, sign, k(0)), third, mxcsr as Value]) as [Value, Value];
      ir.ret([sum, i32.or(flags, denormal)]);
    });
    const a = unpack(ir, f, first);
    const b = unpack(ir, f, second);
    const c = unpack(ir, f, third);
    // the product's leading digit is at bit 125 or 126 of hi:lo
    const [u, v] = [i64.shl(a.significand, k(1)), b.significand];
    const [high, low] = [ir.mulHiU(u, v), i64.mul(u, v)];
    const up = i64.sub(i64.clz(high), k(1)); // 0 or 1
    const p = { hi: i64.or(i64.shl(high, up), i64.and(i64.shr_u(low, k(63)), up)), lo: i64.shl(low, up), e: i32.sub(i32.add(i32.add(a.exponent, b.exponent), ir.const32(1)), i32.wrap_i64(up)), s: sign };
    const q = { hi: c.significand, lo: k(0), e: c.exponent, s: c.sign };
    const below = (hi1: Value, lo1: Value, hi2: Value, lo2: Value): Value => i32.or(i64.lt_u(hi1, hi2), i32.and(i64.eq(hi1, hi2), i64.lt_u(lo1, lo2)));
    const swap = i32.or(i32.lt_s(p.e, q.e), i32.and(i32.eq(p.e, q.e), below(p.hi, p.lo, q.hi, q.lo)));
    const pick = (key: 'hi' | 'lo' | 'e' | 's'): [Value, Value] => [ir.select(swap, q[key], p[key]), ir.select(swap, p[key], q[key])];
    const [gHi, sHi] = pick('hi');
    const [gLo, sLo] = pick('lo');
    const [gE, sE] = pick('e');
    const [gS] = pick('s');
    // the lesser shifted right, what is lost gathered in its lowest bit
    const distance = i64.extend_i32_u(i32.sub(gE, sE));
    const near = i64.lt_u(distance, k(64));
    const spill = ir.select(i64.eqz(distance), k(0), i64.shl(sHi, i64.sub(k(64), distance)));
    const nearLo = i64.or(i64.or(i64.shr_u(sLo, distance), spill), i64.extend_i32_u(i64.ne(i64.shl(i64.shr_u(sLo, distance), distance), sLo)));
    const farLo = i64.or(shiftRightSticky(ir, sHi, i64.sub(distance, k(64))), i64.extend_i32_u(i64.ne(sLo, k(0))));
    const tHi = ir.select(near, i64.shr_u(sHi, distance), k(0));
    const tLo = ir.select(near, nearLo, farLo);
    const same = i32.eq(p.s, q.s);
    const sumLo = i64.add(gLo, tLo);
    const sumHi = i64.add(i64.add(gHi, tHi), i64.extend_i32_u(i64.lt_u(sumLo, gLo)));
    const differenceHi = i64.sub(i64.sub(gHi, tHi), i64.extend_i32_u(i64.lt_u(gLo, tLo)));
    const rLo = ir.select(same, sumLo, i64.sub(gLo, tLo));
    const rHi = ir.select(same, sumHi, differenceHi);
    ir.if(i64.eqz(i64.or(rHi, rLo)), () => ir.ret([withSign(ir, f, roundsDown(ir, mxcsr as Value), k(0)), denormal]));
    // the upper 64 digits from the leading one on, the others gathered below
    const zeros = ir.select(i64.eqz(rHi), i64.add(i64.clz(rLo), k(64)), i64.clz(rHi));
    const many = i64.ge_u(zeros, k(64));
    const hi = ir.select(many, rLo, rHi);
    const lo = ir.select(many, k(0), rLo);
    const left = i64.and(zeros, k(63));
    const fromLow = ir.select(i64.eqz(left), k(0), i64.shr_u(lo, i64.sub(k(64), left)));
    const leading = i64.or(i64.shl(hi, left), fromLow);
    const sticky = i64.extend_i32_u(i64.ne(i64.shl(lo, left), k(0)));
    const significand = i64.or(i64.or(i64.shr_u(leading, k(1)), i64.and(leading, k(1))), sticky);
    const exponent = i32.sub(i32.add(gE, ir.const32(1)), i32.wrap_i64(zeros));
    retRounded(ir, f, { sign: gS, exponent, significand }, mxcsr as Value, denormal);
  });
export const FMA: ByFormat = both(fmaHelper);
