/**
 * Scheduling, priorities, limits and accounting: sched(7), getrlimit(2), getrusage(2).
 *
 * Limits that would bind the engine instead of the guest (RLIMIT_AS, DATA, STACK, NOFILE) are kept in the Process
 * and enforced there; the others are the host's.
 */

import { errno } from '../abi/errno.ts';
import { rlimits } from '../abi/constants/process.ts';
import type { Process } from '../kernel/process.ts';
import type { Task } from '../kernel/task.ts';
import type { SpaceLimits } from '../memory/address-space.ts';
import { bytesIn, bytesOut, choice, forward, full, int, partial, pid, struct, structInOut, structOut, syscall, uint } from './declare.ts';

const { RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_NOFILE } = rlimits.values;
/** Kept for the guest alone. */
const OWN: readonly number[] = [RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_NOFILE];
const RLIMITS = 16;
export const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;
/** fs.nr_open's default: no limit on descriptors can be above it. */
const NR_OPEN = 1048576n;
const CAP_SYS_RESOURCE = 24;

/** The limits that bind the guest's memory, as AddressSpace asks for them. */
export function spaceLimits(process: Process): SpaceLimits {
  const soft = (resource: number, unset: number): number => {
    const value = process.rlimits.get(resource)?.[0];
    if (value === undefined) return unset;
    return value === RLIM_INFINITY ? Number.POSITIVE_INFINITY : Number(value);
  };
  return {
    addressSpace: () => soft(RLIMIT_AS, Number.POSITIVE_INFINITY),
    data: () => soft(RLIMIT_DATA, Number.POSITIVE_INFINITY),
    stack: () => soft(RLIMIT_STACK, 8 << 20),
  };
}

const schedParam = struct('sched_param', 4);
const which = choice('priority');

export const schedulingSyscalls = [
  syscall({ name: 'sched_yield', nr: { x86_64: 24, aarch64: 124 }, args: {}, support: full, run: forward }),
  syscall({ name: 'sched_setscheduler', nr: { x86_64: 144, aarch64: 119 }, lasting: 'scheduling', args: { pid, policy: choice('sched'), param: schedParam }, support: full, run: forward }),
  syscall({ name: 'sched_getscheduler', nr: { x86_64: 145, aarch64: 120 }, args: { pid }, ret: choice('sched'), support: full, run: forward }),
  syscall({ name: 'sched_setparam', nr: { x86_64: 142, aarch64: 118 }, lasting: 'scheduling', args: { pid, param: schedParam }, support: full, run: forward }),
  syscall({ name: 'sched_getparam', nr: { x86_64: 143, aarch64: 121 }, args: { pid, param: structOut('sched_param', 4) }, support: full, run: forward }),
  syscall({ name: 'sched_get_priority_max', nr: { x86_64: 146, aarch64: 125 }, args: { policy: choice('sched') }, ret: int, support: full, run: forward }),
  syscall({ name: 'sched_get_priority_min', nr: { x86_64: 147, aarch64: 126 }, args: { policy: choice('sched') }, ret: int, support: full, run: forward }),
  syscall({
    name: 'sched_rr_get_interval', nr: { x86_64: 148, aarch64: 127 }, args: { pid, interval: structOut('timespec', 16) }, support: full, run: forward,
  }),
  syscall({
    name: 'sched_setaffinity', nr: { x86_64: 203, aarch64: 122 }, lasting: 'scheduling', args: { pid, len: uint, user_mask_ptr: bytesIn('len') }, support: full, run: forward,
  }),
  syscall({
    name: 'sched_getaffinity', nr: { x86_64: 204, aarch64: 123 }, args: { pid, len: uint, user_mask_ptr: bytesOut('len') }, ret: int, support: full, run: forward,
  }),
  syscall({
    name: 'sched_setattr', nr: { x86_64: 314, aarch64: 274 }, lasting: 'scheduling',
    args: { pid, uattr: structInOut('sched_attr', 56), flags: uint }, support: full,
    run: (task, { pid, uattr, flags }) => {
      // The structure says its own length.
      const length = uattr === 0 ? 0 : Math.max(56, task.memory.u32(uattr));
      return task.call('sched_setattr', pid, task.pointer(uattr, length), flags);
    },
  }),
  syscall({
    name: 'sched_getattr', nr: { x86_64: 315, aarch64: 275 },
    args: { pid, uattr: bytesOut('usize'), usize: uint, flags: uint }, support: full, run: forward,
  }),
  syscall({ name: 'getpriority', nr: { x86_64: 140, aarch64: 141 }, args: { which, who: int }, ret: int, support: full, run: forward }),
  syscall({ name: 'setpriority', nr: { x86_64: 141, aarch64: 140 }, lasting: 'scheduling', args: { which, who: int, niceval: int }, support: full, run: forward }),

  syscall({ name: 'ioprio_set', nr: { x86_64: 251, aarch64: 30 }, lasting: 'scheduling', args: { which: choice('ioprio_who'), who: int, ioprio: int }, support: full, run: forward }),
  syscall({ name: 'ioprio_get', nr: { x86_64: 252, aarch64: 31 }, args: { which: choice('ioprio_who'), who: int }, ret: int, support: full, run: forward }),

  syscall({
    name: 'getrlimit', nr: { x86_64: 97, aarch64: 163 }, args: { resource: choice('rlimit'), rlim: structOut('rlimit', 16) }, support: full,
    run: (task, { resource, rlim }) => limit(task, 0, resource, 0, rlim),
  }),
  syscall({
    name: 'setrlimit', nr: { x86_64: 160, aarch64: 164 }, args: { resource: choice('rlimit'), rlim: struct('rlimit', 16) }, support: full,
    run: (task, { resource, rlim }) => {
      // Other than prlimit64, setrlimit without a structure is a fault.
      if (rlim === 0) return -errno.EFAULT;
      return limit(task, 0, resource, rlim, 0);
    },
  }),
  syscall({
    name: 'prlimit64', nr: { x86_64: 302, aarch64: 261 },
    args: { pid, resource: choice('rlimit'), new_rlim: struct('rlimit', 16), old_rlim: structOut('rlimit', 16) },
    support: partial('RLIMIT_AS, DATA, STACK and NOFILE of another lunagate process are seen as the host has them'),
    run: (task, { pid, resource, new_rlim, old_rlim }) => limit(task, pid, resource, new_rlim, old_rlim),
  }),
  syscall({
    name: 'getrusage', nr: { x86_64: 98, aarch64: 165 },
    args: { who: choice('rusage'), ru: structOut('rusage', 144) },
    support: partial('counts the CPU time and memory of translation as well'), run: forward,
  }),
];

