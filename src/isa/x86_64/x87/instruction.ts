/**
 * What every x87 instruction does around its meaning: #MF for a pending exception, the last-instruction pointers.
 */
import type { Builder, Value } from '../../../ir/builder.ts';
import { INITIAL, STATE } from '../cpu-state.ts';
import type { Emitter } from '../emitter.ts';
import type { Operand } from '../operands.ts';
import { TRAP } from '../traps.ts';

/** The selectors that belong to the two pointers (i32 each) lie behind the opcode in state memory. */
export const CODE_SELECTOR = STATE.x87Opcode + 4;
export const DATA_SELECTOR = STATE.x87Opcode + 8;

/** A waiting instruction: a pending unmasked exception traps before anything is done. */
export function wait(x: Emitter): void {
  x.trapIf(x.ir.i32.and(x.ir.stateLoad('i32.load', STATE.x87Status), x.ir.const32(0x80)), TRAP.x87);
}
/**
 * Note this instruction as the last one, and with a memory operand its offset in the segment. Control instructions leave the pointers
 * alone; others call this after everything that can fault.
 */
export function note(x: Emitter, memory?: Operand): void {
  const { ir, insn } = x;
  const opcode = ((insn.enc.opcode.byte & 7) << 8) | insn.modrm;
  ir.stateStore('i64.store', STATE.x87Ip, ir.const64(insn.pc));
  // Opcode and code selector lie side by side.
  ir.stateStore('i64.store', STATE.x87Opcode, ir.const64((BigInt(INITIAL.cs) << 32n) | BigInt(opcode)));
  if (memory !== undefined) {
    ir.stateStore('i64.store', STATE.x87Dp, x.effectiveAddress(memory));
    ir.stateStore('i32.store', DATA_SELECTOR, dataSelector(x));
  }
}
/** Selector of the segment the memory operand goes through: SS for rsp and rbp, DS else, FS or GS if overridden. */
function dataSelector(x: Emitter): Value {
  const { ir, insn } = x;
  if (insn.segment < 0 && (insn.base === 4 || insn.base === 5)) return ir.const32(INITIAL.ss);
  return ir.stateLoad('i32.load', STATE.selectors + 4 * (insn.segment < 0 ? DS : insn.segment));
}
const DS = 3;
/** Fault if the operand's `bytes` cannot be written, and change nothing. */
export function tryStore(x: Emitter, m: Operand, bytes: number): void {
  const { ir } = x;
  const first = x.address(m);
  for (const at of [0, bytes - 1]) ir.atomicRmw('or', 1, ir.i64.add(first, ir.const64(at)), ir.const32(0));
}
/**
 * Call before storing `bytes` (at most a page) in several pieces: where they cross a page border, both pages are tried
 * first, so that a fault leaves memory as it was.
 */
export function tryCrossing(x: Emitter, m: Operand, bytes: number): void {
  const { ir } = x;
  const place = ir.i32.and(ir.i32.wrap_i64(x.address(m)), ir.const32(0xfff));
  ir.if(ir.i32.gt_u(place, ir.const32(0x1000 - bytes)), () => tryStore(x, m, bytes));
}
/** As FNINIT; the registers keep their bytes. */
export function initialise(ir: Builder): void {
  const zero = ir.const32(0);
  ir.stateStore('i32.store', STATE.x87Control, ir.const32(0x37f));
  for (const at of [STATE.x87Status, STATE.x87Tag, STATE.x87Top, STATE.x87Opcode, CODE_SELECTOR, DATA_SELECTOR]) ir.stateStore('i32.store', at, zero);
  ir.stateStore('i64.store', STATE.x87Ip, ir.const64(0));
  ir.stateStore('i64.store', STATE.x87Dp, ir.const64(0));
}
