/** SSE2–SSE4.2 integer vector instructions (XMM forms) and the SSSE3 and MMX forms of the same operations. */
import type { Value } from '../../../ir/builder.ts';
import { enc, type Encoding, instruction, type InstructionOptions } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { Ed, Eq, Gd, Ib, Mb, Mw, Nq, type Operand, Pq, Qd, Qq, r, Rd, rw, Udq, Ux, Vdq, Vx, w, Wd, Wdq, Wq, Ww, Wx } from '../operands.ts';
import * as int from '../simd/integer.ts';
import { binary, binaryImm, enterMmx, lowHalf, mmxBinary, mmxUnary, unary, unaryImm, widenMmx } from '../simd/forms.ts';

const MMX: InstructionOptions = { group: 'mmx', cpuid: 'mmx' };
const SSE: InstructionOptions = { group: 'sse', cpuid: 'sse' };
const SSE2: InstructionOptions = { group: 'sse2', cpuid: 'sse2' };
const SSSE3: InstructionOptions = { group: 'ssse3', cpuid: 'ssse3' };
const SSE41: InstructionOptions = { group: 'sse4.1', cpuid: 'sse4.1' };
const SSE42: InstructionOptions = { group: 'sse4.2', cpuid: 'sse4.2' };

export type Name = keyof typeof int.LANEWISE | keyof typeof int.WIDE;
export const functionOf = (name: Name): int.Binary => ({ ...int.WIDE, ...int.LANEWISE })[name];
const mmxFunctionOf = (name: Name): int.Binary => ({ ...int.LANEWISE, ...int.MMX_OWN } as Record<string, int.Binary>)[name] ?? missing(name);
const missing = (name: string): never => {
  throw new Error(`${name} has no MMX form`);
};

/** Opcode 66 0F xx (XMM) and, where `mmx` names the set that brought it, NP 0F xx (MMX). */
const both = (name: Name, opcode: string, wide: InstructionOptions, mmx?: InstructionOptions): void => {
  instruction(name, wide, [enc(`66 0F ${opcode} /r`, rw(Vx), r(Wx))], binary(functionOf(name)));
  // the low interleaves read 32 bits of memory only
  const source = name.startsWith('punpckl') ? Qd : Qq;
  if (mmx !== undefined) instruction(name, mmx, [enc(`NP 0F ${opcode} /r`, rw(Pq), r(source))], mmxBinary(mmxFunctionOf(name)));
};

for (const [name, opcode] of [
  ['punpcklbw', '60'], ['punpcklwd', '61'], ['punpckldq', '62'], ['packsswb', '63'], ['pcmpgtb', '64'], ['pcmpgtw', '65'], ['pcmpgtd', '66'], ['packuswb', '67'],
  ['punpckhbw', '68'], ['punpckhwd', '69'], ['punpckhdq', '6A'], ['packssdw', '6B'], ['pcmpeqb', '74'], ['pcmpeqw', '75'], ['pcmpeqd', '76'],
  ['pmullw', 'D5'], ['psubusb', 'D8'], ['psubusw', 'D9'], ['pand', 'DB'], ['paddusb', 'DC'], ['paddusw', 'DD'], ['pandn', 'DF'],
  ['pmulhw', 'E5'], ['psubsb', 'E8'], ['psubsw', 'E9'], ['por', 'EB'], ['paddsb', 'EC'], ['paddsw', 'ED'], ['pxor', 'EF'],
  ['pmaddwd', 'F5'], ['psubb', 'F8'], ['psubw', 'F9'], ['psubd', 'FA'], ['paddb', 'FC'], ['paddw', 'FD'], ['paddd', 'FE'],
] as const) both(name, opcode, SSE2, MMX);
for (const [name, opcode] of [['pminub', 'DA'], ['pmaxub', 'DE'], ['pavgb', 'E0'], ['pavgw', 'E3'], ['pmulhuw', 'E4'], ['pminsw', 'EA'], ['pmaxsw', 'EE'], ['psadbw', 'F6']] as const) both(name, opcode, SSE2, SSE);
for (const [name, opcode] of [['paddq', 'D4'], ['pmuludq', 'F4'], ['psubq', 'FB']] as const) both(name, opcode, SSE2, SSE2);
both('punpcklqdq', '6C', SSE2);
both('punpckhqdq', '6D', SSE2);
for (const [name, opcode] of [
  ['pshufb', '00'], ['phaddw', '01'], ['phaddd', '02'], ['phaddsw', '03'], ['pmaddubsw', '04'], ['phsubw', '05'], ['phsubd', '06'], ['phsubsw', '07'],
  ['psignb', '08'], ['psignw', '09'], ['psignd', '0A'], ['pmulhrsw', '0B'],
] as const) both(name, `38 ${opcode}`, SSSE3, SSSE3);
for (const [name, opcode] of [
  ['pmuldq', '28'], ['pcmpeqq', '29'], ['packusdw', '2B'], ['pminsb', '38'], ['pminsd', '39'], ['pminuw', '3A'], ['pminud', '3B'], ['pmaxsb', '3C'], ['pmaxsd', '3D'], ['pmaxuw', '3E'], ['pmaxud', '3F'], ['pmulld', '40'],
] as const) both(name, `38 ${opcode}`, SSE41);
both('pcmpgtq', '38 37', SSE42);

