/** ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT, XADD, CMPXCHG and its 8- and 16-byte forms. */
import type { Helper, Value } from '../../../ir/builder.ts';
import { COMPARE_EXCHANGE } from '../../../ir/exchange.ts';
import { RAX, RBX, RCX, RDX, RFLAGS, STATE } from '../cpu-state.ts';
import { enc, type Encoding, encWith, instruction, type InstructionOptions } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { AL, Eb, Ev, Gb, Gv, Ib, Ibs, Iz, KIND, Mdq, Mq, type Operand, r, rAX, rw } from '../operands.ts';

/** The eight classic operations share one pattern of encodings; `n` is their number in it. */
function classic(n: number, access: (o: Operand) => Operand): Encoding[] {
  const op = (low: number): string => (8 * n + low).toString(16).toUpperCase().padStart(2, '0');
  return [
    enc(`${op(0)} /r`, access(Eb), r(Gb)),
    enc(`${op(1)} /r`, access(Ev), r(Gv)),
    encWith(NO_LOCK, `${op(2)} /r`, access(Gb), r(Eb)),
    encWith(NO_LOCK, `${op(3)} /r`, access(Gv), r(Ev)),
    encWith(NO_LOCK, `${op(4)} ib`, access(AL), r(Ib)),
    encWith(NO_LOCK, `${op(5)} iz`, access(rAX), r(Iz)),
    enc(`80 /${n} ib`, access(Eb), r(Ib)),
    enc(`81 /${n} iz`, access(Ev), r(Iz)),
    enc(`83 /${n} ib`, access(Ev), r(Ibs)),
  ];
}
const NO_LOCK: InstructionOptions = { lock: false };

/** Old value of a destination, replaced by `kind` atomically under LOCK; otherwise `put` writes it. */
const fetch = (x: Emitter, dst: Operand, kind: 'add' | 'sub' | 'and' | 'or' | 'xor', v: Value): Value => (x.locked(dst) ? x.atomicRmw(dst, kind, v) : x.read(dst));
const put = (x: Emitter, dst: Operand, v: Value): void => {
  if (!x.locked(dst)) x.write(dst, v);
};
/** Do both operands name the same register? (Of equal size; then also the same byte of it.) */
const same = (x: Emitter, a: Operand, b: Operand): boolean => b.kind !== KIND.I && !x.insn.memory && (a.kind === KIND.E || b.kind === KIND.E) && x.insn.reg === x.insn.rm;

instruction('add', { flags: 'oszapc', lock: true }, classic(0, rw), (x, dst, src) => {
  const b = x.read(src);
  const a = fetch(x, dst, 'add', b);
  const res = x.trunc(x.n.add(a, b));
  put(x, dst, res);
  x.flags.add(x.size, res, b);
});
instruction('or', { flags: 'oszapc', undefinedFlags: 'a', lock: true }, classic(1, rw), (x, dst, src) => {
  const b = x.read(src);
  const a = fetch(x, dst, 'or', b);
  const res = same(x, dst, src) ? a : x.n.or(a, b);
  put(x, dst, res);
  x.flags.logic(x.size, res);
});
instruction('adc', { flags: 'oszapc', reads: 'c', lock: true }, classic(2, rw), (x, dst, src) => {
  const b = x.read(src);
  const carry = x.flags.carry();
  const c = x.extend(carry, 32, x.size);
  const a = fetch(x, dst, 'add', x.locked(dst) ? x.trunc(x.n.add(b, c)) : b);
  const res = x.trunc(x.n.add(x.n.add(a, b), c));
  put(x, dst, res);
  x.flags.adc(x.size, res, b, carry);
});
instruction('sbb', { flags: 'oszapc', reads: 'c', lock: true }, classic(3, rw), (x, dst, src) => {
  const b = x.read(src);
  const borrow = x.flags.carry();
  const c = x.extend(borrow, 32, x.size);
  const a = fetch(x, dst, 'sub', x.locked(dst) ? x.trunc(x.n.add(b, c)) : b);
  const res = x.trunc(x.n.sub(x.n.sub(a, b), c));
  put(x, dst, res);
  x.flags.sbb(x.size, a, b, borrow);
});
instruction('and', { flags: 'oszapc', undefinedFlags: 'a', lock: true }, classic(4, rw), (x, dst, src) => {
  const b = x.read(src);
  const a = fetch(x, dst, 'and', b);
  const res = same(x, dst, src) ? a : x.n.and(a, b);
  put(x, dst, res);
  x.flags.logic(x.size, res);
});
instruction('sub', { flags: 'oszapc', lock: true }, classic(5, rw), (x, dst, src) => {
  if (same(x, dst, src)) {
    const zero = x.const(0);
    x.write(dst, zero);
    x.flags.logic(x.size, zero);
    return;
  }
  const b = x.read(src);
  const a = fetch(x, dst, 'sub', b);
  put(x, dst, x.trunc(x.n.sub(a, b)));
  x.flags.sub(x.size, a, b);
});
instruction('xor', { flags: 'oszapc', undefinedFlags: 'a', lock: true }, classic(6, rw), (x, dst, src) => {
  if (same(x, dst, src)) {
    const zero = x.const(0);
    x.write(dst, zero);
    x.flags.logic(x.size, zero);
    return;
  }
  const b = x.read(src);
  const a = fetch(x, dst, 'xor', b);
  const res = x.n.xor(a, b);
  put(x, dst, res);
  x.flags.logic(x.size, res);
});
instruction('cmp', { flags: 'oszapc' }, classic(7, r), (x, first, second) => {
  const b = x.read(second);
  x.flags.sub(x.size, x.read(first), b);
});
instruction(
  'test',
  { flags: 'oszapc', undefinedFlags: 'a' },
  [
    enc('84 /r', r(Eb), r(Gb)),
    enc('85 /r', r(Ev), r(Gv)),
    enc('A8 ib', r(AL), r(Ib)),
    enc('A9 iz', r(rAX), r(Iz)),
    enc('F6 /0 ib', r(Eb), r(Ib)),
    enc('F6 /1 ib', r(Eb), r(Ib)),
    enc('F7 /0 iz', r(Ev), r(Iz)),
    enc('F7 /1 iz', r(Ev), r(Iz)),
  ],
  (x, first, second) => {
    const a = x.read(first);
    x.flags.logic(x.size, same(x, first, second) ? a : x.n.and(a, x.read(second)));
  },
);

