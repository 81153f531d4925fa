/**
 * fork(2) of this very process, Node and V8 included. The child is a process of one thread that goes on where the
 * call was made; it keeps all translated code. Four things make that sound; without any one of them children hang or
 * die:
 *
 * 1. V8 marks its memory MADV_DONTFORK. Before the first fork the C library's madvise() is patched to ignore that
 *    advice (no system-call filter: that would show in the guest's /proc and cost every call), and marks made before
 *    are undone.
 * 2. V8 works without helper threads (the launcher's flags). The one pool thread that Node starts all the same waits
 *    on a condition variable which V8 signals at a garbage collection; in the child that waiter does not exist, and
 *    signalling would wait for it for ever: the child zeroes the variable.
 * 3. No other thread is inside V8, Node or malloc at that moment: the pool thread is seen waiting before each fork,
 *    guest threads are the caller's business.
 * 4. The child never returns to libuv's loop, whose descriptors it shares with its parent. (Nothing ever does once
 *    guest code runs.)
 */

import { libcSyscall, libraryFunction, viewNative } from './ffi.ts';
import type { LinuxHost } from './linux-host.ts';
import { WORD } from '../kernel/process-block.ts';
import { otherThreads } from './other-threads.ts';
import { PAGE_SIZE, placeCode } from './stubs.ts';
import { Assembler } from './assembler.ts';

const MADV_DONTFORK = 10;
const MADV_DOFORK = 11;
const PROT_READ_EXEC = 5;
const PROT_ALL = 7;
const O_CLOEXEC = 0o2000000;
/** sizeof(pthread_cond_t), and where in it a waiter's futex words lie (two of them). */
const CONDITION_SIZE = 48;
const CONDITION_FUTEX = 40;
const EAGAIN = 11;
const FUTEX_WAIT_BITSET = 9;
/** Values of WORD.forkPool; others are a descriptor and one. */
const UNKNOWN = 0;
const NONE = -1;
/** How often to look whether the pool thread has gone idle, and how long to wait in between (ns). */
const IDLE_TRIES = 2000;
const IDLE_PAUSE = 100_000;

/** Arguments of clone(2) that the host kernel is to act on. Pointers are host addresses. */
export interface HostClone {
  /** CLONE_ flags with the exit signal in the low byte, as clone(2) has it. */
  readonly flags: number;
  readonly parentTid: number;
  readonly childTid: number;
}

export class Forker {
  readonly #host: LinuxHost;
  /** Host descriptor on /proc, which may have gone from the guest's root by now. */
  readonly #proc: number;

  /**
   * The first one of the process opens the pool thread's /proc entry `syscall` at once: a guest that changes its user
   * changes it for its own threads only, and cannot open what belongs to another.
   */
  constructor(host: LinuxHost, procFd: number) {
    this.#host = host;
    this.#proc = procFd;
    if (host.block.get(WORD.forkPool) !== UNKNOWN) return;
    const tid = otherThreads(host, procFd, 'self/task')?.find(
      (t) => this.#read(`self/task/${t}/comm`).trim() === 'node-V8Worker',
    );
    const fd = tid === undefined ? -1 : this.#open(`self/task/${tid}/syscall`, O_CLOEXEC);
    host.block.set(WORD.forkPool, fd < 0 ? NONE : fd + 1);
  }

