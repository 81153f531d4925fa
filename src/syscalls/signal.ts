/**
 * Signals: rt_sigaction(2), rt_sigprocmask(2), kill(2), sigaltstack(2), rt_sigtimedwait(2). The state is in
 * kernel/signals.ts; sending goes to the host kernel, which sends back through the host's stub.
 */

import { errno } from '../abi/errno.ts';
import { NSIG, sigbit, sigprocmaskHow, UNBLOCKABLE } from '../abi/signals.ts';
import { at, sigaction, stackT } from '../abi/structs.ts';
import { type GuestAddr, Unwind } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { isEngineThread } from './proc-entry.ts';
import {
  choice, forward, full, int, pid, signal, sigset, size, struct, structOut, syscall,
} from './declare.ts';

const SIGSET = 8;
const { SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK } = sigprocmaskHow.values;
const siginfo = struct('siginfo', 128);

export const signalSyscalls = [
  syscall({
    name: 'rt_sigaction', nr: { x86_64: 13, aarch64: 134 }, class: ['signal'],
    args: { sig: signal, act: struct('sigaction', 32), oact: structOut('sigaction', 32), sigsetsize: size }, support: full,
    run: (task, { sig, act, oact, sigsetsize }) => {
      if (sigsetsize !== SIGSET) return -errno.EINVAL;
      const { memory, process } = task;
      const raw = act === 0 ? undefined : memory.read(act, sigaction.size);
      if (sig < 1 || sig > NSIG || (raw !== undefined && (sigbit(sig) & UNBLOCKABLE) !== 0n)) return -errno.EINVAL;
      const old = process.signals.action(sig);
      if (raw !== undefined) {
        const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
        const result = process.signals.setAction(sig, {
          handler: Number(view.getBigUint64(at(sigaction, 'sa_handler'), true)),
          flags: view.getUint32(at(sigaction, 'sa_flags'), true),
          restorer: Number(view.getBigUint64(at(sigaction, 'sa_restorer'), true)),
          mask: view.getBigUint64(at(sigaction, 'sa_mask'), true),
        });
        if (result < 0) return result;
      }
      if (oact !== 0) {
        const out = new Uint8Array(sigaction.size);
        const view = new DataView(out.buffer);
        view.setBigUint64(at(sigaction, 'sa_handler'), BigInt(old.handler), true);
        view.setBigUint64(at(sigaction, 'sa_flags'), BigInt(old.flags), true);
        view.setBigUint64(at(sigaction, 'sa_restorer'), BigInt(old.restorer), true);
        view.setBigUint64(at(sigaction, 'sa_mask'), old.mask, true);
        memory.write(oact, out);
      }
      return 0;
    },
  }),
  syscall({
    name: 'rt_sigprocmask', nr: { x86_64: 14, aarch64: 135 }, class: ['signal'],
    args: { how: choice('sigprocmask'), nset: sigset('sigsetsize'), oset: sigset('sigsetsize', 'out'), sigsetsize: size }, support: full,
    run: (task, { how, nset, oset, sigsetsize }) => {
      if (sigsetsize !== SIGSET) return -errno.EINVAL;
      const { signals } = task.process;
      const old = signals.of(task).mask;
      if (nset !== 0) {
        const set = task.memory.u64(nset);
        if (how === SIG_BLOCK) signals.setMask(task, old | set);
        else if (how === SIG_UNBLOCK) signals.setMask(task, old & ~set);
        else if (how === SIG_SETMASK) signals.setMask(task, set);
        else return -errno.EINVAL;
      }
      if (oset !== 0) task.memory.setU64(oset, old);
      return 0;
    },
  }),
  syscall({
    name: 'rt_sigpending', nr: { x86_64: 127, aarch64: 136 }, class: ['signal'], args: { uset: sigset('sigsetsize', 'out'), sigsetsize: size }, support: full,
    run: (task, { uset, sigsetsize }) => {
      if (sigsetsize > SIGSET) return -errno.EINVAL;
      const set = new Uint8Array(SIGSET);
      new DataView(set.buffer).setBigUint64(0, task.process.signals.pending(task), true);
      task.memory.write(uset, set.subarray(0, sigsetsize));
      return 0;
    },
  }),
  syscall({
    name: 'rt_sigsuspend', nr: { x86_64: 130, aarch64: 133 }, class: ['signal', 'blocks'],
    args: { unewset: sigset('sigsetsize'), sigsetsize: size }, support: full, interrupted: 'eintr',
    run: (task, { unewset, sigsetsize }) => {
      if (sigsetsize !== SIGSET) return -errno.EINVAL;
      return suspend(task, task.memory.u64(unewset));
    },
  }),
  syscall({
    name: 'pause', nr: { x86_64: 34 }, class: ['signal', 'blocks'], args: {}, support: full, interrupted: 'eintr',
    run: (task) => suspend(task, task.process.signals.of(task).mask),
  }),
  syscall({
    name: 'rt_sigtimedwait', nr: { x86_64: 128, aarch64: 137 }, class: ['signal', 'blocks'],
    args: { uthese: sigset('sigsetsize'), uinfo: structOut('siginfo', 128), uts: struct('timespec', 16), sigsetsize: size },
    ret: signal, support: full, interrupted: 'eintr',
    run: (task, { uthese, uinfo, uts, sigsetsize }) => {
      if (sigsetsize !== SIGSET) return -errno.EINVAL;
      const set = task.memory.u64(uthese) & ~UNBLOCKABLE;
      const own = task.process.signals.takePending(task, set);
      if (own !== undefined) {
        if (uinfo !== 0) task.memory.write(uinfo, own.info);
        return own.signal;
      }
      const { at: place, address } = task.scratch(SIGSET);
      task.host.scratch.view.setBigUint64(place, set, true);
      const result = task.call('rt_sigtimedwait', address, task.pointer(uinfo, 128), task.pointer(uts, 16), SIGSET);
      if (result !== -errno.EINTR) return result;
      // The stub may have caught one of those waited for, since the host knows SIGSEGV and SIGBUS unblocked only.
      const caught = task.process.signals.takePending(task, set);
      if (caught === undefined) return result;
      if (uinfo !== 0) task.memory.write(uinfo, caught.info);
      return caught.signal;
    },
  }),
  syscall({
    name: 'rt_sigreturn', nr: { x86_64: 15, aarch64: 139 }, class: ['signal'], args: {}, support: full,
    resume: (task) => task.process.signals.sigreturn(task),
    run: (task) => {
      task.process.signals.sigreturn(task);
      throw new Unwind('sigreturn');
    },
  }),
  syscall({
    name: 'sigaltstack', nr: { x86_64: 131, aarch64: 132 }, class: ['signal'], args: { uss: struct('stack_t', 24), uoss: structOut('stack_t', 24) }, support: full,
    run: (task, { uss, uoss }) => {
      const { signals } = task.process;
      const old = signals.altstack(task);
      if (uss !== 0) {
        const raw = task.memory.read(uss, stackT.size);
        const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
        const wanted = {
          sp: Number(view.getBigUint64(at(stackT, 'ss_sp'), true)),
          flags: view.getUint32(at(stackT, 'ss_flags'), true),
          size: Number(view.getBigUint64(at(stackT, 'ss_size'), true)),
        };
        if ((old.flags & SS_ONSTACK) !== 0) return -errno.EPERM;
        const result = signals.setAltstack(task, wanted);
        if (result < 0) return result;
      }
      if (uoss !== 0) writeStack(task, uoss, old);
      return 0;
    },
  }),

  syscall({ name: 'kill', nr: { x86_64: 62, aarch64: 129 }, class: ['signal', 'process'], args: { pid, sig: signal }, support: full, run: forward }),
  syscall({
    name: 'tkill', nr: { x86_64: 200, aarch64: 130 }, class: ['signal', 'process'], args: { pid, sig: signal }, support: full,
    run: (task, { pid, sig }) => (isEngineThread(task, pid) ? -errno.ESRCH : task.call('tkill', pid, sig)),
  }),
  syscall({
    name: 'tgkill', nr: { x86_64: 234, aarch64: 131 }, class: ['signal', 'process'], args: { tgid: pid, pid, sig: signal }, support: full,
    run: (task, { tgid, pid, sig }) => (isEngineThread(task, pid) ? -errno.ESRCH : task.call('tgkill', tgid, pid, sig)),
  }),
  syscall({
    name: 'rt_sigqueueinfo', nr: { x86_64: 129, aarch64: 138 }, class: ['signal', 'process'], args: { pid, sig: signal, uinfo: siginfo }, support: full, run: forward,
  }),
  syscall({
    name: 'rt_tgsigqueueinfo', nr: { x86_64: 297, aarch64: 240 }, class: ['signal', 'process'],
    args: { tgid: pid, pid, sig: signal, uinfo: siginfo }, support: full,
    run: (task, { tgid, pid, sig, uinfo }) =>
      isEngineThread(task, pid) ? -errno.ESRCH : task.call('rt_tgsigqueueinfo', tgid, pid, sig, task.pointer(uinfo, 128)),
  }),
  syscall({
    name: 'restart_syscall', nr: { x86_64: 219, aarch64: 128 }, args: {}, ret: int, support: full,
    // Interrupted calls start again from their own arguments here; nothing waits to be continued.
    run: () => -errno.EINTR,
  }),
];

const SS_ONSTACK = 1;

/** Wait under `mask` for a signal that is delivered. */
function suspend(task: Task, mask: bigint): number {
  const { signals } = task.process;
  const { at: place, address } = task.scratch(SIGSET);
  task.host.scratch.view.setBigUint64(place, signals.hostMask(mask), true);
  return signals.withMask(task, mask, () => task.call('rt_sigsuspend', address, SIGSET));
}

function writeStack(task: Task, target: GuestAddr, stack: { sp: number; flags: number; size: number }): void {
  const out = new Uint8Array(stackT.size);
  const view = new DataView(out.buffer);
  view.setBigUint64(at(stackT, 'ss_sp'), BigInt(stack.sp), true);
  view.setUint32(at(stackT, 'ss_flags'), stack.flags >>> 0, true);
  view.setBigUint64(at(stackT, 'ss_size'), BigInt(stack.size), true);
  task.memory.write(target, out);
}

