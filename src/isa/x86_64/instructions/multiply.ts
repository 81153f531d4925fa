/** MUL IMUL DIV IDIV. */
import type { Helper, Value } from '../../../ir/builder.ts';
import { RAX, RDX, RFLAGS, STATUS_FLAGS } from '../cpu-state.ts';
import { enc, instruction } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { Eb, Ev, Gv, Ibs, Iz, type Operand, r, rw, w } from '../operands.ts';
import { TRAP } from '../traps.ts';

const CARRY_OVERFLOW = RFLAGS.CF | RFLAGS.OF;

/** CF = OF = `overflow`; SF, ZF, AF, PF are undefined by the manual and stay as they were on AMD. */
function multiplyFlags(x: Emitter, overflow: Value): void {
  const { ir } = x;
  x.flags.replace(CARRY_OVERFLOW, ir.i32.and(ir.i32.sub(ir.const32(0), overflow), ir.const32(CARRY_OVERFLOW)));
}

/** rDX:rAX (8 bits: AX) = accumulator × source. */
function wideMultiply(x: Emitter, src: Operand, signed: boolean): void {
  const { ir } = x;
  const { i32, i64 } = ir;
  const b = x.read(src);
  const a = x.gpr(0, x.size);
  if (x.size === 64) {
    const low = i64.mul(a, b);
    const high = signed ? ir.mulHiS(a, b) : ir.mulHiU(a, b);
    ir.set(RAX, low);
    ir.set(RDX, high);
    multiplyFlags(x, i64.ne(high, signed ? i64.shr_s(low, ir.const64(63)) : ir.const64(0)));
    return;
  }
  const extend = (v: Value): Value => (signed ? i64.extend_i32_s(x.signed(v)) : i64.extend_i32_u(v));
  const product = i64.mul(extend(a), extend(b));
  const size = x.size;
  let overflow: Value;
  if (signed) {
    const back = size === 32 ? i64.extend32_s(product) : size === 16 ? i64.extend16_s(product) : i64.extend8_s(product);
    overflow = i64.ne(back, product);
  } else overflow = i64.ne(i64.shr_u(product, ir.const64(size)), ir.const64(0));
  if (size === 8) x.setGpr(0, i32.wrap_i64(product), 16);
  else {
    x.setGpr(0, i32.wrap_i64(product), size);
    x.setGpr(2, i32.wrap_i64(i64.shr_u(product, ir.const64(size))), size);
  }
  multiplyFlags(x, overflow);
}
instruction('mul', { flags: 'oszapc', undefinedFlags: 'szap' }, [enc('F6 /4', r(Eb)), enc('F7 /4', r(Ev))], (x, src) => wideMultiply(x, src, false));

instruction(
  'imul',
  { flags: 'oszapc', undefinedFlags: 'szap' },
  [enc('F6 /5', r(Eb)), enc('F7 /5', r(Ev)), enc('0F AF /r', rw(Gv), r(Ev)), enc('69 /r iz', w(Gv), r(Ev), r(Iz)), enc('6B /r ib', w(Gv), r(Ev), r(Ibs))],
  (x, dst, second, third) => {
    if (second === undefined) {
      wideMultiply(x, dst, true);
      return;
    }
    const { ir } = x;
    const { i64 } = ir;
    const [a, b] = third === undefined ? [x.read(dst), x.read(second)] : [x.read(second), x.read(third)];
    if (x.size === 64) {
      const low = i64.mul(a, b);
      x.write(dst, low);
      multiplyFlags(x, i64.ne(ir.mulHiS(a, b), i64.shr_s(low, ir.const64(63))));
      return;
    }
    x.write(dst, ir.i32.mul(a, b));
    const product = i64.mul(i64.extend_i32_s(x.signed(a)), i64.extend_i32_s(x.signed(b)));
    multiplyFlags(x, i64.ne(x.size === 32 ? i64.extend32_s(product) : i64.extend16_s(product), product));
  },
);

/**
 * Quotient and remainder of high:low by divisor, unsigned; high < divisor. Knuth's algorithm D with two 32-bit digits,
 * as in Hacker's Delight (divlu).
 */
