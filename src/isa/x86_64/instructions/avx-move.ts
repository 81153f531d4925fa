/** AVX and AVX2 moves: whole registers, halves, scalars, broadcasts, 128-bit halves in and out, VZEROUPPER, VLDMXCSR. */
import type { Value } from '../../../ir/builder.ts';
import type { LoadName } from '../../../ir/ops.ts';
import { enc, encWith, instruction, type Semantics } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { Ed, Eq, Hdq, Hsd, Hss, Hx, Ib, Mb, Md, Mdq, Mq, Mw, Mx, r, Udq, Uq, Usd, Uss, Vd, Vdq, Vpd, Vps, Vq, Vsd, Vss, Vx, w, Wdq, Wpd, Wps, Wq, Wsd, Wx } from '../operands.ts';
import { mergeLow } from '../simd/float.ts';
import { constants, pshufd, WIDE } from '../simd/integer.ts';
import { AVX, AVX2, both, readHalves, unary, writeHalves } from '../simd/vex.ts';
import { fromDword, fromQword, maskedStore, moveQuad, storeHigh, storeLow, toDword, toQword } from './sse-move.ts';
import { loadMxcsr, storeMxcsr } from './sse-state.ts';

const { lanes } = constants;

// ---- whole registers ----

const moveUnaligned: Semantics = (x, d, s) => writeHalves(x, d, ...readHalves(x, s));
const moveAligned: Semantics = (x, d, s) => {
  if (x.isMemory(d)) x.checkAligned(d, x.wide ? 32 : 16);
  else if (x.isMemory(s)) x.checkAligned(s, x.wide ? 32 : 16);
  moveUnaligned(x, d, s, s, s);
};
for (const [name, move, rows] of [
  ['vmovaps', moveAligned, [...both(undefined, 'NP.0F.WIG 28 /r', w(Vps), r(Wps)), ...both(undefined, 'NP.0F.WIG 29 /r', w(Wps), r(Vps))]],
  ['vmovapd', moveAligned, [...both(undefined, '66.0F.WIG 28 /r', w(Vpd), r(Wpd)), ...both(undefined, '66.0F.WIG 29 /r', w(Wpd), r(Vpd))]],
  ['vmovdqa', moveAligned, [...both(undefined, '66.0F.WIG 6F /r', w(Vx), r(Wx)), ...both(undefined, '66.0F.WIG 7F /r', w(Wx), r(Vx))]],
  ['vmovups', moveUnaligned, [...both(undefined, 'NP.0F.WIG 10 /r', w(Vps), r(Wps)), ...both(undefined, 'NP.0F.WIG 11 /r', w(Wps), r(Vps))]],
  ['vmovupd', moveUnaligned, [...both(undefined, '66.0F.WIG 10 /r', w(Vpd), r(Wpd)), ...both(undefined, '66.0F.WIG 11 /r', w(Wpd), r(Vpd))]],
  ['vmovdqu', moveUnaligned, [...both(undefined, 'F3.0F.WIG 6F /r', w(Vx), r(Wx)), ...both(undefined, 'F3.0F.WIG 7F /r', w(Wx), r(Vx))]],
  ['vlddqu', moveUnaligned, both(undefined, 'F2.0F.WIG F0 /r', w(Vx), r(Mx))],
  // caches are not modelled: non-temporal is an ordinary access
  ['vmovntps', moveAligned, both(undefined, 'NP.0F.WIG 2B /r', w(Mx), r(Vps))],
  ['vmovntpd', moveAligned, both(undefined, '66.0F.WIG 2B /r', w(Mx), r(Vpd))],
  ['vmovntdq', moveAligned, both(undefined, '66.0F.WIG E7 /r', w(Mx), r(Vx))],
  ['vmovntdqa', moveAligned, both(AVX2, '66.0F38.WIG 2A /r', w(Vx), r(Mx))],
] as const) instruction(name, AVX, rows, move);

// ---- scalars: from memory the rest becomes zero, between registers it is the first source's ----

