/**
 * futex(2) and its relatives, robust lists: the guest's futex words are host memory, so the host kernel's futexes
 * are the guest's, across processes as well.
 */

import { errno } from '../abi/errno.ts';
import { futexFlags, futexOps } from '../abi/constants/process.ts';
import { at, futexWaitv } from '../abi/structs.ts';
import type { GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { array, choice, flags, full, int, pid, pointer, size, struct, structOut, syscall, uint, ulong, partial } from './declare.ts';

const op = futexOps.values;
const CMD_MASK = ~(futexFlags.values.FUTEX_PRIVATE_FLAG | futexFlags.values.FUTEX_CLOCK_REALTIME);
/** The fourth argument is a timeout for these, a number for the others. */
const timed = new Set<number>([
  op.FUTEX_WAIT, op.FUTEX_LOCK_PI, op.FUTEX_LOCK_PI2, op.FUTEX_WAIT_BITSET, op.FUTEX_WAIT_REQUEUE_PI,
]);
const ROBUST_LIST_HEAD = 24;
const MAX_WAITV = 128;

/** A wait with a time limit ends in EINTR whatever the handler's flags: futex(2), signal(7). */
function limited(task: Task, word: number, utime: GuestAddr): void {
  if (timed.has(word & CMD_MASK) && utime !== 0) task.process.signals.noRestart(task);
}

export const futexSyscalls = [
  syscall({
    name: 'futex', nr: { x86_64: 202, aarch64: 98 }, class: ['blocks'],
    args: { uaddr: pointer, op: choice('futex'), val: uint, utime: struct('timespec', 16), uaddr2: pointer, val3: uint },
    ret: int, support: full,
    quick: { op: [op.FUTEX_WAIT, op.FUTEX_WAKE, op.FUTEX_WAIT_BITSET, op.FUTEX_WAKE_BITSET], uaddr2: 'ignored' },
    afterInterruption: (task, { op, utime }) => limited(task, op, utime),
    run: (task, { uaddr, op: word, val, utime, uaddr2, val3 }, frame) => {
      const command = word & CMD_MASK;
      const fourth = timed.has(command) ? task.pointer(utime, 16) : (frame.i64[3] as bigint);
      const result = task.call('futex', task.pointer(uaddr, 4), word, val, fourth, task.pointer(uaddr2, 4), val3);
      if (result === -errno.EINTR) limited(task, word, utime);
      return result;
    },
  }),
  syscall({
    name: 'futex_waitv', nr: { x86_64: 449, aarch64: 449 }, class: ['blocks'],
    args: { waiters: array('futex_waitv', 24, 'nr_futexes'), nr_futexes: uint, flags: uint, timeout: struct('timespec', 16), clockid: choice('clock') },
    ret: int, support: full,
    run: (task, { waiters, nr_futexes, flags, timeout, clockid }) => {
      if (flags !== 0 || nr_futexes === 0 || nr_futexes > MAX_WAITV || waiters === 0) return -errno.EINVAL;
      const raw = task.memory.read(waiters, futexWaitv.size * nr_futexes);
      const { at: place, address } = task.scratch(raw.length);
      const { bytes, view } = task.host.scratch;
      bytes.set(raw, place);
      for (let k = 0; k < nr_futexes; k++) {
        const word = place + k * futexWaitv.size + at(futexWaitv, 'uaddr');
        view.setBigUint64(word, BigInt(task.pointer(Number(view.getBigUint64(word, true)), 4)), true);
      }
      const result = task.call('futex_waitv', address, nr_futexes, flags, task.pointer(timeout, 16), clockid);
      if (result === -errno.EINTR && timeout !== 0) task.process.signals.noRestart(task);
      return result;
    },
  }),
  syscall({
    name: 'futex_wake', nr: { x86_64: 454, aarch64: 454 }, args: { uaddr: pointer, mask: ulong, nr: int, flags: flags('futex2') }, ret: int, support: full,
    run: (task, { uaddr, nr, flags }, frame) => task.call('futex_wake', task.pointer(uaddr, 4), frame.i64[1] as bigint, nr, flags),
  }),
  syscall({
    name: 'futex_wait', nr: { x86_64: 455, aarch64: 455 }, class: ['blocks'],
    args: { uaddr: pointer, val: ulong, mask: ulong, flags: flags('futex2'), timeout: struct('timespec', 16), clockid: choice('clock') },
    support: full,
    run: (task, { uaddr, flags, timeout, clockid }, frame) => {
      const result = task.call(
        'futex_wait', task.pointer(uaddr, 4), frame.i64[1] as bigint, frame.i64[2] as bigint, flags, task.pointer(timeout, 16), clockid,
      );
      if (result === -errno.EINTR && timeout !== 0) task.process.signals.noRestart(task);
      return result;
    },
  }),
  syscall({
    name: 'futex_requeue', nr: { x86_64: 456, aarch64: 456 },
    args: { waiters: struct('futex_waitv[2]', 48), flags: uint, nr_wake: int, nr_requeue: int }, ret: int, support: full,
    run: (task, { waiters, flags, nr_wake, nr_requeue }) => {
      if (waiters === 0) return -errno.EINVAL;
      const { at: place, address } = task.scratch(2 * futexWaitv.size);
      const { bytes, view } = task.host.scratch;
      bytes.set(task.memory.read(waiters, 2 * futexWaitv.size), place);
      for (let k = 0; k < 2; k++) {
        const word = place + k * futexWaitv.size + at(futexWaitv, 'uaddr');
        view.setBigUint64(word, BigInt(task.pointer(Number(view.getBigUint64(word, true)), 4)), true);
      }
      return task.call('futex_requeue', address, flags, nr_wake, nr_requeue);
    },
  }),

  syscall({
    name: 'set_robust_list', nr: { x86_64: 273, aarch64: 99 }, args: { head: pointer, len: size },
    support: partial('kept and reported; locks of a process that dies are not marked'),
    run: (task, { head, len }) => {
      if (len !== ROBUST_LIST_HEAD) return -errno.EINVAL;
      task.robustList = head;
      return 0;
    },
  }),
  syscall({
    name: 'get_robust_list', nr: { x86_64: 274, aarch64: 100 }, args: { pid, head_ptr: structOut('pointer', 8), len_ptr: structOut('size_t', 8) },
    support: partial('of the calling process only'),
    run: (task, { pid, head_ptr, len_ptr }) => {
      const { block } = task.process;
      const slot = pid === 0 ? task.host.slotNumber : block.slotOf(pid);
      if (slot < 0) return task.call('kill', pid, 0) === -errno.ESRCH ? -errno.ESRCH : -errno.EPERM;
      task.memory.setU64(len_ptr, ROBUST_LIST_HEAD);
      task.memory.setU64(head_ptr, block.robustList(slot));
      return 0;
    },
  }),
];
