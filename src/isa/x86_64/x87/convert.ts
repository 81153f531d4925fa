/**
 * Conversions between the 80-bit format and the narrower floats, integers and packed decimals, and the operations
 * that round to an integer or take a number apart. Pure IR helpers; conventions as in soft-float.ts.
 *
 * A conversion for a store returns its exceptions with BLOCKED set when an unmasked one forbids the store (and the pop).
 */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import { and, BIAS, c1Of, EXC, exponentOf, F80, FROM_DENORMAL, isDenormal, isNanOrUnsupported, isSignalling, isTop, isUnsupported, isZero, MSB, nan1, nan2, normalise, or, or64, pure, retInvalid, round, roundsUp, SIGN, signOf, TOP_EXPONENT, unmasked, BINARY } from './soft-float.ts';

/** In the exceptions of a store: do not store. */
export const BLOCKED = -0x80000000;

// ---- to the 80-bit format ----

/** The bits of a float or double → (significand, sign and exponent), exact; a signalling NaN stays one. */
function fromFloat(name: string, type: 'i32' | 'i64', width: number, mantissa: number): Helper {
  const bias = (1 << (width - mantissa - 2)) - 1;
  const top = 2 * bias + 1;
  return pure(name, [type], ['i64', 'i32'], (ir, raw) => {
    const c = (n: number): Value => ir.const32(n);
    const C = (n: number | bigint): Value => ir.const64(n);
    const bits = type === 'i32' ? ir.i64.extend_i32_u(raw) : raw;
    const sign = ir.i32.and(ir.i32.wrap_i64(ir.i64.shr_u(bits, C(width - 16))), c(SIGN));
    const e = ir.i32.and(ir.i32.wrap_i64(ir.i64.shr_u(bits, C(mantissa))), c(top));
    const frac = ir.i64.shl(bits, C(64 - mantissa));
    const whole = ir.i64.or(ir.i64.shr_u(frac, C(1)), C(MSB));
    ir.if(ir.i32.lt_u(ir.i32.sub(e, c(1)), c(top - 1)), () => ir.ret([whole, ir.i32.or(sign, ir.i32.add(e, c(BIAS - bias)))]));
    ir.if(e, () => ir.ret([whole, ir.i32.or(sign, c(TOP_EXPONENT))]));
    ir.if(ir.i64.eqz(frac), () => ir.ret([C(0), sign]));
    const z = ir.i64.clz(frac);
    ir.ret([ir.i64.shl(frac, z), or(ir, sign, c(FROM_DENORMAL), ir.i32.sub(c(BIAS - bias), ir.i32.wrap_i64(z)))]);
  });
}
export const from32 = fromFloat('from32', 'i32', 32, 23);
export const from64 = fromFloat('from64', 'i64', 64, 52);

/** A signed integer → (significand, sign and exponent), exact. */
export const fromInt = pure('fromInt', ['i64'], ['i64', 'i32'], (ir, v) => {
  const sign = ir.i64.shr_s(v, ir.const64(63));
  const mag = ir.i64.sub(ir.i64.xor(v, sign), sign);
  ir.if(ir.i64.eqz(mag), () => ir.ret([mag, ir.const32(0)]));
  const z = ir.i64.clz(mag);
  ir.ret([ir.i64.shl(mag, z), ir.i32.or(ir.i32.and(ir.i32.wrap_i64(sign), ir.const32(SIGN)), ir.i32.sub(ir.const32(BIAS + 63), ir.i32.wrap_i64(z)))]);
});

