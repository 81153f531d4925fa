/**
 * The x87 register stack in state memory, and the helpers that whole instructions call: they read and write ST(i),
 * TOP, tags and the status word, with stack faults, masked and unmasked responses as the processor has them. The
 * arithmetic itself is soft-float.ts and convert.ts.
 *
 * Invariants:
 * - STATE.x87Status holds no TOP; ES and B (0x8080) are set exactly when an unmasked exception is pending.
 * - STATE.x87Tag has bit i set when physical register i is in use; zero/special/valid is worked out when asked for.
 * - The padding of a register (bytes 10…15) means nothing.
 */
import type { Builder, Helper, Value } from '../../../ir/builder.ts';
import type { Type } from '../../../ir/ops.ts';
import { STATE } from '../cpu-state.ts';
import { CC, compare, extract, from32, from64, fromBcd, fromInt, remainder, roundToInt, scale, to32, to64, toBcd, toInt16, toInt32, toInt64, BLOCKED } from './convert.ts';
import { add, div, EXC, exponentOf, F80, FROM_DENORMAL, INDEFINITE, inlined, isNan, isSignalling, isTop, isUnsupported, isZero, mul, or, PRE_EXCEPTIONS, SIGN, sqrt, sub, unmasked } from './soft-float.ts';

/** ES and B. */
const SUMMARY = 0x8080;
const ALL_EXCEPTIONS = 0x3f;
export const STACK_UNDERFLOW = EXC.invalid | EXC.stack;
export const STACK_OVERFLOW = EXC.invalid | EXC.stack | EXC.roundUp;
const ALL_CODES = CC.c0 | CC.c1 | CC.c2 | CC.c3;

export const helper = (name: string, params: readonly Type[], results: readonly Type[], build: (ir: Builder, ...v: Value[]) => void): Helper => ({
  name: `x87.${name}`,
  params,
  results,
  effect: 'state',
  build,
});

// ---- emitters ----

export const loadControl = (ir: Builder): Value => ir.stateLoad('i32.load', STATE.x87Control);
export const loadStatus = (ir: Builder): Value => ir.stateLoad('i32.load', STATE.x87Status);
export const loadTop = (ir: Builder): Value => ir.stateLoad('i32.load', STATE.x87Top);
export const loadTags = (ir: Builder): Value => ir.stateLoad('i32.load', STATE.x87Tag);
/** Number of the physical register of ST(i), given TOP. */
const physical = (ir: Builder, top: Value, i: Value): Value => ir.i32.and(ir.i32.add(top, i), ir.const32(7));
export const inUse = (ir: Builder, tags: Value, register: Value): Value => ir.i32.and(ir.i32.shr_u(tags, register), ir.const32(1));
const slot = (ir: Builder, register: Value): Value => ir.i32.shl(register, ir.const32(4));
export function loadRegister(ir: Builder, register: Value): [Value, Value] {
  const at = slot(ir, register);
  return [ir.stateLoad('i64.load', STATE.x87, at), ir.stateLoad('i32.load16_u', STATE.x87 + 8, at)];
}
function storeRegister(ir: Builder, register: Value, sig: Value, se: Value): void {
  const at = slot(ir, register);
  ir.stateStore('i64.store', STATE.x87, sig, at);
  ir.stateStore('i32.store16', STATE.x87 + 8, se, at);
}
const bit = (ir: Builder, register: Value): Value => ir.i32.shl(ir.const32(1), register);
function markUsed(ir: Builder, tags: Value, register: Value): void {
  ir.stateStore('i32.store', STATE.x87Tag, ir.i32.or(tags, bit(ir, register)));
}
/** Mark ST(0) empty and move TOP. */
function popTop(ir: Builder): void {
  const top = loadTop(ir);
  ir.stateStore('i32.store', STATE.x87Tag, ir.i32.and(loadTags(ir), ir.i32.xor(bit(ir, top), ir.const32(-1))));
  ir.stateStore('i32.store', STATE.x87Top, ir.i32.and(ir.i32.add(top, ir.const32(1)), ir.const32(7)));
}
/** Put `exceptions` (and C bits) into the status word, first clearing `cleared`; ES and B follow from the masks. */
export function raise(ir: Builder, exceptions: Value, cleared: number = CC.c1): void {
  const pending = ir.i32.ne(unmasked(ir, exceptions, loadControl(ir), ALL_EXCEPTIONS), ir.const32(0));
  const kept = ir.i32.and(loadStatus(ir), ir.const32(~cleared));
  ir.stateStore('i32.store', STATE.x87Status, or(ir, kept, exceptions, ir.select(pending, ir.const32(SUMMARY), ir.const32(0))));
}
/** Number of the physical register a push would take. */
export const above = (ir: Builder, top: Value): Value => ir.i32.and(ir.i32.sub(top, ir.const32(1)), ir.const32(7));
/** The masked stack fault of what replaces ST(0) and pushes: both registers the default NaN, `next` the new top. */
export function fillIndefinite(ir: Builder, top: Value, next: Value): void {
  storeRegister(ir, top, ...indefinite(ir));
  storeRegister(ir, next, ...indefinite(ir));
  ir.stateStore('i32.store', STATE.x87Tag, or(ir, loadTags(ir), bit(ir, top), bit(ir, next)));
  ir.stateStore('i32.store', STATE.x87Top, next);
}
const indefinite = (ir: Builder): [Value, Value] => [ir.const64(INDEFINITE.significand), ir.const32(INDEFINITE.signExponent)];