for (const [name, opcode] of [['pabsb', '1C'], ['pabsw', '1D'], ['pabsd', '1E']] as const) {
  instruction(name, SSSE3, [enc(`66 0F 38 ${opcode} /r`, w(Vx), r(Wx))], unary(int.ABSOLUTE[name]));
  instruction(name, SSSE3, [enc(`NP 0F 38 ${opcode} /r`, w(Pq), r(Qq))], mmxUnary(int.ABSOLUTE[name]));
}

// ---- shifts ----

for (const [name, byVector, byImmediate, digit] of [
  ['psrlw', 'D1', '71', 2], ['psrld', 'D2', '72', 2], ['psrlq', 'D3', '73', 2],
  ['psraw', 'E1', '71', 4], ['psrad', 'E2', '72', 4],
  ['psllw', 'F1', '71', 6], ['pslld', 'F2', '72', 6], ['psllq', 'F3', '73', 6],
] as const) {
  const shift = int.SHIFTS[name];
  instruction(name, SSE2, [enc(`66 0F ${byVector} /r`, rw(Vx), r(Wdq))], binary((ir, a, b) => int.shiftByVector(ir, shift, a, b)));
  instruction(name, SSE2, [enc(`66 0F ${byImmediate} /${digit} ib`, rw(Ux), r(Ib))], (x, d) => x.writeVector(d, int.shiftBy(x.ir, shift, x.readVector(d), x.insn.imm & 0xff)));
  instruction(name, MMX, [enc(`NP 0F ${byVector} /r`, rw(Pq), r(Qq))], mmxBinary((ir, a, b) => int.shiftByVector(ir, shift, a, b)));
  instruction(name, MMX, [enc(`NP 0F ${byImmediate} /${digit} ib`, rw(Nq), r(Ib))], (x, d) => {
    enterMmx(x);
    x.writeMmx(d, lowHalf(x.ir, int.shiftBy(x.ir, shift, widenMmx(x.ir, x.readMmx(d)), x.insn.imm & 0xff)));
  });
}
instruction('psrldq', SSE2, [enc('66 0F 73 /3 ib', rw(Ux), r(Ib))], (x, d) => x.writeVector(d, int.shiftBytesRight(x.ir, x.readVector(d), x.insn.imm & 0xff)));
instruction('pslldq', SSE2, [enc('66 0F 73 /7 ib', rw(Ux), r(Ib))], (x, d) => x.writeVector(d, int.shiftBytesLeft(x.ir, x.readVector(d), x.insn.imm & 0xff)));

// ---- shuffles and blends by immediate ----

