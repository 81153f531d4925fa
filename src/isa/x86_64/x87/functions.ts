/**
 * sin, cos, tan, atan2, 2^x − 1 and y·log2(x) with far more bits than a register holds, over BigInt: rounding the
 * results to 64 bits is right in all but about one of 2^50 cases. No x87 state here, only numbers.
 *
 * Sine, cosine and tangent take π as the processors' microcode does, cut to 66 bits: Intel's and AMD's results are those
 * for the argument reduced by that π, and programs have been written around it.
 */

/** A positive number m · 2^e; m has at least one bit. */
export interface Real {
  readonly m: bigint;
  readonly e: number;
}
/** A number with its sign. */
export interface Signed extends Real {
  readonly negative: boolean;
}

/** Working precision in bits. */
const W = 144;
const ONE = 1n << BigInt(W);
/** A difference of exponents from which the smaller summand is only a last-place trace. */
const FAR = 2 * W;

const bits = new DataView(new ArrayBuffer(8));
/** Number of bits of m > 0: from the exponent of its double, which may have been rounded up to the next power of two. */
function length(m: bigint): number {
  if (m >> 1000n !== 0n) return m.toString(2).length;
  bits.setFloat64(0, Number(m));
  const n = (bits.getUint16(0) >> 4) - 1022;
  return m >> BigInt(n - 1) === 0n ? n - 1 : n;
}
/** Cut to W bits. */
function cut(m: bigint, e: number): Real {
  const drop = length(m) - W;
  return drop > 0 ? { m: m >> BigInt(drop), e: e + drop } : { m: m << BigInt(-drop), e: e + drop };
}
const mul = (a: Real, b: Real): Real => cut(a.m * b.m, a.e + b.e);
const div = (a: Real, b: Real): Real => cut((a.m << BigInt(2 * W)) / b.m, a.e - b.e - 2 * W);
/** a + b, or a − b for a > b. */
function add(a: Real, b: Real, minus = false): Real {
  const x = cut(a.m, a.e);
  const y = cut(b.m, b.e);
  const d = x.e - y.e;
  if (d > FAR) return { m: (x.m << 8n) + (minus ? -1n : 1n), e: x.e - 8 };
  if (d < -FAR) return { m: (y.m << 8n) + 1n, e: y.e - 8 };
  const low = Math.min(x.e, y.e);
  const xs = x.m << BigInt(x.e - low);
  const ys = y.m << BigInt(y.e - low);
  return { m: minus ? xs - ys : xs + ys, e: low };
}
/** As a fixed-point number of W fraction bits (truncated). */
function fixed(a: Real): bigint {
  const s = a.e + W;
  return s >= 0 ? a.m << BigInt(s) : -s > 8 * W ? 0n : a.m >> BigInt(-s);
}
const real = (f: bigint): Real => ({ m: f, e: -W });

const SHIFT = BigInt(W);
/** Σ c_k t^k for |t| < 1, all fixed point. */
function polynomial(t: bigint, coefficients: readonly bigint[]): bigint {
  let sum = 0n;
  for (let k = coefficients.length - 1; k >= 0; k--) sum = ((sum * t) >> SHIFT) + (coefficients[k] as bigint);
  return sum;
}
/** 1, −1/(d1), 1/(d1·d2), … as far as fixed point reaches. */
function inverses(divisor: (k: number) => number, alternating: boolean): bigint[] {
  const out: bigint[] = [];
  let product = 1n;
  for (let k = 1; ; k++) {
    const c = ONE / product;
    if (c === 0n) return out;
    out.push(alternating && k % 2 === 0 ? -c : c);
    product *= BigInt(divisor(k));
  }
}
/** Σ (sign·t)^k / (2k + 1): atan and atanh over their argument. */
function oddSeries(t: bigint, sign: 1n | -1n): bigint {
  let sum = 0n;
  let power = ONE;
  for (let k = 1n; power !== 0n; k += 2n) {
    sum += power / k;
    power = (sign * power * t) >> SHIFT;
    if (power === -1n) break;
  }
  return sum;
}
/** Made on first use: start-up pays nothing for them. */
interface Constants {
  readonly ln2: Real;
  readonly twoOverLn2: Real;
  readonly pi: Real;
  readonly halfPi: Real;
  /** atan(k/8), k = 0 … 8, fixed point. */
  readonly atan8: readonly bigint[];
  /** Coefficients of sin(x)/x and cos(x) in x², of (e^x − 1)/x in x. */
  readonly sin: readonly bigint[];
  readonly cos: readonly bigint[];
  readonly expm1: readonly bigint[];
}
let made: Constants | undefined;
function constants(): Constants {
  if (made !== undefined) return made;
  const atanInverse = (n: bigint): bigint => oddSeries(ONE / (n * n), -1n) / n;
  const ln2 = real((oddSeries(ONE / 9n, 1n) * 2n) / 3n);
  const pi = real(4n * (4n * atanInverse(5n) - atanInverse(239n)));
  const atan8 = Array.from({ length: 9 }, (_, k) => (k === 8 ? pi.m >> 2n : (oddSeries((ONE * BigInt(k * k)) / 64n, -1n) * BigInt(k)) / 8n));
  made = {
    ln2,
    twoOverLn2: div({ m: 2n, e: 0 }, ln2),
    pi,
    halfPi: { m: pi.m, e: pi.e - 1 },
    atan8,
    sin: inverses((k) => 2 * k * (2 * k + 1), true),
    cos: inverses((k) => (2 * k - 1) * 2 * k, true),
    expm1: inverses((k) => k + 1, false),
  };
  return made;
}

/** π cut to 66 bits, times 2^64. */
const PI66 = 0x3243f6a8885a308d3n;

