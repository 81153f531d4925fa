/**
 * The status flags, lazily. An instruction that sets flags records what it did (cc_op) and with what (cc_a, cc_b, cc_c);
 * whoever reads a flag computes it from those. With cc_op known while translating, a condition is one comparison
 * (`cmp a,b; jl` is i64.lt_s); unknown, a pure helper computes all six. Recordings nobody reads are dead variables,
 * which the region passes remove.
 *
 * cc_op = class * 4 + log2(operand bytes); narrow values are zero-extended in cc_a, cc_b. Classes:
 *
 *   class   cc_a            cc_b                    cc_c     CF                  OF
 *   flags   the six bits    –                       –        as RFLAGS lays them out
 *   add     result          second operand          –        res <u b            both operands' sign differs from res
 *   sub     first operand   second operand          –        a <u b              a, b differ in sign, res from a
 *   logic   result          –                       –        0                   0
 *   adc     result          second operand          carry    carries out         as add
 *   sbb     first operand   second operand          borrow   borrows             as sub
 *   inc     result          CF before (0, 1)        –        cc_b                res = min
 *   dec     result          CF before (0, 1)        –        cc_b                res = max
 *   result  result          CF AF OF bits in place  –        cc_b                cc_b
 *   float   first bits      second bits             –        less or unordered   0 (size 4 bytes: f32; 8: f64)
 *
 * ZF SF PF come from the result (for float: ZF equal or unordered, PF unordered, SF 0).
 * AF: bit 4 of a ^ b ^ res; 0 after logic, as Intel and AMD both leave it.
 */
import type { Builder, Helper, Value } from '../../ir/builder.ts';
import { CC_A, CC_B, CC_C, CC_OP, RFLAGS, STATUS_FLAGS } from './cpu-state.ts';

export const CC = { flags: 0, add: 4, sub: 8, logic: 12, adc: 16, sbb: 20, inc: 24, dec: 28, result: 32, float: 36 } as const;
/** Number of cc_op values. */
const CC_COUNT = 40;

/** 8 → 0, 16 → 1, 32 → 2, 64 → 3. */
const sizeLog = (size: number): number => (size === 64 ? 3 : size === 32 ? 2 : size === 16 ? 1 : 0);

/** Condition codes as in the low four opcode bits of Jcc, SETcc, CMOVcc; odd ones negate. */
export const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'] as const;
export const COND = { o: 0, no: 1, b: 2, ae: 3, e: 4, ne: 5, be: 6, a: 7, s: 8, ns: 9, p: 10, np: 11, l: 12, ge: 13, le: 14, g: 15 } as const;

/** Records and reads flags in the block being emitted. One per Emitter. */
export class Flags {
  #ir!: Builder;
  /** cc_op if it is known here, else -1. */
  known = -1;

  begin(ir: Builder): void {
    this.#ir = ir;
    this.known = -1;
  }

  // ---- recording; `size` is 8, 16, 32 (values i32, zero-extended) or 64 (i64) ----