/** Packed decimal, low 8 and high 2 bytes → (significand, sign and exponent). Digits above 9 count as what they are. */
export const fromBcd = pure('fromBcd', ['i64', 'i32'], ['i64', 'i32'], (ir, lo, hi) => {
  const C = (n: number | bigint): Value => ir.const64(n);
  // Neighbouring digits, pairs, fours and eights are joined in place.
  let x = lo;
  for (const [bits, mask, scale] of [[4, 0x0f0f0f0f0f0f0f0fn, 10], [8, 0x00ff00ff00ff00ffn, 100], [16, 0x0000ffff0000ffffn, 10000], [32, 0xffffffffn, 100000000]] as const) {
    x = ir.i64.add(ir.i64.mul(ir.i64.and(ir.i64.shr_u(x, C(bits)), C(mask)), C(scale)), ir.i64.and(x, C(mask)));
  }
  const h = ir.i64.extend_i32_u(hi);
  const tens = ir.i64.and(ir.i64.shr_u(h, C(4)), C(15));
  const top = ir.i64.add(ir.i64.mul(tens, C(10)), ir.i64.and(h, C(15)));
  const [sig, se] = ir.call(fromInt, [ir.i64.add(ir.i64.mul(top, C(10n ** 16n)), x)]) as [Value, Value];
  ir.ret([sig, ir.i32.or(se, ir.i32.and(hi, ir.const32(SIGN)))]);
});

// ---- to floats ----

function toFloat(name: string, type: 'i32' | 'i64', width: number, mantissa: number): Helper {
  const bias = (1 << (width - mantissa - 2)) - 1;
  const top = 2 * bias + 1;
  const drop = 63 - mantissa;
  return pure(name, ['i64', 'i32', 'i32'], [type, 'i32'], (ir, sig, se, control) => {
    const c = (n: number): Value => ir.const32(n);
    const C = (n: number | bigint): Value => ir.const64(n);
    const signBit = ir.i64.shl(ir.i64.extend_i32_u(signOf(ir, se)), C(width - 16));
    const ret = (bits: Value, exc: Value): void => {
      const signed = ir.i64.or(bits, signBit);
      ir.ret([type === 'i32' ? ir.i32.wrap_i64(signed) : signed, exc]);
    };
    const infinity = BigInt(top) << BigInt(mantissa);
    const block = (exc: number): void => ret(C(0), c(exc | BLOCKED));
    ir.if(ir.i32.or(isTop(ir, se), isUnsupported(ir, sig, se)), () => {
      ir.if(ir.i32.eqz(isNanOrUnsupported(ir, sig, se)), () => ret(C(infinity), c(0)));
      const unsupported = isUnsupported(ir, sig, se);
      const invalid = ir.i32.or(unsupported, isSignalling(ir, sig));
      ir.if(unmasked(ir, invalid, control, EXC.invalid), () => block(EXC.invalid));
      const quiet = C(1n << BigInt(mantissa - 1));
      const payload = ir.i64.and(ir.i64.shr_u(sig, C(drop)), C((1n << BigInt(mantissa)) - 1n));
      const indefinite = C((1n << BigInt(width - 1)) | infinity | (1n << BigInt(mantissa - 1)));
      ret(ir.select(unsupported, indefinite, or64(ir, C(infinity), quiet, payload)), invalid);
    });
    ir.if(isZero(ir, sig), () => ret(C(0), c(0)));
    const sign = signOf(ir, se);
    const mask = C((1n << BigInt(drop)) - 1n);
    /** [rounded significand of mantissa + 1 bits (or a power above), round up, inexact] */
    const roundedAt = (s: Value): [Value, Value, Value] => {
      const rest = ir.i64.shl(ir.i64.and(s, mask), C(64 - drop));
      const m = ir.i64.shr_u(s, C(drop));
      const up = roundsUp(ir, ir.i32.wrap_i64(ir.i64.and(m, C(1))), rest, sign, control);
      return [ir.i64.add(m, ir.i64.extend_i32_u(up)), up, ir.i64.ne(rest, C(0))];
    };
    const e = ir.i32.sub(exponentOf(ir, se), c(BIAS - bias));
    const [m, up, inexact] = roundedAt(sig);
    const carried = ir.i32.wrap_i64(ir.i64.shr_u(m, C(mantissa + 1)));
    ir.if(ir.i32.gt_s(e, c(0)), () => {
      ir.if(ir.i32.ge_s(ir.i32.add(e, carried), c(top)), () => {
        ir.if(ir.i32.eqz(ir.i32.and(control, c(EXC.overflow))), () => block(EXC.overflow));
        const rc = ir.i32.and(control, c(0xc00));
        const infinite = ir.i32.or(ir.i32.eqz(rc), ir.i32.eq(rc, ir.select(sign, c(0x400), c(0x800))));
        ret(ir.select(infinite, C(infinity), C(infinity - 1n)), ir.i32.or(c(EXC.overflow | EXC.precision), c1Of(ir, infinite)));
      });
      const bits = ir.i64.add(ir.i64.shl(ir.i64.extend_i32_u(ir.i32.sub(e, c(1))), C(mantissa)), m);
      ret(bits, ir.i32.or(ir.i32.shl(inexact, c(5)), c1Of(ir, up)));
    });
    const tiny = ir.i32.eqz(ir.i32.and(ir.i32.eqz(e), carried));
    ir.if(ir.i32.and(tiny, ir.i32.eqz(ir.i32.and(control, c(EXC.underflow)))), () => block(EXC.underflow));
    const shift = ir.i32.sub(c(1), e);
    const n = ir.i64.extend_i32_u(shift);
    const sticky = ir.i64.extend_i32_u(ir.i64.ne(ir.i64.shl(sig, ir.i64.sub(C(64), n)), C(0)));
    const [m2, up2, inexact2] = roundedAt(ir.select(ir.i32.lt_u(shift, c(64)), ir.i64.or(ir.i64.shr_u(sig, n), sticky), C(1)));
    const flags = ir.select(inexact2, ir.select(tiny, c(EXC.underflow | EXC.precision), c(EXC.precision)), c(0));
    ret(m2, ir.i32.or(flags, c1Of(ir, up2)));
  });
}
export const to32 = toFloat('to32', 'i32', 32, 23);
export const to64 = toFloat('to64', 'i64', 64, 52);

