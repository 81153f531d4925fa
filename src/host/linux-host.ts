/**
 * The port Host on Linux: raw system calls of one thread through its slot and the stubs. Owns the thread's slot,
 * its scratch memory and its way into the kernel.
 *
 * Everything a process has once (stubs, slot arena) is in `HostShare`, plain numbers that a Worker can be given.
 */

import { type Arg, type GuestAddr, type Host, type HostAddr, type HostBuffer, notEntered, type Scratch } from '../kernel/ports.ts';
import { BLOCK_SIZE, ProcessBlock } from '../kernel/process-block.ts';
import { type CallRegisters, QUICK_EXTENT, QUICK_NUMBERS, type QuickCalls } from '../kernel/quick-call.ts';
import { addressOf, libcSyscall, nativeFunction, viewNative } from './ffi.ts';
import { hostBuffer, SCRATCH_SIZE, ScratchStack } from './native-memory.ts';
import { installStubs, PAGE_SIZE, placeCode, type Stubs } from './stubs.ts';
import { NOT_ENTERED, SAMPLES, x64Thunk } from './stubs-x64.ts';
import { type HostArch, syscallNumbers } from './syscall-numbers.ts';
import {
  SLOT_CALL, SLOT_COUNT, SLOT_DESCRIPTORS, SLOT_FLAG_DEFAULT, SLOT_FLAG_POINTER, SLOT_FULL_MASK, SLOT_ID, SLOT_IN_KERNEL, SLOT_MEMORY_BASE,
  SLOT_MEMORY_SIZE, SLOT_OUTCOME, SLOT_PLANS, SLOT_POINTER_LIMIT, SLOT_REGISTERS, SLOT_RESULT, SLOT_RESULT_FLOAT, SLOT_SIZE, SLOT_STACK,
} from './thread-slot.ts';

const PROT_NONE = 0;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_SHARED_ANONYMOUS = 0x21;
const MAP_FIXED = 0x10;
const MAP_NORESERVE = 0x4000;
const SIGSEGV = 11;
const SIG_UNBLOCK = 1;

/** What the threads of one process have in common. */
export interface HostShare {
  readonly memoryBase: HostAddr;
  readonly memorySize: number;
  readonly arena: HostAddr;
  readonly stubs: Stubs;
  /** The process block (kernel/process-block.ts) and its address. */
  readonly block: SharedArrayBuffer;
  readonly blockAddress: HostAddr;
}

const nr = syscallNumbers(process.arch as HostArch);

/** One system call by name through libc, for the time before our own stub exists. −1 for any error. */
export function bootstrapSyscall(name: string, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): number {
  return libcSyscall(nr[name]!, a0, a1, a2, a3, a4, a5);
}

/** The process-wide part: slot arena, process block and stubs. Called once, before any LinuxHost. `registers`: the guest's. */
export function prepareProcess(registers: CallRegisters): Pick<HostShare, 'arena' | 'stubs' | 'block' | 'blockAddress'> {
  const raw = libcSyscall;
  const size = SLOT_COUNT * SLOT_SIZE;
  // One slot more than needed, so that an aligned stretch lies within.
  const region = raw(nr['mmap'] as number, 0, size + SLOT_SIZE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region < 0) throw new Error('the kernel gives no address space for thread slots; check ulimit -v');
  const arena = Math.ceil(region / SLOT_SIZE) * SLOT_SIZE;
  // The first page of the first slot takes the old sigaction; it is written anew when the slot is claimed.
  const action = new DataView(viewNative(arena + SLOT_SIZE - PAGE_SIZE, PAGE_SIZE));
  raw(nr['rt_sigaction'] as number, SIGSEGV, 0, arena + SLOT_SIZE - PAGE_SIZE, 8, 0, 0);
  const handler = Number(action.getBigUint64(0, true));
  const block = new SharedArrayBuffer(BLOCK_SIZE);
  const blockAddress = addressOf(block);
  const stubs = installStubs(raw, nr, arena, handler > 1 ? handler : 0, blockAddress, registers);
  return { arena, stubs, block, blockAddress };
}

