/** Integer vector instructions with VEX: the 128-bit forms are AVX, the 256-bit ones and the new operations AVX2. */
import type { Value } from '../../../ir/builder.ts';
import { enc, type Encoding, instruction, type InstructionOptions, type Semantics } from '../declare.ts';
import { Ed, Eq, Gd, Hdq, Hx, Ib, Lx, Mb, Mw, type Operand, r, Rd, Udq, Ux, Vdq, Vx, w, Wd, Wdq, Wq, Ww, Wx } from '../operands.ts';
import * as int from '../simd/integer.ts';
import { permuteDwords, pickQwords, shiftDwords, shiftQwords } from '../simd/permute.ts';
import { AVX, AVX2, binary, binaryImm, both, readHalves, ternary, unary, unaryImm, writeHalves } from '../simd/vex.ts';
import { extracting, functionOf, insert, type Name } from './sse-integer.ts';
import { comparing } from './sse-string.ts';

/** Everything of the form dst = f(a, b), by opcode in map 0F (or, with `38 `, 0F38). */
const PACKED: readonly (readonly [Name, string])[] = [
  ['punpcklbw', '60'], ['punpcklwd', '61'], ['punpckldq', '62'], ['packsswb', '63'], ['pcmpgtb', '64'], ['pcmpgtw', '65'], ['pcmpgtd', '66'], ['packuswb', '67'],
  ['punpckhbw', '68'], ['punpckhwd', '69'], ['punpckhdq', '6A'], ['packssdw', '6B'], ['punpcklqdq', '6C'], ['punpckhqdq', '6D'], ['pcmpeqb', '74'], ['pcmpeqw', '75'], ['pcmpeqd', '76'],
  ['paddq', 'D4'], ['pmullw', 'D5'], ['psubusb', 'D8'], ['psubusw', 'D9'], ['pminub', 'DA'], ['pand', 'DB'], ['paddusb', 'DC'], ['paddusw', 'DD'], ['pmaxub', 'DE'], ['pandn', 'DF'],
  ['pavgb', 'E0'], ['pavgw', 'E3'], ['pmulhuw', 'E4'], ['pmulhw', 'E5'], ['psubsb', 'E8'], ['psubsw', 'E9'], ['pminsw', 'EA'], ['por', 'EB'], ['paddsb', 'EC'], ['paddsw', 'ED'], ['pmaxsw', 'EE'], ['pxor', 'EF'],
  ['pmuludq', 'F4'], ['pmaddwd', 'F5'], ['psadbw', 'F6'], ['psubb', 'F8'], ['psubw', 'F9'], ['psubd', 'FA'], ['psubq', 'FB'], ['paddb', 'FC'], ['paddw', 'FD'], ['paddd', 'FE'],
  ['pshufb', '38 00'], ['phaddw', '38 01'], ['phaddd', '38 02'], ['phaddsw', '38 03'], ['pmaddubsw', '38 04'], ['phsubw', '38 05'], ['phsubd', '38 06'], ['phsubsw', '38 07'],
  ['psignb', '38 08'], ['psignw', '38 09'], ['psignd', '38 0A'], ['pmulhrsw', '38 0B'], ['pmuldq', '38 28'], ['pcmpeqq', '38 29'], ['packusdw', '38 2B'], ['pcmpgtq', '38 37'],
  ['pminsb', '38 38'], ['pminsd', '38 39'], ['pminuw', '38 3A'], ['pminud', '38 3B'], ['pmaxsb', '38 3C'], ['pmaxsd', '38 3D'], ['pmaxuw', '38 3E'], ['pmaxud', '38 3F'], ['pmulld', '38 40'],
];
for (const [name, opcode] of PACKED) {
  const [map, byte] = opcode.startsWith('38 ') ? ['0F38', opcode.slice(3)] : ['0F', opcode];
  instruction(`v${name}`, AVX, both(AVX2, `66.${map}.WIG ${byte} /r`, w(Vx), r(Hx), r(Wx)), binary(functionOf(name)));
}
for (const [name, opcode] of [['pabsb', '1C'], ['pabsw', '1D'], ['pabsd', '1E']] as const) instruction(`v${name}`, AVX, both(AVX2, `66.0F38.WIG ${opcode} /r`, w(Vx), r(Wx)), unary(int.ABSOLUTE[name]));