// ---- results ----

/** Clear C1: what an instruction without exceptions does to the status word. */
const clearC1 = (ir: Builder): void => ir.stateStore('i32.store', STATE.x87Status, ir.i32.and(loadStatus(ir), ir.const32(~CC.c1)));
/** The exceptions of a result into the status word; 1 if one of them forbids to write the result. */
const raiseForResult = helper('raiseForResult', ['i32'], ['i32'], (ir, exc) => {
  ir.if(unmasked(ir, exc, loadControl(ir), PRE_EXCEPTIONS), () => {
    raise(ir, ir.i32.and(exc, ir.const32(PRE_EXCEPTIONS | EXC.stack)));
    ir.ret([ir.const32(1)]);
  });
  raise(ir, exc);
  ir.ret([ir.const32(0)]);
});
/** Write (sig, se) to ST(i) with its exceptions, unless one forbids it; then pop. */
export const commit = helper('commit', ['i32', ...F80, 'i32'], [], (ir, i, sig, se, exc, pop) => {
  // PE alone, masked, and C1 are what arithmetic brings; anything else goes the long way.
  const control = loadControl(ir);
  ir.if(
    ir.i32.or(ir.i32.and(exc, ir.const32(~(EXC.precision | EXC.roundUp))), unmasked(ir, exc, control, EXC.precision)),
    () => ir.if((ir.call(raiseForResult, [exc]) as [Value])[0], () => ir.ret([])),
    () => ir.stateStore('i32.store', STATE.x87Status, ir.i32.or(ir.i32.and(loadStatus(ir), ir.const32(~CC.c1)), exc)),
  );
  const top = loadTop(ir);
  const register = physical(ir, top, i);
  storeRegister(ir, register, sig, se);
  const tags = ir.i32.or(loadTags(ir), bit(ir, register));
  ir.stateStore('i32.store', STATE.x87Tag, ir.select(pop, ir.i32.and(tags, ir.i32.xor(bit(ir, top), ir.const32(-1))), tags));
  ir.stateStore('i32.store', STATE.x87Top, ir.i32.and(ir.i32.add(top, pop), ir.const32(7)));
  ir.ret([]);
});
const pushSlow = helper('pushSlow', F80, [], (ir, sig, se, exc) => {
  const top = above(ir, loadTop(ir));
  const tags = loadTags(ir);
  const put = (s: Value, e: Value): void => {
    storeRegister(ir, top, s, e);
    markUsed(ir, tags, top);
    ir.stateStore('i32.store', STATE.x87Top, top);
  };
  ir.if(inUse(ir, tags, top), () => {
    raise(ir, ir.const32(STACK_OVERFLOW));
    ir.if(ir.i32.and(loadControl(ir), ir.const32(EXC.invalid)), () => put(...indefinite(ir)));
    ir.ret([]);
  });
  raise(ir, exc);
  // A denormal is loaded even with DE unmasked.
  ir.if(ir.i32.eqz(unmasked(ir, exc, loadControl(ir), EXC.invalid)), () => put(sig, se));
  ir.ret([]);
});
/** Push (sig, se) with the exceptions of loading it. */
export const push = helper('push', F80, [], (ir, sig, se, exc) => {
  const top = above(ir, loadTop(ir));
  const tags = loadTags(ir);
  ir.if(ir.i32.or(exc, inUse(ir, tags, top)), () => {
    ir.call(pushSlow, [sig, se, exc]);
    ir.ret([]);
  });
  clearC1(ir);
  storeRegister(ir, top, sig, se);
  markUsed(ir, tags, top);
  ir.stateStore('i32.store', STATE.x87Top, top);
  ir.ret([]);
});

