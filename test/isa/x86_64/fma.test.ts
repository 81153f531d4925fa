/**
 * Fused multiply-add where rounding decides: operands whose product nearly cancels the addend, lies at the border of the
 * denormals or of overflow, or is any distance from the addend. Against the host CPU, both ways of doing it: the engine's
 * fused operation (where it has one) and the exact one in integers. How many: slice.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assumeMadd, maddIsFused } from '../../../src/ir/relaxed.ts';
import { ENCODINGS } from '../../../src/isa/x86_64/declare.ts';
import { type Case, encodeRandom, randomData, randomState } from './generate.ts';
import { nativeAvailable, XMM } from './native-executor.ts';
import { fillVectors, Random } from './random.ts';
import { compare, decodeAll, describeCase, runInterpreted, runNative, runWasm } from './semantics.ts';
import { CASES as SLICE, inSlice, SEED, tell } from './slice.ts';

const CASES = SLICE * 3;

interface Format {
  readonly size: 4 | 8;
  readonly fraction: number;
  readonly bias: number;
}
const F32: Format = { size: 4, fraction: 23, bias: 127 };
const F64: Format = { size: 8, fraction: 52, bias: 1023 };

const mantissa = (random: Random, { fraction }: Format): bigint => {
  const mask = (1n << BigInt(fraction)) - 1n;
  switch (random.below(4)) {
    case 0: return 0n;
    case 1: return mask;
    case 2: return (1n << BigInt(random.below(fraction))) & mask;
    default: return random.u64() & mask;
  }
};
const pack = (f: Format, sign: number, exponent: number, m: bigint): bigint =>
  (BigInt(sign) << BigInt(f.size * 8 - 1)) | (BigInt(Math.max(0, Math.min(exponent, 2 * f.bias))) << BigInt(f.fraction)) | m;

/** x, y, z with z about as great as x·y, give or take. */
function triple(random: Random, f: Format): [bigint, bigint, bigint] {
  const middle = f.bias;
  const ex = middle + random.below(40) - 20;
  // the product in the middle, at the lower or at the upper end of the range
  const where = random.pick([middle, 1, -f.fraction, 2 * middle]);
  const ey = where + random.below(8) - 4 - ex + middle;
  const distance = random.pick([0, 1, -1, 2, f.fraction, f.fraction + 1, f.fraction + 2, -f.fraction, -f.fraction - 1, -f.fraction - 2, 2 * f.fraction, 2 * f.fraction + 3, -2 * f.fraction - 3, random.below(140) - 70]);
  const x = pack(f, random.below(2), ex, mantissa(random, f));
  const y = pack(f, random.below(2), ey, mantissa(random, f));
  let z = pack(f, random.below(2), where + distance, mantissa(random, f));
  if (random.chance(0.4)) {
    // the product itself, negated and off by very little
    const view = new DataView(new ArrayBuffer(8));
    const number = (bits: bigint): number => {
      if (f.size === 8) view.setBigUint64(0, bits);
      else view.setUint32(0, Number(bits));
      return f.size === 8 ? view.getFloat64(0) : view.getFloat32(0);
    };
    const product = -(number(x) * number(y));
    if (f.size === 8) view.setFloat64(0, product);
    else view.setFloat32(0, product);
    z = (f.size === 8 ? view.getBigUint64(0) : BigInt(view.getUint32(0))) + BigInt(random.below(5) - 2);
    z = BigInt.asUintN(f.size * 8, z);
  }
  return [x, y, z];
}

function setLanes(random: Random, c: Case, registers: readonly number[], f: Format): void {
  for (let lane = 0; lane < 32; lane += f.size) {
    const values = triple(random, f);
    // any operand may be the addend
    values.push(...values.splice(0, random.below(3)));
    for (const [k, register] of registers.entries()) {
      const half = lane < 16 ? c.state.fx.subarray(XMM + 16 * register, XMM + 16 * register + 16) : c.state.high.subarray(16 * register, 16 * register + 16);
      const view = new DataView(half.buffer, half.byteOffset);
      if (f.size === 8) view.setBigUint64(lane % 16, values[k] as bigint, true);
      else view.setUint32(lane % 16, Number(values[k]), true);
    }
  }
}

for (const fused of [true, false]) {
  const skip = !nativeAvailable ? 'needs an x86-64 Linux host' : fused && !maddIsFused() ? 'this engine rounds twice' : false;
  test(`multiply-add at the borders of rounding, ${fused ? 'by the engine' : 'in integers'}`, { skip }, (t) => {
    assumeMadd(fused);
    const started = performance.now();
    let encodings = 0;
    const failures: string[] = [];
    let cases = 0;
    for (const row of ENCODINGS) {
      if (row.options.cpuid !== 'fma' || !inSlice(row)) continue;
      encodings++;
      const f = /[sp]s$/.test(row.mnemonic) ? F32 : F64;
      const random = new Random(SEED * 31_337 + row.id);
      for (let n = 0; n < CASES && failures.length < 10; n++) {
        const state = randomState(random);
        let encoded = encodeRandom(row, random, state, { faults: false });
        while (encoded.operand.register < 0) encoded = encodeRandom(row, random, state, { faults: false });
        const c: Case = { bytes: encoded.bytes, state, data: randomData(random) };
        const insns = decodeAll(c.bytes);
        const [insn] = insns;
        assert.ok(insn !== undefined && insns.length === 1 && insn.enc === row);
        if (random.chance(0.15)) fillVectors(random, state.fx.subarray(XMM), 16);
        else setLanes(random, c, [insn.reg, insn.vvvv, insn.rm], f);
        cases++;
        const native = runNative(c);
        let found = compare(native, runInterpreted(c, insns));
        if (found.length === 0 && n % 6 === 0) found = compare(native, runWasm(c, insns)).map((d) => `WebAssembly: ${d}`);
        if (found.length > 0) failures.push(`${row.mnemonic}\n${describeCase(c, insns)}\n  ${found.join('\n  ')}`);
      }
    }
    assumeMadd(undefined);
    tell(t, `multiply-add at its borders, ${fused ? 'by the engine' : 'in integers'}`, { encodings, cases, mismatches: failures.length }, started);
    assert.ok(cases > 0);
    assert.equal(failures.length, 0, failures.join('\n\n'));
  });
}