export const DIVIDE_128: Helper = {
  name: 'divide_128',
  params: ['i64', 'i64', 'i64'],
  results: ['i64', 'i64'],
  effect: 'pure',
  build(ir, high, low, divisor) {
    const { i64 } = ir;
    const shift = i64.clz(divisor);
    const d = i64.shl(divisor, shift);
    const mask = ir.const64(0xffffffff);
    const dHigh = i64.shr_u(d, ir.const64(32));
    const dLow = i64.and(d, mask);
    // Bits that move from low to high: none if shift is 0 (a shift by 64 would be one by 0).
    const moved = i64.and(i64.shr_u(low, i64.sub(ir.const64(64), shift)), i64.shr_s(i64.sub(ir.const64(0), shift), ir.const64(63)));
    const n = i64.or(i64.shl(high, shift), moved);
    const l = i64.shl(low, shift);
    const quotient = ir.temp('i64');
    const rest = ir.temp('i64');
    /** One 32-bit digit of `num` (64 bits) followed by `next` (32 bits): returns [digit, new num]. */
    const digit = (num: Value, next: Value): [Value, Value] => {
      ir.set(quotient, i64.div_u(num, dHigh));
      ir.set(rest, i64.rem_u(num, dHigh));
      for (let k = 0; k < 2; k++) {
        const q = ir.get(quotient);
        const rem = ir.get(rest);
        const tooBig = ir.i32.or(i64.gt_u(q, mask), i64.gt_u(i64.mul(q, dLow), i64.or(i64.shl(rem, ir.const64(32)), next)));
        // A rest of 2^32 or more means the estimate is right already.
        const wrong = ir.i32.and(tooBig, i64.le_u(rem, mask));
        ir.set(quotient, ir.select(wrong, i64.sub(q, ir.const64(1)), q));
        ir.set(rest, ir.select(wrong, i64.add(rem, dHigh), rem));
      }
      const q = ir.get(quotient);
      return [q, i64.sub(i64.or(i64.shl(num, ir.const64(32)), next), i64.mul(q, d))];
    };
    const [q1, n1] = digit(n, i64.shr_u(l, ir.const64(32)));
    const [q0, n0] = digit(n1, i64.and(l, mask));
    ir.ret([i64.or(i64.shl(q1, ir.const64(32)), q0), i64.shr_u(n0, shift)]);
  },
};

/**
 * Quotient in rAX (AL), remainder in rDX (AH); #DE if the divisor is 0 or the quotient too large. Of the flags, undefined
 * by the manual, AMD sets AF, clears SF, ZF, PF and leaves CF and OF.
 */
