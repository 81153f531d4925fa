/** AVX floating-point arithmetic, comparison, rounding, logic, shuffles, blends and conversions. */
import type { Builder, Value } from '../../../ir/builder.ts';
import { enc, instruction, type Semantics } from '../declare.ts';
import { Ed, Ey, Gd, Gy, Hdq, Hpd, Hps, Hsd, Hss, Hx, Ib, Lx, Md, r, Upd, Ups, Uss, Vdq, Vpd, Vps, Vsd, Vss, Vx, w, Wdq, Wpd, Wps, Wq, Wsd, Wss, Wx } from '../operands.ts';
import { reciprocal, reciprocalRoot } from '../simd/approximation.ts';
import { demote, demotePair, doublesToDwords, dwordsToFloats, floatsToDwords, fromInteger, promote, promotePair } from '../simd/convert.ts';
import * as fp from '../simd/float.ts';
import * as int from '../simd/integer.ts';
import { permuteDwordsWithin, permuteQwordsWithin } from '../simd/permute.ts';
import { AVX, binary, binaryImm, both, narrow, narrowImm, readHalves, ternary, unary, unaryImm } from '../simd/vex.ts';
import { fromFloat } from './sse-convert.ts';
import { extracting } from './sse-integer.ts';

const { lanes } = int.constants;

/** The four rows of an arithmetic opcode. */
const four = (name: string, opcode: string, ps: int.Binary, pd: int.Binary, ss: int.Binary, sd: int.Binary): void => {
  instruction(`${name}ps`, AVX, both(undefined, `NP.0F.WIG ${opcode} /r`, w(Vps), r(Hps), r(Wps)), binary(ps));
  instruction(`${name}pd`, AVX, both(undefined, `66.0F.WIG ${opcode} /r`, w(Vpd), r(Hpd), r(Wpd)), binary(pd));
  instruction(`${name}ss`, AVX, [enc(`VEX.LIG.F3.0F.WIG ${opcode} /r`, w(Vss), r(Hss), r(Wss))], narrow(ss));
  instruction(`${name}sd`, AVX, [enc(`VEX.LIG.F2.0F.WIG ${opcode} /r`, w(Vsd), r(Hsd), r(Wsd))], narrow(sd));
};
for (const [name, opcode] of [['add', '58'], ['mul', '59'], ['sub', '5C'], ['div', '5E']] as const) {
  four(`v${name}`, opcode, fp.arithmetic('f32x4', name), fp.arithmetic('f64x2', name), fp.scalarArithmetic('f32x4', name), fp.scalarArithmetic('f64x2', name));
}
for (const [name, opcode, f, low] of [['vmin', '5D', fp.minimum, fp.scalarMinimum], ['vmax', '5F', fp.maximum, fp.scalarMaximum]] as const) {
  four(name, opcode, f('f32x4'), f('f64x2'), low('f32x4'), low('f64x2'));
}
instruction('vsqrtps', AVX, both(undefined, 'NP.0F.WIG 51 /r', w(Vps), r(Wps)), unary(fp.squareRoot('f32x4')));
instruction('vsqrtpd', AVX, both(undefined, '66.0F.WIG 51 /r', w(Vpd), r(Wpd)), unary(fp.squareRoot('f64x2')));
instruction('vsqrtss', AVX, [enc('VEX.LIG.F3.0F.WIG 51 /r', w(Vss), r(Hss), r(Wss))], narrow(fp.scalarSquareRoot('f32x4')));
instruction('vsqrtsd', AVX, [enc('VEX.LIG.F2.0F.WIG 51 /r', w(Vsd), r(Hsd), r(Wsd))], narrow(fp.scalarSquareRoot('f64x2')));
for (const [name, opcode, f] of [['vrsqrt', '52', reciprocalRoot], ['vrcp', '53', reciprocal]] as const) {
  instruction(`${name}ps`, AVX, both(undefined, `NP.0F.WIG ${opcode} /r`, w(Vps), r(Wps)), unary(f));
  instruction(`${name}ss`, AVX, [enc(`VEX.LIG.F3.0F.WIG ${opcode} /r`, w(Vss), r(Hss), r(Wss))], narrow(fp.lowOf('f32x4', (ir, _a, b) => f(ir, b))));
}
for (const [name, opcode, f] of [['vand', '54', int.LANEWISE.pand], ['vandn', '55', int.LANEWISE.pandn], ['vor', '56', int.LANEWISE.por], ['vxor', '57', int.LANEWISE.pxor]] as const) {
  instruction(`${name}ps`, AVX, both(undefined, `NP.0F.WIG ${opcode} /r`, w(Vps), r(Hps), r(Wps)), binary(f));
  instruction(`${name}pd`, AVX, both(undefined, `66.0F.WIG ${opcode} /r`, w(Vpd), r(Hpd), r(Wpd)), binary(f));
}
for (const [name, opcode, ps, pd] of [['vhadd', '7C', fp.haddps, fp.haddpd], ['vhsub', '7D', fp.hsubps, fp.hsubpd], ['vaddsub', 'D0', fp.addsubps, fp.addsubpd]] as const) {
  instruction(`${name}ps`, AVX, both(undefined, `F2.0F.WIG ${opcode} /r`, w(Vps), r(Hps), r(Wps)), binary(ps));
  instruction(`${name}pd`, AVX, both(undefined, `66.0F.WIG ${opcode} /r`, w(Vpd), r(Hpd), r(Wpd)), binary(pd));
}

