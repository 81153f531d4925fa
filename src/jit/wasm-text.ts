/** The instructions of a WebAssembly function body as text, as far as lowering uses them. */
import { OPS } from '../ir/ops.ts';

const PLAIN: Record<number, string> = {
  0x00: 'unreachable', 0x02: 'block', 0x03: 'loop', 0x04: 'if', 0x05: 'else', 0x0b: 'end', 0x0c: 'br', 0x0d: 'br_if', 0x0e: 'br_table',
  0x0f: 'return', 0x10: 'call', 0x11: 'call_indirect', 0x12: 'return_call', 0x13: 'return_call_indirect', 0x1a: 'drop', 0x1b: 'select',
  0x1c: 'select v128', 0x20: 'local.get', 0x21: 'local.set', 0x22: 'local.tee', 0x23: 'global.get', 0x41: 'i32.const', 0x42: 'i64.const',
};
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export function printBody(code: Uint8Array): string {
  const lines: string[] = [];
  let at = 0;
  let depth = 0;
  const byte = (): number => code[at++] as number;
  const leb = (signed: boolean): bigint => {
    let value = 0n;
    let shift = 0n;
    for (;;) {
      const b = byte();
      value |= BigInt(b & 0x7f) << shift;
      shift += 7n;
      if (b >= 0x80) continue;
      return signed && (b & 0x40) !== 0 ? value - (1n << shift) : value;
    }
  };
  const unsigned = (): number => Number(leb(false));
  const take = (n: number): Uint8Array => code.subarray(at, (at += n));
  const access = (): string => {
    const state = (byte() & 0x40) !== 0;
    if (state) byte();
    return ` ${state ? 'state' : 'guest'}+${unsigned()}`;
  };
  while (at < code.length) {
    let op = byte();
    if (op === 0x0b || op === 0x05) depth--;
    let text = PLAIN[op];
    if (text === undefined) {
      if (op === 0xfe) {
        const n = unsigned();
        text = n === 3 ? 'atomic.fence' : `atomic.0x${n.toString(16)}`;
        if (n === 3) byte();
        else text += access();
      } else {
        if (op === 0xfc) op = 0x100 + unsigned();
        else if (op === 0xfd) op = 0x200 + unsigned();
        const info = OPS[op];
        text = info?.name ?? `op 0x${op.toString(16)}`;
        if (op === 0x20c) text = `v128.const ${hex(take(16))}`;
        else if (op === 0x20d) text = `i8x16.shuffle ${hex(take(16))}`;
        else if (op === 0x43) text = `f32.const bits ${hex(take(4))}`;
        else if (op === 0x44) text = `f64.const bits ${hex(take(8))}`;
        else if (info?.kind === 'load' || info?.kind === 'store') text += access();
        else if (info?.kind === 'lane') text += ` ${byte()}`;
      }
    } else if (op === 0x02 || op === 0x03 || op === 0x04) byte();
    else if (op === 0x41 || op === 0x42) text += ` 0x${BigInt.asUintN(64, leb(true)).toString(16)}`;
    else if (op === 0x0e) text += ` ${Array.from({ length: unsigned() + 1 }, unsigned).join(' ')}`;
    else if (op === 0x11 || op === 0x13) {
      unsigned();
      byte();
    } else if (op === 0x1c) take(2);
    else if ((op >= 0x0c && op <= 0x12) || (op >= 0x20 && op <= 0x23)) if (op !== 0x0f) text += ` ${unsigned()}`;
    lines.push(`${'  '.repeat(Math.max(1, depth + 1))}${text}`);
    if (op === 0x02 || op === 0x03 || op === 0x04 || op === 0x05) depth++;
  }
  return lines.join('\n');
}
