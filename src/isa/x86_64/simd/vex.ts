/**
 * Turns functions over v128 (integer.ts, float.ts, convert.ts) into the semantics of VEX rows. A 256-bit operation is the
 * function on each half by itself; a 128-bit one clears the upper half of its destination (Emitter.setXmm).
 *
 * Invariant: a memory operand is read whole before any register is written, also where half of it would do.
 */
import type { Builder, Value } from '../../../ir/builder.ts';
import { enc, type Encoding, encWith, type InstructionOptions, type Semantics } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import type { Operand } from '../operands.ts';
import type { Binary, Unary } from './integer.ts';

export const AVX: InstructionOptions = { group: 'avx', cpuid: 'avx' };
export const AVX2: InstructionOptions = { group: 'avx2', cpuid: 'avx2' };

/** The 128-bit and the 256-bit row of an opcode; `wider` is the set that brought the second, if another. */
export const both = (wider: InstructionOptions | undefined, fields: string, ...operands: Operand[]): Encoding[] => [
  enc(`VEX.128.${fields}`, ...operands),
  wider === undefined ? enc(`VEX.256.${fields}`, ...operands) : encWith(wider, `VEX.256.${fields}`, ...operands),
];

/** dst = f(a, b), half by half. */
export const binary = (f: Binary): Semantics => (x, d, a, b) => {
  const { ir } = x;
  const b0 = x.readVector(b);
  if (!x.wide) {
    x.writeVector(d, f(ir, x.readVector(a), b0));
    return;
  }
  const b1 = x.readVectorHigh(b);
  x.writeWide(d, f(ir, x.readVector(a), b0), f(ir, x.readVectorHigh(a), b1));
};
/** dst = f(a). */
export const unary = (f: Unary): Semantics => (x, d, a) => {
  const { ir } = x;
  const a0 = x.readVector(a);
  if (!x.wide) {
    x.writeVector(d, f(ir, a0));
    return;
  }
  const a1 = x.readVectorHigh(a);
  x.writeWide(d, f(ir, a0), f(ir, a1));
};
/** dst = f(a, b, imm8); `high` 1 in the upper half. */
export const binaryImm = (f: (ir: Builder, a: Value, b: Value, imm: number, high: 0 | 1) => Value): Semantics => (x, d, a, b) => {
  const { ir } = x;
  const imm = x.insn.imm & 0xff;
  const b0 = x.readVector(b);
  if (!x.wide) {
    x.writeVector(d, f(ir, x.readVector(a), b0, imm, 0));
    return;
  }
  const b1 = x.readVectorHigh(b);
  x.writeWide(d, f(ir, x.readVector(a), b0, imm, 0), f(ir, x.readVectorHigh(a), b1, imm, 1));
};
/** dst = f(a, imm8). */
export const unaryImm = (f: (ir: Builder, a: Value, imm: number, high: 0 | 1) => Value): Semantics => (x, d, a) => {
  const { ir } = x;
  const imm = x.insn.imm & 0xff;
  const a0 = x.readVector(a);
  if (!x.wide) {
    x.writeVector(d, f(ir, a0, imm, 0));
    return;
  }
  const a1 = x.readVectorHigh(a);
  x.writeWide(d, f(ir, a0, imm, 0), f(ir, a1, imm, 1));
};
/** dst = f(a, b, c), the third a register. */
export const ternary = (f: (ir: Builder, a: Value, b: Value, c: Value) => Value): Semantics => (x, d, a, b, c) => {
  const { ir } = x;
  const b0 = x.readVector(b);
  if (!x.wide) {
    x.writeVector(d, f(ir, x.readVector(a), b0, x.readVector(c)));
    return;
  }
  const b1 = x.readVectorHigh(b);
  x.writeWide(d, f(ir, x.readVector(a), b0, x.readVector(c)), f(ir, x.readVectorHigh(a), b1, x.readVectorHigh(c)));
};
/** dst = f(a, b) on 128 bits, whatever L says: scalars, and rows that exist in one width only. */
export const narrow = (f: Binary): Semantics => (x, d, a, b) => {
  const b0 = x.readVector(b);
  x.writeVector(d, f(x.ir, x.readVector(a), b0));
};
export const narrowImm = (f: (ir: Builder, a: Value, b: Value, imm: number) => Value): Semantics => (x, d, a, b) => {
  const b0 = x.readVector(b);
  x.writeVector(d, f(x.ir, x.readVector(a), b0, x.insn.imm & 0xff));
};

/** Both halves of an operand; the second only in the 256-bit form. */
export function readHalves(x: Emitter, o: Operand): [Value, Value | undefined] {
  const low = x.readVector(o);
  return [low, x.wide ? x.readVectorHigh(o) : undefined];
}
/** Write what `readHalves` gave, or the like. */
export function writeHalves(x: Emitter, o: Operand, low: Value, high: Value | undefined): void {
  if (high === undefined) x.writeVector(o, low);
  else x.writeWide(o, low, high);
}
