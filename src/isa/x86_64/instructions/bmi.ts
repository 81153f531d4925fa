/** BMI1, BMI2, ADX. */
import type { Helper, Value } from '../../../ir/builder.ts';
import { RDX, RFLAGS } from '../cpu-state.ts';
import { enc, instruction } from '../declare.ts';
import { COND } from '../flags.ts';
import { By, Ey, Gy, Ib, r, rw, w } from '../operands.ts';

// Undefined flags of this file, as AMD leaves them: AF 0 (BEXTR: 1), PF by the result, SF of BEXTR 0.
instruction('andn', { flags: 'oszapc', undefinedFlags: 'ap', cpuid: 'bmi1' }, [enc('VEX.LZ.NP.0F38 F2 /r', w(Gy), r(By), r(Ey))], (x, dst, first, second) => {
  const res = x.n.and(x.n.xor(x.read(first), x.const(-1)), x.read(second));
  x.write(dst, res);
  x.flags.logic(x.size, res);
});
instruction('bextr', { flags: 'oszapc', undefinedFlags: 'sap', cpuid: 'bmi1' }, [enc('VEX.LZ.NP.0F38 F7 /r', w(Gy), r(Ey), r(By))], (x, dst, src, control) => {
  const { ir, n, size } = x;
  const c = x.read(control);
  const v = x.read(src);
  const start = n.and(c, x.const(0xff));
  const length = n.and(n.shr_u(c, x.const(8)), x.const(0xff));
  const limit = x.const(size);
  const shifted = ir.select(n.lt_u(start, limit), n.shr_u(v, start), x.const(0));
  const mask = ir.select(n.lt_u(length, limit), n.sub(n.shl(x.const(1), length), x.const(1)), x.const(-1));
  const res = n.and(shifted, mask);
  x.write(dst, res);
  const { i32 } = ir;
  const low = i32.and(size === 64 ? i32.wrap_i64(res) : res, ir.const32(0xff));
  const even = i32.eqz(i32.and(i32.popcnt(low), ir.const32(1)));
  x.flags.explicit(i32.or(i32.or(i32.shl(x.isZero(res), ir.const32(6)), i32.shl(even, ir.const32(2))), ir.const32(RFLAGS.AF)));
});
const BLS = { flags: 'oszapc', undefinedFlags: 'ap', cpuid: 'bmi1' } as const;
instruction('blsr', BLS, [enc('VEX.LZ.NP.0F38 F3 /1', w(By), r(Ey))], (x, dst, src) => {
  const v = x.read(src);
  const res = x.n.and(v, x.n.sub(v, x.const(1)));
  x.write(dst, res);
  x.flags.result(x.size, res, x.isZero(v));
});
instruction('blsmsk', BLS, [enc('VEX.LZ.NP.0F38 F3 /2', w(By), r(Ey))], (x, dst, src) => {
  const v = x.read(src);
  const res = x.n.xor(v, x.n.sub(v, x.const(1)));
  x.write(dst, res);
  x.flags.result(x.size, res, x.isZero(v));
});
instruction('blsi', BLS, [enc('VEX.LZ.NP.0F38 F3 /3', w(By), r(Ey))], (x, dst, src) => {
  const v = x.read(src);
  const res = x.n.and(v, x.n.sub(x.const(0), v));
  x.write(dst, res);
  x.flags.result(x.size, res, x.ir.i32.eqz(x.isZero(v)));
});