  /** −1: there is no such thread, as in a child. */
  get #poolThread(): number {
    const known = this.#host.block.get(WORD.forkPool);
    return known === NONE ? -1 : known - 1;
  }

  /** The child's pid, 0 in the child, or −errno. */
  clone(how: HostClone): number {
    const refusal = this.#prepare();
    if (refusal < 0) return refusal;
    const { host } = this;
    const result = host.syscall(host.nr['clone'] as number, how.flags, 0, how.parentTid, how.childTid, 0);
    if (result === 0) this.#inChild();
    return result;
  }

  /** As `clone` with a clone_args structure that lies at a host address. */
  clone3(address: number, size: number): number {
    const refusal = this.#prepare();
    if (refusal < 0) return refusal;
    const { host } = this;
    const result = host.syscall(host.nr['clone3'] as number, address, size);
    if (result === 0) this.#inChild();
    return result;
  }

  get host(): LinuxHost {
    return this.#host;
  }

  #inChild(): void {
    const { block } = this.#host;
    const condition = block.getFloat(WORD.forkCondition);
    if (condition > 0) new Uint8Array(viewNative(condition, CONDITION_SIZE)).fill(0);
    if (this.#poolThread >= 0) this.#host.syscall(this.#host.nr['close'] as number, this.#poolThread);
    block.set(WORD.forkPool, NONE);
    block.setFloat(WORD.forkCondition, 0);
  }

  #prepare(): number {
    const futex = this.#poolThread < 0 ? 0 : this.#awaitIdle();
    if (futex < 0) return futex;
    const { block } = this.#host;
    if (futex > 0) block.setFloat(WORD.forkCondition, Math.floor(futex / 8) * 8 - CONDITION_FUTEX);
    if (block.get(WORD.forkReady) === 0) {
      this.#keepMemory();
      block.set(WORD.forkReady, 1);
    }
    return 0;
  }

  // ---- memory

  /** From now on V8's memory goes to children. */
  #keepMemory(): void {
    const { nr } = this.#host;
    ignoreDontFork(nr);
    for (const [start, end] of this.#privateAnonymous()) {
      // Refused for the few kinds of memory that can never be inherited: those are not V8's.
      this.#host.syscall(nr['madvise'] as number, start, end - start, MADV_DOFORK);
    }
  }

  /** Private memory without a file, the kernel's own pages left out. */
  *#privateAnonymous(): Iterable<[number, number]> {
    for (const [, start, end, name] of this.#read('self/maps').matchAll(
      /^([0-9a-f]+)-([0-9a-f]+) ...p \S+ \S+ 0 *(.*)$/gm,
    )) {
      if (start === undefined || end === undefined || /^\[v(?:var|dso|syscall)/.test(name ?? '')) continue;
      yield [Number.parseInt(start, 16), Number.parseInt(end, 16)];
    }
  }

  // ---- the pool thread

  /**
   * Until the pool thread waits at its condition variable, where it holds no lock: the address of the futex word it
   * sleeps on.
   */
  #awaitIdle(): number {
    const { host } = this;
    const futexNumber = String(host.nr['futex']);
    for (let k = 0; k < IDLE_TRIES; k++) {
      const [number, address, operation] = this.#reread(this.#poolThread).split(' ');
      // Condition variables wait with FUTEX_WAIT_BITSET, locks with FUTEX_WAIT.
      if (number === futexNumber && (Number(operation) & 0x7f) === FUTEX_WAIT_BITSET) return Number(address);
      const mark = host.scratch.mark();
      const at = host.scratch.alloc(16);
      host.scratch.view.setBigInt64(at + 8, BigInt(IDLE_PAUSE), true);
      host.syscall(host.nr['nanosleep'] as number, host.scratch.address + at, 0);
      host.scratch.release(mark);
    }
    return -EAGAIN;
  }

  /** A short file of /proc anew, by its open descriptor. */
  #reread(fd: number): string {
    const { host } = this;
    const mark = host.scratch.mark();
    const at = host.scratch.alloc(256);
    const n = host.syscall(host.nr['pread64'] as number, fd, host.scratch.address + at, 256, 0);
    const text = Buffer.from(host.scratch.bytes.subarray(at, at + Math.max(0, n))).toString('latin1');
    host.scratch.release(mark);
    return text;
  }

  #open(path: string, flags: number): number {
    const { host } = this;
    const mark = host.scratch.mark();
    const at = host.scratch.alloc(path.length + 1);
    host.scratch.bytes.set(Buffer.from(path, 'latin1'), at);
    const fd = host.syscall(host.nr['openat'] as number, this.#proc, host.scratch.address + at, flags, 0);
    host.scratch.release(mark);
    return fd;
  }

  /** The whole text of a file below /proc; empty if it cannot be read. */
  #read(path: string): string {
    const { host } = this;
    const fd = this.#open(path, O_CLOEXEC);
    if (fd < 0) return '';
    const mark = host.scratch.mark();
    const size = 32768;
    const at = host.scratch.alloc(size);
    let text = '';
    for (;;) {
      const n = host.syscall(host.nr['read'] as number, fd, host.scratch.address + at, size);
      if (n <= 0) break;
      text += Buffer.from(host.scratch.bytes.subarray(at, at + n)).toString('latin1');
    }
    host.scratch.release(mark);
    host.syscall(host.nr['close'] as number, fd);
    return text;
  }
}

/**
 * Patch the C library's madvise() in this process's own copy of its page: MADV_DONTFORK succeeds and does nothing,
 * everything else goes on through the library's syscall(), errno and all.
 */
function ignoreDontFork(nr: Readonly<Record<string, number>>): void {
  const madvise = libraryFunction('madvise');
  const page = Math.floor(madvise / PAGE_SIZE) * PAGE_SIZE;
  const length = madvise + 16 > page + PAGE_SIZE ? 2 * PAGE_SIZE : PAGE_SIZE;
  const raw = libcSyscall;
  const stub = new Assembler()
    .bytes(0x83, 0xfa, MADV_DONTFORK, 0x0f, 0x84)
    .relative('ignored') // cmp edx, MADV_DONTFORK; je
    .bytes(0x48, 0x89, 0xd1, 0x48, 0x89, 0xf2, 0x48, 0x89, 0xfe) // rcx = rdx; rdx = rsi; rsi = rdi
    .bytes(0xbf)
    .u32(nr['madvise'] as number) // edi = SYS_madvise
    .bytes(0x48, 0xb8)
    .u64(libraryFunction('syscall'))
    .bytes(0xff, 0xe0) // jmp syscall
    .label('ignored')
    .bytes(0x31, 0xc0, 0xc3); // xor eax, eax; ret
  const target = placeCode(raw, nr, stub.finish());
  // Executable all the while: other threads may be in the same page.
  const result = raw(nr['mprotect'] as number, page, length, PROT_ALL, 0, 0, 0);
  if (result < 0)
    throw new Error('the C library cannot be patched: a security policy forbids it; fork is not possible');
  const jump = new Assembler().bytes(0x48, 0xb8).u64(target).bytes(0xff, 0xe0).finish(); // mov rax, target; jmp rax
  new Uint8Array(viewNative(madvise, jump.length)).set(jump);
  raw(nr['mprotect'] as number, page, length, PROT_READ_EXEC, 0, 0, 0);
}
