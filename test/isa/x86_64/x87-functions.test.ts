/**
 * The transcendental x87 instructions: the functions against constants known to many digits and against identities, the
 * instructions against the host CPU with one unit in the last place allowed (processors differ from one another there;
 * ours is the correctly rounded value). C1 tells the direction of the rounding, so it follows the last bit and is left out.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENCODINGS } from '../../../src/isa/x86_64/declare.ts';
import { atan2, cos, exp2Minus1, type Real, type Signed, sin, tan, yLog2, yLog2Plus1 } from '../../../src/isa/x86_64/x87/functions.ts';
import { type Case, CODE_AT, randomState } from './generate.ts';
import { CODE, DATA_SIZE, nativeAvailable, type NativeState } from './native-executor.ts';
import { Random } from './random.ts';
import { decodeAll, runInterpreted, runNative } from './semantics.ts';
import { fillX87, significand } from './x87-values.ts';

const CASES = Number(process.env['LUNAGATE_CASES'] ?? 60);
const SEED = Number(process.env['LUNAGATE_SEED'] ?? 1);
const skip = nativeAvailable ? false : 'needs an x86-64 Linux host';

// ---- the functions by themselves ----

const of = (n: number): Signed => ({ m: BigInt(Math.abs(n)), e: 0, negative: n < 0 });
/** Value times 10^40, truncated. */
const digits = (x: Real): bigint => (x.e >= 0 ? (x.m << BigInt(x.e)) * 10n ** 40n : (x.m * 10n ** 40n) >> BigInt(-x.e));
function close(actual: Real, decimal: string, what: string): void {
  const [whole, fraction = ''] = decimal.split('.');
  const expected = BigInt(`${whole}${fraction.padEnd(40, '0').slice(0, 40)}`);
  const d = digits(actual) - expected;
  assert.ok(d <= 2n && d >= -2n, `${what}: ${digits(actual)} is not ${expected}`);
}

test('known constants to 40 digits', () => {
  close(atan2(of(1), of(1)), '0.7853981633974483096156608458198757210492923', 'π/4');
  close(atan2(of(1), of(2)), '0.4636476090008061162142562314612144020285370', 'atan(1/2)');
  close(atan2(of(3), of(1)), '1.2490457723982544258299170772810901230778294', 'atan 3');
  close(atan2(of(1), of(-1)), '2.3561944901923449288469825374596271631478770', '3π/4');
  close(exp2Minus1({ m: 1n, e: -1, negative: false }), '0.4142135623730950488016887242096980785696718', '√2 − 1');
  close(exp2Minus1({ m: 1n, e: -1, negative: true }), '0.2928932188134524755991556378951509607151640', '1 − 1/√2');
  close(yLog2(of(1), of(3)), '1.5849625007211561814537389439478165087598144', 'log2 3');
  close(yLog2(of(1), of(10)), '3.3219280948873623478703194294893901758648313', 'log2 10');
  close(yLog2Plus1(of(1), { m: 1n, e: -3, negative: false }), '0.1699250014423123629074778878956330175196288', 'log2 9/8');
  // Small arguments do not meet the 66-bit π: these are the mathematical values.
  const half: Signed = { m: 1n, e: -1, negative: false };
  close(sin(half), '0.4794255386042030002732879352155713880818033', 'sin ½');
  close(cos(half), '0.8775825618903727161162815826038296519916451', 'cos ½');
  close(tan(half), '0.5463024898437905132551794657802853832975517', 'tan ½');
});
test('angles are reduced by a π of 66 bits, as the processors do', () => {
  // The register's π is 2^−64 above it.
  const s = sin({ m: 0xc90fdaa22168c235n, e: -62, negative: false });
  assert.equal(s.negative, true);
  const near = digits({ m: s.m << 64n, e: s.e });
  assert.ok(near > 10n ** 40n - 10n ** 20n && near <= 10n ** 40n, `sin π · 2^64 = ${near}`);
  const c = cos({ m: 0xc90fdaa22168c235n, e: -63, negative: false });
  assert.equal(c.negative, true, 'cos π/2');
});
test('sin² + cos² = 1 and tan = sin/cos for angles of all sizes', () => {
  const random = new Random(SEED);
  for (let n = 0; n < 200; n++) {
    const x: Signed = { m: significand(random), e: -63 + random.below(126) - 63, negative: random.chance(0.5) };
    const s = sin(x);
    const c = cos(x);
    const square = (v: Real): bigint => digits({ m: v.m * v.m, e: 2 * v.e });
    const d = square(s) + square(c) - 10n ** 40n;
    assert.ok(d <= 2n && d >= -2n, `sin² + cos² − 1 = ${d} for ${x.m} · 2^${x.e}`);
    const t = tan(x);
    assert.equal(t.negative, s.negative !== c.negative);
  }
});