instruction('bzhi', { flags: 'oszapc', undefinedFlags: 'ap', cpuid: 'bmi2' }, [enc('VEX.LZ.NP.0F38 F5 /r', w(Gy), r(Ey), r(By))], (x, dst, src, index) => {
  const { ir, n, size } = x;
  const i = n.and(x.read(index), x.const(0xff));
  const v = x.read(src);
  const inside = n.lt_u(i, x.const(size));
  const res = ir.select(inside, n.and(v, n.sub(n.shl(x.const(1), i), x.const(1))), v);
  x.write(dst, res);
  x.flags.result(size, res, ir.i32.eqz(inside));
});
instruction('mulx', { cpuid: 'bmi2' }, [enc('VEX.LZ.F2.0F38 F6 /r', w(Gy), w(By), r(Ey))], (x, high, low, src) => {
  const { ir } = x;
  const b = x.read(src);
  if (x.size === 64) {
    const a = ir.get(RDX);
    const lowValue = ir.i64.mul(a, b);
    const highValue = ir.mulHiU(a, b);
    x.write(low, lowValue);
    x.write(high, highValue); // last: it wins if both are one register
    return;
  }
  const product = ir.i64.mul(ir.i64.extend_i32_u(x.gpr(2, 32)), ir.i64.extend_i32_u(b));
  x.write(low, ir.i32.wrap_i64(product));
  x.write(high, ir.i32.wrap_i64(ir.i64.shr_u(product, ir.const64(32))));
});
/** One bit of the mask a step, lowest first. */
export const PDEP: Helper = {
  name: 'pdep',
  params: ['i64', 'i64'],
  results: ['i64'],
  effect: 'pure',
  build(ir, value, mask) {
    const { i64 } = ir;
    const left = ir.temp('i64');
    const source = ir.temp('i64');
    const res = ir.temp('i64');
    ir.set(left, mask);
    ir.set(source, value);
    ir.set(res, ir.const64(0));
    ir.if(i64.ne(mask, ir.const64(0)), () => {
      ir.loop(() => {
        const m = ir.get(left);
        const s = ir.get(source);
        const lowest = i64.and(m, i64.sub(ir.const64(0), m));
        ir.set(res, i64.or(ir.get(res), i64.and(lowest, i64.sub(ir.const64(0), i64.and(s, ir.const64(1))))));
        ir.set(source, i64.shr_u(s, ir.const64(1)));
        const rest = i64.xor(m, lowest);
        ir.set(left, rest);
        return i64.ne(rest, ir.const64(0));
      });
    });
    ir.ret([ir.get(res)]);
  },
};
export const PEXT: Helper = {
  name: 'pext',
  params: ['i64', 'i64'],
  results: ['i64'],
  effect: 'pure',
  build(ir, value, mask) {
    const { i64 } = ir;
    const left = ir.temp('i64');
    const place = ir.temp('i64');
    const res = ir.temp('i64');
    ir.set(left, mask);
    ir.set(place, ir.const64(1));
    ir.set(res, ir.const64(0));
    ir.if(i64.ne(mask, ir.const64(0)), () => {
      ir.loop(() => {
        const m = ir.get(left);
        const lowest = i64.and(m, i64.sub(ir.const64(0), m));
        const bit = ir.get(place);
        ir.set(res, i64.or(ir.get(res), ir.select(i64.eqz(i64.and(value, lowest)), ir.const64(0), bit)));
        ir.set(place, i64.shl(bit, ir.const64(1)));
        const rest = i64.xor(m, lowest);
        ir.set(left, rest);
        return i64.ne(rest, ir.const64(0));
      });
    });
    ir.ret([ir.get(res)]);
  },
};
for (const [name, prefix, helper] of [['pdep', 'F2', PDEP], ['pext', 'F3', PEXT]] as const) {
  instruction(name, { cpuid: 'bmi2' }, [enc(`VEX.LZ.${prefix}.0F38 F5 /r`, w(Gy), r(By), r(Ey))], (x, dst, src, mask) => {
    const { ir, size } = x;
    const res = ir.call(helper, [x.extend(x.read(src), size, 64), x.extend(x.read(mask), size, 64)])[0] as Value;
    x.write(dst, size === 64 ? res : ir.i32.wrap_i64(res));
  });
}
instruction('rorx', { cpuid: 'bmi2' }, [enc('VEX.LZ.F2.0F3A F0 /r ib', w(Gy), r(Ey), r(Ib))], (x, dst, src) => {
  x.write(dst, x.n.rotr(x.read(src), x.const(x.insn.imm & (x.size - 1))));
});
for (const [name, prefix, op] of [['shlx', '66', 'shl'], ['sarx', 'F3', 'shr_s'], ['shrx', 'F2', 'shr_u']] as const) {
  instruction(name, { cpuid: 'bmi2' }, [enc(`VEX.LZ.${prefix}.0F38 F7 /r`, w(Gy), r(Ey), r(By))], (x, dst, src, count) => {
    x.write(dst, x.n[op](x.read(src), x.read(count))); // wasm masks the count as the processor does
  });
}

for (const [name, prefix, condition, flag, shift] of [['adcx', '66', COND.b, RFLAGS.CF, 0], ['adox', 'F3', COND.o, RFLAGS.OF, 11]] as const) {
  instruction(name, { flags: name === 'adcx' ? 'c' : 'o', reads: name === 'adcx' ? 'c' : 'o', cpuid: 'adx' }, [enc(`${prefix} 0F 38 F6 /r`, rw(Gy), r(Ey))], (x, dst, src) => {
    const { ir, n } = x;
    const carryIn = x.flags.condition(condition);
    const b = x.read(src);
    const a = x.read(dst);
    const partial = n.add(a, b);
    const res = n.add(partial, x.extend(carryIn, 32, x.size));
    const carry = ir.i32.or(n.lt_u(partial, a), n.lt_u(res, partial));
    x.write(dst, res);
    x.flags.replace(flag, shift === 0 ? carry : ir.i32.shl(carry, ir.const32(shift)));
  });
}