// ---- to integers ----

/** Emit: integer part of the finite number below 2^64 and the rest as a binary fraction (a sticky bit at its bottom). */
function split(ir: Builder, sig: Value, se: Value): [Value, Value] {
  const C = (n: number): Value => ir.const64(n);
  const count = ir.i32.sub(ir.const32(BIAS + 63), exponentOf(ir, se));
  const n = ir.i64.extend_i32_u(count);
  const within = ir.i32.lt_u(count, ir.const32(64));
  const whole = ir.select(within, ir.i64.shr_u(sig, n), C(0));
  const beyond = ir.i64.extend_i32_u(ir.i64.ne(sig, C(0)));
  const rest = ir.select(within, ir.i64.shl(ir.i64.shl(sig, C(1)), ir.i64.xor(n, C(63))), ir.select(ir.i32.eq(count, ir.const32(64)), sig, beyond));
  return [whole, rest];
}

/** (significand, sign and exponent, control) → (the integer, exceptions); rounding as `control` says. */
function toInt(name: string, limit: bigint, indefinite: bigint): Helper {
  return pure(name, ['i64', 'i32', 'i32'], ['i64', 'i32'], (ir, sig, se, control) => {
    const c = (n: number): Value => ir.const32(n);
    const invalid = (): void => {
      const blocked = ir.select(ir.i32.and(control, c(EXC.invalid)), c(EXC.invalid), c(EXC.invalid | BLOCKED));
      ir.ret([ir.const64(indefinite), blocked]);
    };
    ir.if(ir.i32.or(isUnsupported(ir, sig, se), ir.i32.gt_u(exponentOf(ir, se), c(BIAS + 63))), invalid);
    const sign = signOf(ir, se);
    const [whole, rest] = split(ir, sig, se);
    const up = roundsUp(ir, ir.i32.wrap_i64(ir.i64.and(whole, ir.const64(1))), rest, sign, control);
    const mag = ir.i64.add(whole, ir.i64.extend_i32_u(up));
    // Two's complement holds one negative number more; packed decimals are symmetric.
    const lowest = limit === 10n ** 18n - 1n ? limit : limit + 1n;
    ir.if(ir.i64.gt_u(mag, ir.select(sign, ir.const64(lowest), ir.const64(limit))), invalid);
    ir.ret([ir.select(sign, ir.i64.sub(ir.const64(0), mag), mag), ir.i32.or(ir.i32.shl(ir.i64.ne(rest, ir.const64(0)), c(5)), c1Of(ir, up))]);
  });
}
export const toInt16 = toInt('toInt16', 0x7fffn, -0x8000n);
export const toInt32 = toInt('toInt32', 0x7fffffffn, -0x80000000n);
export const toInt64 = toInt('toInt64', MSB - 1n, -MSB);
const toDecimal = toInt('toDecimal', 10n ** 18n - 1n, 0n);

