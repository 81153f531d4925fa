/**
 * One ELF file: header and program headers read at once, the rest when first asked for. Pure: bytes come
 * through a `ByteSource`, nothing is mapped or changed.
 */

import { PT_INTERP } from './constants.ts';
import { type DynamicEntry, type DynamicStrings, readDynamic, readDynamicStrings } from './dynamic.ts';
import { ElfError } from './errors.ts';
import { checkExpected, type ElfExpectation, type ElfHeader, readHeader } from './header.ts';
import { buildId, type GnuProperty, gnuProperties, type Note, readNotes } from './notes.ts';
import { checkLoadable, readSegments, type Segment } from './segments.ts';
import { type ByteSource, readExactly } from './source.ts';
import { type Located, SymbolTable } from './symbols.ts';

/** PATH_MAX: the kernel takes no longer interpreter name. */
const MAX_INTERPRETER = 4096;

export class ElfFile {
  readonly source: ByteSource;
  readonly header: ElfHeader;
  readonly segments: readonly Segment[];
  #notes: readonly Note[] | undefined;
  #dynamic: readonly DynamicEntry[] | undefined;
  #symbols: SymbolTable | undefined;

  private constructor(source: ByteSource, header: ElfHeader, segments: readonly Segment[]) {
    this.source = source;
    this.header = header;
    this.segments = segments;
  }

  /** Throws ElfError if the bytes are not an ELF file, or not the one `expected`. */
  static open(source: ByteSource, expected: ElfExpectation = {}): ElfFile {
    const header = readHeader(source);
    checkExpected(header, expected);
    return new ElfFile(source, header, readSegments(source, header));
  }

  segment(type: number): Segment | undefined {
    return this.segments.find((s) => s.type === type);
  }

  /** Throws ElfError unless the file can be mapped and run. */
  checkLoadable(limits: { pageSize: number; addressLimit: number }): void {
    checkLoadable(this.source, this.header, this.segments, limits);
  }

  /** The path in PT_INTERP, without its NUL; undefined for a static program. The first one counts, as in the kernel. */
  interpreter(): Uint8Array | undefined {
    const segment = this.segment(PT_INTERP);
    if (segment === undefined) return undefined;
    if (segment.filesz < 2 || segment.filesz > MAX_INTERPRETER)
      throw new ElfError(
        'malformed',
        `the name of the program interpreter is ${segment.filesz} bytes long`,
        segment.offset,
      );
    const bytes = readExactly(this.source, segment.offset, segment.filesz, 'the name of the program interpreter');
    if (bytes[segment.filesz - 1] !== 0)
      throw new ElfError('malformed', 'the name of the program interpreter does not end with a NUL', segment.offset);
    return bytes.slice(0, bytes.indexOf(0));
  }

  get notes(): readonly Note[] {
    this.#notes ??= readNotes(this.source, this.header, this.segments);
    return this.#notes;
  }

  get buildId(): Uint8Array | undefined {
    return buildId(this.notes);
  }

  get gnuProperties(): GnuProperty[] {
    return gnuProperties(this.notes, this.header);
  }

  get dynamic(): readonly DynamicEntry[] {
    this.#dynamic ??= readDynamic(this.source, this.header, this.segments);
    return this.#dynamic;
  }

  get dynamicStrings(): DynamicStrings {
    return readDynamicStrings(this.source, this.segments, this.dynamic);
  }

  get symbols(): SymbolTable {
    this.#symbols ??= new SymbolTable(this.source, this.header, this.segments, this.dynamic);
    return this.#symbols;
  }

  /** Nearest symbol at or before link-time address `addr` (run-time address minus load bias). */
  symbolize(addr: number): Located | undefined {
    return this.symbols.symbolize(addr);
  }
}
