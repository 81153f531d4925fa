/**
 * From a guest's system-call instruction to its result: loads the frame, asks the feature word of the number
 * whether anybody stands in between, runs the declaration's handler.
 *
 * Invariants: a call nobody intercepts costs no allocation beyond the handler's own; scratch memory taken during a
 * call is given back; only Unwind (and errors of the engine itself) leave dispatch as exceptions.
 */

import { errno } from '../abi/errno.ts';
import { GuestFault, NotEntered, type SyscallFrame, Unwind } from '../kernel/ports.ts';
import type { InterceptorSet } from '../kernel/interceptor.ts';
import { QUICK_NUMBERS, QUICK_OUTCOME, type QuickCalls } from '../kernel/quick-call.ts';
import { SyscallError } from '../kernel/syscall-error.ts';
import type { Task } from '../kernel/task.ts';
import { syscallByNumber } from './table.ts';

/**
 * Perform the system call in the task's registers and set its result there.
 * @throws Unwind when the call leaves the normal path (exec, thread exit, sigreturn): no result is set then.
 */
export function dispatch(task: Task): void {
  const { frame, cpu, process } = task;
  cpu.loadSyscall(frame);
  const { nr } = frame;
  task.interruptedNr = -1;
  const direct = process.interceptors.feature(nr) === 0;
  const resume = direct ? syscallByNumber(nr)?.resume : undefined;
  if (resume !== undefined) {
    task.notEntered = false;
    resume(task);
    return;
  }
  const result =
    direct
      ? invoke(task, nr, frame)
      : process.interceptors.run(task, frame, (task.original ??= (inner) => invoke64(task, inner)));
  if (typeof result === 'bigint' ? result === MINUS_EINTR : result === -errno.EINTR) task.interruptedNr = nr;
  else task.notEntered = false;
  cpu.setSyscallResult(result);
}

/**
 * `dispatch`, for calls that have a plan by machine code.
 * @throws Unwind as `dispatch` does.
 */
export function dispatchQuickly(task: Task, quick: QuickCalls): void {
  quick.make();
  const outcome = quick.outcome[0] as number;
  if (outcome === QUICK_OUTCOME.declined) {
    dispatch(task);
    return;
  }
  task.interruptedNr = -1;
  task.notEntered = false;
  if (outcome !== QUICK_OUTCOME.done) interrupted(task, quick, outcome);
}

function interrupted(task: Task, { outcome: [, nr = -1] }: QuickCalls, outcome: number): void {
  task.interruptedNr = nr;
  task.notEntered = outcome === QUICK_OUTCOME.notEntered;
  const after = syscallByNumber(nr)?.quickInterrupted;
  if (task.notEntered || after === undefined) return;
  const { scratch } = task.host;
  const mark = scratch.mark();
  task.cpu.loadSyscall(task.frame);
  after(task, task.frame);
  scratch.release(mark);
}

/** Let those calls be quick that nobody wants to see. */
export function usePlans(quick: QuickCalls, interceptors: InterceptorSet): void {
  interceptors.onFeature = (nr, word) => {
    if (nr >= QUICK_NUMBERS) return;
    const plan = word === 0 ? syscallByNumber(nr)?.quick : undefined;
    quick.plans[2 * nr] = plan?.[0] ?? 0;
    quick.plans[2 * nr + 1] = plan?.[1] ?? 0;
  };
  for (let nr = 0; nr < QUICK_NUMBERS; nr++) interceptors.onFeature(nr, interceptors.feature(nr));
}

const MINUS_EINTR = BigInt(-errno.EINTR);

/**
 * Run the original system call `nr` with the raw arguments of `frame` (frame.nr is not looked at), past every
 * interceptor. Result ≥ 0 or −errno; a bigint only where a number could not hold it.
 */
export function invoke(task: Task, nr: number, frame: SyscallFrame): number | bigint {
  const declaration = syscallByNumber(nr);
  const run = declaration?.run;
  if (run === undefined) return -errno.ENOSYS;
  task.notEntered = false;
  const { scratch } = task.host;
  const mark = scratch.mark();
  try {
    if (declaration?.blocks === true && task.process.signals?.catches === true) return task.host.interruptibly(() => run(task, frame));
    return run(task, frame);
  } catch (error) {
    if (error instanceof NotEntered) {
      task.notEntered = true;
      return -errno.EINTR;
    }
    if (error instanceof GuestFault) return -errno.EFAULT;
    if (error instanceof SyscallError) return -error.errno;
    throw error;
  } finally {
    scratch.release(mark);
  }
}

/** As `invoke` for the number in the frame, exact to 64 bits whatever the handler returned. */
export function invoke64(task: Task, frame: SyscallFrame): bigint {
  const result = invoke(task, frame.nr, frame);
  return typeof result === 'bigint' ? result : BigInt(result);
}

export { Unwind };
