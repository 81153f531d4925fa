import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Builder, type Helper, type Var } from '../../src/ir/builder.ts';
import { interpret, type InterpreterMemory, MemoryFault } from '../../src/ir/interpreter.ts';
import { OP, OPS } from '../../src/ir/ops.ts';
import { printRegion } from '../../src/ir/printer.ts';
import { verify } from '../../src/ir/verifier.ts';

const A: Var = { index: 0, name: 'a', type: 'i64', offset: 0 };
const X: Var = { index: 1, name: 'x', type: 'v128', offset: 16 };
const VARS = [A, X];

function memoryOf(buffer: Uint8Array): InterpreterMemory {
  const range = (addr: bigint, size: number, write: boolean): number => {
    if (addr < 0x1000n || addr + BigInt(size) > 0x1000n + BigInt(buffer.length)) throw new MemoryFault(addr, write);
    return Number(addr - 0x1000n);
  };
  return {
    load: (addr, target) => target.set(buffer.subarray(range(addr, target.length, false), range(addr, target.length, false) + target.length)),
    store: (addr, source) => buffer.set(source, range(addr, source.length, true)),
  };
}
function start(): { ir: Builder; state: Uint8Array; view: DataView; run: () => ReturnType<typeof interpret>; buffer: Uint8Array } {
  const ir = new Builder(VARS);
  const entry = ir.newBlock(0x400000);
  ir.begin(entry);
  ir.insn(0x400000);
  const state = new Uint8Array(64);
  const buffer = new Uint8Array(64);
  return {
    ir, state, buffer,
    view: new DataView(state.buffer),
    run: () => {
      assert.deepEqual(verify(ir, entry), []);
      return interpret(ir, entry, { state, memory: memoryOf(buffer) });
    },
  };
}

test('a loop over variables, temporaries and memory', () => {
  const { ir, view, run, buffer } = start();
  const n = ir.temp('i32');
  ir.set(n, ir.const32(10));
  ir.loop(() => {
    ir.set(A, ir.i64.add(ir.get(A), ir.i64.extend_i32_u(ir.get(n))));
    ir.set(n, ir.i32.sub(ir.get(n), ir.const32(1)));
    return ir.get(n);
  });
  ir.store('i32.store16', ir.const64(0x1000), ir.const32(-2), 6);
  ir.set(X, ir.i16x8.splat(ir.load('i32.load16_s', ir.const64(0x1006))));
  ir.end({ kind: 'jump', pc: 0x400010 });
  assert.deepEqual(run(), { kind: 'jump', pc: 0x400010n });
  assert.equal(view.getBigInt64(0, true), 55n);
  assert.deepEqual([...buffer.subarray(5, 9)], [0, 0xfe, 0xff, 0]);
  assert.equal(view.getBigInt64(16, true), BigInt.asIntN(64, 0xfffe_fffe_fffe_fffen));
});

test('a fault names the instruction and leaves later effects undone', () => {
  const { ir, view, run } = start();
  ir.set(A, ir.const64(7));
  ir.insn(0x400004);
  const v = ir.load('i64.load', ir.const64(0x103c)); // four bytes past the end
  ir.set(A, v);
  ir.end({ kind: 'jump', pc: 0 });
  assert.deepEqual(run(), { kind: 'fault', pc: 0x400004n, address: 0x103cn, write: false });
  assert.equal(view.getBigInt64(0, true), 7n);
});

test('helpers in IR and in JavaScript, several results', () => {
  const divmod: Helper = {
    name: 'divmod', params: ['i64', 'i64'], results: ['i64', 'i64'], effect: 'pure',
    build: (ir, x, y) => ir.if(ir.i64.eqz(y), () => ir.ret([x, y]), () => ir.ret([ir.i64.div_u(x, y), ir.i64.rem_u(x, y)])),
  };
  // `if` opens a block after both arms; end it
  const closed: Helper = { ...divmod, build: (ir, x, y) => { divmod.build?.(ir, x, y); ir.ret([x, y]); } };
  const js: Helper = { name: 'js', params: ['i64', 'i32'], results: ['i64'], effect: 'pure', js: (_env, a, b) => (a as bigint) * BigInt(b as number) };
  const { ir, view, run } = start();
  const [q, r] = ir.call(closed, [ir.const64(100), ir.const64(7)]);
  assert.ok(q !== undefined && r !== undefined);
  const [p] = ir.call(js, [ir.i64.add(ir.i64.mul(q, ir.const64(1000)), r), ir.const32(-3)]);
  ir.set(A, p as typeof q);
  ir.end({ kind: 'jump', pc: 0 });
  run();
  assert.equal(view.getBigInt64(0, true), -3n * 14002n);
});

