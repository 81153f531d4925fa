/** Random regions: lowered to WebAssembly they must leave the same state and memory as under the interpreter. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Block, Builder, type Value, type Var } from '../../src/ir/builder.ts';
import { interpret } from '../../src/ir/interpreter.ts';
import { LOADS, type LoadName, OPS, STORES, type StoreName, type Type } from '../../src/ir/ops.ts';
import { printRegion } from '../../src/ir/printer.ts';
import { verify } from '../../src/ir/verifier.ts';
import { Analysis } from '../../src/jit/analysis.ts';
import { makeReducible } from '../../src/jit/reducible.ts';
import { mulHiS, mulHiU } from '../../src/jit/wide-multiply.ts';
import { RegionRunner } from './run-region.ts';

const vars: Var[] = [];
const addVar = (type: Type, offset: number): void => {
  vars.push({ index: vars.length, name: `v${vars.length}`, type, offset });
};
for (let k = 0; k < 5; k++) addVar('i64', 8 * k);
for (let k = 0; k < 3; k++) addVar('i32', 64 + 4 * k);
for (let k = 0; k < 3; k++) addVar('v128', 128 + 16 * k);
const frontend = {
  vars,
  pcOffset: 48,
  hotParams: [vars[0], vars[1]],
  hotResults: [vars[0], vars[2]],
  flagVars: [],
} as unknown as ConstructorParameters<typeof RegionRunner>[0];

/** xorshift: the same regions in every run. */
function random(seed: number): (n: number) => number {
  let s = seed * 2654435761 + 1;
  return (n) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) % n;
  };
}
const numeric = OPS.filter(
  (o) =>
    o !== undefined &&
    o.kind === 'pure' &&
    !o.args.concat(o.result as Type).some((t) => t === 'f32' || t === 'f64') &&
    !/^f\d+x/.test(o.name) &&
    !/f32|f64/.test(o.name),
);
const MEMORY = 4096;
const STATE_SCRATCH = 512;

function build(ir: Builder, next: (n: number) => number): Block {
  ir.reset();
  const blocks: Block[] = [];
  const count = 1 + next(7);
  for (let k = 0; k < count; k++) blocks.push(ir.newBlock(0x1000 + k * 16));
  const fuel = ir.temp('i32');
  const spare = ir.temp('i64');
  const entry = ir.newBlock(0x1000 - 16);
  ir.begin(entry);
  ir.set(fuel, ir.const32(20));
  ir.set(spare, ir.const64(next(1000)));
  ir.goto(blocks[0] as Block);
  for (let k = 0; k < count; k++) {
    ir.begin(blocks[k] as Block);
    let pool: Value[] = [];
    const pick = (type: Type): Value => {
      const of = pool.filter((v) => ir.typeOf(v) === type);
      if (of.length > 0 && next(3) > 0) return of[next(of.length)] as Value;
      const v = vars.filter((x) => x.type === type);
      if (v.length > 0 && next(2) === 0) return ir.get(v[next(v.length)] as Var);
      switch (type) {
        case 'i32':
          return ir.const32(next(2) === 0 ? next(64) : next(0x100000000));
        case 'i64':
          return next(4) === 0
            ? ir.get(spare)
            : ir.const64(next(2) === 0 ? next(64) : BigInt(next(0x100000000)) * 0x10000001n);
        default:
          return ir.const128(Array.from({ length: 16 }, () => next(256)));
      }
    };
    const address = (): Value => ir.i64.add(ir.i64.and(pick('i64'), ir.const64(0x7ff)), ir.const64(next(3) * 512));
    const steps = next(14);
    for (let s = 0; s < steps; s++) {
      switch (next(10)) {
        case 0: {
          const v = vars[next(vars.length)] as Var;
          ir.set(v, pick(v.type));
          break;
        }
        case 1: {
          const names = Object.keys(LOADS).filter((n) => !/^f/.test(n)) as LoadName[];
          pool.push(ir.load(names[next(names.length)] as LoadName, address(), next(2) * next(40)));
          break;
        }
        case 2: {
          const names = Object.keys(STORES).filter((n) => !/^f/.test(n)) as StoreName[];
          const name = names[next(names.length)] as StoreName;
          ir.store(name, address(), pick(STORES[name][1]), next(40));
          break;
        }
        case 3:
          if (next(4) === 0) ir.probeWrite(address(), 1 + next(64), next(40));
          if (next(2) === 0) pool.push(ir.stateLoad('i64.load', STATE_SCRATCH + 8 * next(4)));
          else ir.stateStore('i64.store', STATE_SCRATCH + 8 * next(4), pick('i64'));
          break;
        case 4: {
          const size = ([1, 2, 4, 8] as const)[next(4)] as 1 | 2 | 4 | 8;
          const t: Type = size === 8 ? 'i64' : 'i32';
          const narrow = (v: Value): Value => (size < 4 ? ir.i32.and(v, ir.const32((1 << (size * 8)) - 1)) : v);
          pool.push(
            next(2) === 0
              ? ir.atomicRmw(
                  (['add', 'sub', 'and', 'or', 'xor', 'xchg'] as const)[next(6)] as 'add',
                  size,
                  address(),
                  narrow(pick(t)),
                )
              : ir.atomicCmpxchg(size, address(), narrow(pick(t)), narrow(pick(t))),
          );
          break;
        }
        case 5: {
          const t = (['i32', 'i64', 'v128'] as const)[next(3)] as Type;
          pool.push(ir.select(pick('i32'), pick(t), pick(t)));
          break;
        }
        case 6:
          if (next(2) === 0) pool.push(...ir.call(next(2) === 0 ? mulHiU : mulHiS, [pick('i64'), pick('i64')]));
          else pool.push(next(2) === 0 ? ir.mulHiU(pick('i64'), pick('i64')) : ir.mulHiS(pick('i64'), pick('i64')));
          break;
        default: {
          const info = numeric[next(numeric.length)] as NonNullable<(typeof numeric)[0]>;
          const [space, name] = info.name.split('.') as [string, string];
          const f = (ir as unknown as Record<string, Record<string, (...v: Value[]) => Value>>)[space]?.[name];
          if (f === undefined) throw new Error(info.name);
          pool.push(f(...info.args.map(pick)));
        }
      }
      if (next(6) === 0) {
        const kept = pool;
        ir.if(pick('i32'), () => {
          pool = kept.slice();
          ir.set(vars[next(5)] as Var, pick('i64'));
          ir.set(spare, pick('i64'));
        });
        pool = kept;
      }
    }
    const to = (): Block => blocks[next(count)] as Block;
    // Every way back burns fuel, so the region ends.
    const left = ir.i32.sub(ir.get(fuel), ir.const32(1));
    ir.set(fuel, left);
    const out = ir.newBlock();
    const go = ir.newBlock();
    const target = pick('i64');
    ir.branch(ir.i32.gt_s(left, ir.const32(0)), go, out);
    ir.begin(out);
    switch (next(6)) {
      case 0:
        ir.end({ kind: 'ret', pc: target });
        break;
      case 1:
        ir.end({ kind: 'jumpIndirect', pc: target });
        break;
      case 2:
        ir.trap(0x77, 13);
        break;
      default:
        ir.end({ kind: 'jump', pc: 0x4444 });
    }
    ir.begin(go);
    switch (next(4)) {
      case 0:
        ir.goto(to());
        break;
      case 1:
        ir.switch(ir.i32.and(pick('i32'), ir.const32(3)), [to(), to(), to()], to());
        break;
      default:
        ir.branch(pick('i32'), to(), to());
    }
  }
  return entry;
}

