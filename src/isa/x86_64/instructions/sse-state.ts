/**
 * MXCSR and the legacy save area: LDMXCSR STMXCSR FXSAVE FXRSTOR.
 *
 * In plain floating point (simd/float-environment.ts) whatever changes MXCSR, or reads it for its flags, puts the process
 * into exact floating point. MXCSR reads back what was written, reserved bits raise #GP. Layout of the 512-byte area: SDM volume 1, table 10-2.
 */
import type { Value } from '../../../ir/builder.ts';
import type { LoadName, StoreName } from '../../../ir/ops.ts';
import { MXCSR, STATE, XMM } from '../cpu-state.ts';
import { enc, instruction, type InstructionOptions, type Semantics } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { Md, Mstate, type Operand, r, w } from '../operands.ts';
import { TRAP } from '../traps.ts';
import { CODE_SELECTOR, DATA_SELECTOR } from '../x87/instruction.ts';

const SSE: InstructionOptions = { group: 'sse', cpuid: 'sse' };
const FXSR: InstructionOptions = { group: 'fxsr', cpuid: 'fxsr' };
/** Bits of MXCSR that exist: flags, DAZ, masks, RC, FTZ. Also what FXSAVE stores as MXCSR_MASK. */
export const MXCSR_MASK = 0xffff;

export const checkMxcsr = (x: Emitter, v: Value): void => x.trapIf(x.ir.i32.and(v, x.ir.const32(~MXCSR_MASK)), TRAP.protection);

/** In plain mode: whoever gives MXCSR another value wants it to mean something from here on. */
export function exactIfChanged(x: Emitter, mxcsr: Value): void {
  if (!x.float.exact) x.trapIf(x.ir.i32.ne(mxcsr, x.ir.get(MXCSR)), TRAP.exactFloat);
}
export const loadMxcsr: Semantics = (x, s) => {
  // also the value it has: that may be how flags are cleared
  if (!x.float.exact) x.trapIf(x.ir.const32(1), TRAP.exactFloat);
  const v = x.read(s);
  checkMxcsr(x, v);
  x.ir.set(MXCSR, v);
};
export const storeMxcsr: Semantics = (x, d) => {
  if (!x.float.exact && !x.insn.controlOnly) x.trapIf(x.ir.const32(1), TRAP.exactFloat);
  x.write(d, x.ir.get(MXCSR));
};
instruction('ldmxcsr', SSE, [enc('NP 0F AE /2', r(Md))], loadMxcsr);
instruction('stmxcsr', SSE, [enc('NP 0F AE /3', w(Md))], storeMxcsr);

/** Offsets in the area. */
export const AREA = { control: 0, status: 2, tag: 4, opcode: 6, ip: 8, dp: 16, mxcsr: 24, mxcsrMask: 28, st: 32, xmm: 160 } as const;

/** State address of ST(i): the physical register (TOP + i) & 7; an i32 to add to STATE.x87. */
const stAddress = (x: Emitter, top: Value, i: number): Value => {
  const { i32, const32 } = { i32: x.ir.i32, const32: (n: number): Value => x.ir.const32(n) };
  return i32.shl(i32.and(i32.add(top, const32(i)), const32(7)), const32(4));
};

/** The x87 part: control words, pointers, ST0–ST7. */
export function storeX87(x: Emitter, d: Operand): void {
  const { ir } = x;
  const put = (name: StoreName, offset: number, v: Value): void => x.store(d, name, v, offset);
  const top = ir.stateLoad('i32.load', STATE.x87Top);
  put('i32.store16', AREA.control, ir.stateLoad('i32.load', STATE.x87Control));
  put('i32.store16', AREA.status, ir.i32.or(ir.stateLoad('i32.load', STATE.x87Status), ir.i32.shl(top, ir.const32(11))));
  put('i32.store16', AREA.tag, ir.stateLoad('i32.load', STATE.x87Tag));
  // As AMD's processors: what the last instruction was is told only while an exception is pending
  const pending = ir.i32.and(ir.stateLoad('i32.load', STATE.x87Status), ir.const32(0x80));
  put('i32.store16', AREA.opcode, ir.select(pending, ir.stateLoad('i32.load', STATE.x87Opcode), ir.const32(0)));
  // without REX.W: 32-bit offsets, then selectors
  const pointer = (offset: number, selector: number): Value => {
    const v = ir.stateLoad('i64.load', offset);
    const short = (): Value => ir.i64.or(ir.i64.and(v, ir.const64(0xffff_ffff)), ir.i64.shl(ir.stateLoad('i64.load16_u', selector), ir.const64(32)));
    return ir.select(pending, x.insn.w ? v : short(), ir.const64(0));
  };
  put('i64.store', AREA.ip, pointer(STATE.x87Ip, CODE_SELECTOR));
  put('i64.store', AREA.dp, pointer(STATE.x87Dp, DATA_SELECTOR));
  for (let i = 0; i < 8; i++) {
    const at = stAddress(x, top, i);
    put('i64.store', AREA.st + 16 * i, ir.stateLoad('i64.load', STATE.x87, at));
    put('i64.store', AREA.st + 16 * i + 8, ir.stateLoad('i64.load16_u', STATE.x87 + 8, at));
  }
}
export function storeMxcsrPair(x: Emitter, d: Operand): void {
  x.store(d, 'i32.store', x.ir.get(MXCSR), AREA.mxcsr);
  x.store(d, 'i32.store', x.ir.const32(MXCSR_MASK), AREA.mxcsrMask);
}
export function storeXmms(x: Emitter, d: Operand): void {
  for (let i = 0; i < 16; i++) x.store(d, 'v128.store', x.xmm(i), AREA.xmm + 16 * i);
}
const fxsave: Semantics = (x, d) => {
  x.checkAligned(d, 16);
  x.probeWrite(d, 512);
  storeX87(x, d);
  storeMxcsrPair(x, d);
  storeXmms(x, d);
};

