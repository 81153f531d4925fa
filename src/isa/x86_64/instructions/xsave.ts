/**
 * XSAVE, XSAVEOPT, XSAVEC, XRSTOR and XGETBV (SDM volume 1, chapter 13). The area: the FXSAVE image, a header of 64 bytes
 * (XSTATE_BV, XCOMP_BV, zeros), the upper halves of ymm0–15; these follow the header in the compacted form too, being the
 * first component beyond it.
 *
 * Which components are in their initial configuration (XINUSE) the processor may judge as it likes; ours: x87 by its
 * contents, SSE never, AVX if no upper half holds anything. The modified optimisation of XSAVEOPT is not made use of.
 */
import type { Value } from '../../../ir/builder.ts';
import { INITIAL, MXCSR, RAX, RDX, STATE, XMM, YMM_HIGH } from '../cpu-state.ts';
import { cpuModel } from '../cpuid.ts';
import { enc, type InstructionOptions, instruction, type Semantics } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { Mstate, type Operand, r, rw, w } from '../operands.ts';
import { zero } from '../simd/integer.ts';
import { TRAP } from '../traps.ts';
import { CODE_SELECTOR, DATA_SELECTOR } from '../x87/instruction.ts';
import { AREA, checkMxcsr, exactIfChanged, loadX87, loadXmms, storeMxcsrPair, storeX87, storeXmms } from './sse-state.ts';

const XSAVE: InstructionOptions = { group: 'xsave', cpuid: 'xsave' };
const X87 = 1, SSE = 2, AVX = 4;
const XSTATE_BV = 512;
const XCOMP_BV = 520;
const UPPER_HALVES = 576;
const UPPER_SIZE = 256;

/** What is both asked for (eax) and there. */
const requested = (x: Emitter): Value => x.ir.i32.and(x.gpr(0, 32), x.ir.const32(cpuModel.xcr0));
/** Emit `body` for a component, if the model has it, under the condition that its bit is in `bits`. */
function ifComponent(x: Emitter, bits: Value, component: number, body: () => void, otherwise?: () => void): void {
  if ((cpuModel.xcr0 & component) !== 0) x.ir.if(x.ir.i32.and(bits, x.ir.const32(component)), body, otherwise);
}

function inUse(x: Emitter): Value {
  const { ir } = x;
  const anything = (v: Value): Value => ir.v128.any_true(v);
  const any = (values: Value[]): Value => anything(values.reduce((a, b) => ir.v128.or(a, b)));
  const state = (offset: number): Value => ir.stateLoad('i32.load', offset);
  const registers = any(Array.from({ length: 8 }, (_, k) => ir.stateLoad('v128.load', STATE.x87 + 16 * k)));
  const words = [ir.i32.xor(state(STATE.x87Control), ir.const32(INITIAL.x87Control)), state(STATE.x87Status), state(STATE.x87Tag), state(STATE.x87Top), state(STATE.x87Opcode)].reduce((a, b) => ir.i32.or(a, b));
  const pointers = ir.i64.or(ir.stateLoad('i64.load', STATE.x87Ip), ir.stateLoad('i64.load', STATE.x87Dp));
  const x87 = ir.i32.or(ir.i32.or(registers, ir.i32.ne(words, ir.const32(0))), ir.i64.ne(pointers, ir.const64(0)));
  const bits = ir.i32.or(x87, ir.const32(SSE));
  if ((cpuModel.xcr0 & AVX) === 0) return bits;
  return ir.i32.or(bits, ir.i32.shl(any(YMM_HIGH.map((v) => ir.get(v))), ir.const32(2)));
}

function probe(x: Emitter, d: Operand, bits: Value): void {
  const { ir } = x;
  x.checkAligned(d, 64);
  x.probeWrite(d, UPPER_HALVES);
  ifComponent(x, bits, AVX, () => ir.probeWrite(x.address(d), UPPER_SIZE, UPPER_HALVES));
}
const storeUpper = (x: Emitter, d: Operand): void => {
  for (let n = 0; n < 16; n++) x.store(d, 'v128.store', x.ymmHigh(n), UPPER_HALVES + 16 * n);
};

