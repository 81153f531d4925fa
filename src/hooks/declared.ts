/** The guest's system calls as rules see them, from their declarations. */

import { SyscallFrame } from '../kernel/ports.ts';
import type { ValueType } from '../syscalls/declare.ts';
import { syscallByName, syscallName, syscallNumber, syscalls } from '../syscalls/table.ts';
import type { ArgumentType, SyscallNames } from './api.ts';

const probe = new SyscallFrame();
probe.u32[0] = 0xffffffff;
probe.u32[1] = 1;

/** What the type's decoder makes of a register whose upper half is not empty tells how much of it counts. */
function widthOf(type: ValueType): ArgumentType['width'] {
  const value = Number(type.decode(probe, 0));
  return value === -1 ? 'i32' : value === 0xffffffff ? 'u32' : 'i64';
}

export const declaredSyscalls: SyscallNames = {
  name: syscallName,
  number: syscallNumber,
  names: () => syscalls.map((s) => s.name),
  arguments: (name) =>
    syscallByName(name)?.args.map((a) => ({ name: a.name, kind: a.type.kind, width: widthOf(a.type) })),
};