instruction('inc', { flags: 'oszap', lock: true }, [enc('FE /0', rw(Eb)), enc('FF /0', rw(Ev))], (x, dst) => {
  const res = x.trunc(x.n.add(fetch(x, dst, 'add', x.const(1)), x.const(1)));
  put(x, dst, res);
  x.flags.inc(x.size, res);
});
instruction('dec', { flags: 'oszap', lock: true }, [enc('FE /1', rw(Eb)), enc('FF /1', rw(Ev))], (x, dst) => {
  const res = x.trunc(x.n.sub(fetch(x, dst, 'sub', x.const(1)), x.const(1)));
  put(x, dst, res);
  x.flags.dec(x.size, res);
});
instruction('not', { lock: true }, [enc('F6 /2', rw(Eb)), enc('F7 /2', rw(Ev))], (x, dst) => {
  const ones = x.const(-1);
  const a = fetch(x, dst, 'xor', ones);
  put(x, dst, x.n.xor(a, ones));
});
instruction('neg', { flags: 'oszapc', lock: true }, [enc('F6 /3', rw(Eb)), enc('F7 /3', rw(Ev))], (x, dst) => {
  const zero = x.const(0);
  if (!x.locked(dst)) {
    const a = x.read(dst);
    x.write(dst, x.trunc(x.n.sub(zero, a)));
    x.flags.sub(x.size, zero, a);
    return;
  }
  // No atomic negation: compare and exchange until nobody came between.
  const { ir } = x;
  const seen = ir.temp(x.size === 64 ? 'i64' : 'i32');
  x.probeWrite(dst, x.size >> 3);
  ir.set(seen, x.read(dst));
  ir.loop(() => {
    const expected = ir.get(seen);
    const old = x.atomicCmpxchg(dst, expected, x.trunc(x.n.sub(zero, expected)));
    ir.set(seen, old);
    return x.n.ne(old, expected);
  });
  x.flags.sub(x.size, zero, ir.get(seen));
});

instruction('xadd', { flags: 'oszapc', lock: true }, [enc('0F C0 /r', rw(Eb), rw(Gb)), enc('0F C1 /r', rw(Ev), rw(Gv))], (x, dst, src) => {
  const b = x.read(src);
  const a = fetch(x, dst, 'add', b);
  const res = x.trunc(x.n.add(a, b));
  if (x.isMemory(dst)) {
    put(x, dst, res);
    x.write(src, a);
  } else {
    x.write(src, a);
    x.write(dst, res); // last: `xadd r, r` leaves the sum
  }
  x.flags.add(x.size, res, b);
});

