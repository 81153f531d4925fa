/**
 * The x87 state in guest memory: FSTENV/FLDENV (28 bytes, or 14 with 66h), FSAVE/FRSTOR (80 bytes more). Layout: SDM
 * volume 1, figures 8-9 and 8-11 (protected mode, which 64-bit mode uses).
 */
import type { Value } from '../../../ir/builder.ts';
import { STATE } from '../cpu-state.ts';
import type { Emitter } from '../emitter.ts';
import type { Operand } from '../operands.ts';
import { CODE_SELECTOR, DATA_SELECTOR, tryCrossing } from './instruction.ts';
import { FULL_TAGS, LOAD_CONTROL, LOAD_STATUS, LOAD_TAGS, statusWord } from './state.ts';

/** Bytes of the environment: what precedes the registers in an FSAVE image. */
const size = (x: Emitter): number => (x.insn.opSize === 16 ? 14 : 28);

/** Store the environment; `more` bytes will follow it. */
export function storeEnvironment(x: Emitter, m: Operand, more = 0): void {
  const { ir } = x;
  tryCrossing(x, m, size(x) + more);
  const control = ir.stateLoad('i32.load', STATE.x87Control);
  const [tags] = ir.call(FULL_TAGS, []) as [Value];
  const word = (at: number): Value => ir.stateLoad('i32.load', at);
  const words = [control, statusWord(ir), tags];
  if (x.insn.opSize === 16) {
    const all = [...words, word(STATE.x87Ip), word(CODE_SELECTOR), word(STATE.x87Dp), word(DATA_SELECTOR)];
    all.forEach((v, i) => x.store(m, 'i32.store16', v, 2 * i));
    return;
  }
  const high = ir.const32(-0x10000);
  const selector = ir.i32.or(word(CODE_SELECTOR), ir.i32.shl(word(STATE.x87Opcode), ir.const32(16)));
  const all = [...words.map((v) => ir.i32.or(v, high)), word(STATE.x87Ip), selector, word(STATE.x87Dp), ir.i32.or(word(DATA_SELECTOR), high)];
  all.forEach((v, i) => x.store(m, 'i32.store', v, 4 * i));
}

/** Load the environment; `between` may load more before anything is changed, and is given the new TOP afterwards. */
export function loadEnvironment(x: Emitter, m: Operand, between?: () => (top: Value) => void): void {
  const { ir } = x;
  const c = (n: number): Value => ir.const32(n);
  const narrow = x.insn.opSize === 16;
  const [control, status, tags, ip, cs, dp, ds] = Array.from({ length: 7 }, (_, i) => (narrow ? x.load(m, 'i32.load16_u', 2 * i) : x.load(m, 'i32.load', 4 * i))) as [Value, Value, Value, Value, Value, Value, Value];
  const finish = between?.();
  const low = (v: Value): Value => ir.i32.and(v, c(0xffff));
  ir.stateStore('i64.store', STATE.x87Ip, ir.i64.extend_i32_u(ip));
  ir.stateStore('i64.store', STATE.x87Dp, ir.i64.extend_i32_u(dp));
  ir.stateStore('i32.store', CODE_SELECTOR, low(cs));
  ir.stateStore('i32.store', DATA_SELECTOR, low(ds));
  // The short form does not hold the opcode; it becomes 0.
  ir.stateStore('i32.store', STATE.x87Opcode, narrow ? c(0) : ir.i32.and(ir.i32.shr_u(cs, c(16)), c(0x7ff)));
  const top = ir.i32.and(ir.i32.shr_u(status, c(11)), c(7));
  ir.stateStore('i32.store', STATE.x87Top, top);
  ir.call(LOAD_TAGS, [low(tags)]);
  ir.stateStore('i32.store', STATE.x87Status, ir.i32.and(status, c(0x477f)));
  ir.call(LOAD_CONTROL, [low(control)]);
  finish?.(top);
}

/** FSAVE: environment and ST(0)…ST(7); the caller initialises. */
export function storeState(x: Emitter, m: Operand): void {
  const { ir } = x;
  storeEnvironment(x, m, 80);
  const top = ir.stateLoad('i32.load', STATE.x87Top);
  for (let i = 0; i < 8; i++) {
    const at = slot(x, top, i);
    x.store(m, 'i64.store', ir.stateLoad('i64.load', STATE.x87, at), size(x) + 10 * i);
    x.store(m, 'i32.store16', ir.stateLoad('i32.load16_u', STATE.x87 + 8, at), size(x) + 10 * i + 8);
  }
}
export function loadState(x: Emitter, m: Operand): void {
  const { ir } = x;
  loadEnvironment(x, m, () => {
    const values = Array.from({ length: 8 }, (_, i): [Value, Value] => [x.load(m, 'i64.load', size(x) + 10 * i), x.load(m, 'i32.load16_u', size(x) + 10 * i + 8)]);
    return (top) =>
      values.forEach(([sig, se], i) => {
        const at = slot(x, top, i);
        ir.stateStore('i64.store', STATE.x87, sig, at);
        ir.stateStore('i32.store16', STATE.x87 + 8, se, at);
      });
  });
}
const slot = (x: Emitter, top: Value, i: number): Value => x.ir.i32.shl(x.ir.i32.and(x.ir.i32.add(top, x.ir.const32(i)), x.ir.const32(7)), x.ir.const32(4));

/** FNSTENV masks every exception afterwards; what was pending is so no more. */
export function maskAll(x: Emitter): void {
  const { ir } = x;
  ir.stateStore('i32.store', STATE.x87Control, ir.i32.or(ir.stateLoad('i32.load', STATE.x87Control), ir.const32(0x3f)));
  ir.call(LOAD_STATUS, [ir.stateLoad('i32.load', STATE.x87Status)]);
}
