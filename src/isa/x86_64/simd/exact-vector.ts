/**
 * exact.ts over vectors, for the exact mode of float-environment.ts: arithmetic, square roots, fused multiply-add,
 * operands of comparisons, rounding to integral values.
 *
 * Each helper first looks whether no operand or result is special, denormal or at the border of overflow or underflow.
 * Then the engine's own operation does: at once where MXCSR rounds to nearest and PE is set already and masked (so nobody
 * can tell whether this operation rounds), else with its exact error, which tells PE and the other roundings. What is left
 * is computed lane by lane in integers. A flag set already need not be returned.
 */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import { maddIsFused } from '../../../ir/relaxed.ts';
import { MXCSR } from '../cpu-state.ts';
import { ARITHMETIC, type Format, F32, F64, FMA, type Operation, pure, SQUARE_ROOT } from './exact.ts';
import { CONTROL, EXCEPTION, type FloatContext, MASK_SHIFT, ROUNDING_SHIFT } from './float-environment.ts';

export type Shape = 'f32x4' | 'f64x2';
const OPERATIONS: readonly Operation[] = ['add', 'sub', 'mul', 'div'];
const SHAPES: readonly Shape[] = ['f32x4', 'f64x2'];
export const formatOf = (shape: Shape): Format => (shape === 'f32x4' ? F32 : F64);
export const scalarOf = (shape: Shape): 'f32' | 'f64' => (shape === 'f32x4' ? 'f32' : 'f64');
const laneCount = (shape: Shape): number => (shape === 'f32x4' ? 4 : 2);
const RESULT = ['v128', 'i32'] as const;

// ---- lanes ----

/** The encoding in lane `n`, as an i64. */
export function lane(ir: Builder, shape: Shape, v: Value, n: number): Value {
  return shape === 'f32x4' ? ir.i64.extend_i32_u(ir.i32x4.extract_lane(v, n)) : ir.i64x2.extract_lane(v, n);
}
export function withLane(ir: Builder, shape: Shape, v: Value, n: number, bits: Value): Value {
  return shape === 'f32x4' ? ir.i32x4.replace_lane(v, n, ir.i32.wrap_i64(bits)) : ir.i64x2.replace_lane(v, n, bits);
}
/** An encoding in all lanes. */
export function splat(ir: Builder, shape: Shape, bits: bigint): Value {
  return shape === 'f32x4' ? ir.i32x4.splat(ir.const32(Number(BigInt.asIntN(32, bits)))) : ir.i64x2.splat(ir.const64(bits));
}
/** The smallest normal number. */
export const least = (f: Format): bigint => 1n << BigInt(f.fraction);
const zeros = (ir: Builder): Value => ir.const128(new Uint8Array(16));
const flag = (ir: Builder, condition: Value, bit: number): Value => ir.select(condition, ir.const32(bit), ir.const32(0));

/** i32: rounding to nearest, and no need to know whether anything is inexact. */
export function isUsual(ir: Builder, mxcsr: Value): Value {
  const masked = EXCEPTION.precision << MASK_SHIFT;
  return ir.i32.eq(ir.i32.and(mxcsr, ir.const32(CONTROL.rounding | masked | EXCEPTION.precision)), ir.const32(masked | EXCEPTION.precision));
}
/** Lanes that are neither NaN nor denormal (infinities pass). */
function isPlain(ir: Builder, shape: Shape, v: Value): Value {
  const f = ir[shape];
  return ir.v128.or(f.ge(f.abs(v), splat(ir, shape, least(formatOf(shape)))), f.eq(v, zeros(ir)));
}
/** The greatest finite number. */
const greatest = (f: Format): bigint => f.infinity - 1n;
/** Lanes inside the range in all rounding modes: nothing has overflowed or underflowed, and one step either way still would not. */
function isSafe(ir: Builder, shape: Shape, r: Value): Value {
  const f = ir[shape];
  const size = f.abs(r);
  return ir.v128.and(f.gt(size, splat(ir, shape, least(formatOf(shape)))), f.lt(size, splat(ir, shape, greatest(formatOf(shape)))));
}
/** Numbers from which on the error of a product or a remainder is a normal number: 2^(−bias + fraction + 3). */
const roomy = (f: Format): bigint => BigInt(f.fraction + 3) << BigInt(f.fraction);
/** Each lane that is at least so great, or zero. */
const isRoomy = (ir: Builder, shape: Shape, v: Value): Value => ir.v128.or(ir[shape].ge(ir[shape].abs(v), splat(ir, shape, roomy(formatOf(shape)))), ir[shape].eq(v, zeros(ir)));

