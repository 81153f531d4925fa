/**
 * The first half of exec(2): finds out what a file is and whether it can be run, following `#!` lines, opening
 * the ELF interpreter, checking the size of the arguments. Changes nothing; every failure is an ExecError with
 * the errno that execve(2) returns.
 */

import { errno } from '../abi/errno.ts';
import { ET_DYN, ET_EXEC } from '../elf/constants.ts';
import { ElfFile } from '../elf/elf-file.ts';
import { ElfError } from '../elf/errors.ts';
import { hasElfMagic } from '../elf/header.ts';
import type { Host } from '../kernel/ports.ts';
import { display, ExecError, errnoSentence } from './exec-error.ts';
import { ExecutableFile, openHostPath } from './executable-file.ts';
import { LOWEST_ADDRESS } from './layout.ts';
import { FORMAT_BYTES, MAX_EXEC_DEPTH, parseScript } from './script.ts';
import type { LoaderIsa } from './types.ts';

/** MAX_ARG_STRLEN: longest single argument, its NUL included. */
const MAX_STRING = 131072;
/** ARG_MAX: this much is always allowed; and three quarters of _STK_LIM is the most. */
const LEAST_ARGUMENTS = 131072;
const MOST_ARGUMENTS = 6 << 20;

export interface ExecRequest {
  /** The name the program was called by: AT_EXECFN, and what messages name. */
  readonly path: Uint8Array;
  readonly argv: readonly Uint8Array[];
  readonly envp: readonly Uint8Array[];
  /** Soft RLIMIT_STACK in bytes (Infinity: unlimited): a quarter of it bounds the arguments. */
  readonly stackLimit: number;
  /** Host descriptor already open on the program (fexecve); taken over. Otherwise `path` is opened. */
  readonly fd?: number;
  /** A script given by descriptor that closes on exec cannot be reached by its interpreter: ENOENT. */
  readonly pathInaccessible?: boolean;
  /**
   * -L: interpreters named by an absolute path are looked for under this directory first. The program itself is
   * the user's own file and is not.
   */
  readonly sysroot?: string | undefined;
  /**
   * Opens a path as the guest means it (/proc/self/exe, the sysroot): host descriptor or −errno. For an execve of the
   * guest's own; default: the path as it is, interpreters by `sysroot`.
   */
  readonly open?: (path: Uint8Array) => number;
}

export interface ElfImage {
  readonly file: ExecutableFile;
  readonly elf: ElfFile;
}

/** A program that can be run: give it to `loadImage`, or `close` it. */
export interface PreparedExec {
  readonly main: ElfImage;
  readonly interpreter: ElfImage | undefined;
  /** As the guest gets them: after `#!` lines have put their interpreter in front. */
  readonly argv: readonly Uint8Array[];
  readonly envp: readonly Uint8Array[];
  readonly execfn: Uint8Array;
  /** The new name of the thread: the last part of the name called by, at most 15 bytes. */
  readonly comm: Uint8Array;
  close(): void;
}

