/**
 * The ELF file header: identification, and where the other tables are. Accepts both word sizes and both
 * byte orders; what the caller expects of the file is checked by `checkExpected`.
 */

import { ELFCLASS32, ELFCLASS64, ELFDATA2LSB, ELFDATA2MSB, machineName, typeName } from './constants.ts';
import { ElfError } from './errors.ts';
import { ascii, type ByteSource, Fields, readExactly } from './source.ts';

export interface ElfHeader {
  readonly is64: boolean;
  readonly littleEndian: boolean;
  readonly osAbi: number;
  readonly type: number;
  readonly machine: number;
  readonly entry: number;
  readonly phoff: number;
  readonly phentsize: number;
  readonly phnum: number;
  readonly shoff: number;
  readonly shentsize: number;
  readonly shnum: number;
  readonly shstrndx: number;
  readonly flags: number;
}

/** What a file must be to be of use; each field left out is not checked. */
export interface ElfExpectation {
  readonly is64?: boolean;
  readonly littleEndian?: boolean;
  readonly machine?: number;
  readonly types?: readonly number[];
}

export function hasElfMagic(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

export function readHeader(source: ByteSource): ElfHeader {
  const ident = source.read(0, 64);
  if (!hasElfMagic(ident)) throw new ElfError('not-elf', describeForeign(ident), 0);
  if (ident.length < 16) readExactly(source, 0, 16, 'the ELF identification');
  const elfClass = ident[4] as number;
  const data = ident[5] as number;
  if (elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64)
    throw new ElfError('malformed', `the ELF class byte is ${elfClass}; it must be 1 (32-bit) or 2 (64-bit)`, 4);
  if (data !== ELFDATA2LSB && data !== ELFDATA2MSB)
    throw new ElfError('malformed', `the ELF data byte is ${data}; it must be 1 (little-endian) or 2 (big-endian)`, 5);
  const is64 = elfClass === ELFCLASS64;
  const littleEndian = data === ELFDATA2LSB;
  const size = is64 ? 64 : 52;
  const f = new Fields(readExactly(source, 0, size, 'the ELF header'), { littleEndian, is64 });
  const w = is64 ? 8 : 4;
  const tail = 24 + 3 * w;
  return {
    is64,
    littleEndian,
    osAbi: ident[7] as number,
    type: f.u16(16),
    machine: f.u16(18),
    entry: f.word(24),
    phoff: f.word(24 + w),
    shoff: f.word(24 + 2 * w),
    flags: f.u32(tail),
    phentsize: f.u16(tail + 6),
    phnum: f.u16(tail + 8),
    shentsize: f.u16(tail + 10),
    shnum: f.u16(tail + 12),
    shstrndx: f.u16(tail + 14),
  };
}

/** Throws unless the header is what `expected` says; the message names both sides. */
export function checkExpected(header: ElfHeader, expected: ElfExpectation): void {
  const { machine, types } = expected;
  if (machine !== undefined && header.machine !== machine)
    throw new ElfError(
      'wrong-machine',
      `it is a program for ${machineName(header.machine)}, not for ${machineName(machine)}`,
      18,
    );
  if (expected.is64 !== undefined && header.is64 !== expected.is64)
    throw new ElfError(
      'wrong-class',
      `it is a ${header.is64 ? 64 : 32}-bit file, not a ${expected.is64 ? 64 : 32}-bit one`,
      4,
    );
  if (expected.littleEndian !== undefined && header.littleEndian !== expected.littleEndian)
    throw new ElfError(
      'wrong-endianness',
      `it is ${header.littleEndian ? 'little' : 'big'}-endian, not ${expected.littleEndian ? 'little' : 'big'}-endian`,
      5,
    );
  if (types !== undefined && !types.includes(header.type))
    throw new ElfError('wrong-type', `it is ${typeName(header.type)}, not ${types.map(typeName).join(' or ')}`, 16);
}

/** Says what a file that is not ELF seems to be: that is what its owner needs to hear. */
function describeForeign(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'the file is empty';
  const start = ascii(bytes.subarray(0, 8));
  if (start.startsWith('\x7fELF'.slice(0, bytes.length)))
    return `the file ends after ${bytes.length} bytes, inside the ELF magic`;
  if (start.startsWith('MZ')) return 'it is not an ELF file (it looks like a Windows or DOS program)';
  if (/^(\xcf\xfa\xed\xfe|\xce\xfa\xed\xfe|\xca\xfe\xba\xbe)/.test(start))
    return 'it is not an ELF file (it looks like a macOS program or a Java class)';
  if (start.startsWith('!<arch>')) return 'it is not an ELF file (it is a library archive)';
  if (start.startsWith('PK\x03\x04')) return 'it is not an ELF file (it is a zip archive)';
  return 'it is not an ELF file';
}
