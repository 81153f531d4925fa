/** SSE–SSE4.1 floating-point arithmetic, comparison, rounding, logic and shuffles. */
import type { Builder, Value } from '../../../ir/builder.ts';
import { enc, instruction, type InstructionOptions } from '../declare.ts';
import { Ib, r, rw, Uss, Vdq, Vpd, Vps, Vsd, Vss, w, Wdq, Wpd, Wps, Wsd, Wss, Gd, Upd, Ups, XMM0, Md } from '../operands.ts';
import { reciprocal, reciprocalRoot } from '../simd/approximation.ts';
import { binary, binaryImm, unary, unaryImm } from '../simd/forms.ts';
import * as fp from '../simd/float.ts';
import * as int from '../simd/integer.ts';

const SSE: InstructionOptions = { group: 'sse', cpuid: 'sse' };
const SSE2: InstructionOptions = { group: 'sse2', cpuid: 'sse2' };
const SSE3: InstructionOptions = { group: 'sse3', cpuid: 'sse3' };
const SSE41: InstructionOptions = { group: 'sse4.1', cpuid: 'sse4.1' };

// ---- arithmetic: one opcode, four prefixes ----

for (const [name, opcode] of [['add', '58'], ['mul', '59'], ['sub', '5C'], ['div', '5E']] as const) {
  instruction(`${name}ps`, SSE, [enc(`NP 0F ${opcode} /r`, rw(Vps), r(Wps))], binary(fp.arithmetic('f32x4', name)));
  instruction(`${name}pd`, SSE2, [enc(`66 0F ${opcode} /r`, rw(Vpd), r(Wpd))], binary(fp.arithmetic('f64x2', name)));
  instruction(`${name}ss`, SSE, [enc(`F3 0F ${opcode} /r`, rw(Vss), r(Wss))], binary(fp.scalarArithmetic('f32x4', name)));
  instruction(`${name}sd`, SSE2, [enc(`F2 0F ${opcode} /r`, rw(Vsd), r(Wsd))], binary(fp.scalarArithmetic('f64x2', name)));
}
for (const [name, opcode, f, low] of [['min', '5D', fp.minimum, fp.scalarMinimum], ['max', '5F', fp.maximum, fp.scalarMaximum]] as const) {
  instruction(`${name}ps`, SSE, [enc(`NP 0F ${opcode} /r`, rw(Vps), r(Wps))], binary(f('f32x4')));
  instruction(`${name}pd`, SSE2, [enc(`66 0F ${opcode} /r`, rw(Vpd), r(Wpd))], binary(f('f64x2')));
  instruction(`${name}ss`, SSE, [enc(`F3 0F ${opcode} /r`, rw(Vss), r(Wss))], binary(low('f32x4')));
  instruction(`${name}sd`, SSE2, [enc(`F2 0F ${opcode} /r`, rw(Vsd), r(Wsd))], binary(low('f64x2')));
}
instruction('sqrtps', SSE, [enc('NP 0F 51 /r', w(Vps), r(Wps))], unary(fp.squareRoot('f32x4')));
instruction('sqrtpd', SSE2, [enc('66 0F 51 /r', w(Vpd), r(Wpd))], unary(fp.squareRoot('f64x2')));
instruction('sqrtss', SSE, [enc('F3 0F 51 /r', rw(Vss), r(Wss))], binary(fp.scalarSquareRoot('f32x4')));
instruction('sqrtsd', SSE2, [enc('F2 0F 51 /r', rw(Vsd), r(Wsd))], binary(fp.scalarSquareRoot('f64x2')));
for (const [name, opcode, f] of [['rsqrt', '52', reciprocalRoot], ['rcp', '53', reciprocal]] as const) {
  instruction(`${name}ps`, SSE, [enc(`NP 0F ${opcode} /r`, w(Vps), r(Wps))], unary(f));
  instruction(`${name}ss`, SSE, [enc(`F3 0F ${opcode} /r`, rw(Vss), r(Wss))], binary(fp.lowOf('f32x4', (ir, _a, b) => f(ir, b))));
}

// ---- logic ----

