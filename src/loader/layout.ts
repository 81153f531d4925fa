/**
 * Where things lie in the guest's address space: the one place with these constants. The proportions are
 * Linux's; the space is smaller (16 GiB, or what the host allows), so the random shifts are too.
 *
 * From the bottom: ET_EXEC images where they ask to be · PIE images from a third of the space, their heap after
 * them · mmap area, from its top downward · guard · stack.
 */

import type { Host } from '../kernel/ports.ts';
import type { RandomBytes } from './types.ts';

/** No guest mapping lies below (vm.mmap_min_addr). */
export const LOWEST_ADDRESS = 0x10000;
/** Left free above the stack: a load's constant offset (< 64 KiB) from a valid address never leaves the space. */
const TOP_GAP = 0x10000;
const PAGE = 4096;
/** Linux's stack_guard_gap: what always stays free below the stack. */
export const STACK_GUARD = 256 * PAGE;
/** STACK_RND_MASK's share here. */
const STACK_RANDOM = 16 << 20;
const MINIMUM_MMAP_GAP = 128 << 20;
/** arch_randomize_brk: how far the heap may start behind the image. */
export const BRK_RANDOM = 32 << 20;
/** RLIMIT_STACK's default. */
export const DEFAULT_STACK = 8 << 20;

const ADDR_NO_RANDOMIZE = 0x40000;
const QUERY_PERSONALITY = 0xffffffff;

/** Whether addresses are to be random: not under `setarch -R`, whose personality(2) the guest inherits. */
export function isRandomized(host: Host): boolean {
  const persona = host.syscall(host.nr['personality'] as number, QUERY_PERSONALITY);
  return persona < 0 || (persona & ADDR_NO_RANDOMIZE) === 0;
}

export interface Layout {
  /** Where a PIE with an interpreter starts, before alignment. */
  readonly pieBase: number;
  /** Mappings are placed below this, downward. */
  readonly mmapTop: number;
  /** First address after the stack, and its mapped size; below it `STACK_GUARD` bytes stay free. */
  readonly stackTop: number;
  readonly stackSize: number;
  /** Added to the end of the image to get the start of the heap. */
  readonly brkShift: number;
  /** Bytes the initial stack pointer is moved down within the stack (0 … 8191). */
  readonly stackShift: number;
}

export interface LayoutRequest {
  readonly memorySize: number;
  /** Soft RLIMIT_STACK or -s; Infinity for unlimited. */
  readonly stackSize: number;
  /** Bytes the arguments and environment take: the stack is never smaller than these and some. */
  readonly argumentBytes: number;
  /** undefined: no randomisation (ADDR_NO_RANDOMIZE). */
  readonly random: RandomBytes | undefined;
}

/** The largest stack a space of this size can give. */
export function largestStack(memorySize: number): number {
  return memorySize / 8;
}

export function chooseLayout(request: LayoutRequest): Layout {
  const { memorySize } = request;
  const random = (below: number, unit: number): number => {
    if (request.random === undefined) return 0;
    const bytes = request.random(4);
    const word = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    return (word % (below / unit)) * unit;
  };
  const least = pageUp(request.argumentBytes + (128 << 10));
  const stackSize = Math.min(
    Math.max(pageUp(Math.min(request.stackSize, memorySize)), least),
    largestStack(memorySize),
  );
  const highest = memorySize - TOP_GAP;
  const gap = Math.max(stackSize + STACK_GUARD + STACK_RANDOM, Math.min(MINIMUM_MMAP_GAP, memorySize / 8));
  const shift = memorySize / 64;
  return {
    pieBase: pageDown(memorySize / 3) + random(shift, PAGE),
    mmapTop: pageDown(highest - gap) - random(shift, PAGE),
    stackTop: highest - random(STACK_RANDOM, PAGE),
    stackSize,
    brkShift: random(BRK_RANDOM, PAGE),
    stackShift: random(8192, 1),
  };
}

function pageUp(value: number): number {
  return Math.ceil(value / PAGE) * PAGE;
}

function pageDown(value: number): number {
  return Math.floor(value / PAGE) * PAGE;
}
