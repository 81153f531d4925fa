/** The x87 floating-point unit: loads, stores, arithmetic, comparison, control. Transcendentals are in x87-functions.ts. */
import type { Helper, Value } from '../../../ir/builder.ts';
import { STATE } from '../cpu-state.ts';
import { enc, type Encoding, instruction, type InstructionOptions } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { COND } from '../flags.ts';
import { AX, Md, Menv, Mq, Mstate, Mt, Mw, type Operand, r, rw, ST0, STi, w } from '../operands.ts';
import { from32, from64, fromInt } from '../x87/convert.ts';
import { loadEnvironment, loadState, maskAll, storeEnvironment, storeState } from '../x87/environment.ts';
import { initialise, note, tryCrossing, tryStore, wait } from '../x87/instruction.ts';
import * as st from '../x87/state.ts';

const X87: InstructionOptions = { group: 'x87' };
const i32 = (x: Emitter, n: number): Value => x.ir.const32(n);

/** A waiting instruction on registers: check, call, note. */
function registers(name: string, encodings: readonly Encoding[], emit: (x: Emitter, a: Operand, b: Operand) => void, options: InstructionOptions = X87): void {
  instruction(name, options, encodings, (x, a, b) => {
    wait(x);
    note(x);
    emit(x, a, b);
  });
}
/** An operand's value as (significand, sign and exponent): a float, or (`integer`) a signed number. */
function readValue(x: Emitter, m: Operand, integer: boolean): Value[] {
  const { ir } = x;
  if (integer) return ir.call(fromInt, [m.width === 'w' ? x.load(m, 'i64.load16_s') : m.width === 'd' ? x.load(m, 'i64.load32_s') : x.load(m, 'i64.load')]);
  return m.width === 'd' ? ir.call(from32, [x.load(m, 'i32.load')]) : ir.call(from64, [x.load(m, 'i64.load')]);
}

// ---- loads and stores ----

instruction('fld', X87, [enc('D9 /0', r(Md)), enc('DD /0', r(Mq)), enc('DB /5', r(Mt)), enc('D9 C0+i', r(STi))], (x, src) => {
  const { ir } = x;
  wait(x);
  if (!x.isMemory(src)) {
    note(x);
    ir.call(st.LOAD_ST, [i32(x, x.register(src))]);
    return;
  }
  if (src.width === 't') {
    const sig = x.load(src, 'i64.load');
    const se = x.load(src, 'i32.load16_u', 8);
    note(x, src);
    ir.call(st.push, [sig, se, i32(x, 0)]);
    return;
  }
  const bits = x.load(src, src.width === 'd' ? 'i32.load' : 'i64.load');
  note(x, src);
  ir.call(src.width === 'd' ? st.LOAD32 : st.LOAD64, [bits]);
});
instruction('fild', X87, [enc('DF /0', r(Mw)), enc('DB /0', r(Md)), enc('DF /5', r(Mq))], (x, src) => {
  wait(x);
  const v = x.load(src, src.width === 'w' ? 'i64.load16_s' : src.width === 'd' ? 'i64.load32_s' : 'i64.load');
  note(x, src);
  x.ir.call(st.LOAD_INT, [v]);
});
instruction('fbld', X87, [enc('DF /4', r(Mt))], (x, src) => {
  wait(x);
  const lo = x.load(src, 'i64.load');
  const hi = x.load(src, 'i32.load16_u', 8);
  note(x, src);
  x.ir.call(st.LOAD_BCD, [lo, hi]);
});

