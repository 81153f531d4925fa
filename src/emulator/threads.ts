/**
 * Guest threads: one Worker each, over the same guest memory. Owns the Workers, the mailbox by which a thread is given what
 * to do, and what execve does to the others.
 *
 * A Worker is made when no idle one is left, and used again when its thread has ended: starting one takes 15 to 70 ms. It
 * never comes back to its event loop; idle, it waits at its mail word with all signals blocked.
 *
 * The mailbox is one for the process. Whoever holds the process lock writes it, posts to the receiver's slot, and keeps
 * the lock until the receiver has said that it took the message.
 */

import type { Worker } from 'node:worker_threads';
import { cloneFlags } from '../abi/constants/process.ts';
import { errno } from '../abi/errno.ts';
import { addressOf } from '../host/ffi.ts';
import type { Machine } from '../host/machine.ts';
import { kick, pause } from '../host/world.ts';
import { futexWait, futexWake, PHASE, type ProcessBlock, WORD } from '../kernel/process-block.ts';
import type { CloneRequest, Process, ProgramRequest } from '../kernel/process.ts';
import type { SeccompState } from '../kernel/seccomp.ts';
import type { Task } from '../kernel/task.ts';
import { has } from '../syscalls/clone.ts';

const c = cloneFlags.values;
const ALL_SIGNALS = 0xffff_ffff_ffff_ffffn;

/** What a thread begins with. */
export interface NewThread {
  readonly kind: 'thread';
  readonly request: Pick<CloneRequest, 'flags' | 'stack' | 'parentTid' | 'childTid'>;
  /** As decimal strings: 64 bits. */
  readonly tls: string;
  readonly mask: string;
  readonly name: string;
  /** Its filters (kernel/seccomp.ts), and how many. */
  readonly seccomp: readonly [number, number];
  /** Floating point is translated exactly. */
  readonly exactFloat: boolean;
  /** The creator's, where somebody in the process has changed them: base64 of struct sched_attr and of a CPU mask, and ioprio. */
  readonly scheduling: { readonly attributes: string; readonly cpus: string; readonly io: number } | undefined;
}
/** The host thread must end: it cannot become what the next guest thread should be. */
export interface NoThread {
  readonly kind: 'end';
}
/** The main thread is to become a program that another thread has asked for. */
export interface NewProgram {
  readonly kind: 'program';
  readonly mask: string;
  readonly seccomp: SeccompState;
  readonly hostFd: number;
  readonly inaccessible: boolean;
  /** Base64. */
  readonly path: string;
  readonly argv: readonly string[];
  readonly envp: readonly string[];
  readonly comm: string | undefined;
}
export type Message = NewThread | NewProgram | NoThread;

/** Bytes of the mailbox: words `taken` and length of the text; the registers; the text. */
const REGISTERS = 64;
const TEXT = 4096;
const LARGEST = 16 << 20;