/**
 * From `r`, rounded to nearest and safe (or zero), and `error`, of the sign of the exact result minus r and NaN where that
 * is not known: return the result as MXCSR rounds it, and PE; or go on if a lane is not that simple.
 */
function retCorrected(ir: Builder, shape: Shape, r: Value, error: Value, mxcsr: Value, ret: (r: Value, flags: Value) => void): void {
  const f = ir[shape];
  const { v128 } = ir;
  const no = zeros(ir);
  ir.if(ir.i32x4.all_true(f.eq(error, error)), () => {
    const flags = flag(ir, v128.any_true(f.ne(error, no)), EXCEPTION.precision);
    const mode = ir.i32.and(mxcsr, ir.const32(CONTROL.rounding));
    ir.if(ir.i32.eqz(mode), () => ret(r, flags));
    // sums that cancel are −0 when rounding down: not here
    ir.if(ir.i32.eqz(v128.any_true(f.eq(r, no))), () => {
      const is = (n: number): Value => ir.i32x4.splat(ir.i32.sub(ir.const32(0), ir.i32.eq(mode, ir.const32(n << ROUNDING_SHIFT))));
      const above = f.gt(error, no);
      const below = f.lt(error, no);
      const negative = f.lt(r, no);
      const up = v128.and(above, is(2));
      const down = v128.and(below, is(1));
      const inward = v128.and(is(3), v128.bitselect(above, below, negative));
      // one step in magnitude: out where up and down go away from zero, in otherwise. Masks are −1 as integers
      const out = v128.or(v128.andnot(up, negative), v128.and(down, negative));
      const back = v128.or(inward, v128.or(v128.and(up, negative), v128.andnot(down, negative)));
      const i = shape === 'f32x4' ? ir.i32x4 : ir.i64x2;
      ret(i.add(i.sub(r, out), back), flags);
    });
  });
}

/** The vector of one operation on each of the lanes of the sources. */
function eachLane(ir: Builder, shape: Shape, helper: Helper, sources: readonly Value[], rest: (n: number) => readonly Value[], into?: Value, count = laneCount(shape)): [Value, Value] {
  let result = into ?? zeros(ir);
  let flags: Value | undefined;
  for (let n = 0; n < count; n++) {
    const [bits, raised] = ir.call(helper, [...sources.map((v) => lane(ir, shape, v, n)), ...rest(n)]) as [Value, Value];
    result = withLane(ir, shape, result, n, bits);
    flags = flags === undefined ? raised : ir.i32.or(flags, raised);
  }
  return [result, flags as Value];
}

/** Lane 0 of `v`, the others of `rest`. */
function lowOnly(ir: Builder, shape: Shape, v: Value, rest: Value): Value {
  const low = shape === 'f32x4' ? 4 : 8;
  return ir.shuffle(v, rest, Array.from({ length: 16 }, (_, k) => (k < low ? k : 16 + k)));
}

// ---- arithmetic ----

const table = <K extends string>(keys: readonly K[], make: (key: K, shape: Shape) => Helper): Readonly<Record<K, Readonly<Record<Shape, Helper>>>> =>
  Object.fromEntries(keys.map((key) => [key, Object.fromEntries(SHAPES.map((shape) => [shape, make(key, shape)]))])) as Record<K, Record<Shape, Helper>>;

