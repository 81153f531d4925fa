/**
 * process_vm_readv(2) and process_vm_writev(2). On the process itself both sides are guest memory and bounded by it;
 * in another process the addresses are that process's own.
 */

import { errno } from '../abi/errno.ts';
import type { GuestAddr, HostAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { byteCount, iovec, partial, pid, syscall, ulong } from './declare.ts';
import { hostIovecs, MAX_IOVECS, readIovecs } from './iovecs.ts';

/** The remote array as the host is to get it: translated for this process, as it stands for another. */
function remote(task: Task, own: boolean, iov: GuestAddr, count: number): HostAddr {
  const segments = readIovecs(task, iov, count);
  if (typeof segments === 'number') return segments;
  if (own) return hostIovecs(task, segments);
  const raw = task.memory.read(iov, count * 16);
  const { at, address } = task.scratch(Math.max(16, raw.length));
  task.host.scratch.bytes.set(raw, at);
  return address;
}

function transfer(
  task: Task, name: string, target: number, local: GuestAddr, locals: number, far: GuestAddr, fars: number, flags: number,
): number {
  if (flags !== 0 || locals > MAX_IOVECS || fars > MAX_IOVECS) return -errno.EINVAL;
  const own = target === task.process.pid || task.process.tasks.has(target);
  const here = readIovecs(task, local, locals);
  if (typeof here === 'number') return here;
  const there = remote(task, own, far, fars);
  if (there < 0) return there;
  return task.call(name, target, hostIovecs(task, here), locals, there, fars, 0);
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
