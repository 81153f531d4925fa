/**
 * Where translated code and its runtime keep things in state memory (memory 1), above the 4 KiB that belong to the ISA,
 * and which slots of the region table are special. From 0x4000 to the jump cache the ISA may keep tables.
 */

/** Pages of 64 KiB of a thread's state memory. */
export const STATE_PAGES = 16;
/** i32: non-zero when a signal or a stop request waits; written by the host's signal handler too. */
export const PENDING = 0x1000;
/** i64: guest pc to go to inside a region of several entries; 0: its first. */
export const ENTRY = 0x1008;
/** i64: guest pc of the indirect jump under way. */
export const SITE = 0x1010;
/** i32: the code at state.pc is no longer what its region was made from. */
export const STALE = 0x1018;
/** 32 bytes: operands of HelperEnv.compareExchange. */
export const EXCHANGE = 0x1020;
/** Byte: what the thread is doing, one of PHASES by position; for who samples it from outside. */
export const PHASE = 0x1040;
export const PHASES = ['guest', 'baseline', 'optimised', 'baseline V8', 'optimised V8', 'packs', 'syscall', 'intercepted'] as const;
/** Guest calls that may nest as wasm calls before one unwinds to the dispatcher. */
export const DEPTH_LIMIT = 1500;
/** Direct-mapped cache from guest pc to table slot: entries of { pc i64, slot i32, unused i32 }. */
export const JUMP_CACHE = 0x10000;
export const JUMP_CACHE_BITS = 12;
/** Empty the jump cache: entries hold pcs that belong to another entry, so none ever matches. `words`: state memory. */
export function clearJumpCache(words: Int32Array): void {
  const first = JUMP_CACHE >> 2;
  words.fill(0, first, first + (4 << JUMP_CACHE_BITS));
  words[first] = 1;
}
/**
 * Where indirect calls and jumps of baseline code went: hints, for optimised code. TARGET_SITES × 4 entries of i64, found by
 * hash of the site and bits 4, 3 of the target: the target (34 bits), the lower 30 bits of the site above it.
 */
export const TARGET_SITES = 2048;
export const TARGETS = STATE_PAGES * 65536 - 32 * TARGET_SITES;
export const targetsOf = (site: number): number => TARGETS + 32 * (((site >>> 10) ^ site) & (TARGET_SITES - 1));
export const siteTag = (site: number): number => site & 0x3fffffff;
/** i32 execution counters, one per baseline region. */
export const COUNTERS = 0x20000;
export const COUNTERS_END: number = TARGETS;
/** Iterations after which a loop in baseline code asks for optimised code, and entries likewise for a region. */
export const BASELINE_BUDGET = 4000;
export const BASELINE_ENTRIES = 4000;
/** Back edges after which optimised code looks whether anything is pending. */
export const OPTIMISED_BUDGET = 100_000;

/** Table slots. `miss`: translate state.pc and go there. `budget`: a loop or entry budget is spent at state.pc. */
export const SLOT_MISS = 0;
export const SLOT_BUDGET = 1;
/** As `miss`, from the indirect jump whose guest pc is in SITE. */
export const SLOT_MISS_INDIRECT = 2;
export const FIRST_SLOT = 3;