/** x, |x| < 2^63, as a quarter turn (mod 4) and the rest, at most an eighth of a turn either way. */
function reduce(x: Signed): { quadrant: number; rest: Signed; square: bigint } {
  let quadrant = 0;
  let { m, e } = x;
  let negative = false;
  if (length(m) + e >= 0) {
    // In units of 2^−g, exactly: x = n, π/2 = p.
    const g = Math.max(65, -e);
    const p = PI66 << BigInt(g - 65);
    const n = m << BigInt(e + g);
    const q = (2n * n + p) / (2n * p);
    const r = n - q * p;
    quadrant = Number(q & 3n);
    negative = r < 0n;
    m = negative ? -r : r;
    e = -g;
  }
  const rest = cut(m, e);
  const f = fixed(rest);
  return { quadrant, rest: { ...rest, negative }, square: (f * f) >> SHIFT };
}
/** Sine (0) or cosine (1) of |x|, from its reduction; the sign of x is for the caller. */
function turn({ quadrant, rest, square }: ReturnType<typeof reduce>, quarter: number): Signed {
  const { sin, cos } = constants();
  const q = (quadrant + quarter) & 3;
  if ((q & 1) === 0) return { ...mul(rest, real(polynomial(square, sin))), negative: rest.negative !== (q === 2) };
  return { ...real(polynomial(square, cos)), negative: q === 3 };
}
const withSign = (v: Signed, x: Signed): Signed => ({ m: v.m, e: v.e, negative: v.negative !== x.negative });
/** Of |x| < 2^63. */
export const sin = (x: Signed): Signed => withSign(turn(reduce(x), 0), x);
export const cos = (x: Signed): Signed => turn(reduce(x), 1);
export function tan(x: Signed): Signed {
  const r = reduce(x);
  const s = turn(r, 0);
  const c = turn(r, 1);
  return withSign({ ...div(s, c), negative: s.negative !== c.negative }, x);
}

/** Angle of the point (x, y), neither zero nor infinite. */
export function atan2(y: Signed, x: Signed): Signed {
  const { pi, halfPi, atan8 } = constants();
  const ratio = div(y, x);
  const steep = length(ratio.m) + ratio.e > 0; // |y| ≥ |x|
  const t = steep ? div(x, y) : ratio;
  const k = Number((fixed(t) * 8n + (ONE >> 1n)) >> BigInt(W));
  let angle: Real;
  if (k === 0) angle = mul(t, real(oddSeries(fixed(mul(t, t)), -1n)));
  else {
    const c = (ONE * BigInt(k)) / 8n;
    const u = ((fixed(t) - c) << BigInt(W)) / (ONE + ((fixed(t) * c) >> BigInt(W)));
    angle = real((atan8[k] as bigint) + ((u * oddSeries((u * u) >> BigInt(W), -1n)) >> BigInt(W)));
  }
  if (steep) angle = add(halfPi, angle, true);
  if (x.negative) angle = add(pi, angle, true);
  return { ...angle, negative: y.negative };
}

/** 2^x − 1 for |x| < 1, x ≠ 0. */
export function exp2Minus1(x: Signed): Signed {
  const y = mul(x, constants().ln2);
  const f = fixed(y);
  return { ...mul(y, real(polynomial(x.negative ? -f : f, constants().expm1))), negative: x.negative };
}

/** log2 from u = (v − 1)/(v + 1). */
function log2Of(u: Real): Real {
  return mul(mul(u, real(oddSeries(fixed(mul(u, u)), 1n))), constants().twoOverLn2);
}
/** y · log2(x), x positive, neither of them zero or infinite, x ≠ 1. */
export function yLog2(y: Signed, x: Real): Signed {
  // x = 2^k · v, v in [√½, √2] or near it
  const n = length(x.m);
  let k = n + x.e;
  let v: Real = { m: x.m, e: -n };
  if (v.m * 10n < 7n << BigInt(n)) {
    k -= 1;
    v = { m: v.m, e: v.e + 1 };
  }
  const one = 1n << BigInt(-v.e);
  const below = v.m < one;
  if (v.m === one) return { ...mul(y, { m: BigInt(Math.abs(k)), e: 0 }), negative: y.negative !== k < 0 };
  const part = log2Of(div({ m: below ? one - v.m : v.m - one, e: 0 }, { m: v.m + one, e: 0 }));
  let log: Signed;
  if (k === 0) log = { ...part, negative: below };
  else log = { ...add({ m: BigInt(Math.abs(k)), e: 0 }, part, below !== k < 0), negative: k < 0 };
  return { ...mul(y, log), negative: y.negative !== log.negative };
}
/** y · log2(1 + x), x > −1, neither of them zero or infinite. */
export function yLog2Plus1(y: Signed, x: Signed): Signed {
  if (length(x.m) + x.e >= -1) {
    // Not small: 1 + x needs few bits more.
    const s = Math.max(0, -x.e);
    const sum = (1n << BigInt(s)) + (x.negative ? -x.m : x.m) * (1n << BigInt(Math.max(0, x.e)));
    return yLog2(y, { m: sum, e: -s });
  }
  const log = log2Of(div(x, add({ m: 2n, e: 0 }, x, x.negative)));
  return { ...mul(y, log), negative: y.negative !== x.negative };
}

/** The number as 128 significant bits: [upper 64, lower 64 with anything below as its last bit, exponent of the top bit]. */
export function split128(x: Real): [bigint, bigint, number] {
  const drop = length(x.m) - 128;
  let m = drop >= 0 ? x.m >> BigInt(drop) : x.m << BigInt(-drop);
  if (drop > 0 && m << BigInt(drop) !== x.m) m |= 1n;
  return [m >> 64n, BigInt.asUintN(64, m), x.e + length(x.m) - 1];
}
