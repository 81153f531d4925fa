/**
 * MOVS STOS LODS SCAS CMPS, alone and repeated. rsi, rdi and rcx are written after each element, so that a fault leaves
 * them as the processor does and the instruction goes on where it stopped.
 */
import type { Value } from '../../../ir/builder.ts';
import { DF, RAX, RCX, RDI, RSI } from '../cpu-state.ts';
import { encWith, instruction } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { COND } from '../flags.ts';

/** A pointer register as an address: 32 bits of it with 67h. */
const pointer = (x: Emitter, register: typeof RSI): Value => (x.insn.addrSize === 64 ? x.ir.get(register) : x.ir.i64.and(x.ir.get(register), x.ir.const64(0xffffffff)));
const setPointer = (x: Emitter, register: typeof RSI, v: Value): void => x.ir.set(register, x.insn.addrSize === 64 ? v : x.ir.i64.and(v, x.ir.const64(0xffffffff)));
const advance = (x: Emitter, register: typeof RSI, step: Value): void => setPointer(x, register, x.ir.i64.add(x.ir.get(register), step));
/** ± the element size, by DF. */
const stepOf = (x: Emitter): Value => x.ir.select(x.ir.get(DF), x.ir.const64(-(x.size >> 3)), x.ir.const64(x.size >> 3));

/** One element, or as many as rCX says. `again` (i32) ends the repetition early when it is zero. */
function repeated(x: Emitter, one: () => Value | undefined, fast?: () => void): void {
  const { ir } = x;
  const { i64 } = ir;
  if (x.insn.rep === 0) {
    one();
    return;
  }
  const flagsBefore = x.flags.known;
  ir.if(i64.ne(pointer(x, RCX), ir.const64(0)), () => {
    fast?.();
    const element = (): Value => {
      const again = one();
      const left = i64.sub(pointer(x, RCX), ir.const64(1));
      setPointer(x, RCX, left);
      const more = i64.ne(pointer(x, RCX), ir.const64(0));
      return again === undefined ? more : ir.i32.and(more, again);
    };
    if (fast === undefined) {
      x.flags.known = -1; // the loop header is reached with two recordings
      ir.loop(element);
    } else ir.if(i64.ne(pointer(x, RCX), ir.const64(0)), () => ir.loop(element));
  });
  if (x.flags.known !== flagsBefore) x.flags.known = -1;
}
/** As `repeated` for instructions that leave the flags alone. */
function plain(x: Emitter, one: () => void, fast?: () => void): void {
  repeated(
    x,
    () => {
      one();
      return undefined;
    },
    fast,
  );
}
/** How many elements 16 bytes hold, minus the number left in rCX as unsigned: chunks go on while enough are left. */
const enough = (x: Emitter): Value => x.ir.i64.ge_u(x.ir.get(RCX), x.ir.const64(128 / x.size));
/** Do the 16 bytes at `address` lie within one page? Then a chunk faults as a whole, exactly where its first byte would. */
const withinPage = (x: Emitter, address: Value): Value => x.ir.i32.le_u(x.ir.i32.and(x.ir.i32.wrap_i64(address), x.ir.const32(0xfff)), x.ir.const32(0xff0));

/**
 * Going forward, 16 bytes at a time are the same as one element at a time, unless the destination begins within the 16
 * bytes after the source (memory filling by overlap). `chunk` moves 16 bytes.
 */
function chunks(x: Emitter, overlap: boolean, chunk: () => void): void {
  const { ir } = x;
  const { i32, i64 } = ir;
  if (x.insn.addrSize !== 64 || (overlap && x.insn.segment >= 0)) return;
  const fits = (): Value => {
    const both = overlap ? i32.and(withinPage(x, ir.get(RDI)), withinPage(x, ir.get(RSI))) : withinPage(x, ir.get(RDI));
    return i32.and(enough(x), both);
  };
  let possible = i32.and(i32.eqz(ir.get(DF)), fits());
  if (overlap) possible = i32.and(possible, i64.ge_u(i64.sub(ir.get(RDI), ir.get(RSI)), ir.const64(16)));
  ir.if(possible, () => {
    ir.loop(() => {
      chunk();
      ir.set(RDI, i64.add(ir.get(RDI), ir.const64(16)));
      if (overlap) ir.set(RSI, i64.add(ir.get(RSI), ir.const64(16)));
      ir.set(RCX, i64.sub(ir.get(RCX), ir.const64(128 / x.size)));
      return fits();
    });
  });
}

