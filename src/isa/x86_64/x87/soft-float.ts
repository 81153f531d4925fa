/**
 * 80-bit floating-point arithmetic as pure IR helpers: a value is its significand (i64, integer bit explicit) and its
 * sign and biased exponent (i32, the 16 high bits of the memory format). No helper here touches state: control word
 * in, exception flags out.
 *
 * Conventions:
 * - The exceptions result holds the status-word bits of EXC that this one operation raises, plus EXC.roundUp (C1).
 *   If it holds an *unmasked* IE, DE or ZE, the other results mean nothing and the destination must stay untouched.
 * - An operand's exponent word may carry FROM_DENORMAL: it came from a denormal of a narrower format, so DE is due,
 *   but it is normalised here.
 * - Masked and unmasked over- and underflow both give the value the processor stores in a register.
 *
 * Source: Intel SDM volume 1, chapters 4 and 8; where it leaves a choice, the host was asked.
 */
import type { Builder, Helper, Value, Var } from '../../../ir/builder.ts';

/** Bits of the status word that an operation may raise. */
export const EXC = { invalid: 1, denormal: 2, zeroDivide: 4, overflow: 8, underflow: 16, precision: 32, stack: 64, roundUp: 0x200 } as const;
/** Exceptions found before the operation: unmasked, they leave everything as it was. */
export const PRE_EXCEPTIONS = EXC.invalid | EXC.denormal | EXC.zeroDivide;
export const FROM_DENORMAL = 0x10000;
export const MSB = 1n << 63n;
export const SIGN = 0x8000;
/** Sign and exponent of an infinity or NaN. */
export const TOP_EXPONENT = 0x7fff;
export const BIAS = 0x3fff;
/** "Real indefinite", the default NaN. */
export const INDEFINITE = { significand: 3n << 62n, signExponent: 0xffff } as const;
/** What the result's exponent moves by when over- or underflow is unmasked. */
const WRAP = 0x6000;

export type Emit = (ir: Builder, ...v: Value[]) => void;
export const pure = (name: string, params: Helper['params'], results: Helper['results'], build: Emit): Helper => ({ name: `x87.${name}`, params, results, effect: 'pure', build });
export const F80 = ['i64', 'i32', 'i32'] as const;

/**
 * Emit the body of `helper` here instead of a call: a call costs more than most of these bodies. Its results.
 * What stays a call is what rarely runs.
 */
export function inlined(ir: Builder, helper: Helper, args: readonly Value[]): Value[] {
  const { build } = helper;
  if (build === undefined) throw new Error(`helper ${helper.name} has no IR body`);
  const results = helper.results.map((t) => ir.temp(t));
  const after = ir.newBlock();
  const outer = ir.ret;
  ir.ret = (values): void => {
    results.forEach((v, i) => ir.set(v, values[i] as Value));
    ir.goto(after);
  };
  build(ir, ...args);
  ir.ret = outer;
  ir.begin(after);
  return results.map((v) => ir.get(v));
}

