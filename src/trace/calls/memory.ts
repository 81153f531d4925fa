/** mmap and its relatives. */

import { address, type Call, hex, octal } from '../call.ts';
import { flagsText } from '../constants.ts';
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
      address(c.ulong(0)), String(c.ulong(1)), flagsText('prot', c.ulong(2)), mapFlags(c.uint(3)), String(c.int(4)), hex(c.ulong(5)),
    ],
    result: asAddress,
  },
  mprotect: { args: (c) => [address(c.ulong(0)), String(c.ulong(1)), flagsText('prot', c.ulong(2))] },
  mremap: {
    args: (c) => [
      address(c.ulong(0)), String(c.ulong(1)), String(c.ulong(2)), flagsText('mremap', c.ulong(3)),
      ...((c.uint(3) & 6) !== 0 ? [address(c.ulong(4))] : []),
    ],
    result: asAddress,
  },
  brk: { args: (c) => [address(c.ulong(0))], result: asAddress },
  shmat: { result: asAddress },
  shmget: {
    args: (c) => [key(c.int(0)), String(c.ulong(1)), ipcFlags('shmget', c.uint(2))],
  },
  semget: { args: (c) => [key(c.int(0)), String(c.int(1)), ipcFlags('ipc_get', c.uint(2))] },
  msgget: { args: (c) => [key(c.int(0)), ipcFlags('ipc_get', c.uint(1))] },
};

function key(value: number): string {
  return value === 0 ? 'IPC_PRIVATE' : hex(value >>> 0);
}

/** Flags, then the permissions in octal. */
function ipcFlags(set: string, value: number): string {
  const bits = value & ~0o777;
  return bits === 0 ? octal(value) : `${flagsText(set, bits)}|${octal(value & 0o777)}`;
}
