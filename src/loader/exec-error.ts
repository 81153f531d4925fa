/**
 * The one error of loading a program. It carries what execve(2) would have answered (for an execve inside the
 * guest) and a sentence naming the file and the reason (for a person).
 */

import { type ErrnoName, errno, errorText } from '../abi/errno.ts';

export class ExecError extends Error {
  override readonly name = 'ExecError';
  /** Positive error number. */
  readonly errno: number;
  /** The file at fault as the user knows it: the program, its `#!` interpreter or its ELF interpreter. */
  readonly file: string;
  readonly reason: string;
  /**
   * The old image is gone already: the kernel kills the process with SIGSEGV instead of returning an error.
   * (False for all that is found out before anything is mapped.)
   */
  readonly fatal: boolean;

  constructor(error: ErrnoName | number, file: string, reason: string, fatal = false) {
    super(`${file}: ${reason}`);
    this.errno = typeof error === 'number' ? error : errno[error];
    this.file = file;
    this.reason = reason;
    this.fatal = fatal;
  }

  /** As a shell has it: 127 if the file or its interpreter is not there, 126 if it cannot be run. */
  get exitStatus(): 126 | 127 {
    return this.errno === errno.ENOENT ? 127 : 126;
  }
}

/** The kernel's own words for an error number. */
export function errnoSentence(error: number): string {
  return errorText[error] ?? `error ${error}`;
}

const utf8 = new TextDecoder();

/** Path bytes for a message. */
export function display(path: Uint8Array): string {
  return utf8.decode(path);
}