/** Store what `value` gives for ST(0) by `put`, unless an unmasked exception forbids it; then pop or not. */
function store(x: Emitter, dst: Operand, value: Helper, pop: boolean, put: (v: Value[]) => void): void {
  const { ir } = x;
  wait(x);
  x.address(dst); // worked out here, since what the conditional block below makes is its own
  const results = ir.call(value, []);
  const exc = results[results.length - 1] as Value;
  ir.if(
    ir.i32.ge_s(exc, i32(x, 0)),
    () => put(results),
    () => tryStore(x, dst, x.bits(dst) >> 3),
  );
  note(x, dst);
  ir.call(st.STORED, [exc, i32(x, pop ? 1 : 0)]);
}
function storeFloat(pop: boolean): (x: Emitter, dst: Operand) => void {
  return (x, dst) => {
    if (!x.isMemory(dst)) {
      wait(x);
      note(x);
      x.ir.call(st.STORE_ST, [i32(x, x.register(dst)), i32(x, pop ? 1 : 0)]);
    } else if (dst.width === 't') {
      store(x, dst, st.STORE80, pop, ([sig, se]) => {
        tryCrossing(x, dst, 10);
        x.store(dst, 'i64.store', sig as Value);
        x.store(dst, 'i32.store16', se as Value, 8);
      });
    } else if (dst.width === 'd') store(x, dst, st.STORE32, pop, ([v]) => x.store(dst, 'i32.store', v as Value));
    else store(x, dst, st.STORE64, pop, ([v]) => x.store(dst, 'i64.store', v as Value));
  };
}
instruction('fst', X87, [enc('D9 /2', w(Md)), enc('DD /2', w(Mq)), enc('DD D0+i', w(STi))], storeFloat(false));
instruction('fstp', X87, [enc('D9 /3', w(Md)), enc('DD /3', w(Mq)), enc('DB /7', w(Mt)), enc('DD D8+i', w(STi)), enc('DF D0+i', w(STi)), enc('DF D8+i', w(STi))], storeFloat(true));
registers('fstpnce', [enc('D9 D8+i', w(STi))], (x, dst) => x.ir.call(st.STORE_ST_UNCHECKED, [i32(x, x.register(dst))]));
function storeInteger(helpers: typeof st.STORE_INT | typeof st.STORE_TRUNCATED, pop: boolean): (x: Emitter, dst: Operand) => void {
  return (x, dst) => {
    if (dst.width === 'w') store(x, dst, helpers[16], pop, ([v]) => x.store(dst, 'i64.store16', v as Value));
    else if (dst.width === 'd') store(x, dst, helpers[32], pop, ([v]) => x.store(dst, 'i64.store32', v as Value));
    else store(x, dst, helpers[64], pop, ([v]) => x.store(dst, 'i64.store', v as Value));
  };
}
instruction('fist', X87, [enc('DF /2', w(Mw)), enc('DB /2', w(Md))], storeInteger(st.STORE_INT, false));
instruction('fistp', X87, [enc('DF /3', w(Mw)), enc('DB /3', w(Md)), enc('DF /7', w(Mq))], storeInteger(st.STORE_INT, true));
instruction('fisttp', X87, [enc('DF /1', w(Mw)), enc('DB /1', w(Md)), enc('DD /1', w(Mq))], storeInteger(st.STORE_TRUNCATED, true));
instruction('fbstp', X87, [enc('DF /6', w(Mt))], (x, dst) => {
  store(x, dst, st.STORE_BCD, true, ([lo, hi]) => {
    tryCrossing(x, dst, 10);
    x.store(dst, 'i64.store', lo as Value);
    x.store(dst, 'i32.store16', hi as Value, 8);
  });
});

// ---- arithmetic ----

type Arithmetic = keyof typeof st.MEMORY_ARITHMETIC;
/** `op` is the operation; reversed, the result is source op destination. Opcode columns: SDM volume 2, appendix A.5. */
function arithmetic(name: Arithmetic, digit: number, columns: readonly [number, number]): void {
  const reversed = name.endsWith('r');
  const op = st.REGISTER_ARITHMETIC[(reversed ? name.slice(0, -1) : name) as keyof typeof st.REGISTER_ARITHMETIC];
  const row = (n: number): string => n.toString(16).toUpperCase();
  const onStack = (pops: number) => (x: Emitter, dst: Operand, src: Operand): void => {
    wait(x);
    note(x);
    const d = i32(x, x.register(dst));
    const s = i32(x, x.register(src));
    x.ir.call(op, [d, ...(reversed ? [s, d] : [d, s]), i32(x, pops)]);
  };
  const fromMemory = (integer: boolean) => (x: Emitter, src: Operand): void => {
    wait(x);
    const value = readValue(x, src, integer);
    note(x, src);
    x.ir.call(st.MEMORY_ARITHMETIC[name], value);
  };
  const both = onStack(0);
  const memory = fromMemory(false);
  instruction(`f${name}`, X87, [enc(`D8 /${digit}`, r(Md)), enc(`DC /${digit}`, r(Mq)), enc(`D8 ${row(columns[0])}+i`, rw(ST0), r(STi)), enc(`DC ${row(columns[1])}+i`, rw(STi), r(ST0))], (x, a, b) => (x.insn.memory ? memory(x, a) : both(x, a, b)));
  instruction(`f${name}p`, X87, [enc(`DE ${row(columns[1])}+i`, rw(STi), r(ST0))], onStack(1));
  instruction(`fi${name}`, X87, [enc(`DE /${digit}`, r(Mw)), enc(`DA /${digit}`, r(Md))], fromMemory(true));
}
arithmetic('add', 0, [0xc0, 0xc0]);
arithmetic('mul', 1, [0xc8, 0xc8]);
arithmetic('sub', 4, [0xe0, 0xe8]);
arithmetic('subr', 5, [0xe8, 0xe0]);
arithmetic('div', 6, [0xf0, 0xf8]);
arithmetic('divr', 7, [0xf8, 0xf0]);