const names = (base: string): readonly [string, string, string] => [`${base}w`, `${base}d`, `${base}q`];
/** The two rows of a string instruction: bytes, and the operand size. */
const rows = (base: string, opcode: number, rep: 'rep' | 'repe') => {
  const hex = (n: number): string => n.toString(16).toUpperCase();
  return [encWith({ rep, sized: [`${base}b`, `${base}b`, `${base}b`] }, hex(opcode)), encWith({ rep, sized: names(base) }, hex(opcode + 1))];
};
/** The first opcode bit tells bytes from the operand size. */
const setSize = (x: Emitter): void => {
  if ((x.insn.enc.opcode.byte & 1) === 0) x.setSize(8);
};

instruction('movs', {}, rows('movs', 0xa4, 'rep'), (x) => {
  setSize(x);
  const { ir } = x;
  const step = stepOf(x);
  const source = (): Value => x.withSegment(pointer(x, RSI));
  plain(
    x,
    () => {
      x.storeInt(pointer(x, RDI), x.loadInt(source(), x.size), x.size);
      advance(x, RSI, step);
      advance(x, RDI, step);
    },
    () => {
      if (x.insn.rep !== 0) chunks(x, true, () => ir.store('v128.store', ir.get(RDI), ir.load('v128.load', ir.get(RSI))));
    },
  );
});
instruction('stos', {}, rows('stos', 0xaa, 'rep'), (x) => {
  setSize(x);
  const { ir } = x;
  const step = stepOf(x);
  plain(
    x,
    () => {
      x.storeInt(pointer(x, RDI), x.gpr(0, x.size), x.size);
      advance(x, RDI, step);
    },
    () => {
      const v = x.gpr(0, x.size);
      const all = x.size === 64 ? ir.i64x2.splat(v) : x.size === 32 ? ir.i32x4.splat(v) : x.size === 16 ? ir.i16x8.splat(v) : ir.i8x16.splat(v);
      chunks(x, false, () => ir.store('v128.store', ir.get(RDI), all));
    },
  );
});
instruction('lods', {}, rows('lods', 0xac, 'rep'), (x) => {
  setSize(x);
  const step = stepOf(x);
  plain(x, () => {
    x.setGpr(0, x.loadInt(x.withSegment(pointer(x, RSI)), x.size), x.size);
    advance(x, RSI, step);
  });
});
const goOn = (x: Emitter): Value | undefined => (x.insn.rep === 0 ? undefined : x.flags.condition(x.insn.rep === 0xf3 ? COND.e : COND.ne));
instruction('scas', { flags: 'oszapc' }, rows('scas', 0xae, 'repe'), (x) => {
  setSize(x);
  const step = stepOf(x);
  repeated(x, () => {
    const b = x.loadInt(pointer(x, RDI), x.size);
    advance(x, RDI, step);
    x.flags.sub(x.size, x.narrow(x.ir.get(RAX), 64, x.size), b);
    return goOn(x);
  });
});
instruction('cmps', { flags: 'oszapc' }, rows('cmps', 0xa6, 'repe'), (x) => {
  setSize(x);
  const step = stepOf(x);
  repeated(x, () => {
    const a = x.loadInt(x.withSegment(pointer(x, RSI)), x.size);
    const b = x.loadInt(pointer(x, RDI), x.size);
    advance(x, RSI, step);
    advance(x, RDI, step);
    x.flags.sub(x.size, a, b);
    return goOn(x);
  });
});
