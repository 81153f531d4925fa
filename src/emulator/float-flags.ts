/**
 * Whether a program looks as if it wanted the sticky exception flags of floating point: it names one of the C library's
 * functions that read them, or reads MXCSR itself. Then its floating point is exact from the start (docs/decisions/
 * fp-environment.md); other programs become exact when they first touch the environment.
 */
import { DT_STRSZ, DT_STRTAB, PF_X, PT_INTERP, PT_LOAD } from '../elf/constants.ts';
import { dynamicValue } from '../elf/dynamic.ts';
import type { Module } from '../loader/load.ts';

/** <fenv.h>, and Fortran's STOP, which reports what is set. */
const READERS = [
  ...['fetestexcept', 'fetestexceptflag', 'fegetexceptflag', 'fegetenv', 'feholdexcept', 'feupdateenv'],
  ...['_gfortran_stop_string', '_gfortran_stop_numeric', '_gfortran_error_stop_string', '_gfortran_error_stop_numeric'],
  '_gfortran_ieee_procedure_entry',
];
/**
 * Code larger than this is not searched: it would show in the start-up time (1 ms for half a megabyte). A static program
 * brings the C library along.
 */
const CODE_LIMIT = { dynamic: 256 << 10, static: 1 << 20 } as const;
const STRINGS_LIMIT = 4 << 20;

/** `read`: guest memory, as much as there is of what is asked for. `readsFlags`: whether code reads them (the ISA's answer). */
export function wantsFloatFlags(
  program: Module,
  read: (address: number, length: number) => Uint8Array,
  readsFlags: (code: Uint8Array) => boolean,
): boolean {
  const { elf, bias } = program;
  if (namesReader(program, read)) return true;
  const limit = elf.segment(PT_INTERP) === undefined ? CODE_LIMIT.static : CODE_LIMIT.dynamic;
  const code = elf.segments.filter((s) => s.type === PT_LOAD && (s.flags & PF_X) !== 0 && s.filesz <= limit);
  return code.some((s) => readsFlags(read(s.vaddr + bias, s.filesz)));
}
function namesReader({ elf, bias }: Module, read: (address: number, length: number) => Uint8Array): boolean {
  const table = dynamicValue(elf.dynamic, DT_STRTAB);
  const size = dynamicValue(elf.dynamic, DT_STRSZ) ?? 0;
  if (table === undefined || size > STRINGS_LIMIT) return false;
  const bytes = read(table + bias, size);
  const strings = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return READERS.some((name) => strings.includes(`\0${name}\0`));
}
