/**
 * Meaning of the floating-point vector instructions as functions over v128, shared by the SSE and VEX forms. `a` is the
 * first source (the destination of the two-operand forms), `b` the second. Scalar forms keep the other lanes of `a`.
 *
 * NaN results: x86 takes the first source if it is a NaN, else the second, quieted; an invalid operation on numbers gives
 * the negative default NaN. On an x86-64 host V8 emits the very instructions (addps, vaddps, … with operands in order), so
 * a plain operation is exact; an arm64 host would need a fix-up in `arithmetic` below, the one place for it.
 *
 * MXCSR: rounding control is honoured where an instruction rounds to an integer (roundByControl). Arithmetic rounds to
 * nearest and neither flushes nor reads denormals as zero, and sticky exception flags are not raised. The way to the rest
 * is a second translation mode: translated code is keyed by "MXCSR control is the default", LDMXCSR/FXRSTOR leave the
 * region, and in the other mode `arithmetic` emits calls of helpers that compute the result, its error term and flags.
 */
import type { Builder, Value } from '../../../ir/builder.ts';
import { MXCSR } from '../cpu-state.ts';
import { type Binary, constants, evenDwords, oddDwords, type Unary } from './integer.ts';

const { lanes } = constants;
export type Shape = 'f32x4' | 'f64x2';
export type Arithmetic = 'add' | 'sub' | 'mul' | 'div';

/** Lane 0 of `b` (4 or 8 bytes), the rest of `a`. */
export const mergeLow = (ir: Builder, a: Value, b: Value, shape: Shape): Value =>
  ir.shuffle(a, b, shape === 'f32x4' ? lanes(4, 4, 1, 2, 3) : lanes(8, 2, 1));

export const arithmetic = (shape: Shape, op: Arithmetic): Binary => (ir, a, b) => ir[shape][op](a, b);
export const scalarArithmetic = (shape: Shape, op: Arithmetic): Binary => (ir, a, b) => {
  if (shape === 'f32x4') return ir.f32x4.replace_lane(a, 0, ir.f32[op](ir.f32x4.extract_lane(a, 0), ir.f32x4.extract_lane(b, 0)));
  return ir.f64x2.replace_lane(a, 0, ir.f64[op](ir.f64x2.extract_lane(a, 0), ir.f64x2.extract_lane(b, 0)));
};

/** a < b ? a : b, so the second source when either is a NaN or both are zero: wasm's pmin with its operands exchanged. */
export const minimum = (shape: Shape): Binary => (ir, a, b) => ir[shape].pmin(b, a);
export const maximum = (shape: Shape): Binary => (ir, a, b) => ir[shape].pmax(b, a);
/** The scalar form of an operation that costs nothing extra on the unused lanes. */
export const lowOf = (shape: Shape, packed: Binary): Binary => (ir, a, b) => mergeLow(ir, a, packed(ir, a, b), shape);

export const squareRoot = (shape: Shape): Unary => (ir, a) => ir[shape].sqrt(a);
export const scalarSquareRoot = (shape: Shape): Binary => (ir, a, b) => {
  if (shape === 'f32x4') return ir.f32x4.replace_lane(a, 0, ir.f32.sqrt(ir.f32x4.extract_lane(b, 0)));
  return ir.f64x2.replace_lane(a, 0, ir.f64.sqrt(ir.f64x2.extract_lane(b, 0)));
};

/** Denormal lanes become zero of their sign. */
const flushDenormals: Unary = (ir, a) => {
  const tiny = ir.f32x4.lt(ir.f32x4.abs(a), constants.splat32(ir, 0x00800000));
  return ir.v128.bitselect(ir.v128.and(a, constants.splat32(ir, 0x80000000)), a, tiny);
};
/**
 * rcpps, rsqrtps: the manual bounds the relative error by 1.5·2^-12 and processors differ within it; ours are exact to
 * rounding. Denormal sources count as zero, denormal results are zero.
 */
export const reciprocal: Unary = (ir, a) => flushDenormals(ir, ir.f32x4.div(constants.splat32(ir, 0x3f800000), flushDenormals(ir, a)));
export const reciprocalRoot: Unary = (ir, a) => ir.f32x4.div(constants.splat32(ir, 0x3f800000), ir.f32x4.sqrt(flushDenormals(ir, a)));

// ---- comparison ----

