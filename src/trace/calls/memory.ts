/** mmap and its relatives. */

import { address, type Call, hex, octal, type Text } from '../call.ts';
import { choiceName, choiceText, flagsText } from '../constants.ts';
import { ARRAY_LIMIT, buffer } from '../basics.ts';
import type { CallPrinters } from './table.ts';

const MAP_HUGE_SHIFT = 26;
const MAP_HUGE = 0x3f << MAP_HUGE_SHIFT;

function mapFlags(value: number): string {
  const huge = (value & MAP_HUGE) >>> MAP_HUGE_SHIFT;
  const text = flagsText('mmap', value & ~MAP_HUGE);
  return huge === 0 ? text : `${text}|${huge}<<MAP_HUGE_SHIFT`;
}

const asAddress = (c: Call): string => address(BigInt.asUintN(64, c.result)).replace(/^NULL$/, '0');

export const memoryCalls: CallPrinters = {
  mmap: {
    args: (c) => [
      address(c.ulong(0)),
      String(c.ulong(1)),
      flagsText('prot', c.ulong(2)),
      mapFlags(c.uint(3)),
      String(c.int(4)),
      hex(c.ulong(5)),
    ],
    result: asAddress,
  },
  mprotect: { args: (c) => [address(c.ulong(0)), String(c.ulong(1)), flagsText('prot', c.ulong(2))] },
  mremap: {
    args: (c) => [
      address(c.ulong(0)),
      String(c.ulong(1)),
      String(c.ulong(2)),
      flagsText('mremap', c.ulong(3)),
      ...((c.uint(3) & 6) !== 0 ? [address(c.ulong(4))] : []),
    ],
    result: asAddress,
  },
  mincore: { args: (c) => [address(c.ulong(0)), String(c.ulong(1)), residency(c)] },
  membarrier: {
    args: (c) => [
      choiceText('membarrier', c.int(0)),
      flagsText('membarrier_flags', c.uint(1)),
      ...(c.uint(1) === 0 ? [] : [String(c.int(2))]),
    ],
    // The first command asks which others there are.
    result: (c) => (c.int(0) === 0 ? `${hex(c.result)} (${commandMask(Number(c.result))})` : undefined),
  },
  brk: { args: (c) => [address(c.ulong(0))], result: asAddress },
  shmat: { result: asAddress },
  shmget: {
    args: (c) => [key(c.int(0)), String(c.ulong(1)), ipcFlags('shmget', c.uint(2))],
  },
  semget: { args: (c) => [key(c.int(0)), String(c.int(1)), ipcFlags('ipc_get', c.uint(2))] },
  semctl: { args: (c) => [String(c.int(0)), String(c.int(1)), choiceText('semctl', c.int(2)), address(c.ulong(3))] },
  msgsnd: {
    args: (c) => [String(c.int(0)), message(c, c.at(1), c.at(2)), String(c.ulong(2)), flagsText('msgrcv', c.uint(3))],
  },
  msgrcv: {
    args: (c) => [
      String(c.int(0)),
      () => (c.failed ? address(c.ulong(1)) : message(c, c.at(1), Number(c.result))),
      String(c.ulong(2)),
      String(c.long(3)),
      flagsText('msgrcv', c.uint(4)),
    ],
  },
  remap_file_pages: {
    args: (c) => [
      address(c.ulong(0)),
      String(c.ulong(1)),
      flagsText('prot', c.ulong(2)),
      String(c.ulong(3)),
      mapFlags(c.uint(4)),
    ],
  },
  pkey_alloc: { args: (c) => [hex(c.ulong(0)), flagsText('pkey', c.ulong(1))] },
  memfd_secret: { args: (c) => [hex(c.uint(0))] },
  io_destroy: { args: (c) => [address(c.ulong(0))] },
  msgget: { args: (c) => [key(c.int(0)), ipcFlags('ipc_get', c.uint(1))] },
};

/** One byte a page: whether it is in memory. */
function residency(call: Call): Text {
  const addr = call.at(2);
  if (addr === 0) return 'NULL';
  return () => {
    const pages = Math.ceil(call.at(1) / 4096);
    const bytes = call.failed ? undefined : call.bytes(addr, Math.min(pages, ARRAY_LIMIT));
    if (bytes === undefined) return address(addr);
    return `[${[...bytes].map((b) => b & 1).join(', ')}${pages > ARRAY_LIMIT ? ', ...' : ''}]`;
  };
}

function commandMask(value: number): string {
  const names: string[] = [];
  let rest = value;
  for (let bit = 1; bit !== 0 && bit <= value; bit *= 2) {
    const name = (value & bit) === 0 ? undefined : choiceName('membarrier', bit);
    if (name === undefined) continue;
    names.push(name);
    rest &= ~bit;
  }
  if (rest !== 0) names.push(hex(rest));
  return names.join('|');
}

/** A System V message: type and text. */
function message(call: Call, addr: number, length: number): string {
  if (addr === 0) return 'NULL';
  const type = call.view(addr, 8);
  return type === undefined
    ? address(addr)
    : `{mtype=${type.getBigInt64(0, true)}, mtext=${buffer(call, addr + 8, length)}}`;
}

function key(value: number): string {
  return value === 0 ? 'IPC_PRIVATE' : hex(value >>> 0);
}

/** Flags, then the permissions in octal. */
function ipcFlags(set: string, value: number): string {
  const bits = value & ~0o777;
  return bits === 0 ? octal(value) : `${flagsText(set, bits)}|${octal(value & 0o777)}`;
}
