/**
 * Writes src/api/syscalls.ts and constants.ts from the declarations: `node scripts/api-syscalls.ts`. A test fails when
 * they differ.
 * The programming interface has its own table because it must not load the engine, and runs on older nodes.
 */

import { writeFileSync } from 'node:fs';
import { linuxConstants } from '../src/abi/linux.ts';
import { SyscallFrame } from '../src/kernel/ports.ts';
import type { Syscall, ValueType } from '../src/syscalls/declare.ts';
import { syscallByNumber, syscallNumbers } from '../src/syscalls/table.ts';

export const file = new URL('../src/api/syscalls.ts', import.meta.url);

const ones = new SyscallFrame();
ones.u32.fill(0xffffffff);

/** What the type's decoder makes of 64 ones tells which part of the register counts and what it becomes. */
function classOf(type: ValueType): string {
  if (type.kind === 'path' || type.kind === 'string') return 'text';
  if (type.pointer) return 'pointer';
  const value = type.decode(ones, 0);
  if (typeof value === 'bigint') return value < 0n ? 'i64' : 'u64';
  if (value === 0xffffffff) return 'u32';
  if ((value as number) > 0) return 'size';
  // Both an int and a long are −1 here; a long has an upper half.
  const high = new SyscallFrame();
  high.u32[1] = 1;
  return type.decode(high, 0) === 0 ? 'i32' : 'i64';
}

function row(nr: number, s: Syscall): string {
  const args = s.args.map((a) => `${a.name}: '${classOf(a.type)}'`).join(', ');
  return `  ${s.name}: [${nr}, {${args === '' ? '' : ` ${args} `}}],`;
}

export function apiSyscalls(): string {
  return `/**
 * The guest's system calls as programs that use the package see them: number, and the class of each argument.
 * Generated from the declarations in src/syscalls by scripts/api-syscalls.ts; do not edit.
 */

import type { ArgumentClass } from './types.ts';

export const syscalls = {
${syscallNumbers().map((nr) => row(nr, syscallByNumber(nr) as Syscall)).join('\n')}
} as const satisfies Readonly<Record<string, readonly [number, Readonly<Record<string, ArgumentClass>>]>>;
`;
}

export const constantsFile = new URL('../src/api/constants.ts', import.meta.url);

/** As many a line as fit. */
function wrapped(items: readonly string[]): string {
  const lines = [' '];
  for (const item of items) {
    const line = lines.at(-1) as string;
    if (line.length + item.length > 118) lines.push(`  ${item}`);
    else lines[lines.length - 1] = `${line} ${item}`;
  }
  return lines.join('\n');
}

export function apiConstants(): string {
  const rows = Object.entries(linuxConstants()).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `/**
 * The kernel's constants by name. Generated from src/abi by scripts/api-syscalls.ts; do not edit.
 */

export const linux = {
${wrapped(rows.map(([name, value]) => `${name}: ${value},`))}
} as const;
`;
}

if (import.meta.main) {
  writeFileSync(file, apiSyscalls());
  writeFileSync(constantsFile, apiConstants());
}
