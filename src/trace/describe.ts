/** A call as one short text, for messages: name and arguments as they stand before it is made. */

import type { GuestMemory, SyscallFrame } from '../kernel/ports.ts';
import { syscallByNumber } from '../syscalls/table.ts';
import { address, Call } from './call.ts';
import { enter, unknownEntry } from './line.ts';

export function describeCall(memory: GuestMemory, frame: SyscallFrame): string {
  const declared = syscallByNumber(frame.nr);
  if (declared === undefined) {
    const entry = unknownEntry(frame.nr, [...frame.u64.subarray(0, 6)]);
    return `${entry.name}(${entry.args.join(', ')})`;
  }
  const { name, args } = enter(new Call(memory, frame, declared));
  // What the call is to write is not there yet.
  return `${name}(${args.map((text, k) => (typeof text === 'string' ? text : address(frame.unsigned(k)))).join(', ')})`;
}
