/**
 * Signals of the guest: dispositions (per process), masks, pending queues and alternate stacks (per thread), and
 * when which handler runs. Knows no instruction set: what a handler's frame looks like is behind `SignalFrames`.
 *
 * How it lies on the host: a guest SIG_DFL or SIG_IGN is the host's own SIG_DFL or SIG_IGN, so default actions,
 * stops and ignored signals need nothing from us. A guest handler makes the host stub the disposition, which
 * queues signal and siginfo; the run loop then calls `deliverPending`. The guest's mask is the host thread's mask,
 * so that blocked signals stay pending in the kernel, where signalfd, rt_sigtimedwait and exec find them.
 *
 * Invariants:
 * - SIGSEGV and SIGBUS keep the engine's host disposition (V8 turns faults in guest code into traps) and are never
 *   blocked on the host; the stub queues those that were sent by somebody. The guest's disposition and mask for
 *   them are kept here alone.
 * - A signal in a thread's queue here has left the host kernel for good: it is delivered, or stays pending here.
 * - `deliverPending` runs with all guest registers stored and `cpu.pc` behind the system-call instruction.
 */

import { errno } from '../abi/errno.ts';
import { SIG_DFL, SIG_IGN, UNBLOCKABLE, defaultAction, NSIG, sa, SIGRTMIN, SYNCHRONOUS, sigbit, signo, ss } from '../abi/signals.ts';
import { type GuestAddr, GuestFault, type Host, NotEntered } from './ports.ts';
import type { Process } from './process.ts';
import type { Task } from './task.ts';

/**
 * What the host layer offers (src/host/signals.ts): dispositions, and one queue per thread that its stub fills.
 * Once a signal is queued the stub leaves everything blocked on the host thread until the next `setMask`, so the
 * kernel keeps later signals in its own order.
 */
export interface SignalPort {
  /** Will `take` give something? */
  readonly pending: boolean;
  /** The oldest queued signal with its 128 bytes of siginfo; undefined if there is none. */
  take(): { readonly signal: number; readonly info: Uint8Array } | undefined;
  /** Queue this signal from now on. Blocking calls return −EINTR. */
  catch(signal: number, flags?: { noChildStop?: boolean; noChildWait?: boolean }): void;
  setDefault(signal: number): void;
  ignore(signal: number): void;
  /** All 64 at once, as inherited over exec: bit n−1 set = ignored, else default. */
  restoreInherited(ignored: bigint): void;
  /** The host thread's mask (SIGSEGV and SIGBUS are never blocked there). */
  setMask(blocked: bigint): void;
}

/** A disposition as rt_sigaction has it. `handler` may be SIG_DFL or SIG_IGN. */
export interface SigAction {
  readonly handler: GuestAddr;
  /** sa_flags, unsigned 32 bits. */
  readonly flags: number;
  readonly restorer: GuestAddr;
  readonly mask: bigint;
}

/** One signal on its way to a handler. */
export interface Delivery {
  readonly signal: number;
  readonly action: SigAction;
  /** siginfo_t, 128 bytes. */
  readonly info: Uint8Array;
  /** Mask that rt_sigreturn is to restore. */
  readonly savedMask: bigint;
  /** Alternate stack with the flags as they were set (not as sigaltstack reports them), to be stored in the frame. */
  readonly altstack: AltStack;
  /** Where the frame is to be put below: the top of the alternate stack, or undefined for the current stack. */
  readonly stackTop: GuestAddr | undefined;
}

export interface AltStack {
  sp: GuestAddr;
  size: number;
  /** As given to sigaltstack; what it reports is computed. */
  flags: number;
}

/** What a frame holds beside registers. */
export interface Restored {
  readonly mask: bigint;
  readonly altstack: AltStack;
}

/** The part that depends on the instruction set (src/isa/x86_64/signal-frame.ts). */
export interface SignalFrames {
  /** Put the frame on the guest's stack and set the registers so that the handler runs next. @throws GuestFault */
  push(task: Task, delivery: Delivery): void;
  /** rt_sigreturn: load the registers from the frame the stack pointer points to. @throws GuestFault */
  pop(task: Task): Restored;
  /** Go back to the system-call instruction just executed, so that it runs again as number `nr`. */
  restart(task: Task, nr: number): void;
}