// ---- comparison: 32 predicates ----

const comparing = (shape: fp.Shape) => (ir: Builder, a: Value, b: Value, imm: number): Value => fp.compare(ir, shape, a, b, imm & 31);
const comparingLow = (shape: fp.Shape) => (ir: Builder, a: Value, b: Value, imm: number): Value => fp.compareLow(ir, shape, a, b, imm & 31);
instruction('vcmpps', AVX, both(undefined, 'NP.0F.WIG C2 /r ib', w(Vps), r(Hps), r(Wps), r(Ib)), binaryImm(comparing('f32x4')));
instruction('vcmppd', AVX, both(undefined, '66.0F.WIG C2 /r ib', w(Vpd), r(Hpd), r(Wpd), r(Ib)), binaryImm(comparing('f64x2')));
instruction('vcmpss', AVX, [enc('VEX.LIG.F3.0F.WIG C2 /r ib', w(Vss), r(Hss), r(Wss), r(Ib))], narrowImm(comparingLow('f32x4')));
instruction('vcmpsd', AVX, [enc('VEX.LIG.F2.0F.WIG C2 /r ib', w(Vsd), r(Hsd), r(Wsd), r(Ib))], narrowImm(comparingLow('f64x2')));
for (const [name, opcode] of [['vucomis', '2E'], ['vcomis', '2F']] as const) {
  instruction(`${name}s`, { ...AVX, flags: 'oszapc' }, [enc(`VEX.LIG.NP.0F.WIG ${opcode} /r`, r(Vss), r(Wss))], (x, a, b) => fp.compareScalars(x, 'f32x4', x.readF32(a), x.readF32(b), name === 'vcomis'));
  instruction(`${name}d`, { ...AVX, flags: 'oszapc' }, [enc(`VEX.LIG.66.0F.WIG ${opcode} /r`, r(Vsd), r(Wsd))], (x, a, b) => fp.compareScalars(x, 'f64x2', x.readF64(a), x.readF64(b), name === 'vcomis'));
}
/** ZF: no lane negative in both; CF: none negative in the second operand only. */
const testing = (shape: 'i32x4' | 'i64x2'): Semantics => (x, a, b) => {
  const { ir } = x;
  const [b0, b1] = readHalves(x, b);
  const [a0, a1] = readHalves(x, a);
  let common = ir.v128.and(a0, b0);
  let only = ir.v128.andnot(b0, a0);
  if (a1 !== undefined && b1 !== undefined) {
    common = ir.v128.or(common, ir.v128.and(a1, b1));
    only = ir.v128.or(only, ir.v128.andnot(b1, a1));
  }
  const none = (v: Value): Value => ir.i32.eqz(ir[shape].bitmask(v));
  x.flags.explicit(ir.i32.or(ir.i32.shl(none(common), ir.const32(6)), none(only)));
};
instruction('vtestps', { ...AVX, flags: 'oszapc' }, both(undefined, '66.0F38.W0 0E /r', r(Vps), r(Wps)), testing('i32x4'));
instruction('vtestpd', { ...AVX, flags: 'oszapc' }, both(undefined, '66.0F38.W0 0F /r', r(Vpd), r(Wpd)), testing('i64x2'));

