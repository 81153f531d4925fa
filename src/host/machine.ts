/**
 * Puts the machine under the guest together: its address space as WebAssembly memory, the host, the checked memory
 * access and the mappings. The composition root calls `createMachine` once, before anything else.
 */

import { ChangeLog, type Replicated } from '../kernel/change-log.ts';
import type { CodeListener } from '../kernel/ports.ts';
import { PHASE, WORD } from '../kernel/process-block.ts';
import { MappingJournal } from '../memory/journal.ts';
import type { CallRegisters } from '../kernel/quick-call.ts';
import { AddressSpace, type SpaceRecord, type SpaceSnapshot } from '../memory/address-space.ts';
import { WasmGuestMemory } from '../memory/guest-memory.ts';
import { addressOf } from './ffi.ts';
import { HostSignals } from './signals.ts';
import { raiseFlags } from './world.ts';
import { bootstrapSyscall, closeRange, type HostShare, LinuxHost, prepareProcess } from './linux-host.ts';

const WASM_PAGE = 0x10000;
/** 16 GiB: the largest memory64 that V8 guards by address space instead of a check at every access. */
export const MAX_PAGES = 0x40000;
/** Below this no ordinary program fits. */
const MIN_PAGES = 0x1000;
/** Address space left to the engine: V8's heap, code, translated code, Lua. */
const HEADROOM = 0x4000_0000;
/** The same where V8 guards its memories: those of the state, of the accessors and of Lua, 8 GiB each. */
const GUARDED_HEADROOM = 0x6_4000_0000;
const MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x4022;
/** The per-thread state memory: 1 MiB. */
export const STATE_PAGES = 16;

export interface MachineOptions {
  /** Size of the guest's address space in wasm pages (64 KiB); default 16 GiB, or what the system has. */
  pages?: number;
  /** Where the guest's instruction set has system calls' arguments and results; quick calls are not used without. */
  registers?: CallRegisters;
  /** Told when translated code may be stale. May be set later with `space.setCodeListener`. */
  codeListener?: CodeListener;
}

export interface Machine {
  readonly host: LinuxHost;
  /** Memory 0: shared, memory64, `pages` to `pages`. */
  readonly memory: WebAssembly.Memory;
  readonly pages: number;
  /** Memory 1: private to this thread. */
  readonly stateMemory: WebAssembly.Memory;
  /** Host address of state offset 0: it does not move. */
  readonly stateAddress: number;
  readonly guestMemory: WasmGuestMemory;
  readonly space: AddressSpace;
  /** By which the threads of the process keep their copies of its state equal. */
  readonly log: ChangeLog;
  readonly signals: HostSignals;
  /** What the system refused, and what follows; undefined if nothing. For one line on stderr. */
  readonly shortage: string | undefined;
  /** What a further thread's Worker needs to call `attachMachine`. */
  readonly share: MachineShare;
}

/** Plain data and shared memory: can be sent to a Worker. */
export interface MachineShare {
  readonly host: HostShare;
  readonly memory: WebAssembly.Memory;
  readonly pages: number;
  readonly log: SharedArrayBuffer;
  readonly journal: SharedArrayBuffer;
}

/**
 * A shared memory64 of `pages`. Made small and grown: V8 counts the size a memory is born with as external memory
 * of the heap and collects garbage for it at once (4 to 13 ms for 16 GiB); what it grows by it does not count
 * (0.1 ms in all). A shared memory is reserved whole from the start, so growing does not move it.
 */
function growMemory(pages: number): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({
    address: 'i64', initial: 1n, maximum: BigInt(pages), shared: true,
  } as unknown as WebAssembly.MemoryDescriptor);
  (memory.grow as unknown as (delta: bigint) => bigint)(BigInt(pages - 1));
  return memory;
}

/** True if the process may map `bytes` more. */
function roomFor(bytes: number): boolean {
  const place = bootstrapSyscall('mmap', 0, bytes, 0, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1, 0);
  if (place < 0) return false;
  bootstrapSyscall('munmap', place, bytes, 0, 0, 0, 0);
  return true;
}

/**
 * `guarded`: V8 turns page faults of wasm code into traps. It then reserves 16 GiB for any memory64 and 8 GiB for any
 * other memory; without, what is asked for.
 */