/** → (low 8 bytes, high 2 bytes, exceptions) of a packed decimal. */
export const toBcd = pure('toBcd', ['i64', 'i32', 'i32'], ['i64', 'i32', 'i32'], (ir, sig, se, control) => {
  const C = (n: number | bigint): Value => ir.const64(n);
  const [v, exc] = ir.call(toDecimal, [sig, se, control]) as [Value, Value];
  ir.if(ir.i32.and(exc, ir.const32(EXC.invalid)), () => ir.ret([C(3n << 62n), ir.const32(0xffff), exc]));
  const rest = ir.temp('i64');
  const out = ir.temp('i64');
  const at = ir.temp('i64');
  ir.set(rest, ir.select(signOf(ir, se), ir.i64.sub(C(0), v), v));
  ir.set(out, C(0));
  ir.set(at, C(0));
  ir.loop(() => {
    const r = ir.get(rest);
    const q = ir.i64.div_u(r, C(10));
    ir.set(out, ir.i64.or(ir.get(out), ir.i64.shl(ir.i64.sub(r, ir.i64.mul(q, C(10))), ir.get(at))));
    ir.set(rest, q);
    const next = ir.i64.add(ir.get(at), C(4));
    ir.set(at, next);
    return ir.i64.lt_u(next, C(64));
  });
  const top = ir.i32.wrap_i64(ir.get(rest)); // two digits
  const tens = ir.i32.div_u(top, ir.const32(10));
  const bcd = ir.i32.or(ir.i32.shl(tens, ir.const32(4)), ir.i32.sub(top, ir.i32.mul(tens, ir.const32(10))));
  ir.ret([ir.get(out), ir.i32.or(signOf(ir, se), bcd), exc]);
});

export const roundToInt = pure('roundToInt', ['i64', 'i32', 'i32'], F80, (ir, sig, se, control) => {
  const c = (n: number): Value => ir.const32(n);
  ir.if(isNanOrUnsupported(ir, sig, se), () => ir.ret(ir.call(nan1, [sig, se])));
  ir.if(ir.i32.or(isZero(ir, sig), ir.i32.ge_u(exponentOf(ir, se), c(BIAS + 63))), () => ir.ret([sig, se, c(0)]));
  const denormal = ir.i32.shl(isDenormal(ir, sig, se), c(1));
  ir.if(unmasked(ir, denormal, control, EXC.denormal), () => ir.ret([sig, se, denormal]));
  const sign = signOf(ir, se);
  const [whole, rest] = split(ir, sig, se);
  const up = roundsUp(ir, ir.i32.wrap_i64(ir.i64.and(whole, ir.const64(1))), rest, sign, control);
  const mag = ir.i64.add(whole, ir.i64.extend_i32_u(up));
  const exc = or(ir, denormal, ir.i32.shl(ir.i64.ne(rest, ir.const64(0)), c(5)), c1Of(ir, up));
  ir.if(ir.i64.eqz(mag), () => ir.ret([mag, sign, exc]));
  const z = ir.i64.clz(mag);
  ir.ret([ir.i64.shl(mag, z), ir.i32.or(sign, ir.i32.sub(c(BIAS + 63), ir.i32.wrap_i64(z))), exc]);
});