for (const [name, opcode, f] of [['and', '54', int.LANEWISE.pand], ['andn', '55', int.LANEWISE.pandn], ['or', '56', int.LANEWISE.por], ['xor', '57', int.LANEWISE.pxor]] as const) {
  instruction(`${name}ps`, SSE, [enc(`NP 0F ${opcode} /r`, rw(Vps), r(Wps))], binary(f));
  instruction(`${name}pd`, SSE2, [enc(`66 0F ${opcode} /r`, rw(Vpd), r(Wpd))], binary(f));
}

// ---- comparison ----

// the legacy forms look at the low three bits of the immediate only
const comparing = (shape: fp.Shape) => (ir: Builder, a: Value, b: Value, imm: number): Value => fp.compare(ir, shape, a, b, imm & 7);
const comparingLow = (shape: fp.Shape) => (ir: Builder, a: Value, b: Value, imm: number): Value => fp.compareLow(ir, shape, a, b, imm & 7);
instruction('cmpps', SSE, [enc('NP 0F C2 /r ib', rw(Vps), r(Wps), r(Ib))], binaryImm(comparing('f32x4')));
instruction('cmppd', SSE2, [enc('66 0F C2 /r ib', rw(Vpd), r(Wpd), r(Ib))], binaryImm(comparing('f64x2')));
instruction('cmpss', SSE, [enc('F3 0F C2 /r ib', rw(Vss), r(Wss), r(Ib))], binaryImm(comparingLow('f32x4')));
instruction('cmpsd', SSE2, [enc('F2 0F C2 /r ib', rw(Vsd), r(Wsd), r(Ib))], binaryImm(comparingLow('f64x2')));
for (const [prefix, opcode] of [['u', '2E'], ['', '2F']] as const) {
  instruction(`${prefix}comiss`, { ...SSE, flags: 'oszapc' }, [enc(`NP 0F ${opcode} /r`, r(Vss), r(Wss))], (x, a, b) => fp.compareScalars(x, 'f32x4', x.readF32(a), x.readF32(b), prefix === ''));
  instruction(`${prefix}comisd`, { ...SSE2, flags: 'oszapc' }, [enc(`66 0F ${opcode} /r`, r(Vsd), r(Wsd))], (x, a, b) => fp.compareScalars(x, 'f64x2', x.readF64(a), x.readF64(b), prefix === ''));
}

// ---- shuffles ----

const unpackLow32 = int.LANEWISE.punpckldq;
instruction('shufps', SSE, [enc('NP 0F C6 /r ib', rw(Vps), r(Wps), r(Ib))], binaryImm(int.shufps));
instruction('shufpd', SSE2, [enc('66 0F C6 /r ib', rw(Vpd), r(Wpd), r(Ib))], binaryImm(int.shufpd));
instruction('unpcklps', SSE, [enc('NP 0F 14 /r', rw(Vps), r(Wps))], binary(unpackLow32));
instruction('unpcklpd', SSE2, [enc('66 0F 14 /r', rw(Vpd), r(Wpd))], binary(int.WIDE.punpcklqdq));
instruction('unpckhps', SSE, [enc('NP 0F 15 /r', rw(Vps), r(Wps))], binary(int.WIDE.punpckhdq));
instruction('unpckhpd', SSE2, [enc('66 0F 15 /r', rw(Vpd), r(Wpd))], binary(int.WIDE.punpckhqdq));
instruction('movmskps', SSE, [enc('NP 0F 50 /r', w(Gd), r(Ups))], (x, d, s) => x.write(d, x.ir.i32x4.bitmask(x.readVector(s))));
instruction('movmskpd', SSE2, [enc('66 0F 50 /r', w(Gd), r(Upd))], (x, d, s) => x.write(d, x.ir.i64x2.bitmask(x.readVector(s))));

// ---- SSE3 ----

