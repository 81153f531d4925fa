/**
 * Owns the Lua interpreter as a WebAssembly binary: where it is found, and how it is fitted for use here.
 *
 * The binary is wasmoon's (Lua 5.4 proper, built by Emscripten), instantiated without wasmoon's JavaScript. It is
 * rewritten in two points, both outside its code: memory and function table, which it defines itself, become
 * imports. The memory can then be a shared one that several threads instantiate the same interpreter over (the
 * second and later instances without the data segments, whose contents are live by then), and the function table
 * can hold functions of another module, so that errors unwind and hooks run without a step through JavaScript.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const section = { import: 2, table: 4, memory: 5, dataCount: 12, data: 11 } as const;

export interface LuaModule {
  readonly module: WebAssembly.Module;
  /** Functions the interpreter puts into the table itself; further slots are free. */
  readonly tableSize: number;
  /** Pages the interpreter needs at least: static data and its C stack. */
  readonly minPages: number;
  readonly maxPages: number;
}

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
 * @param first false leaves the data segments out, for an instance over memory already in use.
 * @throws Error when the binary is not what this code knows how to fit.
 */
export function fitLuaBinary(bytes: Uint8Array, first = true): LuaModule {
  let at = 8;
  const u32 = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('the Lua interpreter binary is truncated; reinstall the package');
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  };
  const parts: Uint8Array[] = [bytes.subarray(0, 8)];
  let imports: { count: number; body: Uint8Array; index: number } | undefined;
  let tableSize = 0;
  let minPages = 0;
  let maxPages = 0;
  while (at < bytes.length) {
    const start = at;
    const id = bytes[at++];
    const size = u32();
    const body = at;
    const end = at + size;
    if (id === section.import) {
      const count = u32();
      imports = { count, body: bytes.subarray(at, end), index: parts.length };
      parts.push(new Uint8Array(0));
    } else if (id === section.table) {
      at = body + 3; // one table, funcref, flags
      tableSize = u32();
    } else if (id === section.memory) {
      at = body + 2; // one memory, flags
      minPages = u32();
      maxPages = u32();
    } else if (first || (id !== section.data && id !== section.dataCount)) {
      parts.push(bytes.subarray(start, end));
    }
    at = end;
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
  return { module: new WebAssembly.Module(Buffer.concat(parts)), tableSize, minPages: needed, maxPages };
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
