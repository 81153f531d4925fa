/**
 * The x87 rows against the host CPU, with operands, control words and stack states of their own: results, flags, tags
 * and, by an FNSTENV behind every other case, the instruction and data pointers. How many: slice.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENCODINGS, type Encoding } from '../../../src/isa/x86_64/declare.ts';
import { generateCase, type Case } from './generate.ts';
import { DATA, nativeAvailable } from './native-executor.ts';
import { Random } from './random.ts';
import { compare, decodeAll, describeCase, type Outcome, runInterpreted, runNative, runWasm } from './semantics.ts';
import { fillOperand, fillX87 } from './x87-values.ts';
import { CASES as SLICE, inSlice, SEED, tell } from './slice.ts';

const CASES = 2 * SLICE;
/** One case in so many also runs as WebAssembly. */
const WASM_EVERY = 8;
const skip = nativeAvailable ? false : 'needs an x86-64 Linux host';
/** FNSTENV [ENVIRONMENT] */
const ENVIRONMENT = DATA + 0x2000;
const STORE_ENVIRONMENT = [0xd9, 0x34, 0x25, ENVIRONMENT & 0xff, (ENVIRONMENT >> 8) & 0xff, (ENVIRONMENT >> 16) & 0xff, (ENVIRONMENT >> 24) & 0xff];

function operandKind(row: Encoding): Parameters<typeof fillOperand>[3] {
  const name = row.mnemonic;
  const width = row.operands.find((o) => o.place === 'M')?.width;
  if (width === 'env' || width === 'state' || name === 'fldcw') return 'environment';
  if (name === 'fbld') return 'decimal';
  if (/^fi/.test(name)) return 'integer';
  return width === 'd' ? 'float' : width === 'q' ? 'double' : 'extended';
}
/** A case with x87 operands in the registers and everywhere a memory operand may lie. */
export function x87Case(row: Encoding, random: Random, room = false): Case {
  const c = generateCase(row, random);
  fillX87(random, c.state, room);
  const view = new DataView(c.data.buffer);
  const kind = operandKind(row);
  // Memory operands start in the 16 paragraphs from 0x1000, at any byte of them.
  const step = kind === 'environment' ? 128 : 16;
  for (let at = 0x1000; at < 0x1200; at += step) fillOperand(random, view, at, kind);
  return { ...c, bytes: random.chance(0.5) ? Uint8Array.from([...c.bytes, ...STORE_ENVIRONMENT]) : c.bytes };
}

test('x87 rows against the host CPU', { skip }, (t) => {
  const failures: string[] = [];
  const started = performance.now();
  let encodings = 0;
  let cases = 0;
  for (const row of ENCODINGS) {
    if (row.options.group !== 'x87' || row.options.untestable !== undefined || !inSlice(row)) continue;
    encodings++;
    const random = new Random(SEED * 1_000_003 + row.id * 7919);
    for (let n = 0; n < CASES && failures.length < 20; n++) {
      const c = x87Case(row, random);
      const insns = decodeAll(c.bytes);
      assert.equal(insns[0]?.enc.text, row.text);
      cases++;
      const against = (emulated: Outcome): string[] => {
        const differences = compare(runNative(c), emulated);
        // A process switched away between the instruction and FNSTENV may lose the data pointer: ask again.
        return differences.length === 0 ? differences : compare(runNative(c), emulated);
      };
      let differences = against(runInterpreted(c, insns));
      if (differences.length === 0 && n % WASM_EVERY === row.id % WASM_EVERY && runNative(c).exception !== 14) {
        differences = against(runWasm(c, insns)).map((d) => `WebAssembly: ${d}`);
      }
      if (differences.length > 0) failures.push(`${row.mnemonic} "${row.text}" case ${n}\n${describeCase(c, insns)}\n${stack(c)}\n  ${differences.join('\n  ')}`);
    }
  }
  tell(t, 'x87 with its environment', { encodings, cases, mismatches: failures.length }, started);
  assert.ok(cases > 0, 'no row matches');
  assert.equal(failures.length, 0, `${failures.length} of ${cases} cases differ:\n\n${failures.join('\n\n')}`);
});
function stack(c: Case): string {
  const view = new DataView(c.state.fx.buffer);
  const words = `fcw=${view.getUint16(0, true).toString(16)} fsw=${view.getUint16(2, true).toString(16)} ftw=${view.getUint8(4).toString(16)}`;
  return [words, ...Array.from({ length: 8 }, (_, i) => `st${i}=${view.getUint16(40 + 16 * i, true).toString(16).padStart(4, '0')}:${view.getBigUint64(32 + 16 * i, true).toString(16).padStart(16, '0')}`)].join(' ');
}
