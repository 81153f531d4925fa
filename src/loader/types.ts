/** What the loader needs to be told about the guest's architecture and given of the guest's memory. */

import type { GuestAddr, GuestMemory } from '../kernel/ports.ts';

/** Facts of one guest instruction set that exec(2) puts in front of a program. */
export interface LoaderIsa {
  readonly machine: number;
  readonly is64: boolean;
  readonly littleEndian: boolean;
  readonly pageSize: number;
  /** AT_PLATFORM. */
  readonly platform: string;
  /** AT_HWCAP and AT_HWCAP2 (x86-64: CPUID.1:EDX; bit 1 = FSGSBASE). */
  readonly hwcap: bigint;
  readonly hwcap2: bigint;
  /** AT_MINSIGSTKSZ: bytes a signal frame may take. */
  readonly minSignalStack: number;
  /** Whether a file without PT_GNU_STACK gets an executable stack (x86-64: no). */
  readonly execStackByDefault: boolean;
}

/** The address space as the loader uses it (memory/address-space.ts is one). Results are the kernel's: an address or 0, or −errno. */
export interface LoadSpace {
  /** mmap(2) in the guest's space. `hostFd` is the host's descriptor, −1 for anonymous memory. */
  mmap(addr: GuestAddr, length: number, prot: number, flags: number, hostFd: number, offset: number): number;
  munmap(addr: GuestAddr, length: number): number;
  /** Mappings without an address go downward from here. */
  setMmapTop(top: GuestAddr): void;
  /** Where the heap begins. */
  setBrk(start: GuestAddr): void;
  /** What /proc/self/maps calls a range. */
  setName(start: GuestAddr, end: GuestAddr, name: string): void;
}

/** Where a program is loaded to: an empty address space and the way to its bytes. */
export interface LoadTarget {
  readonly space: LoadSpace;
  readonly memory: GuestMemory;
}

/** Source of the random bytes that place the image and fill AT_RANDOM. */
export type RandomBytes = (count: number) => Uint8Array;