/** Signal state of one thread. */
export interface TaskSignals {
  /** Blocked signals as the guest sees them. */
  mask: bigint;
  /** While a call with a mask of its own (rt_sigsuspend, ppoll, …) ends in EINTR: the mask to come back to. */
  restoreMask: bigint | undefined;
  /** Taken from the host and not yet delivered, in order of arrival. */
  readonly pending: { readonly signal: number; readonly info: Uint8Array }[];
  altstack: AltStack;
  /** The call in progress ends in EINTR even under SA_RESTART (it had a time limit). */
  noRestart: boolean;
  /** What the host thread's mask was set to; −1: unknown, because the stub blocked everything. */
  hostMask: bigint;
}

const SEGV = { SEGV_MAPERR: 1, SEGV_ACCERR: 2 } as const;
const WORDS = 4;
const ALL = 0xffff_ffff_ffff_ffffn;
export const MINSIGSTKSZ = 2048;

/** The result of a call, −EINTR if a signal forestalled it. */
function entered(call: () => number): number {
  try {
    return call();
  } catch (error) {
    if (error instanceof NotEntered) return -errno.EINTR;
    throw error;
  }
}

export class Signals {
  readonly #process: Process;
  readonly #host: Host;
  readonly #port: SignalPort;
  readonly #frames: SignalFrames;
  /** Does an interrupted call with this number start again when the handler has SA_RESTART? */
  readonly #restarts: (nr: number) => boolean;
  /** handler, flags, restorer, mask per signal; shared memory, so that threads on other Workers see it. */
  readonly #actions: BigUint64Array;
  /** The same as 32-bit words, low ones first: numbers are quicker than BigInts. */
  readonly #actionWords: Uint32Array;
  readonly #tasks = new Map<Task, TaskSignals>();
  /** Whom `of` was asked for last. */
  #lastTask: Task | undefined;
  #lastState: TaskSignals | undefined;
  /** Something beside the host queue asks for deliverPending: a changed mask, a signal raised here. */
  #attention = false;
  /**
   * Called when the first handler for a synchronous fault appears, and when exec or a cleared fork drops them. Not when
   * the guest takes its handlers away: one that sets them around each evaluation would have all code translated anew.
   */
  onFaultHandlers: ((wanted: boolean) => void) | undefined;
  /** What it was told last. */
  #faultsTold = false;

  constructor(
    process: Process,
    port: SignalPort,
    frames: SignalFrames,
    restarts: (nr: number) => boolean,
    actions = new SharedArrayBuffer((NSIG + 1) * WORDS * 8),
  ) {
    this.#process = process;
    this.#host = process.host;
    this.#port = port;
    this.#frames = frames;
    this.#restarts = restarts;
    this.#actions = new BigUint64Array(actions);
    this.#actionWords = new Uint32Array(actions);
    process.block.publish('actions', process.host.sharedAddress(actions));
  }

  /**
   * The state a program starts with: what was ignored and blocked when lunagate was started (bit n−1 = signal n).
   * Sets every host disposition, which also undoes what Node did to them.
   */
  start(task: Task, ignored: bigint, blocked: bigint): void {
    for (let signal = 1; signal <= NSIG; signal++) {
      const handler = (ignored & sigbit(signal)) !== 0n ? SIG_IGN : SIG_DFL;
      this.#store(signal, { handler, flags: 0, restorer: 0, mask: 0n });
    }
    this.#port.restoreInherited(ignored);
    this.setMask(task, blocked);
  }

  /** Dispositions, for the Signals of another thread. */
  get shared(): SharedArrayBuffer {
    return this.#actions.buffer as SharedArrayBuffer;
  }

