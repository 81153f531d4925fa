/**
 * FSIN FCOS FSINCOS FPTAN FPATAN F2XM1 FYL2X FYL2XP1 as state helpers: special values and stack in IR, the function
 * itself in functions.ts. Results are rounded by the rounding control, never by the precision control.
 *
 * Special values follow the tables of the SDM; condition codes and what out-of-range operands give follow the host.
 * Against an AMD Zen 5, 64,000 results over the functions' working ranges: 97.9 % equal, the others one unit in the last
 * place apart (F2XM1 3.6 %, FYL2XP1 3.2 %, FPTAN 2.4 %, FYL2X 2.0 %, FSINCOS 1.9 %, FPATAN 1.8 %, FSIN 1.3 %, FCOS
 * 0.5 %), where ours is the correctly rounded one. With directed rounding of tiny angles FPTAN differs in one of ten.
 */
import type { Builder, Helper, HelperEnv, Value } from '../../../ir/builder.ts';
import { STATE } from '../cpu-state.ts';
import { CC } from './convert.ts';
import { atan2, cos, exp2Minus1, type Signed, sin, split128, tan, yLog2, yLog2Plus1 } from './functions.ts';
import { BIAS, BINARY, EXC, exponentOf, F80, isDenormal, isNanOrUnsupported, isTop, isZero, MSB, nan1, nan2, or, PRE_EXCEPTIONS, retInvalid, round, SIGN, signOf, TOP_EXPONENT, unmasked } from './soft-float.ts';
import { above, commit, fillIndefinite, helper, inUse, loadControl, loadRegister, loadStatus, loadTags, loadTop, operands, push, raise, STACK_OVERFLOW, STACK_UNDERFLOW, underflowTo } from './state.ts';

// ---- from numbers to the JavaScript functions and back ----

function decode(sig: number | bigint, se: number | bigint): Signed {
  const word = Number(se);
  return { m: BigInt.asUintN(64, BigInt(sig)), e: Math.max(word & 0x7fff, 1) - BIAS - 63, negative: (word & SIGN) !== 0 };
}
/** Lower half, exponent and sign of the result, in scratch state; the upper half is returned. */
const RESULT = { low: STATE.scratch, exponent: STATE.scratch + 8, sign: STATE.scratch + 12 } as const;
function deliver(env: HelperEnv, x: Signed): bigint {
  const [hi, lo, e] = split128(x);
  env.state.setBigUint64(RESULT.low, lo, true);
  env.state.setInt32(RESULT.exponent, e + BIAS, true);
  env.state.setInt32(RESULT.sign, x.negative ? SIGN : 0, true);
  return BigInt.asIntN(64, hi);
}
const one = (name: string, f: (x: Signed) => Signed): Helper => ({ name: `x87.${name}`, params: ['i64', 'i32'], results: ['i64'], effect: 'state', js: (env, sig, se) => deliver(env, f(decode(sig as bigint, se as number))) });
const two = (name: string, f: (x: Signed, y: Signed) => Signed): Helper => ({
  name: `x87.${name}`,
  params: ['i64', 'i32', 'i64', 'i32'],
  results: ['i64'],
  effect: 'state',
  js: (env, sx, ex, sy, ey) => deliver(env, f(decode(sx as bigint, ex as number), decode(sy as bigint, ey as number))),
});
const SIN = one('sinBits', sin);
const COS = one('cosBits', cos);
const TAN = one('tanBits', tan);
const EXP2M1 = one('exp2m1Bits', exp2Minus1);
const ATAN2 = two('atan2Bits', (x, y) => atan2(y, x));
const YLOG2 = two('yLog2Bits', (x, y) => yLog2(y, x));
const YLOG2P1 = two('yLog2p1Bits', (x, y) => yLog2Plus1(y, x));

/** Emit: round what a function delivered. The processor reports every such result as inexact, even an exact one. */
function rounded(ir: Builder, hi: Value, control: Value, exc: Value): Value[] {
  const low = ir.stateLoad('i64.load', RESULT.low);
  const [sig, se, raised] = ir.call(round, [ir.stateLoad('i32.load', RESULT.sign), ir.stateLoad('i32.load', RESULT.exponent), hi, low, ir.i32.or(control, ir.const32(0x300)), exc]) as [Value, Value, Value];
  const tiny = ir.i32.shl(ir.i32.eqz(exponentOf(ir, se)), ir.const32(4));
  return [sig, se, or(ir, raised, ir.const32(EXC.precision), tiny)];
}
const core = (name: string, params: Helper['params'], build: NonNullable<Helper['build']>): Helper => ({ name: `x87.${name}`, params, results: F80, effect: 'state', build });
const denormalOf = (ir: Builder, ...operand: [Value, Value][]): Value => ir.i32.shl(or(ir, ...operand.map(([s, e]) => isDenormal(ir, s, e))), ir.const32(1));