/** Zero as a result is no underflow: always of a sum, of a product or quotient where an operand makes it so. */
function zeroIsRight(ir: Builder, shape: Shape, op: Operation, a: Value, b: Value): Value | undefined {
  const f = ir[shape];
  if (op === 'mul') return ir.v128.or(f.eq(a, zeros(ir)), f.eq(b, zeros(ir)));
  return op === 'div' ? f.eq(a, zeros(ir)) : undefined;
}
/** Of the sign of (x op y) − r, NaN where it cannot be told by the engine's own operations. */
function errorOf(ir: Builder, shape: Shape, op: Operation, x: Value, y: Value, r: Value): Value {
  const f = ir[shape];
  const { v128 } = ir;
  const unless = (known: Value, v: Value): Value => v128.or(v, v128.not(known));
  if (op === 'add' || op === 'sub') {
    // Knuth's exact error of a sum
    const second = op === 'sub' ? f.neg(y) : y;
    const b = f.sub(r, x);
    return f.add(f.sub(x, f.sub(r, b)), f.sub(second, b));
  }
  if (!maddIsFused()) return splat(ir, shape, formatOf(shape).nan);
  if (op === 'mul') return unless(isRoomy(ir, shape, r), f.relaxed_madd(x, y, f.neg(r)));
  const remainder = f.relaxed_nmadd(r, y, x);
  return unless(v128.and(isRoomy(ir, shape, x), isRoomy(ir, shape, r)), v128.xor(remainder, v128.and(y, splat(ir, shape, formatOf(shape).sign))));
}
/** Return what the engine's operation does for these lanes, if MXCSR, operands and result are as most are. */
function retSimple(ir: Builder, shape: Shape, op: Operation, x: Value, y: Value, control: Value, ret: (r: Value, flags: Value) => void): void {
  const f = ir[shape];
  const r = f[op](x, y);
  const right = zeroIsRight(ir, shape, op, x, y);
  const isZero = f.eq(r, zeros(ir));
  const result = ir.v128.or(isSafe(ir, shape, r), right === undefined ? isZero : ir.v128.and(isZero, right));
  const fine = ir.v128.and(ir.v128.and(isPlain(ir, shape, x), isPlain(ir, shape, y)), result);
  ir.if(ir.i32x4.all_true(fine), () => {
    ir.if(isUsual(ir, control), () => ret(r, ir.const32(0)));
    retCorrected(ir, shape, r, errorOf(ir, shape, op, x, y, r), control, ret);
  });
}
const BINARY_PARAMS = ['v128', 'v128', 'i32'] as const;
/** (a, b, MXCSR) → a op b in every lane. */
const PACKED = table(OPERATIONS, (op, shape) =>
  pure(`${op}.${shape}`, BINARY_PARAMS, RESULT, (ir, a, b, mxcsr) => {
    const [x, y, control] = [a, b, mxcsr] as [Value, Value, Value];
    retSimple(ir, shape, op, x, y, control, (r, flags) => ir.ret([r, flags]));
    ir.ret(eachLane(ir, shape, ARITHMETIC[op].get(formatOf(shape)) as Helper, [x, y], () => [control]));
  }),
);
/** (a, b, MXCSR) → a with lane 0 replaced by a op b. */
const SCALAR = table(OPERATIONS, (op, shape) =>
  pure(`${op}.${scalarOf(shape)}.low`, BINARY_PARAMS, RESULT, (ir, a, b, mxcsr) => {
    const [x, y, control] = [a, b, mxcsr] as [Value, Value, Value];
    // 1 op 1 in the other lanes: exact
    const alone = (v: Value): Value => lowOnly(ir, shape, v, splat(ir, shape, formatOf(shape).one));
    retSimple(ir, shape, op, alone(x), alone(y), control, (r, flags) => ir.ret([lowOnly(ir, shape, r, x), flags]));
    ir.ret(eachLane(ir, shape, ARITHMETIC[op].get(formatOf(shape)) as Helper, [x, y], () => [control], x, 1));
  }),
);
/**
 * Emit: `r`, the engine's result, if MXCSR is as usual and `fine` holds in all lanes (`scalar`: in lane 0); otherwise
 * what `helper` returns.
 */