  /** A thread begins: nothing is pending, no alternate stack. Its mask is to be set. */
  begin(task: Task): void {
    this.#tasks.clear();
    this.#lastTask = undefined;
    this.of(task);
    while (this.#port.take() !== undefined);
    this.#attention = false;
    this.#faultsTold = this.handlesFaults;
  }

  /** execve: handlers become SIG_DFL, ignored signals stay so; mask and pending signals stay; no alternate stack. */
  exec(task: Task): void {
    for (let signal = 1; signal <= NSIG; signal++) {
      const { handler } = this.action(signal);
      if (handler === SIG_DFL) continue;
      this.#store(signal, { handler: handler === SIG_IGN ? SIG_IGN : SIG_DFL, flags: 0, restorer: 0, mask: 0n });
      if (handler !== SIG_IGN) this.#setHost(signal);
    }
    const state = this.of(task);
    state.altstack = { sp: 0, size: 0, flags: state.altstack.flags };
    this.#tellFaults(false);
  }

  /**
   * In the child of a fork: nothing is pending, other threads are gone. `clear`: CLONE_CLEAR_SIGHAND, handlers become
   * SIG_DFL.
   */
  afterFork(task: Task, clear: boolean): void {
    const state = this.of(task);
    this.#tasks.clear();
    this.#tasks.set(task, state);
    while (this.#port.take() !== undefined);
    state.pending.length = 0;
    this.#attention = false;
    if (clear) {
      for (let signal = 1; signal <= NSIG; signal++) {
        if (this.action(signal).handler <= SIG_IGN) continue;
        this.#store(signal, { handler: SIG_DFL, flags: 0, restorer: 0, mask: 0n });
        this.#setHost(signal);
      }
      this.#tellFaults(false);
    }
    // A signal that came to the parent just before has left everything blocked.
    state.hostMask = -1n;
    this.#applyMask(state);
  }

  /** The signal state of a thread. */
  of(task: Task): TaskSignals {
    if (task === this.#lastTask && this.#lastState !== undefined) return this.#lastState;
    let state = this.#tasks.get(task);
    if (state === undefined) {
      state = { mask: 0n, restoreMask: undefined, pending: [], altstack: { sp: 0, size: 0, flags: 0 }, noRestart: false, hostMask: -1n };
      this.#tasks.set(task, state);
    }
    this.#lastTask = task;
    this.#lastState = state;
    return state;
  }

  /** For a call whose restart depends on its arguments: the −EINTR it is about to return stands. */
  noRestart(task: Task): void {
    this.of(task).noRestart = true;
  }

  /** Forget a thread that ended. */
  drop(task: Task): void {
    this.#tasks.delete(task);
    this.#lastTask = undefined;
  }

  action(signal: number): SigAction {
    const at = signal * WORDS;
    return {
      handler: this.#actionNumber(at),
      flags: this.#actionWords[2 * (at + 1)] as number,
      restorer: this.#actionNumber(at + 2),
      mask: this.#actions[at + 3] as bigint,
    };
  }

  #actionNumber(at: number): number {
    return (this.#actionWords[2 * at] as number) + (this.#actionWords[2 * at + 1] as number) * 4294967296;
  }

  /** rt_sigaction's effect. 0 or −errno. */
  setAction(signal: number, action: SigAction): number {
    if (signal < 1 || signal > NSIG || (sigbit(signal) & UNBLOCKABLE) !== 0n) return -errno.EINVAL;
    // Disposition and host's disposition change as one.
    this.#process.log.change(() => {
      this.#store(signal, { ...action, mask: action.mask & ~UNBLOCKABLE & ALL });
      this.#setHost(signal);
      if (!this.#faultsTold && this.handlesFaults) this.#tellFaults(true);
    });
    if (this.#ignores(signal)) for (const state of this.#tasks.values()) discard(state, signal);
    return 0;
  }

  /** Has the guest a handler for any signal? Only then can a signal slip in before a blocking call. */
  get catches(): boolean {
    return this.#actionWords[0] !== 0;
  }

  #tellFaults(wanted: boolean): void {
    this.#faultsTold = wanted;
    this.onFaultHandlers?.(wanted);
  }

  /** Has the guest a handler for a fault its own instructions can raise? Then its code must be translated precisely. */
  get handlesFaults(): boolean {
    return [signo.SIGSEGV, signo.SIGBUS, signo.SIGFPE, signo.SIGILL, signo.SIGTRAP].some((s) => this.action(s).handler > SIG_IGN);
  }

  /** Set the guest's mask of a thread, and the host's with it. */
  setMask(task: Task, mask: bigint): void {
    const state = this.of(task);
    state.mask = mask & ~UNBLOCKABLE & ALL;
    this.#applyMask(state);
    if (state.pending.length > 0) this.#attention = true;
  }

  /** The mask as the host is to get it, for calls that pass one on: faults must reach the engine. */
  hostMask(mask: bigint): bigint {
    return mask & ~(sigbit(signo.SIGSEGV) | sigbit(signo.SIGBUS)) & ALL;
  }

  /**
   * Run a call that the host kernel performs under another mask (rt_sigsuspend, ppoll, pselect6, epoll_pwait). When
   * it ends in EINTR the signal is delivered under that mask, and the frame restores the old one.
   */
  withMask(task: Task, mask: bigint, call: () => number): number {
    const state = this.of(task);
    const saved = state.mask;
    state.mask = mask & ~UNBLOCKABLE & ALL;
    this.#drain(state);
    const result = this.#next(state) >= 0 ? -errno.EINTR : entered(call);
    if (result === -errno.EINTR) {
      state.restoreMask = saved;
      this.#attention = true;
    } else {
      state.mask = saved;
    }
    return result;
  }

  /** Signals pending in the thread and blocked, including the host kernel's. */
  pending(task: Task): bigint {
    const state = this.of(task);
    this.#drain(state);
    const { at, address } = task.scratch(8);
    let set = task.call('rt_sigpending', address, 8) === 0 ? this.#host.scratch.view.getBigUint64(at, true) : 0n;
    for (const { signal } of state.pending) set |= sigbit(signal);
    return set & state.mask;
  }

  /** Take a pending signal of `set` out of the thread's own queue (rt_sigtimedwait looks here first). */
  takePending(task: Task, set: bigint): { readonly signal: number; readonly info: Uint8Array } | undefined {
    const state = this.of(task);
    this.#drain(state);
    let best = -1;
    state.pending.forEach(({ signal }, k) => {
      if ((sigbit(signal) & set) !== 0n && (best < 0 || signal < (state.pending[best]?.signal ?? 0))) best = k;
    });
    return best < 0 ? undefined : state.pending.splice(best, 1)[0];
  }

  /**
   * A fault of the guest's own instruction (SIGSEGV, SIGILL, SIGFPE, …). Cannot be blocked or ignored: then, and
   * without a handler, the process dies by it. Otherwise the handler's frame is pushed.
   */
  raiseFault(task: Task, signal: number, info: Uint8Array): void {
    const state = this.of(task);
    const blocked = (state.mask & sigbit(signal)) !== 0n;
    const action = this.action(signal);
    if (blocked || action.handler <= SIG_IGN) this.#host.dieBySignal(signal);
    if (signal === signo.SIGSEGV) this.#correctSegvCode(info);
    this.#push(task, state, signal, info, action);
  }

  /** As the kernel's force_sig_info(): a signal that cannot be blocked or ignored, delivered before guest code goes on. */
  force(task: Task, signal: number, info: Uint8Array): void {
    const state = this.of(task);
    if ((state.mask & sigbit(signal)) !== 0n || this.action(signal).handler <= SIG_IGN) this.#host.dieBySignal(signal);
    state.pending.push({ signal, info });
    this.#attention = true;
  }

  /** Where the guest has nothing mapped the host has PROT_NONE: its SEGV_ACCERR is the guest's SEGV_MAPERR then. */
  #correctSegvCode(info: Uint8Array): void {
    const { SEGV_MAPERR, SEGV_ACCERR } = SEGV;
    const view = new DataView(info.buffer, info.byteOffset, info.byteLength);
    if (view.getInt32(8, true) !== SEGV_ACCERR) return;
    if (this.#process.space.find(Number(view.getBigUint64(16, true))) === undefined) view.setInt32(8, SEGV_MAPERR, true);
  }

  /** The run loop's cheap check: is there anything to do at all? */
  get wanted(): boolean {
    return this.#attention || this.#port.pending;
  }

  /**
   * Deliver what can be delivered and decide about the restart of an interrupted call. To be called after each
   * system call and whenever the host's flag is seen, with all registers stored. True if registers or pc changed:
   * the run loop continues at `cpu.pc`.
   */
  deliverPending(task: Task): boolean {
    if (!this.wanted && !task.notEntered) return false;
    let restart = task.interruptedNr;
    task.interruptedNr = -1;
    const state = this.of(task);
    const again = task.notEntered;
    task.notEntered = false;
    if (state.noRestart) restart = -1;
    state.noRestart = false;
    if (again && restart >= 0) {
      // The signal came first: its handler returns to the system-call instruction.
      this.#frames.restart(task, restart);
      restart = -1;
    }
    let arrived = 0;
    let changed = again;
    do {
      this.#attention = false;
      arrived += this.#drain(state);
      for (let k = this.#next(state); k >= 0; k = this.#next(state)) {
        const { signal, info } = takeAt(state.pending, k);
        const action = this.action(signal);
        if (action.handler === SIG_IGN) continue;
        if (action.handler === SIG_DFL) {
          this.#performDefault(signal);
          continue;
        }
        if (restart >= 0) {
          if ((action.flags & sa.SA_RESTART) !== 0 && this.#restarts(restart)) this.#frames.restart(task, restart);
          restart = -1;
        }
        this.#push(task, state, signal, info, action);
        changed = true;
      }
      if (state.restoreMask !== undefined) {
        state.mask = state.restoreMask;
        state.restoreMask = undefined;
      }
      // Lets the kernel send the next one, which then lies in the queue at once.
      this.#applyMask(state);
    } while (this.#port.pending);
    // Interrupted by something the guest does not get to see: as if it had not happened.
    if (restart >= 0 && arrived > 0 && this.#restarts(restart)) {
      this.#frames.restart(task, restart);
      changed = true;
    }
    this.#attention = false;
    return changed;
  }

  /** rt_sigreturn. @throws GuestFault never: a bad frame is a SIGSEGV of the guest. */
  sigreturn(task: Task): void {
    task.interruptedNr = -1;
    let restored: Restored;
    try {
      restored = this.#frames.pop(task);
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.#forceSegv(task, signo.SIGSEGV);
      return;
    }
    this.setMask(task, restored.mask);
    const state = this.of(task);
    if (!onStack(state.altstack, task.cpu.sp)) this.setAltstack(task, restored.altstack);
  }

  /** sigaltstack's state as it is reported: SS_ONSTACK while the stack pointer is on it. */
  altstack(task: Task): AltStack {
    const { altstack } = this.of(task);
    const on = onStack(altstack, task.cpu.sp) ? ss.SS_ONSTACK : 0;
    return { ...altstack, flags: (altstack.size === 0 ? ss.SS_DISABLE : on) | (altstack.flags & ss.SS_AUTODISARM) };
  }

  /** 0 or −errno (EINVAL for unknown flags, ENOMEM for a stack too small). */
  setAltstack(task: Task, wanted: AltStack): number {
    const mode = (wanted.flags & ~ss.SS_AUTODISARM) >>> 0;
    if (mode !== 0 && mode !== ss.SS_ONSTACK && mode !== ss.SS_DISABLE) return -errno.EINVAL;
    const state = this.of(task);
    if (mode === ss.SS_DISABLE) {
      state.altstack = { sp: 0, size: 0, flags: wanted.flags };
      return 0;
    }
    if (wanted.size < MINSIGSTKSZ) return -errno.ENOMEM;
    state.altstack = { sp: wanted.sp, size: wanted.size, flags: wanted.flags };
    return 0;
  }

  #push(task: Task, state: TaskSignals, signal: number, info: Uint8Array, action: SigAction): void {
    const savedMask = state.restoreMask ?? state.mask;
    const altstack = state.altstack;
    const useAlt = (action.flags & sa.SA_ONSTACK) !== 0 && state.altstack.size > 0 && !onStack(state.altstack, task.cpu.sp);
    const stackTop = useAlt ? state.altstack.sp + state.altstack.size : undefined;
    try {
      this.#frames.push(task, { signal, action, info, savedMask, altstack, stackTop });
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.#forceSegv(task, signal);
      return;
    }
    if ((state.altstack.flags & ss.SS_AUTODISARM) !== 0) state.altstack = { sp: 0, size: 0, flags: ss.SS_DISABLE };
    if ((action.flags & sa.SA_RESETHAND) !== 0) this.setAction(signal, { handler: SIG_DFL, flags: 0, restorer: 0, mask: 0n });
    state.restoreMask = undefined;
    const own = (action.flags & sa.SA_NODEFER) !== 0 ? 0n : sigbit(signal);
    this.setMask(task, state.mask | action.mask | own);
  }

  /** The frame could not be written or read: SIGSEGV, fatal if it was the one being delivered. */
  #forceSegv(task: Task, while_: number): void {
    const state = this.of(task);
    const action = this.action(signo.SIGSEGV);
    const blocked = (state.mask & sigbit(signo.SIGSEGV)) !== 0n;
    if (while_ === signo.SIGSEGV || blocked || action.handler <= SIG_IGN) this.#host.dieBySignal(signo.SIGSEGV);
    const info = new Uint8Array(128);
    const view = new DataView(info.buffer);
    view.setInt32(0, signo.SIGSEGV, true);
    view.setInt32(8, 0x80, true); // SI_KERNEL
    this.#push(task, state, signo.SIGSEGV, info, action);
  }

  #performDefault(signal: number): void {
    switch (defaultAction(signal)) {
      case 'ignore':
      case 'continue':
        return;
      case 'stop':
        this.#host.syscall(this.#host.nr['kill'] as number, this.#process.pid, signo.SIGSTOP);
        return;
      case 'terminate':
      case 'core':
        this.#host.dieBySignal(signal);
    }
  }

  #ignores(signal: number): boolean {
    const { handler } = this.action(signal);
    return handler === SIG_IGN || (handler === SIG_DFL && defaultAction(signal) === 'ignore');
  }

