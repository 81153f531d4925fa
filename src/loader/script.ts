/** `#!` lines, read as fs/binfmt_script.c reads them. Pure. */

/** How much of a file the kernel looks at to tell its format (BINPRM_BUF_SIZE). */
export const FORMAT_BYTES = 256;
/** Scripts whose interpreter is a script …: more than this many images in a row is ELOOP. */
export const MAX_EXEC_DEPTH = 5;

export interface Script {
  /** May be empty (`#!` and a NUL): the kernel then opens the working directory, so EACCES. */
  readonly interpreter: Uint8Array;
  /** The single optional argument: everything after the interpreter's name, spaces within included. */
  readonly argument: Uint8Array | undefined;
}

const SPACE = 0x20;
const TAB = 0x09;
const NEWLINE = 0x0a;

/**
 * The interpreter line of a file whose first bytes are `start`; undefined if it does not begin with `#!`, and
 * 'invalid' if it does but names no interpreter, or none within the first 256 bytes (both ENOEXEC).
 */
export function parseScript(start: Uint8Array): Script | 'invalid' | undefined {
  if (start[0] !== 0x23 || start[1] !== 0x21) return undefined;
  // The kernel's buffer is filled up with NULs.
  const buffer = new Uint8Array(FORMAT_BYTES);
  buffer.set(start.subarray(0, FORMAT_BYTES));
  let end = buffer.subarray(0, strnlen(buffer)).indexOf(NEWLINE);
  if (end < 0) {
    const last = FORMAT_BYTES - 1;
    const name = nextOther(buffer, 2, last);
    if (name < 0) return 'invalid';
    // Without a blank or NUL after it the name may be cut off.
    if (nextTerminator(buffer, name, last) < 0) return 'invalid';
    end = last;
  }
  while (isBlank(buffer[end - 1])) end--;
  const name = nextOther(buffer, 2, end);
  if (name < 0 || name === end) return 'invalid';
  const separator = nextTerminator(buffer, name, end);
  let argument = -1;
  if (separator >= 0 && separator < end && buffer[separator] !== 0) argument = nextOther(buffer, separator, end);
  buffer[end] = 0;
  const interpreter = cBytes(buffer, name, separator >= 0 ? separator : end);
  return { interpreter, argument: argument >= 0 && argument < end ? cBytes(buffer, argument, end) : undefined };
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB;
}

function strnlen(buffer: Uint8Array): number {
  const nul = buffer.indexOf(0);
  return nul < 0 ? buffer.length : nul;
}

/** First place in [first, last] that is neither space nor tab; −1 if none. */
function nextOther(buffer: Uint8Array, first: number, last: number): number {
  for (let i = first; i <= last; i++) if (!isBlank(buffer[i])) return i;
  return -1;
}

/** First place in [first, last] that is space, tab or NUL; −1 if none. */
function nextTerminator(buffer: Uint8Array, first: number, last: number): number {
  for (let i = first; i <= last; i++) if (isBlank(buffer[i]) || buffer[i] === 0) return i;
  return -1;
}

function cBytes(buffer: Uint8Array, from: number, to: number): Uint8Array {
  const nul = buffer.indexOf(0, from);
  return buffer.slice(from, nul >= 0 && nul < to ? nul : to);
}