/** One thread's host. `slot` is its number in the arena, unique among live threads; the main thread's is 0. */
export class LinuxHost implements Host {
  readonly memoryBase: HostAddr;
  readonly memorySize: number;
  readonly nr = nr;
  readonly scratch: Scratch;
  readonly share: HostShare;
  /** Host address of this thread's slot, and its lower part, for signals.ts. */
  readonly slotAddress: HostAddr;
  readonly slot: DataView;
  /** The thread's number. */
  readonly slotNumber: number;
  readonly block: ProcessBlock;

  readonly #f64: Float64Array;
  readonly #i64: BigInt64Array;
  readonly #enter: () => void;
  readonly #enterExact: () => void;
  readonly #enterInterruptible: () => void;
  readonly #enterInterruptibleExact: () => void;
  readonly #exchange: () => void;
  readonly #startWatch: () => void;
  readonly #startSample: () => void;
  readonly #makeQuick: () => void;
  /** Written to by threads of `watch`: never to be collected. */
  readonly #counters: Int32Array[] = [];
  #interruptible = false;

  constructor(share: HostShare, slot = 0) {
    if (!(slot >= 0 && slot < SLOT_COUNT)) throw new RangeError(`thread slot ${slot} of ${SLOT_COUNT}`);
    this.share = share;
    this.memoryBase = share.memoryBase;
    this.memorySize = share.memorySize;
    this.slotNumber = slot;
    this.slotAddress = share.arena + slot * SLOT_SIZE;
    this.block = new ProcessBlock(share.block, share.blockAddress);

    const buffer = viewNative(this.slotAddress, SLOT_STACK);
    this.slot = new DataView(buffer);
    new Uint8Array(buffer).fill(0);
    this.#f64 = new Float64Array(buffer, SLOT_CALL, 16);
    this.#i64 = new BigInt64Array(buffer, SLOT_CALL, 16);
    this.slot.setBigUint64(SLOT_FLAG_POINTER, BigInt(this.slotAddress + SLOT_FLAG_DEFAULT), true);
    this.slot.setBigInt64(SLOT_FULL_MASK, -1n, true);
    this.slot.setInt32(SLOT_ID, slot + 1, true);
    this.slot.setBigUint64(SLOT_IN_KERNEL, BigInt(this.block.entryAddress(slot)), true);

    const { syscall, exact, interruptible, watch, exchange, sample, quick, interruptibleExact } = share.stubs;
    const thunks = [syscall, exact, interruptible, watch, exchange, sample, quick, interruptibleExact].map((stub) => x64Thunk(this.slotAddress, stub));
    const step = 32;
    const code = new Uint8Array(thunks.length * step);
    thunks.forEach((thunk, i) => code.set(thunk, i * step));
    const at = placeCode(libcSyscall, nr, code);
    this.#enter = nativeFunction(at);
    this.#enterExact = nativeFunction(at + step);
    this.#enterInterruptible = nativeFunction(at + 2 * step);
    this.#startWatch = nativeFunction(at + 3 * step);
    this.#exchange = nativeFunction(at + 4 * step);
    this.#startSample = nativeFunction(at + 5 * step);
    this.#makeQuick = nativeFunction(at + 6 * step);
    this.#enterInterruptibleExact = nativeFunction(at + 7 * step);
    this.scratch = new ScratchStack(this.allocate(SCRATCH_SIZE));
  }

  syscall(number: number, a0: Arg = 0, a1: Arg = 0, a2: Arg = 0, a3: Arg = 0, a4: Arg = 0, a5: Arg = 0): number {
    this.#call(number, a0, a1, a2, a3, a4, a5);
    return this.#f64[SLOT_RESULT_FLOAT / 8]!;
  }

  syscall64(number: number, a0: Arg = 0, a1: Arg = 0, a2: Arg = 0, a3: Arg = 0, a4: Arg = 0, a5: Arg = 0): bigint {
    this.#call(number, a0, a1, a2, a3, a4, a5);
    return this.#i64[SLOT_RESULT / 8]!;
  }

  /**
   * Run `call` with its system calls interruptible: each throws NotEntered at once if a signal already waits for this
   * thread. For the guest's blocking calls, once signals are caught (signals.ts).
   */
  interruptibly<T>(call: () => T): T {
    const before = this.#interruptible;
    this.#interruptible = true;
    try {
      return call();
    } finally {
      this.#interruptible = before;
    }
  }