  /** Index of the next deliverable signal: faults first, then by number, as the kernel takes them. −1: none. */
  #next(state: TaskSignals): number {
    let best = -1;
    let rank = NSIG + 1;
    for (let k = 0; k < state.pending.length; k++) {
      const signal = state.pending[k]?.signal as number;
      if ((state.mask & sigbit(signal)) !== 0n) continue;
      const r = SYNCHRONOUS.includes(signal) ? signal - NSIG : signal;
      if (r < rank) {
        rank = r;
        best = k;
      }
    }
    return best;
  }

  /** Move everything from the host's queue to the thread's; how many came. */
  #drain(state: TaskSignals): number {
    let count = 0;
    while (this.#port.pending) {
      const taken = this.#port.take();
      if (taken === undefined) break;
      count++;
      state.hostMask = -1n;
      this.#attention = true;
      if (!this.#ignores(taken.signal) || (state.mask & sigbit(taken.signal)) !== 0n) enqueue(state, taken.signal, taken.info);
    }
    return count;
  }

  #applyMask(state: TaskSignals): void {
    if (state.mask === state.hostMask) return;
    state.hostMask = state.mask;
    this.#port.setMask(state.mask);
  }

  #store(signal: number, action: SigAction): void {
    const at = signal * WORDS;
    // There is no signal 0: its place says whether there was ever a handler.
    if (action.handler > SIG_IGN) this.#actions[0] = 1n;
    this.#actions[at] = BigInt(action.handler);
    this.#actions[at + 1] = BigInt(action.flags >>> 0);
    this.#actions[at + 2] = BigInt(action.restorer);
    this.#actions[at + 3] = action.mask;
  }

  /** Give the host the disposition that stands for the guest's. */
  #setHost(signal: number): void {
    const { handler, flags } = this.action(signal);
    if (handler === SIG_DFL && (flags & (sa.SA_NOCLDSTOP | sa.SA_NOCLDWAIT)) === 0) this.#port.setDefault(signal);
    else if (handler === SIG_IGN) this.#port.ignore(signal);
    else this.#port.catch(signal, { noChildStop: (flags & sa.SA_NOCLDSTOP) !== 0, noChildWait: (flags & sa.SA_NOCLDWAIT) !== 0 });
  }
}

