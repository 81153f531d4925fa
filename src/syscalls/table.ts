/**
 * The system-call table: every declaration by number and by name, for one guest ABI. Assembled from the domain
 * files; holds no facts of its own.
 *
 * Invariant (held by test/syscalls/table.test.ts): the x86-64 table has every name and number of Linux 6.18, once.
 */

import type { GuestIsa, Syscall } from './declare.ts';
import { attributeSyscalls } from './attributes.ts';
import { directorySyscalls } from './directories.ts';
import { fdSyscalls } from './fds.ts';
import { fileSyscalls } from './files.ts';
import { ioctlSyscalls } from './ioctl.ts';
import { mountSyscalls } from './mounts.ts';
import { openSyscalls } from './open.ts';
import { probeSyscalls } from './probes.ts';
import { processVmSyscalls } from './process-vm.ts';
import { statSyscalls } from './stat.ts';
import { systemSyscalls } from './system.ts';
import { watchSyscalls } from './watch.ts';
import { xattrSyscalls } from './xattr.ts';

/** All declarations, in the order of their domains. */
export const syscalls: readonly Syscall[] = [
  ...fileSyscalls,
  ...openSyscalls,
  ...fdSyscalls,
  ...ioctlSyscalls,
  ...directorySyscalls,
  ...statSyscalls,
  ...attributeSyscalls,
  ...xattrSyscalls,
  ...watchSyscalls,
  ...mountSyscalls,
  ...processVmSyscalls,
  ...probeSyscalls,
  ...systemSyscalls,
];

class Table {
  readonly byNumber: readonly (Syscall | undefined)[];
  readonly byName: ReadonlyMap<string, Syscall>;
  readonly isa: GuestIsa;
  constructor(isa: GuestIsa) {
    this.isa = isa;
    const byNumber: (Syscall | undefined)[] = [];
    const byName = new Map<string, Syscall>();
    for (const s of syscalls) {
      const nr = s.nr[isa];
      if (nr === undefined) continue;
      byNumber[nr] = s;
      byName.set(s.name, s);
    }
    this.byNumber = Array.from(byNumber);
    this.byName = byName;
  }
}

const x86 = new Table('x86_64');

/** The declaration of an x86-64 system-call number; undefined for numbers the ABI does not have. */
export function syscallByNumber(nr: number): Syscall | undefined {
  return x86.byNumber[nr];
}

/** The declaration of a name as the kernel spells it (`newfstatat`, `pread64`, …). */
export function syscallByName(name: string): Syscall | undefined {
  return x86.byName.get(name);
}

export function syscallName(nr: number): string | undefined {
  return x86.byNumber[nr]?.name;
}

export function syscallNumber(name: string): number | undefined {
  return x86.byName.get(name)?.nr.x86_64;
}

/** Every x86-64 number in use, ascending. */
export function syscallNumbers(): number[] {
  return [...x86.byName.values()].map((s) => s.nr.x86_64 as number).sort((a, b) => a - b);
}

/** Declarations that share a number or a name in the x86-64 table, as text; empty when all is well. */
export function tableConflicts(): string[] {
  const seen = new Map<number | string, string>();
  const conflicts: string[] = [];
  for (const s of syscalls) {
    for (const key of [s.name, s.nr.x86_64]) {
      if (key === undefined) continue;
      const other = seen.get(key);
      if (other !== undefined) conflicts.push(`${s.name} and ${other} both claim ${key}`);
      seen.set(key, s.name);
    }
  }
  return conflicts;
}
