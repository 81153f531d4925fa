/**
 * Robust futexes: what the kernel does with the locks that an ending thread still holds. The list is the guest's:
 * struct robust_list_head { next; futex_offset; list_op_pending }, entries linked by their first word, whose bit 0 says
 * that the lock is a priority-inheritance one (futex(2), the kernel's robust-futexes document).
 */

import type { GuestAddr } from '../kernel/ports.ts';
import { GuestFault } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';

/** Entries followed at most, as the kernel does: the list may be a circle. */
const LIMIT = 2048;
const FUTEX_WAITERS = 0x8000_0000;
const FUTEX_OWNER_DIED = 0x4000_0000;
const FUTEX_TID_MASK = 0x3fff_ffff;
const FUTEX_WAKE = 1;
const FUTEX_UNLOCK_PI = 7;

/** Mark the locks that `task` holds as its owner's having died, and wake one waiter of each. */
export function leaveLocks(task: Task): void {
  const head = task.robustList;
  if (head === 0) return;
  task.robustList = 0;
  const { memory } = task;
  try {
    const offset = Number(BigInt.asIntN(64, memory.u64(head + 8)));
    const pending = memory.u64n(head + 16);
    let entry = memory.u64n(head);
    for (let k = 0; k < LIMIT && (entry & ~1) !== head && entry !== 0; k++) {
      const at = entry - (entry % 2);
      // Its owner's going may let another thread free it.
      const next = memory.u64n(at);
      if (entry !== pending) died(task, at + offset, entry % 2 === 1, false);
      entry = next;
    }
    if (pending !== 0) died(task, pending - (pending % 2) + offset, pending % 2 === 1, true);
  } catch (error) {
    // A list that cannot be read ends there.
    if (!(error instanceof GuestFault)) throw error;
  }
}

function died(task: Task, word: GuestAddr, inherits: boolean, pending: boolean): void {
  const { memory } = task;
  if (word % 4 !== 0) return;
  const value = memory.u32(word);
  const owner = value & FUTEX_TID_MASK;
  if (owner !== task.tid) {
    // The thread may have let go of the word but not yet woken who waits for it.
    if (pending && !inherits && value === 0) task.call('futex', task.pointer(word, 4), FUTEX_WAKE, 1);
    return;
  }
  if (inherits && (value & FUTEX_WAITERS) !== 0) {
    // The kernel hands the lock on itself. The new owner does not learn that the old one died.
    task.call('futex', task.pointer(word, 4), FUTEX_UNLOCK_PI);
    return;
  }
  memory.setU32(word, ((value & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0);
  if ((value & FUTEX_WAITERS) !== 0) task.call('futex', task.pointer(word, 4), FUTEX_WAKE, 1);
}