function createMemory(wanted: number, guarded: boolean): { memory: WebAssembly.Memory; pages: number } {
  for (let pages = wanted; pages >= MIN_PAGES; pages = Math.floor(pages / 2)) {
    // What turns out too large cannot be given back: ask the kernel first.
    const needed = guarded ? MAX_PAGES * WASM_PAGE + GUARDED_HEADROOM : pages * WASM_PAGE + HEADROOM;
    if (!roomFor(needed)) continue;
    try {
      return { memory: growMemory(pages), pages };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  throw new Error(
    `no address space for the guest: even ${MIN_PAGES / 16} MiB are refused; raise ulimit -v or check vm.overcommit_memory`,
  );
}

/** One line on what the guest does without, and why; undefined if nothing. */
function describeShortage(pages: number, wanted: number, guarded: boolean): string | undefined {
  if (pages === wanted && guarded) return undefined;
  const size = pages === wanted ? '' : `${pages / 16} MiB of address space for the program instead of ${wanted / 16}`;
  const faults = guarded ? '' : 'a bad pointer ends the program even where it would be an error';
  return `the system restricts address space (ulimit -v, vm.overcommit_memory): ${[size, faults].filter(Boolean).join('; ')}`;
}

export function createMachine(options: MachineOptions = {}): Machine {
  const wanted = options.pages ?? MAX_PAGES;
  const prepared = prepareProcess(options.registers ?? { number: 0, arguments: [0, 0, 0, 0, 0, 0], result: 0 });
  const guarded = prepared.stubs.faultHandler !== 0;
  const { memory, pages } = createMemory(wanted, guarded);
  const hostShare = { ...prepared, memoryBase: addressOf(memory.buffer), memorySize: pages * WASM_PAGE };
  const shortage = describeShortage(pages, wanted, guarded);
  const host = new LinuxHost(hostShare);
  const closed = closeRange(host, host.memoryBase, host.memorySize);
  if (closed < 0) throw new Error(`the guest's address space cannot be protected: the kernel says ${closed}`);
  const log = new ChangeLog(host, host.block, 0);
  const { block } = host;
  block.publish('memoryBase', host.memoryBase);
  block.publish('memorySize', host.memorySize);
  block.set(WORD.slotsUsed, 1);
  block.keepOnly(0, host.syscall(host.nr['gettid'] as number));
  const machine = assemble(host, memory, pages, log, shortage);
  if (options.codeListener !== undefined) machine.space.setCodeListener(options.codeListener);
  return machine;
}

/** The machine of a further thread, in its own Worker: `slot` is the thread's number. */
export function attachMachine(share: MachineShare, slot: number): Machine {
  const host = new LinuxHost(share.host, slot);
  return assemble(host, share.memory, share.pages, new ChangeLog(host, host.block, slot, share.log), undefined, share.journal);
}

function assemble(
  host: LinuxHost, memory: WebAssembly.Memory, pages: number, log: ChangeLog, shortage: string | undefined, journalOf?: SharedArrayBuffer,
): Machine {
  const guestMemory = new WasmGuestMemory(memory, host.memoryBase, host.memorySize);
  const { space, journal } = shareSpace(host, log, journalOf);
  const stateMemory = new WebAssembly.Memory({ initial: STATE_PAGES, maximum: STATE_PAGES });
  const signals = new HostSignals(host);
  signals.recordFaults();
  return {
    host, memory, pages, stateMemory, stateAddress: addressOf(stateMemory.buffer), guestMemory, space, log, signals,
    shortage, share: { host: host.share, memory, pages, log: log.buffer, journal },
  };
}

/** An address space that is kept equal to those of the process's other threads. */
function shareSpace(host: LinuxHost, log: ChangeLog, shared?: SharedArrayBuffer): { space: AddressSpace; journal: SharedArrayBuffer } {
  const { block } = host;
  log.settle = () => {
    if (!block.several) return;
    const others = block.slots(PHASE.live).filter((slot) => slot !== host.slotNumber);
    raiseFlags(host, others);
    for (const slot of others) {
      while (!log.caughtUp(slot) && !block.inKernel(slot) && block.phase(slot) === PHASE.live) host.syscall(host.nr['sched_yield'] as number);
    }
  };
  const space: AddressSpace = new AddressSpace(host, {
    sync: () => log.sync(),
    change: (act) => log.change(act),
    append: (record) => {
      log.append(part, record);
      if (!log.applying && ('put' in record || 'take' in record)) journal.append(record);
    },
    settle: () => log.settle(),
    nextBacking: () => block.nextBacking(),
  });
  const journal = new MappingJournal(() => space.entries(), shared);
  block.publish('mappings', host.sharedAddress(journal.buffer));
  const part: Replicated = {
    name: 'space',
    snapshot: () => space.snapshot(),
    restore: (snapshot) => space.restore(snapshot as SpaceSnapshot),
    apply: (record) => space.apply(record as SpaceRecord),
  };
  log.add(part);
  return { space, journal: journal.buffer };
}
