/**
 * The one error type of the ELF reader. Whatever bytes it is given, the reader either answers or throws
 * this; the `code` is for programs (the loader turns it into an errno), the message for people.
 */

export type ElfErrorCode =
  /** No ELF magic: something else entirely. */
  | 'not-elf'
  /** An ELF file, but of another word size, byte order, machine or type than asked for. */
  | 'wrong-class'
  | 'wrong-endianness'
  | 'wrong-machine'
  | 'wrong-type'
  /** The file ends before something its headers promise. */
  | 'truncated'
  /** A field has a value no valid file has. */
  | 'malformed'
  /** A count or size beyond what this reader takes on. */
  | 'too-large';

export class ElfError extends Error {
  override readonly name = 'ElfError';
  readonly code: ElfErrorCode;
  /** File offset of the field or structure at fault, where one is to blame. */
  readonly offset: number | undefined;
  constructor(code: ElfErrorCode, message: string, offset?: number) {
    super(message);
    this.code = code;
    this.offset = offset;
  }
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