/** In a helper over ST(i), ST(j), …: values of the registers, or the stack-underflow response written to ST(target). */
export function operands(ir: Builder, indices: readonly Value[], underflow: () => void): [Value, Value][] {
  const top = loadTop(ir);
  const tags = loadTags(ir);
  const registers = indices.map((i) => physical(ir, top, i));
  const used = registers.map((r) => inUse(ir, tags, r)).reduce((a, b) => ir.i32.and(a, b));
  ir.if(ir.i32.eqz(used), () => {
    underflow();
    ir.ret([]);
  });
  return registers.map((r) => loadRegister(ir, r));
}
export function underflowTo(ir: Builder, i: Value, pops: Value): () => void {
  return () => ir.call(commit, [i, ...indefinite(ir), ir.const32(STACK_UNDERFLOW), pops]);
}

// ---- arithmetic ----

/** ST(target) = ST(a) op ST(b), then pop: (target, a, b, pops). */
function registerArithmetic(name: string, op: Helper): Helper {
  return helper(`${name}St`, ['i32', 'i32', 'i32', 'i32'], [], (ir, target, a, b, pops) => {
    const [x, y] = operands(ir, [a, b], underflowTo(ir, target, pops)) as [[Value, Value], [Value, Value]];
    const result = inlined(ir, op, [...x, ...y, loadControl(ir)]);
    inlined(ir, commit, [target, ...result, pops]);
    ir.ret([]);
  });
}
/** ST(0) = ST(0) op (sig, se), or with the operands exchanged. */
function memoryArithmetic(name: string, op: Helper, reversed: boolean): Helper {
  return helper(`${name}Memory`, ['i64', 'i32'], [], (ir, sig, se) => {
    const zero = ir.const32(0);
    const [x] = operands(ir, [zero], underflowTo(ir, zero, zero)) as [[Value, Value]];
    const result = inlined(ir, op, reversed ? [sig, se, ...x, loadControl(ir)] : [...x, sig, se, loadControl(ir)]);
    inlined(ir, commit, [zero, ...result, zero]);
    ir.ret([]);
  });
}
export const REGISTER_ARITHMETIC = { add: registerArithmetic('add', add), sub: registerArithmetic('sub', sub), mul: registerArithmetic('mul', mul), div: registerArithmetic('div', div) } as const;
export const MEMORY_ARITHMETIC = {
  add: memoryArithmetic('add', add, false),
  sub: memoryArithmetic('sub', sub, false),
  subr: memoryArithmetic('subr', sub, true),
  mul: memoryArithmetic('mul', mul, false),
  div: memoryArithmetic('div', div, false),
  divr: memoryArithmetic('divr', div, true),
} as const;

