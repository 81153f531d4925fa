/**
 * Which declarations are quick calls (kernel/quick-call.ts), and their plans: those handed to the host as they are, as far
 * as their arguments are of kinds the machine code knows, and those that say `quick`.
 */

import { QUICK_ARGUMENT, QUICK_EXTENT, QUICK_VALID, type QuickArgument } from '../kernel/quick-call.ts';
import type { SyscallArg } from './declare.ts';

/**
 * Arguments that a plan treats otherwise than their types say: 'absent': the call is quick only where this is 0;
 * 'ignored': the kernel does not look at it; a list: only for these operations (0 … 31 in its low seven bits).
 */
export type QuickExceptions = Readonly<Record<string, 'absent' | 'ignored' | readonly number[]>>;

/** The plan's two words. */
export type QuickPlan = readonly [number, number];

const { plain, descriptor, pointer, buffer, array, absent, operation } = QUICK_ARGUMENT;

/** undefined: the machine code cannot do this. */
export function quickPlan(args: readonly SyscallArg[], exceptions: QuickExceptions = {}): QuickPlan | undefined {
  let first = QUICK_VALID;
  let second = 0;
  for (const [k, arg] of args.entries()) {
    const except = exceptions[arg.name];
    let kind: QuickArgument | undefined;
    if (except === 'absent') kind = absent;
    else if (except === 'ignored') kind = plain;
    else if (except !== undefined) {
      kind = operation;
      for (const op of except) second |= 1 << op;
    } else kind = kindOf(arg, args[k + 1]);
    if (kind === undefined) return undefined;
    if (kind === array) second = arg.type.size;
    first |= kind << (3 * k);
  }
  return [first >>> 0, second >>> 0];
}

function kindOf({ type }: SyscallArg, next: SyscallArg | undefined): QuickArgument | undefined {
  if (type.kind === 'fd' || type.kind === 'dirfd') return descriptor;
  if (!type.pointer) return plain;
  if (type.kind === 'pointer') return pointer;
  if (type.kind !== 'struct' && type.kind !== 'buffer' && type.kind !== 'array' && type.kind !== 'sigset') return undefined;
  if (type.count === undefined) return type.size > 0 && type.size * Math.max(1, type.elements) <= QUICK_EXTENT ? pointer : undefined;
  if (type.countIsPointer || type.count !== next?.name) return undefined;
  if (type.kind === 'buffer' && next.type.kind === 'size') return buffer;
  return type.kind === 'array' && next.type.kind === 'int' ? array : undefined;
}
