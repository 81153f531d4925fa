/** What Linux says about x86-64: how a program is started, and which signal each exception becomes. */
import { TRAP } from './traps.ts';

/** Facts for the ELF loader. Those that depend on the CPU model (AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ) X86Cpu has. */
export const loaderFacts = {
  machine: 62, // EM_X86_64
  is64: true,
  littleEndian: true,
  pageSize: 4096,
  platform: 'x86_64',
  execStackByDefault: false,
} as const;

/** A signal with its si_code; `address`: si_addr is the instruction's address, otherwise 0. */
export interface TrapSignal {
  readonly signal: number;
  readonly code: number;
  readonly address: boolean;
}
/** After an instruction that began with TF set; si_addr is the next one. */
export const STEP_SIGNAL: TrapSignal = { signal: 5, code: 2, address: true }; // SIGTRAP, TRAP_TRACE
const SIGILL = 4;
const SIGTRAP = 5;
const SIGBUS = 7;
const SIGFPE = 8;
const SIGSEGV = 11;
const SI_KERNEL = 0x80;

/** What a floating-point exception's si_code comes from. */
export interface FloatStatus {
  readonly mxcsr: number;
  readonly x87Control: number;
  readonly x87Status: number;
}
/** si_code of the exceptions raised and not masked: fpu__exception_code in arch/x86/kernel/fpu/core.c. */
function floatCode(unmasked: number): number {
  if ((unmasked & 1) !== 0) return 7; // FPE_FLTINV
  if ((unmasked & 4) !== 0) return 3; // FPE_FLTDIV
  if ((unmasked & 8) !== 0) return 4; // FPE_FLTOVF
  if ((unmasked & 0x12) !== 0) return 5; // FPE_FLTUND, also for a denormal operand
  return (unmasked & 0x20) !== 0 ? 6 : 0; // FPE_FLTRES
}

/** arch/x86/kernel/traps.c's choice of signal and si_code. */
export function trapSignal(code: number, float: FloatStatus): TrapSignal {
  switch (code) {
    case TRAP.divide:
      return { signal: SIGFPE, code: 1, address: true }; // FPE_INTDIV
    case TRAP.debug:
      return { signal: SIGTRAP, code: 1, address: true }; // TRAP_BRKPT
    case TRAP.breakpoint:
      return { signal: SIGTRAP, code: SI_KERNEL, address: false };
    case TRAP.undefined:
      return { signal: SIGILL, code: 2, address: true }; // ILL_ILLOPN
    case TRAP.stack:
      return { signal: SIGBUS, code: SI_KERNEL, address: false };
    case TRAP.alignment:
      return { signal: SIGBUS, code: 1, address: false }; // BUS_ADRALN
    case TRAP.x87:
      return { signal: SIGFPE, code: floatCode(float.x87Status & ~float.x87Control), address: true };
    case TRAP.simd:
      return { signal: SIGFPE, code: floatCode(float.mxcsr & ~(float.mxcsr >> 7)), address: true };
    default:
      return { signal: SIGSEGV, code: SI_KERNEL, address: false };
  }
}
