/**
 * The lazy flags: for every class and size, a condition computed directly (cc_op known while translating), through the
 * helpers (unknown), and from the JavaScript reading of the state must be one and the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Builder } from '../../../src/ir/builder.ts';
import { interpret } from '../../../src/ir/interpreter.ts';
import { verify } from '../../../src/ir/verifier.ts';
import { RFLAGS, STATE, STATUS_FLAGS, VARS } from '../../../src/isa/x86_64/cpu-state.ts';
import { CC, CONDITIONS, Flags, statusFlags } from '../../../src/isa/x86_64/flags.ts';
import { integer64, Random } from './random.ts';

const SEED = Number(process.env['LUNAGATE_SEED'] ?? 1);
const CASES = Number(process.env['LUNAGATE_CASES'] ?? 12) * 4;
const MEMORY = { load: () => assert.fail('no memory access'), store: () => assert.fail('no memory access') };

/** The manual's table of conditions over a flags word. */
function holds(code: number, f: number): boolean {
  const is = (bit: number): boolean => (f & bit) !== 0;
  const base = [is(RFLAGS.OF), is(RFLAGS.CF), is(RFLAGS.ZF), is(RFLAGS.CF) || is(RFLAGS.ZF), is(RFLAGS.SF), is(RFLAGS.PF), is(RFLAGS.SF) !== is(RFLAGS.OF), is(RFLAGS.ZF) || is(RFLAGS.SF) !== is(RFLAGS.OF)][code >> 1] as boolean;
  return (code & 1) === 0 ? base : !base;
}

/** All conditions, the carry and the flags word, stored in the scratch area; `known`: what is known of cc_op. */
function program(known: number): { ir: Builder; run(state: Uint8Array): number[] } {
  const ir = new Builder(VARS);
  const flags = new Flags();
  const entry = ir.newBlock(0);
  ir.begin(entry);
  flags.begin(ir);
  flags.known = known;
  for (let code = 0; code < 16; code++) ir.stateStore('i32.store', STATE.scratch + 4 * code, flags.condition(code));
  ir.stateStore('i32.store', STATE.scratch + 64, flags.carry());
  ir.stateStore('i32.store', STATE.scratch + 68, flags.all());
  ir.end({ kind: 'jump', pc: 0 });
  assert.deepEqual(verify(ir, entry), []);
  return {
    ir,
    run(state) {
      interpret(ir, entry, { state, memory: MEMORY as never });
      const view = new DataView(state.buffer);
      return Array.from({ length: 18 }, (_, k) => view.getInt32(STATE.scratch + 4 * k, true));
    },
  };
}

test('known, unknown and JavaScript agree on every flag', () => {
  const random = new Random(SEED);
  const unknown = program(-1);
  const state = new Uint8Array(STATE.end);
  const view = new DataView(state.buffer);
  for (const [name, kind] of Object.entries(CC)) {
    for (let size = 0; size < 4; size++) {
      if (name === 'flags' && size > 0) continue;
      if (name === 'float' && size < 2) continue;
      const op = kind + size;
      const known = program(op);
      for (let n = 0; n < CASES; n++) {
        const bits = 8 << size;
        const value = (): bigint => BigInt.asUintN(bits, integer64(random));
        let a = value();
        let b = random.chance(0.2) ? a : value();
        let c = 0n;
        if (name === 'flags') a = BigInt(random.u32() & STATUS_FLAGS);
        if (name === 'adc' || name === 'sbb') c = BigInt(random.below(2));
        if (name === 'inc' || name === 'dec') b = BigInt(random.below(2));
        if (name === 'result') b = BigInt(random.u32() & (RFLAGS.CF | RFLAGS.AF | RFLAGS.OF));
        if (name === 'float') {
          const values = [0, -0, 1, -1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 5e-324];
          const float = new DataView(new ArrayBuffer(8));
          const pick = (): bigint => {
            if (size === 3) float.setFloat64(0, random.pick(values), true);
            else float.setFloat32(0, random.pick(values), true);
            return size === 3 ? float.getBigUint64(0, true) : BigInt(float.getUint32(0, true));
          };
          a = pick();
          b = pick();
        }
        view.setInt32(STATE.ccOp, op, true);
        view.setBigUint64(STATE.ccA, a, true);
        view.setBigUint64(STATE.ccB, b, true);
        view.setBigUint64(STATE.ccC, c, true);
        const f = statusFlags(op, a, b, c);
        const expected = [...CONDITIONS.map((_, code) => (holds(code, f) ? 1 : 0)), f & 1, f];
        const where = `${name} of ${bits} bits, a=${a.toString(16)} b=${b.toString(16)} c=${c}`;
        assert.deepEqual(unknown.run(state), expected, `unknown: ${where}`);
        assert.deepEqual(known.run(state), expected, `known: ${where}`);
      }
    }
  }
});
