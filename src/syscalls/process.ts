/**
 * Life of processes and threads: clone(2), execve(2), exit(2), wait(2), pidfd_open(2), namespaces, ptrace, seccomp.
 */

import { errno } from '../abi/errno.ts';
import { cloneFlags } from '../abi/constants/process.ts';
import { Unwind } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { cloneSyscalls } from './clone.ts';
import { viewOfProcess } from './proc-entry.ts';
import { leaveLocks } from './robust-list.ts';
import { seccompSyscalls } from './seccomp.ts';
import { openInProc } from './special-files.ts';
import {
  BAD_HOST_FD, bytesIn, choice, fd, flags, flags64, forward, full, hex, int, none, partial, path, pid, pointer, signal,
  struct, structOut, syscall, uint, ulong,
} from './declare.ts';
import { execSyscalls } from './exec.ts';

const { CLONE_FILES, CLONE_VM, CLONE_SIGHAND, CLONE_THREAD } = cloneFlags.values;

export const processSyscalls = [
  ...cloneSyscalls,
  ...execSyscalls,
  ...seccompSyscalls,

  syscall({
    name: 'exit', nr: { x86_64: 60, aarch64: 93 }, class: ['process'], args: { error_code: int }, support: full,
    run: (task, { error_code }) => {
      leaveLocks(task);
      task.process.endThread(task, error_code & 0xff);
      leaveThread(task);
      throw new Unwind('thread-exit');
    },
  }),
  syscall({
    name: 'exit_group', nr: { x86_64: 231, aarch64: 94 }, class: ['process'], args: { error_code: int }, support: full,
    run: (task, { error_code }) => task.process.end(error_code),
  }),
  syscall({
    name: 'wait4', nr: { x86_64: 61, aarch64: 260 }, class: ['process', 'blocks'],
    args: { upid: pid, stat_addr: structOut('int', 4), options: flags('wait'), ru: structOut('rusage', 144) },
    ret: pid, support: full, run: forward,
  }),
  syscall({
    name: 'waitid', nr: { x86_64: 247, aarch64: 95 }, class: ['process', 'blocks'],
    args: { which: choice('waitid'), upid: pid, infop: structOut('siginfo', 128), options: flags('wait'), ru: structOut('rusage', 144) },
    support: full,
    run: (task, { which, upid, infop, options, ru }) => {
      const P_PIDFD = 3;
      const target = which === P_PIDFD ? task.hostFd(upid) : upid;
      return task.call('waitid', which, target, task.pointer(infop, 128), options, task.pointer(ru, 144));
    },
  }),

  syscall({
    name: 'pidfd_open', nr: { x86_64: 434, aarch64: 434 }, class: ['desc'], args: { pid, flags: flags('pidfd_open') }, ret: fd, support: full,
    run: (task, { pid, flags }) => task.fds.open(() => task.call('pidfd_open', pid, flags), true),
  }),
  syscall({
    name: 'pidfd_send_signal', nr: { x86_64: 424, aarch64: 424 }, class: ['desc', 'signal', 'process'],
    args: { pidfd: fd, sig: signal, info: struct('siginfo', 128), flags: flags('pidfd_send_signal') }, support: full, run: forward,
  }),
  syscall({
    name: 'pidfd_getfd', nr: { x86_64: 438, aarch64: 438 }, class: ['desc'], args: { pidfd: fd, fd, flags: uint }, ret: fd,
    support: full,
    run: (task, args) => {
      if (args.flags !== 0) return -errno.EINVAL;
      const host = task.hostFd(args.pidfd);
      // Signal 0 tells a pidfd from other descriptors and a live process from a dead one.
      const alive = task.call('pidfd_send_signal', host, 0, 0, 0);
      if (alive < 0 && alive !== -errno.EPERM) return alive === -errno.EINVAL ? -errno.EBADF : alive;
      const pid = processOf(task, host);
      if (pid === task.process.pid) return task.fds.open(() => task.call('fcntl', task.hostFd(args.fd), F_DUPFD_CLOEXEC, 3), true);
      const view = viewOfProcess(task, pid);
      if (view === null) return -errno.EPERM;
      const wanted = view === undefined ? args.fd : args.fd < 0 ? BAD_HOST_FD : view.fds.host(args.fd);
      return task.fds.open(() => task.call('pidfd_getfd', host, wanted, 0), true);
    },
  }),
  syscall({
    name: 'process_mrelease', nr: { x86_64: 448, aarch64: 448 }, class: ['desc', 'memory'], args: { pidfd: fd, flags: uint }, support: full, run: forward,
  }),

  syscall({
    name: 'set_tid_address', nr: { x86_64: 218, aarch64: 96 }, args: { tidptr: pointer }, ret: pid, support: full,
    run: (task, { tidptr }) => {
      task.clearChildTid = tidptr;
      return task.tid;
    },
  }),
  syscall({
    name: 'unshare', nr: { x86_64: 272, aarch64: 97 }, class: ['process'], lasting: 'credentials', args: { unshare_flags: flags('clone') },
    support: partial('CLONE_NEWUSER fails with EINVAL, as for every process of several threads: the engine has them'),
    run: (task, { unshare_flags }) => {
      // For the guest's one thread nothing is shared; the engine's own threads stay as they are.
      const alone = CLONE_FILES | CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
      const rest = task.process.threadCount <= 1 ? unshare_flags & ~alone : unshare_flags;
      return rest === 0 ? 0 : task.call('unshare', rest >>> 0);
    },
  }),
  syscall({
    name: 'setns', nr: { x86_64: 308, aarch64: 268 }, class: ['desc'], lasting: 'credentials', args: { fd, flags: flags('clone') },
    support: partial('user namespaces fail with EINVAL, as for every process of several threads: the engine has them'), run: forward,
  }),
  syscall({
    name: 'rseq', nr: { x86_64: 334, aarch64: 293 }, args: { rseq: pointer, rseq_len: uint, flags: flags('rseq'), sig: hex },
    support: none('translated code cannot be restarted at an instruction; libc falls back as on old kernels'),
  }),

  syscall({
    name: 'ptrace', nr: { x86_64: 101, aarch64: 117 }, class: ['process'], args: { request: choice('ptrace'), pid, addr: ulong, data: ulong },
    support: none('a tracee\'s registers are not the host\'s; a gdb stub is planned instead'),
  }),
  syscall({
    name: 'kcmp', nr: { x86_64: 312, aarch64: 272 }, class: ['process'], args: { pid1: pid, pid2: pid, type: choice('kcmp'), idx1: ulong, idx2: ulong }, ret: int,
    support: partial('no KCMP_EPOLL_TFD'),
    run: (task, { pid1, pid2, type, idx1, idx2 }) => {
      const KCMP_FILE = 0;
      const KCMP_EPOLL_TFD = 7;
      if (type === KCMP_EPOLL_TFD) return -errno.EOPNOTSUPP;
      if (type !== KCMP_FILE) return task.call('kcmp', pid1, pid2, type, idx1, idx2);
      const fd1 = descriptorOf(task, pid1, idx1);
      const fd2 = descriptorOf(task, pid2, idx2);
      return fd1 === undefined || fd2 === undefined ? -errno.EPERM : task.call('kcmp', pid1, pid2, KCMP_FILE, fd1, fd2);
    },
  }),
  syscall({
    name: 'acct', nr: { x86_64: 163, aarch64: 89 }, class: ['file'], args: { name: path },
    support: none('accounting of the whole system is not for a guest to switch'),
  }),
  syscall({
    name: 'kexec_load', nr: { x86_64: 246, aarch64: 104 }, args: { entry: ulong, nr_segments: ulong, segments: pointer, flags: flags64('kexec_load') },
    support: none('a guest does not replace the host kernel'),
  }),
  syscall({
    name: 'kexec_file_load', nr: { x86_64: 320, aarch64: 294 }, class: ['desc'],
    args: { kernel_fd: fd, initrd_fd: fd, cmdline_len: ulong, cmdline: bytesIn('cmdline_len'), flags: flags64('kexec_file_load') },
    support: none('a guest does not replace the host kernel'),
  }),
];

