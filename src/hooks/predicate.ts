/**
 * Argument predicates of rules.toml: `when = { fd = 1, count = ">= 4096", pathname = "/etc/*" }` compiled to one
 * function that decides, before Lua is entered, whether a call is one the script is for.
 *
 * Invariants: a predicate reads guest memory only for paths and strings, and never throws; a path that cannot be read
 * matches (the script shall decide, a sandbox above all).
 */

import { GuestFault, type GuestMemory, type SyscallFrame } from '../kernel/ports.ts';
import type { ArgumentType } from './api.ts';
import { nearestName } from './near-name.ts';
import type { Predicate } from './settings.ts';

type Test = (memory: GuestMemory, frame: SyscallFrame) => boolean;
type Fail = (key: string, message: string) => never;
type Constants = () => Readonly<Record<string, number | bigint>>;

const MAX_STRING = 4096;
const comparisons: Readonly<Record<string, (a: bigint, b: bigint) => boolean>> = {
  '': (a, b) => a === b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '&': (a, b) => (a & b) !== 0n,
};

/** `fail` is told the key and what is wrong, and does not return. All conditions must hold. */
export function compileWhen(
  when: Readonly<Record<string, unknown>>,
  args: readonly ArgumentType[],
  constants: Constants,
  fail: Fail,
): Predicate {
  const tests = Object.entries(when).map(([key, value]) => {
    const numbered = /^arg([1-8])$/.exec(key);
    const named = args.findIndex((a) => a.name === key);
    const k = numbered === null ? named : Number(numbered[1]) - 1;
    if (k < 0) {
      const names = args.map((a) => a.name);
      const near = nearestName(key, names);
      const hint = near === undefined ? `; there are: ${[...names, 'arg1 … arg8'].join(', ')}` : `; did you mean ${near}?`;
      fail(key, `the call has no such argument${hint}`);
    }
    const type = args[k];
    const alternatives = Array.isArray(value) ? (value as unknown[]) : [value];
    if (alternatives.length === 0) fail(key, 'an empty list matches nothing; leave the key out or set enabled = false');
    const text = type?.kind === 'path' || type?.kind === 'string';
    const choices = alternatives.map((v) => (text ? textTest(v, k, key, fail) : numberTest(v, k, type, key, constants, fail)));
    return choices.length === 1 ? (choices[0] as Test) : (m: GuestMemory, f: SyscallFrame) => choices.some((t) => t(m, f));
  });
  return (memory, frame) => tests.every((test) => test(memory, frame));
}

/** A 32-bit argument counts as such, with the sign its C type has; everything else has 64 bits and a sign. */
function valueOf(frame: SyscallFrame, k: number, width: ArgumentType['width']): bigint {
  if (width === 'i32') return BigInt(frame.i32[2 * k] as number);
  if (width === 'u32') return BigInt(frame.u32[2 * k] as number);
  return frame.i64[k] as bigint;
}

function numberTest(value: unknown, k: number, type: ArgumentType | undefined, key: string, constants: Constants, fail: Fail): Test {
  const width = type?.width ?? 'i64';
  if (typeof value === 'number' || typeof value === 'bigint') {
    if (typeof value === 'number' && !Number.isInteger(value)) fail(key, `${value} is not a whole number`);
    const wanted = BigInt(value);
    return (_, frame) => valueOf(frame, k, width) === wanted;
  }
  const parts = typeof value === 'string' ? /^\s*(==|!=|<=|>=|<|>|&|)\s*(.+?)\s*$/.exec(value) : null;
  if (parts === null) {
    fail(key, `${JSON.stringify(value)} is neither a number, nor a comparison such as ">= 4096", "!= 0", "& O_CREAT", nor a list of these`);
  }
  const compare = comparisons[(parts as RegExpExecArray)[1] as string] as (a: bigint, b: bigint) => boolean;
  const wanted = constant((parts as RegExpExecArray)[2] as string, key, constants, fail);
  return (_, frame) => compare(valueOf(frame, k, width), wanted);
}

/** A number, or names of the kernel's joined by `|`. */
function constant(text: string, key: string, constants: Constants, fail: Fail): bigint {
  let result = 0n;
  for (const part of text.split('|').map((p) => p.trim())) {
    if (/^-?(\d+|0x[\da-f]+|0o[0-7]+)$/i.test(part)) {
      result |= part.startsWith('-') ? -BigInt(part.slice(1)) : BigInt(part);
      continue;
    }
    const table = constants();
    const value = Object.hasOwn(table, part) ? table[part] : undefined;
    if (value === undefined) {
      const near = nearestName(part, Object.keys(table));
      fail(key, `${JSON.stringify(part)} is neither a number nor a constant of the kernel's${near === undefined ? '' : `; did you mean ${near}?`}`);
    }
    result |= BigInt(value as number | bigint);
  }
  return result;
}

function textTest(value: unknown, k: number, key: string, fail: Fail): Test {
  if (typeof value !== 'string') fail(key, `${JSON.stringify(value)} is not a pattern such as "/etc/*"`);
  const pattern = value as string;
  const negated = pattern.startsWith('!');
  const expression = globExpression(Buffer.from(negated ? pattern.slice(1) : pattern).toString('latin1'));
  return (memory, frame) => {
    try {
      const { bytes } = memory.readCString(frame.unsigned(k), MAX_STRING);
      return expression.test(Buffer.from(bytes).toString('latin1')) !== negated;
    } catch (error) {
      if (error instanceof GuestFault) return true;
      throw error;
    }
  };
}

/** `*` any characters, `?` one, `[a-z]` one of a set; everything else itself. */
function globExpression(glob: string): RegExp {
  const source = glob.replace(/\[(!?)([^\]]+)\]|\*+|[\s\S]/g, (found, not: string | undefined, set: string | undefined) => {
    if (set !== undefined) return `[${not === '!' ? '^' : ''}${set.replace(/[\\^[\]]/g, '\\$&')}]`;
    if (found[0] === '*') return '[^]*';
    if (found === '?') return '[^]';
    return found.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  });
  return new RegExp(`^${source}$`);
}
