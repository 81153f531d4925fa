/** Turns functions over v128 (integer.ts, float.ts, convert.ts) into the semantics of instruction rows. */
import type { Builder, Value } from '../../../ir/builder.ts';
import type { Semantics } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { STATE } from '../cpu-state.ts';
import type { Binary, Unary } from './integer.ts';

/** dst = f(dst, src). */
export const binary = (f: Binary): Semantics => (x, d, s) => {
  const b = x.readVector(s);
  x.writeVector(d, f(x.ir, x.readVector(d), b));
};
/** dst = f(src). */
export const unary = (f: Unary): Semantics => (x, d, s) => x.writeVector(d, f(x.ir, x.readVector(s)));
/** dst = f(dst, src, imm8). */
export const binaryImm = (f: (ir: Builder, a: Value, b: Value, imm: number) => Value): Semantics => (x, d, s) => {
  const b = x.readVector(s);
  x.writeVector(d, f(x.ir, x.readVector(d), b, x.insn.imm & 0xff));
};
/** dst = f(src, imm8). */
export const unaryImm = (f: (ir: Builder, a: Value, imm: number) => Value): Semantics => (x, d, s) => x.writeVector(d, f(x.ir, x.readVector(s), x.insn.imm & 0xff));

// ---- MMX ----

/** What every MMX instruction but EMMS does to the x87 state: TOP = 0, every register in use. */
export function enterMmx(x: Emitter): void {
  x.ir.stateStore('i32.store', STATE.x87Top, x.ir.const32(0));
  x.ir.stateStore('i32.store', STATE.x87Tag, x.ir.const32(0xff));
}
/** An MMX value (i64) in the lower half of a v128, zeros above; and back. */
export const widenMmx = (ir: Builder, v: Value): Value => ir.i64x2.replace_lane(ir.const128(new Uint8Array(16)), 0, v);
export const lowHalf = (ir: Builder, v: Value): Value => ir.i64x2.extract_lane(v, 0);

export const mmxBinary = (f: Binary): Semantics => (x, d, s) => {
  const { ir } = x;
  const b = widenMmx(ir, x.readMmx(s));
  enterMmx(x);
  x.writeMmx(d, lowHalf(ir, f(ir, widenMmx(ir, x.readMmx(d)), b)));
};
export const mmxUnary = (f: Unary): Semantics => (x, d, s) => {
  const { ir } = x;
  const a = widenMmx(ir, x.readMmx(s));
  enterMmx(x);
  x.writeMmx(d, lowHalf(ir, f(ir, a)));
};
