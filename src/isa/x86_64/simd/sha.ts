/** SHA-1 and SHA-256 steps over v128 (FIPS 180-4). Element 3 of a register is its upper dword. */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import { constants, zero } from './integer.ts';

const { lanes } = constants;
type Shape = 'i32' | 'i32x4';

/** Rotate right: of an i32, or of each dword. */
function rotr(ir: Builder, shape: Shape, v: Value, n: number): Value {
  if (shape === 'i32') return ir.i32.rotr(v, ir.const32(n));
  return ir.v128.or(ir.i32x4.shr_u(v, ir.const32(n)), ir.i32x4.shl(v, ir.const32(32 - n)));
}
/** The small sigmas: two rotations and a shift. */
const sigma = (a: number, b: number, shift: number) => (ir: Builder, v: Value): Value =>
  ir.v128.xor(ir.v128.xor(rotr(ir, 'i32x4', v, a), rotr(ir, 'i32x4', v, b)), ir.i32x4.shr_u(v, ir.const32(shift)));
const sigma0 = sigma(7, 18, 3);
const sigma1 = sigma(17, 19, 10);
const choose = (ir: Builder, x: Value, y: Value, z: Value): Value => ir.i32.xor(z, ir.i32.and(x, ir.i32.xor(y, z)));
const majority = (ir: Builder, x: Value, y: Value, z: Value): Value => ir.i32.or(ir.i32.and(x, y), ir.i32.and(z, ir.i32.or(x, y)));
const sumOf = (ir: Builder, ...v: Value[]): Value => v.reduce((a, b) => ir.i32.add(a, b));
/** The four lanes, lowest first; by way of general registers, which is shorter than lane by lane. */
const dwords = (ir: Builder, v: Value): Value[] =>
  [0, 1].flatMap((lane) => {
    const pair = ir.i64x2.extract_lane(v, lane);
    return [ir.i32.wrap_i64(pair), ir.i32.wrap_i64(ir.i64.shr_u(pair, ir.const64(32)))];
  });
/** From the lowest lane up. */
function vector(ir: Builder, a: Value, b: Value, c: Value, d: Value): Value {
  const pair = (low: Value, high: Value): Value => ir.i64.or(ir.i64.extend_i32_u(low), ir.i64.shl(ir.i64.extend_i32_u(high), ir.const64(32)));
  return ir.i64x2.replace_lane(ir.i64x2.splat(pair(a, b)), 1, pair(c, d));
}

/** Two rounds: (CDGH, ABEF, words plus constants) → ABEF. */
export const SHA256_ROUNDS: Helper = {
  name: 'sha256rnds2',
  params: ['v128', 'v128', 'v128'],
  results: ['v128'],
  effect: 'pure',
  build(ir, cdgh, abef, wk) {
    const { i32 } = ir;
    const [h0, g0, d0, c0] = dwords(ir, cdgh as Value) as [Value, Value, Value, Value];
    const [f0, e0, b0, a0] = dwords(ir, abef as Value) as [Value, Value, Value, Value];
    let [a, b, c, d, e, f, g, h] = [a0, b0, c0, d0, e0, f0, g0, h0];
    for (let k = 0; k < 2; k++) {
      const s1 = i32.xor(i32.xor(rotr(ir, 'i32', e, 6), rotr(ir, 'i32', e, 11)), rotr(ir, 'i32', e, 25));
      const s0 = i32.xor(i32.xor(rotr(ir, 'i32', a, 2), rotr(ir, 'i32', a, 13)), rotr(ir, 'i32', a, 22));
      const t = sumOf(ir, h, choose(ir, e, f, g), s1, ir.i32x4.extract_lane(wk as Value, k));
      [h, g, f, e, d, c, b, a] = [g, f, e, i32.add(d, t), c, b, a, sumOf(ir, t, s0, majority(ir, a, b, c))];
    }
    ir.ret([vector(ir, f, e, b, a)]);
  },
};
/** sha256msg1: words 0–3 in a, word 4 in b: each plus σ0 of the next. */
export const sha256Message1 = (ir: Builder, a: Value, b: Value): Value => ir.i32x4.add(a, sigma0(ir, ir.shuffle(a, b, lanes(4, 1, 2, 3, 4))));
/** sha256msg2: adds σ1 of words 14 and 15 (b's upper half) below, of the two results above. */
export function sha256Message2(ir: Builder, a: Value, b: Value): Value {
  const none = zero(ir);
  const low = ir.i32x4.add(a, ir.shuffle(sigma1(ir, b), none, lanes(4, 2, 3, 4, 5)));
  return ir.i32x4.add(low, ir.shuffle(sigma1(ir, low), none, lanes(4, 4, 5, 0, 1)));
}

const SHA1_CONSTANTS = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6];
/** Four rounds with function and constant number `kind`: (ABCD, words with E in the first) → ABCD. */
const sha1Rounds = (kind: number): Helper => ({
  name: `sha1rnds4_${kind}`,
  params: ['v128', 'v128'],
  results: ['v128'],
  effect: 'pure',
  build(ir, abcd, words) {
    const { i32 } = ir;
    const [d0, c0, b0, a0] = dwords(ir, abcd as Value) as [Value, Value, Value, Value];
    const w = dwords(ir, words as Value).reverse();
    let [a, b, c, d] = [a0, b0, c0, d0];
    // E of the first round is in its word already
    let e = ir.const32(0);
    for (let k = 0; k < 4; k++) {
      const f = kind === 0 ? choose(ir, b, c, d) : kind === 2 ? majority(ir, b, c, d) : i32.xor(i32.xor(b, c), d);
      const next = sumOf(ir, f, rotr(ir, 'i32', a, 27), w[k] as Value, e, ir.const32(SHA1_CONSTANTS[kind] as number));
      [e, d, c, b, a] = [d, c, rotr(ir, 'i32', b, 2), a, next];
    }
    ir.ret([vector(ir, d, c, b, a)]);
  },
});
export const SHA1_ROUNDS: readonly Helper[] = [0, 1, 2, 3].map(sha1Rounds);
/** sha1nexte: A of four rounds ago, rotated, is the E to add to the next word. */
export const sha1NextE = (ir: Builder, a: Value, b: Value): Value => ir.i32x4.add(b, ir.shuffle(rotr(ir, 'i32x4', a, 2), zero(ir), lanes(4, 4, 4, 4, 3)));
/** sha1msg1: each word plus the second next; word 0 is the uppermost. */
export const sha1Message1 = (ir: Builder, a: Value, b: Value): Value => ir.v128.xor(a, ir.shuffle(b, a, lanes(4, 2, 3, 4, 5)));
/** sha1msg2: words 16–19, the last of which needs the first. */
export function sha1Message2(ir: Builder, a: Value, b: Value): Value {
  const three = rotr(ir, 'i32x4', ir.v128.xor(a, ir.shuffle(b, zero(ir), lanes(4, 4, 0, 1, 2))), 31);
  const last = rotr(ir, 'i32x4', ir.shuffle(three, zero(ir), lanes(4, 3, 4, 4, 4)), 31);
  return ir.v128.xor(three, last);
}
