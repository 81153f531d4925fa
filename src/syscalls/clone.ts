/**
 * clone(2), clone3(2), fork(2), vfork(2): the arguments in their four forms, the kernel's checks, and which
 * combinations the engine cannot have. Making the process or thread is the maker's business (emulator/processes.ts).
 */

import { cloneFlags } from '../abi/constants/process.ts';
import { errno } from '../abi/errno.ts';
import type { CloneRequest } from '../kernel/process.ts';
import type { Task } from '../kernel/task.ts';
import { flags64, full, partial, pid, pointer, size, structInOut, structOut, syscall, ulong } from './declare.ts';

const c = cloneFlags.values;
/** clone3 only. */
const CLONE_CLEAR_SIGHAND = 2 ** 32;
const CLONE_INTO_CGROUP = 2 ** 33;
const CSIGNAL = 0xff;
const SIGCHLD = 17;
const MAX_SIGNAL = 64;
const MAX_PID_LEVELS = 32;
const CLONE_ARGS_FIRST = 64;
const CLONE_ARGS = 88;
const PAGE = 4096;

/** Is any of `bits` in a flag word of more than 32 bits? */
export function has(flags: number, bits: number): boolean {
  if (bits > 0xffff_ffff) return Math.floor(flags / bits) % 2 === 1;
  return ((flags >>> 0) & bits) !== 0;
}

/** copy_process()'s own checks, then ours. 0 or −errno. */
function check({ flags }: CloneRequest): number {
  const any = (bits: number): boolean => has(flags, bits);
  if (any(c.CLONE_FS) && (any(c.CLONE_NEWNS) || any(c.CLONE_NEWUSER))) return -errno.EINVAL;
  if (any(c.CLONE_THREAD) && !any(c.CLONE_SIGHAND)) return -errno.EINVAL;
  if (any(c.CLONE_SIGHAND) && !any(c.CLONE_VM)) return -errno.EINVAL;
  if (any(c.CLONE_THREAD) && any(c.CLONE_NEWUSER | c.CLONE_NEWPID)) return -errno.EINVAL;
  if (any(c.CLONE_PIDFD) && any(c.CLONE_DETACHED)) return -errno.EINVAL;
  if (any(c.CLONE_THREAD)) return 0;
  // A process that shares memory and goes on beside its parent would be a thread with an id of its own.
  if (any(c.CLONE_VM) && !any(c.CLONE_VFORK)) return -errno.EINVAL;
  // The descriptor table and the dispositions lie in the engine's memory, which another process does not share.
  if (any(c.CLONE_FILES | c.CLONE_SIGHAND)) return -errno.EINVAL;
  return 0;
}

function make(task: Task, request: CloneRequest): number {
  const refusal = check(request);
  return refusal < 0 ? refusal : task.process.maker.clone(task, request);
}

const plain: CloneRequest = {
  flags: 0,
  exitSignal: SIGCHLD,
  stack: 0,
  tls: 0n,
  parentTid: 0,
  childTid: 0,
  pidfd: 0,
  setTid: [],
  cgroup: -1,
};

