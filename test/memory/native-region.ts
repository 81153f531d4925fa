/**
 * Test support: a region of the test process's own memory at a low address, worked on with plain host calls, as the
 * oracle for the guest's address space. The kernel puts nothing of its own there, so holes stay holes.
 */

import { readFileSync } from 'node:fs';
import type { LinuxHost } from '../../src/host/linux-host.ts';

export const PAGE = 4096;
export const NATIVE_BASE = 0x1000_0000;

export interface MapLine {
  start: number;
  end: number;
  permissions: string;
  offset: number;
  inode: number;
}

/** The kernel's own view of [base, base + bytes), addresses relative to base. */
export function kernelMaps(base: number, bytes: number): MapLine[] {
  const lines: MapLine[] = [];
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ (\d+)/.exec(line);
    if (match === null) continue;
    const start = Number.parseInt(match[1]!, 16);
    const end = Number.parseInt(match[2]!, 16);
    if (end <= base || start >= base + bytes) continue;
    lines.push({
      start: start - base, end: end - base, permissions: match[3]!, offset: Number.parseInt(match[4]!, 16),
      inode: Number(match[5]),
    });
  }
  return lines;
}

/** Bytes at a native address by process_vm_readv on oneself, page by page: undefined where a page cannot be read. */
export function readNative(host: LinuxHost, address: number, length: number): Uint8Array | undefined {
  const mark = host.scratch.mark();
  const at = host.scratch.alloc(32 + length);
  const view = host.scratch.view;
  const here = host.scratch.address + at;
  view.setBigUint64(at, BigInt(here + 32), true);
  view.setBigUint64(at + 8, BigInt(length), true);
  view.setBigUint64(at + 16, BigInt(address), true);
  view.setBigUint64(at + 24, BigInt(length), true);
  const result = host.syscall(host.nr['process_vm_readv']!, process.pid, here, 1, here + 16, 1, 0);
  const bytes = result === length ? host.scratch.bytes.slice(at + 32, at + 32 + length) : undefined;
  host.scratch.release(mark);
  return bytes;
}

/** As readNative, the other way; true if all bytes were written. */
export function writeNative(host: LinuxHost, address: number, bytes: Uint8Array): boolean {
  const mark = host.scratch.mark();
  const at = host.scratch.alloc(32 + bytes.length);
  const view = host.scratch.view;
  const here = host.scratch.address + at;
  host.scratch.bytes.set(bytes, at + 32);
  view.setBigUint64(at, BigInt(here + 32), true);
  view.setBigUint64(at + 8, BigInt(bytes.length), true);
  view.setBigUint64(at + 16, BigInt(address), true);
  view.setBigUint64(at + 24, BigInt(bytes.length), true);
  const result = host.syscall(host.nr['process_vm_writev']!, process.pid, here, 1, here + 16, 1, 0);
  host.scratch.release(mark);
  return result === bytes.length;
}