// ---- exponents ----

/** A · 2^trunc(B). Never rounded to a shorter precision. */
export const scale = pure('scale', BINARY, F80, (ir, sa, ea, sb, eb, control) => {
  const c = (n: number): Value => ir.const32(n);
  const C = (n: number): Value => ir.const64(n);
  ir.if(ir.i32.or(isNanOrUnsupported(ir, sa, ea), isNanOrUnsupported(ir, sb, eb)), () => ir.ret(ir.call(nan2, [sa, ea, sb, eb])));
  const infA = isTop(ir, ea);
  const infB = isTop(ir, eb);
  const sign = signOf(ir, ea);
  const down = ir.i32.ne(signOf(ir, eb), c(0));
  const zeroA = isZero(ir, sa);
  ir.if(ir.i32.and(infB, ir.select(down, infA, zeroA)), () => retInvalid(ir));
  const denormal = ir.i32.shl(ir.i32.or(isDenormal(ir, sa, ea), isDenormal(ir, sb, eb)), c(1));
  ir.if(unmasked(ir, denormal, control, EXC.denormal), () => ir.ret([sa, ea, denormal]));
  ir.if(or(ir, infA, zeroA), () => ir.ret([sa, ea, denormal]));
  ir.if(infB, () => ir.ret([ir.select(down, C(0), ir.const64(MSB)), ir.i32.or(sign, ir.select(down, c(0), c(TOP_EXPONENT))), denormal]));
  const sig = ir.temp('i64');
  const exp = ir.temp('i32');
  ir.set(sig, sa);
  ir.set(exp, exponentOf(ir, ea));
  normalise(ir, sig, exp);
  // Below 2^16 the count is exact; beyond, any result has left the range for good.
  const e = exponentOf(ir, eb);
  const bits = ir.i64.sub(C(63 + BIAS), ir.i64.extend_i32_u(e));
  const small = ir.i32.lt_u(e, c(BIAS));
  const large = ir.i32.gt_u(e, c(BIAS + 15));
  const count = ir.select(small, c(0), ir.select(large, c(0x10000), ir.i32.wrap_i64(ir.i64.shr_u(sb, bits))));
  const by = ir.select(down, ir.i32.sub(c(0), count), count);
  ir.ret(ir.call(round, [sign, ir.i32.add(ir.get(exp), by), ir.get(sig), C(0), ir.i32.or(control, c(0x300)), denormal]));
});

/** → (exponent as a number: significand, sign and exponent; significand as a number: likewise; exceptions) */
export const extract = pure('extract', ['i64', 'i32', 'i32'], ['i64', 'i32', 'i64', 'i32', 'i32'], (ir, sig, se, control) => {
  const c = (n: number): Value => ir.const32(n);
  ir.if(isNanOrUnsupported(ir, sig, se), () => {
    const [s, e, exc] = ir.call(nan1, [sig, se]) as [Value, Value, Value];
    ir.ret([s, e, s, e, exc]);
  });
  ir.if(isTop(ir, se), () => ir.ret([sig, c(TOP_EXPONENT), sig, se, c(0)]));
  ir.if(isZero(ir, sig), () => ir.ret([ir.const64(MSB), c(SIGN | TOP_EXPONENT), sig, se, c(EXC.zeroDivide)]));
  const denormal = ir.i32.shl(isDenormal(ir, sig, se), c(1));
  ir.if(unmasked(ir, denormal, control, EXC.denormal), () => ir.ret([sig, se, sig, se, denormal]));
  const s = ir.temp('i64');
  const e = ir.temp('i32');
  ir.set(s, sig);
  ir.set(e, exponentOf(ir, se));
  normalise(ir, s, e);
  const [xs, xe] = ir.call(fromInt, [ir.i64.extend_i32_s(ir.i32.sub(ir.get(e), c(BIAS)))]) as [Value, Value];
  ir.ret([xs, xe, ir.get(s), ir.i32.or(signOf(ir, se), c(BIAS)), denormal]);
});

