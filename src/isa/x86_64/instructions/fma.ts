/**
 * FMA3. The three digits of a mnemonic say which operands are multiplied and which is added: 132 is op1·op3 + op2,
 * 213 op2·op1 + op3, 231 op2·op3 + op1; the order is also that in which a NaN operand is looked for.
 */
import type { Value } from '../../../ir/builder.ts';
import { enc, instruction, type InstructionOptions, type Semantics } from '../declare.ts';
import { Hpd, Hps, Hsd, Hss, r, rw, Vpd, Vps, Vsd, Vss, Wpd, Wps, Wsd, Wss } from '../operands.ts';
import { mergeLow, type Shape } from '../simd/float.ts';
import { type FmaSigns, multiplyAdd } from '../simd/fma.ts';
import { both, readHalves, writeHalves } from '../simd/vex.ts';

const FMA: InstructionOptions = { group: 'fma', cpuid: 'fma' };
/** By the digits: (op1, op2, op3) → (x, y, z). */
const ORDERS = {
  132: (a: Value, b: Value, c: Value) => [a, c, b],
  213: (a: Value, b: Value, c: Value) => [b, a, c],
  231: (a: Value, b: Value, c: Value) => [b, c, a],
} as const satisfies Record<number, (a: Value, b: Value, c: Value) => [Value, Value, Value]>;
type Order = keyof typeof ORDERS;

const packed = (shape: Shape, order: Order, signs: FmaSigns): Semantics => (x, d, b, c) => {
  const [c0, c1] = readHalves(x, c);
  const [b0, b1] = readHalves(x, b);
  const [a0, a1] = readHalves(x, d);
  const of = (p: Value, q: Value, s: Value): Value => multiplyAdd(x.ir, shape, ...ORDERS[order](p, q, s), signs);
  const low = of(a0, b0, c0);
  writeHalves(x, d, low, a1 === undefined ? undefined : of(a1, b1 as Value, c1 as Value));
};
const scalar = (shape: Shape, order: Order, signs: FmaSigns): Semantics => (x, d, b, c) => {
  const third = x.readVector(c);
  const first = x.readVector(d);
  const v = multiplyAdd(x.ir, shape, ...ORDERS[order](first, x.readVector(b), third), signs, true);
  x.writeVector(d, mergeLow(x.ir, first, v, shape));
};

const plus = { negateProduct: false, subtract: 'none' } as const;
const minus = { negateProduct: false, subtract: 'all' } as const;
const negatedPlus = { negateProduct: true, subtract: 'none' } as const;
const negatedMinus = { negateProduct: true, subtract: 'all' } as const;
for (const [order, base] of [[132, 0x90], [213, 0xa0], [231, 0xb0]] as const) {
  const opcode = (n: number): string => (base + n).toString(16).toUpperCase();
  for (const [name, at, signs] of [
    ['vfmaddsub', 6, { negateProduct: false, subtract: 'even' }], ['vfmsubadd', 7, { negateProduct: false, subtract: 'odd' }],
    ['vfmadd', 8, plus], ['vfmsub', 0xa, minus], ['vfnmadd', 0xc, negatedPlus], ['vfnmsub', 0xe, negatedMinus],
  ] as const) {
    instruction(`${name}${order}ps`, FMA, both(undefined, `66.0F38.W0 ${opcode(at)} /r`, rw(Vps), r(Hps), r(Wps)), packed('f32x4', order, signs));
    instruction(`${name}${order}pd`, FMA, both(undefined, `66.0F38.W1 ${opcode(at)} /r`, rw(Vpd), r(Hpd), r(Wpd)), packed('f64x2', order, signs));
    if (at < 8) continue;
    instruction(`${name}${order}ss`, FMA, [enc(`VEX.LIG.66.0F38.W0 ${opcode(at + 1)} /r`, rw(Vss), r(Hss), r(Wss))], scalar('f32x4', order, signs));
    instruction(`${name}${order}sd`, FMA, [enc(`VEX.LIG.66.0F38.W1 ${opcode(at + 1)} /r`, rw(Vsd), r(Hsd), r(Wsd))], scalar('f64x2', order, signs));
  }
}
