/**
 * Translation of struct iovec arrays: the guest's array becomes a private one with host addresses, read once.
 */

import { type GuestAddr, GuestFault, type HostAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';

/** UIO_MAXIOV. */
export const MAX_IOVECS = 1024;

export interface Segment {
  readonly base: GuestAddr;
  /** As the kernel is to see it: see Task.room. */
  readonly length: number;
}

/**
 * The guest's array; undefined if the kernel will refuse the count or cannot read the array, which is then for it to
 * say, in its own order of checks.
 */
export function readIovecs(task: Task, iov: GuestAddr, count: number): Segment[] | undefined {
  if (count < 0 || count > MAX_IOVECS) return undefined;
  const segments: Segment[] = [];
  if (count === 0) return segments;
  const raw = task.memory.readPartial(iov, count * 16);
  if (raw.length < count * 16) return undefined;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  for (let k = 0; k < count; k++) {
    const base = Number(view.getBigUint64(16 * k, true));
    segments.push({ base, length: task.room(base, Number(view.getBigUint64(16 * k + 8, true))) });
  }
  return segments;
}

/** Lay segments out for the host kernel in private memory; returns the array's host address. */
export function hostIovecs(task: Task, segments: readonly Segment[] | undefined): HostAddr {
  if (segments === undefined) return task.bad(0);
  const { at, address } = task.scratch(Math.max(16, segments.length * 16));
  const { view } = task.host.scratch;
  segments.forEach(({ base, length }, k) => {
    view.setBigUint64(at + 16 * k, BigInt(task.pointer(base, Math.max(0, length))), true);
    view.setBigInt64(at + 16 * k + 8, BigInt(length), true);
  });
  return address;
}

/** Both in one, without objects: host address of the private array. */
export function translateIovecs(task: Task, iov: GuestAddr, count: number): HostAddr {
  if (count < 0 || count > MAX_IOVECS) return task.bad(0);
  const { at, address } = task.scratch(Math.max(16, count * 16));
  if (count === 0) return address;
  const { bytes, view } = task.host.scratch;
  try {
    task.memory.readInto(iov, bytes.subarray(at, at + 16 * count));
  } catch (error) {
    if (error instanceof GuestFault) return task.bad(0);
    throw error;
  }
  for (let k = at; k < at + 16 * count; k += 16) {
    const base = unsigned(view, k);
    const length = task.room(base, unsigned(view, k + 8));
    put(view, k, task.pointer(base, Math.max(0, length)));
    put(view, k + 8, length);
  }
  return address;
}

/** 64 bits as a number: exact below 2^53. */
function unsigned(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 4294967296;
}
/** An integer in ±2^53 in two's complement. */
function put(view: DataView, at: number, value: number): void {
  view.setInt32(at, value | 0, true);
  view.setInt32(at + 4, Math.floor(value / 4294967296) | 0, true);
}
