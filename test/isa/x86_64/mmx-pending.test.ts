/**
 * A pending x87 exception against the host CPU: every instruction that uses the MMX registers raises #MF instead of doing
 * anything, and no SSE or AVX instruction does.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENCODINGS } from '../../../src/isa/x86_64/declare.ts';
import { type Case, encodeRandom, randomData, randomState } from './generate.ts';
import { nativeAvailable, sameApproximations } from './native-executor.ts';
import { Random } from './random.ts';
import { compare, decodeAll, describeCase, runInterpreted, runNative, runWasm } from './semantics.ts';

const CASES = 3;

test('MMX instructions with a pending x87 exception', { skip: nativeAvailable ? false : 'needs an x86-64 Linux host' }, () => {
  const failures: string[] = [];
  let raised = 0;
  let quiet = 0;
  for (const row of ENCODINGS) {
    if (!/^(mmx|sse|ssse3|avx)/.test(row.options.group ?? '') || row.options.untestable !== undefined) continue;
    const random = new Random(4_711 + row.id);
    for (let n = 0; n < CASES; n++) {
      const state = randomState(random);
      const { bytes } = encodeRandom(row, random, state, { faults: false });
      const c: Case = { bytes, state, data: randomData(random) };
      const view = new DataView(state.fx.buffer);
      const which = 1 << random.below(6);
      view.setUint16(0, 0x37f & ~which, true);
      view.setUint16(2, 0x8080 | which | (random.below(8) << 11), true);
      const insns = decodeAll(bytes);
      if (insns[0]?.enc !== row) continue;
      const native = runNative(c);
      const approximate = sameApproximations ? {} : { tolerance: 1.5 / 4096 };
      let found = compare(native, runInterpreted(c, insns), approximate);
      if (found.length === 0 && n === 0) found = compare(native, runWasm(c, insns), approximate).map((d) => `WebAssembly: ${d}`);
      if (native.exception === 16) raised++;
      else quiet++;
      if (found.length > 0) failures.push(`${row.mnemonic} "${row.text}"\n${describeCase(c, insns)}\n  ${found.join('\n  ')}`);
    }
  }
  assert.ok(raised > 100 && quiet > 100);
  assert.equal(failures.length, 0, `${failures.length} cases differ:\n\n${failures.slice(0, 20).join('\n\n')}`);
});
