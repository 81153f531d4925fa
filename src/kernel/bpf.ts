/**
 * Classic BPF as seccomp(2) has it: the checks a program must pass, and its execution over a call's struct
 * seccomp_data. A program is its instructions as the kernel has them (struct sock_filter, 8 bytes each).
 *
 * Invariant: a program that `checkProgram` has passed ends, and reads nothing but the data and what it stored itself.
 */

/** Bytes of struct sock_filter. */
export const INSTRUCTION = 8;
/** BPF_MAXINSNS. */
export const MAX_INSTRUCTIONS = 4096;
/** Words of struct seccomp_data: nr, arch, instruction pointer, six arguments. */
export const DATA_WORDS = 16;
const DATA_BYTES = 4 * DATA_WORDS;
const MEMORY_WORDS = 16;

// Instruction classes, operations and modes (linux/bpf_common.h).
const LD = 0x00;
const LDX = 0x01;
const ST = 0x02;
const STX = 0x03;
const ALU = 0x04;
const JMP = 0x05;
const RET = 0x06;
const MISC = 0x07;
const X = 0x08;
const IMM = 0x00;
const ABS = 0x20;
const MEM = 0x60;
const LEN = 0x80;
const A = 0x10;
const TAX = 0x00;
const TXA = 0x80;
const ADD = 0x00;
const SUB = 0x10;
const MUL = 0x20;
const DIV = 0x30;
const OR = 0x40;
const AND = 0x50;
const LSH = 0x60;
const RSH = 0x70;
const NEG = 0x80;
const XOR = 0xa0;
const JA = 0x00;
const JEQ = 0x10;
const JGT = 0x20;
const JGE = 0x30;
const JSET = 0x40;

/** What seccomp_check_filter() lets through. */
const known: ReadonlySet<number> = new Set([
  LD | ABS, LD | LEN, LDX | LEN, LD | IMM, LDX | IMM, LD | MEM, LDX | MEM, ST, STX, RET, RET | A, MISC | TAX, MISC | TXA, ALU | NEG,
  JMP | JA,
  ...[ADD, SUB, MUL, DIV, AND, OR, XOR, LSH, RSH].flatMap((op) => [ALU | op, ALU | op | X]),
  ...[JEQ, JGE, JGT, JSET].flatMap((op) => [JMP | op, JMP | op | X]),
]);

/** A checked program: code, jump distances and constant of each instruction. */
export interface Program {
  readonly code: Uint16Array;
  readonly jt: Uint8Array;
  readonly jf: Uint8Array;
  readonly k: Uint32Array;
}

/** bpf_check_classic() and seccomp_check_filter(). Undefined: the kernel answers EINVAL. */
export function checkProgram(instructions: Uint8Array): Program | undefined {
  const length = instructions.length / INSTRUCTION;
  const view = new DataView(instructions.buffer, instructions.byteOffset, instructions.byteLength);
  const program = { code: new Uint16Array(length), jt: new Uint8Array(length), jf: new Uint8Array(length), k: new Uint32Array(length) };
  for (let pc = 0; pc < length; pc++) {
    const code = view.getUint16(pc * INSTRUCTION, true);
    const jt = view.getUint8(pc * INSTRUCTION + 2);
    const jf = view.getUint8(pc * INSTRUCTION + 3);
    const k = view.getUint32(pc * INSTRUCTION + 4, true);
    if (!known.has(code) || !fits(code, jt, jf, k, length - pc - 1)) return undefined;
    program.code[pc] = code;
    program.jt[pc] = jt;
    program.jf[pc] = jf;
    program.k[pc] = k;
  }
  const last = program.code[length - 1];
  if (last !== RET && last !== (RET | A)) return undefined;
  return storesBeforeLoads(program) ? program : undefined;
}

/** The checks of one instruction; `left`: how many follow it. */
function fits(code: number, jt: number, jf: number, k: number, left: number): boolean {
  switch (code) {
    case ALU | DIV:
      return k !== 0;
    case ALU | LSH:
    case ALU | RSH:
      return k < 32;
    case LD | MEM:
    case LDX | MEM:
    case ST:
    case STX:
      return k < MEMORY_WORDS;
    case LD | ABS:
      return k < DATA_BYTES && (k & 3) === 0;
    case JMP | JA:
      return k < left;
    default:
      return (code & 7) !== JMP || (jt < left && jf < left);
  }
}

