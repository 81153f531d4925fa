/**
 * Meaning of the floating-point vector instructions as functions over v128, shared by the SSE and VEX forms. `a` is the
 * first source (the destination of the two-operand forms), `b` the second. Scalar forms keep the other lanes of `a`.
 *
 * NaN results: x86 takes the first source if it is a NaN, else the second, quieted; an invalid operation on numbers gives
 * the negative default NaN. On an x86-64 host V8 emits the very instructions (addps, vaddps, … with operands in order), so
 * a plain operation is exact; an arm64 host would need a fix-up in `arithmetic` below, the one place for it.
 *
 * MXCSR: in the plain mode of float-environment.ts these are WebAssembly's operations, which round to nearest and raise no
 * flags; in the exact mode they are calls of exact-vector.ts's helpers, which do all that MXCSR says.
 */
import type { Builder, Value } from '../../../ir/builder.ts';
import { MXCSR } from '../cpu-state.ts';
import type { Emitter } from '../emitter.ts';
import { exactArithmetic, exactIntegral, exactOperands, exactSquareRoot } from './exact-vector.ts';
import { exactContext } from './float-environment.ts';
import { type Binary, constants, evenDwords, oddDwords, type Unary } from './integer.ts';

const { lanes } = constants;
export type Shape = 'f32x4' | 'f64x2';
export type Arithmetic = 'add' | 'sub' | 'mul' | 'div';

/** Lane 0 of `b` (4 or 8 bytes), the rest of `a`. */
export const mergeLow = (ir: Builder, a: Value, b: Value, shape: Shape): Value =>
  ir.shuffle(a, b, shape === 'f32x4' ? lanes(4, 4, 1, 2, 3) : lanes(8, 2, 1));

export const arithmetic = (shape: Shape, op: Arithmetic): Binary => (ir, a, b) => {
  const exact = exactContext(ir);
  return exact === undefined ? ir[shape][op](a, b) : exactArithmetic(exact, ir, shape, op, a, b);
};
export const scalarArithmetic = (shape: Shape, op: Arithmetic): Binary => (ir, a, b) => {
  const exact = exactContext(ir);
  if (exact !== undefined) return exactArithmetic(exact, ir, shape, op, a, b, true);
  if (shape === 'f32x4') return ir.f32x4.replace_lane(a, 0, ir.f32[op](ir.f32x4.extract_lane(a, 0), ir.f32x4.extract_lane(b, 0)));
  return ir.f64x2.replace_lane(a, 0, ir.f64[op](ir.f64x2.extract_lane(a, 0), ir.f64x2.extract_lane(b, 0)));
};

/** a < b ? a : b, so the second source when either is a NaN or both are zero: wasm's pmin with its operands exchanged. */
const extreme = (shape: Shape, op: 'pmin' | 'pmax', low: boolean): Binary => (ir, a, b) => {
  const exact = exactContext(ir);
  const [x, y] = exact === undefined ? [a, b] : exactOperands(exact, ir, shape, a, b, true, low);
  const v = ir[shape][op](y, x);
  return low ? mergeLow(ir, a, v, shape) : v;
};
export const minimum = (shape: Shape): Binary => extreme(shape, 'pmin', false);
export const maximum = (shape: Shape): Binary => extreme(shape, 'pmax', false);
export const scalarMinimum = (shape: Shape): Binary => extreme(shape, 'pmin', true);
export const scalarMaximum = (shape: Shape): Binary => extreme(shape, 'pmax', true);
/** The scalar form of an operation that raises nothing and costs nothing extra on the unused lanes. */
export const lowOf = (shape: Shape, packed: Binary): Binary => (ir, a, b) => mergeLow(ir, a, packed(ir, a, b), shape);

export const squareRoot = (shape: Shape): Unary => (ir, a) => {
  const exact = exactContext(ir);
  return exact === undefined ? ir[shape].sqrt(a) : exactSquareRoot(exact, ir, shape, a, a);
};
export const scalarSquareRoot = (shape: Shape): Binary => (ir, a, b) => {
  const exact = exactContext(ir);
  if (exact !== undefined) return exactSquareRoot(exact, ir, shape, a, b, true);
  if (shape === 'f32x4') return ir.f32x4.replace_lane(a, 0, ir.f32.sqrt(ir.f32x4.extract_lane(b, 0)));
  return ir.f64x2.replace_lane(a, 0, ir.f64.sqrt(ir.f64x2.extract_lane(b, 0)));
};

// ---- comparison ----

/** Names of the predicates of the legacy forms, by immediate. */
export const PREDICATES = ['eq', 'lt', 'le', 'unord', 'neq', 'nlt', 'nle', 'ord'] as const;

/** Predicates below 16 that quiet NaNs make invalid; from 16 on it is the others. */
const SIGNALLING = new Set([1, 2, 5, 6, 9, 10, 13, 14]);
const isSignalling = (predicate: number): boolean => SIGNALLING.has(predicate & 15) !== predicate > 15;

