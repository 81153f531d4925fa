/**
 * Guesses from machine code what a STMXCSR is for. C libraries read MXCSR at every sin() and cos() to see whether the
 * rounding mode is the usual one, and want nothing of the exception flags beside it; such a read need not put the process
 * into exact floating point. Everything else is taken to want the flags.
 *
 * A wrong guess changes when flags begin to be kept, never what a translated operation does.
 */
import type { Insn } from './insn.ts';

export type Decode = (bytes: Uint8Array, at: number, pc: number) => Insn | undefined;

const RSP = 4;
const RBP = 5;
/** Instructions looked at. */
const WINDOW = 40;
const ROUNDING = 0x6000;

export const isStmxcsr = (insn: Insn): boolean => insn.enc.mnemonic === 'stmxcsr' || insn.enc.mnemonic === 'vstmxcsr';
const isLocal = (insn: Insn): boolean => insn.memory && insn.index < 0 && insn.segment < 0 && (insn.base === RSP || insn.base === RBP);
const samePlace = (a: Insn, b: Insn): boolean => b.memory && a.base === b.base && a.disp === b.disp && b.index < 0 && b.segment < 0;

/** Whether an AND with an immediate picks the rounding control, or everything but it. Operands of 8 bits: MXCSR's second byte. */
function picksRounding(insn: Insn): boolean {
  if (insn.enc.mnemonic !== 'and' || insn.enc.opcode.immediates.length === 0) return false;
  const byte = insn.enc.operands[0]?.width === 'b';
  const mask = byte ? (insn.imm << 8) & 0xff00 : insn.imm & 0xffff;
  const whole = byte ? 0xff00 : 0xffff;
  return mask === ROUNDING || mask === (whole & ~ROUNDING);
}
const isAndImmediate = (insn: Insn): boolean => insn.enc.mnemonic === 'and' && insn.enc.opcode.immediates.length > 0;

/** `store`: the STMXCSR, `at` and `pc`: where the next instruction is. */
export function readsControlOnly(decode: Decode, bytes: Uint8Array, at: number, pc: number, store: Insn): boolean {
  // into memory of somebody else's: fegetenv and its like
  if (!isLocal(store)) return false;
  let loaded = false;
  for (let n = 0, offset = 0; n < WINDOW; n++) {
    const insn = decode(bytes, at + offset, pc + offset);
    if (insn === undefined) return false;
    offset += insn.length;
    if (loaded) {
      if (isAndImmediate(insn)) return picksRounding(insn);
    } else if (samePlace(store, insn)) {
      const { mnemonic } = insn.enc;
      // LDMXCSR speaks for itself when it runs
      if (mnemonic === 'ldmxcsr' || mnemonic === 'vldmxcsr') return true;
      if (isAndImmediate(insn)) return picksRounding(insn);
      if (mnemonic !== 'mov') return false;
      // 89h writes the place: the value is thrown away
      if (insn.enc.opcode.byte !== 0x8b) return true;
      loaded = true;
    }
    if (insn.flow === 'ret' || insn.flow === 'jump' || insn.flow === 'indirect' || insn.flow === 'stop') break;
  }
  // stored and, as far as can be seen, never looked at
  return !loaded;
}

/** Whether code holds a STMXCSR (or bytes that look like one) that may want the exception flags. */
export function readsFlags(decode: Decode, code: Uint8Array): boolean {
  const bytes = Buffer.from(code.buffer, code.byteOffset, code.byteLength);
  for (let at = bytes.indexOf(0xae, 1); at >= 0; at = bytes.indexOf(0xae, at + 1)) {
    const modrm = bytes[at + 1] ?? 0xff;
    if (modrm >= 0xc0 || ((modrm >> 3) & 7) !== 3) continue;
    // 0F AE /3, or VEX (C5 F8) AE /3, with a REX prefix or without
    const start = bytes[at - 1] === 0x0f ? at - 1 : bytes[at - 1] === 0xf8 && bytes[at - 2] === 0xc5 ? at - 2 : -1;
    if (start < 0) continue;
    const insn = decode(bytes, start, start);
    if (insn === undefined || !isStmxcsr(insn)) continue;
    if (!readsControlOnly(decode, bytes, start + insn.length, start + insn.length, insn)) return true;
  }
  return false;
}