// ---- shuffles and blends ----

/** Immediate bits of the upper half's two 64-bit lanes. */
const pairOf = (imm: number, high: 0 | 1): number => (imm >> (2 * high)) & 3;
instruction('vshufps', AVX, both(undefined, 'NP.0F.WIG C6 /r ib', w(Vps), r(Hps), r(Wps), r(Ib)), binaryImm(int.shufps));
instruction('vshufpd', AVX, both(undefined, '66.0F.WIG C6 /r ib', w(Vpd), r(Hpd), r(Wpd), r(Ib)), binaryImm((ir, a, b, imm, high) => int.shufpd(ir, a, b, pairOf(imm, high))));
instruction('vunpcklps', AVX, both(undefined, 'NP.0F.WIG 14 /r', w(Vps), r(Hps), r(Wps)), binary(int.LANEWISE.punpckldq));
instruction('vunpcklpd', AVX, both(undefined, '66.0F.WIG 14 /r', w(Vpd), r(Hpd), r(Wpd)), binary(int.WIDE.punpcklqdq));
instruction('vunpckhps', AVX, both(undefined, 'NP.0F.WIG 15 /r', w(Vps), r(Hps), r(Wps)), binary(int.WIDE.punpckhdq));
instruction('vunpckhpd', AVX, both(undefined, '66.0F.WIG 15 /r', w(Vpd), r(Hpd), r(Wpd)), binary(int.WIDE.punpckhqdq));
const signs = (shape: 'i32x4' | 'i64x2', count: number): Semantics => (x, d, s) => {
  const { ir } = x;
  const [low, high] = readHalves(x, s);
  const bits = ir[shape].bitmask(low);
  x.write(d, high === undefined ? bits : ir.i32.or(bits, ir.i32.shl(ir[shape].bitmask(high), ir.const32(count))));
};
instruction('vmovmskps', AVX, both(undefined, 'NP.0F.WIG 50 /r', w(Gd), r(Ups)), signs('i32x4', 4));
instruction('vmovmskpd', AVX, both(undefined, '66.0F.WIG 50 /r', w(Gd), r(Upd)), signs('i64x2', 2));
instruction('vpermilps', AVX, both(undefined, '66.0F3A.W0 04 /r ib', w(Vps), r(Wps), r(Ib)), unaryImm((ir, a, imm) => int.pshufd(ir, a, imm)));
instruction('vpermilpd', AVX, both(undefined, '66.0F3A.W0 05 /r ib', w(Vpd), r(Wpd), r(Ib)), unaryImm((ir, a, imm, high) => int.shufpd(ir, a, a, pairOf(imm, high))));
instruction('vpermilps', AVX, both(undefined, '66.0F38.W0 0C /r', w(Vps), r(Hps), r(Wx)), binary(permuteDwordsWithin));
instruction('vpermilpd', AVX, both(undefined, '66.0F38.W0 0D /r', w(Vpd), r(Hpd), r(Wx)), binary(permuteQwordsWithin));
instruction('vblendps', AVX, both(undefined, '66.0F3A.WIG 0C /r ib', w(Vps), r(Hps), r(Wps), r(Ib)), binaryImm((ir, a, b, imm, high) => int.blend(ir, a, b, imm >> (4 * high), 4)));
instruction('vblendpd', AVX, both(undefined, '66.0F3A.WIG 0D /r ib', w(Vpd), r(Hpd), r(Wpd), r(Ib)), binaryImm((ir, a, b, imm, high) => int.blend(ir, a, b, pairOf(imm, high), 8)));
instruction('vblendvps', AVX, both(undefined, '66.0F3A.W0 4A /r is4', w(Vx), r(Hx), r(Wx), r(Lx)), ternary((ir, a, b, mask) => int.blendBySign(ir, a, b, mask, 4)));
instruction('vblendvpd', AVX, both(undefined, '66.0F3A.W0 4B /r is4', w(Vx), r(Hx), r(Wx), r(Lx)), ternary((ir, a, b, mask) => int.blendBySign(ir, a, b, mask, 8)));
instruction('vdpps', AVX, both(undefined, '66.0F3A.WIG 40 /r ib', w(Vps), r(Hps), r(Wps), r(Ib)), binaryImm(fp.dpps));
instruction('vdppd', AVX, [enc('VEX.128.66.0F3A.WIG 41 /r ib', w(Vpd), r(Hpd), r(Wpd), r(Ib))], binaryImm(fp.dppd));
instruction('vinsertps', AVX, [enc('VEX.128.66.0F3A.WIG 21 /r ib', w(Vdq), r(Hdq), r(Uss), r(Ib)), enc('VEX.128.66.0F3A.WIG 21 /r ib', w(Vdq), r(Hdq), r(Md), r(Ib))], (x, d, a, s) => {
  const b = x.readVector(s);
  x.writeVector(d, fp.insertps(x.ir, x.readVector(a), b, x.insn.imm & (x.isMemory(s) ? 0x3f : 0xff)));
});
extracting('vextractps', AVX, 32, [enc('VEX.128.66.0F3A.WIG 17 /r ib', w(Ed), r(Vdq), r(Ib))]);

