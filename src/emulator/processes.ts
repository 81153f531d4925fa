/**
 * New processes: fork(2) of the whole engine, what child and parent then do to be two guests, and vfork's bargain.
 *
 * A child that shares its parent's memory until it execs or exits (CLONE_VM with CLONE_VFORK) has a copy all the same;
 * when it lets go, it sends the pages it changed through a channel at whose end the parent has been waiting (see vfork.ts).
 */

import { cloneFlags } from '../abi/constants/process.ts';
import { Forker } from '../host/fork.ts';
import type { Machine } from '../host/machine.ts';
import { startWorld, stopWorld } from '../host/world.ts';
import type { CloneRequest, Process, ProcessMaker } from '../kernel/process.ts';
import type { Task } from '../kernel/task.ts';
import { has } from '../syscalls/clone.ts';
import type { Threads } from './threads.ts';
import { VforkChannel } from './vfork.ts';

const c = cloneFlags.values;
const CLONE_CLEAR_SIGHAND = 2 ** 32;
/** What the host kernel is to do; memory, thread and signal-handler flags are the engine's. */
const PASSED_ON =
  (c.CLONE_NEWTIME |
    c.CLONE_FS |
    c.CLONE_PARENT |
    c.CLONE_NEWNS |
    c.CLONE_SYSVSEM |
    c.CLONE_PARENT_SETTID |
    c.CLONE_CHILD_SETTID |
    c.CLONE_NEWCGROUP |
    c.CLONE_NEWUTS |
    c.CLONE_NEWIPC |
    c.CLONE_NEWUSER |
    c.CLONE_NEWPID |
    c.CLONE_NEWNET |
    c.CLONE_IO) >>>
  0;
const CLONE_ARGS = 88;
const PIDFD_NONE = -1;

/** What else is to be done where a process or thread is made. */
export interface AroundFork {
  beforeThread(): void;
  beforeProcess(): void;
  /** In the parent. */
  afterProcess(): void;
  /** Before, if there are several threads. */
  before(): void;
  /** In a child before guest code runs in it. */
  inChild(): void;
  /** After `before`, in whatever process this is then. */
  inParent(): void;
}

export class Processes implements ProcessMaker {
  readonly #machine: Machine;
  readonly #process: Process;
  readonly #around: AroundFork;
  readonly #threads: Threads;
  readonly #forker: Forker;
  /** The channel to a parent that waits for this process to let go of its memory. */
  #bargain: VforkChannel | undefined;

  constructor(machine: Machine, process: Process, threads: Threads, around: AroundFork) {
    this.#machine = machine;
    this.#process = process;
    this.#around = around;
    this.#threads = threads;
    this.#forker = new Forker(machine.host, process.procFd);
    process.beforeEnd.add(() => this.#letGo());
  }

  clone(task: Task, request: CloneRequest): number {
    if (has(request.flags, c.CLONE_THREAD)) {
      this.#around.beforeThread();
      return this.#threads.create(task, request);
    }
    this.#around.beforeProcess();
    const result = this.#cloneProcess(task, request);
    if (result !== 0) this.#around.afterProcess();
    return result;
  }

  #cloneProcess(task: Task, request: CloneRequest): number {
    const { block } = task.process;
    if (!block.several) return this.#makeProcess(task, request);
    // The child is made of this moment: nobody else may be changing anything, and nobody may hold a lock that it inherits.
    const { host, log } = this.#machine;
    this.#around.before();
    try {
      return log.change(() => {
        stopWorld(host);
        try {
          return this.#makeProcess(task, request);
        } finally {
          startWorld(host);
        }
      });
    } finally {
      this.#around.inParent();
    }
  }