/** Names of the predicates of the legacy forms, by immediate. */
export const PREDICATES = ['eq', 'lt', 'le', 'unord', 'neq', 'nlt', 'nle', 'ord'] as const;

/** All 32 predicates of the VEX forms; the legacy ones are 0–7. Bit 4 (which NaNs signal) changes no result. */
export function compare(ir: Builder, shape: Shape, a: Value, b: Value, predicate: number): Value {
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
/** A rounding mode: 0–3 as ROUND_OPS, or 4: what MXCSR says. */
export type Rounding = 0 | 1 | 2 | 3 | 4;

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
  if (mode === 4) return roundByControl(ir, 'v128', (op) => ir[shape][op](a));
  return ir[shape][ROUND_OPS[mode]](a);
}
export function roundScalar(ir: Builder, type: 'f32' | 'f64', a: Value, mode: Rounding): Value {
  if (mode === 4) return roundByControl(ir, type, (op) => ir[type][op](a));
  return ir[type][ROUND_OPS[mode]](a);
}
/** The mode a ROUND immediate asks for. */
export const roundingOf = (imm: number): Rounding => (imm & 4 ? 4 : ((imm & 3) as Rounding));

// ---- horizontal ----

export const haddps: Binary = (ir, a, b) => ir.f32x4.add(evenDwords(ir, a, b), oddDwords(ir, a, b));
export const hsubps: Binary = (ir, a, b) => ir.f32x4.sub(evenDwords(ir, a, b), oddDwords(ir, a, b));
const evenQwords: Binary = (ir, a, b) => ir.shuffle(a, b, lanes(8, 0, 2));
const oddQwords: Binary = (ir, a, b) => ir.shuffle(a, b, lanes(8, 1, 3));
export const haddpd: Binary = (ir, a, b) => ir.f64x2.add(evenQwords(ir, a, b), oddQwords(ir, a, b));
export const hsubpd: Binary = (ir, a, b) => ir.f64x2.sub(evenQwords(ir, a, b), oddQwords(ir, a, b));
export const addsubps: Binary = (ir, a, b) => ir.shuffle(ir.f32x4.sub(a, b), ir.f32x4.add(a, b), lanes(4, 0, 5, 2, 7));
export const addsubpd: Binary = (ir, a, b) => ir.shuffle(ir.f64x2.sub(a, b), ir.f64x2.add(a, b), lanes(8, 0, 3));

const laneMask = (ir: Builder, imm: number, size: 4 | 8): Value => ir.const128(Uint8Array.from({ length: 16 }, (_, k) => ((imm >> Math.floor(k / size)) & 1 ? 255 : 0)));
/** Products chosen by imm[7:4], summed as (0 + 1) + (2 + 3), put where imm[3:0] says. */
export function dpps(ir: Builder, a: Value, b: Value, imm: number): Value {
  const product = ir.v128.and(ir.f32x4.mul(a, b), laneMask(ir, imm >> 4, 4));
  const pairs = ir.f32x4.add(product, ir.shuffle(product, product, lanes(4, 1, 0, 3, 2)));
  const sum = ir.f32x4.add(ir.shuffle(pairs, pairs, lanes(4, 0, 0, 0, 0)), ir.shuffle(pairs, pairs, lanes(4, 2, 2, 2, 2)));
  return ir.v128.and(sum, laneMask(ir, imm, 4));
}
export function dppd(ir: Builder, a: Value, b: Value, imm: number): Value {
  const product = ir.v128.and(ir.f64x2.mul(a, b), laneMask(ir, imm >> 4, 8));
  const sum = ir.f64x2.add(ir.shuffle(product, product, lanes(8, 0, 0)), ir.shuffle(product, product, lanes(8, 1, 1)));
  return ir.v128.and(sum, laneMask(ir, imm, 8));
}
/** `b` a vector (imm[7:6] picks its lane) or, from memory, its value in lane 0 with imm[7:6] ignored by the caller. */
export function insertps(ir: Builder, a: Value, b: Value, imm: number): Value {
  const order = [0, 1, 2, 3];
  order[(imm >> 4) & 3] = 4 + (imm >> 6);
  const inserted = ir.shuffle(a, b, lanes(4, ...order));
  return (imm & 15) === 0 ? inserted : ir.v128.and(inserted, laneMask(ir, ~imm & 15, 4));
}
