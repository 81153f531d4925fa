/**
 * process_vm_readv(2) and process_vm_writev(2). On the process itself both sides are guest memory and bounded by it;
 * in another guest the addresses are bounded by its space, in a process that is none they are its own.
 */

import { errno } from '../abi/errno.ts';
import type { GuestAddr, HostAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { byteCount, full, iovec, pid, syscall, ulong } from './declare.ts';
import { exactSize } from './files.ts';
import type { GuestView } from './guest-view.ts';
import { MAX_IOVECS, translateIovecs } from './iovecs.ts';
import { viewOfProcess } from './proc-entry.ts';

/** The remote array, of addresses in another guest's space: none may lie outside it. For a process that is no guest, as it stands. */
function remote(task: Task, view: GuestView | undefined, iov: GuestAddr, count: number): HostAddr {
  const raw = count > MAX_IOVECS ? new Uint8Array(0) : task.memory.readPartial(iov, count * 16);
  if (raw.length < count * 16) return task.bad(iov);
  const { at, address } = task.scratch(Math.max(16, raw.length));
  const { bytes, view: words } = task.host.scratch;
  bytes.set(raw, at);
  for (let k = at; view !== undefined && k < at + raw.length; k += 16) {
    const start = Number(words.getBigUint64(k, true));
    const length = Number(words.getBigUint64(k + 8, true));
    const room = view.memorySize - start;
    // Page zero of a guest is never mapped.
    words.setBigUint64(k, BigInt(view.memoryBase + (room > 0 ? start : 0)), true);
    if (room > 0 && length > room) words.setBigUint64(k + 8, BigInt(room), true);
  }
  return address;
}

function transfer(
  task: Task, name: string, target: number, local: GuestAddr, locals: number, far: GuestAddr, fars: number, flags: number,
): number {
  const own = target === task.process.pid || task.process.hasThread(target);
  const view = own ? undefined : viewOfProcess(task, target);
  // An engine's thread, or nobody knows whose.
  if (view === null) return -errno.ESRCH;
  const here = translateIovecs(task, local, locals);
  const there = own ? translateIovecs(task, far, fars) : remote(task, view, far, fars);
  return task.call(name, target, here, exactSize(locals), there, exactSize(fars), exactSize(flags));
}

const support = full;

export const processVmSyscalls = [
  syscall({
    name: 'process_vm_readv', nr: { x86_64: 310, aarch64: 270 }, class: ['process'],
    args: {
      pid, lvec: iovec('liovcnt', 'out'), liovcnt: ulong, rvec: iovec('riovcnt', 'in'), riovcnt: ulong, flags: ulong,
    },
    ret: byteCount, support,
    run: (task, a) => transfer(task, 'process_vm_readv', a.pid, a.lvec, a.liovcnt, a.rvec, a.riovcnt, a.flags),
  }),
  syscall({
    name: 'process_vm_writev', nr: { x86_64: 311, aarch64: 271 }, class: ['process'],
    args: {
      pid, lvec: iovec('liovcnt', 'in'), liovcnt: ulong, rvec: iovec('riovcnt', 'out'), riovcnt: ulong, flags: ulong,
    },
    ret: byteCount, support,
    run: (task, a) => transfer(task, 'process_vm_writev', a.pid, a.lvec, a.liovcnt, a.rvec, a.riovcnt, a.flags),
  }),
];