const F_DUPFD_CLOEXEC = 1030;

/** What the kernel does when a thread ends before others: clear the word of set_tid_address and wake who waits on it. */
export function leaveThread(task: Task): void {
  const word = task.clearChildTid;
  if (word === 0) return;
  task.clearChildTid = 0;
  try {
    task.memory.setU32(word, 0);
  } catch {
    return; // unmapped: the kernel ignores that as well
  }
  task.call('futex', task.pointer(word, 4), 1, 1);
}

/** The process that a pidfd stands for, by fdinfo's "Pid:" line; −1: it has ended. */
function processOf(task: Task, hostFd: number): number {
  const info = openInProc(task, `self/fdinfo/${hostFd}`, 0o2000000);
  if (info < 0) return -1;
  const { at, address } = task.scratch(1024);
  const length = task.call('read', info, address, 1024);
  task.call('close', info);
  const text = new TextDecoder().decode(task.host.scratch.bytes.slice(at, at + Math.max(0, length)));
  return Number(/^Pid:\t(-?\d+)$/m.exec(text)?.[1] ?? -1);
}

/** The host's number of a process's descriptor; undefined where it is not known whose it is. */
function descriptorOf(task: Task, pid: number, fd: number): number | undefined {
  if (pid === task.process.pid || task.process.hasThread(pid)) return task.hostFd(fd);
  const view = viewOfProcess(task, pid);
  return view === null ? undefined : view === undefined ? fd : view.fds.host(fd);
}
