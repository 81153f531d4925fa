/** SSE–SSE4.1 moves: whole registers, halves, scalars, non-temporal and masked stores. */
import type { Value } from '../../../ir/builder.ts';
import { FS_BASE, GS_BASE, STATE } from '../cpu-state.ts';
import { enc, instruction, type InstructionOptions } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { Ed, Eq, Gy, Mq, Mx, My, Nq, Pq, r, rw, Udq, Uq, Vd, Vdq, Vpd, Vps, Vq, Vsd, Vss, Vx, w, Wpd, Wps, Wq, Wsd, Wss, Wx } from '../operands.ts';
import { enterMmx, lowHalf, widenMmx } from '../simd/forms.ts';
import { mergeLow } from '../simd/float.ts';
import { constants, WIDE } from '../simd/integer.ts';
import type { Semantics } from '../declare.ts';

const SSE: InstructionOptions = { group: 'sse', cpuid: 'sse' };
const SSE2: InstructionOptions = { group: 'sse2', cpuid: 'sse2' };
const SSE3: InstructionOptions = { group: 'sse3', cpuid: 'sse3' };
const SSE41: InstructionOptions = { group: 'sse4.1', cpuid: 'sse4.1' };

const move: Semantics = (x, d, s) => x.writeVector(d, x.readVector(s));
const moveUnaligned: Semantics = (x, d, s) => x.writeVectorUnaligned(d, x.readVectorUnaligned(s));

instruction('movaps', SSE, [enc('NP 0F 28 /r', w(Vps), r(Wps)), enc('NP 0F 29 /r', w(Wps), r(Vps))], move);
instruction('movapd', SSE2, [enc('66 0F 28 /r', w(Vpd), r(Wpd)), enc('66 0F 29 /r', w(Wpd), r(Vpd))], move);
instruction('movdqa', SSE2, [enc('66 0F 6F /r', w(Vx), r(Wx)), enc('66 0F 7F /r', w(Wx), r(Vx))], move);
instruction('movups', SSE, [enc('NP 0F 10 /r', w(Vps), r(Wps)), enc('NP 0F 11 /r', w(Wps), r(Vps))], moveUnaligned);
instruction('movupd', SSE2, [enc('66 0F 10 /r', w(Vpd), r(Wpd)), enc('66 0F 11 /r', w(Wpd), r(Vpd))], moveUnaligned);
instruction('movdqu', SSE2, [enc('F3 0F 6F /r', w(Vx), r(Wx)), enc('F3 0F 7F /r', w(Wx), r(Vx))], moveUnaligned);
instruction('lddqu', SSE3, [enc('F2 0F F0 /r', w(Vx), r(Mx))], moveUnaligned);
// caches are not modelled: non-temporal is an ordinary access
const aligned16: Semantics = (x, d, s) => {
  x.checkAligned(x.isMemory(d) ? d : s, 16);
  x.writeVectorUnaligned(d, x.readVectorUnaligned(s));
};
instruction('movntps', SSE, [enc('NP 0F 2B /r', w(Mx), r(Vps))], aligned16);
instruction('movntpd', SSE2, [enc('66 0F 2B /r', w(Mx), r(Vpd))], aligned16);
instruction('movntdq', SSE2, [enc('66 0F E7 /r', w(Mx), r(Vx))], aligned16);
instruction('movntdqa', SSE41, [enc('66 0F 38 2A /r', w(Vx), r(Mx))], aligned16);
instruction('movnti', SSE2, [enc('NP 0F C3 /r', w(My), r(Gy))], (x, d, s) => x.write(d, x.read(s)));

// ---- scalars: from memory the rest becomes zero, between registers it stays ----

const moveScalar = (shape: 'f32x4' | 'f64x2'): Semantics => (x, d, s) => {
  if (x.isMemory(d) || x.isMemory(s)) x.writeVector(d, x.readVector(s));
  else x.writeVector(d, mergeLow(x.ir, x.readVector(d), x.readVector(s), shape));
};
instruction('movss', SSE, [enc('F3 0F 10 /r', rw(Vss), r(Wss)), enc('F3 0F 11 /r', rw(Wss), r(Vss))], moveScalar('f32x4'));
instruction('movsd', SSE2, [enc('F2 0F 10 /r', rw(Vsd), r(Wsd)), enc('F2 0F 11 /r', rw(Wsd), r(Vsd))], moveScalar('f64x2'));

/** The lower half of a vector, zeros above. */
const lowOnly = (x: Emitter, v: Value): Value => x.ir.shuffle(v, x.ir.const128(new Uint8Array(16)), constants.lanes(8, 0, 2));
export const moveQuad: Semantics = (x, d, s) => {
  const v = x.readVector(s);
  x.writeVector(d, x.isMemory(s) || x.isMemory(d) ? v : lowOnly(x, v));
};
export const toDword: Semantics = (x, d, s) => {
  x.writeVector(d, x.isMemory(s) ? x.load(s, 'v128.load32_zero') : x.ir.i32x4.replace_lane(x.ir.const128(new Uint8Array(16)), 0, x.read(s)));
};
export const fromDword: Semantics = (x, d, s) => x.write(d, x.ir.i32x4.extract_lane(x.readVector(s), 0));
export const toQword: Semantics = (x, d, s) => {
  x.writeVector(d, x.isMemory(s) ? x.load(s, 'v128.load64_zero') : widenMmx(x.ir, x.read(s)));
};
export const fromQword: Semantics = (x, d, s) => x.write(d, lowHalf(x.ir, x.readVector(s)));
instruction('movq', SSE2, [enc('F3 0F 7E /r', w(Vq), r(Wq)), enc('66 0F D6 /r', w(Wq), r(Vq))], moveQuad);
instruction('movd', SSE2, [enc('66 REX.W0 0F 6E /r', w(Vd), r(Ed))], toDword);
instruction('movd', SSE2, [enc('66 REX.W0 0F 7E /r', w(Ed), r(Vd))], fromDword);
instruction('movq', SSE2, [enc('66 REX.W 0F 6E /r', w(Vq), r(Eq))], toQword);
instruction('movq', SSE2, [enc('66 REX.W 0F 7E /r', w(Eq), r(Vq))], fromQword);