instruction('pshufd', SSE2, [enc('66 0F 70 /r ib', w(Vx), r(Wx), r(Ib))], unaryImm(int.pshufd));
instruction('pshufhw', SSE2, [enc('F3 0F 70 /r ib', w(Vx), r(Wx), r(Ib))], unaryImm(int.pshufhw));
instruction('pshuflw', SSE2, [enc('F2 0F 70 /r ib', w(Vx), r(Wx), r(Ib))], unaryImm(int.pshuflw));
instruction('pshufw', SSE, [enc('NP 0F 70 /r ib', w(Pq), r(Qq), r(Ib))], (x, d, s) => {
  const a = widenMmx(x.ir, x.readMmx(s));
  enterMmx(x);
  x.writeMmx(d, lowHalf(x.ir, int.pshuflw(x.ir, a, x.insn.imm & 0xff)));
});
instruction('palignr', SSSE3, [enc('66 0F 3A 0F /r ib', rw(Vx), r(Wx), r(Ib))], binaryImm((ir, a, b, imm) => int.palignr(ir, a, b, imm, 16)));
instruction('palignr', SSSE3, [enc('NP 0F 3A 0F /r ib', rw(Pq), r(Qq), r(Ib))], (x, d, s) => {
  const b = widenMmx(x.ir, x.readMmx(s));
  enterMmx(x);
  x.writeMmx(d, lowHalf(x.ir, int.palignr(x.ir, widenMmx(x.ir, x.readMmx(d)), b, x.insn.imm & 0xff, 8)));
});
instruction('pblendw', SSE41, [enc('66 0F 3A 0E /r ib', rw(Vx), r(Wx), r(Ib))], binaryImm((ir, a, b, imm) => int.blend(ir, a, b, imm, 2)));
instruction('mpsadbw', SSE41, [enc('66 0F 3A 42 /r ib', rw(Vx), r(Wx), r(Ib))], binaryImm(int.mpsadbw));
instruction('phminposuw', SSE41, [enc('66 0F 38 41 /r', w(Vdq), r(Wdq))], unary(int.phminposuw));

// ---- widening ----

const SOURCE: Readonly<Record<number, Operand>> = { 8: Wq, 4: Wd, 2: Ww };
for (const [signs, base] of [['sx', 0x20], ['zx', 0x30]] as const) {
  (['bw', 'bd', 'bq', 'wd', 'wq', 'dq'] as const).forEach((kind, k) => {
    const name = `pmov${signs}${kind}` as const;
    const [f, bytes] = int.WIDEN[name];
    instruction(name, SSE41, [enc(`66 0F 38 ${(base + k).toString(16).toUpperCase()} /r`, w(Vdq), r(SOURCE[bytes] as Operand))], unary(f));
  });
}

// ---- tests, masks, single elements ----

instruction('ptest', { ...SSE41, flags: 'oszapc' }, [enc('66 0F 38 17 /r', r(Vx), r(Wx))], (x, d, s) => {
  const { ir } = x;
  const b = x.readVector(s);
  const a = x.readVector(d);
  const zf = ir.i32.eqz(ir.v128.any_true(ir.v128.and(a, b)));
  const cf = ir.i32.eqz(ir.v128.any_true(ir.v128.andnot(b, a)));
  x.flags.explicit(ir.i32.or(ir.i32.shl(zf, ir.const32(6)), cf));
});
instruction('pmovmskb', SSE2, [enc('66 0F D7 /r', w(Gd), r(Ux))], (x, d, s) => x.write(d, x.ir.i8x16.bitmask(x.readVector(s))));
instruction('pmovmskb', SSE, [enc('NP 0F D7 /r', w(Gd), r(Nq))], (x, d, s) => {
  const v = widenMmx(x.ir, x.readMmx(s));
  enterMmx(x);
  x.write(d, x.ir.i8x16.bitmask(v));
});

