/**
 * The floating-point environment against the host CPU: every SSE, AVX, FMA and F16C row that computes, translated in exact
 * mode, with random MXCSR (rounding, FTZ, DAZ, masks, flags already set): result, MXCSR and #XM must be the processor's.
 * How many: slice.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { assumeMadd } from '../../../src/ir/relaxed.ts';
import { ENCODINGS, type Encoding } from '../../../src/isa/x86_64/declare.ts';
import { type Case, encodeRandom, randomData, randomState } from './generate.ts';
import { judgedInEnvironment } from './judges.ts';
import { DATA, nativeAvailable, XMM } from './native-executor.ts';
import { Random } from './random.ts';
import { compare, decodeAll, describeCase, frontend, runInterpreted, runNative, runWasm } from './semantics.ts';
import { CASES, inSlice, SEED, tell } from './slice.ts';

const SHOWN = 3;

const rows = ENCODINGS.filter(judgedInEnvironment);

interface Format {
  readonly size: 2 | 4 | 8;
  readonly fraction: number;
  readonly bias: number;
}
const F16: Format = { size: 2, fraction: 10, bias: 15 };
const F32: Format = { size: 4, fraction: 23, bias: 127 };
const F64: Format = { size: 8, fraction: 52, bias: 1023 };

/** An encoding, with a liking for borders: of the exponents, of rounding, of the integers, of what is special. */
function encoding(random: Random, f: Format, near: number): bigint {
  const sign = random.chance(0.4) ? 1n << BigInt(f.size * 8 - 1) : 0n;
  const top = 2 * f.bias + 1;
  const mask = (1n << BigInt(f.fraction)) - 1n;
  const digits = (): bigint => {
    switch (random.below(5)) {
      case 0:
        return 0n;
      case 1:
        return mask;
      case 2:
        return (1n << BigInt(random.below(f.fraction))) & mask;
      case 3:
        return (mask << BigInt(random.below(f.fraction))) & mask;
      default:
        return random.u64() & mask;
    }
  };
  const clamp = (e: number): bigint => BigInt(Math.max(0, Math.min(top - 1, e)));
  const at = (e: number): bigint => (clamp(e) << BigInt(f.fraction)) | digits();
  switch (random.below(16)) {
    case 0:
      return sign;
    case 1:
      return sign | digits(); // denormal
    case 2:
      return sign | (1n << BigInt(f.fraction));
    case 3:
      return sign | (BigInt(top) << BigInt(f.fraction)); // infinity
    case 4:
      return random.chance(0.5)
        ? sign | (BigInt(top) << BigInt(f.fraction)) | digits()
        : sign | at(f.bias + 31 + random.below(2)); // NaN, or about 2^31
    case 5:
      return sign | at(f.bias + random.below(70) - 3); // integers and beyond
    case 6:
      return sign | at(random.below(4));
    case 7:
      return sign | at(top - 1 - random.below(3));
    case 8:
      return (
        sign | at(f.bias + random.pick([-126, -127, -149, -150, -14, -15, -25, 127, 128, 15, 16]) + random.below(2))
      );
    default:
      return sign | at(f.bias + near + random.below(8) - 4);
  }
}
/** Fill lanes; operands of one case lie near each other, their products near a border now and then. */
function fillLanes(random: Random, target: Uint8Array, f: Format, near: number): void {
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  for (let k = 0; k < target.length; k += f.size) {
    const v = encoding(random, f, near);
    if (f.size === 8) view.setBigUint64(k, v, true);
    else if (f.size === 4) view.setUint32(k, Number(v), true);
    else view.setUint16(k, Number(v), true);
  }
}
function formatOf(row: Encoding): Format {
  const name = row.mnemonic;
  if (/ph2ps$/.test(name)) return F16;
  if (/cvtt?(ps|ss)2/.test(name)) return F32;
  if (/cvtt?(pd|sd)2/.test(name)) return F64;
  return /[sp]s$/.test(name) ? F32 : F64;
}