/** Take entry `k`, mostly the last one there is. */
function takeAt<T>(list: T[], k: number): T {
  return (k === list.length - 1 ? list.pop() : list.splice(k, 1)[0]) as T;
}

/** Standard signals do not queue: one that is already pending is lost. Real-time ones do. */
function enqueue(state: TaskSignals, signal: number, info: Uint8Array): void {
  if (signal < SIGRTMIN && state.pending.some((p) => p.signal === signal)) return;
  state.pending.push({ signal, info });
}

function discard(state: TaskSignals, signal: number): void {
  for (let k = state.pending.length - 1; k >= 0; k--) if (state.pending[k]?.signal === signal) state.pending.splice(k, 1);
}

/** Is the stack pointer on the alternate stack? Not with SS_AUTODISARM, which takes the stack away instead. */
function onStack(stack: AltStack, sp: GuestAddr): boolean {
  if (stack.size === 0 || (stack.flags & ss.SS_AUTODISARM) !== 0) return false;
  return sp > stack.sp && sp - stack.sp <= stack.size;
}

/** siginfo_t of a signal from a process (kill, tkill, sigqueue): the layout `_rt`. */
export function sentInfo(signal: number, code: number, pid: number, uid: number, value = 0n): Uint8Array {
  const info = new Uint8Array(128);
  const view = new DataView(info.buffer);
  view.setInt32(0, signal, true);
  view.setInt32(8, code, true);
  view.setInt32(16, pid, true);
  view.setUint32(20, uid, true);
  view.setBigUint64(24, BigInt.asUintN(64, value), true);
  return info;
}

/** siginfo_t of a fault: the layout `_sigfault`. */
export function faultInfo(signal: number, code: number, address: number | bigint): Uint8Array {
  const info = new Uint8Array(128);
  const view = new DataView(info.buffer);
  view.setInt32(0, signal, true);
  view.setInt32(8, code, true);
  view.setBigUint64(16, BigInt.asUintN(64, BigInt(address)), true);
  return info;
}