// ---- the instructions against the host ----

const ROWS = ENCODINGS.filter((row) => row.options.group === 'x87' && row.options.untestable !== undefined);
const view = (s: NativeState): DataView => new DataView(s.fx.buffer, s.fx.byteOffset);
const control = (s: NativeState): number => view(s).getUint16(0, true);
const status = (s: NativeState): number => view(s).getUint16(2, true);
/** The register as a number that grows by one per unit in the last place. */
function linear(s: NativeState, i: number): bigint {
  const v = view(s);
  const se = v.getUint16(40 + 16 * i, true);
  const n = (BigInt(se & 0x7fff) << 63n) + (v.getBigUint64(32 + 16 * i, true) & ((1n << 63n) - 1n));
  return se & 0x8000 ? -n : n;
}
const C1 = 0x200;

function functionCase(random: Random, name: string, code: number): Case {
  const state = randomState(random);
  fillX87(random, state, random.chance(0.7));
  if (random.chance(0.6)) {
    // Within the range where the function does something.
    const v = view(state);
    const put = (i: number, low: number, high: number, positive = false): void => {
      v.setBigUint64(32 + 16 * i, (1n << 63n) | (random.chance(0.3) ? significand(random) : random.u64()), true);
      v.setUint16(40 + 16 * i, (positive ? 0 : random.below(2) << 15) | (0x3fff + low + random.below(high - low + 1)), true);
    };
    if (name === 'f2xm1') put(0, -70, -1);
    else if (name === 'fyl2xp1') put(0, -80, -2);
    else put(0, -40, 40, name === 'fyl2x');
    put(1, -30, 30);
  }
  return { bytes: Uint8Array.of(0xd9, code), state, data: new Uint8Array(DATA_SIZE + 0x1000) };
}

test('transcendental instructions against the host CPU', { skip }, () => {
  assert.equal(ROWS.length, 8);
  let exact = 0;
  let near = 0;
  for (const row of ROWS) {
    const random = new Random(SEED * 1_000_003 + row.id);
    for (let n = 0; n < CASES; n++) {
      const c = functionCase(random, row.mnemonic, 0xc0 | (row.opcode.digit << 3) | row.opcode.rm);
      const [insn] = decodeAll(c.bytes);
      assert.equal(insn?.enc, row);
      assert.equal(insn?.pc, CODE + CODE_AT);
      const a = runNative(c);
      const b = runInterpreted(c);
      const text = (): string => `${row.mnemonic} case ${n}, fcw=${control(c.state).toString(16)} fsw=${status(c.state).toString(16)} st0=${linear(c.state, 0).toString(16)} st1=${linear(c.state, 1).toString(16)}`;
      assert.equal(b.exception, a.exception, text());
      assert.equal(status(b.state) & ~C1, status(a.state) & ~C1, `${text()}: status word`);
      assert.equal(b.state.fx[4], a.state.fx[4], `${text()}: tags`);
      assert.equal(control(b.state), control(a.state), `${text()}: control word`);
      for (let i = 0; i < 8; i++) {
        const d = linear(a.state, i) - linear(b.state, i);
        assert.ok(d <= 1n && d >= -1n, `${text()}: st${i} is ${linear(b.state, i).toString(16)}, natively ${linear(a.state, i).toString(16)}`);
        if (i === 0) d === 0n ? exact++ : near++;
      }
    }
  }
  // A host that rounds worse than one case in ten wrongly, or a mistake of ours in the last bits.
  assert.ok(near * 10 < exact, `${near} results differ in the last place, ${exact} do not`);
});