/** The guest's limit on a resource, soft and hard. */
export function limitOf(task: Task, resource: number): readonly [bigint, bigint] {
  const kept = task.process.rlimits.get(resource);
  if (kept !== undefined) return kept;
  const { at, address } = task.scratch(16);
  if (task.call('prlimit64', 0, resource, 0, address) < 0) return [RLIM_INFINITY, RLIM_INFINITY];
  const { view } = task.host.scratch;
  return [view.getBigUint64(at, true), view.getBigUint64(at + 8, true)];
}

function limit(task: Task, pid: number, resource: number, wanted: number, old: number): number {
  const { process } = task;
  if (resource >>> 0 >= RLIMITS) return -errno.EINVAL;
  if (!OWN.includes(resource) || (pid !== 0 && pid !== process.pid && !process.hasThread(pid))) {
    const result = task.call('prlimit64', pid, resource, task.pointer(wanted, 16), task.pointer(old, 16));
    // What was inherited is no longer what holds.
    if (result === 0 && wanted !== 0 && pid === 0) process.rlimits.delete(resource);
    return result;
  }
  const current = limitOf(task, resource);
  if (wanted !== 0) {
    const soft = task.memory.u64(wanted);
    const hard = task.memory.u64(wanted + 8);
    if (soft > hard) return -errno.EINVAL;
    if (resource === RLIMIT_NOFILE && hard > NR_OPEN) return -errno.EPERM;
    if (hard > current[1] && !hasCapability(task, CAP_SYS_RESOURCE)) return -errno.EPERM;
    process.rlimits.set(resource, [soft, hard]);
  }
  if (old !== 0) {
    task.memory.setU64(old, current[0]);
    task.memory.setU64(old + 8, current[1]);
  }
  return 0;
}

/** Is the capability in the calling thread's effective set? */
export function hasCapability(task: Task, capability: number): boolean {
  const { at, address } = task.scratch(32);
  const { view } = task.host.scratch;
  view.setUint32(at, 0x20080522, true);
  if (task.call('capget', address, address + 8) < 0) return false;
  const word = view.getUint32(at + 8 + 12 * (capability >> 5), true);
  return ((word >>> (capability & 31)) & 1) === 1;
}