/** Return the default NaN with IE. */
export function retInvalid(ir: Builder): void {
  ir.ret([ir.const64(INDEFINITE.significand), ir.const32(INDEFINITE.signExponent), ir.const32(EXC.invalid)]);
}
export const signOf = (ir: Builder, se: Value): Value => ir.i32.and(se, ir.const32(SIGN));
export const exponentOf = (ir: Builder, se: Value): Value => ir.i32.and(se, ir.const32(TOP_EXPONENT));
/** Non-zero when `bits` of `exceptions` are raised and not masked by `control`. */
export function unmasked(ir: Builder, exceptions: Value, control: Value, bits: number): Value {
  return ir.i32.and(ir.i32.and(exceptions, ir.const32(bits)), ir.i32.xor(control, ir.const32(-1)));
}
export function or(ir: Builder, ...v: Value[]): Value {
  return v.reduce((a, b) => ir.i32.or(a, b));
}
export function and(ir: Builder, ...v: Value[]): Value {
  return v.reduce((a, b) => ir.i32.and(a, b));
}
/** 1 for a finite normal number without FROM_DENORMAL. */
function isNormal(ir: Builder, sig: Value, se: Value): Value {
  const e = ir.i32.and(se, ir.const32(TOP_EXPONENT | FROM_DENORMAL));
  return ir.i32.and(ir.i32.lt_u(ir.i32.sub(e, ir.const32(1)), ir.const32(0x7ffe)), ir.i64.lt_s(sig, ir.const64(0)));
}
/** 1 for an encoding no longer supported: unnormal, pseudo-infinity, pseudo-NaN. */
export function isUnsupported(ir: Builder, sig: Value, se: Value): Value {
  return ir.i32.and(ir.i32.ne(exponentOf(ir, se), ir.const32(0)), ir.i64.ge_s(sig, ir.const64(0)));
}
/** 1 for infinity, NaN and their pseudo forms. */
export const isTop = (ir: Builder, se: Value): Value => ir.i32.eq(exponentOf(ir, se), ir.const32(TOP_EXPONENT));
/** 1 for a NaN; pseudo-NaNs must have been excluded. */
export const isNan = (ir: Builder, sig: Value, se: Value): Value => ir.i32.and(isTop(ir, se), ir.i64.ne(ir.i64.shl(sig, ir.const64(1)), ir.const64(0)));
/** 1 for a NaN or an unsupported encoding. */
export const isNanOrUnsupported = (ir: Builder, sig: Value, se: Value): Value => ir.i32.or(isUnsupported(ir, sig, se), isNan(ir, sig, se));
/** 1 for ±0 (a pseudo-denormal or any other non-zero significand is not). */
export const isZero = (ir: Builder, sig: Value): Value => ir.i64.eqz(sig);
/** 1 for a denormal or pseudo-denormal, or an operand marked so. Exponent 0 with significand 0 is zero. */
export function isDenormal(ir: Builder, sig: Value, se: Value): Value {
  const own = ir.i32.and(ir.i32.eqz(ir.i32.and(se, ir.const32(TOP_EXPONENT | FROM_DENORMAL))), ir.i64.ne(sig, ir.const64(0)));
  return ir.i32.or(own, ir.i32.shr_u(se, ir.const32(16)));
}
export const isSignalling = (ir: Builder, sig: Value): Value => ir.i64.eqz(ir.i64.and(sig, ir.const64(1n << 62n)));

/** The result of an operation with a NaN or an unsupported encoding among its two operands. */
export const nan2 = pure('nan2', ['i64', 'i32', 'i64', 'i32'], F80, (ir, sa, ea, sb, eb) => {
  ir.if(ir.i32.or(isUnsupported(ir, sa, ea), isUnsupported(ir, sb, eb)), () => retInvalid(ir));
  const nanA = isNan(ir, sa, ea);
  const nanB = isNan(ir, sb, eb);
  const signalA = ir.i32.and(nanA, isSignalling(ir, sa));
  const signalB = ir.i32.and(nanB, isSignalling(ir, sb));
  const exc = ir.i32.or(signalA, signalB);
  // Of a quiet and a signalling NaN the quiet one; of two of a kind the larger significand, then the positive one.
  const larger = ir.i32.or(ir.i64.gt_u(sa, sb), ir.i32.and(ir.i64.eq(sa, sb), ir.i32.eqz(signOf(ir, ea))));
  const takeA = ir.i32.and(nanA, or(ir, ir.i32.eqz(nanB), ir.select(ir.i32.xor(signalA, signalB), signalB, larger)));
  const sig = ir.select(takeA, sa, sb);
  const se = ir.i32.and(ir.select(takeA, ea, eb), ir.const32(0xffff));
  ir.ret([ir.i64.or(sig, ir.const64(1n << 62n)), se, exc]);
});

/** The result of a one-operand operation on a NaN or an unsupported encoding. */
export const nan1 = pure('nan1', ['i64', 'i32'], F80, (ir, sa, ea) => {
  ir.if(isUnsupported(ir, sa, ea), () => retInvalid(ir));
  ir.ret([ir.i64.or(sa, ir.const64(1n << 62n)), ir.i32.and(ea, ir.const32(0xffff)), isSignalling(ir, sa)]);
});

/** Emit: shift the finite non-zero number in (sig, exp) so that its integer bit is set; exponents may leave 1…0x7ffe. */
export function normalise(ir: Builder, sig: Var, exp: Var): void {
  const s = ir.get(sig);
  const shift = ir.i64.clz(s);
  const e = ir.get(exp);
  const base = ir.i32.add(e, ir.i32.eqz(e));
  ir.set(sig, ir.i64.shl(s, shift));
  ir.set(exp, ir.i32.sub(base, ir.i32.wrap_i64(shift)));
}

