/**
 * Who may stand between the guest and a system call: hooks, strace, audit. Each registers here with its place
 * in the order; per call number one feature word says who wants to see it, so that a call nobody wants costs
 * one array read more than without any of this.
 *
 * Invariants: a bit of a feature word is set only while its interceptor is registered; bit order is call order
 * (lowest bit = outermost = sees the guest's own request first and its final result last).
 */

import type { SyscallFrame } from './ports.ts';
import type { Task } from './task.ts';

/**
 * Runs what lies further in: the next interceptor that wants `frame.nr`, in the end the system call itself.
 * May be called zero or more times; the number and the arguments are those in `frame`, exact. The result is
 * ≥ 0 or −errno, exact to 64 bits.
 */
export type Next = (frame: SyscallFrame) => bigint;

export interface Interceptor {
  readonly name: string;
  /** `frame` is the guest's request; change a copy, not this one. Returns what the guest (or the next further out) sees. */
  intercept(task: Task, frame: SyscallFrame, next: Next): bigint;
}

/**
 * Usual places, outermost first: a log shows what the guest asked and got, not what a hook made of it. The guest's own filters
 * (seccomp) judge what the guest asks for; hooks stand for the kernel behind them, and what a hook does is not judged.
 */
export const interceptorOrder = { strace: 10, audit: 20, inject: 30, seccomp: 32, functions: 35, hooks: 40 } as const;

export interface Registration {
  /** Show system call `nr` to the interceptor, or no longer. Out-of-range numbers are accepted and ignored. */
  want(nr: number, on: boolean): void;
  /** All numbers, unknown ones included. */
  wantAll(on: boolean): void;
  remove(): void;
}

interface Entry {
  readonly order: number;
  readonly interceptor: Interceptor;
  readonly wants: Uint8Array;
}

/** Numbers at and above this share the last slot ("unknown numbers"). */
const SLOTS = 1024;

export class InterceptorSet {
  /** One word per system call number; bit k = the k-th interceptor in order wants it. Zero: nobody does. */
  readonly features = new Uint32Array(SLOTS + 1);
  /** Told of a feature word that may have changed; the last one is that of all numbers without a word of their own. */
  onFeature: ((slot: number, word: number) => void) | undefined;
  #entries: Entry[] = [];

  /** @throws RangeError when more than 32 are registered. */
  add(interceptor: Interceptor, order: number): Registration {
    if (this.#entries.length === 32) throw new RangeError('at most 32 interceptors');
    const entry: Entry = { order, interceptor, wants: new Uint8Array(SLOTS + 1) };
    this.#entries = [...this.#entries, entry].sort((a, b) => a.order - b.order);
    this.#rebuild();
    return {
      want: (nr, on) => {
        if (!(nr >= 0 && nr < SLOTS)) return;
        entry.wants[nr] = on ? 1 : 0;
        this.#update(nr);
      },
      wantAll: (on) => {
        entry.wants.fill(on ? 1 : 0);
        this.#rebuild();
      },
      remove: () => {
        this.#entries = this.#entries.filter((e) => e !== entry);
        this.#rebuild();
      },
    };
  }

  /** The feature word of a number, whatever the number. */
  feature(nr: number): number {
    return this.features[nr >= 0 && nr < SLOTS ? nr : SLOTS] as number;
  }

  /** Run `frame` through those interceptors from bit `from` on that want it, then `original`. */
  run(task: Task, frame: SyscallFrame, original: Next, from = 0): bigint {
    const word = this.feature(frame.nr) & (from === 32 ? 0 : -1 << from);
    if (word === 0) return original(frame);
    const bit = 31 - Math.clz32(word & -word);
    const entry = this.#entries[bit] as Entry;
    // Nobody further in, whatever number the inner call has: no closure is needed.
    if (bit + 1 === this.#entries.length) return entry.interceptor.intercept(task, frame, original);
    return entry.interceptor.intercept(task, frame, (inner) => this.run(task, inner, original, bit + 1));
  }

  #update(slot: number): void {
    let word = 0;
    this.#entries.forEach((e, bit) => {
      if (e.wants[slot]) word |= 1 << bit;
    });
    this.features[slot] = word;
    this.onFeature?.(slot, word);
  }

  #rebuild(): void {
    for (let slot = 0; slot <= SLOTS; slot++) this.#update(slot);
  }
}
