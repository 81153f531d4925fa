/** Kept translations as a file of segments: what runs add is found by later ones, stale and damaged parts are not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodeStore, type PackFile, type PackFiles } from '../../src/jit/code-store.ts';
import { type RegionObject, RELOC } from '../../src/jit/object.ts';
import { decodeHeader, HEADER } from '../../src/jit/pack.ts';

const FILE = { id: 'file@400000' };

class MemoryFiles implements PackFiles {
  readonly engine = 'engine';
  readonly files = new Map<string, Uint8Array>();
  /** Names and ranges that were read. */
  readonly reads: [number, number][] = [];

  open(name: string): PackFile | undefined {
    const bytes = this.files.get(name);
    if (bytes === undefined) return undefined;
    return {
      size: bytes.length,
      read: (at, length) => {
        this.reads.push([at, length]);
        return Uint8Array.from(bytes.subarray(at, at + length));
      },
      close() {},
    };
  }
  append(name: string, bytes: Uint8Array): void {
    this.files.set(name, Buffer.concat([this.files.get(name) ?? new Uint8Array(), bytes]));
  }
  replace(name: string, bytes: Uint8Array): void {
    this.files.set(name, bytes);
  }
  /** Of the one file. */
  get bytes(): Uint8Array {
    assert.equal(this.files.size, 1);
    return [...this.files.values()][0] as Uint8Array;
  }
  get segments(): number {
    let n = 0;
    for (let at = 0; ; n++) {
      const segment = decodeHeader(this.bytes.subarray(at, at + HEADER));
      if (segment === undefined) return n;
      at += segment.end;
    }
  }
}

/** Guest code pages by number; what is not here reads as zeros. */
const pages = new Map<number, Uint8Array>();

class Run {
  readonly modules: Uint8Array[] = [];
  readonly cleared = new Set<number>();
  readonly store: CodeStore;
  #slots = 100;

  constructor(files: PackFiles, model = 'model') {
    this.store = new CodeStore(files, model, {
      guestPages: 16,
      place: (pack, before) => {
        this.modules.push(pack.module);
        if (before.slotBase >= 0) return before;
        const slotBase = this.#slots;
        this.#slots += pack.pcs.length + pack.targets.length;
        return { slotBase, counterBase: 0 };
      },
      placed() {},
      clear: (slot) => void this.cleared.add(slot),
      helper: (name) => assert.fail(name),
      page: (page) => pages.get(page) ?? new Uint8Array(4096),
    });
  }
  add(...pcs: number[]): this {
    for (const pc of pcs) this.store.add(FILE, region(pc));
    return this;
  }
  /** Those of `pcs` that are found. */
  found(pcs: readonly number[]): number[] {
    return pcs.filter((pc) => this.store.find(FILE, pc) !== undefined);
  }
  end(): void {
    this.store.save();
  }
}

/** `i32.const 0 (slot of pc + 16); drop; unreachable` */
function region(pc: number): RegionObject {
  const code = Uint8Array.of(0, 0x41, 0x80, 0x80, 0x80, 0x80, 0, 0x1a, 0, 0x0b);
  return { pc, pages: [Math.floor(pc / 4096)], instructions: 1, code, codeStart: 1, relocs: [2, RELOC.slot, pc + 16], names: [] };
}
const pcs = (from: number, count: number): number[] => Array.from({ length: count }, (_, k) => from + 16 * k);

test('what a run added is found by the next, whose modules are valid and only those needed', () => {
  const files = new MemoryFiles();
  new Run(files).add(...pcs(0x400000, 10)).end();
  new Run(files).add(...pcs(0x401000, 10)).end();
  assert.equal(files.segments, 2);
  const run = new Run(files);
  assert.deepEqual(run.found(pcs(0x401000, 10)), pcs(0x401000, 10));
  assert.equal(run.modules.length, 1);
  assert.deepEqual(run.found(pcs(0x400000, 11)), pcs(0x400000, 10));
  assert.equal(run.modules.length, 2);
  // Two memories, a table, two globals: valid WebAssembly in a module that imports them.
  for (const module of run.modules) assert.ok(WebAssembly.validate(module as Uint8Array<ArrayBuffer>));
});

test('the objects of what is kept or new can be had again, of what is gone not', () => {
  const files = new MemoryFiles();
  new Run(files).add(...pcs(0x400000, 10)).end();
  const run = new Run(files).add(0x405000, 0x402010);
  run.store.invalidate(0x405, 0x405);
  const wanted = [0x400010, 0x400020, 0x405000, 0x402010, 0x403000];
  const objects = run.store.objects(wanted.map((pc) => [FILE, pc] as const));
  assert.deepEqual(objects.map((o) => o.pc), [0x400010, 0x400020, 0x402010]);
  for (const o of objects) {
    const { code, relocs } = region(o.pc);
    // Where numbers belong that depend on the module, those of the module it comes from may stand.
    assert.deepEqual([o.code.length, o.relocs, o.pages], [code.length, relocs, [o.pc >> 12]]);
  }
});