const MASKS = 0x1f80;
function randomMxcsr(random: Random): number {
  const control = (random.below(4) << 13) | (random.chance(0.3) ? 0x8000 : 0) | (random.chance(0.3) ? 0x40 : 0);
  const flags = random.chance(0.4) ? 0x20 : random.chance(0.5) ? 0 : random.below(64);
  const masks = random.chance(0.75)
    ? MASKS
    : random.chance(0.6)
      ? MASKS & ~(0x80 << random.below(6))
      : random.below(64) << 7;
  return (random.chance(0.25) ? 0 : control) | flags | masks;
}

function generate(row: Encoding, random: Random): Case {
  const state = randomState(random);
  const encoded = encodeRandom(row, random, state, { faults: false });
  const data = randomData(random);
  const f = formatOf(row);
  const near = random.pick([0, 0, -f.bias >> 1, f.bias >> 1, -f.bias + f.fraction, f.bias - 2]);
  if (random.chance(0.92)) {
    fillLanes(random, state.fx.subarray(XMM, XMM + 256), f, near);
    fillLanes(random, state.high, f, near);
    for (let k = 0; k < 8; k++) fillLanes(random, state.fx.subarray(32 + 16 * k, 40 + 16 * k), f, near);
    if (encoded.operand.address >= 0)
      fillLanes(random, data.subarray(encoded.operand.address - DATA, encoded.operand.address - DATA + 32), f, near);
  }
  new DataView(state.fx.buffer).setUint32(24, randomMxcsr(random), true);
  return { bytes: encoded.bytes, state, data };
}

const skip = nativeAvailable ? false : 'needs an x86-64 Linux host';

for (const fused of [true, false]) {
  test(`every computing row with random MXCSR${fused ? '' : ', multiply-add in integers'}`, { skip }, (t) => {
    const failures: string[] = [];
    const work = { encodings: 0, cases: 0, mismatches: 0 };
    const started = performance.now();
    let cases = 0;
    let traps = 0;
    frontend.exactFloat = true;
    if (!fused) assumeMadd(false);
    try {
      for (const row of rows) {
        if (!inSlice(row) || (!fused && row.options.cpuid !== 'fma')) continue;
        work.encodings++;
        const random = new Random(SEED * 999_983 + row.id * 104_729 + (fused ? 0 : 1));
        for (let n = 0, failed = 0; n < CASES && failed < SHOWN; n++) {
          const c = generate(row, random);
          const insns = decodeAll(c.bytes);
          if (insns[0]?.enc !== row) continue;
          cases++;
          const native = runNative(c);
          if (native.exception === 19) traps++;
          let found = compare(native, runInterpreted(c, insns), { sticky: true });
          if (found.length === 0 && n % 3 === row.id % 3) {
            setFlagsFromString(n % 6 < 3 ? '--liftoff' : '--no-liftoff');
            found = compare(native, runWasm(c, insns), { sticky: true }).map((d) => `WebAssembly: ${d}`);
          }
          if (found.length === 0) continue;
          failed++;
          const mxcsr = new DataView(c.state.fx.buffer).getUint32(24, true);
          failures.push(
            `${row.mnemonic} "${row.text}" case ${n}, MXCSR ${mxcsr.toString(16)}\n${describeCase(c, insns)}\n  ${found.join('\n  ')}`,
          );
        }
      }
    } finally {
      frontend.exactFloat = false;
      assumeMadd(undefined);
    }
    tell(t, fused ? 'floating-point environment' : 'multiply-add in integers', { ...work, cases, mismatches: failures.length }, started);
    assert.ok(cases > 0, 'no row matches');
    assert.equal(
      failures.length,
      0,
      `${failures.length} of ${cases} cases differ (${traps} trap):\n\n${failures.slice(0, 30).join('\n\n')}`,
    );
  });
}