  allocate(bytes: number): HostBuffer {
    const length = Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
    const address = this.syscall(this.nr['mmap']!, 0, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
    if (address < 0) throw new RangeError(`no ${length} bytes of engine memory: the kernel says ${address}`);
    return hostBuffer(address, length);
  }

  /** Zeroed memory that children of forks share with this process, until it is renewed. */
  shareWithChildren(bytes: number): { readonly buffer: ArrayBuffer; renew(): void } {
    const map = (at: HostAddr, flags: number): HostAddr =>
      this.syscall(this.nr['mmap']!, at, bytes, PROT_READ_WRITE, MAP_SHARED_ANONYMOUS | flags, -1, 0);
    const address = map(0, 0);
    if (address < 0) throw new RangeError(`no ${bytes} bytes of engine memory: the kernel says ${address}`);
    return { buffer: viewNative(address, bytes), renew: () => void map(address, MAP_FIXED) };
  }

  /**
   * LOCK CMPXCHG of 2, 4, 8 or 16 bytes at a guest address; 16 only at a multiple of 16. `operands`: host address of 16 bytes
   * expected and 16 bytes replacement; the former become what was there. False: the memory cannot be written.
   */
  compareExchange(address: GuestAddr, size: number, operands: HostAddr): boolean {
    if (!(address >= 0 && address + size <= this.memorySize)) return false;
    const f64 = this.#f64;
    f64[0] = this.memoryBase + address;
    f64[1] = operands;
    f64[2] = size;
    this.#exchange();
    return f64[SLOT_RESULT_FLOAT / 8] === 0;
  }

  /** Where the thread runs just now: processor and node. */
  processor(): { cpu: number; node: number } {
    const mark = this.scratch.mark();
    const at = this.scratch.alloc(8);
    this.syscall(this.nr['getcpu']!, this.scratch.address + at, this.scratch.address + at + 4, 0);
    const where = { cpu: this.scratch.view.getUint32(at, true), node: this.scratch.view.getUint32(at + 4, true) };
    this.scratch.release(mark);
    return where;
  }

  /** The thread's quick calls. `registers`: host address of its guest registers; `descriptors`: its descriptor table. */
  quickCalls(registers: HostAddr, descriptors: SharedArrayBuffer): QuickCalls {
    const { slot, memoryBase, memorySize } = this;
    const word = (at: number, value: number): void => slot.setBigUint64(at, BigInt(value), true);
    word(SLOT_REGISTERS, registers);
    word(SLOT_MEMORY_BASE, memoryBase);
    word(SLOT_MEMORY_SIZE, memorySize);
    word(SLOT_POINTER_LIMIT, memorySize - QUICK_EXTENT);
    word(SLOT_DESCRIPTORS, addressOf(descriptors));
    return {
      plans: new Uint32Array(slot.buffer, SLOT_PLANS, 2 * QUICK_NUMBERS),
      outcome: new Int32Array(slot.buffer, SLOT_OUTCOME, 2),
      make: this.#makeQuick,
    };
  }

  exitGroup(status: number): never {
    for (;;) this.syscall(this.nr['exit_group']!, status);
  }

  dieBySignal(signal: number): never {
    const mark = this.scratch.mark();
    const at = this.scratch.alloc(40);
    // A zeroed sigaction is SIG_DFL without flags.
    this.syscall(this.nr['rt_sigaction']!, signal, this.scratch.address + at, 0, 8);
    this.scratch.view.setBigUint64(at, 1n << BigInt(signal - 1), true);
    this.syscall(this.nr['rt_sigprocmask']!, SIG_UNBLOCK, this.scratch.address + at, 0, 8);
    const pid = this.syscall(this.nr['getpid']!);
    this.syscall(this.nr['tgkill']!, pid, this.syscall(this.nr['gettid']!), signal);
    this.scratch.release(mark);
    // Still here: a signal whose default is to be ignored, or process 1 of a pid namespace.
    this.exitGroup(128 + signal);
  }

  writeAll(fd: number, bytes: Uint8Array): void {
    const chunk = Math.min(bytes.length, 0x10000);
    const mark = this.scratch.mark();
    const at = this.scratch.alloc(chunk);
    for (let done = 0; done < bytes.length; ) {
      const part = bytes.subarray(done, done + chunk);
      this.scratch.bytes.set(part, at);
      const written = this.syscall(this.nr['write']!, fd, this.scratch.address + at, part.length);
      if (written > 0) done += written;
      else if (written === -11) this.#waitWritable(fd);
      else if (written !== -4) break;
    }
    this.scratch.release(mark);
  }

  watch(fd: number, counter: Int32Array<SharedArrayBuffer>): void {
    const pages = this.allocate(3 * PAGE_SIZE);
    // Page 0 the read buffer, 1 and 2 the stack.
    this.#setExact(0, pages.address + 3 * PAGE_SIZE, fd, addressOf(counter.buffer) + counter.byteOffset, pages.address);
    this.#counters.push(counter);
    this.#startWatch();
    const tid = Number(this.#i64[SLOT_RESULT / 8]);
    if (tid < 0) throw new Error(`the kernel gives no thread to watch descriptor ${fd}: error ${-tid}; check ulimit -u`);
  }

  sample(word: HostAddr, byte: HostAddr, nanoseconds: number): { readonly count: Int32Array; readonly samples: BigInt64Array } {
    // Two pages of stack, one with the count, then the buffer.
    const { address, bytes, view } = this.allocate(4 * PAGE_SIZE + 8 * SAMPLES);
    const at = 3 * PAGE_SIZE;
    view.setBigInt64(at + 8, BigInt(nanoseconds), true);
    view.setBigInt64(at + 16, BigInt(byte), true);
    this.#setExact(0, address + 2 * PAGE_SIZE, word, address + 2 * PAGE_SIZE, address + at);
    this.#startSample();
    const tid = Number(this.#i64[SLOT_RESULT / 8]);
    if (tid < 0) throw new Error(`the kernel gives no thread for sampling: error ${-tid}; check ulimit -u`);
    const { buffer, byteOffset } = bytes;
    return {
      count: new Int32Array(buffer, byteOffset + 2 * PAGE_SIZE, 1),
      samples: new BigInt64Array(buffer, byteOffset + at + 32, SAMPLES),
    };
  }

  sharedAddress(buffer: SharedArrayBuffer): HostAddr {
    return addressOf(buffer);
  }

  #waitWritable(fd: number): void {
    const mark = this.scratch.mark();
    const at = this.scratch.alloc(8);
    this.scratch.view.setInt32(at, fd, true);
    this.scratch.view.setInt16(at + 4, 4, true);
    this.syscall(this.nr['ppoll']!, this.scratch.address + at, 1, 0, 0, 8);
    this.scratch.release(mark);
  }

  #call(number: number, a0: Arg, a1: Arg, a2: Arg, a3: Arg, a4: Arg, a5: Arg): void {
    if (number < 0) {
      this.#i64[SLOT_RESULT / 8] = -38n;
      this.#f64[SLOT_RESULT_FLOAT / 8] = -38;
      return;
    }
    if (
      typeof a0 === 'bigint' || typeof a1 === 'bigint' || typeof a2 === 'bigint' ||
      typeof a3 === 'bigint' || typeof a4 === 'bigint' || typeof a5 === 'bigint'
    ) {
      this.#setExact(number, a0, a1, a2, a3, a4, a5);
      if (this.#interruptible) {
        this.#enterInterruptibleExact();
        if (this.#f64[SLOT_RESULT_FLOAT / 8] === NOT_ENTERED) throw notEntered;
      } else this.#enterExact();
      return;
    }
    const f64 = this.#f64;
    f64[0] = number;
    f64[1] = a0;
    f64[2] = a1;
    f64[3] = a2;
    f64[4] = a3;
    f64[5] = a4;
    f64[6] = a5;
    if (!this.#interruptible) {
      this.#enter();
      return;
    }
    this.#enterInterruptible();
    if (f64[SLOT_RESULT_FLOAT / 8] === NOT_ENTERED) throw notEntered;
  }

  #setExact(...words: Arg[]): void {
    words.forEach((word, k) => {
      this.#i64[k] = typeof word === 'bigint' ? word : BigInt(Math.trunc(word));
    });
  }
}

/** Reserve [base, base+size) as address space that nobody can touch and that costs nothing. */
export function closeRange(host: Host, base: HostAddr, size: number): number {
  return host.syscall(
    host.nr['mmap']!, base, size, PROT_NONE, MAP_PRIVATE_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0,
  );
}