/** All 32 predicates of the VEX forms; the legacy ones are 0–7. */
export function compare(ir: Builder, shape: Shape, a: Value, b: Value, predicate: number): Value {
  const exact = exactContext(ir);
  if (exact === undefined) return compareLanes(ir, shape, a, b, predicate);
  return compareLanes(ir, shape, ...exactOperands(exact, ir, shape, a, b, isSignalling(predicate)), predicate);
}
/** Lane 0 compared, the rest of `a`. */
export function compareLow(ir: Builder, shape: Shape, a: Value, b: Value, predicate: number): Value {
  const exact = exactContext(ir);
  const [x, y] = exact === undefined ? [a, b] : exactOperands(exact, ir, shape, a, b, isSignalling(predicate), true);
  return mergeLow(ir, a, compareLanes(ir, shape, x, y, predicate), shape);
}
/** The status flags of (U)COMISS and (U)COMISD; `signalling`: quiet NaNs are invalid too. */
export function compareScalars(x: Emitter, shape: Shape, a: Value, b: Value, signalling: boolean): void {
  const { ir } = x;
  const exact = exactContext(ir);
  let [p, q] = [a, b];
  if (exact !== undefined) {
    const f = ir[shape];
    [p, q] = exactOperands(exact, ir, shape, f.splat(a), f.splat(b), signalling).map((v) => f.extract_lane(v, 0)) as [Value, Value];
    x.commitFloat();
  }
  x.flags.float(shape === 'f32x4' ? 32 : 64, p, q);
}
function compareLanes(ir: Builder, shape: Shape, a: Value, b: Value, predicate: number): Value {
  const f = ir[shape];
  const not = (v: Value): Value => ir.v128.not(v);
  const unordered = (): Value => (a === b ? f.ne(a, a) : ir.v128.or(f.ne(a, a), f.ne(b, b)));
  switch (predicate & 15) {
    case 0: return f.eq(a, b);
    case 1: return f.lt(a, b);
    case 2: return f.le(a, b);
    case 3: return unordered();
    case 4: return f.ne(a, b);
    case 5: return not(f.lt(a, b));
    case 6: return not(f.le(a, b));
    case 7: return not(unordered());
    case 8: return not(ir.v128.or(f.lt(a, b), f.gt(a, b))); // equal or unordered
    case 9: return not(f.ge(a, b));
    case 10: return not(f.gt(a, b));
    case 11: return ir.const128(new Uint8Array(16));
    case 12: return ir.v128.or(f.lt(a, b), f.gt(a, b)); // neither equal nor unordered
    case 13: return f.ge(a, b);
    case 14: return f.gt(a, b);
    default: return ir.const128(new Uint8Array(16).fill(255));
  }
}

// ---- rounding ----

/** nearest, down, up, toward zero: the order of MXCSR.RC and of the ROUND immediates. */
export const ROUND_OPS = ['nearest', 'floor', 'ceil', 'trunc'] as const;
/** A rounding mode: 0–3 as ROUND_OPS, or 4: what MXCSR says; 8 more: an inexact result raises nothing. */
export type Rounding = 0 | 1 | 2 | 3 | 4 | 8 | 9 | 10 | 11 | 12;
/** 0–3, or undefined for MXCSR's. */
export const fixedMode = (mode: Rounding): 0 | 1 | 2 | 3 | undefined => ((mode & 4) !== 0 ? undefined : ((mode & 3) as 0 | 1 | 2 | 3));

/** `round` gives the value in each mode; picks by MXCSR.RC, nearest first. */
export function roundByControl(ir: Builder, type: 'v128' | 'f32' | 'f64', round: (op: (typeof ROUND_OPS)[number]) => Value): Value {
  const out = ir.temp(type);
  const control = ir.i32.and(ir.get(MXCSR), ir.const32(0x6000));
  ir.if(
    ir.i32.eqz(control),
    () => ir.set(out, round('nearest')),
    () => {
      const is = (n: number): Value => ir.i32.eq(control, ir.const32(n << 13));
      ir.set(out, ir.select(is(1), round('floor'), ir.select(is(2), round('ceil'), round('trunc'))));
    },
  );
  return ir.get(out);
}
export function roundVector(ir: Builder, shape: Shape, a: Value, mode: Rounding): Value {
  const exact = exactContext(ir);
  const fixed = fixedMode(mode);
  if (exact !== undefined) return exactIntegral(exact, ir, shape, a, fixed, (mode & 8) !== 0);
  if (fixed === undefined) return roundByControl(ir, 'v128', (op) => ir[shape][op](a));
  return ir[shape][ROUND_OPS[fixed]](a);
}
export function roundScalar(ir: Builder, type: 'f32' | 'f64', a: Value, mode: Rounding): Value {
  const fixed = fixedMode(mode);
  if (exactContext(ir) !== undefined) {
    const shape = type === 'f32' ? 'f32x4' : 'f64x2';
    return ir[shape].extract_lane(roundVector(ir, shape, ir[shape].splat(a), mode), 0);
  }
  if (fixed === undefined) return roundByControl(ir, type, (op) => ir[type][op](a));
  return ir[type][ROUND_OPS[fixed]](a);
}
/** The mode a ROUND immediate asks for. */
export const roundingOf = (imm: number): Rounding => ((imm & 4 ? 4 : imm & 3) | (imm & 8)) as Rounding;