/** Bits dropped by precision control, as a mask of the significand. */
function droppedBits(ir: Builder, control: Value): Value {
  const pc = ir.i32.and(control, ir.const32(0x300));
  return ir.select(ir.i32.eqz(pc), ir.const64((1n << 40n) - 1n), ir.select(ir.i32.eq(pc, ir.const32(0x200)), ir.const64(0x7ff), ir.const64(0)));
}
/** 1 if `rest` (a binary fraction, half at the top bit) rounds away from zero. */
export function roundsUp(ir: Builder, odd: Value, rest: Value, sign: Value, control: Value): Value {
  const half = ir.const64(MSB);
  const nearest = ir.i32.or(ir.i64.gt_u(rest, half), ir.i32.and(ir.i64.eq(rest, half), odd));
  const rc = ir.i32.and(control, ir.const32(0xc00));
  const away = ir.i32.eq(rc, ir.select(sign, ir.const32(0x400), ir.const32(0x800)));
  return ir.select(ir.i32.eqz(rc), nearest, ir.i32.and(away, ir.i64.ne(rest, ir.const64(0))));
}
/** Emit rounding of hi:lo at the precision's fixed place: [significand without carry, carry out, round up, inexact]. */
function roundAt(ir: Builder, hi: Value, lo: Value, sign: Value, control: Value): [Value, Value, Value, Value] {
  const mask = droppedBits(ir, control);
  const ulp = ir.i64.add(mask, ir.const64(1));
  // With nothing dropped the fraction is lo; else the dropped bits moved to the top, lo as a sticky bit below.
  const sticky = ir.i64.extend_i32_u(ir.i64.ne(lo, ir.const64(0)));
  const rest = ir.select(ir.i64.eqz(mask), lo, ir.i64.or(ir.i64.shl(ir.i64.and(hi, mask), ir.i64.clz(mask)), sticky));
  const base = ir.i64.and(hi, ir.i64.xor(mask, ir.const64(-1)));
  const odd = ir.i64.ne(ir.i64.and(base, ulp), ir.const64(0));
  const up = roundsUp(ir, odd, rest, sign, control);
  const sum = ir.i64.add(base, ir.select(up, ulp, ir.const64(0)));
  return [sum, ir.i64.lt_u(sum, base), up, ir.i64.ne(rest, ir.const64(0))];
}
export const c1Of = (ir: Builder, up: Value): Value => ir.i32.shl(up, ir.const32(9));
const ROUND_PARAMS = ['i32', 'i32', 'i64', 'i64', 'i32', 'i32'] as const;

/** The exact cases of `round`: reduced precision, directed rounding, over- and underflow. */
const roundSlow = pure('roundSlow', ROUND_PARAMS, F80, (ir, sign, exp, hi, lo, control, exc) => {
  const c = (n: number): Value => ir.const32(n);
  const [sum, carry, up, inexact] = roundAt(ir, hi, lo, sign, control);
  const sig = ir.select(carry, ir.const64(MSB), sum);
  const e = ir.i32.add(exp, carry);
  const flags = or(ir, exc, ir.i32.shl(inexact, c(5)), c1Of(ir, up));
  ir.if(ir.i32.lt_u(ir.i32.sub(e, c(1)), c(0x7ffe)), () => {
    // An underflow is judged after rounding; what the carry lifted to the smallest normal number is none.
    ir.ret([sig, ir.i32.or(e, sign), flags]);
  });
  ir.if(ir.i32.gt_s(e, c(0)), () => {
    ir.if(ir.i32.and(control, c(EXC.overflow)), () => {
      const rc = ir.i32.and(control, c(0xc00));
      const infinite = ir.i32.or(ir.i32.eqz(rc), ir.i32.eq(rc, ir.select(sign, c(0x400), c(0x800))));
      const largest = ir.i64.xor(droppedBits(ir, control), ir.const64(-1));
      ir.ret([ir.select(infinite, ir.const64(MSB), largest), or(ir, sign, ir.select(infinite, c(0x7fff), c(0x7ffe))), or(ir, exc, c(EXC.overflow | EXC.precision), c1Of(ir, infinite))]);
    });
    const wrapped = ir.i32.sub(e, c(WRAP));
    // FSCALE may overshoot even the wrapped range.
    ir.if(ir.i32.ge_s(wrapped, c(0x7fff)), () => ir.ret([ir.const64(MSB), ir.i32.or(sign, c(0x7fff)), or(ir, exc, c(EXC.overflow | EXC.precision | EXC.roundUp))]));
    ir.ret([sig, ir.i32.or(wrapped, sign), ir.i32.or(flags, c(EXC.overflow))]);
  });
  ir.if(ir.i32.eqz(ir.i32.and(control, c(EXC.underflow))), () => {
    const wrapped = ir.i32.add(e, c(WRAP));
    ir.if(ir.i32.le_s(wrapped, c(0)), () => ir.ret([ir.const64(0), sign, or(ir, exc, c(EXC.underflow | EXC.precision))]));
    ir.ret([sig, ir.i32.or(wrapped, sign), ir.i32.or(flags, c(EXC.underflow))]);
  });
  // Masked: shift to exponent 1's place and round once more there. `exp` is ≤ 0, so the shift is ≥ 1.
  const shift = ir.i32.sub(c(1), exp);
  const n = ir.i64.extend_i32_u(shift);
  const near = ir.i32.lt_u(shift, c(64));
  const back = ir.i64.sub(ir.const64(64), n);
  const lost = ir.select(near, lo, ir.i64.or(lo, ir.i64.shl(hi, ir.i64.sub(ir.const64(128), n))));
  const stick = ir.i64.extend_i32_u(ir.i64.ne(ir.select(ir.i32.eq(shift, c(64)), lo, lost), ir.const64(0)));
  const far = ir.select(ir.i32.lt_u(shift, c(128)), ir.i64.or(ir.i64.shr_u(hi, ir.i64.sub(n, ir.const64(64))), stick), ir.const64(1));
  const lo2 = ir.select(near, ir.i64.or(ir.i64.shl(hi, back), stick), far);
  const hi2 = ir.select(near, ir.i64.shr_u(hi, n), ir.const64(0));
  const [tiny, , up2, inexact2] = roundAt(ir, hi2, lo2, sign, control);
  const min = ir.i64.lt_s(tiny, ir.const64(0));
  ir.ret([tiny, ir.i32.or(min, sign), or(ir, exc, ir.select(inexact2, c(EXC.underflow | EXC.precision), c(0)), c1Of(ir, up2))]);
});