export class Mailbox {
  readonly buffer: SharedArrayBuffer;
  readonly #address: number;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(2 * TEXT, { maxByteLength: LARGEST })) {
    this.buffer = buffer;
    this.#address = addressOf(buffer);
    this.#words = new Int32Array(buffer);
    this.#bytes = new Uint8Array(buffer);
  }

  write(message: Message, registers: Uint8Array): void {
    const text = Buffer.from(JSON.stringify(message));
    if (TEXT + text.length > this.buffer.byteLength) this.buffer.grow(Math.min(LARGEST, TEXT + 2 * text.length));
    this.#words[1] = text.length;
    this.#bytes.set(registers, REGISTERS);
    this.#bytes.set(text, TEXT);
    Atomics.store(this.#words, 0, 0);
  }
  read(): Message {
    return JSON.parse(Buffer.from(this.#bytes.slice(TEXT, TEXT + (this.#words[1] as number))).toString()) as Message;
  }
  registers(size: number): Uint8Array {
    return this.#bytes.slice(REGISTERS, REGISTERS + size);
  }

  /** The receiver: the message was taken; `answer` is not 0. */
  taken(machine: Machine, answer: number): void {
    Atomics.store(this.#words, 0, answer);
    futexWake(machine.host, this.#address, 1);
  }
  /** The sender: what the receiver answered. */
  awaitTaken(machine: Machine): number {
    for (;;) {
      const answer = Atomics.load(this.#words, 0);
      if (answer !== 0) return answer;
      futexWait(machine.host, this.#address, 0);
    }
  }
}

export interface ThreadsOptions {
  /** Registers of the calling thread, all of them. */
  readonly registers: () => Uint8Array;
  readonly exactFloat: () => boolean;
  /** Start a Worker for the thread in `slot`. @throws where the system gives no thread. */
  readonly spawn: (slot: number, seen: number) => Worker;
  readonly mailbox: Mailbox;
}

export class Threads {
  readonly #machine: Machine;
  readonly #process: Process;
  readonly #block: ProcessBlock;
  readonly #options: ThreadsOptions;
  /** Kept from being collected. */
  readonly #workers: Worker[] = [];
  /** The mail word when the last message was taken. */
  #seen: number;

  /** `seen`: the thread's mail word before the first message to it. */
  constructor(machine: Machine, process: Process, options: ThreadsOptions, seen: number) {
    this.#seen = seen;
    this.#machine = machine;
    this.#process = process;
    this.#block = machine.host.block;
    this.#options = options;
  }

  /** clone(2) with CLONE_THREAD: the new thread's id, or −errno. */
  create(task: Task, request: CloneRequest): number {
    const { host, log } = this.#machine;
    const block = this.#block;
    block.lock(host);
    try {
      if (block.get(WORD.leaving) !== 0) return -errno.EAGAIN;
      log.begin();
      const { flags, stack, parentTid, childTid, tls } = request;
      const message: NewThread = {
        kind: 'thread',
        request: { flags, stack, parentTid, childTid },
        tls: String(has(flags, c.CLONE_SETTLS) ? tls : task.cpu.tls),
        mask: String(this.#process.signals.of(task).mask),
        name: Buffer.from(task.comm).toString('latin1'),
        seccomp: [block.seccomp(host.slotNumber), block.filters(host.slotNumber)],
        exactFloat: this.#options.exactFloat(),
        scheduling: block.get(WORD.scheduling) === 0 ? undefined : readScheduling(task),
      };
      Atomics.add(block.words, WORD.threads, 1);
      const tid = this.#give(message);
      if (tid < 0) Atomics.sub(block.words, WORD.threads, 1);
      return tid;
    } finally {
      block.unlock(host);
    }
  }

  /** Have an idle Worker or a new one take the message: the thread's id or −errno. */
  #give(message: NewThread): number {
    const { host } = this.#machine;
    const { mailbox } = this.#options;
    const block = this.#block;
    const credentials = block.get(WORD.credentials);
    for (const slot of block.slots(PHASE.idle)) {
      const fit = block.credentials(slot) === credentials;
      mailbox.write(fit ? message : { kind: 'end' }, this.#options.registers());
      block.post(host, slot);
      const tid = mailbox.awaitTaken(this.#machine);
      if (tid > 0) return tid;
    }
    const slot = block.claimSlot();
    if (slot < 0) return slot;
    block.setCredentials(slot, credentials);
    mailbox.write(message, this.#options.registers());
    if (!this.#spawn(slot)) return -errno.EAGAIN;
    block.post(host, slot);
    const tid = mailbox.awaitTaken(this.#machine);
    if (tid < 0) block.setPhase(slot, PHASE.free);
    return tid;
  }

  /** In a Worker: this host thread ends, and with it all that the engine has for it except what V8 keeps. */
  endHostThread(): never {
    const { host } = this.#machine;
    this.#block.setPhase(host.slotNumber, PHASE.free);
    this.#options.mailbox.taken(this.#machine, -1);
    for (;;) host.syscall(host.nr['exit'] as number, 0);
  }

  /** A new Worker, which inherits from the calling thread that all signals are blocked. */
  #spawn(slot: number): boolean {
    const { signals } = this.#machine;
    const mask = signals.getMask();
    signals.setMask(ALL_SIGNALS);
    try {
      this.#workers.push(this.#options.spawn(slot, this.#block.mail(slot)));
      return true;
    } catch {
      return false;
    } finally {
      signals.setMask(mask);
    }
  }

  /** Are all threads but one to leave, the calling one among them? */
  get mustLeave(): boolean {
    const leaving = this.#block.words[WORD.leaving] as number;
    return leaving !== 0 && leaving !== this.#machine.host.slotNumber + 1;
  }

  /**
   * execve's de_thread: all other threads leave. Afterwards the caller is the only one alive. False if the caller itself must
   * leave, for another thread was first.
   */
  becomeAlone(): boolean {
    const { host } = this.#machine;
    const block = this.#block;
    block.lock(host);
    const first = block.get(WORD.leaving) === 0;
    if (first) block.set(WORD.leaving, host.slotNumber + 1);
    block.unlock(host);
    if (!first) return false;
    for (let k = 0; ; k++) {
      const others = block.slots(PHASE.live).filter((slot) => slot !== host.slotNumber);
      if (others.length === 0) break;
      for (const slot of others) kick(host, slot);
      pause(host, k);
    }
    return true;
  }

  /** After `becomeAlone`: the process is one of one thread again. */
  settleAlone(): void {
    const block = this.#block;
    block.set(WORD.leaving, 0);
    block.set(WORD.several, 0);
    block.set(WORD.threads, 1);
  }

  /** After `becomeAlone`, in a thread that has not the process's id: the main thread is to become the program. */
  handOver(task: Task, request: ProgramRequest): void {
    const { host } = this.#machine;
    const block = this.#block;
    const pack = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
    const main = block.get(WORD.mainSlot);
    block.lock(host);
    this.#options.mailbox.write(
      {
        kind: 'program',
        mask: String(this.#process.signals.of(task).mask),
        seccomp: this.#process.seccomp.take(),
        hostFd: request.hostFd,
        inaccessible: request.inaccessible,
        path: pack(request.path),
        argv: request.argv.map(pack),
        envp: request.envp.map(pack),
        comm: request.comm === undefined ? undefined : pack(request.comm),
      },
      this.#options.registers(),
    );
    block.setPhase(host.slotNumber, PHASE.leaving);
    block.setPhase(main, PHASE.live);
    this.settleAlone();
    block.post(host, main);
    this.#options.mailbox.awaitTaken(this.#machine);
    block.unlock(host);
  }

  /** Wait for the next message to the thread in this slot; all signals are blocked meanwhile. */
  await(): Message {
    const { host, signals } = this.#machine;
    const block = this.#block;
    signals.setMask(ALL_SIGNALS);
    // Not before nothing of the last guest thread is on the stack: what it still does may need a lock that a creator holds.
    if (block.phase(host.slotNumber) === PHASE.leaving) block.setPhase(host.slotNumber, PHASE.idle);
    while (block.mail(host.slotNumber) === this.#seen) block.awaitMail(host, host.slotNumber, this.#seen);
    this.#seen = block.mail(host.slotNumber);
    return this.#options.mailbox.read();
  }
}

const SCHED_ATTR = 56;
const CPU_MASK = 128;
const IOPRIO_WHO_PROCESS = 1;

function readScheduling(task: Task): NewThread['scheduling'] {
  const { scratch } = task.host;
  const mark = scratch.mark();
  const attributes = task.scratch(SCHED_ATTR);
  const cpus = task.scratch(CPU_MASK);
  task.call('sched_getattr', 0, attributes.address, SCHED_ATTR, 0);
  const length = Math.max(0, task.call('sched_getaffinity', 0, CPU_MASK, cpus.address));
  const pack = (at: number, n: number): string => Buffer.from(scratch.bytes.subarray(at, at + n)).toString('base64');
  const read = { attributes: pack(attributes.at, SCHED_ATTR), cpus: pack(cpus.at, length), io: task.call('ioprio_get', IOPRIO_WHO_PROCESS, 0) };
  scratch.release(mark);
  return read;
}

/** Make the calling thread's scheduling that of the thread that created it. False if that is not allowed. */
export function applyScheduling(task: Task, wanted: NonNullable<NewThread['scheduling']>): boolean {
  const { scratch } = task.host;
  const mark = scratch.mark();
  const put = (text: string): { address: number; length: number } => {
    const bytes = Buffer.from(text, 'base64');
    const { at, address } = task.scratch(bytes.length);
    scratch.bytes.set(bytes, at);
    return { address, length: bytes.length };
  };
  const cpus = put(wanted.cpus);
  const done =
    task.call('sched_setattr', 0, put(wanted.attributes).address, 0) >= 0 &&
    task.call('sched_setaffinity', 0, cpus.length, cpus.address) >= 0 &&
    task.call('ioprio_set', IOPRIO_WHO_PROCESS, 0, wanted.io) >= 0;
  scratch.release(mark);
  return done;
}

export function requestOf(message: NewProgram): ProgramRequest {
  const unpack = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
  return {
    path: unpack(message.path),
    hostFd: message.hostFd,
    inaccessible: message.inaccessible,
    argv: message.argv.map(unpack),
    envp: message.envp.map(unpack),
    comm: message.comm === undefined ? undefined : unpack(message.comm),
  };
}