function isReducible(ir: Builder, entry: Block): boolean {
  const analysis = new Analysis();
  analysis.run(ir, entry, [], [], 0, false, false, []);
  return analysis.reducible;
}

test('random regions agree with the interpreter', () => {
  const memory = new WebAssembly.Memory({ address: 'i64', initial: 1n, maximum: 1n, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const runner = new RegionRunner(frontend, memory, 1);
  const ir = new Builder(vars);
  const rounds = Number(process.env['LUNAGATE_FUZZ'] ?? 1500);
  for (let seed = 1; seed <= rounds; seed++) {
    const next = random(seed);
    const built = build(ir, next);
    const entry = seed % 2 === 0 ? makeReducible(ir, built) : built;
    if (seed % 2 === 0) assert.ok(isReducible(ir, entry), `seed ${seed}`);
    const text = (): string => `seed ${seed}\n${printRegion(ir)}`;
    assert.deepEqual(verify(ir, entry), [], text());
    const state = new Uint8Array(1024).map(() => next(256));
    const ram = new Uint8Array(MEMORY).map(() => next(256));

    const mine = state.slice();
    const mineRam = ram.slice();
    const at = (a: bigint, n: number): number => {
      assert.ok(a >= 0n && a + BigInt(n) <= BigInt(MEMORY));
      return Number(a);
    };
    const exit = interpret(ir, entry, {
      state: mine,
      memory: {
        load: (a, target) => target.set(mineRam.subarray(at(a, target.length), Number(a) + target.length)),
        store: (a, source) => mineRam.set(source, at(a, source.length)),
      },
    });

    runner.state.set(state);
    bytes.set(ram);
    const left = runner.run(ir, entry, seed % 4 === 0, seed % 3 === 0);
    assert.equal(left.kind, exit.kind === 'trap' ? 'trap' : 'left', `${left.error?.stack} ${text()}`);
    assert.equal(BigInt.asUintN(64, left.pc), BigInt.asUintN(64, exit.pc), text());
    for (const v of vars) {
      const n = { i32: 4, i64: 8, f32: 4, f64: 8, v128: 16 }[v.type];
      assert.deepEqual(
        runner.state.slice(v.offset, v.offset + n),
        mine.slice(v.offset, v.offset + n),
        `${v.name} ${text()}`,
      );
    }
    assert.deepEqual(
      runner.state.slice(STATE_SCRATCH, STATE_SCRATCH + 32),
      mine.slice(STATE_SCRATCH, STATE_SCRATCH + 32),
      text(),
    );
    assert.ok(Buffer.from(bytes.buffer, 0, MEMORY).equals(mineRam), `memory ${text()}`);
  }
});
