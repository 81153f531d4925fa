/** The high half of a 64 × 64 bit product, which WebAssembly has no instruction for in this V8. */
import type { Helper } from '../ir/builder.ts';

export const mulHiU: Helper = {
  name: 'mulHiU',
  params: ['i64', 'i64'],
  results: ['i64'],
  effect: 'pure',
  build(ir, a, b) {
    const { i64 } = ir;
    if (a === undefined || b === undefined) return;
    const mask = ir.const64(0xffffffff);
    const s = ir.const64(32);
    const al = i64.and(a, mask);
    const ah = i64.shr_u(a, s);
    const bl = i64.and(b, mask);
    const bh = i64.shr_u(b, s);
    const t = i64.mul(al, bl);
    const u = i64.add(i64.mul(ah, bl), i64.shr_u(t, s));
    const v = i64.add(i64.mul(al, bh), i64.and(u, mask));
    ir.ret([i64.add(i64.add(i64.mul(ah, bh), i64.shr_u(u, s)), i64.shr_u(v, s))]);
  },
};

export const mulHiS: Helper = {
  name: 'mulHiS',
  params: ['i64', 'i64'],
  results: ['i64'],
  effect: 'pure',
  build(ir, a, b) {
    const { i64 } = ir;
    if (a === undefined || b === undefined) return;
    const [high] = ir.call(mulHiU, [a, b]);
    const sign = ir.const64(63);
    const correction = i64.add(i64.and(i64.shr_s(a, sign), b), i64.and(i64.shr_s(b, sign), a));
    ir.ret([i64.sub(high as typeof a, correction)]);
  },
};