/**
 * Round hi:lo (integer bit of hi set; lo the bits below, a sticky bit at the bottom) with `sign` 0 or SIGN and the
 * biased exponent `exp`, any size, to a register value. `exc` is passed on.
 */
export const round = pure('round', ROUND_PARAMS, F80, (ir, sign, exp, hi, lo, control, exc) => {
  const c = (n: number): Value => ir.const32(n);
  const fast = ir.i32.and(ir.i32.eq(ir.i32.and(control, c(0xf00)), c(0x300)), ir.i32.lt_u(ir.i32.sub(exp, c(1)), c(0x7ffd)));
  ir.if(ir.i32.eqz(fast), () => ir.ret(ir.call(roundSlow, [sign, exp, hi, lo, control, exc])));
  const half = ir.const64(MSB);
  const up = ir.i32.or(ir.i64.gt_u(lo, half), ir.i32.and(ir.i64.eq(lo, half), ir.i32.wrap_i64(ir.i64.and(hi, ir.const64(1)))));
  const sum = ir.i64.add(hi, ir.i64.extend_i32_u(up));
  const carry = ir.i64.eqz(sum);
  const flags = ir.i32.or(ir.i32.shl(ir.i64.ne(lo, ir.const64(0)), c(5)), c1Of(ir, up));
  ir.ret([ir.select(carry, half, sum), ir.i32.or(ir.i32.add(exp, carry), sign), ir.i32.or(flags, exc)]);
});

// ---- two-operand arithmetic ----

/** (sigA, seA, sigB, seB, control word) */
export const BINARY = ['i64', 'i32', 'i64', 'i32', 'i32'] as const;

interface Operands {
  readonly sa: Var;
  readonly ea: Var;
  readonly sb: Var;
  readonly eb: Var;
  readonly exc: Var;
}
/**
 * Emit the classification all two-operand arithmetic shares: NaNs return; `specials` returns for infinities and zeros
 * as the operation needs, calling `abort` (DE not masked) after what comes before DE; what is left in the operands are non-zero finite normalised numbers.
 */
function classify(ir: Builder, p: { sa: Value; ea: Value; sb: Value; eb: Value; control: Value }, specials: (infA: Value, infB: Value, zeroA: Value, zeroB: Value, denormal: Value, abort: () => void) => void): Operands {
  const o: Operands = { sa: ir.temp('i64'), ea: ir.temp('i32'), sb: ir.temp('i64'), eb: ir.temp('i32'), exc: ir.temp('i32') };
  ir.set(o.sa, p.sa);
  ir.set(o.ea, exponentOf(ir, p.ea));
  ir.set(o.sb, p.sb);
  ir.set(o.eb, exponentOf(ir, p.eb));
  ir.set(o.exc, ir.const32(0));
  ir.if(ir.i32.eqz(ir.i32.and(isNormal(ir, p.sa, p.ea), isNormal(ir, p.sb, p.eb))), () => {
    ir.if(ir.i32.or(isNanOrUnsupported(ir, p.sa, p.ea), isNanOrUnsupported(ir, p.sb, p.eb)), () => ir.ret(ir.call(nan2, [p.sa, p.ea, p.sb, p.eb])));
    const infA = isTop(ir, p.ea);
    const infB = isTop(ir, p.eb);
    const zeroA = isZero(ir, p.sa);
    const zeroB = isZero(ir, p.sb);
    const denormal = ir.i32.shl(ir.i32.or(isDenormal(ir, p.sa, p.ea), isDenormal(ir, p.sb, p.eb)), ir.const32(1));
    const abort = (): void => ir.if(unmasked(ir, denormal, p.control, EXC.denormal), () => ir.ret([p.sa, p.ea, denormal]));
    specials(infA, infB, zeroA, zeroB, denormal, abort);
    abort();
    normalise(ir, o.sa, o.ea);
    normalise(ir, o.sb, o.eb);
    ir.set(o.exc, denormal);
  });
  return o;
}