test('what was put away comes back when asked for, where it was, without what was gone', () => {
  const files = new MemoryFiles();
  new Run(files).add(...pcs(0x400000, 10)).add(0x401000).end();
  const run = new Run(files);
  const place = (pc: number): number | undefined => run.store.find(FILE, pc)?.loaded.slotBase;
  const before = place(0x400000) as number;
  run.store.invalidate(0x401, 0x401);
  assert.equal(run.store.displace().length, 1);
  assert.equal(run.store.placedAt(0x400000), undefined);
  assert.ok(run.store.isReserved(before) && !run.store.isReserved(before - 1));
  run.cleared.clear();
  assert.equal(place(0x400000), before);
  assert.equal(run.modules.length, 2);
  assert.equal(place(0x401000), undefined);
  assert.deepEqual([...run.cleared], [before + 10]);
});

test('another engine, mode or CPU finds nothing', () => {
  const files = new MemoryFiles();
  new Run(files).add(...pcs(0x400000, 10)).end();
  assert.deepEqual(new Run(files, 'other').found(pcs(0x400000, 10)), []);
});

test('too little is not written, nor what another run has written meanwhile', () => {
  const files = new MemoryFiles();
  new Run(files).add(0x400000).end();
  assert.equal(files.files.size, 0);
  const first = new Run(files).add(...pcs(0x400000, 10));
  const second = new Run(files).add(...pcs(0x400000, 12));
  assert.deepEqual(second.found([0x400000]), []);
  first.end();
  second.end();
  assert.equal(files.segments, 1);
});

test('of a region that is there twice one is used, the other switched off', () => {
  const files = new MemoryFiles();
  new Run(files).add(...pcs(0x400000, 10)).end();
  const one = files.bytes;
  const [name] = files.files.keys();
  files.files.clear();
  new Run(files).add(...pcs(0x400080, 10)).end();
  files.files.set(name as string, Buffer.concat([one, files.bytes]));
  const run = new Run(files);
  assert.deepEqual(run.found(pcs(0x400000, 18)), pcs(0x400000, 18));
  assert.deepEqual([...run.cleared].length, 2);
  for (const pc of pcs(0x400080, 2)) assert.equal(run.store.placedAt(pc)?.loaded, run.store.placed[0]);
});

test('regions on a page that changed are dead, translated again and kept beside the others', () => {
  const files = new MemoryFiles();
  new Run(files).add(...pcs(0x400000, 10), ...pcs(0x401000, 10)).end();
  pages.set(0x401, new Uint8Array(4096).fill(0x90));
  try {
    const run = new Run(files);
    assert.deepEqual(run.found(pcs(0x401000, 10)), []);
    assert.deepEqual(run.found(pcs(0x400000, 10)), pcs(0x400000, 10));
    run.add(...pcs(0x401000, 10)).end();
    assert.deepEqual(new Run(files).found(pcs(0x401000, 10)), pcs(0x401000, 10));
  } finally {
    pages.clear();
  }
});

test('after many runs the segments become fewer and nothing is lost', () => {
  const files = new MemoryFiles();
  const all: number[] = [];
  for (let k = 0; k < 40; k++) {
    const run = new Run(files);
    run.found(all);
    const more = pcs(0x400000 + 0x1000 * k, 5);
    run.add(...more).end();
    all.push(...more);
    assert.ok(files.segments <= 17, `${files.segments} segments`);
  }
  assert.deepEqual(new Run(files).found(all), all);
});

test('damage is found: in a module it costs that, in an index what follows; then the file is written anew', () => {
  for (const part of ['header', 'index', 'module', 'end'] as const) {
    const files = new MemoryFiles();
    for (let k = 0; k < 3; k++) new Run(files).add(...pcs(0x400000 + 0x1000 * k, 5)).end();
    const [name] = files.files.keys();
    const bytes = Uint8Array.from(files.bytes);
    const first = decodeHeader(bytes.subarray(0, HEADER));
    assert.ok(first !== undefined);
    const at = first.end + { header: 3, index: HEADER + 40, module: first.moduleAt + 60, end: 0 }[part];
    bytes[at] = (bytes[at] as number) ^ 1;
    files.files.set(name as string, part === 'end' ? bytes.subarray(0, bytes.length - 8) : bytes);
    const run = new Run(files);
    const wanted = [0, 1, 2].flatMap((k) => pcs(0x400000 + 0x1000 * k, 5));
    const left = run.found(wanted);
    assert.equal(left.length, { header: 5, index: 5, module: 10, end: 5 }[part], part);
    run.add(...wanted.filter((pc) => !left.includes(pc))).end();
    assert.deepEqual(new Run(files).found(wanted), wanted, part);
  }
});
