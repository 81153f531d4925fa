/** From region objects to a pack. */
import { crc32 } from 'node:zlib';
import type { Helper } from '../ir/builder.ts';
import { link } from './link.ts';
import { type RegionObject, RELOC } from './object.ts';
import { type Pack, packFunctionName } from './pack.ts';

export interface PackRequest {
  readonly key: string;
  /** At most one of a pc; any order. */
  readonly objects: readonly RegionObject[];
  readonly guestPages: number;
  helper(name: string): Helper;
  /** The 4096 bytes of guest code page `page`; undefined if it is not there. */
  page(page: number): Uint8Array | undefined;
}

/** undefined if no object is left (those on pages that are gone are left out). */
export function makePack(request: PackRequest): Pack | undefined {
  const sums = new Map<number, number>();
  const gone = new Set<number>();
  for (const o of request.objects)
    for (const p of o.pages) {
      if (sums.has(p) || gone.has(p)) continue;
      const bytes = request.page(p);
      if (bytes === undefined || bytes.length < 4096) gone.add(p);
      else sums.set(p, crc32(bytes));
    }
  const objects = request.objects.filter((o) => !o.pages.some((p) => gone.has(p))).sort((a, b) => a.pc - b.pc);
  if (objects.length === 0) return undefined;

  const slots = new Map<number, number>();
  objects.forEach((o, k) => slots.set(o.pc, k));
  const outside = new Set<number>();
  let relocCount = 0;
  for (const o of objects) {
    relocCount += o.relocs.length / 3;
    for (let r = 0; r < o.relocs.length; r += 3)
      if (o.relocs[r + 1] === RELOC.slot && !slots.has(o.relocs[r + 2] as number))
        outside.add(o.relocs[r + 2] as number);
  }
  const targets = Float64Array.from(outside).sort();
  targets.forEach((pc, k) => slots.set(pc, objects.length + k));
  const { bytes, codeOffsets } = link({
    objects,
    guestPages: request.guestPages,
    slot: (pc) => slots.get(pc) as number,
    counter: (k) => 4 * k,
    helper: request.helper,
    name: (k) => packFunctionName((objects[k] as RegionObject).pc),
    contiguous: true,
  });

  const names: string[] = [];
  const witnesses: number[] = [];
  const pages = [...sums.keys()].sort((a, b) => a - b);
  const pageIndex = new Map(pages.map((p, k) => [p, k]));
  const n = objects.length;
  const pack = {
    key: request.key,
    names,
    module: bytes,
    pcs: Float64Array.from(objects, (o) => o.pc),
    targets,
    relocValues: new Float64Array(relocCount),
    pages: Uint32Array.from(pages),
    pageSums: Uint32Array.from(pages, (p) => sums.get(p) as number),
    codeAt: Uint32Array.from(objects, (o, k) => (codeOffsets[k] as number) - o.codeStart),
    codeLength: Uint32Array.from(objects, (o) => o.code.length),
    codeStart: Uint32Array.from(objects, (o) => o.codeStart),
    instructions: Uint32Array.from(objects, (o) => o.instructions),
    pageFirst: new Uint32Array(n + 1),
    regionPages: Uint32Array.from(objects.flatMap((o) => o.pages.map((p) => pageIndex.get(p) as number))),
    relocFirst: new Uint32Array(n + 1),
    relocOffsets: new Uint32Array(relocCount),
    relocKinds: new Uint32Array(relocCount),
  };
  let pageAt = 0;
  let relocAt = 0;
  objects.forEach((o, k) => {
    pack.pageFirst[k] = pageAt;
    pageAt += o.pages.length;
    pack.relocFirst[k] = relocAt;
    for (let r = 0; r < o.relocs.length; r += 3) {
      let value = o.relocs[r + 2] as number;
      if (o.relocs[r + 1] === RELOC.helper) {
        const name = o.names[value] as string;
        value = names.indexOf(name);
        if (value < 0) {
          value = names.push(name) - 1;
          witnesses.push(o.pc);
        }
      }
      pack.relocOffsets[relocAt] = o.relocs[r] as number;
      pack.relocKinds[relocAt] = o.relocs[r + 1] as number;
      pack.relocValues[relocAt++] = value;
    }
  });
  pack.pageFirst[n] = pageAt;
  pack.relocFirst[n] = relocAt;
  return { ...pack, witnesses: Float64Array.from(witnesses) };
}