// ---- one operand ----

/** The common frame: NaNs, infinity (by `infinite`), zero (by `zero`), DE, then the function. */
function unaryCore(name: string, f: Helper, zero: (ir: Builder, sig: Value, se: Value) => Value[], infinite: (ir: Builder, se: Value) => void, before?: (ir: Builder, sig: Value, se: Value, denormal: Value) => void): Helper {
  return core(name, ['i64', 'i32', 'i32'], (ir, sig, se, control) => {
    ir.if(isNanOrUnsupported(ir, sig as Value, se as Value), () => ir.ret(ir.call(nan1, [sig as Value, se as Value])));
    ir.if(isTop(ir, se as Value), () => infinite(ir, se as Value));
    ir.if(isZero(ir, sig as Value), () => ir.ret([...zero(ir, sig as Value, se as Value), ir.const32(0)]));
    const denormal = denormalOf(ir, [sig as Value, se as Value]);
    ir.if(unmasked(ir, denormal, control as Value, EXC.denormal), () => ir.ret([sig as Value, se as Value, denormal]));
    before?.(ir, sig as Value, se as Value, denormal);
    const [hi] = ir.call(f, [sig as Value, se as Value]) as [Value];
    ir.ret(rounded(ir, hi, control as Value, denormal));
  });
}
const same = (_: Builder, sig: Value, se: Value): Value[] => [sig, se];
const sinCore = unaryCore('sinCore', SIN, same, retInvalid);
const cosCore = unaryCore('cosCore', COS, (ir) => [ir.const64(MSB), ir.const32(BIAS)], retInvalid);
const tanCore = unaryCore('tanCore', TAN, same, retInvalid);
const exp2m1Core = unaryCore(
  'exp2m1Core',
  EXP2M1,
  same,
  (ir, se) => {
    const minus = signOf(ir, se);
    ir.ret([ir.const64(MSB), ir.select(minus, ir.const32(SIGN | BIAS), ir.const32(TOP_EXPONENT)), ir.const32(0)]);
  },
  (ir, sig, se, denormal) => {
    // Beyond ±1 the manual promises nothing; the operand comes back. +1 is its own result, −1 gives −½.
    ir.if(ir.i32.ge_u(exponentOf(ir, se), ir.const32(BIAS)), () => {
      const unit = ir.i32.and(ir.i32.eq(exponentOf(ir, se), ir.const32(BIAS)), ir.i64.eq(sig, ir.const64(MSB)));
      const minus = signOf(ir, se);
      const half = ir.i32.and(unit, ir.i32.ne(minus, ir.const32(0)));
      const up = ir.i32.and(unit, ir.i32.eqz(minus));
      ir.ret([sig, ir.i32.sub(se, half), or(ir, denormal, ir.const32(EXC.precision), ir.i32.shl(up, ir.const32(9)))]);
    });
  },
);
export const EXP2M1_ST = helper('exp2m1St', [], [], (ir) => {
  const zero = ir.const32(0);
  const [x] = operands(ir, [zero], underflowTo(ir, zero, zero)) as [[Value, Value]];
  ir.call(commit, [zero, ...ir.call(exp2m1Core, [...x, loadControl(ir)]), zero]);
  ir.ret([]);
});

