/**
 * prctl(2) and arch_prctl(2): what concerns the process as others see it goes to the host, what would change the
 * engine under the guest is kept for the guest alone, what cannot be done says so.
 */

import { errno } from '../abi/errno.ts';
import { archPrctl, prctlOptions } from '../abi/constants/process.ts';
import type { Process } from '../kernel/process.ts';
import { WORD } from '../kernel/process-block.ts';
import type { Task } from '../kernel/task.ts';
import { choice, int, partial, syscall, ulong } from './declare.ts';
import { setMode } from './seccomp.ts';

const pr = prctlOptions.values;
const arch = archPrctl.values;

/** execve makes a process dumpable again. */
export function prctlAfterExec(process: Process): void {
  process.block.set(WORD.undumpable, 0);
}

/** Options whose arguments are plain numbers and whose effect may reach the engine. */
const plain = new Set<number>([
  pr.PR_SET_PDEATHSIG, pr.PR_GET_KEEPCAPS, pr.PR_SET_KEEPCAPS, pr.PR_CAPBSET_READ, pr.PR_CAPBSET_DROP, pr.PR_GET_SECUREBITS,
  pr.PR_SET_SECUREBITS, pr.PR_SET_TIMERSLACK, pr.PR_GET_TIMERSLACK, pr.PR_TASK_PERF_EVENTS_DISABLE,
  pr.PR_TASK_PERF_EVENTS_ENABLE, pr.PR_MCE_KILL, pr.PR_MCE_KILL_GET, pr.PR_SET_CHILD_SUBREAPER, pr.PR_SET_THP_DISABLE,
  pr.PR_GET_THP_DISABLE, pr.PR_CAP_AMBIENT, pr.PR_GET_SPECULATION_CTRL, pr.PR_SET_SPECULATION_CTRL, pr.PR_SET_IO_FLUSHER,
  pr.PR_GET_IO_FLUSHER, pr.PR_SET_MEMORY_MERGE, pr.PR_GET_MEMORY_MERGE, pr.PR_SET_PTRACER, pr.PR_GET_TIMING, pr.PR_SET_TIMING,
]);
/** Those of them that change what the thread may. */
const credential = new Set<number>([pr.PR_SET_KEEPCAPS, pr.PR_CAPBSET_DROP, pr.PR_SET_SECUREBITS, pr.PR_CAP_AMBIENT]);
/** Options whose second argument points to an int or pointer the kernel writes. */
const writes = new Map<number, number>([
  [pr.PR_GET_PDEATHSIG, 4], [pr.PR_GET_CHILD_SUBREAPER, 4],
]);

export const prctlSyscalls = [
  syscall({
    name: 'prctl', nr: { x86_64: 157, aarch64: 167 }, args: { option: choice('prctl'), arg2: ulong, arg3: ulong, arg4: ulong, arg5: ulong }, ret: int,
    support: partial('PR_SET_MDWE and PR_SET_SYSCALL_USER_DISPATCH answer EINVAL, PR_SET_MM EPERM'),
    run: (task, { option, arg2, arg3, arg4, arg5 }, frame) => {
      if (plain.has(option)) {
        const result = task.call('prctl', option, frame.i64[1] as bigint, frame.i64[2] as bigint, frame.i64[3] as bigint, frame.i64[4] as bigint);
        if (result === 0 && credential.has(option)) Atomics.add(task.process.block.words, WORD.credentials, 1);
        return result;
      }
      const bytes = writes.get(option);
      if (bytes !== undefined) return task.call('prctl', option, task.pointer(arg2, bytes), arg3, arg4, arg5);
      return own(task, option, arg2, arg3, arg4, arg5);
    },
  }),
  syscall({
    name: 'arch_prctl', nr: { x86_64: 158 }, args: { option: choice('arch_prctl'), arg2: ulong }, ret: int,
    support: partial('the thread and gs bases, CPUID always on; no AMX, no shadow stacks'),
    run: (task, { option, arg2 }, frame) => {
      const value = frame.u64[1] as bigint;
      switch (option) {
        case arch.ARCH_SET_FS:
          if (value >= TASK_SIZE) return -errno.EPERM;
          task.cpu.tls = value;
          return 0;
        case arch.ARCH_SET_GS:
          if (value >= TASK_SIZE) return -errno.EPERM;
          return task.cpu.setRegister('gs_base', value) ? 0 : -errno.EINVAL;
        case arch.ARCH_GET_FS:
          task.memory.setU64(arg2, BigInt.asUintN(64, task.cpu.tls));
          return 0;
        case arch.ARCH_GET_GS:
          task.memory.setU64(arg2, BigInt.asUintN(64, task.cpu.getRegister('gs_base') ?? 0n));
          return 0;
        case arch.ARCH_GET_CPUID:
          return 1;
        case arch.ARCH_SET_CPUID:
          // As on a processor that cannot make CPUID fault.
          return -errno.ENODEV;
        default:
          return -errno.EINVAL;
      }
    },
  }),
];