/** Loads the x87 part; what is returned changes the registers. */
export function loadX87(x: Emitter, s: Operand): () => void {
  const { ir } = x;
  const take = (name: LoadName, offset: number): Value => x.load(s, name, offset);
  const control = take('i32.load16_u', AREA.control);
  const status = take('i32.load16_u', AREA.status);
  const tag = take('i32.load8_u', AREA.tag);
  const opcode = take('i32.load16_u', AREA.opcode);
  const ip = x.insn.w ? take('i64.load', AREA.ip) : take('i64.load32_u', AREA.ip);
  const dp = x.insn.w ? take('i64.load', AREA.dp) : take('i64.load32_u', AREA.dp);
  const selectors = [AREA.ip, AREA.dp].map((at) => (x.insn.w ? ir.const32(0) : take('i32.load16_u', at + 4)));
  const st = Array.from({ length: 8 }, (_, i) => [take('i64.load', AREA.st + 16 * i), take('i32.load16_u', AREA.st + 16 * i + 8)] as const);
  const top = ir.i32.and(ir.i32.shr_u(status, ir.const32(11)), ir.const32(7));
  const usableControl = ir.i32.or(ir.i32.and(control, ir.const32(0x1f7f)), ir.const32(0x40));
  // ES and B do not come from memory: they say whether an exception is pending that the control word does not mask
  const pending = ir.i32.and(ir.i32.and(status, ir.i32.xor(usableControl, ir.const32(-1))), ir.const32(0x3f));
  const summary = ir.select(pending, ir.const32(0x8080), ir.const32(0));
  return () => {
    ir.stateStore('i32.store', STATE.x87Control, usableControl);
    ir.stateStore('i32.store', STATE.x87Status, ir.i32.or(ir.i32.and(status, ir.const32(0x477f)), summary));
    ir.stateStore('i32.store', STATE.x87Top, top);
    ir.stateStore('i32.store', STATE.x87Tag, tag);
    ir.stateStore('i32.store', STATE.x87Opcode, ir.i32.and(opcode, ir.const32(0x7ff)));
    ir.stateStore('i64.store', STATE.x87Ip, ip);
    ir.stateStore('i64.store', STATE.x87Dp, dp);
    ir.stateStore('i32.store', CODE_SELECTOR, selectors[0] as Value);
    ir.stateStore('i32.store', DATA_SELECTOR, selectors[1] as Value);
    st.forEach(([significand, exponent], i) => {
      const at = stAddress(x, top, i);
      ir.stateStore('i64.store', STATE.x87, significand, at);
      ir.stateStore('i32.store16', STATE.x87 + 8, exponent, at);
    });
  };
}
export function loadXmms(x: Emitter, s: Operand): () => void {
  const xmm = Array.from({ length: 16 }, (_, i) => x.load(s, 'v128.load', AREA.xmm + 16 * i));
  return () => xmm.forEach((v, i) => x.ir.set(XMM[i] as (typeof XMM)[number], v));
}
const fxrstor: Semantics = (x, s) => {
  x.checkAligned(s, 16);
  const mxcsr = x.load(s, 'i32.load', AREA.mxcsr);
  checkMxcsr(x, mxcsr);
  exactIfChanged(x, mxcsr);
  // every load before the first change
  const changes = [loadX87(x, s), loadXmms(x, s)];
  for (const change of changes) change();
  x.ir.set(MXCSR, mxcsr);
};
instruction('fxsave', FXSR, [enc('NP REX.W0 0F AE /0', w(Mstate))], fxsave);
instruction('fxsave64', FXSR, [enc('NP REX.W 0F AE /0', w(Mstate))], fxsave);
instruction('fxrstor', FXSR, [enc('NP REX.W0 0F AE /1', r(Mstate))], fxrstor);
instruction('fxrstor64', FXSR, [enc('NP REX.W 0F AE /1', r(Mstate))], fxrstor);