const merge = (shape: 'f32x4' | 'f64x2'): Semantics => (x, d, a, b) => x.writeVector(d, mergeLow(x.ir, x.readVector(a), x.readVector(b), shape));
const moveMemory: Semantics = (x, d, s) => x.writeVector(d, x.readVector(s));
for (const [name, prefix, h, u, v, m, shape] of [['vmovss', 'F3', Hss, Uss, Vss, Md, 'f32x4'], ['vmovsd', 'F2', Hsd, Usd, Vsd, Mq, 'f64x2']] as const) {
  instruction(name, AVX, [enc(`VEX.LIG.${prefix}.0F.WIG 10 /r`, w(v), r(h), r(u)), enc(`VEX.LIG.${prefix}.0F.WIG 11 /r`, w(u), r(h), r(v))], merge(shape));
  instruction(name, AVX, [enc(`VEX.LIG.${prefix}.0F.WIG 10 /r`, w(v), r(m)), enc(`VEX.LIG.${prefix}.0F.WIG 11 /r`, w(m), r(v))], moveMemory);
}
instruction('vmovq', AVX, [enc('VEX.128.F3.0F.WIG 7E /r', w(Vq), r(Wq)), enc('VEX.128.66.0F.WIG D6 /r', w(Wq), r(Vq))], moveQuad);
instruction('vmovd', AVX, [enc('VEX.128.66.0F.W0 6E /r', w(Vd), r(Ed))], toDword);
instruction('vmovd', AVX, [enc('VEX.128.66.0F.W0 7E /r', w(Ed), r(Vd))], fromDword);
instruction('vmovq', AVX, [enc('VEX.128.66.0F.W1 6E /r', w(Vq), r(Eq))], toQword);
instruction('vmovq', AVX, [enc('VEX.128.66.0F.W1 7E /r', w(Eq), r(Vq))], fromQword);

// ---- halves of 64 bits ----

const setHalf = (lane: 0 | 1): Semantics => (x, d, a, m) => {
  const v = x.load(m, 'i64.load');
  x.writeVector(d, x.ir.i64x2.replace_lane(x.readVector(a), lane, v));
};
for (const [suffix, prefix] of [['s', 'NP'], ['d', '66']] as const) {
  instruction(`vmovlp${suffix}`, AVX, [enc(`VEX.128.${prefix}.0F.WIG 12 /r`, w(Vq), r(Hdq), r(Mq))], setHalf(0));
  instruction(`vmovlp${suffix}`, AVX, [enc(`VEX.128.${prefix}.0F.WIG 13 /r`, w(Mq), r(Vq))], storeLow);
  instruction(`vmovhp${suffix}`, AVX, [enc(`VEX.128.${prefix}.0F.WIG 16 /r`, w(Vq), r(Hdq), r(Mq))], setHalf(1));
  instruction(`vmovhp${suffix}`, AVX, [enc(`VEX.128.${prefix}.0F.WIG 17 /r`, w(Mq), r(Vq))], storeHigh);
}
instruction('vmovhlps', AVX, [enc('VEX.128.NP.0F.WIG 12 /r', w(Vq), r(Hdq), r(Uq))], (x, d, a, b) => x.writeVector(d, x.ir.shuffle(x.readVector(a), x.readVector(b), lanes(8, 3, 1))));
instruction('vmovlhps', AVX, [enc('VEX.128.NP.0F.WIG 16 /r', w(Vq), r(Hdq), r(Uq))], (x, d, a, b) => x.writeVector(d, WIDE.punpcklqdq(x.ir, x.readVector(a), x.readVector(b))));

// ---- duplications ----

instruction('vmovsldup', AVX, both(undefined, 'F3.0F.WIG 12 /r', w(Vps), r(Wps)), unary((ir, a) => pshufd(ir, a, 0b10_10_00_00)));
instruction('vmovshdup', AVX, both(undefined, 'F3.0F.WIG 16 /r', w(Vps), r(Wps)), unary((ir, a) => pshufd(ir, a, 0b11_11_01_01)));
// the 128-bit form reads 64 bits of memory
instruction('vmovddup', AVX, [enc('VEX.128.F2.0F.WIG 12 /r', w(Vpd), r(Wsd)), enc('VEX.256.F2.0F.WIG 12 /r', w(Vpd), r(Wpd))], unary((ir, a) => WIDE.punpcklqdq(ir, a, a)));