/** ST(0) = op(ST(0)) */
function unary(name: string, op: Helper): Helper {
  return helper(`${name}St`, [], [], (ir) => {
    const zero = ir.const32(0);
    const [x] = operands(ir, [zero], underflowTo(ir, zero, zero)) as [[Value, Value]];
    inlined(ir, commit, [zero, ...inlined(ir, op, [...x, loadControl(ir)]), zero]);
    ir.ret([]);
  });
}
export const SQRT = unary('sqrt', sqrt);
export const ROUND_TO_INT = unary('roundToInt', roundToInt);
/** FABS and FCHS: sign = (sign & keep) ^ flip; no exception but the stack's. */
export const SET_SIGN = helper('setSign', ['i32', 'i32'], [], (ir, keep, flip) => {
  const zero = ir.const32(0);
  const [[sig, se]] = operands(ir, [zero], underflowTo(ir, zero, zero)) as [[Value, Value]];
  inlined(ir, commit, [zero, sig, ir.i32.xor(ir.i32.and(se, keep), flip), zero, zero]);
  ir.ret([]);
});
export const SCALE = helper('scaleSt', [], [], (ir) => {
  const zero = ir.const32(0);
  const [x, y] = operands(ir, [zero, ir.const32(1)], underflowTo(ir, zero, zero)) as [[Value, Value], [Value, Value]];
  ir.call(commit, [zero, ...ir.call(scale, [...x, ...y, loadControl(ir)]), zero]);
  ir.ret([]);
});
/** FPREM, FPREM1: C0…C3 are the reduction's; without one (a fault, a NaN) C1 and C2 are cleared. */
export const REMAINDER = helper('remainderSt', ['i32'], [], (ir, nearest) => {
  const zero = ir.const32(0);
  const setCodes = (cleared: number, codes: Value): void => ir.stateStore('i32.store', STATE.x87Status, ir.i32.or(ir.i32.and(loadStatus(ir), ir.const32(~cleared)), codes));
  const underflow = underflowTo(ir, zero, zero);
  const [x, y] = operands(ir, [zero, ir.const32(1)], () => {
    underflow();
    setCodes(CC.c2, zero);
  }) as [[Value, Value], [Value, Value]];
  const [sig, se, exc] = ir.call(remainder, [...x, ...y, loadControl(ir), nearest]) as [Value, Value, Value];
  ir.call(commit, [zero, sig, se, exc, zero]);
  ir.if(
    or(ir, ir.i32.and(exc, ir.const32(EXC.invalid)), isTop(ir, se), unmasked(ir, exc, loadControl(ir), PRE_EXCEPTIONS)),
    () => setCodes(CC.c2, zero),
    () => setCodes(ALL_CODES, ir.i32.and(exc, ir.const32(ALL_CODES))),
  );
  ir.ret([]);
});
/** ST(0) = exponent, then push the significand. */
export const EXTRACT = helper('extractSt', [], [], (ir) => {
  const zero = ir.const32(0);
  const top = loadTop(ir);
  const next = above(ir, top);
  const tags = loadTags(ir);
  const both = (fault: number): void => {
    raise(ir, ir.const32(fault));
    ir.if(ir.i32.and(loadControl(ir), ir.const32(EXC.invalid)), () => fillIndefinite(ir, top, next));
    ir.ret([]);
  };
  ir.if(ir.i32.eqz(inUse(ir, tags, top)), () => both(STACK_UNDERFLOW));
  ir.if(inUse(ir, tags, next), () => both(STACK_OVERFLOW));
  const [es, ee, ss, se, exc] = ir.call(extract, [...loadRegister(ir, top), loadControl(ir)]) as [Value, Value, Value, Value, Value];
  ir.call(commit, [zero, es, ee, exc, zero]);
  ir.if(ir.i32.eqz(unmasked(ir, exc, loadControl(ir), PRE_EXCEPTIONS)), () => {
    storeRegister(ir, next, ss, se);
    markUsed(ir, tags, next);
    ir.stateStore('i32.store', STATE.x87Top, next);
  });
  ir.ret([]);
});

// ---- loads ----

