/**
 * Puts the machine under the guest together: its address space as WebAssembly memory, the host, the checked memory
 * access and the mappings. The composition root calls `createMachine` once, before anything else.
 */

import type { CodeListener } from '../kernel/ports.ts';
import { AddressSpace } from '../memory/address-space.ts';
import { WasmGuestMemory } from '../memory/guest-memory.ts';
import { addressOf } from './ffi.ts';
import { HostSignals } from './signals.ts';
import { closeRange, createShare, type HostShare, LinuxHost } from './linux-host.ts';

const WASM_PAGE = 0x10000;
/** 16 GiB: the largest memory64 that V8 guards by address space instead of a check at every access. */
export const MAX_PAGES = 0x40000;
/** Below this no ordinary program fits. */
const MIN_PAGES = 0x1000;
/** The per-thread state memory: 1 MiB. */
export const STATE_PAGES = 16;

export interface MachineOptions {
  /** Size of the guest's address space in wasm pages (64 KiB); default 16 GiB, or what the system has. */
  pages?: number;
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
  readonly signals: HostSignals;
  /** Less than what was asked for, and why; undefined if all of it was had. For one line on stderr. */
  readonly shortage: string | undefined;
  /** What a further thread's Worker needs besides `memory` to call `attachThread`. */
  readonly share: HostShare;
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

function createMemory(wanted: number): { memory: WebAssembly.Memory; pages: number; shortage: string | undefined } {
  let pages = wanted;
  for (;;) {
    try {
      const memory = growMemory(pages);
      const shortage =
        pages === wanted
          ? undefined
          : `the system gives ${pages / 16} MiB of address space to the guest instead of ${wanted / 16} MiB (ulimit -v, vm.overcommit_memory)`;
      return { memory, pages, shortage };
    } catch (error) {
      if (!(error instanceof RangeError) || pages <= MIN_PAGES) {
        throw new Error(
          `no address space for the guest: even ${pages / 16} MiB are refused (${(error as Error).message}); check ulimit -v and vm.overcommit_memory`,
        );
      }
      pages = Math.max(MIN_PAGES, Math.floor(pages / 2));
    }
  }
}

export function createMachine(options: MachineOptions = {}): Machine {
  const { memory, pages, shortage } = createMemory(options.pages ?? MAX_PAGES);
  const share = createShare(addressOf(memory.buffer), pages * WASM_PAGE);
  const host = new LinuxHost(share);
  const closed = closeRange(host, host.memoryBase, host.memorySize);
  if (closed < 0) throw new Error(`the guest's address space cannot be protected: the kernel says ${closed}`);
  const guestMemory = new WasmGuestMemory(memory, host.memoryBase, host.memorySize);
  const space = new AddressSpace(host);
  if (options.codeListener !== undefined) space.setCodeListener(options.codeListener);
  const stateMemory = new WebAssembly.Memory({ initial: STATE_PAGES, maximum: STATE_PAGES });
  const signals = new HostSignals(host);
  signals.recordFaults();
  return {
    host, memory, pages, stateMemory, stateAddress: addressOf(stateMemory.buffer), guestMemory, space, signals,
    shortage, share,
  };
}