/** `optimised`: components in their initial configuration are left out. */
const save = (optimised: boolean): Semantics => (x, d) => {
  const { ir } = x;
  const asked = requested(x);
  probe(x, d, asked);
  const present = ir.i32.and(asked, inUse(x));
  const written = optimised ? present : asked;
  const old = x.load(d, 'i64.load', XSTATE_BV);
  const kept = ir.i64.and(old, ir.i64.xor(ir.i64.extend_i32_u(asked), ir.const64(-1)));
  ifComponent(x, written, X87, () => storeX87(x, d));
  ifComponent(x, asked, SSE | AVX, () => storeMxcsrPair(x, d));
  ifComponent(x, written, SSE, () => storeXmms(x, d));
  ifComponent(x, written, AVX, () => storeUpper(x, d));
  x.store(d, 'i64.store', ir.i64.or(kept, ir.i64.extend_i32_u(present)), XSTATE_BV);
};
const saveCompacted: Semantics = (x, d) => {
  const { ir } = x;
  const asked = requested(x);
  probe(x, d, asked);
  const present = ir.i32.and(asked, inUse(x));
  ifComponent(x, present, X87, () => storeX87(x, d));
  ifComponent(x, present, SSE, () => {
    storeMxcsrPair(x, d);
    storeXmms(x, d);
  });
  ifComponent(x, present, AVX, () => storeUpper(x, d));
  x.store(d, 'i64.store', ir.i64.extend_i32_u(present), XSTATE_BV);
  x.store(d, 'i64.store', ir.i64.or(ir.i64.extend_i32_u(asked), ir.const64(1n << 63n)), XCOMP_BV);
};

function initialX87({ ir }: Emitter): void {
  ir.stateStore('i32.store', STATE.x87Control, ir.const32(INITIAL.x87Control));
  for (const at of [STATE.x87Status, STATE.x87Tag, STATE.x87Top, STATE.x87Opcode, CODE_SELECTOR, DATA_SELECTOR]) ir.stateStore('i32.store', at, ir.const32(0));
  for (const at of [STATE.x87Ip, STATE.x87Dp]) ir.stateStore('i64.store', at, ir.const64(0));
  for (let k = 0; k < 8; k++) ir.stateStore('v128.store', STATE.x87 + 16 * k, zero(ir));
}