/** Signs and operands of a sum: significands with the integer bit set, any exponents. */
interface Sum {
  readonly sa: Value;
  readonly ea: Value;
  readonly sb: Value;
  readonly eb: Value;
  readonly signA: Value;
  readonly signB: Value;
  readonly control: Value;
  readonly exc: Value;
}
/** An exact zero of unlike signs is +0, but −0 when rounding down. */
const cancelled = (ir: Builder, control: Value): Value => ir.select(ir.i32.eq(ir.i32.and(control, ir.const32(0xc00)), ir.const32(0x400)), ir.const32(SIGN), ir.const32(0));
/** Emit the sum of two numbers and return it. */
function returnSum(ir: Builder, { sa, ea, sb, eb, signA, signB, control, exc }: Sum): void {
  const c = (n: number): Value => ir.const32(n);
  // Order by exponent, the larger first.
  const swap = ir.i32.lt_s(ea, eb);
  const large = ir.select(swap, sb, sa);
  const small = ir.select(swap, sa, sb);
  const exp = ir.select(swap, eb, ea);
  const shift = ir.i32.sub(exp, ir.select(swap, ea, eb));
  const sign = ir.temp('i32');
  ir.set(sign, ir.select(swap, signB, signA));
  const n = ir.i64.extend_i32_u(shift);
  const hi = ir.temp('i64');
  const lo = ir.temp('i64');
  const e = ir.temp('i32');
  ir.if(
    ir.i32.lt_u(shift, c(64)),
    () => {
      ir.set(hi, ir.i64.shr_u(small, n));
      // (small << 1) << (63 − n): nothing when n is 0
      ir.set(lo, ir.i64.shl(ir.i64.shl(small, ir.const64(1)), ir.i64.xor(n, ir.const64(63))));
    },
    () => {
      const lost = ir.i64.ne(ir.i64.shl(ir.i64.shl(small, ir.const64(1)), ir.i64.sub(ir.const64(127), n)), ir.const64(0));
      ir.set(hi, ir.const64(0));
      ir.set(lo, ir.select(ir.i32.lt_u(shift, c(128)), ir.i64.or(ir.i64.shr_u(small, ir.i64.sub(n, ir.const64(64))), ir.i64.extend_i32_u(lost)), ir.const64(1)));
    },
  );
  const h = ir.get(hi);
  const l = ir.get(lo);
  ir.if(
    ir.i32.eq(signA, signB),
    () => {
      const sum = ir.i64.add(large, h);
      const carry = ir.i64.lt_u(sum, h);
      const k = ir.i64.extend_i32_u(carry);
      ir.set(hi, ir.i64.or(ir.i64.shr_u(sum, k), ir.i64.shl(k, ir.const64(63))));
      ir.set(lo, ir.select(carry, or64(ir, ir.i64.shl(sum, ir.const64(63)), ir.i64.shr_u(l, ir.const64(1)), ir.i64.and(l, ir.const64(1))), l));
      ir.set(e, ir.i32.add(exp, carry));
    },
    () => {
      const borrow = ir.i64.ne(l, ir.const64(0));
      const d = ir.i64.sub(ir.i64.sub(large, h), ir.i64.extend_i32_u(borrow));
      const dl = ir.i64.sub(ir.const64(0), l);
      // Equal exponents may leave a negative difference; then there is no low part.
      const negative = ir.i32.and(ir.i32.eqz(shift), ir.i64.lt_u(large, small));
      const mag = ir.select(negative, ir.i64.sub(ir.const64(0), d), d);
      ir.if(ir.i64.eqz(ir.i64.or(mag, dl)), () => ir.ret([ir.const64(0), cancelled(ir, control), exc]));
      const empty = ir.i64.eqz(mag);
      const m = ir.select(empty, dl, mag);
      const ml = ir.select(empty, ir.const64(0), dl);
      const z = ir.i64.clz(m);
      ir.set(hi, ir.i64.or(ir.i64.shl(m, z), ir.i64.shr_u(ir.i64.shr_u(ml, ir.const64(1)), ir.i64.xor(z, ir.const64(63)))));
      ir.set(lo, ir.i64.shl(ml, z));
      ir.set(e, ir.i32.sub(ir.i32.sub(exp, ir.i32.wrap_i64(z)), ir.i32.shl(empty, c(6))));
      ir.set(sign, ir.select(negative, signB, ir.get(sign)));
    },
  );
  ir.ret(inlined(ir, round, [ir.get(sign), ir.get(e), ir.get(hi), ir.get(lo), control, exc]));
}

