/** One decoded instruction: the row it matched and every field its operands need, as plain numbers. */
import type { Flow, Instruction } from '../../ir/frontend.ts';
import type { Encoding } from './declare.ts';

/** `base` of a RIP-relative operand. `disp` is then relative to the next instruction. */
export const BASE_RIP = 16;

export class Insn implements Instruction {
  pc = 0;
  length = 0;
  flow: Flow = 'next';
  target = -1;
  readonly enc: Encoding;
  /** Effective size in bits of a `v` operand: 16, 32 or 64. */
  opSize: number = 32;
  /** 32 with the 67h prefix, else 64. */
  addrSize: number = 64;
  /** The REX byte (with VEX: an equivalent), 0 if none. Present, even as 40h, it turns ah…bh into spl…dil. */
  rex = 0;
  /** ModRM, SIB and displacement, -1 where there is none. */
  modrm = -1;
  /** ModRM.reg with REX.R, ModRM.rm with REX.B, and the low opcode bits with REX.B. */
  reg = 0;
  rm = 0;
  opcodeReg = 0;
  /** True if ModRM.rm names memory. */
  memory = false;
  base = -1;
  /** General register, or with VSIB a vector register. */
  index = -1;
  /** Shift, 0…3. */
  scale = 0;
  /** Sign-extended 32-bit displacement. */
  disp = 0;
  /** Segment override in effect: 4 (fs), 5 (gs), or -1; es cs ss ds have no effect in 64-bit mode. */
  segment = -1;
  lock = false;
  /** Last of the prefixes F2h/F3h, or 0; whether or not it selected the row. */
  rep = 0;
  operandPrefix = false;
  /** Immediate: low 32 bits signed (Ib: 0…255 when unsigned), high word of a 64-bit one, second immediate (enter, extrq). */
  imm = 0;
  immHigh = 0;
  imm2 = 0;
  /** STMXCSR: the code after it wants the control bits only (mxcsr-use.ts). */
  controlOnly = false;
  /** VEX fields: vvvv as a register number, L (0, 1). */
  vvvv = 0;
  vexL = 0;
  /** Index in the code where each field of the encoding starts, for tests and tools. */
  constructor(enc: Encoding) {
    this.enc = enc;
  }
  get w(): boolean {
    return (this.rex & 8) !== 0;
  }
}