// ---- shifts ----

for (const [name, byVector, byImmediate, digit] of [
  ['psrlw', 'D1', '71', 2], ['psrld', 'D2', '72', 2], ['psrlq', 'D3', '73', 2],
  ['psraw', 'E1', '71', 4], ['psrad', 'E2', '72', 4],
  ['psllw', 'F1', '71', 6], ['pslld', 'F2', '72', 6], ['psllq', 'F3', '73', 6],
] as const) {
  const shift = int.SHIFTS[name];
  // one count for both halves, from 128 bits
  instruction(`v${name}`, AVX, both(AVX2, `66.0F.WIG ${byVector} /r`, w(Vx), r(Hx), r(Wdq)), (x, d, a, b) => {
    const counts = x.readVector(b);
    const [low, high] = readHalves(x, a);
    writeHalves(x, d, int.shiftByVector(x.ir, shift, low, counts), high === undefined ? undefined : int.shiftByVector(x.ir, shift, high, counts));
  });
  instruction(`v${name}`, AVX, both(AVX2, `66.0F.WIG ${byImmediate} /${digit} ib`, w(Hx), r(Ux), r(Ib)), unaryImm((ir, a, imm) => int.shiftBy(ir, shift, a, imm)));
}
instruction('vpsrldq', AVX, both(AVX2, '66.0F.WIG 73 /3 ib', w(Hx), r(Ux), r(Ib)), unaryImm(int.shiftBytesRight));
instruction('vpslldq', AVX, both(AVX2, '66.0F.WIG 73 /7 ib', w(Hx), r(Ux), r(Ib)), unaryImm(int.shiftBytesLeft));
for (const [name, opcode, dwords, qwords] of [['vpsrlv', '45', shiftDwords('shr_u'), shiftQwords('shr_u')], ['vpsllv', '47', shiftDwords('shl'), shiftQwords('shl')]] as const) {
  instruction(`${name}d`, AVX2, both(undefined, `66.0F38.W0 ${opcode} /r`, w(Vx), r(Hx), r(Wx)), binary(dwords));
  instruction(`${name}q`, AVX2, both(undefined, `66.0F38.W1 ${opcode} /r`, w(Vx), r(Hx), r(Wx)), binary(qwords));
}
instruction('vpsravd', AVX2, both(undefined, '66.0F38.W0 46 /r', w(Vx), r(Hx), r(Wx)), binary(shiftDwords('shr_s')));

// ---- shuffles, blends, permutations ----

