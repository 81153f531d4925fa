/**
 * Host signals as the engine receives them: which are caught, the queue the machine-code handler fills, the thread's
 * signal mask, the last memory fault. What a signal means to the guest is the kernel layer's business.
 *
 * While a caught signal waits to be taken, all others are blocked (the handler leaves it so): the kernel keeps them
 * in its own order, and `setMask` lets the next one come.
 */

import { readFileSync } from 'node:fs';
import type { LinuxHost } from './linux-host.ts';
import { otherThreads } from './other-threads.ts';
import { WORD } from '../kernel/process-block.ts';
import { BLOCK_ALL_BUT_FAULTS } from './stubs-x64.ts';
import {
  QUEUE_ENTRIES, SIGINFO_SIZE, SLOT_FAULT, SLOT_FLAG_POINTER, SLOT_HEAD, SLOT_MUTED, SLOT_OLD_MASK, SLOT_PENDING, SLOT_QUEUE, SLOT_SIZE,
  SLOT_STACK, SLOT_TAIL,
} from './thread-slot.ts';

const SIGBUS = 7;
const SIGSEGV = 11;
const SIG_SETMASK = 2;
const SIG_DFL = 0;
const SIG_IGN = 1;
const SA_SIGINFO = 0x4;
const SA_RESTORER = 0x0400_0000;
const SA_ONSTACK = 0x0800_0000;
const SA_NOCLDSTOP = 0x1;
const SA_NOCLDWAIT = 0x2;
const SA_RESTART = 0x1000_0000;
const SIGSET_BYTES = 8;
/** Of the low word of a mask, what the host may block: all but SIGSEGV and SIGBUS. */
const HOST_MASK = ~((1 << (SIGBUS - 1)) | (1 << (SIGSEGV - 1)));
const AT_FDCWD = -100;
/** The last real-time signal: nothing of Node's or the C library's own. */
const MUTING_SIGNAL = 64;
const MUTING_TRIES = 100_000;

/** One signal as the kernel delivered it: its number and the whole siginfo_t (128 bytes). */
export interface HostSignal {
  readonly signal: number;
  readonly info: Uint8Array;
}

/** What the kernel said about the thread's last memory fault. `count` tells a new one from an old one. */
export interface MemoryFault {
  readonly signal: number;
  readonly code: number;
  readonly hostAddress: number;
  readonly count: number;
}