function loadFloat(name: string, type: 'i32' | 'i64', from: Helper): Helper {
  return helper(name, [type], [], (ir, bits) => {
    const [sig, se] = inlined(ir, from, [bits]) as [Value, Value];
    const signalling = ir.i32.and(isNan(ir, sig, se), isSignalling(ir, sig));
    const exc = ir.i32.or(signalling, ir.i32.shr_u(ir.i32.and(se, ir.const32(FROM_DENORMAL)), ir.const32(15)));
    inlined(ir, push, [ir.i64.or(sig, ir.i64.shl(ir.i64.extend_i32_u(signalling), ir.const64(62))), se, exc]);
    ir.ret([]);
  });
}
export const LOAD32 = loadFloat('load32', 'i32', from32);
export const LOAD64 = loadFloat('load64', 'i64', from64);
export const LOAD_INT = helper('loadInt', ['i64'], [], (ir, v) => {
  inlined(ir, push, [...inlined(ir, fromInt, [v]), ir.const32(0)]);
  ir.ret([]);
});
export const LOAD_BCD = helper('loadBcd', ['i64', 'i32'], [], (ir, lo, hi) => {
  ir.call(push, [...ir.call(fromBcd, [lo, hi]), ir.const32(0)]);
  ir.ret([]);
});
/** FLD ST(i) */
export const LOAD_ST = helper('loadSt', ['i32'], [], (ir, i) => {
  const top = loadTop(ir);
  const tags = loadTags(ir);
  const source = physical(ir, top, i);
  ir.if(ir.i32.eqz(inUse(ir, tags, source)), () => {
    // Underflow wins over the overflow of pushing, so push's own check is not asked.
    const target = above(ir, top);
    raise(ir, ir.const32(STACK_UNDERFLOW));
    ir.if(ir.i32.and(loadControl(ir), ir.const32(EXC.invalid)), () => {
      storeRegister(ir, target, ...indefinite(ir));
      markUsed(ir, tags, target);
      ir.stateStore('i32.store', STATE.x87Top, target);
    });
    ir.ret([]);
  });
  inlined(ir, push, [...loadRegister(ir, source), ir.const32(0)]);
  ir.ret([]);
});
/** Push a constant given as the significand rounded down, with `nearestUp` 1 when the nearest is one above. */
export const LOAD_CONSTANT = helper('loadConstant', ['i64', 'i32', 'i32', 'i32'], [], (ir, sig, se, inexact, nearestUp) => {
  const rc = ir.i32.and(loadControl(ir), ir.const32(0xc00));
  const up = ir.select(ir.i32.eqz(rc), nearestUp, ir.i32.and(inexact, ir.i32.eq(rc, ir.const32(0x800))));
  ir.call(push, [ir.i64.add(sig, ir.i64.extend_i32_u(up)), se, ir.const32(0)]);
  ir.ret([]);
});

// ---- stores: the value first, then memory, then STORED ----