/** Clear C2 (the argument was in range) or set it (too large: nothing else happens). */
function setC2(ir: Builder, value: boolean): void {
  const kept = ir.i32.and(loadStatus(ir), ir.const32(~(CC.c1 | CC.c2)));
  ir.stateStore('i32.store', STATE.x87Status, value ? ir.i32.or(kept, ir.const32(CC.c2)) : kept);
}
const tooLarge = (ir: Builder, sig: Value, se: Value): Value => {
  const e = exponentOf(ir, se);
  return ir.i32.and(ir.i32.and(ir.i32.ge_u(e, ir.const32(BIAS + 63)), ir.i32.ne(e, ir.const32(TOP_EXPONENT))), ir.i64.lt_s(sig, ir.const64(0)));
};
function trigonometric(name: string, op: Helper): Helper {
  return helper(name, [], [], (ir) => {
    const zero = ir.const32(0);
    const [[sig, se]] = operands(ir, [zero], () => {
      setC2(ir, false);
      underflowTo(ir, zero, zero)();
    }) as [[Value, Value]];
    ir.if(tooLarge(ir, sig, se), () => {
      setC2(ir, true);
      ir.ret([]);
    });
    setC2(ir, false);
    ir.call(commit, [zero, ...ir.call(op, [sig, se, loadControl(ir)]), zero]);
    ir.ret([]);
  });
}
export const SIN_ST = trigonometric('sinSt', sinCore);
export const COS_ST = trigonometric('cosSt', cosCore);
/** FPTAN, FSINCOS: ST(0) = first, then push second. C1 tells of the first's rounding. */
function pushing(name: string, first: Helper, second: Helper | undefined): Helper {
  return helper(name, [], [], (ir) => {
    const zero = ir.const32(0);
    const top = loadTop(ir);
    const next = above(ir, top);
    setC2(ir, false);
    const fault = (exc: number): void => {
      raise(ir, ir.const32(exc));
      ir.if(ir.i32.and(loadControl(ir), ir.const32(EXC.invalid)), () => fillIndefinite(ir, top, next));
      ir.ret([]);
    };
    ir.if(ir.i32.eqz(inUse(ir, loadTags(ir), top)), () => fault(STACK_UNDERFLOW));
    ir.if(inUse(ir, loadTags(ir), next), () => fault(STACK_OVERFLOW));
    const [sig, se] = loadRegister(ir, top);
    ir.if(tooLarge(ir, sig, se), () => {
      setC2(ir, true);
      ir.ret([]);
    });
    const control = loadControl(ir);
    const [as, ae, ax] = ir.call(first, [sig, se, control]) as [Value, Value, Value];
    const blocked = unmasked(ir, ax, control, PRE_EXCEPTIONS);
    if (second === undefined) {
      ir.call(commit, [zero, as, ae, ax, zero]);
      ir.if(ir.i32.eqz(blocked), () => {
        // A NaN is pushed again, anything else is followed by 1.
        const nan = isTop(ir, ae);
        ir.call(pushQuietly, [ir.select(nan, as, ir.const64(MSB)), ir.select(nan, ae, ir.const32(BIAS))]);
      });
    } else {
      const [bs, be, bx] = ir.call(second, [sig, se, control]) as [Value, Value, Value];
      ir.call(commit, [zero, as, ae, ir.i32.or(ax, ir.i32.and(bx, ir.const32(~CC.c1))), zero]);
      ir.if(ir.i32.eqz(blocked), () => ir.call(pushQuietly, [bs, be]));
    }
    ir.ret([]);
  });
}
/** Push without touching the status word; the register above is known to be free. */
const pushQuietly = helper('pushQuietly', ['i64', 'i32'], [], (ir, sig, se) => {
  const status = loadStatus(ir);
  ir.call(push, [sig, se, ir.const32(0)]);
  ir.stateStore('i32.store', STATE.x87Status, status);
  ir.ret([]);
});
export const TAN_ST = pushing('tanSt', tanCore, undefined);
export const SIN_COS_ST = pushing('sinCosSt', sinCore, cosCore);

// ---- two operands: x = ST(0), y = ST(1); the result replaces ST(1), then pop ----

const PARAMS = BINARY;
type Parts = { readonly sx: Value; readonly ex: Value; readonly sy: Value; readonly ey: Value; readonly control: Value; readonly denormal: Value; abort(): void };
function binaryCore(name: string, build: (ir: Builder, p: Parts) => void): Helper {
  return core(name, PARAMS, (ir, ...v) => {
    const [sx, ex, sy, ey, control] = v as [Value, Value, Value, Value, Value];
    ir.if(ir.i32.or(isNanOrUnsupported(ir, sx, ex), isNanOrUnsupported(ir, sy, ey)), () => ir.ret(ir.call(nan2, [sx, ex, sy, ey])));
    const denormal = denormalOf(ir, [sx, ex], [sy, ey]);
    build(ir, { sx, ex, sy, ey, control, denormal, abort: () => ir.if(unmasked(ir, denormal, control, EXC.denormal), () => ir.ret([sy, ey, denormal])) });
  });
}
const infinity = (ir: Builder, sign: Value): Value[] => [ir.const64(MSB), ir.i32.or(sign, ir.const32(TOP_EXPONENT))];
const flipIf = (ir: Builder, sign: Value, condition: Value): Value => ir.i32.xor(sign, ir.i32.shl(condition, ir.const32(15)));