test('NaN payloads survive variables, memory and arithmetic as the engine gives them', () => {
  const { ir, view, run } = start();
  const nan = ir.f64.reinterpret_i64(ir.const64(0x7ff0_0000_0000_1234n)); // signalling
  ir.set(A, ir.i64.reinterpret_f64(ir.f64.add(nan, ir.constF64(0x3ff0_0000_0000_0000n))));
  ir.end({ kind: 'jump', pc: 0 });
  run();
  assert.equal(view.getBigUint64(0, true), 0x7ff8_0000_0000_1234n);
});

test('wide multiplication, atomics, state memory', () => {
  const { ir, view, run, buffer } = start();
  buffer[3] = 5;
  const old = ir.atomicRmw('add', 1, ir.const64(0x1003), ir.const32(255));
  const seen = ir.atomicCmpxchg(2, ir.const64(0x1003), ir.const32(4), ir.const32(0xabcd));
  ir.stateStore('i32.store8', 40, ir.i32.add(ir.i32.mul(old, ir.const32(16)), seen), ir.const32(2));
  ir.set(A, ir.i64.add(ir.mulHiS(ir.const64(-1), ir.const64(1)), ir.mulHiU(ir.const64(-1), ir.const64(2))));
  ir.end({ kind: 'jump', pc: 0 });
  run();
  assert.equal(view.getUint8(42), 0x54);
  assert.deepEqual([buffer[3], buffer[4]], [0xcd, 0xab]);
  assert.equal(view.getBigInt64(0, true), 0n);
});

test('every numeric operation executes', () => {
  const { ir, run } = start();
  const one = { i32: () => ir.const32(1), i64: () => ir.const64(1), f32: () => ir.constF32(0x3f800000), f64: () => ir.constF64(0x3ff0_0000_0000_0000n), v128: () => ir.const128(new Uint8Array(16).fill(1)) };
  let count = 0;
  for (const info of OPS) {
    if (info === undefined || !['pure', 'div', 'lane'].includes(info.kind)) continue;
    const [space, name] = info.name.split('.') as [string, string];
    const args = info.args.map((t) => one[t]());
    if (info.kind === 'lane') args.splice(1, 0, 1 as never);
    const method = (ir as unknown as Record<string, Record<string, (...a: unknown[]) => unknown>>)[space]?.[name];
    assert.ok(method, info.name);
    method(...args);
    count++;
  }
  ir.end({ kind: 'jump', pc: 0 });
  assert.ok(count > 300);
  run();
});

test('the verifier names what is wrong', () => {
  const { ir } = start();
  const entry = ir.blocks[0];
  assert.ok(entry);
  const inner = ir.newBlock();
  const after = ir.newBlock();
  ir.branch(ir.i32.wrap_i64(ir.get(A)), inner, after);
  ir.begin(inner);
  const v = ir.get(A);
  ir.goto(after);
  ir.begin(after);
  ir.set(X, v);
  ir.ret([]);
  const problems = verify(ir, entry);
  assert.match(problems.join('\n'), /does not dominate/);
  assert.match(problems.join('\n'), /wants v128, v\d+ is i64/);
  assert.match(problems.join('\n'), /a region ends in return/);
  const open = start();
  open.ir.goto(open.ir.newBlock());
  assert.match(verify(open.ir, open.ir.blocks[0] as NonNullable<(typeof open.ir.blocks)[0]>).join(), /never begun/);
});

test('printing', () => {
  const { ir } = start();
  const v = ir.load('i64.load', ir.get(A), 8);
  ir.set(A, ir.select(ir.i64.eqz(v), ir.const64(-1), v));
  ir.end({ kind: 'ret', pc: v });
  assert.equal(printRegion(ir), `block 0 (pc 0x400000):
  -- 0x400000
  v1: i64 = get a
  v2: i64 = i64.load [v1 + 8]
  v3: i32 = i64.eqz v2
  v4: i64 = const 0xffffffffffffffff
  v5: i64 = select v3 ? v4 : v2
  set a, v5
  ret v2
`);
  assert.ok(Object.values(OP).every((id) => OPS[id] !== undefined));
});