/** A + B, or A − B when `flip` is SIGN (a NaN's sign is never flipped). */
const addSub = pure('addSub', [...BINARY, 'i32'], F80, (ir, sa, ea, sb, eb, control, flip) => {
  const c = (n: number): Value => ir.const32(n);
  const signA = signOf(ir, ea);
  const signB = ir.i32.xor(signOf(ir, eb), flip);
  const differ = ir.i32.ne(signA, signB);
  const o = classify(ir, { sa, ea, sb, eb, control }, (infA, infB, zeroA, zeroB, denormal, abort) => {
    ir.if(and(ir, infA, infB, differ), () => retInvalid(ir));
    abort();
    ir.if(infA, () => ir.ret([sa, exponentOrSign(ir, signA), denormal]));
    ir.if(infB, () => ir.ret([sb, exponentOrSign(ir, signB), denormal]));
    ir.if(ir.i32.and(zeroA, zeroB), () => ir.ret([ir.const64(0), ir.select(differ, cancelled(ir, control), signA), c(0)]));
    ir.if(ir.i32.or(zeroA, zeroB), () => {
      // x + 0 still rounds: to a shorter precision, or an underflow that is not masked.
      const s = ir.temp('i64');
      const e = ir.temp('i32');
      ir.set(s, ir.select(zeroA, sb, sa));
      ir.set(e, exponentOf(ir, ir.select(zeroA, eb, ea)));
      const sign = ir.select(zeroA, signB, signA);
      normalise(ir, s, e);
      ir.ret(ir.call(round, [sign, ir.get(e), ir.get(s), ir.const64(0), control, denormal]));
    });
  });
  returnSum(ir, { sa: ir.get(o.sa), ea: ir.get(o.ea), sb: ir.get(o.sb), eb: ir.get(o.eb), signA, signB, control, exc: ir.get(o.exc) });
});
function exponentOrSign(ir: Builder, sign: Value): Value {
  return ir.i32.or(sign, ir.const32(TOP_EXPONENT));
}
export function or64(ir: Builder, ...v: Value[]): Value {
  return v.reduce((a, b) => ir.i64.or(a, b));
}

/** Emit the product of two numbers (significands with the integer bit set, any exponents) and return it. */
function returnProduct(ir: Builder, a: Value, ea: Value, b: Value, eb: Value, sign: Value, control: Value, exc: Value): void {
  const hi = ir.mulHiU(a, b);
  const lo = ir.i64.mul(a, b);
  const k = ir.i64.clz(hi); // 0 or 1
  const exp = ir.i32.sub(ir.i32.sub(ir.i32.add(ea, eb), ir.const32(BIAS - 1)), ir.i32.wrap_i64(k));
  const carried = ir.i64.and(ir.i64.shr_u(lo, ir.const64(63)), k);
  ir.ret(inlined(ir, round, [sign, exp, ir.i64.or(ir.i64.shl(hi, k), carried), ir.i64.shl(lo, k), control, exc]));
}
const mulFull = pure('mul', BINARY, F80, (ir, sa, ea, sb, eb, control) => {
  const sign = ir.i32.xor(signOf(ir, ea), signOf(ir, eb));
  const o = classify(ir, { sa, ea, sb, eb, control }, (infA, infB, zeroA, zeroB, denormal, abort) => {
    ir.if(ir.i32.or(ir.i32.and(infA, zeroB), ir.i32.and(infB, zeroA)), () => retInvalid(ir));
    abort();
    ir.if(ir.i32.or(infA, infB), () => ir.ret([ir.const64(MSB), exponentOrSign(ir, sign), denormal]));
    ir.if(ir.i32.or(zeroA, zeroB), () => ir.ret([ir.const64(0), sign, denormal]));
  });
  returnProduct(ir, ir.get(o.sa), ir.get(o.ea), ir.get(o.sb), ir.get(o.eb), sign, control, ir.get(o.exc));
});

