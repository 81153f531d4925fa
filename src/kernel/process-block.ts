/**
 * What the threads of a process share besides guest memory, as words of one block of shared memory: the process lock, the
 * word that stops the world, the table of threads, and the small state of the process that is not worth a log entry.
 *
 * Invariants:
 * - The block's host address never changes; futexes and machine code use it.
 * - A thread's entry belongs to its slot. Whoever takes or gives back entries holds the lock.
 * - With one thread nothing here is contended: the lock is not even taken (`several`).
 */

import { errno } from '../abi/errno.ts';
import type { Host, HostAddr } from './ports.ts';

/** Threads at one time; one slot of the host's arena each. */
export const MAX_THREADS = 4096;
const HEADER = 4096;
const ENTRY = 64;
export const BLOCK_SIZE = HEADER + MAX_THREADS * ENTRY;

/** 32-bit words of the header, by index. Those the machine code reads are named in host/stubs-x64.ts too. */
export const WORD = {
  /** Slot + 1 of the thread that stops all others; 0: the world runs. */
  stop: 0,
  /** The process lock: 0 free, 1 held, 2 held and somebody waits. */
  lock: 1,
  /** Non-zero: SIGSEGV and SIGBUS that were sent go to the thread's queue. A bit for each that the guest wants so. */
  queueFaults: 2,
  /** Guest threads that live. */
  threads: 3,
  /** There has been a second thread since the last execve or fork. */
  several: 4,
  cwdInProc: 5,
  personality: 6,
  undumpable: 7,
  /** Slot of the thread whose id is the process's. */
  mainSlot: 9,
  /** Slots at and above this were never used. */
  slotsUsed: 10,
  /** Last number given to memory that is known by identity (mapping.ts). */
  lastBacking: 11,
  /** Non-zero: the guest handles its own faults, code is precise. */
  precise: 13,
  /** Non-zero while all other threads are to leave for an execve: slot + 1 of the one that stays. */
  leaving: 14,
  /** Exit status of the main thread that has ended before others; the process's in the end. */
  exitStatus: 15,
  /** Fork: pool thread's descriptor + 1, whether memory is prepared, and (two words) the condition's address. */
  forkPool: 16,
  forkReady: 17,
  forkCondition: 18,
  /** What threads hold of V8's flags, three words: wasm/v8-flags.ts. */
  v8Flags: 20,
  /** How often a thread has changed what its host thread keeps: user, groups, capabilities, namespaces; scheduling. */
  credentials: 24,
  scheduling: 25,
} as const;
/** Byte offset of the limits: 16 times present, soft, hard, 64 bits each. */
const LIMITS = 1024;
const LIMIT_COUNT = 16;

/** Byte offset of what other guests' engines look for (syscalls/other-guest.ts): eight bytes to know it by, then doubles by PUBLIC. */
const PUBLIC_AT = 2048;
const MAGIC = 0x3130_6574_6167_756cn;
export const PUBLIC = {
  memoryBase: 1,
  memorySize: 2,
  /** Host addresses of the descriptor table, the signal actions, the image (image-record.ts), the mappings (memory/journal.ts). */
  descriptors: 3,
  actions: 4,
  image: 5,
  mappings: 6,
} as const;
/** As much of a block as says how large the rest is. */
export const BLOCK_HEADER = HEADER;

/** Words of a thread's entry. */
const THREAD = {
  /** 1 while the thread is in a host system call, where it touches nothing of the engine. */
  inKernel: 0,
  /** PHASE. */
  phase: 1,
  /** Guest and host id. */
  tid: 2,
  /** Futex word of the thread's mailbox: raised when there is something to do. */
  mail: 3,
  /** Host address of the word that translated code polls (f64 at byte 16). */
  flag: 4,
  /** set_robust_list's head (f64 at byte 24). */
  robust: 6,
  /** How far in the change log it has come, and in which epoch. */
  position: 8,
  epoch: 9,
  /** WORD.credentials when the host thread was made. */
  credentials: 10,
  /** Its filters, kernel/seccomp.ts, and how many they are. */
  seccomp: 11,
  filters: 12,
} as const;

/**
 * free: no host thread. idle: one that waits for a guest thread to run. live: runs one. leaving: its guest thread has ended, and it is on its
 * way to wait for another. ended: the main thread, which stays when its guest thread has ended.
 */
export const PHASE = { free: 0, idle: 1, live: 2, ended: 3, leaving: 4 } as const;

export class ProcessBlock {
  readonly buffer: SharedArrayBuffer;
  readonly address: HostAddr;
  readonly words: Int32Array;
  readonly #f64: Float64Array;
  readonly #limits: BigUint64Array;
  #held = 0;