registers('fsqrt', [enc('D9 FA')], (x) => x.ir.call(st.SQRT, []));
registers('frndint', [enc('D9 FC')], (x) => x.ir.call(st.ROUND_TO_INT, []));
registers('fabs', [enc('D9 E1')], (x) => x.ir.call(st.SET_SIGN, [i32(x, 0x7fff), i32(x, 0)]));
registers('fchs', [enc('D9 E0')], (x) => x.ir.call(st.SET_SIGN, [i32(x, 0xffff), i32(x, 0x8000)]));
registers('fscale', [enc('D9 FD')], (x) => x.ir.call(st.SCALE, []));
registers('fprem', [enc('D9 F8')], (x) => x.ir.call(st.REMAINDER, [i32(x, 0)]));
registers('fprem1', [enc('D9 F5')], (x) => x.ir.call(st.REMAINDER, [i32(x, 1)]));
registers('fxtract', [enc('D9 F4')], (x) => x.ir.call(st.EXTRACT, []));

// ---- comparison ----

function comparison(name: string, encodings: readonly Encoding[], quiet: boolean, pops: number, integer = false): void {
  instruction(name, X87, encodings, (x, a) => {
    const { ir } = x;
    wait(x);
    if (x.insn.memory) {
      const value = readValue(x, a, integer);
      note(x, a);
      ir.call(st.COMPARE_MEMORY, [...value, i32(x, pops)]);
    } else {
      note(x);
      ir.call(st.COMPARE_ST, [i32(x, pops === 2 ? 1 : x.register(a)), i32(x, quiet ? 1 : 0), i32(x, pops)]);
    }
  });
}
comparison('fcom', [enc('D8 /2', r(Md)), enc('DC /2', r(Mq)), enc('D8 D0+i', r(STi)), enc('DC D0+i', r(STi))], false, 0);
comparison('fcomp', [enc('D8 /3', r(Md)), enc('DC /3', r(Mq)), enc('D8 D8+i', r(STi)), enc('DC D8+i', r(STi)), enc('DE D0+i', r(STi))], false, 1);
comparison('fcompp', [enc('DE D9')], false, 2);
comparison('ficom', [enc('DE /2', r(Mw)), enc('DA /2', r(Md))], false, 0, true);
comparison('ficomp', [enc('DE /3', r(Mw)), enc('DA /3', r(Md))], false, 1, true);
comparison('fucom', [enc('DD E0+i', r(STi))], true, 0);
comparison('fucomp', [enc('DD E8+i', r(STi))], true, 1);
comparison('fucompp', [enc('DA E9')], true, 2);
/** Into ZF PF CF; OF SF AF are cleared (the manual promises that only of some processors). */
function flagComparison(name: string, encoding: Encoding, quiet: boolean, pop: boolean): void {
  registers(name, [encoding], (x, _, b) => x.flags.explicit(x.ir.call(st.COMPARE_FLAGS, [i32(x, x.register(b)), i32(x, quiet ? 1 : 0), i32(x, pop ? 1 : 0)])[0] as Value), { ...X87, flags: 'oszapc' });
}
flagComparison('fcomi', enc('DB F0+i', r(ST0), r(STi)), false, false);
flagComparison('fucomi', enc('DB E8+i', r(ST0), r(STi)), true, false);
flagComparison('fcomip', enc('DF F0+i', r(ST0), r(STi)), false, true);
flagComparison('fucomip', enc('DF E8+i', r(ST0), r(STi)), true, true);
registers('ftst', [enc('D9 E4')], (x) => x.ir.call(st.COMPARE_MEMORY, [x.ir.const64(0), i32(x, 0), i32(x, 0)]));
registers('fxam', [enc('D9 E5')], (x) => x.ir.call(st.EXAMINE, []));

// ---- constants: significand rounded down, sign and exponent, [inexact, nearest is one above] ----

