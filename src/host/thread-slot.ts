/**
 * The layout of a thread slot: 64 KiB of private memory, one for each guest thread, whose address is a multiple of
 * its size. The lower part holds what TypeScript and the machine-code stubs tell each other, the upper part is the
 * thread's alternate signal stack, so that a signal handler finds its thread's slot by rounding its stack pointer
 * down: no thread-local storage, the same on every architecture. All slots lie in one arena; a stack pointer
 * outside it means a thread that is not ours (V8's pool thread).
 */

export const SLOT_SIZE = 0x10000;
/** Slots in the arena: guest threads at one time. Only touched slots cost memory. */
export const SLOT_COUNT = 4096;

/** System call number, then six arguments: f64, or i64 for the exact stubs. */
export const SLOT_CALL = 0x00;
/** The result as i64, and further down as f64. */
export const SLOT_RESULT = 0x38;
export const SLOT_RESULT_FLOAT = 0x78;
/** 32-bit: a signal waits in the queue; interruptible system calls return −EINTR at once. */
export const SLOT_PENDING = 0x40;
/** Host address of a further 32-bit word set to 1 when a signal arrives: the flag that translated code polls. */
export const SLOT_FLAG_POINTER = 0x48;
/** Where SLOT_FLAG_POINTER points when nothing polls. */
export const SLOT_FLAG_DEFAULT = 0x50;
/** 32-bit counts of signals put in by the handler and taken out by TypeScript. */
export const SLOT_HEAD = 0x54;
export const SLOT_TAIL = 0x58;
/** The last memory fault of the thread: signal (32-bit), si_code (32-bit), si_addr (64-bit), a count (32-bit). */
export const SLOT_FAULT = 0x60;
/** Two 64-bit signal masks for the stubs' own use: all ones, and the mask to restore. */
export const SLOT_FULL_MASK = 0x80;
export const SLOT_OLD_MASK = 0x88;
/** 32-bit, in the first slot only: threads that the `mute` handler has run on. */
export const SLOT_MUTED = 0x90;
/** 32-bit: the thread's own value of the word that stops the world: its stop is not its own. */
export const SLOT_ID = 0x94;
/** Host address of the 32-bit word that is 1 while the thread is in a system call of the host. */
export const SLOT_IN_KERNEL = 0x98;

/** For quick calls (quick-stub-x64.ts), addresses and sizes of 64 bits: where the thread's guest registers are; the guest's memory. */
export const SLOT_REGISTERS = 0xa0;
export const SLOT_MEMORY_BASE = 0xa8;
export const SLOT_MEMORY_SIZE = 0xb0;
/** The last address at which QUICK_EXTENT bytes lie within the guest's memory. */
export const SLOT_POINTER_LIMIT = 0xb8;
/** The descriptor table. */
export const SLOT_DESCRIPTORS = 0xc0;
/** Two 32-bit words: QUICK_OUTCOME and the number of the call. */
export const SLOT_OUTCOME = 0xc8;

/** si_value of the SIGSEGV by which one thread of the engine breaks another's system call. */
export const KICK = 0x6c75_6e61_6b69n;

/** The queue: siginfo_t of 128 bytes each. */
export const SLOT_QUEUE = 0x1000;
export const QUEUE_ENTRIES = 16;
export const SIGINFO_SIZE = 128;

/** Plans of quick calls: 64 bits for each of QUICK_NUMBERS. */
export const SLOT_PLANS = 0x2000;

/** The alternate signal stack: from here to the end of the slot. */
export const SLOT_STACK = 0x3000;
