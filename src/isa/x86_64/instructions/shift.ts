/** SHL SHR SAR, ROL ROR RCL RCR, SHLD SHRD. */
import type { Value } from '../../../ir/builder.ts';
import { RFLAGS } from '../cpu-state.ts';
import { enc, type Encoding, instruction } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { CL, Eb, Ev, Gv, Ib, ONE, type Operand, r, rw } from '../operands.ts';

const forms = (digit: number): Encoding[] => [
  enc(`C0 /${digit} ib`, rw(Eb), r(Ib)),
  enc(`C1 /${digit} ib`, rw(Ev), r(Ib)),
  enc(`D0 /${digit}`, rw(Eb), r(ONE)),
  enc(`D1 /${digit}`, rw(Ev), r(ONE)),
  enc(`D2 /${digit}`, rw(Eb), r(CL)),
  enc(`D3 /${digit}`, rw(Ev), r(CL)),
];

/**
 * The count as the processor masks it: a constant, or the i32 value of CL. `apply` gets it in the value's own type and,
 * if it is constant, as a number; the flags it records hold only if the count is not 0.
 */
function counted(x: Emitter, count: Operand, apply: (count: Value, known: number) => void): void {
  const { ir } = x;
  const mask = x.size === 64 ? 63 : 31;
  const wide = (v: Value): Value => (x.size === 64 ? ir.i64.extend_i32_u(v) : v);
  const raw = ir.i32.and(x.read(count), ir.const32(mask));
  const known = ir.constantOf(raw);
  if (known !== undefined) apply(x.const(Number(known)), Number(known));
  else apply(wide(raw), -1);
}
/** Record flags now, or (count from CL) only where it is not 0. */
function flagsUnlessZero(x: Emitter, count: Value, known: number, record: () => void): void {
  if (known > 0) record();
  else if (known < 0) x.flags.when(x.n.ne(count, x.const(0)), record);
}
/** Bit 0 of a value, as i32. */
const lowBit = (x: Emitter, v: Value): Value => x.ir.i32.and(x.size === 64 ? x.ir.i32.wrap_i64(v) : v, x.ir.const32(1));
/** CF and OF (i32, 0 or 1) in place. */
const carryOverflow = (x: Emitter, carry: Value, overflow: Value): Value => x.ir.i32.or(carry, x.ir.i32.shl(overflow, x.ir.const32(11)));
/** The same with AF set. */
const shiftFlags = (x: Emitter, carry: Value, overflow: Value): Value => x.ir.i32.or(carryOverflow(x, carry, overflow), x.ir.const32(RFLAGS.AF));
/** Whether the two top bits of a result differ. */
const topBitsDiffer = (x: Emitter, res: Value): Value => x.ir.i32.xor(x.topBit(res), lowBit(x, x.n.shr_u(res, x.const(x.size - 2))));

// Undefined flags, as AMD (Zen) leaves them: AF is 1; OF for other counts than 1 is computed from the result as for 1: for
// left shifts the top bit differs from CF, for right shifts the two top bits differ.
const SHIFT_OPTIONS = { flags: 'oszapc', undefinedFlags: 'oa' } as const;
for (const digit of [4, 6]) {
  instruction(digit === 4 ? 'shl' : 'sal', SHIFT_OPTIONS, forms(digit), (x, dst, count) => {
    counted(x, count, (c, known) => {
      const { n, size } = x;
      const a = x.read(dst);
      const full = n.shl(a, c);
      const res = x.trunc(full);
      x.write(dst, res);
      flagsUnlessZero(x, c, known, () => {
        // The last bit shifted out: above the narrow value, or (32, 64 bits) at size − count.
        const carry = size < 32 ? lowBit(x, n.shr_u(full, x.const(size))) : lowBit(x, n.shr_u(a, n.sub(x.const(0), c)));
        x.flags.result(size, res, shiftFlags(x, carry, x.ir.i32.xor(carry, x.topBit(res))));
      });
    });
  });
}
instruction('shr', SHIFT_OPTIONS, forms(5), (x, dst, count) => {
  counted(x, count, (c, known) => {
    const { n, size } = x;
    const a = x.read(dst);
    const res = n.shr_u(a, c);
    x.write(dst, res);
    flagsUnlessZero(x, c, known, () => {
      const carry = lowBit(x, n.shr_u(a, n.sub(c, x.const(1, size === 64 ? 64 : 32))));
      x.flags.result(size, res, shiftFlags(x, carry, topBitsDiffer(x, res)));
    });
  });
});
instruction('sar', SHIFT_OPTIONS, forms(7), (x, dst, count) => {
  counted(x, count, (c, known) => {
    const { n, size } = x;
    const a = x.signed(x.read(dst));
    const res = x.trunc(n.shr_s(a, c));
    x.write(dst, res);
    flagsUnlessZero(x, c, known, () => x.flags.result(size, res, x.ir.i32.or(lowBit(x, n.shr_s(a, n.sub(c, x.const(1, size === 64 ? 64 : 32)))), x.ir.const32(RFLAGS.AF))));
  });
});