  add(size: number, result: Value, b: Value): void {
    this.#record(CC.add, size, result, b);
  }
  /** Also cmp, neg (a = 0), scas, cmps, cmpxchg. */
  sub(size: number, a: Value, b: Value): void {
    this.#record(CC.sub, size, a, b);
  }
  /** CF = OF = AF = 0. */
  logic(size: number, result: Value): void {
    this.#record(CC.logic, size, result, undefined);
  }
  /** `carry` an i32, 0 or 1. */
  adc(size: number, result: Value, b: Value, carry: Value): void {
    this.#ir.set(CC_C, this.#ir.i64.extend_i32_u(carry));
    this.#record(CC.adc, size, result, b);
  }
  sbb(size: number, a: Value, b: Value, borrow: Value): void {
    this.#ir.set(CC_C, this.#ir.i64.extend_i32_u(borrow));
    this.#record(CC.sbb, size, a, b);
  }
  /** CF stays. */
  inc(size: number, result: Value): void {
    const ir = this.#ir;
    const carry = ir.i64.extend_i32_u(this.carry());
    this.#record(CC.inc, size, result, undefined);
    ir.set(CC_B, carry);
  }
  dec(size: number, result: Value): void {
    const ir = this.#ir;
    const carry = ir.i64.extend_i32_u(this.carry());
    this.#record(CC.dec, size, result, undefined);
    ir.set(CC_B, carry);
  }
  /** ZF SF PF from the result; `bits` is an i32 with CF, AF, OF in place and nothing else. */
  result(size: number, result: Value, bits: Value): void {
    this.#record(CC.result, size, result, undefined);
    this.#ir.set(CC_B, this.#ir.i64.extend_i32_u(bits));
  }
  /** All six, as an i32 in RFLAGS layout with no other bit set. */
  explicit(bits: Value): void {
    this.#record(CC.flags, 8, bits, undefined);
  }
  /** Replace only the flags in `mask` (a constant) by those in `bits`, which has no others. */
  replace(mask: number, bits: Value): void {
    const { i32 } = this.#ir;
    this.explicit(i32.or(i32.and(this.all(), this.#ir.const32(STATUS_FLAGS & ~mask)), bits));
  }
  /** COMISD/UCOMISD and the like: f64 (or, `size` 32, f32) values. OF SF AF = 0. */
  float(size: 32 | 64, a: Value, b: Value): void {
    const ir = this.#ir;
    if (size === 64) this.#record(CC.float, 64, ir.i64.reinterpret_f64(a), ir.i64.reinterpret_f64(b));
    else this.#record(CC.float, 32, ir.i32.reinterpret_f32(a), ir.i32.reinterpret_f32(b));
  }
  /**
   * Record under a condition known at run time only: `record` records as usual, but where the i32 `condition` is zero
   * all flags stay as they were (shifts by CL).
   */
  when(condition: Value, record: () => void): void {
    const ir = this.#ir;
    const before = this.known;
    const op = ir.get(CC_OP);
    const a = ir.get(CC_A);
    const b = ir.get(CC_B);
    const c = ir.get(CC_C);
    record();
    ir.set(CC_A, ir.select(condition, ir.get(CC_A), a));
    ir.set(CC_B, ir.select(condition, ir.get(CC_B), b));
    if (ir.get(CC_C) !== c) ir.set(CC_C, ir.select(condition, ir.get(CC_C), c));
    if (this.known !== before) {
      ir.set(CC_OP, ir.select(condition, ir.get(CC_OP), op));
      this.known = -1;
    }
  }

  #record(kind: number, size: number, a: Value, b: Value | undefined): void {
    const ir = this.#ir;
    const op = kind + sizeLog(size);
    if (this.known !== op) ir.set(CC_OP, ir.const32(op));
    this.known = op;
    if (size === 64) {
      ir.set(CC_A, a);
      if (b !== undefined) ir.set(CC_B, b);
    } else {
      ir.set(CC_A, ir.i64.extend_i32_u(a));
      if (b !== undefined) ir.set(CC_B, ir.i64.extend_i32_u(b));
    }
  }

  // ---- reading ----

  /** CF as i32 0 or 1. */
  carry(): Value {
    const ir = this.#ir;
    if (this.known >= 0) return this.condition(COND.b);
    return ir.call(CC_CARRY, [ir.get(CC_OP), ir.get(CC_A), ir.get(CC_B), ir.get(CC_C)])[0] as Value;
  }
  /** All six flags as an i32 in RFLAGS layout. */
  all(): Value {
    const ir = this.#ir;
    if (this.known >= CC.flags && this.known < CC.add) return ir.i32.wrap_i64(ir.get(CC_A));
    return ir.call(CC_FLAGS, [ir.get(CC_OP), ir.get(CC_A), ir.get(CC_B), ir.get(CC_C)])[0] as Value;
  }
  /** Whether condition `code` (COND) holds: i32 0 or 1. */
  condition(code: number): Value {
    const ir = this.#ir;
    const base = code >> 1;
    const negate = (code & 1) !== 0;
    if (base === 1 && this.known < 0) return negate ? ir.i32.eqz(this.carry()) : this.carry();
    if (this.known < 0 || this.known < CC.add) return conditionOfFlags(ir, this.all(), base, negate);
    return conditionOfClass(ir, this.known & ~3, 8 << (this.known & 3), base, negate);
  }
}

/** Condition from a flags word. */
function conditionOfFlags(ir: Builder, f: Value, base: number, negate: boolean): Value {
  const { i32 } = ir;
  const bit = (n: number): Value => i32.and(n === 0 ? f : i32.shr_u(f, ir.const32(n)), ir.const32(1));
  let v: Value;
  switch (base) {
    case 0: v = bit(11); break;
    case 1: v = bit(0); break;
    case 2: v = bit(6); break;
    case 3: v = i32.ne(i32.and(f, ir.const32(RFLAGS.CF | RFLAGS.ZF)), ir.const32(0)); break;
    case 4: v = bit(7); break;
    case 5: v = bit(2); break;
    case 6: v = i32.xor(bit(7), bit(11)); break;
    default: v = i32.or(i32.xor(bit(7), bit(11)), bit(6));
  }
  return negate ? i32.eqz(v) : v;
}

/** Condition when the class and size of the last recording are known. */
function conditionOfClass(ir: Builder, kind: number, size: number, base: number, negate: boolean): Value {
  const { i32 } = ir;
  const wide = size === 64;
  const int = wide ? ir.i64 : ir.i32;
  const num = (n: number): Value => (wide ? ir.const64(n) : ir.const32(n));
  const value = (v: typeof CC_A): Value => (wide ? ir.get(v) : i32.wrap_i64(ir.get(v)));
  const not = (v: Value): Value => (negate ? i32.eqz(v) : v);
  if (kind === CC.float) {
    const f = wide ? ir.f64 : ir.f32;
    const a = wide ? ir.f64.reinterpret_i64(value(CC_A)) : ir.f32.reinterpret_i32(value(CC_A));
    const b = wide ? ir.f64.reinterpret_i64(value(CC_B)) : ir.f32.reinterpret_i32(value(CC_B));
    switch (base) {
      case 1: case 6: { // CF, and SF≠OF never: handled below for l
        if (base === 6) return ir.const32(negate ? 1 : 0);
        const ge = f.ge(a, b);
        return negate ? ge : i32.eqz(ge);
      }
      case 2: case 7: { // ZF: neither less nor greater; le is ZF too, as SF = OF
        const differ = i32.or(f.lt(a, b), f.gt(a, b));
        return negate ? differ : i32.eqz(differ);
      }
      case 3: { // CF or ZF
        const gt = f.gt(a, b);
        return negate ? gt : i32.eqz(gt);
      }
      case 5: {
        const unordered = i32.or(f.ne(a, a), f.ne(b, b));
        return not(unordered);
      }
      default:
        return ir.const32(negate ? 1 : 0);
    }
  }
  /** Signed comparison operand: narrow values get their sign. */
  const sx = (v: Value): Value => {
    if (size >= 32) return v;
    const k = ir.constantOf(v);
    if (k !== undefined) return ir.const32((Number(k) << (32 - size)) >> (32 - size));
    return size === 8 ? i32.extend8_s(v) : i32.extend16_s(v);
  };
  const mask = (v: Value): Value => (size >= 32 ? v : i32.and(v, ir.const32(size === 8 ? 0xff : 0xffff)));
  const a = value(CC_A);
  const isSub = kind === CC.sub || kind === CC.sbb;
  if (kind === CC.sub) {
    const b = value(CC_B);
    switch (base) {
      case 1: return negate ? int.ge_u(a, b) : int.lt_u(a, b);
      case 2: return negate ? int.ne(a, b) : int.eq(a, b);
      case 3: return negate ? int.gt_u(a, b) : int.le_u(a, b);
      case 6: return negate ? int.ge_s(sx(a), sx(b)) : int.lt_s(sx(a), sx(b));
      case 7: return negate ? int.gt_s(sx(a), sx(b)) : int.le_s(sx(a), sx(b));
      default: // from the result
    }
  }
  const borrow = (): Value => (wide ? ir.get(CC_C) : i32.wrap_i64(ir.get(CC_C)));
  const result = (): Value => (kind === CC.sub ? mask(int.sub(a, value(CC_B))) : kind === CC.sbb ? mask(int.sub(int.sub(a, value(CC_B)), borrow())) : a);
  const zero = (neg: boolean): Value => {
    const res = result();
    return neg ? int.ne(res, num(0)) : wide ? ir.i64.eqz(res) : i32.eqz(res);
  };
  const sign = (neg: boolean): Value => {
    const res = sx(result());
    return neg ? int.ge_s(res, num(0)) : int.lt_s(res, num(0));
  };
  const carry = (): Value => {
    switch (kind) {
      case CC.add: return int.lt_u(a, value(CC_B));
      case CC.adc: return i32.or(int.lt_u(a, value(CC_B)), i32.and(i32.wrap_i64(ir.get(CC_C)), int.eq(a, value(CC_B))));
      case CC.sub: return int.lt_u(a, value(CC_B));
      case CC.sbb: return i32.or(int.lt_u(a, value(CC_B)), i32.and(i32.wrap_i64(ir.get(CC_C)), int.eq(a, value(CC_B))));
      case CC.inc: case CC.dec: return i32.wrap_i64(ir.get(CC_B));
      case CC.result: return i32.and(i32.wrap_i64(ir.get(CC_B)), ir.const32(1));
      default: return ir.const32(0);
    }
  };
  const overflow = (): Value => {
    switch (kind) {
      case CC.logic: return ir.const32(0);
      case CC.inc: return int.eq(a, wide ? ir.const64(1n << 63n) : ir.const32(1 << (size - 1)));
      case CC.dec: return int.eq(a, wide ? ir.const64((1n << 63n) - 1n) : ir.const32((1 << (size - 1)) - 1));
      case CC.result: return i32.and(i32.shr_u(i32.wrap_i64(ir.get(CC_B)), ir.const32(11)), ir.const32(1));
      default: {
        const b = value(CC_B);
        let t: Value;
        if (isSub) t = int.and(int.xor(a, b), int.xor(a, result()));
        else {
          const first = kind === CC.adc ? int.sub(int.sub(a, b), borrow()) : int.sub(a, b);
          t = int.and(int.xor(a, b), int.xor(a, first));
        }
        return int.lt_s(sx(mask(t)), num(0));
      }
    }
  };
  switch (base) {
    case 0: return not(overflow());
    case 1: return not(carry());
    case 2: return zero(negate);
    case 3: return kind === CC.logic ? zero(negate) : not(i32.or(carry(), zero(false)));
    case 4: return sign(negate);
    case 5: {
      const low = wide ? i32.wrap_i64(result()) : result();
      const odd = i32.and(i32.popcnt(i32.and(low, ir.const32(0xff))), ir.const32(1));
      return negate ? odd : i32.eqz(odd);
    }
    case 6: return kind === CC.logic ? sign(negate) : not(i32.xor(sign(false), overflow()));
    default:
      if (kind === CC.logic) return negate ? int.gt_s(sx(a), num(0)) : int.le_s(sx(a), num(0));
      return not(i32.or(i32.xor(sign(false), overflow()), zero(false)));
  }
}

/**
 * (cc_op, cc_a, cc_b, cc_c) → the six flags. Narrow operands are shifted to the top of 64 bits, where carry, sign and
 * overflow of every size are those of 64-bit arithmetic.
 */
export const CC_FLAGS: Helper = {
  name: 'cc_flags',
  params: ['i32', 'i64', 'i64', 'i64'],
  results: ['i32'],
  effect: 'pure',
  build(ir, op, a, b, c) {
    const { i32, i64 } = ir;
    const blocks = CC_FLAGS_ORDER.map(() => ir.newBlock());
    const [flags, add, sub, logic, adc, sbb, inc, dec, result, float] = blocks as [B, B, B, B, B, B, B, B, B, B];
    ir.switch(i32.shr_u(op, ir.const32(2)), [flags, add, sub, logic, adc, sbb, inc, dec, result], float);
    /** 64 - operand bits, as i64. */
    const shift = (): Value => i64.extend_i32_u(i32.sub(ir.const32(64), i32.shl(ir.const32(8), i32.and(op, ir.const32(3)))));
    const bit = (cond: Value, n: number): Value => (n === 0 ? cond : i32.shl(cond, ir.const32(n)));
    /** ZF SF PF of a result; `high` is the result shifted to the top. */
    const zsp = (res: Value, high: Value): Value => {
      const even = i32.eqz(i32.and(i32.popcnt(i32.and(i32.wrap_i64(res), ir.const32(0xff))), ir.const32(1)));
      return i32.or(i32.or(bit(i64.eqz(high), 6), bit(i64.lt_s(high, ir.const64(0)), 7)), bit(even, 2));
    };
    const aux = (x: Value, y: Value, res: Value): Value => i32.and(i32.wrap_i64(i64.xor(i64.xor(x, y), res)), ir.const32(0x10));
    const negative = (v: Value): Value => i64.lt_s(v, ir.const64(0));
    /** Flags of first + second + carry-in = res, from the carries into and out of each bit. */
    const sum = (first: Value, second: Value, res: Value): Value => {
      const s = shift();
      const high = i64.shl(res, s);
      const carries = i64.shl(i64.or(i64.and(first, second), i64.and(i64.or(first, second), i64.xor(res, ir.const64(-1)))), s);
      const over = i64.shl(i64.and(i64.xor(first, res), i64.xor(second, res)), s);
      return i32.or(i32.or(zsp(res, high), aux(first, second, res)), i32.or(negative(carries), bit(negative(over), 11)));
    };
    /** Flags of first - second - borrow-in = res. */
    const difference = (first: Value, second: Value, res: Value): Value => {
      const s = shift();
      const high = i64.shl(res, s);
      const notFirst = i64.xor(first, ir.const64(-1));
      const borrows = i64.shl(i64.or(i64.and(notFirst, second), i64.and(i64.or(notFirst, second), res)), s);
      const over = i64.shl(i64.and(i64.xor(first, second), i64.xor(first, res)), s);
      return i32.or(i32.or(zsp(res, high), aux(first, second, res)), i32.or(negative(borrows), bit(negative(over), 11)));
    };
    ir.begin(flags);
    ir.ret([i32.wrap_i64(a)]);
    ir.begin(add);
    ir.ret([sum(i64.sub(a, b), b, a)]);
    ir.begin(sub);
    ir.ret([difference(a, b, i64.sub(a, b))]);
    ir.begin(logic);
    ir.ret([zsp(a, i64.shl(a, shift()))]);
    ir.begin(adc);
    ir.ret([sum(i64.sub(i64.sub(a, b), c), b, a)]);
    ir.begin(sbb);
    ir.ret([difference(a, b, i64.sub(i64.sub(a, b), c))]);
    ir.begin(inc);
    {
      const high = i64.shl(a, shift());
      const over = i64.eq(high, ir.const64(1n << 63n));
      const half = i32.eqz(i32.and(i32.wrap_i64(a), ir.const32(0xf)));
      ir.ret([i32.or(i32.or(zsp(a, high), i32.wrap_i64(b)), i32.or(bit(over, 11), bit(half, 4)))]);
    }
    ir.begin(dec);
    {
      const s = shift();
      const high = i64.shl(a, s);
      const over = i64.eq(high, i64.shl(i64.shr_u(ir.const64((1n << 63n) - 1n), s), s));
      const half = i32.eq(i32.and(i32.wrap_i64(a), ir.const32(0xf)), ir.const32(0xf));
      ir.ret([i32.or(i32.or(zsp(a, high), i32.wrap_i64(b)), i32.or(bit(over, 11), bit(half, 4)))]);
    }
    ir.begin(result);
    ir.ret([i32.or(zsp(a, i64.shl(a, shift())), i32.wrap_i64(b))]);
    ir.begin(float);
    const f32 = ir.newBlock();
    const f64 = ir.newBlock();
    ir.branch(i32.eq(op, ir.const32(CC.float + 3)), f64, f32);
    const compare = (f: { lt(a: Value, b: Value): Value; gt(a: Value, b: Value): Value; eq(a: Value, b: Value): Value }, x: Value, y: Value): Value => {
      const less = f.lt(x, y);
      const unordered = i32.eqz(i32.or(i32.or(less, f.gt(x, y)), f.eq(x, y)));
      return i32.or(i32.or(less, i32.and(i32.sub(ir.const32(0), unordered), ir.const32(RFLAGS.CF | RFLAGS.PF | RFLAGS.ZF))), bit(f.eq(x, y), 6));
    };
    ir.begin(f32);
    ir.ret([compare(ir.f32, ir.f32.reinterpret_i32(i32.wrap_i64(a)), ir.f32.reinterpret_i32(i32.wrap_i64(b)))]);
    ir.begin(f64);
    ir.ret([compare(ir.f64, ir.f64.reinterpret_i64(a), ir.f64.reinterpret_i64(b))]);
  },
};
type B = ReturnType<Builder['newBlock']>;
const CC_FLAGS_ORDER = ['flags', 'add', 'sub', 'logic', 'adc', 'sbb', 'inc', 'dec', 'result', 'float'];

/** (cc_op, cc_a, cc_b, cc_c) → CF alone: what ADC, INC and DEC need at the head of a loop. */
export const CC_CARRY: Helper = {
  name: 'cc_carry',
  params: ['i32', 'i64', 'i64', 'i64'],
  results: ['i32'],
  effect: 'pure',
  build(ir, op, a, b, c) {
    const { i32, i64 } = ir;
    const one = ir.const32(1);
    const [bitOfA, less, zero, lessOrEqual, bitOfB, float] = Array.from({ length: 6 }, () => ir.newBlock()) as [B, B, B, B, B, B];
    ir.switch(i32.shr_u(op, ir.const32(2)), [bitOfA, less, less, zero, lessOrEqual, lessOrEqual, bitOfB, bitOfB, bitOfB], float);
    ir.begin(bitOfA);
    ir.ret([i32.and(i32.wrap_i64(a), one)]);
    ir.begin(less); // add: the result is less than an operand; sub: the first operand than the second
    ir.ret([i64.lt_u(a, b)]);
    ir.begin(zero);
    ir.ret([ir.const32(0)]);
    ir.begin(lessOrEqual);
    ir.ret([i32.or(i64.lt_u(a, b), i32.and(i32.wrap_i64(c), i64.eq(a, b)))]);
    ir.begin(bitOfB);
    ir.ret([i32.and(i32.wrap_i64(b), one)]);
    ir.begin(float);
    const single = ir.newBlock();
    const double = ir.newBlock();
    ir.branch(i32.eq(op, ir.const32(CC.float + 3)), double, single);
    ir.begin(single);
    ir.ret([i32.eqz(ir.f32.ge(ir.f32.reinterpret_i32(i32.wrap_i64(a)), ir.f32.reinterpret_i32(i32.wrap_i64(b))))]);
    ir.begin(double);
    ir.ret([i32.eqz(ir.f64.ge(ir.f64.reinterpret_i64(a), ir.f64.reinterpret_i64(b)))]);
  },
};

/** The same as CC_FLAGS in JavaScript, for GuestCpu and JS helpers. */
export function statusFlags(op: number, a: bigint, b: bigint, c: bigint): number {
  if (op < 0 || op >= CC_COUNT) throw new RangeError(`cc_op ${op} in state memory is none of ours`);
  const kind = op & ~3;
  const size = BigInt(8 << (op & 3));
  const u = (v: bigint): bigint => BigInt.asUintN(Number(size), v);
  const msb = (v: bigint): number => Number((v >> (size - 1n)) & 1n);
  if (kind === CC.flags) return Number(a & BigInt(STATUS_FLAGS));
  if (kind === CC.float) {
    const view = new DataView(new ArrayBuffer(16));
    view.setBigUint64(0, BigInt.asUintN(64, a), true);
    view.setBigUint64(8, BigInt.asUintN(64, b), true);
    const x = (op & 3) === 3 ? view.getFloat64(0, true) : view.getFloat32(0, true);
    const y = (op & 3) === 3 ? view.getFloat64(8, true) : view.getFloat32(8, true);
    return x < y ? RFLAGS.CF : x > y ? 0 : x === y ? RFLAGS.ZF : RFLAGS.CF | RFLAGS.PF | RFLAGS.ZF;
  }
  const isSub = kind === CC.sub || kind === CC.sbb;
  const carryIn = kind === CC.adc || kind === CC.sbb ? c : 0n;
  const second = u(b);
  const res = isSub ? u(a - b - carryIn) : u(a);
  const first = isSub ? u(a) : u(a - b - carryIn);
  let low = Number(res & 0xffn);
  low ^= low >> 4;
  low ^= low >> 2;
  low ^= low >> 1;
  let f = ((low & 1) === 0 ? RFLAGS.PF : 0) | (res === 0n ? RFLAGS.ZF : 0) | (msb(res) === 1 ? RFLAGS.SF : 0);
  switch (kind) {
    case CC.logic:
      return f;
    case CC.result:
      return f | Number(b & BigInt(STATUS_FLAGS));
    case CC.inc:
      return f | Number(b & 1n) | (res === 1n << (size - 1n) ? RFLAGS.OF : 0) | ((res & 0xfn) === 0n ? RFLAGS.AF : 0);
    case CC.dec:
      return f | Number(b & 1n) | (res === (1n << (size - 1n)) - 1n ? RFLAGS.OF : 0) | ((res & 0xfn) === 0xfn ? RFLAGS.AF : 0);
    default:
  }
  f |= Number((first ^ second ^ res) & 0x10n);
  if (isSub) {
    if (first < second + carryIn) f |= RFLAGS.CF;
    if (msb((first ^ second) & (first ^ res)) === 1) f |= RFLAGS.OF;
  } else {
    if (first + second + carryIn >= 1n << size) f |= RFLAGS.CF;
    if (msb((first ^ res) & (second ^ res)) === 1) f |= RFLAGS.OF;
  }
  return f;
}
