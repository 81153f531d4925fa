/** One whole line of the log: name, arguments, result, in strace's columns. */

import { errnoName, errorText } from '../abi/errno.ts';
import { address, type Call, hex, octal, type Text } from './call.ts';
import { callPrinter } from './calls/table.ts';
import { argumentText } from './kinds.ts';
import { symbolic } from './structures.ts';

/** The result starts here (strace -a). */
const COLUMN = 40;

export interface Entry {
  readonly name: string;
  readonly args: readonly Text[];
}

/** What can be said before the call: everything that goes in. */
export function enter(call: Call): Entry {
  const printer = callPrinter(call.syscall.name);
  const own = printer?.args?.(call);
  const args =
    own ?? call.syscall.args.flatMap(({ type }, k) => (type.kind === 'unused' ? [] : [argumentText(call, k)]));
  return { name: call.syscall.name, args };
}

/** The line, with what came out. `call.result` is set. */
export function leave(call: Call, entry: Entry, mark: string): string {
  return `${opening(entry)}= ${resultText(call)}${mark}\n`;
}

/** The line of a call that does not come back. */
export function leaveNever(entry: Entry): string {
  return `${opening(entry)}= ?\n`;
}

function opening(entry: Entry): string {
  const args = entry.args.map((a) => (typeof a === 'string' ? a : a()));
  return `${entry.name}(${args.join(', ')}) `.padEnd(COLUMN);
}

/** Results of the kernel's own that no program sees: the call is made again after a signal's handler. */
const restarts: Readonly<Record<number, string>> = {
  512: 'ERESTARTSYS (To be restarted if SA_RESTART is set)',
  513: 'ERESTARTNOINTR (To be restarted)',
  514: 'ERESTARTNOHAND (To be restarted if no handler)',
  516: 'ERESTART_RESTARTBLOCK (Interrupted by signal)',
};

function resultText(call: Call): string {
  if (call.failed) {
    const number = Number(-call.result);
    const restart = restarts[number];
    if (restart !== undefined) return `? ${restart}`;
    const name = errnoName(number);
    return name === undefined ? `-1 (errno ${number})` : `-1 ${name} (${errorText[number] ?? name})`;
  }
  const own = callPrinter(call.syscall.name)?.result?.(call);
  if (own !== undefined) return own;
  const { ret } = call.syscall;
  const value = call.result;
  switch (ret.kind) {
    case 'address':
      return value === 0n ? '0' : address(BigInt.asUintN(64, value));
    case 'hex':
      return hex(BigInt.asUintN(64, value));
    case 'mode':
      return octal(value);
    case 'enum':
    case 'flags':
      return `${ret.kind === 'flags' ? hex(value) : value} (${symbolic(ret.set ?? '', value)})`;
    default:
      return String(value);
  }
}

/** `syscall_0x1ff(0x1, …)`: a number the ABI does not have. */
export function unknownEntry(nr: number, words: readonly bigint[]): Entry {
  return { name: `syscall_${hex(nr)}`, args: words.map((w) => hex(w)) };
}
