/**
 * AES rounds over v128, without secret-dependent addresses: GF(2^8) as pairs of GF(2^4) (the tower t² + t + λ), in which
 * an inversion is five look-ups in tables of 16 bytes, and a look-up of 16 nibbles is one swizzle.
 *
 * With x = h·t + l, j = h + l and Δ = λh² + lj the inverse is (h·t + j)/Δ. From 1/l + 1/(λh), inverted, plus j comes a nibble
 * u with 1/u = (λh + l)/Δ; likewise v with 1/v = (λh + j)/Δ. Their sum is h/Δ, so the inverse, and every linear function of
 * it, is a table at u plus a table at v. Zero has the inverse 0x80 in the tables: a swizzle gives 0 for it, that is 1/∞.
 */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import { pool, pooled } from './constants.ts';

/** Product in the field of the given polynomial. */
function multiply(a: number, b: number, polynomial: number, degree: number): number {
  let r = 0;
  for (let k = 0; k < degree; k++) {
    if ((b >> k) & 1) r ^= a;
    a <<= 1;
    if (a >> degree) a ^= polynomial;
  }
  return r;
}
const mul16 = (a: number, b: number): number => multiply(a, b, 0x13, 4);
const mul256 = (a: number, b: number): number => multiply(a, b, 0x11b, 8);
const range = (n: number): number[] => Array.from({ length: n }, (_, k) => k);
const inverse16 = (a: number): number => range(16).find((b) => mul16(a, b) === 1) ?? 0;
/** The first λ for which t² + t + λ has no root in GF(2^4). */
const LAMBDA = range(16).find((l) => range(16).every((t) => (mul16(t, t) ^ t ^ l) !== 0)) as number;
/** Product of pairs h·t + l, as bytes. */
function mulPair(a: number, b: number): number {
  const [ah, al, bh, bl] = [a >> 4, a & 15, b >> 4, b & 15];
  const hh = mul16(ah, bh);
  return ((hh ^ mul16(ah, bl) ^ mul16(al, bh)) << 4) | (mul16(hh, LAMBDA) ^ mul16(al, bl));
}

/** Tables, by their places among the constants. */
interface Tables {
  /** Nibble → 1/nibble, and → 1/(λ·nibble); 0x80 for zero. */
  readonly inverse: number;
  readonly inverseLambda: number;
  /** Into the tower basis, low and high nibble: of the byte, and of the S-box preimage of the byte. */
  readonly forward: Pair;
  readonly backward: Pair;
  /** From u and v: the S-box without its constant times 1 and 2; the inverse times 1, 9, 11, 13, 14. */
  readonly sub: Readonly<Record<1 | 2, Pair>>;
  readonly inverseSub: Readonly<Record<1 | 9 | 11 | 13 | 14, Pair>>;
  /** Byte times 9, 11, 13, 14, by its nibbles. */
  readonly times: Readonly<Record<9 | 11 | 13 | 14, Pair>>;
}
type Pair = readonly [number, number];
function makeTables(): Tables {
  // the image of the byte 2 is a root of the AES polynomial x^8 + x^4 + x^3 + x + 1
  const power = (b: number, n: number): number => range(n).reduce((p) => mulPair(p, b), 1);
  const root = range(256).find((b) => b > 15 && (power(b, 8) ^ power(b, 4) ^ power(b, 3) ^ b ^ 1) === 0) as number;
  const toTower = range(256).map((byte) => range(8).reduce((sum, k) => ((byte >> k) & 1 ? sum ^ power(root, k) : sum), 0));
  const fromTower: number[] = [];
  toTower.forEach((t, byte) => {
    fromTower[t] = byte;
  });
  const out = (t: number): number => fromTower[t] as number;
  const affine = (b: number): number => range(5).reduce((sum, k) => sum ^ ((b << k) & 255) ^ (b >> (8 - k)), 0);
  const unaffine: number[] = [];
  for (const b of range(256)) unaffine[affine(b)] = b;
  /** A linear function of a byte as tables at its low and its high nibble; `constant` is added to every result. */
  const nibbles = (f: (byte: number) => number, constant = 0): Pair => [pool(range(16).map((n) => f(n) ^ constant)), pool(range(16).map((n) => f(n << 4)))];
  /** A linear function of the inverse, as tables at u and v. */
  const ofInverse = (f: (byte: number) => number): Pair => [
    pool(range(16).map((u) => f(out((inverse16(u) << 4) | mul16(LAMBDA, inverse16(u)))))),
    pool(range(16).map((v) => f(out((inverse16(v) << 4) | (mul16(LAMBDA, inverse16(v)) ^ inverse16(v)))))),
  ];
  const preimage = (b: number): number => toTower[unaffine[b] as number] as number;
  return {
    inverse: pool(range(16).map((n) => (n === 0 ? 0x80 : inverse16(n)))),
    inverseLambda: pool(range(16).map((n) => (n === 0 ? 0x80 : inverse16(mul16(LAMBDA, n))))),
    forward: nibbles((b) => toTower[b] as number),
    backward: nibbles(preimage, preimage(0x63)),
    sub: { 1: ofInverse(affine), 2: ofInverse((b) => mul256(2, affine(b))) },
    inverseSub: { 1: ofInverse((b) => b), 9: ofInverse((b) => mul256(9, b)), 11: ofInverse((b) => mul256(11, b)), 13: ofInverse((b) => mul256(13, b)), 14: ofInverse((b) => mul256(14, b)) },
    times: { 9: nibbles((b) => mul256(9, b)), 11: nibbles((b) => mul256(11, b)), 13: nibbles((b) => mul256(13, b)), 14: nibbles((b) => mul256(14, b)) },
  };
}
const TABLES = makeTables();
const LOW_NIBBLES = pool(range(16).map(() => 15));
const SBOX_CONSTANT = pool(range(16).map(() => 0x63));