const restore: Semantics = (x, s) => {
  const { ir } = x;
  const { i64, i32 } = ir;
  x.checkAligned(s, 64);
  const asked = requested(x);
  const header = x.load(s, 'i64.load', XSTATE_BV);
  const format = x.load(s, 'i64.load', XCOMP_BV);
  const zeros = [16, 24, 32, 40, 48, 56].map((at) => x.load(s, 'i64.load', XSTATE_BV + at)).reduce((a, b) => i64.or(a, b));
  // pages that cannot be read fault before anything is changed
  ir.set(ir.temp('i32'), x.load(s, 'i32.load8_u'));
  ifComponent(x, asked, AVX, () => ir.set(ir.temp('i32'), x.load(s, 'i32.load8_u', UPPER_HALVES + UPPER_SIZE - 1)));
  const compacted = i64.lt_s(format, ir.const64(0));
  const unknown = ir.const64(~BigInt(cpuModel.xcr0));
  const formatBits = i64.and(format, ir.const64((1n << 63n) - 1n));
  const bad = (v: Value): Value => i64.ne(v, ir.const64(0));
  // of the header's last 48 bytes the processor wants the first eight clear, in the compacted form all
  const standardRest = x.load(s, 'i64.load', XSTATE_BV + 16);
  const wrong = ir.select(
    compacted,
    i32.or(bad(i64.and(formatBits, unknown)), i32.or(bad(i64.and(header, i64.xor(formatBits, ir.const64(-1)))), bad(zeros))),
    i32.or(bad(i64.or(format, standardRest)), bad(i64.and(header, unknown))),
  );
  x.trapIf(wrong, TRAP.protection);
  const present = i32.wrap_i64(header);
  // MXCSR: in the standard form with SSE or AVX, whatever XSTATE_BV says; in the compacted one it is part of SSE
  const mxcsr = x.load(s, 'i32.load', AREA.mxcsr);
  const loaded = ir.select(compacted, i32.and(i32.and(asked, present), ir.const32(SSE)), i32.and(asked, ir.const32(SSE | AVX)));
  ir.if(loaded, () => checkMxcsr(x, mxcsr));
  const initial = i32.and(i32.and(compacted, i32.ne(i32.and(asked, ir.const32(SSE)), ir.const32(0))), i32.eqz(i32.and(present, ir.const32(SSE))));
  const next = ir.select(loaded, mxcsr, ir.select(initial, ir.const32(INITIAL.mxcsr), ir.get(MXCSR)));
  exactIfChanged(x, next);
  ir.set(MXCSR, next);
  ifComponent(x, asked, X87, () => ifComponent(x, present, X87, () => loadX87(x, s)(), () => initialX87(x)));
  ifComponent(x, asked, SSE, () => ifComponent(x, present, SSE, () => loadXmms(x, s)(), () => {
    for (const v of XMM) ir.set(v, zero(ir));
  }));
  ifComponent(x, asked, AVX, () => ifComponent(x, present, AVX, () => {
    const upper = YMM_HIGH.map((_, n) => x.load(s, 'v128.load', UPPER_HALVES + 16 * n));
    for (const [n, v] of upper.entries()) x.setYmmHigh(n, v);
  }, () => {
    for (let n = 0; n < 16; n++) x.clearYmmHigh(n);
  }));
};

for (const [suffix, rex] of [['', 'REX.W0'], ['64', 'REX.W']] as const) {
  instruction(`xsave${suffix}`, XSAVE, [enc(`NP ${rex} 0F AE /4`, rw(Mstate))], save(false));
  instruction(`xrstor${suffix}`, XSAVE, [enc(`NP ${rex} 0F AE /5`, r(Mstate))], restore);
  instruction(`xsaveopt${suffix}`, { group: 'xsave', cpuid: 'xsaveopt' }, [enc(`NP ${rex} 0F AE /6`, rw(Mstate))], save(true));
  instruction(`xsavec${suffix}`, { group: 'xsave', cpuid: 'xsavec' }, [enc(`NP ${rex} 0F C7 /4`, w(Mstate))], saveCompacted);
  const denied: Semantics = (x) => x.trap(TRAP.protection);
  instruction(`xsaves${suffix}`, { flow: 'stop' }, [enc(`NP ${rex} 0F C7 /5`, w(Mstate))], denied);
  instruction(`xrstors${suffix}`, { flow: 'stop' }, [enc(`NP ${rex} 0F C7 /3`, r(Mstate))], denied);
}

// ecx 0: XCR0; 1, with the feature of that name: which of its components are in use
instruction('xgetbv', { cpuid: 'osxsave', untestable: 'tells about us, not the host' }, [enc('NP 0F 01 D0')], (x) => {
  const { ir } = x;
  const which = x.gpr(1, 32);
  x.trapIf(ir.i32.gt_u(which, ir.const32(cpuModel.has('xgetbv1') ? 1 : 0)), TRAP.protection);
  const xcr0 = ir.const32(cpuModel.xcr0);
  const value = cpuModel.has('xgetbv1') ? ir.select(which, ir.i32.and(inUse(x), xcr0), xcr0) : xcr0;
  ir.set(RAX, ir.i64.extend_i32_u(value));
  ir.set(RDX, ir.const64(0));
});