instruction('vpshufd', AVX, both(AVX2, '66.0F.WIG 70 /r ib', w(Vx), r(Wx), r(Ib)), unaryImm(int.pshufd));
instruction('vpshufhw', AVX, both(AVX2, 'F3.0F.WIG 70 /r ib', w(Vx), r(Wx), r(Ib)), unaryImm(int.pshufhw));
instruction('vpshuflw', AVX, both(AVX2, 'F2.0F.WIG 70 /r ib', w(Vx), r(Wx), r(Ib)), unaryImm(int.pshuflw));
instruction('vpalignr', AVX, both(AVX2, '66.0F3A.WIG 0F /r ib', w(Vx), r(Hx), r(Wx), r(Ib)), binaryImm((ir, a, b, imm) => int.palignr(ir, a, b, imm, 16)));
instruction('vpblendw', AVX, both(AVX2, '66.0F3A.WIG 0E /r ib', w(Vx), r(Hx), r(Wx), r(Ib)), binaryImm((ir, a, b, imm) => int.blend(ir, a, b, imm, 2)));
instruction('vpblendd', AVX2, both(undefined, '66.0F3A.W0 02 /r ib', w(Vx), r(Hx), r(Wx), r(Ib)), binaryImm((ir, a, b, imm, high) => int.blend(ir, a, b, imm >> (4 * high), 4)));
instruction('vpblendvb', AVX, both(AVX2, '66.0F3A.W0 4C /r is4', w(Vx), r(Hx), r(Wx), r(Lx)), ternary((ir, a, b, mask) => int.blendBySign(ir, a, b, mask, 1)));
instruction('vmpsadbw', AVX, both(AVX2, '66.0F3A.WIG 42 /r ib', w(Vx), r(Hx), r(Wx), r(Ib)), binaryImm((ir, a, b, imm, high) => int.mpsadbw(ir, a, b, imm >> (3 * high))));
instruction('vphminposuw', AVX, [enc('VEX.128.66.0F38.WIG 41 /r', w(Vdq), r(Wdq))], unary(int.phminposuw));
/** vpermd, vpermps: the indices are the first source, the eight dwords the second. */
const permuteByVector: Semantics = (x, d, index, s) => {
  const { ir } = x;
  const [low, high] = readHalves(x, s) as [Value, Value];
  x.writeWide(d, permuteDwords(ir, low, high, x.readVector(index)), permuteDwords(ir, low, high, x.readVectorHigh(index)));
};
instruction('vpermd', AVX2, [enc('VEX.256.66.0F38.W0 36 /r', w(Vx), r(Hx), r(Wx))], permuteByVector);
instruction('vpermps', AVX2, [enc('VEX.256.66.0F38.W0 16 /r', w(Vx), r(Hx), r(Wx))], permuteByVector);
const permuteByImmediate: Semantics = (x, d, s) => {
  const [low, high] = readHalves(x, s) as [Value, Value];
  x.writeWide(d, pickQwords(x.ir, low, high, x.insn.imm), pickQwords(x.ir, low, high, x.insn.imm >> 4));
};
instruction('vpermq', AVX2, [enc('VEX.256.66.0F3A.W1 00 /r ib', w(Vx), r(Wx), r(Ib))], permuteByImmediate);
instruction('vpermpd', AVX2, [enc('VEX.256.66.0F3A.W1 01 /r ib', w(Vx), r(Wx), r(Ib))], permuteByImmediate);

// ---- widening ----

/** The memory operand by its bytes. */
const SOURCE: Readonly<Record<number, Operand>> = { 16: Wdq, 8: Wq, 4: Wd, 2: Ww };
for (const [signs, base] of [['sx', 0x20], ['zx', 0x30]] as const) {
  (['bw', 'bd', 'bq', 'wd', 'wq', 'dq'] as const).forEach((kind, k) => {
    const name = `pmov${signs}${kind}` as const;
    const [f, bytes] = int.WIDEN[name];
    const opcode = (base + k).toString(16).toUpperCase();
    const rows: Encoding[] = [enc(`VEX.128.66.0F38.WIG ${opcode} /r`, w(Vx), r(SOURCE[bytes] as Operand))];
    instruction(`v${name}`, AVX, rows, (x, d, s) => x.writeVector(d, f(x.ir, x.readVector(s))));
    instruction(`v${name}`, AVX2, [enc(`VEX.256.66.0F38.WIG ${opcode} /r`, w(Vx), r(SOURCE[2 * bytes] as Operand))], (x, d, s) => {
      const v = x.readVector(s);
      x.writeWide(d, f(x.ir, v), f(x.ir, int.shiftBytesRight(x.ir, v, bytes)));
    });
  });
}

// ---- tests, masks, single elements ----