function usualOr(context: FloatContext, ir: Builder, r: Value, fine: Value, scalar: boolean, helper: Helper, args: readonly Value[]): Value {
  const control = ir.get(MXCSR);
  const out = ir.temp('v128');
  const raised = ir.temp('i32');
  const all = scalar ? ir.i32x4.extract_lane(fine, 0) : ir.i32x4.all_true(fine);
  ir.if(
    ir.i32.and(all, isUsual(ir, control)),
    () => {
      ir.set(out, r);
      ir.set(raised, ir.const32(0));
    },
    () => {
      const [result, flags] = ir.call(helper, [...args, control]) as [Value, Value];
      ir.set(out, result);
      ir.set(raised, flags);
    },
  );
  context.raise(ir.get(raised));
  return ir.get(out);
}
/** Lanes in which operands and result are all inside the range of normal numbers. */
function isInside(ir: Builder, shape: Shape, operands: readonly Value[], r: Value): Value {
  const f = ir[shape];
  const size = f.abs(r);
  const smallest = operands.reduce((m, v) => f.pmin(m, f.abs(v)), size);
  return ir.v128.and(f.gt(smallest, splat(ir, shape, least(formatOf(shape)))), f.lt(size, splat(ir, shape, greatest(formatOf(shape)))));
}
export function exactArithmetic(context: FloatContext, ir: Builder, shape: Shape, op: Operation, a: Value, b: Value, scalar = false): Value {
  const f = ir[shape];
  const r = scalar ? f.replace_lane(a, 0, ir[scalarOf(shape)][op](f.extract_lane(a, 0), f.extract_lane(b, 0))) : f[op](a, b);
  return usualOr(context, ir, r, isInside(ir, shape, [a, b], r), scalar, (scalar ? SCALAR : PACKED)[op][shape], [a, b]);
}

// ---- square root ----

/** (a, b, MXCSR) → a with lane 0 replaced by √b; all lanes √b for 'packed'. */
const ROOT = table(['packed', 'scalar'], (kind, shape) =>
  pure(`sqrt.${shape}.${kind}`, BINARY_PARAMS, RESULT, (ir, a, b, mxcsr) => {
    const [x, v, control] = [a, b, mxcsr] as [Value, Value, Value];
    const scalar = kind === 'scalar';
    const y = scalar ? lowOnly(ir, shape, v, splat(ir, shape, formatOf(shape).one)) : v;
    const ret = (r: Value, flags: Value): void => ir.ret([scalar ? lowOnly(ir, shape, r, x) : r, flags]);
    const f = ir[shape];
    const fine = ir.v128.or(ir.v128.and(f.ge(y, splat(ir, shape, least(formatOf(shape)))), f.lt(y, splat(ir, shape, formatOf(shape).infinity))), f.eq(y, zeros(ir)));
    ir.if(ir.i32x4.all_true(fine), () => {
      const r = f.sqrt(y);
      ir.if(isUsual(ir, control), () => ret(r, ir.const32(0)));
      if (maddIsFused()) retCorrected(ir, shape, r, ir.v128.or(f.relaxed_nmadd(r, r, y), ir.v128.not(isRoomy(ir, shape, y))), control, ret);
    });
    ir.ret(eachLane(ir, shape, SQUARE_ROOT.get(formatOf(shape)) as Helper, [v], () => [control], scalar ? x : undefined, scalar ? 1 : laneCount(shape)));
  }),
);
export function exactSquareRoot(context: FloatContext, ir: Builder, shape: Shape, a: Value, b: Value, scalar = false): Value {
  const f = ir[shape];
  const r = scalar ? f.replace_lane(a, 0, ir[scalarOf(shape)].sqrt(f.extract_lane(b, 0))) : f.sqrt(b);
  const fine = ir.v128.and(f.gt(b, splat(ir, shape, least(formatOf(shape)))), f.lt(b, splat(ir, shape, greatest(formatOf(shape)))));
  return usualOr(context, ir, r, fine, scalar, ROOT[scalar ? 'scalar' : 'packed'][shape], [a, b]);
}

// ---- fused multiply-add ----

