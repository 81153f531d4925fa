/**
 * Which test judges which row, as predicates that the tests themselves go by: semantics.test.ts, sequences.test.ts and so on
 * take their rows from here, and docs/instructions.md tells what comes of it.
 */
import type { Encoding } from '../../../src/isa/x86_64/declare.ts';
import { sameApproximations } from './native-executor.ts';
import { unfit } from './sequences.ts';

/** Alone, with random operands, prefixes and addressing, natively, interpreted and as WebAssembly. */
export function judgedAlone(row: Encoding): boolean {
  if (row.options.untestable === undefined) return true;
  // near calls and returns are comparable after all: their targets are in the int3 filler; far ones fault on the way
  return row.options.untestable === 'transfers control';
}

/** Meaning depends on MXCSR, or raises its flags. */
const COMPUTES =
  /^v?(add|sub|mul|div|min|max|sqrt|cmp|u?comi|round|h(add|sub)|addsub|dp|cvt|f?n?m(add|sub))[a-z0-9]*(ps|pd|ss|sd|ph|si|dq|pi)$/;
const INTEGERS = /^(v?p|xadd|cmpxchg)/;
export function judgedInEnvironment(row: Encoding): boolean {
  if (!/^(sse|avx|fma|f16c)/.test(row.options.cpuid ?? '') || INTEGERS.test(row.mnemonic)) return false;
  return COMPUTES.test(row.mnemonic) || row.options.cpuid === 'fma' || (sameApproximations && /^v?r(cp|sqrt)[ps]s$/.test(row.mnemonic));
}

/** By mnemonic: tests made for it, whose sources name it. Rows that cannot be run natively with random operands have no other. */
const OWN: readonly (readonly [file: string, mnemonics: RegExp])[] = [
  ['test/isa/x86_64/locked.test.ts', /^(add|adc|sub|sbb|and|or|inc|dec|neg|not|xadd|xchg|bt[src]|cmpxchg(8b|16b)?)$/],
  ['test/isa/x86_64/litmus.test.ts', /^mfence$/],
  ['test/isa/x86_64/integer.test.ts', /^(movs|stos|cmps|scas|lods|i?div|lar|lsl|bt)$/],
  ['test/isa/x86_64/x87-functions.test.ts', /^f(2xm1|yl2x|ptan|patan|yl2xp1|sincos|sin|cos)$/],
  ['test/isa/x86_64/fma.test.ts', /^vfn?m(add|sub)/],
  ['test/isa/x86_64/cpu.test.ts', /^cpuid$/],
  ['test/e2e/programs/machine.c', /^(syscall|int|int1|rdtscp?|rdpid|rdrand|rdseed|(rd|wr)[fg]sbase|xgetbv|cpuid)$/],
  ['test/e2e/programs/segments.c', /^(mov|push|pop|l[sfg]s|retf|iret|call|jmp)$/],
  ['test/e2e/programs/locked-faults.c', /^cmpxchg16b$/],
];
export function ownTests(mnemonic: string): string[] {
  return OWN.filter(([, which]) => which.test(mnemonic)).map(([file]) => file);
}

export interface Judge {
  readonly name: string;
  readonly file: string;
  /** What is compared, for the page. */
  readonly what: string;
  judges(row: Encoding): boolean;
}
/** RCPPS and RSQRTPS: their digits are judged only where the host's are ours, which the page does not count on. */
const approximate = (row: Encoding): boolean => /^v?r(cp|sqrt)[ps]s$/.test(row.mnemonic);
/** Against the host CPU, row by row. */
export const JUDGES: readonly Judge[] = [
  { name: 'alone', file: 'test/isa/x86_64/semantics.test.ts', what: 'one instruction with random operands, prefixes and addressing, natively, interpreted and as WebAssembly: registers, flags, memory, exceptions', judges: judgedAlone },
  { name: 'programs', file: 'test/isa/x86_64/sequences.test.ts', what: 'random programs of 5 to 50 instructions', judges: (row) => unfit(row, true) === undefined && !approximate(row) },
  { name: 'environment', file: 'test/isa/x86_64/float-environment.test.ts', what: 'random rounding, masks and flags in MXCSR, and what is raised', judges: (row) => judgedInEnvironment(row) && !approximate(row) },
];
