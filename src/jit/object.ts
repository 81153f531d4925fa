/**
 * A translated region as an object to be linked: the bytes of its function, and the places in them that depend on the
 * module it ends up in. Baseline code only; optimised code is never kept.
 *
 * The places are 5-byte LEB128 numbers:
 * - SLOT: a table slot less the module's slot base (`value`: guest pc of the region it stands for)
 * - COUNTER: an offset less the module's counter base (no value: the region's own counter)
 * - HELPER: the function index of an imported helper or runtime function (`value`: index in `names`)
 */
import type { Helper } from '../ir/builder.ts';
import { ByteWriter } from '../wasm/byte-writer.ts';
import { VALTYPE, type ValType } from '../wasm/module-builder.ts';

export const RELOC = { slot: 0, counter: 1, helper: 2 } as const;

/** Names of the runtime's own imports among helper names. */
export const RUNTIME_NAMES = { syscall: '$syscall', trap: '$trap' } as const;

export interface RegionObject {
  readonly pc: number;
  /** Pages (address / 4096) its instructions lie in. */
  readonly pages: readonly number[];
  readonly instructions: number;
  /** Function body as in the code section, without its size: locals, code, end. */
  readonly code: Uint8Array;
  /** Offset of the first instruction in `code`. */
  readonly codeStart: number;
  /** Triples: offset in `code`, kind, value. */
  readonly relocs: readonly number[];
  /** Helpers and runtime functions called, by the HELPER relocations' values. */
  readonly names: readonly string[];
}

/** Function signatures of helpers by name, for linking. */
export interface HelperTypes {
  find(name: string): Helper | undefined;
}

/** Put locals and code together; relocation offsets in `relocs` are moved along. */
export function assemble(
  locals: readonly ValType[],
  body: Uint8Array,
  relocs: number[],
): { code: Uint8Array; codeStart: number } {
  const w = new ByteWriter();
  let runs = 0;
  for (let k = 0; k < locals.length; k++) if (k === 0 || locals[k] !== locals[k - 1]) runs++;
  w.u32(runs);
  for (let k = 0; k < locals.length; ) {
    let n = 1;
    while (locals[k + n] === locals[k]) n++;
    w.u32(n);
    w.u8(VALTYPE[locals[k] as ValType]);
    k += n;
  }
  const codeStart = w.length;
  w.raw(body);
  w.u8(0x0b);
  for (let k = 0; k < relocs.length; k += 3) relocs[k] = (relocs[k] as number) + codeStart;
  return { code: w.take(), codeStart };
}

/** Write `value` (0 ≤ value < 2^27) as a LEB128 number of five bytes. */
export function patch(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value & 0x7f) | 0x80;
  bytes[at + 1] = ((value >>> 7) & 0x7f) | 0x80;
  bytes[at + 2] = ((value >>> 14) & 0x7f) | 0x80;
  bytes[at + 3] = ((value >>> 21) & 0x7f) | 0x80;
  bytes[at + 4] = 0;
}
