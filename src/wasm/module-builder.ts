/** Writes a WebAssembly module: types, imports, functions, exports, elements, names. Knows nothing of guests. */
import { ByteWriter } from './byte-writer.ts';

export const VALTYPE = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b, funcref: 0x70 } as const;
export type ValType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

export interface MemoryImport {
  readonly module: string;
  readonly name: string;
  readonly memory64: boolean;
  readonly shared: boolean;
  readonly initial: number;
  readonly maximum: number;
}

/** One function: its type index, locals as runs, and code up to (not with) the final `end`. */
interface Code {
  readonly type: number;
  readonly locals: readonly ValType[];
  readonly body: Uint8Array;
  readonly name: string | undefined;
  readonly exported: string | undefined;
  /** Table slot to put it in, or -1. */
  readonly slot: number;
}

export class ModuleBuilder {
  readonly #types: string[] = [];
  readonly #typeBytes: number[][] = [];
  readonly #imports: { module: string; name: string; type: number }[] = [];
  readonly #memories: MemoryImport[] = [];
  #table: { module: string; name: string; initial: number } | undefined = undefined;
  readonly #codes: Code[] = [];

  /** Index of the function type, made once. */
  type(params: readonly ValType[], results: readonly ValType[]): number {
    const key = `${params.join()}>${results.join()}`;
    const known = this.#types.indexOf(key);
    if (known >= 0) return known;
    this.#types.push(key);
    this.#typeBytes.push([
      0x60,
      params.length,
      ...params.map((t) => VALTYPE[t]),
      results.length,
      ...results.map((t) => VALTYPE[t]),
    ]);
    return this.#types.length - 1;
  }
  importMemory(m: MemoryImport): void {
    this.#memories.push(m);
  }
  importTable(module: string, name: string, initial: number): void {
    this.#table = { module, name, initial };
  }
  /** Index of the imported function. All imports come before the first `func`. */
  importFunction(module: string, name: string, type: number): number {
    const known = this.#imports.findIndex((i) => i.name === name && i.module === module);
    if (known >= 0) return known;
    if (this.#codes.length > 0) throw new Error('imports must precede functions');
    this.#imports.push({ module, name, type });
    return this.#imports.length - 1;
  }
  get importCount(): number {
    return this.#imports.length;
  }
  /** Add a function; its index among all functions. */
  func(
    type: number,
    locals: readonly ValType[],
    body: Uint8Array,
    options: { name?: string; exported?: string; slot?: number } = {},
  ): number {
    this.#codes.push({ type, locals, body, name: options.name, exported: options.exported, slot: options.slot ?? -1 });
    return this.#imports.length + this.#codes.length - 1;
  }

  /** The module, and for each function the offset of its code (after the locals) in the module. */
  finish(): { bytes: Uint8Array<ArrayBuffer>; codeOffsets: number[] } {
    const w = new ByteWriter();
    w.raw([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, fill: (s: ByteWriter) => void): void => {
      const s = new ByteWriter();
      fill(s);
      w.u8(id);
      w.u32(s.length);
      w.raw(s.bytes, s.length);
    };
    section(1, (s) => {
      s.u32(this.#typeBytes.length);
      for (const t of this.#typeBytes) s.raw(t);
    });
    section(2, (s) => {
      s.u32(this.#imports.length + this.#memories.length + (this.#table === undefined ? 0 : 1));
      for (const m of this.#memories) {
        s.text(m.module);
        s.text(m.name);
        s.u8(2);
        s.u8((m.shared ? 2 : 0) | (m.memory64 ? 4 : 0) | 1);
        s.u32(m.initial);
        s.u32(m.maximum);
      }
      if (this.#table !== undefined) {
        s.text(this.#table.module);
        s.text(this.#table.name);
        s.u8(1);
        s.u8(VALTYPE.funcref);
        s.u8(0);
        s.u32(this.#table.initial);
      }
      for (const i of this.#imports) {
        s.text(i.module);
        s.text(i.name);
        s.u8(0);
        s.u32(i.type);
      }
    });
    section(3, (s) => {
      s.u32(this.#codes.length);
      for (const c of this.#codes) s.u32(c.type);
    });
    const exported = this.#codes
      .map((c, k) => [c.exported, k + this.#imports.length] as const)
      .filter(([name]) => name !== undefined);
    if (exported.length > 0)
      section(7, (s) => {
        s.u32(exported.length);
        for (const [name, index] of exported) {
          s.text(name as string);
          s.u8(0);
          s.u32(index);
        }
      });
    const placed = this.#codes.map((c, k) => [c.slot, k + this.#imports.length] as const).filter(([slot]) => slot >= 0);
    if (placed.length > 0)
      section(9, (s) => {
        s.u32(placed.length);
        for (const [slot, index] of placed) {
          s.u8(0);
          s.u8(0x41);
          s.s32(slot);
          s.u8(0x0b);
          s.u8(1);
          s.u32(index);
        }
      });
    const codeOffsets: number[] = [];
    const s = new ByteWriter();
    s.u32(this.#codes.length);
    for (const c of this.#codes) {
      const f = new ByteWriter();
      const runs: [number, ValType][] = [];
      for (const t of c.locals) {
        const last = runs[runs.length - 1];
        if (last !== undefined && last[1] === t) last[0]++;
        else runs.push([1, t]);
      }
      f.u32(runs.length);
      for (const [n, t] of runs) {
        f.u32(n);
        f.u8(VALTYPE[t]);
      }
      s.u32(f.length + c.body.length + 1);
      s.raw(f.bytes, f.length);
      codeOffsets.push(s.length);
      s.raw(c.body);
      s.u8(0x0b);
    }
    w.u8(10);
    w.u32(s.length);
    const base = w.length;
    w.raw(s.bytes, s.length);
    const named = this.#codes
      .map((c, k) => [c.name, k + this.#imports.length] as const)
      .filter(([name]) => name !== undefined);
    if (named.length > 0)
      section(0, (n) => {
        n.text('name');
        const sub = new ByteWriter();
        sub.u32(named.length);
        for (const [name, index] of named) {
          sub.u32(index);
          sub.text(name as string);
        }
        n.u8(1);
        n.u32(sub.length);
        n.raw(sub.bytes, sub.length);
      });
    return { bytes: w.take(), codeOffsets: codeOffsets.map((o) => o + base) };
  }
}