/** Whether a thread of this process has `signal` blocked. */
function blocks(tid: number, signal: number): boolean {
  try {
    const mask = /^SigBlk:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/self/task/${tid}/status`, 'latin1'))?.[1];
    return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
  } catch {
    return true; // gone
  }
}

export class HostSignals {
  readonly #host: LinuxHost;
  /** The entries of the queue. */
  readonly #queue: readonly Uint8Array[];
  readonly #maskNumber: number;

  /** Gives the thread its alternate signal stack, without which no signal may be caught. */
  constructor(host: LinuxHost) {
    this.#host = host;
    this.#maskNumber = host.nr['rt_sigprocmask'] as number;
    const { buffer, byteOffset } = host.slot;
    this.#queue = Array.from({ length: QUEUE_ENTRIES }, (_, k) => new Uint8Array(buffer, byteOffset + SLOT_QUEUE + k * SIGINFO_SIZE, SIGINFO_SIZE));
    this.#withScratch(24, (at, view, address) => {
      view.setBigUint64(at, BigInt(host.slotAddress + SLOT_STACK), true);
      view.setBigUint64(at + 16, BigInt(SLOT_SIZE - SLOT_STACK), true);
      host.syscall(host.nr['sigaltstack']!, address, 0);
    });
  }

  /** Let the handler record where memory faults happen before V8 turns them into wasm traps; SIGBUS traps as well. */
  recordFaults(): void {
    if (this.#host.share.stubs.faultHandler === 0) return;
    for (const signal of [SIGSEGV, SIGBUS]) {
      this.#action(signal, this.#host.share.stubs.fault, SA_SIGINFO | SA_ONSTACK | SA_RESTORER);
    }
  }

  lastFault(): MemoryFault {
    const slot = this.#host.slot;
    return {
      signal: slot.getInt32(SLOT_FAULT, true),
      code: slot.getInt32(SLOT_FAULT + 4, true),
      hostAddress: Number(slot.getBigUint64(SLOT_FAULT + 8, true)),
      count: slot.getUint32(SLOT_FAULT + 16, true),
    };
  }

  /** Queue `signal` for `take`. No SA_RESTART: a blocked system call returns −EINTR. */
  catch(signal: number, flags: { noChildStop?: boolean; noChildWait?: boolean } = {}): void {
    if (signal === SIGSEGV || signal === SIGBUS) return this.#queueFaults(signal, true);
    const child = (flags.noChildStop ? SA_NOCLDSTOP : 0) | (flags.noChildWait ? SA_NOCLDWAIT : 0);
    this.#action(signal, this.#host.share.stubs.signal, SA_SIGINFO | SA_ONSTACK | SA_RESTORER | child);
  }

  setDefault(signal: number): void {
    if (signal === SIGSEGV || signal === SIGBUS) return this.#queueFaults(signal, false);
    this.#action(signal, SIG_DFL, 0);
  }

  /** SIGSEGV and SIGBUS stay caught, for wasm traps; the kernel layer drops those it finds in the queue. */
  ignore(signal: number): void {
    if (signal === SIGSEGV || signal === SIGBUS) return this.#queueFaults(signal, true);
    this.#action(signal, SIG_IGN, 0);
  }

  /** Undo what Node did to the signal dispositions: as inherited over exec, default or (by `ignored` bits) ignored. */
  restoreInherited(ignored: bigint): void {
    this.#muteOthers();
    for (let signal = 1; signal <= 64; signal++) {
      if (signal === 9 || signal === 19) continue;
      if ((ignored >> BigInt(signal - 1)) & 1n) this.ignore(signal);
      else this.setDefault(signal);
    }
  }

  /** True if `take` has something to give. */
  get pending(): boolean {
    return this.#host.slot.getInt32(SLOT_PENDING, true) !== 0;
  }

  /** Host address of a 32-bit word that is set to 1 when a signal arrives, beside the slot's own. */
  setFlagAddress(address: number): void {
    this.#host.slot.setBigUint64(SLOT_FLAG_POINTER, BigInt(address), true);
    this.#host.block.setFlagAddress(this.#host.slotNumber, address);
  }

  /** The oldest signal not yet taken. The polled flag is the caller's to clear. */
  take(): HostSignal | undefined {
    const slot = this.#host.slot;
    const tail = slot.getUint32(SLOT_TAIL, true);
    if (tail === slot.getUint32(SLOT_HEAD, true)) {
      slot.setInt32(SLOT_PENDING, 0, true);
      return undefined;
    }
    // Out of Buffer's pool: an array of its own would be memory of malloc's.
    const info = Buffer.from(this.#queue[tail % QUEUE_ENTRIES] as Uint8Array);
    slot.setUint32(SLOT_TAIL, (tail + 1) >>> 0, true);
    if (((tail + 1) >>> 0) === slot.getUint32(SLOT_HEAD, true)) slot.setInt32(SLOT_PENDING, 0, true);
    return { signal: info.readInt32LE(0), info };
  }

  /** The calling thread's signal mask. Memory faults are never blocked on the host: wasm traps need them. */
  setMask(blocked: bigint): void {
    // The slot's own place for a mask; the stubs that use it set it anew.
    const { slot, slotAddress } = this.#host;
    slot.setBigInt64(SLOT_OLD_MASK, blocked, true);
    slot.setInt32(SLOT_OLD_MASK, slot.getInt32(SLOT_OLD_MASK, true) & HOST_MASK, true);
    this.#host.syscall(this.#maskNumber, SIG_SETMASK, slotAddress + SLOT_OLD_MASK, 0, SIGSET_BYTES);
  }

  getMask(): bigint {
    let mask = 0n;
    this.#withScratch(8, (at, view, address) => {
      this.#host.syscall(this.#host.nr['rt_sigprocmask']!, 0, 0, address, SIGSET_BYTES);
      mask = view.getBigUint64(at, true);
    });
    return mask;
  }

  /** Have every other thread of the process block all signals. */
  #muteOthers(): void {
    const host = this.#host;
    const threads = otherThreads(host, AT_FDCWD, '/proc/self/task') ?? [];
    const { slot } = host;
    slot.setUint32(SLOT_MUTED, 0, true);
    this.#action(MUTING_SIGNAL, host.share.stubs.mute, SA_SIGINFO | SA_RESTART | SA_RESTORER);
    const pid = host.syscall(host.nr['getpid']!);
    let sent = 0;
    for (const tid of threads) {
      // One that blocks it already (Node's inspector thread blocks everything) would never run the handler.
      if (!blocks(tid, MUTING_SIGNAL) && host.syscall(host.nr['tgkill']!, pid, tid, MUTING_SIGNAL) === 0) sent++;
    }
    // Until all have run it the disposition must stay. They only sleep, so that is a matter of microseconds.
    for (let k = 0; k < MUTING_TRIES && slot.getUint32(SLOT_MUTED, true) < sent; k++) host.syscall(host.nr['sched_yield']!);
  }

  /** One switch for both: while either is queued, so is the other, and `take` gives it to the kernel layer. */
  #queueFaults(signal: number, queued: boolean): void {
    const { words } = this.#host.block;
    const bit = signal === SIGSEGV ? 1 : 2;
    if (queued) Atomics.or(words, WORD.queueFaults, bit);
    else Atomics.and(words, WORD.queueFaults, ~bit);
    this.recordFaults();
  }

  /** struct sigaction as rt_sigaction takes it: handler, flags, restorer, mask. */
  #action(signal: number, handler: number, flags: number): void {
    this.#withScratch(32, (at, view, address) => {
      view.setBigUint64(at, BigInt(handler), true);
      view.setBigUint64(at + 8, BigInt(flags), true);
      view.setBigUint64(at + 16, BigInt(flags & SA_RESTORER ? this.#host.share.stubs.restorer : 0), true);
      view.setBigUint64(at + 24, flags & SA_RESTORER ? BigInt.asUintN(64, BLOCK_ALL_BUT_FAULTS) : 0n, true);
      this.#host.syscall(this.#host.nr['rt_sigaction']!, signal, address, 0, SIGSET_BYTES);
    });
  }

  #withScratch(bytes: number, use: (at: number, view: DataView, address: number) => void): void {
    const scratch = this.#host.scratch;
    const mark = scratch.mark();
    const at = scratch.alloc(bytes);
    use(at, scratch.view, scratch.address + at);
    scratch.release(mark);
  }
}