/** Condition-code bits of the status word. */
export const CC = { c0: 0x100, c1: 0x200, c2: 0x400, c3: 0x4000 } as const;

/**
 * Remainder of A / B with the quotient truncated (FPREM) or, if `nearest`, rounded to even (FPREM1). The exceptions
 * hold the condition codes too: C2 when the reduction is partial, else the quotient's low bits in C0 C3 C1.
 */
export const remainder = pure('remainder', [...BINARY, 'i32'], F80, (ir, sa, ea, sb, eb, control, nearest) => {
  const c = (n: number): Value => ir.const32(n);
  const C = (n: number): Value => ir.const64(n);
  ir.if(ir.i32.or(isNanOrUnsupported(ir, sa, ea), isNanOrUnsupported(ir, sb, eb)), () => ir.ret(ir.call(nan2, [sa, ea, sb, eb])));
  ir.if(ir.i32.or(isTop(ir, ea), isZero(ir, sb)), () => retInvalid(ir));
  const denormal = ir.i32.shl(ir.i32.or(isDenormal(ir, sa, ea), isDenormal(ir, sb, eb)), c(1));
  ir.if(unmasked(ir, denormal, control, EXC.denormal), () => ir.ret([sa, ea, denormal]));
  ir.if(isZero(ir, sa), () => ir.ret([sa, ea, denormal]));
  const full = ir.i32.or(control, c(0x300));
  const sigA = ir.temp('i64');
  const expA = ir.temp('i32');
  const sigB = ir.temp('i64');
  const expB = ir.temp('i32');
  ir.set(sigA, sa);
  ir.set(expA, exponentOf(ir, ea));
  normalise(ir, sigA, expA);
  const sign = signOf(ir, ea);
  ir.if(isTop(ir, eb), () => ir.ret(ir.call(round, [sign, ir.get(expA), ir.get(sigA), C(0), full, denormal])));
  ir.set(sigB, sb);
  ir.set(expB, exponentOf(ir, eb));
  normalise(ir, sigB, expB);
  const a = ir.get(sigA);
  const b = ir.get(sigB);
  const d = ir.i32.sub(ir.get(expA), ir.get(expB));
  const quotient = (q: Value): Value => or(ir, ir.i32.shl(ir.i32.and(q, c(1)), c(9)), ir.i32.shl(ir.i32.and(q, c(2)), c(13)), ir.i32.shl(ir.i32.and(q, c(4)), c(6)));
  ir.if(ir.i32.lt_s(d, c(0)), () => {
    // |A| < |B|; only just below can |A| be past half of it.
    ir.if(and(ir, nearest, ir.i32.eq(d, c(-1)), ir.i64.gt_u(a, b)), () => {
      const v = ir.i64.sub(ir.i64.shl(b, C(1)), a);
      const z = ir.i64.clz(v);
      const [s, e, exc] = ir.call(round, [ir.i32.xor(sign, c(SIGN)), ir.i32.sub(ir.get(expA), ir.i32.wrap_i64(z)), ir.i64.shl(v, z), C(0), full, denormal]) as [Value, Value, Value];
      ir.ret([s, e, ir.i32.or(exc, c(CC.c1))]);
    });
    ir.ret(ir.call(round, [sign, ir.get(expA), a, C(0), full, denormal]));
  });
  // At most 63 bits in one go; beyond, the processor takes 32 + (distance mod 32) and sets C2.
  const partial = ir.i32.gt_u(d, c(63));
  const steps = ir.select(partial, ir.i32.or(ir.i32.and(d, c(31)), c(32)), d);
  const q = ir.temp('i32');
  const r = ir.temp('i64');
  const left = ir.temp('i32');
  const first = ir.i64.ge_u(a, b);
  ir.set(q, first);
  ir.set(r, ir.i64.sub(a, ir.select(first, b, C(0))));
  ir.set(left, steps);
  ir.if(steps, () => {
    ir.loop(() => {
      const old = ir.get(r);
      const twice = ir.i64.shl(old, C(1));
      const bit = ir.i32.or(ir.i64.lt_s(old, C(0)), ir.i64.ge_u(twice, b));
      ir.set(r, ir.i64.sub(twice, ir.select(bit, b, C(0))));
      ir.set(q, ir.i32.or(ir.i32.shl(ir.get(q), c(1)), bit));
      const n = ir.i32.sub(ir.get(left), c(1));
      ir.set(left, n);
      return n;
    });
  });
  const rest = ir.get(r);
  const exp = ir.i32.add(ir.get(expB), ir.i32.sub(d, steps));
  const over = ir.i64.sub(b, rest);
  const past = ir.i32.or(ir.i64.gt_u(rest, over), ir.i32.and(ir.i64.eq(rest, over), ir.i32.and(ir.get(q), c(1))));
  const flip = and(ir, nearest, ir.i32.eqz(partial), past);
  const v = ir.select(flip, over, rest);
  const codes = ir.select(partial, c(CC.c2), quotient(ir.i32.add(ir.get(q), flip)));
  ir.if(ir.i64.eqz(v), () => ir.ret([v, sign, ir.i32.or(denormal, codes)]));
  const z = ir.i64.clz(v);
  const [s, e, exc] = ir.call(round, [ir.select(flip, ir.i32.xor(sign, c(SIGN)), sign), ir.i32.sub(exp, ir.i32.wrap_i64(z)), ir.i64.shl(v, z), C(0), full, denormal]) as [Value, Value, Value];
  ir.ret([s, e, ir.i32.or(exc, codes)]);
});