function divide(x: Emitter, src: Operand, signed: boolean): void {
  divideValues(x, src, signed);
  x.flags.replace(STATUS_FLAGS & ~CARRY_OVERFLOW, x.ir.const32(RFLAGS.AF));
}
function divideValues(x: Emitter, src: Operand, signed: boolean): void {
  const { ir } = x;
  const { i32, i64 } = ir;
  const size = x.size;
  const divisor = x.read(src);
  x.trapIf(x.isZero(divisor), TRAP.divide);
  if (size === 64) {
    divide64(x, divisor, signed);
    return;
  }
  const low = x.gpr(0, size === 8 ? 16 : size);
  let dividend: Value;
  if (size === 8) dividend = signed ? i64.extend_i32_s(x.signed(low, 16)) : i64.extend_i32_u(low);
  else {
    const high = x.gpr(2, size);
    dividend = i64.or(i64.shl(i64.extend_i32_u(high), ir.const64(size)), i64.extend_i32_u(low));
    if (signed && size === 16) dividend = i64.extend32_s(dividend);
  }
  const d = signed ? i64.extend_i32_s(x.signed(divisor)) : i64.extend_i32_u(divisor);
  // -2^63 / -1 cannot be computed; it is too large in any case.
  if (signed && size === 32) x.trapIf(i32.and(i64.eq(dividend, ir.const64(-(1n << 63n))), i64.eq(d, ir.const64(-1))), TRAP.divide);
  const quotient = signed ? i64.div_s(dividend, d) : i64.div_u(dividend, d);
  if (signed) {
    const back = size === 32 ? i64.extend32_s(quotient) : size === 16 ? i64.extend16_s(quotient) : i64.extend8_s(quotient);
    x.trapIf(i64.ne(back, quotient), TRAP.divide);
  } else x.trapIf(i64.gt_u(quotient, ir.const64(2 ** size - 1)), TRAP.divide);
  const q = i32.wrap_i64(quotient);
  const rest = i32.wrap_i64(i64.sub(dividend, i64.mul(quotient, d)));
  if (size === 8) x.setGpr(0, i32.or(x.trunc(q, 8), i32.shl(rest, ir.const32(8))), 16);
  else {
    x.setGpr(0, q, size);
    x.setGpr(2, rest, size);
  }
}
function divide64(x: Emitter, divisor: Value, signed: boolean): void {
  const { ir } = x;
  const { i32, i64 } = ir;
  const zero = ir.const64(0);
  const quotient = ir.temp('i64');
  const rest = ir.temp('i64');
  const d = ir.temp('i64'); // used in blocks below
  ir.set(d, divisor);
  const low = (): Value => ir.get(RAX);
  const high = (): Value => ir.get(RDX);
  if (!signed) {
    x.trapIf(i64.ge_u(high(), divisor), TRAP.divide);
    ir.if(
      i64.eqz(high()),
      () => {
        const q = i64.div_u(low(), ir.get(d));
        ir.set(quotient, q);
        ir.set(rest, i64.sub(low(), i64.mul(q, ir.get(d))));
      },
      () => {
        const [q, rem] = ir.call(DIVIDE_128, [high(), low(), ir.get(d)]) as [Value, Value];
        ir.set(quotient, q);
        ir.set(rest, rem);
      },
    );
  } else {
    ir.if(
      i64.eq(high(), i64.shr_s(low(), ir.const64(63))),
      () => {
        x.trapIf(i32.and(i64.eq(low(), ir.const64(-(1n << 63n))), i64.eq(ir.get(d), ir.const64(-1))), TRAP.divide);
        const q = i64.div_s(low(), ir.get(d));
        ir.set(quotient, q);
        ir.set(rest, i64.sub(low(), i64.mul(q, ir.get(d))));
      },
      () => {
        // Magnitudes, then signs: the remainder has the dividend's.
        const negative = i64.shr_s(high(), ir.const64(63));
        const negativeDivisor = i64.shr_s(ir.get(d), ir.const64(63));
        const lowXor = i64.xor(low(), negative);
        const magLow = i64.sub(lowXor, negative);
        const carry = i64.and(i64.extend_i32_u(i64.eqz(magLow)), i64.sub(ir.const64(0), negative));
        const magHigh = i64.add(i64.xor(high(), negative), carry);
        const magD = i64.sub(i64.xor(ir.get(d), negativeDivisor), negativeDivisor);
        x.trapIf(i64.ge_u(magHigh, magD), TRAP.divide);
        const [q, rem] = ir.call(DIVIDE_128, [magHigh, magLow, magD]) as [Value, Value];
        const sign = i64.xor(negative, negativeDivisor);
        const signedQ = i64.sub(i64.xor(q, sign), sign);
        // Too large unless the sign came out right (0 is right with either).
        x.trapIf(i32.and(i64.lt_s(i64.xor(signedQ, sign), zero), i64.ne(signedQ, zero)), TRAP.divide);
        ir.set(quotient, signedQ);
        ir.set(rest, i64.sub(i64.xor(rem, negative), negative));
      },
    );
  }
  ir.set(RAX, ir.get(quotient));
  ir.set(RDX, ir.get(rest));
}
instruction('div', { flags: 'oszapc', undefinedFlags: 'oszapc' }, [enc('F6 /6', r(Eb)), enc('F7 /6', r(Ev))], (x, src) => divide(x, src, false));
instruction('idiv', { flags: 'oszapc', undefinedFlags: 'oszapc' }, [enc('F6 /7', r(Eb)), enc('F7 /7', r(Ev))], (x, src) => divide(x, src, true));
