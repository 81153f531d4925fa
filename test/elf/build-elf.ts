/** Small ELF images made to measure, for tests of the reader and the loader. */

export interface TestSegment {
  type?: number;
  flags?: number;
  offset?: number;
  vaddr?: number;
  filesz?: number;
  memsz?: number;
  align?: number;
}

export interface TestElf {
  type?: number;
  machine?: number;
  entry?: number;
  segments?: readonly TestSegment[];
  /** File size; the space after the headers is filled with `fill`. */
  size?: number;
  fill?: number;
  /** Bytes put at file offsets. */
  content?: ReadonlyArray<readonly [offset: number, bytes: Uint8Array]>;
  phentsize?: number;
  phnum?: number;
}

export function buildElf64(elf: TestElf): Uint8Array {
  const segments = elf.segments ?? [
    { type: 1, flags: 5, offset: 0, vaddr: 0, filesz: 0x1000, memsz: 0x1000, align: 0x1000 },
  ];
  const size = elf.size ?? 0x1000;
  const bytes = new Uint8Array(Math.max(size, 64 + 56 * segments.length)).fill(elf.fill ?? 0);
  const view = new DataView(bytes.buffer);
  bytes.fill(0, 0, 64);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]);
  view.setUint16(16, elf.type ?? 3, true);
  view.setUint16(18, elf.machine ?? 62, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(elf.entry ?? 0), true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, elf.phentsize ?? 56, true);
  view.setUint16(56, elf.phnum ?? segments.length, true);
  segments.forEach((s, i) => {
    const at = 64 + 56 * i;
    view.setUint32(at, s.type ?? 1, true);
    view.setUint32(at + 4, s.flags ?? 4, true);
    for (const [k, value] of [
      s.offset ?? 0,
      s.vaddr ?? 0,
      s.vaddr ?? 0,
      s.filesz ?? 0,
      s.memsz ?? s.filesz ?? 0,
      s.align ?? 0x1000,
    ].entries())
      view.setBigUint64(at + 8 + 8 * k, BigInt(value), true);
  });
  for (const [offset, content] of elf.content ?? []) bytes.set(content, offset);
  return elf.size === undefined ? bytes : bytes.subarray(0, Math.max(size, 0));
}
