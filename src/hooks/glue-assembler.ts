/**
 * A few dozen lines of WebAssembly encoder, enough for the functions that stand between Lua and the engine
 * (glue.ts). Bodies are written as flat lists of the opcodes below.
 */

export const i32 = 0x7f;
export const i64 = 0x7e;

export interface Signature {
  readonly params: readonly number[];
  readonly results: readonly number[];
}

/** Opcodes used by the glue, as functions of their immediates. */
export const op = {
  get: (n: number) => [0x20, ...unsigned(n)],
  set: (n: number) => [0x21, ...unsigned(n)],
  tee: (n: number) => [0x22, ...unsigned(n)],
  globalGet: (n: number) => [0x23, ...unsigned(n)],
  globalSet: (n: number) => [0x24, ...unsigned(n)],
  call: (n: number) => [0x10, ...unsigned(n)],
  callIndirect: (type: number) => [0x11, ...unsigned(type), 0],
  const: (v: number) => [0x41, ...signed(BigInt(v))],
  const64: (v: bigint) => [0x42, ...signed(v)],
  load8: (offset: number) => [0x2d, 0, ...unsigned(offset)],
  load32: (offset: number) => [0x28, 2, ...unsigned(offset)],
  load64: (offset: number) => [0x29, 3, ...unsigned(offset)],
  store8: (offset: number) => [0x3a, 0, ...unsigned(offset)],
  store32: (offset: number) => [0x36, 2, ...unsigned(offset)],
  store64: (offset: number) => [0x37, 3, ...unsigned(offset)],
  block: [0x02, 0x40],
  if: [0x04, 0x40],
  ifI64: [0x04, i64],
  else: [0x05],
  end: [0x0b],
  return: [0x0f],
  unreachable: [0x00],
  drop: [0x1a],
  br: (depth: number) => [0x0c, ...unsigned(depth)],
  brIf: (depth: number) => [0x0d, ...unsigned(depth)],
  /** try_table with one clause: an exception of `tag` branches to label `depth` (counted outside the try). */
  tryCatch: (tag: number, depth: number) => [0x1f, 0x40, 1, 0x00, ...unsigned(tag), ...unsigned(depth)],
  throw: (tag: number) => [0x08, ...unsigned(tag)],
  eqz: [0x45],
  eq: [0x46],
  ne: [0x47],
  ltU: [0x49],
  gtS: [0x4a],
  gtU: [0x4b],
  geS: [0x4e],
  add: [0x6a],
  sub: [0x6b],
  or: [0x72],
  shl: [0x74],
} as const;

type Code = readonly (number | readonly number[])[];

/** Collects one module and yields its bytes. Indices are returned as things are added; imports come first. */
export class Assembler {
  readonly #types: string[] = [];
  readonly #typeBytes: number[][] = [];
  readonly #imports: number[][] = [];
  readonly #functions: { type: number; locals: readonly number[]; code: number[] }[] = [];
  readonly #tags: number[] = [];
  readonly #globals: number[][] = [];
  readonly #exports: number[][] = [];
  #importedFunctions = 0;
  #importedTags = 0;

  type({ params, results }: Signature): number {
    const bytes = [0x60, ...vector(params.map((p) => [p])), ...vector(results.map((r) => [r]))];
    const key = bytes.join();
    const known = this.#types.indexOf(key);
    if (known >= 0) return known;
    this.#types.push(key);
    this.#typeBytes.push(bytes);
    return this.#types.length - 1;
  }

  importFunction(module: string, name: string, signature: Signature): number {
    this.#imports.push([...text(module), ...text(name), 0x00, ...unsigned(this.type(signature))]);
    return this.#importedFunctions++;
  }

  importTable(module: string, name: string, min: number): void {
    this.#imports.push([...text(module), ...text(name), 0x01, 0x70, 0x00, ...unsigned(min)]);
  }

  importSharedMemory(module: string, name: string, min: number, max: number): void {
    this.#imports.push([...text(module), ...text(name), 0x02, 0x03, ...unsigned(min), ...unsigned(max)]);
  }

  importTag(module: string, name: string): number {
    this.#imports.push([
      ...text(module),
      ...text(name),
      0x04,
      0x00,
      ...unsigned(this.type({ params: [], results: [] })),
    ]);
    return this.#importedTags++;
  }

  tag(exportAs: string): number {
    const index = this.#importedTags + this.#tags.length;
    this.#tags.push(this.type({ params: [], results: [] }));
    this.#exports.push([...text(exportAs), 0x04, ...unsigned(index)]);
    return index;
  }

  /** A mutable i32 global, exported so that JavaScript can set it. */
  global(exportAs: string): number {
    const index = this.#globals.length;
    this.#globals.push([i32, 1, ...op.const(0), 0x0b]);
    this.#exports.push([...text(exportAs), 0x03, ...unsigned(index)]);
    return index;
  }

  /** All imported functions must have been added before. */
  function(exportAs: string, signature: Signature, locals: readonly number[], code: Code): number {
    const index = this.#importedFunctions + this.#functions.length;
    this.#functions.push({ type: this.type(signature), locals, code: code.flat() as number[] });
    this.#exports.push([...text(exportAs), 0x00, ...unsigned(index)]);
    return index;
  }

  /** `variant`: another text gives a module whose code is compiled anew. */
  compile(variant: string): WebAssembly.Module {
    const bodies = this.#functions.map(({ locals, code }) => {
      const body = [...vector(locals.map((t) => [1, t])), ...code, 0x0b];
      return [...unsigned(body.length), ...body];
    });
    return new WebAssembly.Module(
      Uint8Array.from([
        0,
        0x61,
        0x73,
        0x6d,
        1,
        0,
        0,
        0,
        ...part(1, this.#typeBytes),
        ...part(2, this.#imports),
        ...part(
          3,
          this.#functions.map((f) => unsigned(f.type)),
        ),
        ...part(
          13,
          this.#tags.map((t) => [0, ...unsigned(t)]),
        ),
        ...part(6, this.#globals),
        ...part(7, this.#exports),
        ...part(10, bodies),
        0,
        ...vector([...text(variant)].map((b) => [b])),
      ]),
    );
  }
}

function part(id: number, entries: readonly (readonly number[])[]): number[] {
  if (entries.length === 0) return [];
  const body = vector(entries);
  return [id, ...unsigned(body.length), ...body];
}

function vector(entries: readonly (readonly number[])[]): number[] {
  return [...unsigned(entries.length), ...entries.flat()];
}

function text(value: string): number[] {
  return vector([...Buffer.from(value, 'latin1')].map((b) => [b]));
}

function unsigned(value: number): number[] {
  const out: number[] = [];
  do {
    out.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value > 0);
  return out;
}

function signed(value: bigint): number[] {
  const out: number[] = [];
  for (;;) {
    const byte = Number(value & 0x7fn);
    value >>= 7n;
    const done = (value === 0n && (byte & 0x40) === 0) || (value === -1n && (byte & 0x40) !== 0);
    out.push(done ? byte : byte | 0x80);
    if (done) return out;
  }
}