/** Element number imm mod lanes, as the integer `write` wants. */
const extract = (x: Emitter, v: Value, size: 8 | 16 | 32 | 64): Value => {
  const { imm } = x.insn;
  if (size === 8) return x.ir.i8x16.extract_lane_u(v, imm & 15);
  if (size === 16) return x.ir.i16x8.extract_lane_u(v, imm & 7);
  if (size === 32) return x.ir.i32x4.extract_lane(v, imm & 3);
  return x.ir.i64x2.extract_lane(v, imm & 1);
};
export const insert = (x: Emitter, v: Value, size: 8 | 16 | 32 | 64, element: Value): Value => {
  const { imm } = x.insn;
  if (size === 8) return x.ir.i8x16.replace_lane(v, imm & 15, element);
  if (size === 16) return x.ir.i16x8.replace_lane(v, imm & 7, element);
  if (size === 32) return x.ir.i32x4.replace_lane(v, imm & 3, element);
  return x.ir.i64x2.replace_lane(v, imm & 1, element);
};
export const extracting = (name: string, options: InstructionOptions, size: 8 | 16 | 32 | 64, rows: Encoding[]): void =>
  instruction(name, options, rows, (x, d, s) => x.write(d, extract(x, x.readVector(s), size)));
const inserting = (name: string, options: InstructionOptions, size: 8 | 16 | 32 | 64, rows: Encoding[]): void =>
  instruction(name, options, rows, (x, d, s) => {
    const element = x.read(s);
    x.writeVector(d, insert(x, x.readVector(d), size, element));
  });
extracting('pextrw', SSE2, 16, [enc('66 0F C5 /r ib', w(Gd), r(Udq), r(Ib))]);
extracting('pextrb', SSE41, 8, [enc('66 0F 3A 14 /r ib', w(Mb), r(Vdq), r(Ib)), enc('66 0F 3A 14 /r ib', w(Rd), r(Vdq), r(Ib))]);
extracting('pextrw', SSE41, 16, [enc('66 0F 3A 15 /r ib', w(Mw), r(Vdq), r(Ib)), enc('66 0F 3A 15 /r ib', w(Rd), r(Vdq), r(Ib))]);
extracting('pextrd', SSE41, 32, [enc('66 REX.W0 0F 3A 16 /r ib', w(Ed), r(Vdq), r(Ib))]);
extracting('pextrq', SSE41, 64, [enc('66 REX.W 0F 3A 16 /r ib', w(Eq), r(Vdq), r(Ib))]);
extracting('extractps', SSE41, 32, [enc('66 0F 3A 17 /r ib', w(Ed), r(Vdq), r(Ib))]);
inserting('pinsrw', SSE2, 16, [enc('66 0F C4 /r ib', rw(Vdq), r(Mw), r(Ib)), enc('66 0F C4 /r ib', rw(Vdq), r(Rd), r(Ib))]);
inserting('pinsrb', SSE41, 8, [enc('66 0F 3A 20 /r ib', rw(Vdq), r(Mb), r(Ib)), enc('66 0F 3A 20 /r ib', rw(Vdq), r(Rd), r(Ib))]);
inserting('pinsrd', SSE41, 32, [enc('66 REX.W0 0F 3A 22 /r ib', rw(Vdq), r(Ed), r(Ib))]);
inserting('pinsrq', SSE41, 64, [enc('66 REX.W 0F 3A 22 /r ib', rw(Vdq), r(Eq), r(Ib))]);
instruction('pextrw', SSE, [enc('NP 0F C5 /r ib', w(Gd), r(Nq), r(Ib))], (x, d, s) => {
  const v = widenMmx(x.ir, x.readMmx(s));
  enterMmx(x);
  x.write(d, x.ir.i16x8.extract_lane_u(v, x.insn.imm & 3));
});
instruction('pinsrw', SSE, [enc('NP 0F C4 /r ib', rw(Pq), r(Mw), r(Ib)), enc('NP 0F C4 /r ib', rw(Pq), r(Rd), r(Ib))], (x, d, s) => {
  const element = x.read(s);
  enterMmx(x);
  x.writeMmx(d, lowHalf(x.ir, x.ir.i16x8.replace_lane(widenMmx(x.ir, x.readMmx(d)), x.insn.imm & 3, element)));
});
