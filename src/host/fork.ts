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
  #ready = false;
  /** The pool thread and its condition variable; 0 in a child, which has none. */
  #poolThread = 0;
  #condition: Uint8Array | undefined;

  constructor(host: LinuxHost, procFd: number) {
    this.#host = host;
    this.#proc = procFd;
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
    this.#condition?.fill(0);
    this.#poolThread = 0;
  }

  #prepare(): number {
    if (!this.#ready) {
      const condition = this.#findPoolThread();
      if (condition < 0) return condition;
      if (condition > 0) this.#condition = new Uint8Array(viewNative(condition, CONDITION_SIZE));
      this.#keepMemory();
      this.#ready = true;
    }
    return this.#waitIdle();
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

  /** Host address of the condition variable the pool thread waits on; 0 without such a thread; −errno. */
  #findPoolThread(): number {
    const threads = this.#threads();
    if (threads === undefined) return -EAGAIN;
    for (const tid of threads) {
      if (this.#read(`self/task/${tid}/comm`).trim() !== 'node-V8Worker') continue;
      this.#poolThread = tid;
      const futex = this.#awaitFutex(tid);
      return futex < 0 ? futex : Math.floor(futex / 8) * 8 - CONDITION_FUTEX;
    }
    return 0;
  }

  /** Until the pool thread waits at its condition variable, where it holds no lock. */
  #waitIdle(): number {
    if (this.#poolThread === 0) return 0;
    const futex = this.#awaitFutex(this.#poolThread);
    return futex < 0 ? futex : 0;
  }

  /** Address of the futex word that a thread sleeps on, as soon as it does. */
  #awaitFutex(tid: number): number {
    const { host } = this;
    const futexNumber = String(host.nr['futex']);
    for (let k = 0; k < IDLE_TRIES; k++) {
      const [number, address, operation] = this.#read(`self/task/${tid}/syscall`).split(' ');
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

  #threads(): number[] | undefined {
    const { host } = this;
    const own = host.syscall(host.nr['gettid'] as number);
    const directory = this.#open('self/task', 0o200000 | O_CLOEXEC);
    if (directory < 0) return undefined;
    const tids: number[] = [];
    const mark = host.scratch.mark();
    const at = host.scratch.alloc(32768);
    for (;;) {
      const n = host.syscall(host.nr['getdents64'] as number, directory, host.scratch.address + at, 32768);
      if (n <= 0) break;
      // struct linux_dirent64: d_reclen at 16, d_name at 19.
      for (let p = at; p < at + n; p += host.scratch.view.getUint16(p + 16, true)) {
        const end = host.scratch.bytes.indexOf(0, p + 19);
        const tid = Number(Buffer.from(host.scratch.bytes.subarray(p + 19, end)).toString('latin1'));
        if (tid > 0 && tid !== own) tids.push(tid);
      }
    }
    host.scratch.release(mark);
    host.syscall(host.nr['close'] as number, directory);
    return tids;
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