for (const [name, opcode, ps, pd] of [['hadd', '7C', fp.haddps, fp.haddpd], ['hsub', '7D', fp.hsubps, fp.hsubpd], ['addsub', 'D0', fp.addsubps, fp.addsubpd]] as const) {
  instruction(`${name}ps`, SSE3, [enc(`F2 0F ${opcode} /r`, rw(Vps), r(Wps))], binary(ps));
  instruction(`${name}pd`, SSE3, [enc(`66 0F ${opcode} /r`, rw(Vpd), r(Wpd))], binary(pd));
}
instruction('movsldup', SSE3, [enc('F3 0F 12 /r', w(Vps), r(Wps))], unary((ir, a) => int.pshufd(ir, a, 0b10_10_00_00)));
instruction('movshdup', SSE3, [enc('F3 0F 16 /r', w(Vps), r(Wps))], unary((ir, a) => int.pshufd(ir, a, 0b11_11_01_01)));
instruction('movddup', SSE3, [enc('F2 0F 12 /r', w(Vpd), r(Wsd))], unary((ir, a) => int.WIDE.punpcklqdq(ir, a, a)));

// ---- SSE4.1 ----

instruction('roundps', SSE41, [enc('66 0F 3A 08 /r ib', w(Vps), r(Wps), r(Ib))], unaryImm((ir, a, imm) => fp.roundVector(ir, 'f32x4', a, fp.roundingOf(imm))));
instruction('roundpd', SSE41, [enc('66 0F 3A 09 /r ib', w(Vpd), r(Wpd), r(Ib))], unaryImm((ir, a, imm) => fp.roundVector(ir, 'f64x2', a, fp.roundingOf(imm))));
instruction('roundss', SSE41, [enc('66 0F 3A 0A /r ib', rw(Vss), r(Wss), r(Ib))], (x, d, s) => {
  const v = fp.roundScalar(x.ir, 'f32', x.readF32(s), fp.roundingOf(x.insn.imm));
  x.writeVector(d, x.ir.f32x4.replace_lane(x.readVector(d), 0, v));
});
instruction('roundsd', SSE41, [enc('66 0F 3A 0B /r ib', rw(Vsd), r(Wsd), r(Ib))], (x, d, s) => {
  const v = fp.roundScalar(x.ir, 'f64', x.readF64(s), fp.roundingOf(x.insn.imm));
  x.writeVector(d, x.ir.f64x2.replace_lane(x.readVector(d), 0, v));
});
instruction('blendps', SSE41, [enc('66 0F 3A 0C /r ib', rw(Vps), r(Wps), r(Ib))], binaryImm((ir, a, b, imm) => int.blend(ir, a, b, imm, 4)));
instruction('blendpd', SSE41, [enc('66 0F 3A 0D /r ib', rw(Vpd), r(Wpd), r(Ib))], binaryImm((ir, a, b, imm) => int.blend(ir, a, b, imm, 8)));
instruction('blendvps', SSE41, [enc('66 0F 38 14 /r', rw(Vdq), r(Wdq), r(XMM0))], binaryWithMask(4));
instruction('blendvpd', SSE41, [enc('66 0F 38 15 /r', rw(Vdq), r(Wdq), r(XMM0))], binaryWithMask(8));
instruction('pblendvb', SSE41, [enc('66 0F 38 10 /r', rw(Vdq), r(Wdq), r(XMM0))], binaryWithMask(1));
function binaryWithMask(size: 1 | 4 | 8): Parameters<typeof instruction>[3] {
  return (x, d, s, mask) => {
    const b = x.readVector(s);
    x.writeVector(d, int.blendBySign(x.ir, x.readVector(d), b, x.readVector(mask), size));
  };
}
instruction('dpps', SSE41, [enc('66 0F 3A 40 /r ib', rw(Vps), r(Wps), r(Ib))], binaryImm(fp.dpps));
instruction('dppd', SSE41, [enc('66 0F 3A 41 /r ib', rw(Vpd), r(Wpd), r(Ib))], binaryImm(fp.dppd));
instruction('insertps', SSE41, [enc('66 0F 3A 21 /r ib', rw(Vdq), r(Uss), r(Ib)), enc('66 0F 3A 21 /r ib', rw(Vdq), r(Md), r(Ib))], (x, d, s) => {
  // from memory there is one value only, whatever imm[7:6] says
  const b = x.readVector(s);
  x.writeVector(d, fp.insertps(x.ir, x.readVector(d), b, x.insn.imm & (x.isMemory(s) ? 0x3f : 0xff)));
});
