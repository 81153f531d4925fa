/**
 * Reaching the other threads of the process: raising the flag that translated code polls, stopping all of them (for
 * fork), breaking one's system call.
 *
 * How the world stops: the word `stop` is set; a thread in a system call of the host stays there (the stub lets nobody out), one
 * that runs guest code sees its flag at a back edge or in the dispatch loop and makes a system call to wait in. Where
 * `inKernel` is 1 the thread holds no lock of V8's, of the C library's or of ours, and nothing of the engine changes.
 */

import { futexWake, WORD } from '../kernel/process-block.ts';
import type { LinuxHost } from './linux-host.ts';
import { KICK, SIGINFO_SIZE } from './thread-slot.ts';

const SIGSEGV = 11;
const SI_QUEUE = -1;
const ALL = 0x7fff_ffff;
/** How long to wait between two looks, once yielding has not helped (ns). */
const PAUSE = 50_000;
const YIELDS = 50;

/** Let the threads in `slots` look at what is pending, soon. */
export function raiseFlags(host: LinuxHost, slots: readonly number[]): void {
  const { scratch, block } = host;
  const mark = scratch.mark();
  const word = scratch.alloc(4);
  scratch.view.setInt32(word, 1, true);
  const vectors = scratch.alloc(32);
  const { view, address } = scratch;
  view.setBigUint64(vectors, BigInt(address + word), true);
  view.setBigUint64(vectors + 8, 4n, true);
  const pid = host.syscall(host.nr['getpid'] as number);
  for (const slot of slots) {
    const flag = block.flagAddress(slot);
    if (flag === 0) continue;
    view.setBigUint64(vectors + 16, BigInt(flag), true);
    view.setBigUint64(vectors + 24, 4n, true);
    // The memory belongs to another isolate: the kernel is the one way to write there.
    host.syscall(host.nr['process_vm_writev'] as number, pid, address + vectors, 1, address + vectors + 16, 1, 0);
  }
  scratch.release(mark);
}

/** Stop all other guest threads; returns when none of them moves. The caller holds the process lock. */
export function stopWorld(host: LinuxHost): void {
  const { block } = host;
  if (!block.several) return;
  block.set(WORD.stop, host.slotNumber + 1);
  const others = block.taken().filter((slot) => slot !== host.slotNumber);
  raiseFlags(host, others);
  for (const slot of others) for (let k = 0; !block.inKernel(slot); k++) pause(host, k);
}

/** Let them run again. */
export function startWorld(host: LinuxHost): void {
  const { block } = host;
  if (block.get(WORD.stop) === 0) return;
  block.set(WORD.stop, 0);
  futexWake(host, block.address + WORD.stop * 4, ALL);
}

/** End the system call that the thread in `slot` may be blocked in, and raise its flag. */
export function kick(host: LinuxHost, slot: number): void {
  const { scratch, nr, block } = host;
  const mark = scratch.mark();
  const info = scratch.alloc(SIGINFO_SIZE);
  const pid = host.syscall(nr['getpid'] as number);
  scratch.view.setInt32(info, SIGSEGV, true);
  scratch.view.setInt32(info + 8, SI_QUEUE, true);
  scratch.view.setInt32(info + 16, pid, true);
  scratch.view.setBigUint64(info + 24, KICK, true);
  host.syscall(nr['rt_tgsigqueueinfo'] as number, pid, block.tid(slot), SIGSEGV, scratch.address + info);
  scratch.release(mark);
}

/** Wait a moment, longer after some tries. */
export function pause(host: LinuxHost, tries: number): void {
  if (tries < YIELDS) {
    host.syscall(host.nr['sched_yield'] as number);
    return;
  }
  const mark = host.scratch.mark();
  const at = host.scratch.alloc(16);
  host.scratch.view.setBigInt64(at + 8, BigInt(PAUSE), true);
  host.syscall(host.nr['nanosleep'] as number, host.scratch.address + at, 0);
  host.scratch.release(mark);
}