// ---- halves ----

const setLow: Semantics = (x, d, s) => {
  const v = x.load(s, 'i64.load');
  x.writeVector(d, x.ir.i64x2.replace_lane(x.readVector(d), 0, v));
};
const setHigh: Semantics = (x, d, s) => {
  const v = x.load(s, 'i64.load');
  x.writeVector(d, x.ir.i64x2.replace_lane(x.readVector(d), 1, v));
};
export const storeLow: Semantics = (x, d, s) => x.store(d, 'i64.store', x.ir.i64x2.extract_lane(x.readVector(s), 0));
export const storeHigh: Semantics = (x, d, s) => x.store(d, 'i64.store', x.ir.i64x2.extract_lane(x.readVector(s), 1));
instruction('movlps', SSE, [enc('NP 0F 12 /r', rw(Vq), r(Mq))], setLow);
instruction('movlps', SSE, [enc('NP 0F 13 /r', w(Mq), r(Vq))], storeLow);
instruction('movlpd', SSE2, [enc('66 0F 12 /r', rw(Vq), r(Mq))], setLow);
instruction('movlpd', SSE2, [enc('66 0F 13 /r', w(Mq), r(Vq))], storeLow);
instruction('movhps', SSE, [enc('NP 0F 16 /r', rw(Vq), r(Mq))], setHigh);
instruction('movhps', SSE, [enc('NP 0F 17 /r', w(Mq), r(Vq))], storeHigh);
instruction('movhpd', SSE2, [enc('66 0F 16 /r', rw(Vq), r(Mq))], setHigh);
instruction('movhpd', SSE2, [enc('66 0F 17 /r', w(Mq), r(Vq))], storeHigh);
instruction('movhlps', SSE, [enc('NP 0F 12 /r', rw(Vq), r(Uq))], (x, d, s) => x.writeVector(d, x.ir.shuffle(x.readVector(d), x.readVector(s), constants.lanes(8, 3, 1))));
instruction('movlhps', SSE, [enc('NP 0F 16 /r', rw(Vq), r(Uq))], (x, d, s) => x.writeVector(d, WIDE.punpcklqdq(x.ir, x.readVector(d), x.readVector(s))));

// ---- between MMX and XMM ----

instruction('movq2dq', SSE2, [enc('F3 0F D6 /r', w(Vdq), r(Nq))], (x, d, s) => {
  const v = x.readMmx(s);
  enterMmx(x);
  x.writeVector(d, widenMmx(x.ir, v));
});
instruction('movdq2q', SSE2, [enc('F2 0F D6 /r', w(Pq), r(Uq))], (x, d, s) => {
  enterMmx(x);
  x.writeMmx(d, lowHalf(x.ir, x.readVector(s)));
});
instruction('movntq', SSE, [enc('NP 0F E7 /r', w(Mq), r(Pq))], (x, d, s) => {
  x.store(d, 'i64.store', x.readMmx(s));
  enterMmx(x);
});

// ---- masked stores to [rdi] ----

/** Byte k of `data` goes to rdi + k where the mask byte's top bit is set, lowest first; other bytes are not touched. */
export function maskedStore(x: Emitter, data: Value, mask: Value): void {
  const { ir } = x;
  let address = x.gpr(7);
  if (x.insn.addrSize === 32) address = ir.i64.extend_i32_u(ir.i32.wrap_i64(address));
  if (x.insn.segment >= 0) address = ir.i64.add(address, ir.get(x.insn.segment === 4 ? FS_BASE : GS_BASE));
  const left = ir.temp('i32');
  ir.stateStore('v128.store', STATE.scratch, data);
  const bits = ir.i8x16.bitmask(mask);
  ir.set(left, bits);
  ir.if(bits, () => {
    ir.loop(() => {
      const now = ir.get(left);
      const k = ir.i32.ctz(now);
      ir.store('i32.store8', ir.i64.add(address, ir.i64.extend_i32_u(k)), ir.stateLoad('i32.load8_u', STATE.scratch, k));
      const rest = ir.i32.and(now, ir.i32.sub(now, ir.const32(1)));
      ir.set(left, rest);
      return rest;
    });
  });
}
instruction('maskmovdqu', SSE2, [enc('66 0F F7 /r', r(Vdq), r(Udq))], (x, a, b) => maskedStore(x, x.readVector(a), x.readVector(b)));
instruction('maskmovq', SSE, [enc('NP 0F F7 /r', r(Pq), r(Nq))], (x, a, b) => {
  enterMmx(x); // even if the store faults
  maskedStore(x, widenMmx(x.ir, x.readMmx(a)), widenMmx(x.ir, x.readMmx(b)));
});
