/**
 * RCPPS and RSQRTPS, bit for bit as an AMD processor of family 1Ah (Zen 5) gives them. The manuals bound the relative error
 * by 1.5·2^-12 only, and Intel's processors give other digits; since programs compiled with -ffast-math divide by way of
 * these, one processor's digits are better than nobody's.
 *
 * Found by asking the processor for every significand: the result depends on the upper 12 bits of the fraction (and for the
 * root on whether the exponent is odd) and has 12 bits itself; zeros and denormals count as zeros, denormal results are
 * zeros, MXCSR has no say. A result is off the one nearest to the exact value in the middle of its interval by one unit
 * in the last place or not at all: that is what is kept below, 0…2 for −1…+1, five digits of base 3 to a byte, the first
 * lowest.
 *
 * Tables are made at the first use, in state memory.
 */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import { STATE } from '../cpu-state.ts';
import type { Unary } from './integer.ts';

const ENTRIES = 4096;
/** Results in units of 2^-13, 16 bits each: 1/x, 1/√x for x from 1, 1/√x for x from 2. */
const TABLES = [
  { of: (x: number): number => 1 / x, offset: 0 },
  { of: (x: number): number => 1 / Math.sqrt(x), offset: 2 * ENTRIES },
  { of: (x: number): number => 1 / Math.sqrt(2 * x), offset: 4 * ENTRIES },
] as const;
/** i32 behind the tables: they are there. */
const READY = STATE.approximations + 6 * ENTRIES;

const FILL: Helper = {
  name: 'approximation_tables',
  params: [],
  results: [],
  effect: 'state',
  js({ state }) {
    TABLES.forEach(({ of, offset }, n) => {
      const corrections = Buffer.from((CORRECTIONS[n] as readonly string[]).join(''), 'base64');
      for (let k = 0; k < ENTRIES; k++) {
        const digit = Math.floor((corrections[Math.floor(k / 5)] as number) / 3 ** (k % 5)) % 3;
        const units = Math.floor(of(1 + (k + 0.5) / ENTRIES) * 8192 + 0.5) + digit - 1;
        // the bits of units · 2^-13 as an f32, of which the lower 11 are zero: exponent 126 and 12 bits of fraction
        state.setUint16(STATE.approximations + offset + 2 * k, units === 8192 ? 0x1000 : units & 0xfff, true);
      }
    });
    state.setInt32(READY, 1, true);
    return undefined;
  },
};

const c = (ir: Builder, n: number): Value => ir.const32(n);
/** The entry for the fraction of `bits`, as f32 bits with the exponent of 0.5…1. */
function lookUp(ir: Builder, bits: Value, table: Value): Value {
  const index = ir.i32.and(ir.i32.shr_u(bits, c(ir, 10)), c(ir, 0x1ffe));
  const entry = ir.stateLoad('i32.load16_u', STATE.approximations, ir.i32.add(index, table));
  return ir.i32.add(ir.i32.shl(entry, c(ir, 11)), c(ir, 126 << 23));
}
const INFINITY = 0x7f800000;
const QUIET = 0x00400000;

/** f32 bits to f32 bits. */
function reciprocalBits(ir: Builder, bits: Value): Value {
  const { i32 } = ir;
  const sign = i32.and(bits, c(ir, 0x80000000));
  const magnitude = i32.and(bits, c(ir, 0x7fffffff));
  const exponent = i32.shr_u(magnitude, c(ir, 23));
  const moved = i32.sub(lookUp(ir, bits, c(ir, 0)), i32.shl(i32.sub(exponent, c(ir, 127)), c(ir, 23)));
  const number = ir.select(i32.lt_u(exponent, c(ir, 253)), moved, c(ir, 0)); // infinity included
  const result = ir.select(exponent, number, c(ir, INFINITY));
  return ir.select(i32.gt_u(magnitude, c(ir, INFINITY)), i32.or(bits, c(ir, QUIET)), i32.or(result, sign));
}
function reciprocalRootBits(ir: Builder, bits: Value): Value {
  const { i32 } = ir;
  const sign = i32.and(bits, c(ir, 0x80000000));
  const magnitude = i32.and(bits, c(ir, 0x7fffffff));
  const exponent = i32.shr_u(magnitude, c(ir, 23));
  const even = i32.eqz(i32.and(exponent, c(ir, 1)));
  const half = i32.shr_s(i32.sub(exponent, i32.add(c(ir, 127), even)), c(ir, 1));
  const moved = i32.sub(lookUp(ir, bits, ir.select(even, c(ir, 4 * ENTRIES), c(ir, 2 * ENTRIES))), i32.shl(half, c(ir, 23)));
  const number = ir.select(sign, c(ir, 0xffc00000), ir.select(i32.eq(magnitude, c(ir, INFINITY)), c(ir, 0), moved));
  const result = ir.select(exponent, number, i32.or(sign, c(ir, INFINITY)));
  return ir.select(i32.gt_u(magnitude, c(ir, INFINITY)), i32.or(bits, c(ir, QUIET)), result);
}
const helper = (name: string, of: (ir: Builder, bits: Value) => Value): Helper => ({
  name,
  params: ['v128'],
  results: ['v128'],
  effect: 'state',
  build(ir, v) {
    ir.if(ir.i32.eqz(ir.stateLoad('i32.load', READY)), () => void ir.call(FILL, []));
    let result = v as Value;
    for (let lane = 0; lane < 4; lane++) result = ir.i32x4.replace_lane(result, lane, of(ir, ir.i32x4.extract_lane(v as Value, lane)));
    ir.ret([result]);
  },
});
const RECIPROCAL = helper('reciprocal_f32x4', reciprocalBits);
const RECIPROCAL_ROOT = helper('reciprocal_root_f32x4', reciprocalRootBits);
export const reciprocal: Unary = (ir, a) => ir.call(RECIPROCAL, [a])[0] as Value;
export const reciprocalRoot: Unary = (ir, a) => ir.call(RECIPROCAL_ROOT, [a])[0] as Value;
export const APPROXIMATIONS: readonly Helper[] = [FILL, RECIPROCAL, RECIPROCAL_ROOT];