// ---- rounding ----

instruction('vroundps', AVX, both(undefined, '66.0F3A.WIG 08 /r ib', w(Vps), r(Wps), r(Ib)), unaryImm((ir, a, imm) => fp.roundVector(ir, 'f32x4', a, fp.roundingOf(imm))));
instruction('vroundpd', AVX, both(undefined, '66.0F3A.WIG 09 /r ib', w(Vpd), r(Wpd), r(Ib)), unaryImm((ir, a, imm) => fp.roundVector(ir, 'f64x2', a, fp.roundingOf(imm))));
instruction('vroundss', AVX, [enc('VEX.LIG.66.0F3A.WIG 0A /r ib', w(Vss), r(Hss), r(Wss), r(Ib))], (x, d, a, s) => {
  const v = fp.roundScalar(x.ir, 'f32', x.readF32(s), fp.roundingOf(x.insn.imm));
  x.writeVector(d, x.ir.f32x4.replace_lane(x.readVector(a), 0, v));
});
instruction('vroundsd', AVX, [enc('VEX.LIG.66.0F3A.WIG 0B /r ib', w(Vsd), r(Hsd), r(Wsd), r(Ib))], (x, d, a, s) => {
  const v = fp.roundScalar(x.ir, 'f64', x.readF64(s), fp.roundingOf(x.insn.imm));
  x.writeVector(d, x.ir.f64x2.replace_lane(x.readVector(a), 0, v));
});

// ---- conversions ----