const CONSTANTS: readonly (readonly [name: string, modrm: number, significand: bigint, signExponent: number, inexact: number, nearestUp: number])[] = [
  ['fld1', 0xe8, 1n << 63n, 0x3fff, 0, 0],
  ['fldl2t', 0xe9, 0xd49a784bcd1b8afen, 0x4000, 1, 0],
  ['fldl2e', 0xea, 0xb8aa3b295c17f0bbn, 0x3fff, 1, 1],
  ['fldpi', 0xeb, 0xc90fdaa22168c234n, 0x4000, 1, 1],
  ['fldlg2', 0xec, 0x9a209a84fbcff798n, 0x3ffd, 1, 1],
  ['fldln2', 0xed, 0xb17217f7d1cf79abn, 0x3ffe, 1, 1],
  ['fldz', 0xee, 0n, 0, 0, 0],
];
for (const [name, modrm, sig, se, inexact, up] of CONSTANTS) {
  registers(name, [enc(`D9 ${modrm.toString(16).toUpperCase()}`)], (x) => {
    const { ir } = x;
    if (inexact === 0) ir.call(st.push, [ir.const64(sig), i32(x, se), i32(x, 0)]);
    else ir.call(st.LOAD_CONSTANT, [ir.const64(sig), i32(x, se), i32(x, 1), i32(x, up)]);
  });
}

// ---- moves within the stack ----

registers('fxch', [enc('D9 C8+i', rw(ST0), rw(STi)), enc('DD C8+i', rw(ST0), rw(STi)), enc('DF C8+i', rw(ST0), rw(STi))], (x, _, b) => x.ir.call(st.EXCHANGE, [i32(x, x.register(b))]));
const MOVES: readonly (readonly [string, string, number, string])[] = [
  ['fcmovb', 'DA C0+i', COND.b, 'c'],
  ['fcmove', 'DA C8+i', COND.e, 'z'],
  ['fcmovbe', 'DA D0+i', COND.be, 'zc'],
  ['fcmovu', 'DA D8+i', COND.p, 'p'],
  ['fcmovnb', 'DB C0+i', COND.ae, 'c'],
  ['fcmovne', 'DB C8+i', COND.ne, 'z'],
  ['fcmovnbe', 'DB D0+i', COND.a, 'zc'],
  ['fcmovnu', 'DB D8+i', COND.np, 'p'],
];
for (const [name, opcode, condition, reads] of MOVES) {
  registers(name, [enc(opcode, rw(ST0), r(STi))], (x, _, b) => x.ir.call(st.MOVE_IF, [i32(x, x.register(b)), x.flags.condition(condition)]), { ...X87, reads });
}
registers('fincstp', [enc('D9 F7')], (x) => x.ir.call(st.ROTATE, [i32(x, 1)]));
registers('fdecstp', [enc('D9 F6')], (x) => x.ir.call(st.ROTATE, [i32(x, 7)]));
registers('ffree', [enc('DD C0+i', w(STi))], (x, a) => x.ir.call(st.FREE, [i32(x, x.register(a)), i32(x, 0)]));
registers('ffreep', [enc('DF C0+i', w(STi))], (x, a) => x.ir.call(st.FREE, [i32(x, x.register(a)), i32(x, 1)]));
registers('fnop', [enc('D9 D0')], () => undefined);

// ---- control ----

instruction('wait', X87, [enc('9B')], (x) => wait(x));
instruction('fninit', X87, [enc('DB E3')], (x) => initialise(x.ir));
instruction('fnclex', X87, [enc('DB E2')], (x) => {
  x.ir.stateStore('i32.store', STATE.x87Status, x.ir.i32.and(st.loadStatus(x.ir), i32(x, 0x4700)));
});
/** Left over from the 8087 and 80287: no operation. */
for (const [name, opcode] of [['fneni', 'DB E0'], ['fndisi', 'DB E1'], ['fnsetpm', 'DB E4']] as const) instruction(name, X87, [enc(opcode)], () => undefined);
instruction('fnstcw', X87, [enc('D9 /7', w(Mw))], (x, dst) => x.store(dst, 'i32.store16', st.loadControl(x.ir)));
instruction('fldcw', X87, [enc('D9 /5', r(Mw))], (x, src) => {
  wait(x);
  x.ir.call(st.LOAD_CONTROL, [x.load(src, 'i32.load16_u')]);
});
instruction('fnstsw', X87, [enc('DD /7', w(Mw)), enc('DF E0', w(AX))], (x, dst) => {
  const v = st.statusWord(x.ir);
  if (x.isMemory(dst)) x.store(dst, 'i32.store16', v);
  else x.setGpr(0, v, 16);
});
instruction('fnstenv', X87, [enc('D9 /6', w(Menv))], (x, dst) => {
  storeEnvironment(x, dst);
  maskAll(x);
});
instruction('fldenv', X87, [enc('D9 /4', r(Menv))], (x, src) => {
  wait(x);
  loadEnvironment(x, src);
});
instruction('fnsave', X87, [enc('DD /6', w(Mstate))], (x, dst) => {
  storeState(x, dst);
  initialise(x.ir);
});
instruction('frstor', X87, [enc('DD /4', r(Mstate))], (x, src) => {
  wait(x);
  loadState(x, src);
});
