/**
 * The initial stack, byte for byte as copy_strings() and create_elf_tables() in the kernel build it, from the
 * top down: a null word, the file name, environment strings, argument strings, a gap, the platform name, 16
 * random bytes, the auxiliary vector, envp, argv, argc. Pure: yields the bytes and where they go.
 */

import { type AuxEntry, auxType } from './auxv.ts';

export interface StackRequest {
  readonly top: number;
  readonly wordSize: 4 | 8;
  readonly littleEndian: boolean;
  readonly execfn: Uint8Array;
  readonly argv: readonly Uint8Array[];
  readonly envp: readonly Uint8Array[];
  readonly platform: string;
  /** The 16 bytes AT_RANDOM points to. */
  readonly random: Uint8Array;
  /** Moves the tables down by this much (0 … 8191), as arch_align_stack does. */
  readonly shift: number;
  /** In order, without AT_NULL; the values of AT_RANDOM, AT_EXECFN and AT_PLATFORM (pointers into the stack) are filled in. */
  readonly auxv: readonly AuxEntry[];
}

export interface BuiltStack {
  readonly sp: number;
  /** The bytes from `sp` up to the top. */
  readonly bytes: Uint8Array;
  /** The auxiliary vector by itself, AT_NULL included. */
  readonly auxv: Uint8Array;
  readonly argStart: number;
  readonly argEnd: number;
  readonly envStart: number;
  readonly envEnd: number;
}

/** Bytes of strings and pointers that `argv` and `envp` come to on the stack. */
export function argumentBytes(
  argv: readonly Uint8Array[],
  envp: readonly Uint8Array[],
  execfn: Uint8Array,
  wordSize: number,
): number {
  let bytes = (argv.length + envp.length + 3) * wordSize + execfn.length + 1;
  for (const s of argv) bytes += s.length + 1;
  for (const s of envp) bytes += s.length + 1;
  return bytes;
}

export function buildStack(r: StackRequest): BuiltStack {
  const word = r.wordSize;
  const length = (strings: readonly Uint8Array[]): number => strings.reduce((n, s) => n + s.length + 1, 0);

  // Strings, from the top: 8 zero bytes, execfn, envp, argv; each block ascending within itself.
  const execfnAt = r.top - 8 - (r.execfn.length + 1);
  const envStart = execfnAt - length(r.envp);
  const argStart = envStart - length(r.argv);

  let p = argStart - r.shift;
  p -= p % 16;
  const platform = new TextEncoder().encode(r.platform);
  const platformAt = p - (platform.length + 1);
  const randomAt = platformAt - 16;
  const onStack = new Map<number, number>([
    [auxType.AT_RANDOM, randomAt],
    [auxType.AT_EXECFN, execfnAt],
    [auxType.AT_PLATFORM, platformAt],
  ]);
  const auxv = r.auxv.map(([type, value]): AuxEntry => [type, onStack.get(type) ?? value]);
  auxv.push([auxType.AT_NULL, 0]);
  const auxvAligned = randomAt - (randomAt % word);
  const items = r.argv.length + 1 + r.envp.length + 1 + 1;
  let sp = auxvAligned - auxv.length * 2 * word - items * word;
  sp -= sp % 16;

  const bytes = new Uint8Array(r.top - sp);
  const view = new DataView(bytes.buffer);
  const put = (addr: number, value: number | bigint): void => {
    if (word === 8) view.setBigUint64(addr - sp, BigInt.asUintN(64, BigInt(value)), r.littleEndian);
    else view.setUint32(addr - sp, Number(BigInt.asUintN(32, BigInt(value))), r.littleEndian);
  };
  const putStrings = (at: number, strings: readonly Uint8Array[], pointers: number): void => {
    let string = at;
    let pointer = pointers;
    for (const s of strings) {
      bytes.set(s, string - sp);
      put(pointer, string);
      string += s.length + 1;
      pointer += word;
    }
    put(pointer, 0);
  };
  bytes.set(r.execfn, execfnAt - sp);
  bytes.set(platform, platformAt - sp);
  bytes.set(r.random.subarray(0, 16), randomAt - sp);
  put(sp, r.argv.length);
  const argvAt = sp + word;
  const envpAt = argvAt + (r.argv.length + 1) * word;
  putStrings(argStart, r.argv, argvAt);
  putStrings(envStart, r.envp, envpAt);
  const auxvAt = envpAt + (r.envp.length + 1) * word;
  auxv.forEach(([type, value], i) => {
    put(auxvAt + 2 * i * word, type);
    put(auxvAt + (2 * i + 1) * word, value);
  });
  return {
    sp,
    bytes,
    auxv: bytes.slice(auxvAt - sp, auxvAt - sp + auxv.length * 2 * word),
    argStart,
    argEnd: envStart,
    envStart,
    envEnd: execfnAt,
  };
}
