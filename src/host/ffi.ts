/**
 * The one place that touches the foreign-function package. Owns: finding koffi's native part, calling machine code
 * by address, and seeing native memory as an ArrayBuffer.
 *
 * koffi's native addon is loaded directly: its JavaScript front costs 15 ms at start (it parses the ELF headers of
 * the node binary to tell glibc from musl; the pinned node is a glibc program), the addon itself 1 ms.
 */

import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The part of koffi's interface used here. */
interface Koffi {
  load(library: string | null): { func(prototype: string): (...args: unknown[]) => number | bigint };
  proto(definition: string): unknown;
  decode(address: bigint, type: unknown): (...args: unknown[]) => unknown;
  view(address: bigint, length: number): ArrayBuffer;
  address(buffer: ArrayBufferLike): bigint;
}

/** Where npm may have put the addon, hoisted or nested, seen from `start` upwards. */
function findAddon(start: string): string {
  const name = `koffi-linux-${process.arch}`;
  const file = join(name, `linux_${process.arch}`, 'koffi.node');
  for (let dir = start; ; dir = dirname(dir)) {
    for (const place of ['node_modules/@koromix', 'node_modules/koffi/node_modules/@koromix']) {
      const candidate = join(dir, place, file);
      if (existsSync(candidate)) return candidate;
    }
    if (dir === dirname(dir)) break;
  }
  throw new Error(
    `the native part of koffi (@koromix/${name}) is not installed beside ${start}; ` +
      'run npm install without --omit=optional, on linux x64 or arm64',
  );
}

function loadAddon(): Koffi {
  const module = { exports: {} };
  process.dlopen(module, findAddon(dirname(fileURLToPath(import.meta.url))), constants.dlopen.RTLD_LAZY);
  return module.exports as Koffi;
}

interface Addon {
  koffi: Koffi;
  stubType: unknown;
  libc?: (...args: unknown[]) => number | bigint;
  v8?: (...args: unknown[]) => unknown;
}

/** Loaded at first use: what only prints help needs none of it, and a start-up snapshot could not hold it. */
let addon: Addon | undefined;

function ffi(): Addon {
  if (addon === undefined) {
    const koffi = loadAddon();
    addon = { koffi, stubType: koffi.proto('void LunagateStub(void)') };
  }
  return addon;
}

/** A JavaScript function that calls the machine code at `address`, which takes and returns nothing. 20 ns a call. */
export function nativeFunction(address: number): () => void {
  const { koffi, stubType } = ffi();
  return koffi.decode(BigInt(address), stubType) as () => void;
}

/** Native memory as an ArrayBuffer. At most one view of any address may be alive. */
export function viewNative(address: number, length: number): ArrayBuffer {
  return ffi().koffi.view(BigInt(address), length);
}

/** Host address of the first byte of a buffer that does not move (WebAssembly memory, or one of `viewNative`). */
export function addressOf(buffer: ArrayBufferLike): number {
  return Number(ffi().koffi.address(buffer));
}

/** One system call through libc. −1 for any error. */
export function libcSyscall(nr: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): number {
  const call = ffi();
  call.libc ??= call.koffi.load(null).func('long syscall(long, long, long, long, long, long, long)');
  return Number(call.libc(nr, a0, a1, a2, a3, a4, a5));
}

/** Set a flag of V8 (v8::V8::SetFlagsFromString, which node's executable exports). */
export function setV8Flag(flag: string): void {
  const call = ffi();
  call.v8 ??= call.koffi.load(null).func('void _ZN2v82V818SetFlagsFromStringEPKc(const char *)');
  call.v8(flag);
}

/** Have the C library give what is free of its heap back to the kernel (malloc_trim). */
export function releaseFreeMemory(): void {
  ffi().koffi.load(null).func('int malloc_trim(size_t)')(0);
}

/** Host address of a function of the C library. */
export function libraryFunction(name: string): number {
  const dlsym = ffi().koffi.load(null).func('uintptr_t dlsym(uintptr_t, const char *)');
  const address = Number(dlsym(0, name));
  if (address === 0) throw new Error(`the C library has no ${name}`);
  return address;
}