const ROTATE_OPTIONS = { flags: 'oc', undefinedFlags: 'o' } as const;
const CARRY_OVERFLOW = RFLAGS.CF | RFLAGS.OF;

/** A narrow value rotated left by `c` (already modulo the size), untruncated. */
const rotated = (x: Emitter, a: Value, c: Value): Value => {
  const { i32 } = x.ir;
  return i32.or(i32.shl(a, c), i32.shr_u(a, i32.sub(x.ir.const32(x.size), c)));
};
instruction('rol', ROTATE_OPTIONS, forms(0), (x, dst, count) => {
  counted(x, count, (c, known) => {
    const { n, size, ir } = x;
    const a = x.read(dst);
    const res = size >= 32 ? n.rotl(a, c) : x.trunc(rotated(x, a, ir.i32.and(c, ir.const32(size - 1))));
    x.write(dst, res);
    flagsUnlessZero(x, c, known, () => {
      const carry = lowBit(x, res);
      x.flags.replace(CARRY_OVERFLOW, carryOverflow(x, carry, ir.i32.xor(carry, x.topBit(res))));
    });
  });
});
instruction('ror', ROTATE_OPTIONS, forms(1), (x, dst, count) => {
  counted(x, count, (c, known) => {
    const { n, size, ir } = x;
    const a = x.read(dst);
    const res = size >= 32 ? n.rotr(a, c) : x.trunc(rotated(x, a, ir.i32.and(ir.i32.sub(ir.const32(size), c), ir.const32(size - 1))));
    x.write(dst, res);
    flagsUnlessZero(x, c, known, () => {
      const carry = x.topBit(res);
      x.flags.replace(CARRY_OVERFLOW, carryOverflow(x, carry, topBitsDiffer(x, res)));
    });
  });
});

/**
 * The counts of RCL and RCR go round size + 1 bits. Gives the count so reduced (for 8 and 16 bits: modulo 9 and 17, from
 * a masked count below 32).
 */
function reduced(x: Emitter, c: Value): Value {
  if (x.size >= 32) return c;
  const { i32 } = x.ir;
  return i32.rem_u(c, x.ir.const32(x.size + 1));
}
instruction('rcl', { ...ROTATE_OPTIONS, reads: 'c' }, forms(2), (x, dst, count) => {
  counted(x, count, (c, known) => {
    const { n, size, ir } = x;
    const a = x.read(dst);
    if (known === 0) {
      x.write(dst, a);
      return;
    }
    const carryIn = x.flags.carry();
    const k = reduced(x, c);
    const one = x.const(1, size === 64 ? 64 : 32);
    const rest = n.sub(x.const(size, size === 64 ? 64 : 32), k);
    const incoming = n.shl(x.extend(carryIn, 32, size), n.sub(k, one));
    const turned = x.trunc(n.or(n.or(n.shl(a, k), incoming), n.shr_u(n.shr_u(a, one), rest)));
    const still = x.isZero(k);
    const res = ir.select(still, a, turned);
    x.write(dst, res);
    flagsUnlessZero(x, c, known, () => {
      const carry = ir.select(still, carryIn, lowBit(x, n.shr_u(a, rest)));
      x.flags.replace(CARRY_OVERFLOW, carryOverflow(x, carry, ir.i32.xor(carry, x.topBit(res))));
    });
  });
});
instruction('rcr', { ...ROTATE_OPTIONS, reads: 'c' }, forms(3), (x, dst, count) => {
  counted(x, count, (c, known) => {
    const { n, size, ir } = x;
    const a = x.read(dst);
    if (known === 0) {
      x.write(dst, a);
      return;
    }
    const carryIn = x.flags.carry();
    const k = reduced(x, c);
    const one = x.const(1, size === 64 ? 64 : 32);
    const rest = n.sub(x.const(size, size === 64 ? 64 : 32), k);
    const incoming = n.shl(x.extend(carryIn, 32, size), rest);
    const turned = x.trunc(n.or(n.or(n.shr_u(a, k), incoming), n.shl(n.shl(a, one), rest)));
    const still = x.isZero(k);
    const res = ir.select(still, a, turned);
    x.write(dst, res);
    flagsUnlessZero(x, c, known, () => {
      const carry = ir.select(still, carryIn, lowBit(x, n.shr_u(a, n.sub(k, one))));
      x.flags.replace(CARRY_OVERFLOW, carryOverflow(x, carry, topBitsDiffer(x, res)));
    });
  });
});

