/**
 * The exception vectors an instruction may raise: the `code` of an IR trap. The numbers are the processor's own
 * (SDM volume 3, table 6-1), so that a debugger or a core dump may show them; the kernel layer turns them into signals.
 */
export const TRAP = {
  /** #DE: division by zero or quotient too large → SIGFPE. */
  divide: 0,
  /** #DB: INT1 → SIGTRAP; rip is the next instruction. */
  debug: 1,
  /** #BP: INT3 → SIGTRAP; rip is the next instruction. */
  breakpoint: 3,
  /** #OF: INT 4 → SIGSEGV; rip is the next instruction. */
  overflow: 4,
  /** #UD → SIGILL. */
  undefined: 6,
  /** #SS: non-canonical address through the stack segment → SIGBUS. */
  stack: 12,
  /** #GP: privileged instruction, misaligned SSE operand, non-canonical address → SIGSEGV. */
  protection: 13,
  /** #PF → SIGSEGV or SIGBUS, by what the memory layer knows. */
  page: 14,
  /** #MF: pending unmasked x87 exception → SIGFPE. */
  x87: 16,
  /** #AC → SIGBUS. */
  alignment: 17,
  /** #XM: unmasked SIMD floating-point exception → SIGFPE. */
  simd: 19,
  /** No exception: the process must go on in exact floating point (simd/float-environment.ts), with this instruction again. */
  exactFloat: 0x100,
  /** No exception: from this instruction on, which sets TF or AC, instructions are executed one at a time (stepping.ts). */
  stepping: 0x101,
} as const;
export type TrapCode = (typeof TRAP)[keyof typeof TRAP];