instruction('cmpxchg', { flags: 'oszapc', lock: true }, [enc('0F B0 /r', rw(Eb), r(Gb)), enc('0F B1 /r', rw(Ev), r(Gv))], (x, dst, src) => {
  const { ir } = x;
  const accumulator = x.gpr(0, x.size);
  const b = x.read(src);
  let old: Value;
  let equal: Value;
  if (x.locked(dst)) {
    old = x.atomicCmpxchg(dst, accumulator, b);
    equal = x.n.eq(old, accumulator);
  } else {
    old = x.read(dst);
    equal = x.n.eq(old, accumulator);
    if (x.isMemory(dst) || x.size === 8) x.write(dst, ir.select(equal, b, old)); // memory is written in any case, as the processor does
    else x.writeIf(dst, equal, b); // a register keeps its upper half too if not equal
  }
  // rax stays as a whole if equal (a 32-bit form does not clear its upper half then).
  const before = ir.get(RAX);
  // With rax itself as destination, `before` is what was just written, and right either way.
  const full = x.size === 64 ? old : x.size === 32 ? ir.i64.extend_i32_u(old) : ir.i64.or(ir.i64.and(before, ir.const64(x.size === 16 ? -0x10000 : -0x100)), ir.i64.extend_i32_u(old));
  ir.set(RAX, ir.select(equal, before, full));
  x.flags.sub(x.size, accumulator, old);
});
instruction('cmpxchg8b', { flags: 'z', lock: true }, [enc('0F C7 /1', rw(Mq))], (x, dst) => {
  if (x.insn.w) throw new Error('cmpxchg8b with REX.W is cmpxchg16b'); // the row of cmpxchg16b is more specific
  const { ir } = x;
  const { i64 } = ir;
  x.setSize(64);
  const pair = (high: Value, low: Value): Value => i64.or(i64.shl(high, ir.const64(32)), i64.and(low, ir.const64(0xffffffff)));
  const expected = pair(ir.get(RDX), ir.get(RAX));
  const replacement = pair(ir.get(RCX), ir.get(RBX));
  let old: Value;
  if (x.locked(dst)) old = x.atomicCmpxchg(dst, expected, replacement);
  else {
    old = x.read(dst);
    x.write(dst, ir.select(i64.eq(old, expected), replacement, old));
  }
  const equal = i64.eq(old, expected);
  ir.set(RAX, ir.select(equal, ir.get(RAX), i64.and(old, ir.const64(0xffffffff))));
  ir.set(RDX, ir.select(equal, ir.get(RDX), i64.shr_u(old, ir.const64(32))));
  x.flags.replace(RFLAGS.ZF, ir.i32.shl(equal, ir.const32(6)));
});
/** Address, expected (rax, rdx), replacement (rbx, rcx) → what was there. WebAssembly has no atomic operation for it: the host's processor does it. */
export const EXCHANGE_16: Helper = {
  name: 'exchange_16',
  params: ['i64', 'i64', 'i64', 'i64', 'i64'],
  results: ['i64', 'i64'],
  effect: 'state',
  build(ir, address, ...operands) {
    const at = STATE.scratch;
    ir.loop(() => {
      ir.atomicRmw('or', 1, address as Value, ir.const32(0)); // faults here if it must
      operands.forEach((v, k) => ir.stateStore('i64.store', at + 8 * k, v));
      const done = ir.call(COMPARE_EXCHANGE, [ir.f64.convert_i64_u(address as Value), ir.const32(16), ir.const32(at)])[0] as Value;
      return ir.i32.eqz(done);
    });
    ir.ret([ir.stateLoad('i64.load', at), ir.stateLoad('i64.load', at + 8)]);
  },
};
instruction('cmpxchg16b', { flags: 'z', lock: true, cpuid: 'cx16' }, [enc('REX.W 0F C7 /1', rw(Mdq))], (x, dst) => {
  const { ir } = x;
  const { i64 } = ir;
  x.checkAligned(dst, 16);
  const [rax, rdx] = [ir.get(RAX), ir.get(RDX)];
  const [low, high] = ir.call(EXCHANGE_16, [x.address(dst), rax, rdx, ir.get(RBX), ir.get(RCX)]) as [Value, Value];
  const equal = i64.eqz(i64.or(i64.xor(low, rax), i64.xor(high, rdx)));
  ir.set(RAX, low); // if equal, what it was
  ir.set(RDX, high);
  x.flags.replace(RFLAGS.ZF, ir.i32.shl(equal, ir.const32(6)));
});
