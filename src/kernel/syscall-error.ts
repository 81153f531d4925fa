/**
 * Owns the one exception a system-call handler may throw to fail with an errno from deep inside.
 */

import { type ErrnoName, errno } from '../abi/errno.ts';

/** Fails the current system call with −errno. Not an Error: no stack is captured, so it costs about a microsecond. */
export class SyscallError {
  /** Positive error number. */
  readonly errno: number;
  constructor(error: number) {
    this.errno = error;
  }
}

/** Never returns: the running system call fails with this error. */
export function fail(name: ErrnoName): never {
  throw new SyscallError(errno[name]);
}

/** Passes a result through if it is ≥ 0, fails the running system call with it otherwise. */
export function check(result: number): number {
  if (result < 0) throw new SyscallError(-result);
  return result;
}