/** For the value of ST(0) to be stored: [what to store …, exceptions | BLOCKED if nothing may be stored]. */
function storeValue(name: string, op: Helper, substitute: (ir: Builder) => Value[], truncate = false): Helper {
  return helper(name, [], op.results, (ir) => {
    const top = loadTop(ir);
    const control = loadControl(ir);
    ir.if(ir.i32.eqz(inUse(ir, loadTags(ir), top)), () => {
      const blocked = ir.select(ir.i32.and(control, ir.const32(EXC.invalid)), ir.const32(STACK_UNDERFLOW), ir.const32(STACK_UNDERFLOW | BLOCKED));
      ir.ret([...substitute(ir), blocked]);
    });
    const rounding = truncate ? ir.i32.or(control, ir.const32(0xc00)) : control;
    ir.ret(inlined(ir, op, [...loadRegister(ir, top), rounding]));
  });
}
/** The value as it is. */
const whole: Helper = { name: 'x87.whole', params: F80, results: F80, effect: 'pure', build: (ir, sig, se) => ir.ret([sig, se, ir.const32(0)]) };
export const STORE32 = storeValue('store32', to32, (ir) => [ir.const32(0xffc00000 | 0)]);
export const STORE64 = storeValue('store64', to64, (ir) => [ir.const64(0xfff8000000000000n)]);
export const STORE80 = storeValue('store80', whole, indefinite);
export const STORE_BCD = storeValue('storeBcd', toBcd, (ir) => [ir.const64(3n << 62n), ir.const32(0xffff)]);
export const STORE_INT = {
  16: storeValue('storeInt16', toInt16, (ir) => [ir.const64(-0x8000)]),
  32: storeValue('storeInt32', toInt32, (ir) => [ir.const64(-0x80000000)]),
  64: storeValue('storeInt64', toInt64, (ir) => [ir.const64(-(1n << 63n))]),
} as const;
export const STORE_TRUNCATED = {
  16: storeValue('truncInt16', toInt16, (ir) => [ir.const64(-0x8000)], true),
  32: storeValue('truncInt32', toInt32, (ir) => [ir.const64(-0x80000000)], true),
  64: storeValue('truncInt64', toInt64, (ir) => [ir.const64(-(1n << 63n))], true),
} as const;
/** After the store: (exceptions as they came, pop 0 or 1). */
export const STORED = helper('stored', ['i32', 'i32'], [], (ir, exc, pop) => {
  ir.if(
    exc,
    () => {
      raise(ir, ir.i32.and(exc, ir.const32(~BLOCKED)));
      ir.if(ir.i32.lt_s(exc, ir.const32(0)), () => ir.ret([]));
    },
    () => clearC1(ir),
  );
  ir.if(pop, () => popTop(ir));
  ir.ret([]);
});
/** FST ST(i): copy ST(0) to ST(i), pop. */
export const STORE_ST = helper('storeSt', ['i32', 'i32'], [], (ir, i, pop) => {
  const [x] = operands(ir, [ir.const32(0)], underflowTo(ir, i, pop)) as [[Value, Value]];
  inlined(ir, commit, [i, ...x, ir.const32(0), pop]);
  ir.ret([]);
});
/** FSTPNCE: as FSTP ST(i), but an empty ST(0) is only popped. */
export const STORE_ST_UNCHECKED = helper('storeStUnchecked', ['i32'], [], (ir, i) => {
  ir.if(
    inUse(ir, loadTags(ir), loadTop(ir)),
    () => ir.call(STORE_ST, [i, ir.const32(1)]),
    () => {
      popTop(ir);
      clearC1(ir);
    },
  );
  ir.ret([]);
});
/** FXCH: an empty register counts as the default NaN. */
export const EXCHANGE = helper('exchange', ['i32'], [], (ir, i) => {
  const top = loadTop(ir);
  const tags = loadTags(ir);
  const other = physical(ir, top, i);
  const [as, ae] = loadRegister(ir, top);
  const [bs, be] = loadRegister(ir, other);
  const usedA = inUse(ir, tags, top);
  const usedB = inUse(ir, tags, other);
  ir.if(
    ir.i32.and(usedA, usedB),
    () => clearC1(ir),
    () => {
      raise(ir, ir.const32(STACK_UNDERFLOW));
      ir.if(ir.i32.eqz(ir.i32.and(loadControl(ir), ir.const32(EXC.invalid))), () => ir.ret([]));
    },
  );
  const [ds, de] = indefinite(ir);
  storeRegister(ir, top, ir.select(usedB, bs, ds), ir.select(usedB, be, de));
  storeRegister(ir, other, ir.select(usedA, as, ds), ir.select(usedA, ae, de));
  ir.stateStore('i32.store', STATE.x87Tag, or(ir, tags, bit(ir, top), bit(ir, other)));
  ir.ret([]);
});
/** FCMOVcc with the condition already worked out. */
export const MOVE_IF = helper('moveIf', ['i32', 'i32'], [], (ir, i, condition) => {
  const zero = ir.const32(0);
  const [, y] = operands(ir, [zero, i], underflowTo(ir, zero, zero)) as [[Value, Value], [Value, Value]];
  ir.if(condition, () => storeRegister(ir, loadTop(ir), ...y));
  ir.ret([]);
});