/** (x, y, z, signs of z to turn, 1 to turn the product's, MXCSR); 'scalar': lane 0 only, the others are x's. */
const MULTIPLY_ADD = table(['packed', 'scalar'], (kind, shape) =>
  pure(`fma.${shape}.${kind}`, ['v128', 'v128', 'v128', 'v128', 'i32', 'i32'], RESULT, (ir, a, b, c, turnZ, turnProduct, mxcsr) => {
    const [x, y, z, signs, product, control] = [a, b, c, turnZ, turnProduct, mxcsr] as [Value, Value, Value, Value, Value, Value];
    const f = ir[shape];
    const { v128 } = ir;
    if (maddIsFused()) {
      ir.if(isUsual(ir, control), () => {
        const sign = v128.and(splat(ir, shape, formatOf(shape).sign), ir.i32x4.splat(ir.i32.sub(ir.const32(0), product)));
        const r = f.relaxed_madd(v128.xor(x, sign), y, v128.xor(z, signs));
        const fine = [x, y, z].map((v) => isPlain(ir, shape, v)).reduce((p, q) => v128.and(p, q), isSafe(ir, shape, r));
        if (kind === 'packed') ir.if(ir.i32x4.all_true(fine), () => ir.ret([r, ir.const32(0)]));
        else ir.if(ir.i32x4.extract_lane(fine, 0), () => ir.ret([f.replace_lane(x, 0, f.extract_lane(r, 0)), ir.const32(0)]));
      });
    }
    const turns = (n: number): Value => ir.i32.or(product, ir.i32.shl(ir.i32.wrap_i64(ir.i64.shr_u(lane(ir, shape, signs, n), ir.const64(formatOf(shape).bits - 1))), ir.const32(1)));
    const helper = FMA.get(formatOf(shape)) as Helper;
    ir.ret(eachLane(ir, shape, helper, [x, y, z], (n) => [turns(n), control], x, kind === 'scalar' ? 1 : laneCount(shape)));
  }),
);
/** ±(x·y) + z, with the signs of z turned where `signs` has sign bits. */
export function exactMultiplyAdd(context: FloatContext, ir: Builder, shape: Shape, x: Value, y: Value, z: Value, signs: Value, negateProduct: boolean, scalar: boolean): Value {
  const helper = MULTIPLY_ADD[scalar ? 'scalar' : 'packed'][shape];
  const args = [x, y, z, signs, ir.const32(negateProduct ? 1 : 0)];
  if (maddIsFused()) {
    const f = ir[shape];
    const addend = ir.v128.xor(z, signs);
    const full = negateProduct ? f.relaxed_nmadd(x, y, addend) : f.relaxed_madd(x, y, addend);
    const r = scalar ? f.replace_lane(x, 0, f.extract_lane(full, 0)) : full;
    return usualOr(context, ir, r, isInside(ir, shape, [x, y, z], r), scalar, helper, args);
  }
  const [r, flags] = ir.call(helper, [...args, ir.get(MXCSR)]) as [Value, Value];
  context.raise(flags);
  return r;
}

// ---- what only looks at its operands ----

const isDenormal = (ir: Builder, shape: Shape, v: Value): Value => ir.v128.and(ir[shape].lt(ir[shape].abs(v), splat(ir, shape, least(formatOf(shape)))), ir[shape].ne(v, zeros(ir)));
const isSignalling = (ir: Builder, shape: Shape, v: Value): Value => {
  const silent = ir.v128.and(v, splat(ir, shape, formatOf(shape).quiet));
  const clear = shape === 'f32x4' ? ir.i32x4.eq(silent, zeros(ir)) : ir.i64x2.eq(silent, zeros(ir));
  return ir.v128.and(ir[shape].ne(v, v), clear);
};
const zeroed = (ir: Builder, shape: Shape, v: Value, denormal: Value): Value => ir.v128.bitselect(ir.v128.and(v, splat(ir, shape, formatOf(shape).sign)), v, denormal);
const daz = (ir: Builder, mxcsr: Value): Value => ir.i32.and(mxcsr, ir.const32(CONTROL.denormalsAreZero));