/** The element of `size` bytes in every lane. */
const broadcast = (size: 1 | 2 | 4 | 8): Semantics => (x, d, s) => {
  const { ir } = x;
  let v: Value;
  if (x.isMemory(s)) v = x.load(s, `v128.load${size * 8}_splat` as LoadName);
  else {
    const a = x.readVector(s);
    v = ir.shuffle(a, a, Array.from({ length: 16 }, (_, k) => k % size));
  }
  writeHalves(x, d, v, x.wide ? v : undefined);
};
instruction('vbroadcastss', AVX, [
  ...both(undefined, '66.0F38.W0 18 /r', w(Vx), r(Md)),
  encWith(AVX2, 'VEX.128.66.0F38.W0 18 /r', w(Vx), r(Udq)), encWith(AVX2, 'VEX.256.66.0F38.W0 18 /r', w(Vx), r(Udq)),
], broadcast(4));
instruction('vbroadcastsd', AVX, [enc('VEX.256.66.0F38.W0 19 /r', w(Vx), r(Mq)), encWith(AVX2, 'VEX.256.66.0F38.W0 19 /r', w(Vx), r(Udq))], broadcast(8));
for (const [name, opcode, memory, size] of [['vpbroadcastb', '78', Mb, 1], ['vpbroadcastw', '79', Mw, 2], ['vpbroadcastd', '58', Md, 4], ['vpbroadcastq', '59', Mq, 8]] as const) {
  instruction(name, AVX2, [...both(undefined, `66.0F38.W0 ${opcode} /r`, w(Vx), r(memory)), ...both(undefined, `66.0F38.W0 ${opcode} /r`, w(Vx), r(Udq))], broadcast(size));
}

// ---- halves of 128 bits ----

for (const [letter, options, broadcastOpcode, insertOpcode, extractOpcode, permuteOpcode] of [['f', AVX, '1A', '18', '19', '06'], ['i', AVX2, '5A', '38', '39', '46']] as const) {
  instruction(`vbroadcast${letter}128`, options, [enc(`VEX.256.66.0F38.W0 ${broadcastOpcode} /r`, w(Vx), r(Mdq))], (x, d, s) => {
    const v = x.load(s, 'v128.load');
    x.writeWide(d, v, v);
  });
  instruction(`vinsert${letter}128`, options, [enc(`VEX.256.66.0F3A.W0 ${insertOpcode} /r ib`, w(Vx), r(Hx), r(Wdq), r(Ib))], (x, d, a, s) => {
    const v = x.readVectorUnaligned(s);
    if (x.insn.imm & 1) x.writeWide(d, x.readVector(a), v);
    else x.writeWide(d, v, x.readVectorHigh(a));
  });
  instruction(`vextract${letter}128`, options, [enc(`VEX.256.66.0F3A.W0 ${extractOpcode} /r ib`, w(Wdq), r(Vx), r(Ib))], (x, d, s) => {
    x.writeVectorUnaligned(d, x.insn.imm & 1 ? x.readVectorHigh(s) : x.readVector(s));
  });
  instruction(`vperm2${letter}128`, options, [enc(`VEX.256.66.0F3A.W0 ${permuteOpcode} /r ib`, w(Vx), r(Hx), r(Wx), r(Ib))], (x, d, a, b) => {
    const { imm } = x.insn;
    const halves = [x.readVector(a), x.readVectorHigh(a), ...readHalves(x, b)] as readonly Value[];
    const pick = (control: number): Value => (control & 8 ? x.ir.const128(new Uint8Array(16)) : (halves[control & 3] as Value));
    x.writeWide(d, pick(imm), pick(imm >> 4));
  });
}

// ---- the rest ----

const clearUpper = (x: Emitter): void => {
  for (let n = 0; n < 16; n++) x.clearYmmHigh(n);
};
instruction('vzeroupper', AVX, [enc('VEX.128.NP.0F.WIG 77')], clearUpper);
instruction('vzeroall', AVX, [enc('VEX.256.NP.0F.WIG 77')], (x) => {
  for (let n = 0; n < 16; n++) x.setXmm(n, x.ir.const128(new Uint8Array(16)));
});
instruction('vmaskmovdqu', AVX, [enc('VEX.128.66.0F.WIG F7 /r', r(Vdq), r(Udq))], (x, a, b) => maskedStore(x, x.readVector(a), x.readVector(b)));
instruction('vldmxcsr', AVX, [enc('VEX.LZ.NP.0F.WIG AE /2', r(Md))], loadMxcsr);
instruction('vstmxcsr', AVX, [enc('VEX.LZ.NP.0F.WIG AE /3', w(Md))], storeMxcsr);
