/**
 * Links region objects to one module. Slots and counters are counted from the bases the module imports as globals, so
 * that the same bytes serve whatever slots a run gives it.
 */
import type { Helper } from '../ir/builder.ts';
import { ByteWriter } from '../wasm/byte-writer.ts';
import { VALTYPE, type ValType } from '../wasm/module-builder.ts';
import * as layout from './layout.ts';
import { FRAME_TYPE } from './module-parts.ts';
import { patch, type RegionObject, RELOC, RUNTIME_NAMES } from './object.ts';

/** Indices of the imported globals in linked code. */
export const GLOBAL = { slotBase: 0, counterBase: 1 } as const;

export interface LinkRequest {
  readonly objects: readonly RegionObject[];
  readonly guestPages: number;
  /** Slot of a region less the slot base. */
  slot(pc: number): number;
  /** Offset of object k's counter less the counter base. */
  counter(k: number): number;
  helper(name: string): Helper;
  /** Name of object k in stack traces. */
  name(k: number): string;
  /** The objects' own slots are base + 0, 1, 2 …: one element segment puts them there. Otherwise one each. */
  readonly contiguous: boolean;
}

export interface Linked {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Offset in the module of each object's first instruction. */
  readonly codeOffsets: number[];
  /** Helpers imported, to be supplied under `h` by name. */
  readonly helpers: string[];
}

const signature = (w: ByteWriter, params: readonly ValType[], results: readonly ValType[]): void => {
  w.u8(0x60);
  w.u32(params.length);
  for (const t of params) w.u8(VALTYPE[t]);
  w.u32(results.length);
  for (const t of results) w.u8(VALTYPE[t]);
};

const out = new ByteWriter();
const part = new ByteWriter();

export function link(request: LinkRequest): Linked {
  const { objects, guestPages } = request;
  // Function imports in order of first use.
  const names: string[] = [];
  const index = new Map<string, number>();
  for (const o of objects)
    for (const name of o.names)
      if (!index.has(name)) {
        index.set(name, names.length);
        names.push(name);
      }
  const typeKeys: string[] = [];
  const types: [readonly ValType[], readonly ValType[]][] = [[FRAME_TYPE.params, FRAME_TYPE.results]];
  const typeOf = (name: string): number => {
    let params: readonly ValType[];
    let results: readonly ValType[];
    if (name === RUNTIME_NAMES.syscall) [params, results] = [[], ['i32']];
    else if (name === RUNTIME_NAMES.trap) [params, results] = [['i32'], []];
    else ({ params, results } = request.helper(name));
    const key = `${params.join()}>${results.join()}`;
    let k = typeKeys.indexOf(key);
    if (k < 0) {
      k = typeKeys.push(key) - 1;
      types.push([params, results]);
    }
    return k + 1;
  };
  const importTypes = names.map(typeOf);

  const w = out;
  w.reset();
  w.raw([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  const section = (id: number, fill: (s: ByteWriter) => void): void => {
    part.reset();
    fill(part);
    w.u8(id);
    w.u32(part.length);
    w.raw(part.bytes, part.length);
  };
  section(1, (s) => {
    s.u32(types.length);
    for (const [params, results] of types) signature(s, params, results);
  });
  section(2, (s) => {
    s.u32(5 + names.length);
    const from = (name: string, kind: number): void => {
      s.text('g');
      s.text(name);
      s.u8(kind);
    };
    // The minimum is 0: see importMemories in module-parts.ts.
    from('m', 2);
    s.u8(7);
    s.u32(0);
    s.u32(guestPages);
    from('s', 2);
    s.u8(1);
    s.u32(layout.STATE_PAGES);
    s.u32(layout.STATE_PAGES);
    from('t', 1);
    s.u8(VALTYPE.funcref);
    s.u8(0);
    s.u32(1);
    from('slots', 3);
    s.u8(VALTYPE.i32);
    s.u8(0);
    from('counters', 3);
    s.u8(VALTYPE.i32);
    s.u8(0);
    names.forEach((name, k) => {
      s.text('h');
      s.text(name);
      s.u8(0);
      s.u32(importTypes[k] as number);
    });
  });
  section(3, (s) => {
    s.u32(objects.length);
    for (let k = 0; k < objects.length; k++) s.u8(0);
  });
  section(9, (s) => {
    const segment = (offset: number, functions: number[]): void => {
      s.u8(0);
      s.u8(0x23);
      s.u32(GLOBAL.slotBase);
      if (offset !== 0) {
        s.u8(0x41);
        s.s32(offset);
        s.u8(0x6a);
      }
      s.u8(0x0b);
      s.u32(functions.length);
      for (const f of functions) s.u32(f);
    };
    if (request.contiguous) {
      s.u32(1);
      segment(
        0,
        objects.map((_, k) => names.length + k),
      );
    } else {
      s.u32(objects.length);
      objects.forEach((o, k) => segment(request.slot(o.pc), [names.length + k]));
    }
  });
  // The code section is large: written in place, its size patched as five bytes.
  w.u8(10);
  const sizeAt = w.length;
  w.raw([0x80, 0x80, 0x80, 0x80, 0]);
  const begin = w.length;
  w.u32(objects.length);
  const codeOffsets: number[] = [];
  objects.forEach((o, k) => {
    w.u32(o.code.length);
    const at = w.length;
    codeOffsets.push(at + o.codeStart);
    w.raw(o.code);
    const { relocs } = o;
    for (let r = 0; r < relocs.length; r += 3) {
      const kind = relocs[r + 1];
      let value: number;
      if (kind === RELOC.slot) value = request.slot(relocs[r + 2] as number);
      else if (kind === RELOC.counter) value = request.counter(k);
      else value = index.get(o.names[relocs[r + 2] as number] as string) as number;
      patch(w.bytes, at + (relocs[r] as number), value);
    }
  });
  patch(w.bytes, sizeAt, w.length - begin);
  section(0, (s) => {
    s.text('name');
    const sub = new ByteWriter();
    sub.u32(objects.length);
    for (let k = 0; k < objects.length; k++) {
      sub.u32(names.length + k);
      sub.text(request.name(k));
    }
    s.u8(1);
    s.u32(sub.length);
    s.raw(sub.bytes, sub.length);
  });
  return { bytes: w.take(), codeOffsets, helpers: names.filter((n) => !n.startsWith('$')) };
}