const CORRECTIONS: readonly (readonly string[])[] = [
 [
  'dXnybnnxWXnuGnltefHO8u568nF5hcp97nqh5X2gynqCeXnlfYXuoe7l8uXK8cp5nSgNCXDKcHiCYiV5fObW8niClYLm1ubWns6e6YWV',
  'zYJ5eXmBlXzl1oLLnpV8mHwozSgfn5h8HHnUasmXUHbU6G951HnU8iN5ynzTl4OU1JfKl9R5g3mU8vJ803x5ntSX6KHU1vKXlaHUXnbN',
  'hc3W8l15zXnN08uCnn2VzYV5gpVdeXmUzYJ6eXl5eXl5zYJ6gpV8lHx5eXklwZ7OKCd5gsmUncrm7nzO5oOFzpidhYXKeZTu7/F8fXp6',
  '1859eV5eynkoeXp5eHx2dnlVVaGFgnl5faDl1314lHl67nl97nqG5X2geYbleZ15eXnJffF6hXl5oMqGeXgo2Hp5xn15doZ5cHl5eXx5',
  'eXnx8qF5efF5eXl5eXnx8vKGeXl5eXl5eXl5eXl5eXl5eXl5yvLy8oZ5eXl5eXmUeXnK8qEAeXl5eXl57nl55X15yoZ5eYZ5eXl5KHV5',
  'eeWhecp5ynryfXl8eXzuenlteWyg5Ybuy/JsDXlSKHh5oe59oOV9ncp6eXl5zaHxeX2CeXhtVZ3KeeZ9hnl5eHZ6eXmglHl4eHl2dnlw',
  'cHleXl55hoaGhYWFgoKCcHBwysvLenkoeaCFfHl2duSUedPOy3ooDVV8eSd5fMt5nYV95p18ypSCecuUcHl5XnYnguadhcqUeXZecJSF',
  'y155J3mVgnldcHV5enCVhXp5eYJ6gpWFlc2ezZ3pgubWlc2ezoLmhZXNgnl5lXl5eXBdJcqClXx5ecrWnumCeXlwXSUfb115ynmClZjo',
  'XV52eXl5epR8zdOCnpXp6F1dWyUlcHBvXV1bJXaYmOjNzdOCgnp6eXl5dnZ2mJiYfHx8KCgolJeXfHl5dpWVlXleXoKDgnlvb8B5eXaV',
  'enrX1s0oKCWReXnJynkoW154byh5W3l4H3l2XngfKFteb5ee1NOXl3rTeXx5eSh2Xm+Xg9R5lHkfeVvAl3qCeV54l3rTeV5vlIN5fHke',
  'W9N5eZeV1HleHnaDecqXeXny1Jd5H1t4Xh6Rg3nKl3l51Hl5l3p5AQ==',
 ],
 [
  'AGx5AVF5BAB5eXnxoXmdeQBseXnKenl58oYAeHl5dXl5eXl5eXl5KHl5KHh5BHUoeeV6eYblLHh5ee55oWwoeHl5gnl95Xmgyn3ueqHl',
  'eqDKfZ15fZR5eV55dQR55Xl8eXl1eYaUeXl6fIWgnXV2cHB5eXnKeXl6enx8fHmCgnl5eV5eXg2ChoaFfHx5eXZt5uV5eXkNeX16ecmU',
  'goLO5mwnXlV5eSh5eXl4eXl2eXlweXleeXkNcHaTzeadecuUcHlezZ6FepR5lNbmMXAkcHl5yoLOgnQncHh5eHmUeZTNlM2CzoKVhZXN',
  'nc2ClYKVzXl5gnp5eShwyZ7NgpV5eSVweZTN1np5gnqV6IV5eXmClZhwXXl2eYJ5lZfN1tOeJXBweF55dnl5eXl5eXl5eXl5eYLUnpWX',
  'mM3KzYJ5gnleeV6C1J6VlJV5dnl2lZ6VeZR5gtSDenl6ydPWeXB5H3yXeZ3Ug3qCysqXl5XU1NZ4cCh5eXl4eXl5lHl5ynl8eXp5eXx5',
  'eXl5dnl4H3lbXZeYg9N8l3mCeZHU6KF505d2eXmX1Jd9ecqX1OiheXmX1Jfvenl51JfUK3l5eXnKl9SX1B95eXl5eXnTl4N5eXl5eXnK',
  'l9SX1JfUl9SX1JfUl9SX1JfUl9SX1JfUl9R8eXl5eXl5ee7ymNSX1JfUl3l5lNR5eXmU1PJ9eZeDXnh5l5XUecp5lNTXfHmXedTxl3l5',
  'edPNl3pbeXl5l3rU8Zd5dnkfeV55gnmXlNTT6JjvW3lweXl5eYJ5fJSD08qXlIPUzZeYg9TWl5ie1Nbol5XU1M2Xl3p6eXx5eHkodnZe',
  '6OiYg9TUeXyXeXmCKHZ2Xs3ol3p6gyh5ecfW1peUlHpwcCiCg9R5eXnKzc2FeXmUl5foenl5lZWVfXBweYODnigoeYKCgp6VlX1wcHl6',
  'epWYl+h5eHh5eXnNzcqCdiUleXlweXp6lJd8zdbT056elenp6HleXnYoKHl5eXh5eXZ5eXl5enl5eSh5eXl4eXl2gnqVlHzKeYJ5eXl5',
  'KHlweNbXnp6Y6M3TgnqUeXl5cHnW1J6VmM3Kgnl5eSV56c3Tgnp5AQ==',
 ],
 [
  'dnnKec2CzoLpGW1dJV0lcJ3p1pXWns6ClXyVzYJ5eXme6daVzYJ6KHB4lc2CXiVwgnp5eYJ5lJfN09OeRHBwXV55JSh5cHh4XnZ2KHBw',
  'cF3W1oODg5WUlHl2diVtmJh8fHklnZ6VlJR6aFteeHmCys2XlyZ2W3l4ecp5fJR6g9PNl5eD1NOXl5XU03yXlYPTfJd5gnl5eXgfeVt4',
  'eXrUl3x5yihbeJR51HxbeXl605deb3mCeXnvl9R8dnl5enl51pfUKFsedh55ynl5edSX1JfUl9SX1JfUl9SX1JfUl9SXg3l5eXl5eXl5',
  'Hltv1JfUeXl5eShbk9SXeXl5edSX1HZ5ys2X1GJ5eXyX1IJ4KHaUesrNl9RfeR95fHl503yUntTNcB9bXnkfeXl5eHl5dpR5edPT6JeV',
  'g9TNl5d6g9N8l5R6gsp5eXl5cB951NTWfJeUenl5eXZbys2Xl3l6eR8oJYLTynl2ecrNzXx5eXmXl5d5eHiUlZV6cHBwenp6l5eXeXh4',
  'k5R5ys3NfFtbW3koKIKCeZSVlHleeXl5ynmCeXqVlHzNytOCg5WVl83N04KDlZWXzcqCgnqVeXzKeXl5eXl2KHBwXcmDnpWUzdN5eZRe',
  'JXmU6NaDgpV8dnl5b10leZXNKHB5yoKVmHl5eXBdJXl5zShwXXZ5lXwlcF15eXnWnul8eXnKgpV8JXBdeXl5gpXNKHBddnl5eZXNgnBd',
  'JXl5eZTNecqClc2e6dZwXSVwXXZeJXB5eV55eXmCenmUzXnKgpV5lc2CzYKVgpXNlM2Cy4KVeZXNec2CeYJ6eZR5eXlwDHDJldaVzZ3N',
  'gsqCeXl5eV15XSVdds2dzYLKeXlweXAMcHiVgpV5eXledl2UzZV8eXleJV52zZR8eXZenc2VfHl5XiVdbXyUeV52XZR8enldcHiVgnlw',
  'J3CCynkoVSXJeXnKlYWVdnh5ecuUDXB2eHl5y5SCfW0nXnl5lIJ85ihdcHZ4eXnKlILN5p1ecHYneXl5eYJ8y5SFVW0kXnB2J3l5eXl5',
  'ecuUgnzLnYXO5igMVW0nXnB2J15wdideeXl5eXl5eXl5eXl5eXl5AQ==',
 ],
];