// ---- comparison ----

/** Emit: exceptions and codes of a comparison into the status word; 1 if it may pop. */
function compared(ir: Builder, codes: Value, exc: Value, cleared: number): Value {
  raise(ir, ir.i32.or(codes, exc), cleared);
  return ir.i32.eqz(unmasked(ir, exc, loadControl(ir), PRE_EXCEPTIONS));
}
/** FCOM, FUCOM ST(i): (i, quiet, pops 0…2). */
export const COMPARE_ST = helper('compareSt', ['i32', 'i32', 'i32'], [], (ir, i, quiet, pops) => {
  const popAll = (may: Value): void =>
    ir.if(may, () => {
      ir.if(pops, () => popTop(ir));
      ir.if(ir.i32.eq(pops, ir.const32(2)), () => popTop(ir));
    });
  const unordered = ir.const32(CC.c0 | CC.c2 | CC.c3);
  const [x, y] = operands(ir, [ir.const32(0), i], () => popAll(compared(ir, unordered, ir.const32(STACK_UNDERFLOW), ALL_CODES))) as [[Value, Value], [Value, Value]];
  const [codes, exc] = inlined(ir, compare, [...x, ...y, quiet]) as [Value, Value];
  popAll(compared(ir, codes, exc, ALL_CODES));
  ir.ret([]);
});
/** FCOM with a memory operand (also FTST, with 0): (sig, se, pop). */
export const COMPARE_MEMORY = helper('compareMemory', ['i64', 'i32', 'i32'], [], (ir, sig, se, pop) => {
  const unordered = ir.const32(CC.c0 | CC.c2 | CC.c3);
  const finish = (codes: Value, exc: Value): void => ir.if(ir.i32.and(compared(ir, codes, exc, ALL_CODES), pop), () => popTop(ir));
  const [x] = operands(ir, [ir.const32(0)], () => finish(unordered, ir.const32(STACK_UNDERFLOW))) as [[Value, Value]];
  const [codes, exc] = inlined(ir, compare, [...x, sig, se, ir.const32(0)]) as [Value, Value];
  finish(codes, exc);
  ir.ret([]);
});
/** FCOMI, FUCOMI: (i, quiet, pop) → ZF PF CF as RFLAGS has them. */
export const COMPARE_FLAGS = helper('compareFlags', ['i32', 'i32', 'i32'], ['i32'], (ir, i, quiet, pop) => {
  const top = loadTop(ir);
  const tags = loadTags(ir);
  const other = physical(ir, top, i);
  const finish = (codes: Value, exc: Value): void => {
    ir.if(ir.i32.and(compared(ir, ir.const32(0), exc, 0), pop), () => popTop(ir));
    ir.ret([ir.i32.shr_u(codes, ir.const32(8))]);
  };
  // C1 tells of a stack fault only; else it stays.
  ir.if(ir.i32.eqz(ir.i32.and(inUse(ir, tags, top), inUse(ir, tags, other))), () => {
    clearC1(ir);
    finish(ir.const32(CC.c0 | CC.c2 | CC.c3), ir.const32(STACK_UNDERFLOW));
  });
  const [codes, exc] = inlined(ir, compare, [...loadRegister(ir, top), ...loadRegister(ir, other), quiet]) as [Value, Value];
  finish(codes, exc);
});
export const EXAMINE = helper('examine', [], [], (ir) => {
  const c = (n: number): Value => ir.const32(n);
  const top = loadTop(ir);
  const [sig, se] = loadRegister(ir, top);
  const empty = ir.i32.eqz(inUse(ir, loadTags(ir), top));
  const nan = isNan(ir, sig, se);
  const finite = ir.select(isZero(ir, sig), c(CC.c3), ir.select(exponentOf(ir, se), c(CC.c2), c(CC.c3 | CC.c2)));
  const kind = ir.select(empty, c(CC.c3 | CC.c0), ir.select(isUnsupported(ir, sig, se), c(0), ir.select(isTop(ir, se), ir.select(nan, c(CC.c0), c(CC.c2 | CC.c0)), finite)));
  raise(ir, ir.i32.or(kind, ir.i32.shr_u(ir.i32.and(se, c(SIGN)), c(6))), ALL_CODES);
  ir.ret([]);
});