instruction('vptest', { ...AVX, flags: 'oszapc' }, both(undefined, '66.0F38.WIG 17 /r', r(Vx), r(Wx)), (x, a, b) => {
  const { ir } = x;
  const [b0, b1] = readHalves(x, b);
  const [a0, a1] = readHalves(x, a);
  let common = ir.v128.and(a0, b0);
  let only = ir.v128.andnot(b0, a0);
  if (a1 !== undefined && b1 !== undefined) {
    common = ir.v128.or(common, ir.v128.and(a1, b1));
    only = ir.v128.or(only, ir.v128.andnot(b1, a1));
  }
  const none = (v: Value): Value => ir.i32.eqz(ir.v128.any_true(v));
  x.flags.explicit(ir.i32.or(ir.i32.shl(none(common), ir.const32(6)), none(only)));
});
instruction('vpmovmskb', AVX, both(AVX2, '66.0F.WIG D7 /r', w(Gd), r(Ux)), (x, d, s) => {
  const { ir } = x;
  const [low, high] = readHalves(x, s);
  const bits = ir.i8x16.bitmask(low);
  x.write(d, high === undefined ? bits : ir.i32.or(bits, ir.i32.shl(ir.i8x16.bitmask(high), ir.const32(16))));
});
const inserting = (name: string, options: InstructionOptions, size: 8 | 16 | 32 | 64, rows: Encoding[]): void =>
  instruction(name, options, rows, (x, d, a, s) => {
    const element = x.read(s);
    x.writeVector(d, insert(x, x.readVector(a), size, element));
  });
extracting('vpextrw', AVX, 16, [enc('VEX.128.66.0F.WIG C5 /r ib', w(Gd), r(Udq), r(Ib))]);
extracting('vpextrb', AVX, 8, [enc('VEX.128.66.0F3A.WIG 14 /r ib', w(Mb), r(Vdq), r(Ib)), enc('VEX.128.66.0F3A.WIG 14 /r ib', w(Rd), r(Vdq), r(Ib))]);
extracting('vpextrw', AVX, 16, [enc('VEX.128.66.0F3A.WIG 15 /r ib', w(Mw), r(Vdq), r(Ib)), enc('VEX.128.66.0F3A.WIG 15 /r ib', w(Rd), r(Vdq), r(Ib))]);
extracting('vpextrd', AVX, 32, [enc('VEX.128.66.0F3A.W0 16 /r ib', w(Ed), r(Vdq), r(Ib))]);
extracting('vpextrq', AVX, 64, [enc('VEX.128.66.0F3A.W1 16 /r ib', w(Eq), r(Vdq), r(Ib))]);
inserting('vpinsrw', AVX, 16, [enc('VEX.128.66.0F.WIG C4 /r ib', w(Vdq), r(Hdq), r(Mw), r(Ib)), enc('VEX.128.66.0F.WIG C4 /r ib', w(Vdq), r(Hdq), r(Rd), r(Ib))]);
inserting('vpinsrb', AVX, 8, [enc('VEX.128.66.0F3A.WIG 20 /r ib', w(Vdq), r(Hdq), r(Mb), r(Ib)), enc('VEX.128.66.0F3A.WIG 20 /r ib', w(Vdq), r(Hdq), r(Rd), r(Ib))]);
inserting('vpinsrd', AVX, 32, [enc('VEX.128.66.0F3A.W0 22 /r ib', w(Vdq), r(Hdq), r(Ed), r(Ib))]);
inserting('vpinsrq', AVX, 64, [enc('VEX.128.66.0F3A.W1 22 /r ib', w(Vdq), r(Hdq), r(Eq), r(Ib))]);

// ---- strings ----

for (const [name, opcode, explicit, result] of [['vpcmpestrm', '60', true, 'mask'], ['vpcmpestri', '61', true, 'index'], ['vpcmpistrm', '62', false, 'mask'], ['vpcmpistri', '63', false, 'index']] as const) {
  instruction(name, { ...AVX, flags: 'oszapc' }, [enc(`VEX.128.66.0F3A.WIG ${opcode} /r ib`, r(Vdq), r(Wdq), r(Ib))], comparing(explicit, result));
}
