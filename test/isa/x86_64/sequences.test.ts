/**
 * Random straight-line programs against the host CPU, so that what is carried from one instruction to the next (lazy
 * flags, partial registers, dead stores) is judged too. A failing program is shrunk to the shortest that still fails.
 * How many: slice.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { ENCODINGS } from '../../../src/isa/x86_64/declare.ts';
import { type Case, encodeRandom, randomData, randomState } from './generate.ts';
import { nativeAvailable } from './native-executor.ts';
import { Random } from './random.ts';
import { unfit } from './sequences.ts';
import { compare, type CompareOptions, decodeAll, describeCase, frontend, runInterpreted, runNative, runWasm } from './semantics.ts';
import { CASES, partSeed, share, tell } from './slice.ts';

const PROGRAMS = share(CASES * 25);

interface Program {
  readonly insns: readonly Uint8Array[];
  readonly start: Omit<Case, 'bytes'>;
}
const caseOf = (p: Program): Case => ({ ...p.start, bytes: Uint8Array.from(p.insns.flatMap((b) => [...b])) });

function differences(p: Program, wasm: boolean, exact: boolean): string[] {
  frontend.exactFloat = exact;
  try {
    return found(p, wasm, { sticky: exact });
  } finally {
    frontend.exactFloat = false;
  }
}
function found(p: Program, wasm: boolean, options: CompareOptions): string[] {
  const c = caseOf(p);
  const insns = decodeAll(c.bytes);
  const native = runNative(c);
  const interpreted = runInterpreted(c, insns);
  const list = compare(native, interpreted, options);
  if (list.length > 0 || !wasm || interpreted.fault === true) return list;
  return compare(native, runWasm(c, insns), options).map((d) => `WebAssembly: ${d}`);
}
function shrink(p: Program, wasm: boolean, exact: boolean): Program {
  for (let again = true; again; ) {
    again = false;
    for (let k = 0; k < p.insns.length && p.insns.length > 1; k++) {
      const fewer = { ...p, insns: p.insns.toSpliced(k, 1) };
      if (differences(fewer, wasm, exact).length > 0) {
        p = fewer;
        again = true;
        k--;
      }
    }
  }
  return p;
}

for (const exact of [false, true]) test(`random programs against the host CPU${exact ? ', floating point exact' : ''}`, { skip: nativeAvailable ? false : 'needs an x86-64 Linux host' }, (t) => {
  const started = performance.now();
  const rows = ENCODINGS.filter((row) => unfit(row, exact) === undefined);
  const integer = rows.filter((row) => row.operands.every((o) => 'EGRMZIOgprone'.includes(o.place)) && row.options.flags !== undefined);
  const reading = rows.filter((row) => row.options.reads !== undefined);
  const failures: string[] = [];
  for (let n = 0; n < PROGRAMS && failures.length < 5; n++) {
    const random = new Random(partSeed * 7_368_787 + n * 104_729);
    // with all exceptions masked, or few programs would come to their end
    const state = randomState(random, exact ? { mxcsr: [0x1f80 | (random.u32() & 0xe07f)] } : {});
    const length = 5 + random.below(46);
    // half of the programs dwell on flags
    const flags = random.chance(0.5);
    const insns = Array.from({ length }, () => {
      const row = flags ? random.pick(random.chance(0.4) ? reading : integer) : random.pick(rows);
      return encodeRandom(row, random, state, { sequence: true, faults: false }).bytes;
    });
    const program: Program = { insns, start: { state, data: randomData(random) } };
    const wasm = n % 4 === 0;
    if (wasm) setFlagsFromString(n % 8 === 0 ? '--liftoff' : '--no-liftoff');
    if (differences(program, wasm, exact).length === 0) continue;
    const shortest = shrink(program, wasm, exact);
    const c = caseOf(shortest);
    failures.push(`program ${n}\n${describeCase(c, decodeAll(c.bytes))}\n  ${differences(shortest, wasm, exact).join('\n  ')}`);
  }
  tell(t, `programs${exact ? ', floating point exact' : ''}`, { encodings: rows.length, cases: PROGRAMS, mismatches: failures.length }, started);
  assert.equal(failures.length, 0, failures.join('\n\n'));
});