  /** `address`: the buffer's host address. */
  constructor(buffer: SharedArrayBuffer, address: HostAddr) {
    this.buffer = buffer;
    this.address = address;
    this.words = new Int32Array(buffer);
    this.#f64 = new Float64Array(buffer);
    this.#limits = new BigUint64Array(buffer, LIMITS, LIMIT_COUNT * 3);
  }

  /** Tell other guests' engines. */
  publish(field: keyof typeof PUBLIC, value: number): void {
    this.#f64[PUBLIC_AT / 8 + PUBLIC[field]] = value;
    new BigUint64Array(this.buffer, PUBLIC_AT, 1)[0] = MAGIC;
  }
  published(field: keyof typeof PUBLIC): number {
    return this.#f64[PUBLIC_AT / 8 + PUBLIC[field]] as number;
  }
  /** Does a copy of memory hold a block? */
  static isBlock(bytes: Uint8Array): boolean {
    return bytes.length >= HEADER && new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(PUBLIC_AT, true) === MAGIC;
  }
  /** Bytes of a block with the entries that were ever used. */
  get used(): number {
    return HEADER + Math.min(this.get(WORD.slotsUsed), MAX_THREADS) * ENTRY;
  }

  get(word: number): number {
    return Atomics.load(this.words, word);
  }
  set(word: number, value: number): void {
    Atomics.store(this.words, word, value);
  }
  getFloat(word: number): number {
    return this.#f64[word >> 1] as number;
  }
  setFloat(word: number, value: number): void {
    this.#f64[word >> 1] = value;
  }
  /** A number nobody in the process was given before. */
  nextBacking(): number {
    return Atomics.add(this.words, WORD.lastBacking, 1) + 1;
  }

  /** More than one thread may be at work: state must be locked and changes told. */
  get several(): boolean {
    return this.words[WORD.several] !== 0;
  }
  get threadCount(): number {
    return Math.max(1, this.get(WORD.threads));
  }

  // ---- resource limits that bind the guest alone