/** check_load_and_stores(): on no way to a load of scratch memory is the store missing. */
function storesBeforeLoads({ code, jt, jf, k }: Program): boolean {
  const masks = new Uint16Array(code.length).fill(0xffff);
  const meet = (pc: number, mask: number): void => {
    masks[pc] = (masks[pc] as number) & mask;
  };
  let valid = 0;
  for (let pc = 0; pc < code.length; pc++) {
    valid &= masks[pc] as number;
    const op = code[pc] as number;
    const bit = 1 << ((k[pc] as number) & 15);
    if (op === ST || op === STX) valid |= bit;
    else if (op === (LD | MEM) || op === (LDX | MEM)) {
      if ((valid & bit) === 0) return false;
    } else if (op === (JMP | JA)) {
      meet(pc + 1 + (k[pc] as number), valid);
      valid = 0xffff;
    } else if ((op & 7) === JMP) {
      meet(pc + 1 + (jt[pc] as number), valid);
      meet(pc + 1 + (jf[pc] as number), valid);
      valid = 0xffff;
    }
  }
  return true;
}

/** Instructions of the kernel's own that a program becomes (bpf_convert_filter): by these the kernel counts. */
export function convertedLength({ code, jt, jf, k }: Program): number {
  let length = 3;
  for (let pc = 0; pc < code.length; pc++) {
    const op = code[pc] as number;
    if (op === RET) length += 2;
    else if (op === (ALU | DIV | X)) length += 5;
    else if ((op & 7) === JMP && op !== (JMP | JA)) {
      const widened = (op & X) === 0 && (k[pc] as number) > 0x7fff_ffff ? 1 : 0;
      const direct = jf[pc] === 0 || (jt[pc] === 0 && (op & 0xf0) !== JSET);
      length += widened + (direct ? 1 : 2);
    } else length += 1;
  }
  return length;
}

function alu(op: number, a: number, b: number): number {
  switch (op) {
    case ADD:
      return (a + b) >>> 0;
    case SUB:
      return (a - b) >>> 0;
    case MUL:
      return Math.imul(a, b) >>> 0;
    case DIV:
      return Math.floor(a / b);
    case OR:
      return (a | b) >>> 0;
    case AND:
      return (a & b) >>> 0;
    case XOR:
      return (a ^ b) >>> 0;
    case LSH:
      return (a << (b & 31)) >>> 0;
    case RSH:
      return a >>> (b & 31);
    default:
      return -a >>> 0; // NEG
  }
}

function holds(op: number, a: number, b: number): boolean {
  switch (op) {
    case JEQ:
      return a === b;
    case JGT:
      return a > b;
    case JGE:
      return a >= b;
    default:
      return (a & b) !== 0; // JSET
  }
}

const memory = new Uint32Array(MEMORY_WORDS);

/** The program's result for a call: action and data, 32 bits. A division by zero ends it with 0. */
export function runProgram({ code, jt, jf, k: constants }: Program, data: Uint32Array): number {
  let a = 0;
  let x = 0;
  for (let pc = 0; ; pc++) {
    const op = code[pc] as number;
    const k = constants[pc] as number;
    switch (op & 7) {
      case LD:
        a = op === (LD | ABS) ? (data[k >> 2] as number) : op === (LD | MEM) ? (memory[k] as number) : op === LD ? k : DATA_BYTES;
        break;
      case LDX:
        x = op === (LDX | MEM) ? (memory[k] as number) : op === LDX ? k : DATA_BYTES;
        break;
      case ST:
        memory[k] = a;
        break;
      case STX:
        memory[k] = x;
        break;
      case ALU: {
        const b = (op & X) !== 0 ? x : k;
        if (b === 0 && (op & 0xf0) === DIV) return 0;
        a = alu(op & 0xf0, a, b);
        break;
      }
      case JMP:
        if (op === (JMP | JA)) pc += k;
        else pc += (holds(op & 0xf0, a, (op & X) !== 0 ? x : k) ? jt[pc] : jf[pc]) as number;
        break;
      case RET:
        return op === RET ? k : a;
      default:
        if (op === (MISC | TAX)) x = a;
        else a = x;
    }
  }
}

/**
 * The result where number and architecture of the call decide it alone, by instructions that are easily followed (the kernel's
 * seccomp_is_const_allow); undefined where they do not.
 */
export function constantResult({ code, jt, jf, k: constants }: Program, nr: number, arch: number): number | undefined {
  let a = 0;
  for (let pc = 0; ; pc++) {
    const op = code[pc] as number;
    const k = constants[pc] as number;
    if (op === (LD | ABS) && k < 8) a = k === 0 ? nr >>> 0 : arch >>> 0;
    else if (op === (ALU | AND)) a = (a & k) >>> 0;
    else if (op === (JMP | JA)) pc += k;
    else if ((op & 7) === JMP && (op & X) === 0) pc += (holds(op & 0xf0, a, k) ? jt[pc] : jf[pc]) as number;
    else return op === RET ? k : undefined;
  }
}
