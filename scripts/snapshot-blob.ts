/**
 * Node's start-up snapshot as a file: what is in it that lunagate has no use for.
 *
 * A snapshot holds V8's heap and, at its end, compiled code of every module of Node's library (4 MB): a vector of
 * { id, code }, each a 64-bit length and its bytes. Reading it costs every start; the modules that lunagate uses are in
 * the heap already, with their code.
 */

/** What every piece of compiled code begins with. */
const CODE_MAGIC = Uint8Array.of(0xa9, 0x06, 0xde, 0xc0);
const LONGEST_ID = 120;

/** The same snapshot with an empty vector; undefined if none is found that ends where the file does. */
export function withoutLibraryCode(blob: Buffer): Buffer | undefined {
  for (let code = blob.indexOf(CODE_MAGIC); code >= 0; code = blob.indexOf(CODE_MAGIC, code + 1)) {
    for (let length = 1; length <= LONGEST_ID; length++) {
      const id = code - 8 - length;
      if (id - 16 < 0 || number(blob, id - 8) !== length || !isVector(blob, id - 16)) continue;
      return Buffer.concat([blob.subarray(0, id - 16), Buffer.alloc(8)]);
    }
  }
  return undefined;
}

/** Whether a vector of compiled code begins at `at` and ends with the file. */
function isVector(blob: Buffer, at: number): boolean {
  let end = at + 8;
  for (let rest = number(blob, at); rest > 0; rest--) {
    end += 8 + number(blob, end);
    const size = number(blob, end);
    end += 8;
    if (!(end + size <= blob.length) || blob.indexOf(CODE_MAGIC, end) !== end) return false;
    end += size;
  }
  return end === blob.length;
}

/** A 64-bit number; NaN beyond the end. */
function number(blob: Buffer, at: number): number {
  return at + 8 <= blob.length ? Number(blob.readBigUInt64LE(at)) : Number.NaN;
}