  limit(resource: number): readonly [bigint, bigint] | undefined {
    const at = resource * 3;
    if (this.#limits[at] !== 1n) return undefined;
    return [this.#limits[at + 1] as bigint, this.#limits[at + 2] as bigint];
  }
  setLimit(resource: number, limit: readonly [bigint, bigint] | undefined): void {
    const at = resource * 3;
    this.#limits[at] = limit === undefined ? 0n : 1n;
    if (limit === undefined) return;
    this.#limits[at + 1] = limit[0];
    this.#limits[at + 2] = limit[1];
  }

  // ---- the lock

  /** Take the process lock. One thread may take it several times. Never held over a call that can wait for the guest. */
  lock(host: Host): void {
    if (this.#held++ > 0) return;
    if (Atomics.compareExchange(this.words, WORD.lock, 0, 1) === 0) return;
    while (Atomics.exchange(this.words, WORD.lock, 2) !== 0) futexWait(host, this.address + WORD.lock * 4, 2);
  }
  unlock(host: Host): void {
    if (--this.#held > 0) return;
    if (Atomics.exchange(this.words, WORD.lock, 0) === 2) futexWake(host, this.address + WORD.lock * 4, 1);
  }
  /** In the child of a fork, made with the lock held by this thread. */
  resetLock(): void {
    this.#held = 0;
    this.set(WORD.lock, 0);
  }

  // ---- threads

  /** Index of the first word of a thread's entry. */
  #entry(slot: number): number {
    return (HEADER + slot * ENTRY) >> 2;
  }
  entryAddress(slot: number): HostAddr {
    return this.address + HEADER + slot * ENTRY;
  }
  inKernel(slot: number): boolean {
    return Atomics.load(this.words, this.#entry(slot) + THREAD.inKernel) !== 0;
  }
  phase(slot: number): number {
    return Atomics.load(this.words, this.#entry(slot) + THREAD.phase);
  }
  setPhase(slot: number, phase: number): void {
    Atomics.store(this.words, this.#entry(slot) + THREAD.phase, phase);
  }
  tid(slot: number): number {
    return Atomics.load(this.words, this.#entry(slot) + THREAD.tid);
  }
  setTid(slot: number, tid: number): void {
    Atomics.store(this.words, this.#entry(slot) + THREAD.tid, tid);
  }
  robustList(slot: number): number {
    return this.#f64[(this.#entry(slot) + THREAD.robust) >> 1] as number;
  }
  setRobustList(slot: number, head: number): void {
    this.#f64[(this.#entry(slot) + THREAD.robust) >> 1] = head;
  }
  flagAddress(slot: number): HostAddr {
    return this.#f64[(this.#entry(slot) + THREAD.flag) >> 1] as number;
  }
  setFlagAddress(slot: number, address: HostAddr): void {
    this.#f64[(this.#entry(slot) + THREAD.flag) >> 1] = address;
  }
  /** How far the thread has come in the log of changes. */
  progress(slot: number): { epoch: number; position: number } {
    const at = this.#entry(slot);
    return { epoch: Atomics.load(this.words, at + THREAD.epoch), position: Atomics.load(this.words, at + THREAD.position) };
  }
  setProgress(slot: number, epoch: number, position: number): void {
    const at = this.#entry(slot);
    Atomics.store(this.words, at + THREAD.epoch, epoch);
    Atomics.store(this.words, at + THREAD.position, position);
  }
  credentials(slot: number): number {
    return Atomics.load(this.words, this.#entry(slot) + THREAD.credentials);
  }
  setCredentials(slot: number, count: number): void {
    Atomics.store(this.words, this.#entry(slot) + THREAD.credentials, count);
  }
  seccomp(slot: number): number {
    return Atomics.load(this.words, this.#entry(slot) + THREAD.seccomp);
  }
  filters(slot: number): number {
    return Atomics.load(this.words, this.#entry(slot) + THREAD.filters);
  }
  setSeccomp(slot: number, state: number, filters: number): void {
    Atomics.store(this.words, this.#entry(slot) + THREAD.seccomp, state);
    Atomics.store(this.words, this.#entry(slot) + THREAD.filters, filters);
  }
  /** Raise the thread's mail word and wake it if it waits there. */
  post(host: Host, slot: number): void {
    const at = this.#entry(slot) + THREAD.mail;
    Atomics.add(this.words, at, 1);
    futexWake(host, this.address + at * 4, 1);
  }
  mail(slot: number): number {
    return Atomics.load(this.words, this.#entry(slot) + THREAD.mail);
  }
  /** Wait until the mail word is no longer `seen`. A signal may end it early. */
  awaitMail(host: Host, slot: number, seen: number): void {
    futexWait(host, this.address + (this.#entry(slot) + THREAD.mail) * 4, seen);
  }

  /** A free slot, or −EAGAIN. Under the lock. */
  claimSlot(): number {
    const used = this.get(WORD.slotsUsed);
    for (let slot = 0; slot < used; slot++) if (this.phase(slot) === PHASE.free) return slot;
    if (used >= MAX_THREADS) return -errno.EAGAIN;
    this.set(WORD.slotsUsed, used + 1);
    return used;
  }
  /** Slots in a phase, ascending. */
  slots(phase: number): number[] {
    const found: number[] = [];
    const used = this.get(WORD.slotsUsed);
    for (let slot = 0; slot < used; slot++) if (this.phase(slot) === phase) found.push(slot);
    return found;
  }
  /** Slots of all host threads that are the engine's. */
  taken(): number[] {
    const found: number[] = [];
    const used = this.get(WORD.slotsUsed);
    for (let slot = 0; slot < used; slot++) if (this.phase(slot) !== PHASE.free) found.push(slot);
    return found;
  }
  /** The slot of a living guest thread; −1: there is none of this id. */
  slotOf(tid: number): number {
    return this.slots(PHASE.live).find((slot) => this.tid(slot) === tid) ?? -1;
  }
  /** Ids of the living guest threads, ascending. */
  tids(): number[] {
    return this.slots(PHASE.live)
      .map((slot) => this.tid(slot))
      .sort((a, b) => a - b);
  }

  /** In the child of a fork: `slot` is the only thread. */
  keepOnly(slot: number, tid: number): void {
    const used = this.get(WORD.slotsUsed);
    for (let k = 0; k < used; k++) if (k !== slot) this.setPhase(k, PHASE.free);
    this.setPhase(slot, PHASE.live);
    this.setTid(slot, tid);
    this.set(WORD.mainSlot, slot);
    this.set(WORD.threads, 1);
    this.set(WORD.several, 0);
    this.set(WORD.stop, 0);
    this.set(WORD.leaving, 0);
    this.resetLock();
  }
}

const FUTEX_WAIT_PRIVATE = 128;
const FUTEX_WAKE_PRIVATE = 129;

export function futexWait(host: Host, address: HostAddr, value: number): number {
  return host.syscall(host.nr['futex'] as number, address, FUTEX_WAIT_PRIVATE, value, 0);
}
export function futexWake(host: Host, address: HostAddr, count: number): void {
  host.syscall(host.nr['futex'] as number, address, FUTEX_WAKE_PRIVATE, count);
}