/** hi:lo / d with the top bit of d set and hi < d: [quotient, remainder]. Two 32-bit digits, each corrected at most twice. */
const divide128 = pure('divide128', ['i64', 'i64', 'i64'], ['i64', 'i64'], (ir, hi, lo, d) => {
  const C = (n: number | bigint): Value => ir.const64(n);
  const dh = ir.i64.shr_u(d, C(32));
  const dl = ir.i64.and(d, C(0xffffffff));
  const digit = (u: Value, next: Value): [Value, Value] => {
    let q = ir.i64.div_u(u, dh);
    let r = ir.i64.sub(u, ir.i64.mul(q, dh));
    for (let i = 0; i < 2; i++) {
      const tooLarge = ir.i32.and(ir.i64.eqz(ir.i64.shr_u(r, C(32))), ir.i32.or(ir.i64.ne(ir.i64.shr_u(q, C(32)), C(0)), ir.i64.gt_u(ir.i64.mul(q, dl), ir.i64.or(ir.i64.shl(r, C(32)), next))));
      q = ir.i64.sub(q, ir.i64.extend_i32_u(tooLarge));
      r = ir.i64.add(r, ir.select(tooLarge, dh, C(0)));
    }
    return [q, ir.i64.sub(ir.i64.or(ir.i64.shl(u, C(32)), next), ir.i64.mul(q, d))];
  };
  const [q1, u1] = digit(hi, ir.i64.shr_u(lo, C(32)));
  const [q0, rest] = digit(u1, ir.i64.and(lo, C(0xffffffff)));
  ir.ret([ir.i64.or(ir.i64.shl(q1, C(32)), q0), rest]);
});

/** Emit the quotient of two numbers (significands with the integer bit set, any exponents) and return it. */
function returnQuotient(ir: Builder, a: Value, ea: Value, b: Value, eb: Value, sign: Value, control: Value, exc: Value): void {
  const c = (n: number): Value => ir.const32(n);
  const below = ir.i64.lt_u(a, b);
  const exp = ir.i32.sub(ir.i32.add(ir.i32.sub(ea, eb), c(BIAS)), below);
  const hi = ir.select(below, a, ir.i64.shr_u(a, ir.const64(1)));
  const lo = ir.select(below, ir.const64(0), ir.i64.shl(a, ir.const64(63)));
  const [q, r] = inlined(ir, divide128, [hi, lo, b]) as [Value, Value];
  // The remainder against half the divisor, as a fraction: 0, below, exactly, above.
  const other = ir.i64.sub(b, r);
  const fraction = ir.select(ir.i64.eqz(r), ir.const64(0), ir.select(ir.i64.gt_u(r, other), ir.const64(3n << 62n), ir.select(ir.i64.eq(r, other), ir.const64(MSB), ir.const64(1n << 62n))));
  ir.ret(inlined(ir, round, [sign, exp, q, fraction, control, exc]));
}
const divFull = pure('div', BINARY, F80, (ir, sa, ea, sb, eb, control) => {
  const c = (n: number): Value => ir.const32(n);
  const sign = ir.i32.xor(signOf(ir, ea), signOf(ir, eb));
  const o = classify(ir, { sa, ea, sb, eb, control }, (infA, infB, zeroA, zeroB, denormal, abort) => {
    ir.if(ir.i32.or(ir.i32.and(infA, infB), ir.i32.and(zeroA, zeroB)), () => retInvalid(ir));
    ir.if(ir.i32.and(zeroB, ir.i32.eqz(infA)), () => ir.ret([ir.const64(MSB), exponentOrSign(ir, sign), c(EXC.zeroDivide)]));
    abort();
    ir.if(infA, () => ir.ret([ir.const64(MSB), exponentOrSign(ir, sign), denormal]));
    ir.if(ir.i32.or(infB, zeroA), () => ir.ret([ir.const64(0), sign, denormal]));
  });
  returnQuotient(ir, ir.get(o.sa), ir.get(o.ea), ir.get(o.sb), ir.get(o.eb), sign, control, ir.get(o.exc));
});

