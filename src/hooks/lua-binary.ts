/**
 * Owns the Lua interpreter as a WebAssembly binary: where it is found, and how it is fitted for use here.
 *
 * The binary is wasmoon's (Lua 5.4 proper, built by Emscripten), instantiated without wasmoon's JavaScript. It is
 * rewritten outside its code: memory and function table, which it defines itself, become imports, and the contents of
 * its static data are taken out, to be written by whoever begins a Lua state. So several threads can instantiate the
 * same interpreter over one shared memory, a state can be begun anew in the same memory, and the function table can
 * hold functions of another module, so that errors unwind and hooks run without a step through JavaScript.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const section = { custom: 0, import: 2, table: 4, memory: 5, dataCount: 12, data: 11 } as const;

/** A piece of static data and its address. */
interface Segment {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** Can be handed to another thread. */
export interface LuaModule {
  readonly module: WebAssembly.Module;
  /** Functions the interpreter puts into the table itself; further slots are free. */
  readonly tableSize: number;
  /** Pages the interpreter needs at least: static data and its C stack. */
  readonly minPages: number;
  readonly maxPages: number;
  /** What the memory of a fresh state holds; all else is zero. Nothing of it lies below `STATIC_BASE`. */
  readonly data: readonly Segment[];
}

/** The linker leaves the memory below this address unused. */
export const STATIC_BASE = 1024;

/** The interpreter's bytes: `lua.wasm` beside this file (a built package), else wasmoon's own. */
export function readLuaBinary(): Uint8Array {
  try {
    return readFileSync(new URL('./lua.wasm', import.meta.url));
  } catch {
    const entry = createRequire(import.meta.url).resolve('wasmoon');
    return readFileSync(new URL('./glue.wasm', `file://${entry}`));
  }
}

/**
 * Fit the binary as described above and compile it.
 * @param variant V8 takes equal bytes for the same module, with the code compiled so far: another text here, another
 * module.
 * @throws Error when the binary is not what this code knows how to fit.
 */
export function fitLuaBinary(bytes: Uint8Array, variant = ''): LuaModule {
  const cursor = new Cursor(bytes, 8);
  const parts: Uint8Array[] = [bytes.subarray(0, 8)];
  let imports: { count: number; body: Uint8Array; index: number } | undefined;
  let tableSize = 0;
  let minPages = 0;
  let maxPages = 0;
  const data: Segment[] = [];
  while (cursor.at < bytes.length) {
    const start = cursor.at;
    const id = bytes[cursor.at++];
    const size = cursor.u32();
    const body = cursor.at;
    const end = body + size;
    if (id === section.import) {
      const count = cursor.u32();
      imports = { count, body: bytes.subarray(cursor.at, end), index: parts.length };
      parts.push(new Uint8Array(0));
    } else if (id === section.table) {
      cursor.at = body + 3; // one table, funcref, flags
      tableSize = cursor.u32();
    } else if (id === section.memory) {
      cursor.at = body + 2; // one memory, flags
      minPages = cursor.u32();
      maxPages = cursor.u32();
    } else if (id === section.data) {
      for (let count = cursor.u32(); count > 0; count--) data.push(segment(cursor));
    } else if (id !== section.dataCount) {
      parts.push(bytes.subarray(start, end));
    }
    cursor.at = end;
  }
  if (imports === undefined || tableSize === 0 || maxPages === 0) {
    throw new Error('the Lua interpreter binary lacks its import, table or memory section; reinstall the package');
  }
  // The stack pointer's start value is the end of static data and stack; one page of heap to begin with.
  const needed = Math.min(minPages, 32);
  const body = [
    ...leb(imports.count + 2),
    ...name('env'),
    ...name('memory'),
    0x02,
    0x03,
    ...leb(needed),
    ...leb(maxPages),
    ...name('env'),
    ...name('table'),
    0x01,
    0x70,
    0x00,
    ...leb(tableSize),
  ];
  const length = body.length + imports.body.length;
  parts[imports.index] = Uint8Array.from([section.import, ...leb(length), ...body, ...imports.body]);
  const label = name(variant);
  parts.push(Uint8Array.from([section.custom, ...leb(label.length), ...label]));
  return { module: new WebAssembly.Module(Buffer.concat(parts)), tableSize, minPages: needed, maxPages, data };
}

class Cursor {
  readonly bytes: Uint8Array;
  at: number;
  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }
  u32(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new Error('the Lua interpreter binary is truncated; reinstall the package');
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }
}

/** An active segment of memory 0 at a constant address, which is all a linker makes for a memory that is not shared. */
function segment(cursor: Cursor): Segment {
  const [kind, opcode] = [cursor.u32(), cursor.bytes[cursor.at++]];
  // Addresses are below 2^31 − 2^27, so that the signed constant reads like an unsigned one but for its length.
  const at = cursor.u32();
  const end = cursor.bytes[cursor.at++];
  if (kind !== 0 || opcode !== 0x41 || end !== 0x0b || at < STATIC_BASE) {
    throw new Error('the Lua interpreter binary lays out its data in an unknown way; reinstall the package');
  }
  const length = cursor.u32();
  const bytes = cursor.bytes.slice(cursor.at, cursor.at + length);
  cursor.at += length;
  return { at, bytes };
}

function leb(value: number): number[] {
  const out: number[] = [];
  do {
    out.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value > 0);
  return out;
}

function name(text: string): number[] {
  return [...leb(text.length), ...Buffer.from(text, 'latin1')];
}