/** (a, b, MXCSR) → a and b as a comparison takes them, flags. 'signalling': any NaN is invalid. */
const OPERANDS = table(['quiet', 'signalling'], (kind, shape) =>
  pure(`operands.${shape}.${kind}`, BINARY_PARAMS, ['v128', 'v128', 'i32'], (ir, a, b, mxcsr) => {
    const [x, y] = [a, b] as [Value, Value];
    const { v128 } = ir;
    const f = ir[shape];
    const nan = v128.or(f.ne(x, x), f.ne(y, y));
    const denormalX = isDenormal(ir, shape, x);
    const denormalY = isDenormal(ir, shape, y);
    const denormal = v128.or(denormalX, denormalY);
    ir.if(ir.i32.eqz(v128.any_true(v128.or(nan, denormal))), () => ir.ret([x, y, ir.const32(0)]));
    const bad = kind === 'signalling' ? nan : v128.or(isSignalling(ir, shape, x), isSignalling(ir, shape, y));
    const invalid = v128.any_true(bad);
    ir.if(daz(ir, mxcsr as Value), () => ir.ret([zeroed(ir, shape, x, denormalX), zeroed(ir, shape, y, denormalY), invalid]));
    ir.ret([x, y, ir.i32.or(invalid, flag(ir, v128.any_true(v128.andnot(denormal, nan)), EXCEPTION.denormal))]);
  }),
);
/** `low`: only lane 0 counts; the others come out zero. */
export function exactOperands(context: FloatContext, ir: Builder, shape: Shape, a: Value, b: Value, signalling: boolean, low = false): [Value, Value] {
  const only = (v: Value): Value => (low ? ir.v128.and(v, ir.const128(Array.from({ length: 16 }, (_, k) => (k < (shape === 'f32x4' ? 4 : 8) ? 255 : 0)))) : v);
  const [x, y, flags] = ir.call(OPERANDS[signalling ? 'signalling' : 'quiet'][shape], [only(a), only(b), ir.get(MXCSR)]) as [Value, Value, Value];
  context.raise(flags);
  return [x, y];
}

// ---- rounding to integral values ----

/** `a` in the mode the i32 `mode` names: nearest, down, up, toward zero. */
export function roundedBy(ir: Builder, shape: Shape, a: Value, mode: Value): Value {
  const f = ir[shape];
  const out = ir.temp('v128');
  const is = (n: number): Value => ir.i32.eq(mode, ir.const32(n));
  ir.if(ir.i32.eqz(mode), () => ir.set(out, f.nearest(a)), () => ir.if(is(1), () => ir.set(out, f.floor(a)), () => ir.if(is(2), () => ir.set(out, f.ceil(a)), () => ir.set(out, f.trunc(a)))));
  return ir.get(out);
}
/** (a, mode, MXCSR) → every lane integral, flags. */
const INTEGRAL = table(['integral'], (_, shape) =>
  pure(`integral.${shape}`, ['v128', 'i32', 'i32'], RESULT, (ir, a, mode, mxcsr) => {
    const x = ir.select(daz(ir, mxcsr as Value), zeroed(ir, shape, a as Value, isDenormal(ir, shape, a as Value)), a as Value);
    const r = roundedBy(ir, shape, x, mode as Value);
    const f = ir[shape];
    const nan = f.ne(x, x);
    const quiet = ir.v128.or(r, ir.v128.and(nan, splat(ir, shape, formatOf(shape).quiet)));
    const inexact = ir.v128.any_true(ir.v128.andnot(f.ne(r, x), nan));
    ir.ret([quiet, ir.i32.or(ir.v128.any_true(isSignalling(ir, shape, x)), flag(ir, inexact, EXCEPTION.precision))]);
  }),
);
/** MXCSR.RC, 0…3. */
export const currentMode = (ir: Builder): Value => ir.i32.and(ir.i32.shr_u(ir.get(MXCSR), ir.const32(ROUNDING_SHIFT)), ir.const32(3));
/** `mode` 0…3, or undefined for MXCSR's; `silent`: an inexact result raises nothing. */
export function exactIntegral(context: FloatContext, ir: Builder, shape: Shape, a: Value, mode: 0 | 1 | 2 | 3 | undefined, silent: boolean): Value {
  const m = mode === undefined ? currentMode(ir) : ir.const32(mode);
  const [r, flags] = ir.call(INTEGRAL.integral[shape], [a, m, ir.get(MXCSR)]) as [Value, Value];
  context.raise(silent ? ir.i32.and(flags, ir.const32(EXCEPTION.invalid)) : flags);
  return r;
}
/** For the conversions: lanes with denormals taken as zeros if MXCSR says so. */
export function withoutDenormals(ir: Builder, shape: Shape, v: Value, mxcsr: Value): Value {
  return ir.select(daz(ir, mxcsr), zeroed(ir, shape, v, isDenormal(ir, shape, v)), v);
}

export const VECTOR_HELPERS: readonly Helper[] = [PACKED, SCALAR, ROOT, MULTIPLY_ADD, OPERANDS, INTEGRAL].flatMap((t) => Object.values(t).flatMap((by) => Object.values(by) as Helper[]));