const CURRENT: fp.Rounding = 4;
const TRUNCATE: fp.Rounding = 3;
instruction('vcvtsi2ss', AVX, [enc('VEX.LIG.F3.0F 2A /r', w(Vss), r(Hss), r(Ey))], (x, d, a, s) => {
  const { ir } = x;
  const v = fromInteger(ir, 'f32', x.bits(s) === 64 ? 64 : 32, x.read(s));
  x.writeVector(d, ir.f32x4.replace_lane(x.readVector(a), 0, v));
});
instruction('vcvtsi2sd', AVX, [enc('VEX.LIG.F2.0F 2A /r', w(Vsd), r(Hsd), r(Ey))], (x, d, a, s) => {
  const { ir } = x;
  const v = fromInteger(ir, 'f64', x.bits(s) === 64 ? 64 : 32, x.read(s));
  x.writeVector(d, ir.f64x2.replace_lane(x.readVector(a), 0, v));
});
instruction('vcvttss2si', AVX, [enc('VEX.LIG.F3.0F 2C /r', w(Gy), r(Wss))], fromFloat('f32', TRUNCATE));
instruction('vcvtss2si', AVX, [enc('VEX.LIG.F3.0F 2D /r', w(Gy), r(Wss))], fromFloat('f32', CURRENT));
instruction('vcvttsd2si', AVX, [enc('VEX.LIG.F2.0F 2C /r', w(Gy), r(Wsd))], fromFloat('f64', TRUNCATE));
instruction('vcvtsd2si', AVX, [enc('VEX.LIG.F2.0F 2D /r', w(Gy), r(Wsd))], fromFloat('f64', CURRENT));
instruction('vcvtss2sd', AVX, [enc('VEX.LIG.F3.0F.WIG 5A /r', w(Vsd), r(Hsd), r(Wss))], (x, d, a, s) => {
  const v = promote(x.ir, x.readF32(s));
  x.writeVector(d, x.ir.f64x2.replace_lane(x.readVector(a), 0, v));
});
instruction('vcvtsd2ss', AVX, [enc('VEX.LIG.F2.0F.WIG 5A /r', w(Vss), r(Hss), r(Wsd))], (x, d, a, s) => {
  const v = demote(x.ir, x.readF64(s));
  x.writeVector(d, x.ir.f32x4.replace_lane(x.readVector(a), 0, v));
});
/** Two elements of the source become 128 bits each: the lower half of it, then the upper. */
const widening = (f: int.Unary): Semantics => (x, d, s) => {
  const { ir } = x;
  const v = x.readVectorUnaligned(s);
  if (!x.wide) x.writeVector(d, f(ir, v));
  else x.writeWide(d, f(ir, v), f(ir, ir.shuffle(v, v, lanes(8, 1, 1))));
};
/** 128 bits of the source become 64 (the function leaves zeros above). The destination is an xmm register in either form. */
const narrowing = (f: int.Unary): Semantics => (x, d, s) => {
  const [low, high] = readHalves(x, s);
  x.setXmm(x.register(d), high === undefined ? f(x.ir, low) : int.WIDE.punpcklqdq(x.ir, f(x.ir, low), f(x.ir, high)));
};
const widenRows = (fields: string): ReturnType<typeof both> => [enc(`VEX.128.${fields}`, w(Vx), r(Wq)), enc(`VEX.256.${fields}`, w(Vx), r(Wdq))];
instruction('vcvtps2pd', AVX, widenRows('NP.0F.WIG 5A /r'), widening(promotePair));
instruction('vcvtdq2pd', AVX, widenRows('F3.0F.WIG E6 /r'), widening((ir, a) => ir.f64x2.convert_low_i32x4_s(a)));
instruction('vcvtpd2ps', AVX, both(undefined, '66.0F.WIG 5A /r', w(Vdq), r(Wpd)), narrowing(demotePair));
instruction('vcvttpd2dq', AVX, both(undefined, '66.0F.WIG E6 /r', w(Vdq), r(Wpd)), narrowing((ir, a) => doublesToDwords(ir, a, TRUNCATE)));
instruction('vcvtpd2dq', AVX, both(undefined, 'F2.0F.WIG E6 /r', w(Vdq), r(Wpd)), narrowing((ir, a) => doublesToDwords(ir, a, CURRENT)));
instruction('vcvtdq2ps', AVX, both(undefined, 'NP.0F.WIG 5B /r', w(Vps), r(Wx)), unary(dwordsToFloats));
instruction('vcvtps2dq', AVX, both(undefined, '66.0F.WIG 5B /r', w(Vx), r(Wps)), unary((ir, a) => floatsToDwords(ir, a, CURRENT)));
instruction('vcvttps2dq', AVX, both(undefined, 'F3.0F.WIG 5B /r', w(Vx), r(Wps)), unary((ir, a) => floatsToDwords(ir, a, TRUNCATE)));