// ---- as IR ----

/** Indices are below 16, or from 128 on for nothing. */
const lookUp = (ir: Builder, table: number, index: Value): Value => ir.i8x16.relaxed_swizzle(pooled(ir, table), index);
const lookUpBoth = (ir: Builder, [first, second]: Pair, a: Value, b: Value): Value => ir.v128.xor(lookUp(ir, first, a), lookUp(ir, second, b));
const lowNibbles = (ir: Builder, v: Value): Value => ir.v128.and(v, pooled(ir, LOW_NIBBLES));
const highNibbles = (ir: Builder, v: Value): Value => lowNibbles(ir, ir.i16x8.shr_u(v, ir.const32(4)));

/** The nibbles u and v of the inverse of each byte, after the linear map `into` the tower basis. */
function invert(ir: Builder, bytes: Value, into: Pair): [Value, Value] {
  const t = TABLES;
  const { xor } = ir.v128;
  const x = lookUpBoth(ir, into, lowNibbles(ir, bytes), highNibbles(ir, bytes));
  const h = highNibbles(ir, x);
  const l = lowNibbles(ir, x);
  const j = xor(h, l);
  const overH = lookUp(ir, t.inverseLambda, h);
  const u = xor(lookUp(ir, t.inverse, xor(lookUp(ir, t.inverse, l), overH)), j);
  const v = xor(lookUp(ir, t.inverse, xor(lookUp(ir, t.inverse, j), overH)), l);
  return [u, v];
}

/** Byte numbers of a state whose byte (row, column) comes from row + `down`, after the rows moved `by` columns a row. */
const order = (down: number, by: number): number =>
  pool(
    range(16).map((n) => {
      const row = ((n & 3) + down) & 3;
      return row + 4 * (((n >> 2) + by * row) & 3);
    }),
  );
const ORDERS = new Map([-1, 0, 1].map((by) => [by, [0, 1, 2, 3].map((down) => order(down, by))]));
const arrange = (ir: Builder, v: Value, down: number, by: 1 | 0 | -1): Value => ir.i8x16.relaxed_swizzle(v, pooled(ir, ORDERS.get(by)?.[down] as number));
const sum = (ir: Builder, ...values: Value[]): Value => values.reduce((a, b) => ir.v128.xor(a, b));

function encrypt(ir: Builder, state: Value, key: Value): Value {
  const { sub, forward } = TABLES;
  const [u, v] = invert(ir, state, forward);
  const once = lookUpBoth(ir, sub[1], u, v);
  const twice = lookUpBoth(ir, sub[2], u, v);
  // MixColumns: 2, 3, 1, 1; of the S-box constant it makes the constant again
  return sum(ir, arrange(ir, twice, 0, 1), arrange(ir, ir.v128.xor(once, twice), 1, 1), arrange(ir, once, 2, 1), arrange(ir, once, 3, 1), ir.v128.xor(key, pooled(ir, SBOX_CONSTANT)));
}
function encryptLast(ir: Builder, state: Value, key: Value): Value {
  const { sub, forward } = TABLES;
  const [u, v] = invert(ir, state, forward);
  return ir.v128.xor(arrange(ir, lookUpBoth(ir, sub[1], u, v), 0, 1), ir.v128.xor(key, pooled(ir, SBOX_CONSTANT)));
}
function decrypt(ir: Builder, state: Value, key: Value): Value {
  const { inverseSub, backward } = TABLES;
  const [u, v] = invert(ir, state, backward);
  return sum(ir, ...([14, 11, 13, 9] as const).map((factor, down) => arrange(ir, lookUpBoth(ir, inverseSub[factor], u, v), down, -1)), key);
}
function decryptLast(ir: Builder, state: Value, key: Value): Value {
  const { inverseSub, backward } = TABLES;
  const [u, v] = invert(ir, state, backward);
  return ir.v128.xor(arrange(ir, lookUpBoth(ir, inverseSub[1], u, v), 0, -1), key);
}

const round = (name: string, f: (ir: Builder, state: Value, key: Value) => Value): Helper => ({
  name,
  params: ['v128', 'v128'],
  results: ['v128'],
  effect: 'pure',
  build: (ir, state, key) => ir.ret([f(ir, state as Value, key as Value)]),
});
/** aesenc, aesenclast, aesdec, aesdeclast: (state, round key) → state. */
export const AES_ROUNDS = {
  aesenc: round('aesenc', encrypt),
  aesenclast: round('aesenclast', encryptLast),
  aesdec: round('aesdec', decrypt),
  aesdeclast: round('aesdeclast', decryptLast),
} as const;

/** aesimc. */
export function inverseMixColumns(ir: Builder, a: Value): Value {
  const { times } = TABLES;
  return sum(ir, ...([14, 11, 13, 9] as const).map((factor, down) => arrange(ir, lookUpBoth(ir, times[factor], lowNibbles(ir, a), highNibbles(ir, a)), down, 0)));
}
const KEY_WORDS = pool([4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]);
/** aeskeygenassist: dwords 1 and 3 through the S-box, as they are and rotated by a byte plus the round constant. */
export function keyGenAssist(ir: Builder, a: Value, constant: number): Value {
  const { sub, forward } = TABLES;
  const [u, v] = invert(ir, a, forward);
  const s = ir.v128.xor(lookUpBoth(ir, sub[1], u, v), pooled(ir, SBOX_CONSTANT));
  const words = ir.i8x16.relaxed_swizzle(s, pooled(ir, KEY_WORDS));
  return ir.v128.xor(words, ir.const128(range(16).map((k) => (k === 4 || k === 12 ? constant : 0))));
}