/**
 * SHLD, SHRD. 16 bits with counts 17 … 31 (undefined by the manual): as on AMD, a second copy of the source follows the
 * first and CF is 0; SHLD's OF is CF from count 16 on. The other undefined flags as for the plain shifts.
 */
function doubleShift(x: Emitter, dst: Operand, src: Operand, count: Operand, left: boolean): void {
  counted(x, count, (c, known) => {
    const { n, size, ir } = x;
    const a = x.read(dst);
    const b = x.read(src);
    if (known === 0) {
      x.write(dst, a);
      return;
    }
    const one = x.const(1, size === 64 ? 64 : 32);
    let res: Value;
    let carry: Value;
    if (size === 16) {
      const { i64 } = ir;
      const wideA = i64.extend_i32_u(a);
      const wideB = i64.extend_i32_u(b);
      const wideC = i64.extend_i32_u(c);
      // left: a:b:b from the top of 48 bits; right: b:b:a from the bottom.
      const triple = i64.or(i64.or(i64.shl(left ? wideA : wideB, ir.const64(32)), i64.shl(wideB, ir.const64(16))), left ? wideB : wideA);
      const shifted = left ? i64.shr_u(i64.shl(triple, wideC), ir.const64(32)) : i64.shr_u(triple, wideC);
      res = x.trunc(ir.i32.wrap_i64(shifted));
      const out = left ? i64.shr_u(i64.shl(triple, wideC), ir.const64(48)) : i64.shr_u(triple, i64.sub(wideC, ir.const64(1)));
      carry = ir.i32.and(ir.i32.wrap_i64(out), ir.i32.le_u(c, ir.const32(16)));
    } else {
      const rest = n.sub(x.const(size), c);
      // (b shifted by size - count) in two steps, for count 0
      const shifted = left ? n.or(n.shl(a, c), n.shr_u(n.shr_u(b, one), n.sub(rest, one))) : n.or(n.shr_u(a, c), n.shl(n.shl(b, one), n.sub(rest, one)));
      res = shifted;
      carry = lowBit(x, left ? n.shr_u(a, rest) : n.shr_u(a, n.sub(c, one)));
    }
    x.write(dst, res);
    flagsUnlessZero(x, c, known, () => {
      let top = left ? x.topBit(res) : topBitsDiffer(x, res);
      if (left && size === 16) top = ir.i32.and(top, ir.i32.lt_u(c, ir.const32(16)));
      const overflow = left ? ir.i32.xor(carry, top) : top;
      x.flags.result(size, res, shiftFlags(x, carry, overflow));
    });
  });
}
instruction('shld', SHIFT_OPTIONS, [enc('0F A4 /r ib', rw(Ev), r(Gv), r(Ib)), enc('0F A5 /r', rw(Ev), r(Gv), r(CL))], (x, dst, src, count) => doubleShift(x, dst, src, count, true));
instruction('shrd', SHIFT_OPTIONS, [enc('0F AC /r ib', rw(Ev), r(Gv), r(Ib)), enc('0F AD /r', rw(Ev), r(Gv), r(CL))], (x, dst, src, count) => doubleShift(x, dst, src, count, false));
