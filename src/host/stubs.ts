/**
 * Puts the host's machine-code stubs into executable memory and says where they are. Made once a process; further
 * threads are given the addresses.
 */

import type { HostAddr } from '../kernel/ports.ts';
import { WORD } from '../kernel/process-block.ts';
import type { CallRegisters } from '../kernel/quick-call.ts';
import { viewNative } from './ffi.ts';
import { x64Stubs } from './stubs-x64.ts';

/** Host addresses of the stubs; what each does stands in stubs-x64.ts. */
export interface Stubs {
  readonly syscall: HostAddr;
  readonly exact: HostAddr;
  readonly interruptible: HostAddr;
  readonly interruptibleExact: HostAddr;
  readonly quick: HostAddr;
  readonly exchange: HostAddr;
  readonly watch: HostAddr;
  readonly sample: HostAddr;
  readonly signal: HostAddr;
  readonly fault: HostAddr;
  readonly mute: HostAddr;
  readonly restorer: HostAddr;
  /** V8's SIGSEGV handler as it was found; 0 if none. */
  readonly faultHandler: HostAddr;
}

/** System calls for setting up, before or beside the stubs. */
export type RawSyscall = (nr: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number) => number;

export const PAGE_SIZE = 4096;
const PROT_READ_WRITE = 3;
const PROT_READ_EXEC = 5;
const MAP_PRIVATE_ANONYMOUS = 0x22;

/** Write `code` into a fresh page and make that executable (never writable and executable at once). */
export function placeCode(raw: RawSyscall, nr: Readonly<Record<string, number>>, code: Uint8Array): HostAddr {
  const length = Math.ceil(code.length / PAGE_SIZE) * PAGE_SIZE;
  const address = raw(nr['mmap'] as number, 0, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  if (address < 0) throw new Error(`the kernel gives no memory for machine code (${address}); check ulimit -v`);
  new Uint8Array(viewNative(address, length)).set(code);
  const result = raw(nr['mprotect'] as number, address, length, PROT_READ_EXEC, 0, 0, 0);
  if (result < 0) {
    throw new Error(`the kernel refuses executable memory (${result}); a security policy forbids generated code here`);
  }
  return address;
}

export function installStubs(
  raw: RawSyscall,
  nr: Readonly<Record<string, number>>,
  arena: HostAddr,
  faultHandler: HostAddr,
  block: HostAddr,
  registers: CallRegisters,
): Stubs {
  if (process.arch !== 'x64') {
    throw new Error(`this version of lunagate runs on x86-64 hosts only, not on ${process.arch}`);
  }
  const at = (word: number): HostAddr => block + word * 4;
  const code = x64Stubs({ arena, faultHandler, stop: at(WORD.stop), queueFaults: at(WORD.queueFaults), several: at(WORD.several), registers });
  const base = placeCode(raw, nr, code.finish());
  return {
    syscall: base + code.labelOffset('syscall'),
    exact: base + code.labelOffset('syscall_exact'),
    interruptible: base + code.labelOffset('syscall_interruptible'),
    interruptibleExact: base + code.labelOffset('syscall_interruptible_exact'),
    quick: base + code.labelOffset('quick'),
    exchange: base + code.labelOffset('exchange'),
    watch: base + code.labelOffset('watch'),
    sample: base + code.labelOffset('sample'),
    signal: base + code.labelOffset('signal'),
    fault: base + code.labelOffset('fault'),
    mute: base + code.labelOffset('mute'),
    restorer: base + code.labelOffset('restorer'),
    faultHandler,
  };
}
