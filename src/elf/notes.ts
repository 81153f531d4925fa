/** PT_NOTE contents: the build-id, GNU properties, and every other note as it stands. */

import { NT_GNU_BUILD_ID, NT_GNU_PROPERTY_TYPE_0, PT_GNU_PROPERTY, PT_NOTE } from './constants.ts';
import { ElfError } from './errors.ts';
import type { ElfHeader } from './header.ts';
import type { Segment } from './segments.ts';
import { ascii, type ByteSource, Fields, readExactly } from './source.ts';

export interface Note {
  readonly name: string;
  readonly type: number;
  readonly desc: Uint8Array;
}

export interface GnuProperty {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Notes beyond this are not read: no producer of executables comes near it. */
const MAX_NOTE_BYTES = 1 << 20;

export function readNotes(source: ByteSource, header: ElfHeader, segments: readonly Segment[]): Note[] {
  const notes: Note[] = [];
  for (const segment of segments) {
    if (segment.type !== PT_NOTE && segment.type !== PT_GNU_PROPERTY) continue;
    // PT_GNU_PROPERTY repeats one of the PT_NOTEs in all but stripped-down files.
    if (
      segment.type === PT_GNU_PROPERTY &&
      segments.some(
        (s) =>
          s.type === PT_NOTE && segment.offset >= s.offset && segment.offset + segment.filesz <= s.offset + s.filesz,
      )
    )
      continue;
    if (segment.filesz > MAX_NOTE_BYTES)
      throw new ElfError('too-large', `a note segment of ${segment.filesz} bytes`, segment.offset);
    const bytes = readExactly(source, segment.offset, segment.filesz, 'a note segment');
    parseNotes(bytes, header, segment.align === 8 ? 8 : 4, segment.offset, notes);
  }
  return notes;
}

function parseNotes(bytes: Uint8Array, header: ElfHeader, align: number, base: number, out: Note[]): void {
  const f = new Fields(bytes, header);
  let at = 0;
  while (at + 12 <= bytes.length) {
    const namesz = f.u32(at);
    const descsz = f.u32(at + 4);
    const descAt = roundUp(at + 12 + namesz, align);
    if (descAt + descsz > bytes.length) throw new ElfError('malformed', 'a note is larger than its segment', base + at);
    const name = bytes.subarray(at + 12, at + 12 + namesz);
    out.push({
      name: ascii(name[namesz - 1] === 0 ? name.subarray(0, namesz - 1) : name),
      type: f.u32(at + 8),
      desc: bytes.slice(descAt, descAt + descsz),
    });
    at = roundUp(descAt + descsz, align);
  }
}

export function buildId(notes: readonly Note[]): Uint8Array | undefined {
  return notes.find((n) => n.name === 'GNU' && n.type === NT_GNU_BUILD_ID)?.desc;
}

/** The GNU_PROPERTY array (x86 ISA level, IBT/SHSTK, AArch64 BTI …); ends quietly at a damaged entry. */
export function gnuProperties(notes: readonly Note[], header: ElfHeader): GnuProperty[] {
  const properties: GnuProperty[] = [];
  for (const note of notes) {
    if (note.name !== 'GNU' || note.type !== NT_GNU_PROPERTY_TYPE_0) continue;
    const f = new Fields(note.desc, header);
    const align = header.is64 ? 8 : 4;
    for (let at = 0; at + 8 <= note.desc.length; ) {
      const size = f.u32(at + 4);
      if (at + 8 + size > note.desc.length) break;
      properties.push({ type: f.u32(at), data: note.desc.slice(at + 8, at + 8 + size) });
      at = roundUp(at + 8 + size, align);
    }
  }
  return properties;
}

function roundUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}