const yLog2Core = binaryCore('yLog2Core', (ir, { sx, ex, sy, ey, control, denormal, abort }) => {
  const zeroX = isZero(ir, sx);
  const zeroY = isZero(ir, sy);
  const infX = isTop(ir, ex);
  const infY = isTop(ir, ey);
  const sign = signOf(ir, ey);
  ir.if(zeroX, () => {
    ir.if(zeroY, () => retInvalid(ir));
    ir.if(infY, () => ir.ret([...infinity(ir, flipIf(ir, sign, ir.const32(1))), ir.const32(0)]));
    ir.ret([...infinity(ir, flipIf(ir, sign, ir.const32(1))), ir.const32(EXC.zeroDivide)]);
  });
  ir.if(signOf(ir, ex), () => retInvalid(ir));
  const unit = ir.i32.and(ir.i32.eq(ex, ir.const32(BIAS)), ir.i64.eq(sx, ir.const64(MSB)));
  const below = ir.i32.lt_u(exponentOf(ir, ex), ir.const32(BIAS));
  ir.if(infX, () => {
    ir.if(zeroY, () => retInvalid(ir));
    abort();
    ir.ret([...infinity(ir, sign), denormal]);
  });
  ir.if(infY, () => {
    ir.if(unit, () => retInvalid(ir));
    abort();
    ir.ret([...infinity(ir, flipIf(ir, sign, below)), denormal]);
  });
  abort();
  ir.if(ir.i32.or(zeroY, unit), () => ir.ret([ir.const64(0), flipIf(ir, sign, below), denormal]));
  const [hi] = ir.call(YLOG2, [sx, ex, sy, ey]) as [Value];
  ir.ret(rounded(ir, hi, control, denormal));
});
const yLog2p1Core = binaryCore('yLog2p1Core', (ir, { sx, ex, sy, ey, control, denormal, abort }) => {
  const zeroX = isZero(ir, sx);
  const zeroY = isZero(ir, sy);
  const infX = isTop(ir, ex);
  const infY = isTop(ir, ey);
  const signX = signOf(ir, ex);
  const sign = ir.i32.xor(signX, signOf(ir, ey));
  const beyond = ir.i32.and(ir.i32.ne(signX, ir.const32(0)), ir.i32.ge_u(exponentOf(ir, ex), ir.const32(BIAS)));
  ir.if(infX, () => {
    ir.if(or(ir, signX, zeroY), () => retInvalid(ir));
    abort();
    ir.ret([...infinity(ir, sign), denormal]);
  });
  ir.if(infY, () => {
    ir.if(zeroX, () => retInvalid(ir));
    abort();
    ir.ret([...infinity(ir, sign), denormal]);
  });
  abort();
  ir.if(ir.i32.or(zeroX, zeroY), () => ir.ret([ir.const64(0), sign, denormal]));
  // log2 of nothing or less: the manual promises nothing; x comes back.
  ir.if(beyond, () => ir.ret([sx, ex, ir.i32.or(denormal, ir.const32(EXC.precision))]));
  const [hi] = ir.call(YLOG2P1, [sx, ex, sy, ey]) as [Value];
  ir.ret(rounded(ir, hi, control, denormal));
});
/** π · 2^−2 … as 128 bits below the binary point of [1, 2). */
const PI_HIGH = 0xc90fdaa22168c234n;
const PI_LOW = 0xc4c6628b80dc1cd1n;
/** 3π/4 likewise, over 2. */
const PI_3_4_HIGH = 0x96cbe3f9990e91a7n;
const PI_3_4_LOW = 0x9394c9e8a0a5159cn;
const atan2Core = binaryCore('atan2Core', (ir, { sx, ex, sy, ey, control, denormal, abort }) => {
  const c = (n: number): Value => ir.const32(n);
  const zeroX = isZero(ir, sx);
  const zeroY = isZero(ir, sy);
  const infX = isTop(ir, ex);
  const infY = isTop(ir, ey);
  const sign = signOf(ir, ey);
  const left = ir.i32.ne(signOf(ir, ex), c(0));
  abort();
  const angle = (exp: Value, hi: Value, lo: Value): void => ir.ret(ir.call(round, [sign, exp, hi, lo, ir.i32.or(control, c(0x300)), denormal]));
  const pi = (exp: number): void => angle(c(exp), ir.const64(PI_HIGH), ir.const64(PI_LOW));
  // On the axis: 0 or π.
  ir.if(ir.i32.or(zeroY, ir.i32.and(infX, ir.i32.eqz(infY))), () => {
    ir.if(left, () => pi(BIAS + 1));
    ir.ret([ir.const64(0), sign, denormal]);
  });
  ir.if(ir.i32.and(infX, infY), () => {
    ir.if(left, () => angle(c(BIAS + 1), ir.const64(PI_3_4_HIGH), ir.const64(PI_3_4_LOW)));
    pi(BIAS - 1);
  });
  ir.if(ir.i32.or(zeroX, infY), () => pi(BIAS));
  const [hi] = ir.call(ATAN2, [sx, ex, sy, ey]) as [Value];
  ir.ret(rounded(ir, hi, control, denormal));
});
function popping(name: string, op: Helper): Helper {
  return helper(name, [], [], (ir) => {
    const target = ir.const32(1);
    const [x, y] = operands(ir, [ir.const32(0), target], underflowTo(ir, target, target)) as [[Value, Value], [Value, Value]];
    ir.call(commit, [target, ...ir.call(op, [...x, ...y, loadControl(ir)]), target]);
    ir.ret([]);
  });
}
export const Y_LOG2_ST = popping('yLog2St', yLog2Core);
export const Y_LOG2P1_ST = popping('yLog2p1St', yLog2p1Core);
export const ATAN2_ST = popping('atan2St', atan2Core);
