/**
 * The guest registers: the IR variables of the x86-64 frontend and where each lies in state memory. Offsets 0…4095 of
 * state memory are this ISA's.
 *
 * Invariants:
 * - A variable's slot is touched only through the variable inside translated code; helpers and GuestCpu see it current
 *   only at region borders.
 * - The x87/MMX area and the scratch area hold no variables: translated code reads and writes them with
 *   stateLoad/stateStore, and helpers may do so at any time.
 * - CF PF AF ZF SF OF exist only as cc_op, cc_a, cc_b, cc_c (flags.ts); every other bit of RFLAGS is in `df` and `rflags_rest`.
 */
import type { Var } from '../../ir/builder.ts';
import type { Type } from '../../ir/ops.ts';

export const GPR_NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;

/** Byte offsets in state memory. */
export const STATE = {
  /** 16 × i64, in encoding order. */
  gpr: 0,
  rip: 128,
  fsBase: 136,
  gsBase: 144,
  ccOp: 152,
  df: 156,
  ccA: 160,
  ccB: 168,
  ccC: 176,
  rflagsRest: 184,
  mxcsr: 188,
  /** 16 × 16 bytes. */
  xmm: 256,
  /** Upper halves of ymm0…15, 16 × 16 bytes. */
  ymmHigh: 512,
  /** The eight *physical* x87 registers, 16 bytes each: significand (i64), sign and exponent (16 bits), padding. ST(i) is register (top + i) & 7; MMi is the significand of register i. */
  x87: 768,
  /** Control word (FCW) as i32. */
  x87Control: 896,
  /** Status word (FSW) as i32, with the TOP field always 0: see x87Top. */
  x87Status: 900,
  /** Abridged tag word as i32: bit i set means physical register i is not empty. */
  x87Tag: 904,
  /** TOP, 0…7, as i32. */
  x87Top: 908,
  /** Last instruction pointer and data pointer (i64), last opcode (11 bits, i32). */
  x87Ip: 912,
  x87Dp: 920,
  x87Opcode: 928,
  /** Segment selectors the guest may load and read back, six × i32 in encoding order (es cs ss ds fs gs). */
  selectors: 944,
  /** 1 KiB for a helper's results and arguments that do not fit its signature; no meaning between instructions. */
  scratch: 1024,
  scratchSize: 1024,
  /** Tables of simd/approximation.ts, 24 KiB, in the room above the 4 KiB that layout.ts leaves to the ISA. */
  approximations: 0x4000,
  /** First byte that is neither register nor scratch. */
  end: 2048,
  /** Constants of translated code (simd/constants.ts), up to the end of the ISA's part. */
  constants: 2048,
  constantsSize: 2048,
} as const;

const vars: Var[] = [];
const v = (name: string, type: Type, offset: number): Var => {
  const made: Var = { index: vars.length, name, type, offset };
  vars.push(made);
  return made;
};

/** rax … r15 in encoding order: VARS index = register number. */
export const GPR: readonly Var[] = GPR_NAMES.map((name, i) => v(name, 'i64', STATE.gpr + 8 * i));
export const RAX = GPR[0] as Var;
export const RCX = GPR[1] as Var;
export const RDX = GPR[2] as Var;
export const RBX = GPR[3] as Var;
export const RSP = GPR[4] as Var;
export const RBP = GPR[5] as Var;
export const RSI = GPR[6] as Var;
export const RDI = GPR[7] as Var;
export const R11 = GPR[11] as Var;
export const CC_OP = v('cc_op', 'i32', STATE.ccOp);
export const CC_A = v('cc_a', 'i64', STATE.ccA);
export const CC_B = v('cc_b', 'i64', STATE.ccB);
export const CC_C = v('cc_c', 'i64', STATE.ccC);
/** Direction flag, 0 or 1. */
export const DF = v('df', 'i32', STATE.df);
/** The bits of RFLAGS outside the six status flags, DF and the constants: TF, NT, AC, ID in place. */
export const RFLAGS_REST = v('rflags_rest', 'i32', STATE.rflagsRest);
export const FS_BASE = v('fs_base', 'i64', STATE.fsBase);
export const GS_BASE = v('gs_base', 'i64', STATE.gsBase);
export const MXCSR = v('mxcsr', 'i32', STATE.mxcsr);
export const XMM: readonly Var[] = GPR_NAMES.map((_, i) => v(`xmm${i}`, 'v128', STATE.xmm + 16 * i));
export const YMM_HIGH: readonly Var[] = GPR_NAMES.map((_, i) => v(`ymm${i}h`, 'v128', STATE.ymmHigh + 16 * i));

export const VARS: readonly Var[] = vars;
export const HOT_PARAMS: readonly [Var, Var] = [RSP, RDI];
export const HOT_RESULTS: readonly [Var, Var] = [RSP, RAX];

/** Bits of RFLAGS. */
export const RFLAGS = { CF: 1, PF: 4, AF: 0x10, ZF: 0x40, SF: 0x80, TF: 0x100, IF: 0x200, DF: 0x400, OF: 0x800, NT: 0x4000, RF: 0x10000, AC: 0x40000, ID: 0x200000 } as const;
/** CF PF AF ZF SF OF. */
export const STATUS_FLAGS = 0x8d5;
/** What POPF in user mode may change beside the status flags and DF. */
export const REST_FLAGS = RFLAGS.TF | RFLAGS.NT | RFLAGS.AC | RFLAGS.ID;
/** With these set, instructions are executed one at a time (stepping.ts). */
export const STEP_FLAGS = RFLAGS.TF | RFLAGS.AC;
/** Bits that always read as 1 in user mode: the reserved bit 1, and IF. */
export const FIXED_FLAGS = 0x202;

/** MXCSR, FCW, FTW, selectors as Linux starts a program; everything else is zero. */
export const INITIAL = { mxcsr: 0x1f80, x87Control: 0x37f, cs: 0x33, ss: 0x2b } as const;
