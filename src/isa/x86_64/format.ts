/** A decoded instruction as text, Intel syntax. For traces, dumps and failing tests; not for speed. */
import { BASE_RIP, type Insn } from './insn.ts';
import { KIND, type Operand } from './operands.ts';

const R64 = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const R32 = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi', 'r8d', 'r9d', 'r10d', 'r11d', 'r12d', 'r13d', 'r14d', 'r15d'];
const R16 = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di', 'r8w', 'r9w', 'r10w', 'r11w', 'r12w', 'r13w', 'r14w', 'r15w'];
const R8 = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil', 'r8b', 'r9b', 'r10b', 'r11b', 'r12b', 'r13b', 'r14b', 'r15b'];
const HIGH = ['ah', 'ch', 'dh', 'bh'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const SIZES: Readonly<Record<number, string>> = { 8: 'byte', 16: 'word', 32: 'dword', 64: 'qword', 80: 'tbyte', 128: 'xmmword', 256: 'ymmword' };

export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(' ');
}
const hex = (n: number | bigint): string => (n < 0 ? `-0x${(-n).toString(16)}` : `0x${n.toString(16)}`);

/** Name of general register `n` at `size` bits; `rex`: is there a REX prefix (for numbers 4 … 7 of 8 bits). */
export function gprName(n: number, size: number, rex = true): string {
  const names = size === 64 ? R64 : size === 32 ? R32 : size === 16 ? R16 : R8;
  return size === 8 && !rex && n >= 4 && n < 8 ? (HIGH[n - 4] as string) : (names[n] as string);
}

/** Mnemonic with its size suffix, without prefixes. */
export function mnemonic(insn: Insn): string {
  const { options, instruction } = insn.enc;
  const { sized } = options;
  if (sized !== undefined) return insn.opSize === 16 ? sized[0] : insn.opSize === 32 ? sized[1] : sized[2];
  return instruction.name;
}

export function formatInsn(insn: Insn): string {
  const { enc } = insn;
  let text = mnemonic(insn);
  if (enc.options.rep !== undefined && insn.rep !== 0) text = `${insn.rep === 0xf2 ? (enc.options.rep === 'rep' ? 'rep' : 'repne') : enc.options.rep} ${text}`;
  if (insn.lock) text = `lock ${text}`;
  const operands = enc.operands.map((o) => formatOperand(insn, o));
  return operands.length === 0 ? text : `${text} ${operands.join(', ')}`;
}

function operandBits(insn: Insn, o: Operand): number {
  if (o.fixedBits !== 0) return o.fixedBits;
  switch (o.width) {
    case 'v': return insn.opSize;
    case 'z': return insn.opSize === 16 ? 16 : 32;
    case 'y': return insn.w ? 64 : 32;
    case 'x': return insn.vexL === 1 ? 256 : 128;
    default: return 0;
  }
}

function formatOperand(insn: Insn, o: Operand): string {
  const bits = operandBits(insn, o);
  const vector = (n: number): string => `${insn.vexL === 1 && (o.width === 'x' || o.width === 'qq') ? 'ymm' : 'xmm'}${n}`;
  switch (o.kind) {
    case KIND.E: case KIND.R:
      return insn.memory ? memory(insn, bits) : gprName(insn.rm, bits, insn.rex !== 0);
    case KIND.M:
      return memory(insn, bits);
    case KIND.vsib:
      return memory(insn, bits, insn.vexL === 1 && o.code !== 'vm32q' ? 'ymm' : 'xmm');
    case KIND.G:
      return gprName(insn.reg, bits, insn.rex !== 0);
    case KIND.B:
      return gprName(insn.vvvv, bits);
    case KIND.Z:
      return gprName(insn.opcodeReg, bits, insn.rex !== 0);
    case KIND.gpr:
      return gprName(o.index, bits);
    case KIND.I: {
      if (insn.opSize === 64 && o.width === 'v') return hex((BigInt(insn.immHigh >>> 0) << 32n) | BigInt(insn.imm >>> 0));
      if (o === insn.enc.operands[1] && insn.enc.opcode.immediates.length === 2) return hex(insn.imm2);
      return hex(o.signed ? insn.imm : insn.imm >>> 0);
    }
    case KIND.J:
      return hex(insn.target);
    case KIND.O:
      return `${size(bits)}[${segment(insn)}${hex((BigInt(insn.immHigh >>> 0) << 32n) | BigInt(insn.imm >>> 0))}]`;
    case KIND.S:
      return SEGMENTS[insn.reg & 7] ?? `seg${insn.reg & 7}`;
    case KIND.C:
      return `cr${insn.reg}`;
    case KIND.D:
      return `dr${insn.reg}`;
    case KIND.V:
      return vector(insn.reg);
    case KIND.W: case KIND.U:
      return insn.memory ? memory(insn, bits) : vector(insn.rm);
    case KIND.H:
      return vector(insn.vvvv);
    case KIND.L:
      return vector(insn.imm2 >> 4);
    case KIND.P:
      return `mm${insn.reg & 7}`;
    case KIND.Q: case KIND.N:
      return insn.memory ? memory(insn, bits) : `mm${insn.rm & 7}`;
    case KIND.T:
      return `st(${insn.rm & 7})`;
    case KIND.st:
      return o.index === 0 ? 'st' : `st(${o.index})`;
    case KIND.xmm:
      return `xmm${o.index}`;
    case KIND.seg:
      return SEGMENTS[o.index] as string;
    default:
      return '0x1';
  }
}
const size = (bits: number): string => (SIZES[bits] === undefined ? '' : `${SIZES[bits]} ptr `);
/** LEA has an address but no segment. */
const segment = (insn: Insn): string => (insn.segment < 0 || insn.enc.mnemonic === 'lea' ? '' : `${SEGMENTS[insn.segment]}:`);

function memory(insn: Insn, bits: number, vector?: 'xmm' | 'ymm'): string {
  const names = insn.addrSize === 32 ? R32 : R64;
  const parts: string[] = [];
  let { disp } = insn;
  if (insn.base === BASE_RIP) {
    parts.push(insn.addrSize === 32 ? 'eip' : 'rip');
  } else if (insn.base >= 0) parts.push(names[insn.base] as string);
  if (insn.index >= 0) parts.push(`${vector === undefined ? names[insn.index] : vector + insn.index}*${1 << insn.scale}`);
  let text = parts.join('+');
  if (parts.length === 0) {
    if (insn.addrSize === 32) disp >>>= 0;
    text = disp < 0 ? hex(BigInt.asUintN(64, BigInt(disp))) : hex(disp);
  } else if (disp !== 0) text += disp < 0 ? hex(disp) : `+${hex(disp)}`;
  return `${size(bits)}[${segment(insn)}${text}]`;
}
