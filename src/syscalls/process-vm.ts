/**
 * process_vm_readv(2) and process_vm_writev(2). On the process itself both sides are guest memory and bounded by it;
 * in another process the addresses are that process's own.
 */

import type { GuestAddr, HostAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { byteCount, iovec, partial, pid, syscall, ulong } from './declare.ts';
import { exactSize } from './files.ts';
import { MAX_IOVECS, translateIovecs } from './iovecs.ts';

/** The remote array as the host is to get it: translated for this process, as it stands for another. */
function remote(task: Task, own: boolean, iov: GuestAddr, count: number): HostAddr {
  if (own) return translateIovecs(task, iov, count);
  const raw = count > MAX_IOVECS ? new Uint8Array(0) : task.memory.readPartial(iov, count * 16);
  if (raw.length < count * 16) return task.bad(iov);
  const { at, address } = task.scratch(Math.max(16, raw.length));
  task.host.scratch.bytes.set(raw, at);
  return address;
}

function transfer(
  task: Task, name: string, target: number, local: GuestAddr, locals: number, far: GuestAddr, fars: number, flags: number,
): number {
  const own = target === task.process.pid || task.process.hasThread(target);
  const here = translateIovecs(task, local, locals);
  const there = remote(task, own, far, fars);
  return task.call(name, target, here, exactSize(locals), there, exactSize(fars), exactSize(flags));
}

const support = partial('the memory of another lunagate process is addressed by its host addresses');

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