// ---- stack and control ----

/** FINCSTP, FDECSTP: TOP += by. */
export const ROTATE = helper('rotate', ['i32'], [], (ir, by) => {
  ir.stateStore('i32.store', STATE.x87Top, physical(ir, loadTop(ir), by));
  clearC1(ir);
  ir.ret([]);
});
/** FFREE: (i, pop). */
export const FREE = helper('free', ['i32', 'i32'], [], (ir, i, pop) => {
  const top = loadTop(ir);
  ir.stateStore('i32.store', STATE.x87Tag, ir.i32.and(loadTags(ir), ir.i32.xor(bit(ir, physical(ir, top, i)), ir.const32(-1))));
  clearC1(ir);
  ir.if(pop, () => popTop(ir));
  ir.ret([]);
});
/** Set the control word; what it unmasks becomes pending. */
export const LOAD_CONTROL = helper('loadControl', ['i32'], [], (ir, word) => {
  ir.stateStore('i32.store', STATE.x87Control, ir.i32.or(ir.i32.and(word, ir.const32(0x1f3f)), ir.const32(0x40)));
  ir.call(LOAD_STATUS, [loadStatus(ir)]);
  ir.ret([]);
});
/** Set the status word but for TOP, ES and B following from the masks. */
export const LOAD_STATUS = helper('loadStatus', ['i32'], [], (ir, word) => {
  ir.stateStore('i32.store', STATE.x87Status, ir.i32.and(word, ir.const32(0x477f)));
  raise(ir, ir.i32.and(word, ir.const32(ALL_EXCEPTIONS)), 0);
  ir.ret([]);
});
/** The status word with TOP. */
export function statusWord(ir: Builder): Value {
  return ir.i32.or(loadStatus(ir), ir.i32.shl(loadTop(ir), ir.const32(11)));
}
/** The full tag word: two bits a physical register, 0 valid, 1 zero, 2 special, 3 empty. */
export const FULL_TAGS = helper('fullTags', [], ['i32'], (ir) => {
  const tags = loadTags(ir);
  let word = ir.const32(0);
  for (let i = 0; i < 8; i++) {
    const [sig, se] = loadRegister(ir, ir.const32(i));
    const normal = ir.i32.and(ir.i32.lt_u(ir.i32.sub(exponentOf(ir, se), ir.const32(1)), ir.const32(0x7ffe)), ir.i64.lt_s(sig, ir.const64(0)));
    const zero = ir.i32.and(isZero(ir, sig), ir.i32.eqz(exponentOf(ir, se)));
    const kind = ir.select(inUse(ir, tags, ir.const32(i)), ir.select(normal, ir.const32(0), ir.select(zero, ir.const32(1), ir.const32(2))), ir.const32(3));
    word = ir.i32.or(word, ir.i32.shl(kind, ir.const32(2 * i)));
  }
  ir.ret([word]);
});
/** From a full tag word only "empty" is taken over. */
export const LOAD_TAGS = helper('loadTags', ['i32'], [], (ir, word) => {
  const both = ir.i32.and(word, ir.i32.shr_u(word, ir.const32(1)));
  let used = ir.const32(0);
  for (let i = 0; i < 8; i++) used = ir.i32.or(used, ir.i32.shl(ir.i32.and(ir.i32.shr_u(both, ir.const32(2 * i)), ir.const32(1)), ir.const32(i)));
  ir.stateStore('i32.store', STATE.x87Tag, ir.i32.xor(used, ir.const32(0xff)));
  ir.ret([]);
});