export function prepareExec(host: Host, isa: LoaderIsa, memorySize: number, request: ExecRequest): PreparedExec {
  const open = request.open ?? ((path: Uint8Array) => openHostPath(host, path));
  const openUnder = request.open ?? sysrootOpener(host, request.sysroot);
  // Linux 5.18: a program never sees an empty argv.
  let argv: readonly Uint8Array[] = request.argv.length === 0 ? [new Uint8Array(0)] : request.argv;
  checkArguments(request, argv, isa.is64 ? 8 : 4);

  let path = request.path;
  let file = request.fd === undefined ? openProgram(host, open, path) : new ExecutableFile(host, request.fd, path);
  try {
    for (let depth = 0; ; depth++) {
      if (depth > MAX_EXEC_DEPTH)
        throw new ExecError(
          'ELOOP',
          display(request.path),
          'too many scripts that are each the interpreter of the last',
        );
      const start = file.read(0, FORMAT_BYTES);
      const script = parseScript(start);
      if (script === undefined) break;
      if (script === 'invalid')
        throw new ExecError('ENOEXEC', display(path), 'its #! line names no interpreter, or one too long');
      if (request.pathInaccessible === true && depth === 0)
        throw new ExecError(
          'ENOENT',
          display(path),
          'a script given as a close-on-exec descriptor cannot be reached by its interpreter',
        );
      argv = [script.interpreter, ...(script.argument === undefined ? [] : [script.argument]), path, ...argv.slice(1)];
      checkArguments(request, argv, isa.is64 ? 8 : 4);
      const next = openInterpreter(host, openUnder, script.interpreter, path, 'its #! interpreter');
      file.close();
      file = next;
      path = script.interpreter;
    }
    const elf = openElf(file, isa, memorySize);
    const interpreter = openElfInterpreter(host, openUnder, isa, memorySize, elf, path);
    return {
      main: { file, elf },
      interpreter,
      argv,
      envp: request.envp,
      execfn: request.path,
      comm: basename(request.path).slice(0, 15),
      close() {
        file.close();
        interpreter?.file.close();
      },
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** As qemu-user has it: what is under the prefix goes before what is not; relative paths stay as they are. */
function sysrootOpener(host: Host, sysroot: string | undefined): (path: Uint8Array) => number {
  const prefix = Buffer.from((sysroot ?? '').replace(/\/+$/, ''));
  return (path) => {
    if (prefix.length > 0 && path[0] === 0x2f) {
      const fd = openHostPath(host, Buffer.concat([prefix, path]));
      if (fd >= 0) return fd;
    }
    return openHostPath(host, path);
  };
}

function basename(path: Uint8Array): Uint8Array {
  return path.subarray(path.lastIndexOf(0x2f) + 1);
}

function openProgram(host: Host, open: (path: Uint8Array) => number, path: Uint8Array): ExecutableFile {
  const fd = path.length === 0 ? -errno.ENOENT : open(path);
  if (fd < 0) throw new ExecError(-fd, display(path), errnoSentence(-fd));
  return new ExecutableFile(host, fd, path);
}

function openInterpreter(
  host: Host,
  open: (path: Uint8Array) => number,
  path: Uint8Array,
  of: Uint8Array,
  what: string,
): ExecutableFile {
  if (path.length === 0) throw new ExecError('EACCES', display(of), `the name of ${what} is empty`);
  const fd = open(path);
  if (fd < 0) throw new ExecError(-fd, display(of), `${what} ${display(path)} cannot be opened: ${errnoSentence(-fd)}`);
  try {
    return new ExecutableFile(host, fd, path);
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    throw new ExecError(error.errno, display(of), `${what} ${display(path)} cannot be run: ${error.reason}`);
  }
}

function openElf(file: ExecutableFile, isa: LoaderIsa, memorySize: number): ElfFile {
  try {
    const elf = openLoadable(file, isa, memorySize);
    checkLowest(elf, isa);
    return elf;
  } catch (error) {
    if (!(error instanceof ElfError)) throw error;
    // The kernel says EINVAL or ENOMEM of some of these only when the old image is gone; here it is still whole.
    const reason = error.code === 'not-elf' ? notRunnable(file, error.message) : error.message;
    throw new ExecError('ENOEXEC', display(file.path), reason);
  }
}

function notRunnable(file: ExecutableFile, message: string): string {
  if (file.size === 0) return 'the file is empty';
  const start = file.read(0, FORMAT_BYTES);
  const isText = start.every((b) => b >= 0x20 || (b >= 0x09 && b <= 0x0d)) && !hasElfMagic(start);
  return isText ? 'it is neither an ELF program nor a script that begins with #!' : message;
}

function openLoadable(file: ExecutableFile, isa: LoaderIsa, memorySize: number): ElfFile {
  const elf = ElfFile.open(file, {
    is64: isa.is64,
    littleEndian: isa.littleEndian,
    machine: isa.machine,
    types: [ET_EXEC, ET_DYN],
  });
  elf.checkLoadable({ pageSize: isa.pageSize, addressLimit: memorySize });
  return elf;
}

/** ET_EXEC images say where they go; below mmap_min_addr nothing can be mapped. */
function checkLowest(elf: ElfFile, isa: LoaderIsa): void {
  if (elf.header.type !== ET_EXEC) return;
  for (const s of elf.segments)
    if (s.type === 1 && s.memsz > 0 && s.vaddr - (s.vaddr % isa.pageSize) < LOWEST_ADDRESS)
      throw new ElfError(
        'malformed',
        `it asks for memory at 0x${s.vaddr.toString(16)}, below 0x${LOWEST_ADDRESS.toString(16)}, where nothing may be mapped`,
      );
}

function openElfInterpreter(
  host: Host,
  open: (path: Uint8Array) => number,
  isa: LoaderIsa,
  memorySize: number,
  elf: ElfFile,
  of: Uint8Array,
): ElfImage | undefined {
  let path: Uint8Array | undefined;
  try {
    path = elf.interpreter();
  } catch (error) {
    if (error instanceof ElfError) throw new ExecError('ENOEXEC', display(of), error.message);
    throw error;
  }
  if (path === undefined) return undefined;
  const file = openInterpreter(host, open, path, of, 'its program interpreter');
  try {
    const interpreter = openLoadable(file, isa, memorySize);
    checkLowest(interpreter, isa);
    return { file, elf: interpreter };
  } catch (error) {
    file.close();
    if (!(error instanceof ElfError)) throw error;
    throw new ExecError(
      'ELIBBAD',
      display(of),
      `its program interpreter ${display(path)} cannot be used: ${error.message}`,
    );
  }
}

/** bprm_stack_limits() and the checks of copy_strings(). */
function checkArguments(request: ExecRequest, argv: readonly Uint8Array[], wordSize: number): void {
  const limit = Math.max(Math.min(MOST_ARGUMENTS, Math.floor(request.stackLimit / 4)), LEAST_ARGUMENTS);
  let room = limit - (argv.length + request.envp.length) * wordSize - (request.path.length + 1);
  for (const [what, strings] of [
    ['argument', argv],
    ['environment', request.envp],
  ] as const)
    for (const s of strings) {
      if (s.length + 1 > MAX_STRING)
        throw new ExecError(
          'E2BIG',
          display(request.path),
          `an ${what} string of ${s.length} bytes; at most ${MAX_STRING - 1} are allowed`,
        );
      room -= s.length + 1;
    }
  if (room < 0)
    throw new ExecError(
      'E2BIG',
      display(request.path),
      `arguments and environment take more than the ${limit} bytes allowed (a quarter of the stack limit)`,
    );
}
