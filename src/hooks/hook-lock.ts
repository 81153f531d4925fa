/**
 * The words that a process's threads share about its hooks, and the lock around Lua and everything else they share.
 *
 * Invariants: who holds the lock makes no system call of the guest's; waiting is a futex call of the host's own, so a
 * thread that waits holds nothing of V8's and counts as being in the kernel.
 */

import { errno } from '../abi/errno.ts';
import type { Host } from '../kernel/ports.ts';

export type SharedWords = Int32Array<SharedArrayBuffer>;

/** Indices into the words. */
export const word = {
  /** Rises when something in the rules directories changed; written by the host's helper thread. */
  changed: 0,
  /** 0: free, 1: taken, 2: taken, and somebody may be waiting. On a cache line of its own. */
  lock: 16,
  /** What `changed` was when changes were last taken. */
  taken: 32,
  /** Rises when the published state (hook-share.ts) changes. */
  generation: 33,
  /** Bytes of it. */
  length: 35,
  /** 1: some thread uses optimised code. */
  optimised: 36,
  /** Which Lua state there is: odd while there is one, the even number in between when there is none. */
  epoch: 34,
} as const;
const WORDS = 64;

export function sharedWords(): SharedWords {
  return new Int32Array(new SharedArrayBuffer(4 * WORDS));
}

const FUTEX_WAIT_PRIVATE = 128;
const FUTEX_WAKE_PRIVATE = 129;
/** Looks at a taken lock before sleeping: a hook often takes less time than falling asleep does. */
const SPINS = 200;

export class HookLock {
  /** By this thread. */
  held = false;
  readonly #words: SharedWords;
  readonly #host: Host;
  readonly #futex: number;
  readonly #address: number;

  constructor(words: SharedWords, host: Host) {
    this.#words = words;
    this.#host = host;
    this.#futex = host.nr['futex'] ?? -1;
    this.#address = host.sharedAddress(words.buffer);
  }

  take(): void {
    if (Atomics.compareExchange(this.#words, word.lock, 0, 1) !== 0) this.#contend(Number.POSITIVE_INFINITY);
    this.held = true;
  }

  /** As `take`, but give up after some milliseconds. */
  tryTake(milliseconds: number): boolean {
    if (Atomics.compareExchange(this.#words, word.lock, 0, 1) === 0) this.held = true;
    else this.held = this.#contend(performance.now() + milliseconds);
    return this.held;
  }

  release(): void {
    this.held = false;
    if (Atomics.exchange(this.#words, word.lock, 0) === 2) this.wake(word.lock, 1);
  }

  /** In a process whose only thread this is now: nobody holds it. */
  reset(): void {
    this.held = false;
    Atomics.store(this.#words, word.lock, 0);
  }

  /** Sleep until the word at `index` is no longer `value`, for some milliseconds at most. May return early. */
  sleep(index: number, value: number, milliseconds = Number.POSITIVE_INFINITY): void {
    const { scratch } = this.#host;
    const mark = scratch.mark();
    let timeout = 0;
    if (milliseconds !== Number.POSITIVE_INFINITY) {
      const at = scratch.alloc(16);
      scratch.view.setBigInt64(at, BigInt(Math.floor(milliseconds / 1000)), true);
      scratch.view.setBigInt64(at + 8, BigInt(Math.floor((milliseconds % 1000) * 1e6)), true);
      timeout = scratch.address + at;
    }
    const result = this.#host.syscall(this.#futex, this.#address + 4 * index, FUTEX_WAIT_PRIVATE, value, timeout);
    scratch.release(mark);
    const expected: readonly number[] = [0, -errno.EAGAIN, -errno.EINTR, -errno.ETIMEDOUT];
    if (!expected.includes(result)) throw new Error(`waiting for another thread's hook failed: the kernel says ${result}`);
  }

  wake(index: number, sleepers: number): void {
    this.#host.syscall(this.#futex, this.#address + 4 * index, FUTEX_WAKE_PRIVATE, sleepers);
  }

  #contend(until: number): boolean {
    const words = this.#words;
    for (let k = 0; k < SPINS; k++) {
      if (Atomics.load(words, word.lock) === 0 && Atomics.compareExchange(words, word.lock, 0, 1) === 0) return true;
    }
    while (Atomics.exchange(words, word.lock, 2) !== 0) {
      const left = until - performance.now();
      if (left <= 0) return false;
      this.sleep(word.lock, 2, left);
    }
    return true;
  }
}