/** clone3(2)'s structure. @throws GuestFault. */
function readArguments(task: Task, uargs: number, bytes: number): CloneRequest | number {
  if (bytes > PAGE) return -errno.E2BIG;
  if (bytes < CLONE_ARGS_FIRST) return -errno.EINVAL;
  const raw = task.memory.read(uargs, bytes);
  if (raw.subarray(CLONE_ARGS).some((b) => b !== 0)) return -errno.E2BIG;
  const whole = new Uint8Array(CLONE_ARGS);
  whole.set(raw.subarray(0, CLONE_ARGS));
  const view = new DataView(whole.buffer);
  const word = (at: number): number => Number(view.getBigUint64(at, true));
  const [flags, stack, stackSize, exitSignal] = [word(0), word(40), word(48), word(32)];
  const [setTid, setTidSize, cgroup] = [word(64), word(72), word(80)];
  if (setTidSize > MAX_PID_LEVELS) return -errno.EINVAL;
  if ((setTid === 0) !== (setTidSize === 0)) return -errno.EINVAL;
  if (exitSignal > CSIGNAL || exitSignal > MAX_SIGNAL) return -errno.EINVAL;
  if (has(flags, CLONE_INTO_CGROUP) && (cgroup > 0x7fff_ffff || bytes < CLONE_ARGS)) return -errno.EINVAL;
  const tids: number[] = [];
  for (let k = 0; k < setTidSize; k++) tids.push(task.memory.i32(setTid + 4 * k));
  if (flags >= 2 ** 34) return -errno.EINVAL;
  if (has(flags, c.CLONE_DETACHED | (CSIGNAL & ~c.CLONE_NEWTIME))) return -errno.EINVAL;
  if (has(flags, c.CLONE_SIGHAND) && has(flags, CLONE_CLEAR_SIGHAND)) return -errno.EINVAL;
  if (has(flags, c.CLONE_THREAD | c.CLONE_PARENT) && exitSignal !== 0) return -errno.EINVAL;
  if (stack === 0 ? stackSize !== 0 : stackSize === 0 || stack + stackSize > 2 ** 47) return -errno.EINVAL;
  return {
    flags,
    exitSignal,
    stack: stack === 0 ? 0 : stack + stackSize,
    tls: view.getBigUint64(56, true),
    parentTid: word(24),
    childTid: word(16),
    pidfd: word(8),
    setTid: tids,
    cgroup: has(flags, CLONE_INTO_CGROUP) ? cgroup : -1,
  };
}

const support = partial(
  'CLONE_VM needs CLONE_VFORK or CLONE_THREAD; CLONE_FILES and CLONE_SIGHAND need CLONE_THREAD; of what a CLONE_VM|CLONE_VFORK child does to memory, the parent sees the contents but not new mappings',
);

export const cloneSyscalls = [
  syscall({
    name: 'clone',
    nr: { x86_64: 56, aarch64: 220 },
    class: ['process'],
    args: {
      clone_flags: flags64('clone'),
      newsp: pointer,
      parent_tidptr: structOut('pid_t', 4),
      child_tidptr: structOut('pid_t', 4),
      tls: ulong,
    },
    ret: pid,
    support,
    run: (task, { clone_flags, newsp, parent_tidptr, child_tidptr }, frame) => {
      const flags = (clone_flags & ~CSIGNAL) >>> 0;
      const pidfd = has(flags, c.CLONE_PIDFD);
      if (pidfd && has(flags, c.CLONE_PARENT_SETTID)) return -errno.EINVAL;
      return make(task, {
        ...plain,
        flags,
        exitSignal: clone_flags & CSIGNAL,
        stack: newsp,
        tls: frame.u64[4] as bigint,
        parentTid: parent_tidptr,
        childTid: child_tidptr,
        pidfd: pidfd ? parent_tidptr : 0,
      });
    },
  }),
  syscall({
    name: 'clone3',
    nr: { x86_64: 435, aarch64: 435 },
    class: ['process'],
    args: { uargs: structInOut('clone_args', 88), size },
    ret: pid,
    support,
    run: (task, { uargs, size }) => {
      const request = readArguments(task, uargs, size);
      return typeof request === 'number' ? request : make(task, request);
    },
  }),
  syscall({
    name: 'fork',
    nr: { x86_64: 57 },
    class: ['process'],
    args: {},
    ret: pid,
    support: full,
    run: (task) => make(task, plain),
  }),
  syscall({
    name: 'vfork',
    nr: { x86_64: 58 },
    class: ['process'],
    args: {},
    ret: pid,
    support: partial('the parent sees what the child wrote to memory, but not mappings it made'),
    run: (task) => make(task, { ...plain, flags: c.CLONE_VM | c.CLONE_VFORK }),
  }),
];