  #makeProcess(task: Task, request: CloneRequest): number {
    const { fds, memory } = task;
    const wantsPidfd = has(request.flags, c.CLONE_PIDFD);
    // Written before and after: what cannot be written makes no process.
    if (wantsPidfd) memory.setU32(request.pidfd, memory.u32(request.pidfd));
    const guestFd = wantsPidfd ? fds.reserve() : PIDFD_NONE;
    if (wantsPidfd && guestFd < 0) return guestFd;
    const channel = has(request.flags, c.CLONE_VFORK) ? VforkChannel.make(this.#machine, this.#process) : undefined;
    if (typeof channel === 'number') {
      if (wantsPidfd) fds.cancel(guestFd);
      return channel;
    }
    const hostFd = task.scratch(8);
    const result = this.#fork(task, request, hostFd.address);
    if (result === 0) {
      if (wantsPidfd) fds.cancel(guestFd);
      this.#becomeChild(task, request, channel);
      return 0;
    }
    if (wantsPidfd) {
      if (result < 0) fds.cancel(guestFd);
      else {
        fds.install(guestFd, task.host.scratch.view.getInt32(hostFd.at, true), true);
        memory.setU32(request.pidfd, guestFd);
      }
    }
    if (channel !== undefined) {
      if (result < 0) channel.close();
      else channel.receive(has(request.flags, c.CLONE_VM));
    }
    return result;
  }

  /** The host's clone. `pidfdAt`: host address for the pidfd. */
  #fork(task: Task, request: CloneRequest, pidfdAt: number): number {
    const { flags, exitSignal, setTid, cgroup } = request;
    const passed = (flags & PASSED_ON) >>> 0;
    const parentTid = has(flags, c.CLONE_PARENT_SETTID) ? task.pointer(request.parentTid, 4) : 0;
    const childTid = has(flags, c.CLONE_CHILD_SETTID) ? task.pointer(request.childTid, 4) : 0;
    const pidfd = has(flags, c.CLONE_PIDFD);
    // clone3 only where clone cannot say it: filters of containers often refuse clone3.
    if (setTid.length === 0 && cgroup < 0 && !(pidfd && parentTid !== 0) && !has(flags, c.CLONE_NEWTIME)) {
      return this.#forker.clone({
        flags: ((passed | (pidfd ? c.CLONE_PIDFD : 0)) >>> 0) + exitSignal,
        parentTid: pidfd ? pidfdAt : parentTid,
        childTid,
      });
    }
    const { scratch } = task.host;
    const tids = task.scratch(Math.max(4, setTid.length * 4));
    setTid.forEach((tid, k) => scratch.view.setInt32(tids.at + 4 * k, tid, true));
    const args = task.scratch(CLONE_ARGS);
    const intoCgroup = cgroup >= 0 ? 2 ** 33 : 0;
    const words = [
      ((passed | (pidfd ? c.CLONE_PIDFD : 0)) >>> 0) + intoCgroup,
      pidfd ? pidfdAt : 0,
      childTid,
      parentTid,
      exitSignal,
      0,
      0,
      0,
      setTid.length > 0 ? tids.address : 0,
      setTid.length,
      cgroup >= 0 ? Math.max(0, task.hostFd(cgroup)) : 0,
    ];
    words.forEach((word, k) => scratch.view.setBigUint64(args.at + 8 * k, BigInt(word), true));
    return this.#forker.clone3(args.address, CLONE_ARGS);
  }

  #becomeChild(task: Task, request: CloneRequest, channel: VforkChannel | undefined): void {
    const { flags, stack, tls } = request;
    this.#process.afterFork(task);
    task.clearChildTid = has(flags, c.CLONE_CHILD_CLEARTID) ? request.childTid : 0;
    task.robustList = 0;
    this.#process.signals.afterFork(task, has(flags, CLONE_CLEAR_SIGHAND));
    // A grandchild owes the waiting grandparent nothing.
    this.#bargain?.close();
    this.#bargain = channel;
    channel?.keepWriting();
    if (!has(flags, c.CLONE_VM)) this.#machine.space.afterFork();
    if (stack !== 0) task.cpu.sp = stack;
    if (has(flags, c.CLONE_SETTLS)) task.cpu.tls = tls;
    this.#around.inChild();
  }

  /** The memory shared by vfork's bargain is about to go. */
  #letGo(): void {
    this.#bargain?.send();
    this.#bargain = undefined;
  }
}
