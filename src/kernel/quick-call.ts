/**
 * Quick calls: system calls that the host's machine code makes from the guest's registers by itself, because all there is to
 * do is to translate descriptors and addresses. What is to be done with each argument is the call's *plan*, derived from
 * its declaration (syscalls/quick.ts) and executed by host/quick-stub-x64.ts; whatever the plan does not cover (a special
 * descriptor, an address outside the guest's space) is declined, with nothing done, and the call goes the usual way.
 *
 * Invariant: a call somebody wants to see (its feature word is not zero) has no plan.
 */

/** What to do with an argument. Three bits each in the plan's first word, argument 0 lowest. */
export const QUICK_ARGUMENT = {
  plain: 0,
  /** 32-bit descriptor: negative as it is, else the host's; declined if it is not open or is special. */
  descriptor: 1,
  /** NULL, or the host's address of up to QUICK_EXTENT bytes. */
  pointer: 2,
  /** NULL, or the host's address of as many bytes as the next argument says. */
  buffer: 3,
  /** The same of an array: the next argument, a positive int, counts elements of the size in the second word. */
  array: 4,
  /** Declined unless 0. */
  absent: 5,
  /** Declined unless the bit of its low seven bits is set in the second word. */
  operation: 6,
} as const;
export type QuickArgument = (typeof QUICK_ARGUMENT)[keyof typeof QUICK_ARGUMENT];

/** In the first word: there is a plan. */
export const QUICK_VALID = 1 << 18;
export const QUICK_EXTENT = 4096;
export const QUICK_COUNT = 1 << 20;
/** Numbers that can have a plan. */
export const QUICK_NUMBERS = 512;

/** What became of a quick call. */
export const QUICK_OUTCOME = {
  /** Made; its result is in the guest's register, and is not −EINTR. */
  done: 0,
  /** Nothing happened. */
  declined: 1,
  /** Made; the result, −EINTR, is in the register. */
  interrupted: 2,
  /** A signal waited already, so the kernel was not entered; −EINTR is in the register. */
  notEntered: 3,
} as const;

/** Where a call's number, arguments and result are, as byte offsets from where the thread's registers are kept. */
export interface CallRegisters {
  readonly number: number;
  readonly arguments: readonly [number, number, number, number, number, number];
  readonly result: number;
}

/** A thread's quick calls. */
export interface QuickCalls {
  /** Two words a number: the plans now in force. */
  readonly plans: Uint32Array;
  /** Element 0: one of QUICK_OUTCOME; element 1: the number of the call. Of the last one made. */
  readonly outcome: Int32Array;
  /** Make the call in the guest's registers, if there is a plan. */
  make(): void;
}