// ---- comparison ----

/** → (condition codes: 0 above, C0 below, C3 equal, all three unordered; exceptions). `quiet`: a quiet NaN is no error. */
export const compare = pure('compare', ['i64', 'i32', 'i64', 'i32', 'i32'], ['i32', 'i32'], (ir, sa, ea, sb, eb, quiet) => {
  const c = (n: number): Value => ir.const32(n);
  ir.if(ir.i32.or(isNanOrUnsupported(ir, sa, ea), isNanOrUnsupported(ir, sb, eb)), () => {
    const [, , exc] = ir.call(nan2, [sa, ea, sb, eb]) as [Value, Value, Value];
    ir.ret([c(CC.c0 | CC.c2 | CC.c3), ir.select(quiet, exc, c(EXC.invalid))]);
  });
  const denormal = ir.i32.shl(ir.i32.or(isDenormal(ir, sa, ea), isDenormal(ir, sb, eb)), c(1));
  const zeroA = isZero(ir, sa);
  const zeroB = isZero(ir, sb);
  ir.if(ir.i32.and(zeroA, zeroB), () => ir.ret([c(CC.c3), c(0)]));
  // A pseudo-denormal counts as exponent 1; a mark for a denormal source is not part of the exponent.
  const place = (sig: Value, se: Value): Value => {
    const e = exponentOf(ir, se);
    const pseudo = ir.i32.and(ir.i32.eqz(e), ir.i64.lt_s(sig, ir.const64(0)));
    return ir.select(isZero(ir, sig), c(0), ir.i32.add(e, pseudo));
  };
  const signA = signOf(ir, ea);
  const pa = place(sa, ea);
  const pb = place(sb, eb);
  const same = ir.i32.eq(pa, pb);
  const below = ir.select(same, ir.i64.lt_u(sa, sb), ir.i32.lt_u(pa, pb));
  const equal = ir.i32.and(same, ir.i64.eq(sa, sb));
  const signs = ir.i32.ne(signA, signOf(ir, eb));
  const negative = ir.i32.ne(signA, c(0));
  const codes = ir.select(signs, ir.select(negative, c(CC.c0), c(0)), ir.select(equal, c(CC.c3), ir.select(ir.i32.xor(below, negative), c(CC.c0), c(0))));
  ir.ret([codes, denormal]);
});