/** A helper for inlining: two normal numbers are worked on in place, anything else goes to `full`. */
function quick(name: string, full: Helper, more: (ir: Builder) => Value[], build: (ir: Builder, a: Value, ea: Value, b: Value, eb: Value, signA: Value, signB: Value, control: Value) => void): Helper {
  return pure(name, BINARY, F80, (ir, sa, ea, sb, eb, control) => {
    ir.if(ir.i32.eqz(ir.i32.and(isNormal(ir, sa, ea), isNormal(ir, sb, eb))), () => ir.ret(ir.call(full, [sa, ea, sb, eb, control, ...more(ir)])));
    build(ir, sa, exponentOf(ir, ea), sb, exponentOf(ir, eb), signOf(ir, ea), signOf(ir, eb), control);
  });
}
const none = (): Value[] => [];
export const add = quick('add', addSub, (ir) => [ir.const32(0)], (ir, sa, ea, sb, eb, signA, signB, control) => returnSum(ir, { sa, ea, sb, eb, signA, signB, control, exc: ir.const32(0) }));
export const sub = quick('sub', addSub, (ir) => [ir.const32(SIGN)], (ir, sa, ea, sb, eb, signA, signB, control) => returnSum(ir, { sa, ea, sb, eb, signA, signB: ir.i32.xor(signB, ir.const32(SIGN)), control, exc: ir.const32(0) }));
export const mul = quick('mul', mulFull, none, (ir, a, ea, b, eb, signA, signB, control) => returnProduct(ir, a, ea, b, eb, ir.i32.xor(signA, signB), control, ir.const32(0)));
export const div = quick('div', divFull, none, (ir, a, ea, b, eb, signA, signB, control) => returnQuotient(ir, a, ea, b, eb, ir.i32.xor(signA, signB), control, ir.const32(0)));

export const sqrt = pure('sqrt', ['i64', 'i32', 'i32'], F80, (ir, sa, ea, control) => {
  const c = (n: number): Value => ir.const32(n);
  const C = (n: number | bigint): Value => ir.const64(n);
  ir.if(isNanOrUnsupported(ir, sa, ea), () => ir.ret(ir.call(nan1, [sa, ea])));
  ir.if(isZero(ir, sa), () => ir.ret([sa, ea, c(0)]));
  ir.if(signOf(ir, ea), () => retInvalid(ir));
  ir.if(isTop(ir, ea), () => ir.ret([sa, ea, c(0)]));
  const sig = ir.temp('i64');
  const exp = ir.temp('i32');
  ir.set(sig, sa);
  ir.set(exp, ea);
  const denormal = ir.i32.shl(isDenormal(ir, sa, ea), c(1));
  ir.if(denormal, () => {
    ir.if(unmasked(ir, denormal, control, EXC.denormal), () => ir.ret([sa, ea, denormal]));
    normalise(ir, sig, exp);
  });
  const s = ir.get(sig);
  const e = ir.i32.sub(ir.get(exp), c(BIAS));
  // N = s·2^63 (even exponent) or s·2^64 (odd), so that the root has its top bit set.
  const odd = ir.i32.and(e, c(1));
  const hi = ir.select(odd, s, ir.i64.shr_u(s, C(1)));
  const lo = ir.select(odd, C(0), ir.i64.shl(s, C(63)));
  // An estimate good to 2^-52, one Newton step (error below 2^-38 of a unit), then the exact remainder decides.
  const est = ir.i64.trunc_sat_f64_u(ir.f64.mul(ir.f64.sqrt(ir.f64.convert_i64_u(hi)), ir.constF64(0x41f0000000000000n)));
  const diff = (root: Value): [Value, Value] => {
    const pl = ir.i64.mul(root, root);
    const ph = ir.mulHiU(root, root);
    const dl = ir.i64.sub(lo, pl);
    return [ir.i64.sub(ir.i64.sub(hi, ph), ir.i64.extend_i32_u(ir.i64.lt_u(lo, pl))), dl];
  };
  const [d1, d0] = diff(est);
  const d = ir.i64.or(ir.i64.shl(d1, C(32)), ir.i64.shr_u(d0, C(32)));
  const step = ir.f64.div(ir.f64.convert_i64_s(d), ir.f64.mul(ir.f64.convert_i64_u(est), ir.constF64(0x3e00000000000000n)));
  const guess = ir.i64.add(est, ir.i64.trunc_sat_f64_s(ir.f64.floor(step)));
  const [r1, r0] = diff(guess);
  // One too large: remainder negative. One too small: remainder > 2·root.
  const high = ir.i64.shr_u(r1, C(63));
  const two = ir.i64.shl(guess, C(1));
  const twoHi = ir.i64.shr_u(guess, C(63));
  const low = ir.i32.and(ir.i64.eqz(high), ir.i32.or(ir.i64.gt_u(r1, twoHi), ir.i32.and(ir.i64.eq(r1, twoHi), ir.i64.gt_u(r0, two))));
  const root = ir.i64.add(ir.i64.sub(guess, high), ir.i64.extend_i32_u(low));
  const [q1, q0] = diff(root);
  const more = ir.i32.or(ir.i64.ne(q1, C(0)), ir.i64.gt_u(q0, root));
  const fraction = ir.select(ir.i64.eqz(ir.i64.or(q1, q0)), C(0), ir.select(more, C(3n << 62n), C(1n << 62n)));
  ir.ret(inlined(ir, round, [c(0), ir.i32.add(ir.i32.shr_s(e, c(1)), c(BIAS)), root, fraction, control, denormal]));
});