/** The kernel's limit for bases: 47 bits less a page. */
const TASK_SIZE = 0x7fff_ffff_f000n;

function own(task: Task, option: number, arg2: number, arg3: number, arg4: number, arg5: number): number {
  const { block } = task.process;
  switch (option) {
    case pr.PR_SET_NAME: {
      task.comm = task.memory.readCString(arg2, 15).bytes;
      return 0;
    }
    case pr.PR_GET_NAME: {
      const name = new Uint8Array(16);
      name.set(task.comm);
      task.memory.write(arg2, name);
      return 0;
    }
    case pr.PR_GET_DUMPABLE:
      return 1 - block.get(WORD.undumpable);
    case pr.PR_SET_DUMPABLE:
      // Not passed on: it would take /proc/self away from the engine.
      if (arg2 > 1) return -errno.EINVAL;
      block.set(WORD.undumpable, 1 - arg2);
      return 0;
    case pr.PR_SET_NO_NEW_PRIVS: {
      if (arg2 !== 1 || arg3 !== 0 || arg4 !== 0 || arg5 !== 0) return -errno.EINVAL;
      const result = task.call('prctl', option, 1, 0, 0, 0);
      // A thread that begins later has what its creator has: no Worker of before may become it.
      if (result === 0) Atomics.add(block.words, WORD.credentials, 1);
      return result;
    }
    case pr.PR_GET_NO_NEW_PRIVS:
      if (arg2 !== 0 || arg3 !== 0 || arg4 !== 0 || arg5 !== 0) return -errno.EINVAL;
      return task.process.seccomp.noNewPrivs ? 1 : 0;
    case pr.PR_GET_SECCOMP:
      return task.process.seccomp.mode;
    case pr.PR_SET_SECCOMP:
      return setMode(task, arg2, arg3);
    case pr.PR_GET_TSC:
      // PR_TSC_ENABLE
      task.memory.setU32(arg2, 1);
      return 0;
    case pr.PR_SET_TSC:
      // A faulting RDTSC does not exist here.
      return arg2 === 1 ? 0 : -errno.EINVAL;
    case pr.PR_GET_TID_ADDRESS:
      task.memory.setU64(arg2, task.clearChildTid);
      return 0;
    case pr.PR_SET_VMA:
      return nameRange(task, arg2, arg3, arg4, arg5);
    case pr.PR_SCHED_CORE:
      return task.call('prctl', option, arg2, arg3, arg4, task.pointer(arg5, 8));
    case pr.PR_GET_AUXV: {
      if (arg4 !== 0 || arg5 !== 0) return -errno.EINVAL;
      const { auxv } = task.process.image;
      task.memory.write(arg2, auxv.subarray(0, Math.min(auxv.length, arg3)));
      return auxv.length;
    }
    case pr.PR_GET_MDWE:
      return arg2 === 0 && arg3 === 0 && arg4 === 0 && arg5 === 0 ? 0 : -errno.EINVAL;
    case pr.PR_SET_MM:
      return -errno.EPERM;
    default:
      return -errno.EINVAL;
  }
}

/** PR_SET_VMA_ANON_NAME, the only operation of PR_SET_VMA: shows in /proc/self/maps. */
function nameRange(task: Task, operation: number, start: number, length: number, name: number): number {
  if (operation !== 0 || start % PAGE !== 0) return -errno.EINVAL;
  let text = '';
  if (name !== 0) {
    const { bytes, terminated } = task.memory.readCString(name, 80);
    if (!terminated || bytes.some((b) => b < 0x20 || b > 0x7e || FORBIDDEN.includes(b))) return -errno.EINVAL;
    text = `[anon:${new TextDecoder('latin1').decode(bytes)}]`;
  }
  const { space } = task.process;
  const end = start + Math.ceil(length / PAGE) * PAGE;
  if (end === start) return 0;
  if (space.entries().some((m) => m.start < end && m.end > start && m.backing !== undefined)) return -errno.EBADF;
  const whole = space.isMapped(start, end);
  space.setName(start, end, text);
  return whole ? 0 : -errno.ENOMEM;
}

const PAGE = 4096;
/** \\ ` $ [ ] : what a name in /proc/self/maps may not hold. */
const FORBIDDEN: readonly number[] = [0x5c, 0x60, 0x24, 0x5b, 0x5d];