// ---- horizontal ----

const addps = arithmetic('f32x4', 'add');
const subps = arithmetic('f32x4', 'sub');
const addpd = arithmetic('f64x2', 'add');
const subpd = arithmetic('f64x2', 'sub');
export const haddps: Binary = (ir, a, b) => addps(ir, evenDwords(ir, a, b), oddDwords(ir, a, b));
export const hsubps: Binary = (ir, a, b) => subps(ir, evenDwords(ir, a, b), oddDwords(ir, a, b));
const evenQwords: Binary = (ir, a, b) => ir.shuffle(a, b, lanes(8, 0, 2));
const oddQwords: Binary = (ir, a, b) => ir.shuffle(a, b, lanes(8, 1, 3));
export const haddpd: Binary = (ir, a, b) => addpd(ir, evenQwords(ir, a, b), oddQwords(ir, a, b));
export const hsubpd: Binary = (ir, a, b) => subpd(ir, evenQwords(ir, a, b), oddQwords(ir, a, b));
/** Even lanes subtracted, odd ones added; each operation sees zeros in the other's lanes, so that it raises nothing there. */
const addsub = (add: Binary, sub: Binary, size: 4 | 8): Binary => (ir, a, b) => {
  const part = (v: Value, odd: boolean): Value =>
    exactContext(ir) === undefined ? v : ir.v128.and(v, ir.const128(Array.from({ length: 16 }, (_, k) => ((Math.floor(k / size) & 1) === (odd ? 1 : 0) ? 255 : 0))));
  const order = size === 4 ? lanes(4, 0, 5, 2, 7) : lanes(8, 0, 3);
  return ir.shuffle(sub(ir, part(a, false), part(b, false)), add(ir, part(a, true), part(b, true)), order);
};
export const addsubps: Binary = addsub(addps, subps, 4);
export const addsubpd: Binary = addsub(addpd, subpd, 8);

const laneMask = (ir: Builder, imm: number, size: 4 | 8): Value => ir.const128(Uint8Array.from({ length: 16 }, (_, k) => ((imm >> Math.floor(k / size)) & 1 ? 255 : 0)));
function nextStep(ir: Builder, step: number): void {
  const exact = exactContext(ir);
  if (exact !== undefined) exact.step = step;
}
/** Products of the lanes in `mask`, +0 in the others. What is not multiplied raises nothing. */
function chosenProduct(ir: Builder, shape: Shape, a: Value, b: Value, mask: Value): Value {
  if (exactContext(ir) === undefined) return ir.v128.and(ir[shape].mul(a, b), mask);
  return arithmetic(shape, 'mul')(ir, ir.v128.and(a, mask), ir.v128.and(b, mask));
}
/** Products chosen by imm[7:4], summed as (0 + 1) + (2 + 3), put where imm[3:0] says. */
export function dpps(ir: Builder, a: Value, b: Value, imm: number): Value {
  const product = chosenProduct(ir, 'f32x4', a, b, laneMask(ir, imm >> 4, 4));
  nextStep(ir, 1);
  const pairs = addps(ir, product, ir.shuffle(product, product, lanes(4, 1, 0, 3, 2)));
  nextStep(ir, 2);
  const sum = addps(ir, ir.shuffle(pairs, pairs, lanes(4, 0, 0, 0, 0)), ir.shuffle(pairs, pairs, lanes(4, 2, 2, 2, 2)));
  nextStep(ir, 0);
  return ir.v128.and(sum, laneMask(ir, imm, 4));
}
export function dppd(ir: Builder, a: Value, b: Value, imm: number): Value {
  const product = chosenProduct(ir, 'f64x2', a, b, laneMask(ir, imm >> 4, 8));
  nextStep(ir, 1);
  const sum = addpd(ir, ir.shuffle(product, product, lanes(8, 0, 0)), ir.shuffle(product, product, lanes(8, 1, 1)));
  nextStep(ir, 0);
  return ir.v128.and(sum, laneMask(ir, imm, 8));
}
/** `b` a vector (imm[7:6] picks its lane) or, from memory, its value in lane 0 with imm[7:6] ignored by the caller. */
export function insertps(ir: Builder, a: Value, b: Value, imm: number): Value {
  const order = [0, 1, 2, 3];
  order[(imm >> 4) & 3] = 4 + (imm >> 6);
  const inserted = ir.shuffle(a, b, lanes(4, ...order));
  return (imm & 15) === 0 ? inserted : ir.v128.and(inserted, laneMask(ir, ~imm & 15, 4));
}
