/**
 * The hand-written WebAssembly that translated code runs in: the dispatch loop and the two special table slots.
 *
 * - `run`: for ever: find the region for state.pc, call it, put its results back into state memory.
 * - `miss` (SLOT_MISS): nothing is translated at state.pc yet: have it translated, go there.
 * - `budget` (SLOT_BUDGET): a loop or an entry counter ran out at state.pc: have somebody look, go on.
 *
 * The imports `resolve` and `spent` return a table slot, or −1 when state.pc or the registers were changed meanwhile;
 * then everything unwinds to `run`.
 */
import type { Frontend } from '../ir/frontend.ts';
import { ByteWriter } from '../wasm/byte-writer.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import * as layout from './layout.ts';
import { FRAME_TYPE, importMemories } from './module-parts.ts';

export interface RuntimeImports {
  readonly memory: WebAssembly.Memory;
  readonly state: WebAssembly.Memory;
  readonly table: WebAssembly.Table;
  resolve(): number;
  /** As `resolve`, the jump at layout.SITE having led here. */
  resolveIndirect(): number;
  spent(): number;
  /** Something is pending (signal, stop request). */
  poll(): void;
}
export interface Runtime {
  run(): never;
  readonly miss: unknown;
  readonly budget: unknown;
  readonly missIndirect: unknown;
}

const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const LOCAL_TEE = 0x22;
const I32_CONST = 0x41;
const I64_LOAD = 0x29;
const I64_STORE = 0x37;
const I32_LOAD = 0x28;

export function makeRuntime(
  frontend: Frontend,
  pendingOffset: number,
  imports: RuntimeImports,
  guestPages: number,
): Runtime {
  const m = new ModuleBuilder();
  importMemories(m, guestPages);
  m.importTable('g', 't', 1);
  const frame = m.type(FRAME_TYPE.params, FRAME_TYPE.results);
  const toSlot = m.type([], ['i32']);
  const plain = m.type([], []);
  const resolve = m.importFunction('r', 'resolve', toSlot);
  const spent = m.importFunction('r', 'spent', toSlot);
  const resolveIndirect = m.importFunction('r', 'resolveIndirect', toSlot);
  const poll = m.importFunction('r', 'poll', plain);
  const [p0, p1] = frontend.hotParams;
  const [r0, r1] = frontend.hotResults;

  const w = new ByteWriter();
  const state = (op: number, offset: number): void => {
    w.u8(op);
    w.u8(0x40);
    w.u8(1);
    w.u32(offset);
  };
  const zero = (): void => {
    w.u8(I32_CONST);
    w.s32(0);
  };
  const loadState = (offset: number): void => {
    zero();
    state(I64_LOAD, offset);
  };
  const local = (op: number, index: number): void => {
    w.u8(op);
    w.u32(index);
  };
  const storeState = (offset: number, index: number): void => {
    zero();
    local(LOCAL_GET, index);
    state(I64_STORE, offset);
  };

  // miss / budget: (depth, p0, p1)
  const special = (name: string, callee: number): void => {
    w.reset();
    storeState(p0.offset, 1);
    storeState(p1.offset, 2);
    w.u8(0x10);
    w.u32(callee);
    local(LOCAL_TEE, 3);
    w.u8(I32_CONST);
    w.s32(0);
    w.u8(0x48); // i32.lt_s
    w.u8(0x04);
    w.u8(0x40);
    loadState(r0.offset);
    loadState(r1.offset);
    w.u8(0x0f);
    w.u8(0x0b);
    local(LOCAL_GET, 0);
    loadState(p0.offset);
    loadState(p1.offset);
    local(LOCAL_GET, 3);
    w.u8(0x13);
    w.u32(frame);
    w.u32(0);
    m.func(frame, ['i32'], w.take(), { name, exported: name });
  };
  special('miss', resolve);
  special('budget', spent);
  special('missIndirect', resolveIndirect);

  // run: locals pc i64, entry i32, slot i32, a i64, b i64
  w.reset();
  w.u8(0x03);
  w.u8(0x40);
  zero();
  state(I32_LOAD, pendingOffset);
  w.u8(0x04);
  w.u8(0x40);
  w.u8(0x10);
  w.u32(poll);
  w.u8(0x0b);
  loadState(frontend.pcOffset);
  local(LOCAL_TEE, 0);
  w.u8(0xa7);
  local(LOCAL_TEE, 1);
  local(LOCAL_GET, 1);
  w.u8(I32_CONST);
  w.s32(layout.JUMP_CACHE_BITS);
  w.u8(0x76);
  w.u8(0x73);
  w.u8(I32_CONST);
  w.s32((1 << layout.JUMP_CACHE_BITS) - 1);
  w.u8(0x71);
  w.u8(I32_CONST);
  w.s32(4);
  w.u8(0x74);
  local(LOCAL_TEE, 1);
  state(I64_LOAD, layout.JUMP_CACHE);
  local(LOCAL_GET, 0);
  w.u8(0x51);
  w.u8(0x04);
  w.u8(0x7f);
  local(LOCAL_GET, 1);
  state(I32_LOAD, layout.JUMP_CACHE + 8);
  w.u8(0x05);
  w.u8(0x10);
  w.u32(resolve);
  w.u8(0x0b);
  local(LOCAL_TEE, 2);
  w.u8(I32_CONST);
  w.s32(0);
  w.u8(0x48);
  w.u8(0x0d);
  w.u32(0);
  w.u8(I32_CONST);
  w.s32(layout.DEPTH_LIMIT);
  loadState(p0.offset);
  loadState(p1.offset);
  local(LOCAL_GET, 2);
  w.u8(0x11);
  w.u32(frame);
  w.u32(0);
  local(LOCAL_SET, 4);
  local(LOCAL_SET, 3);
  storeState(r0.offset, 3);
  storeState(r1.offset, 4);
  w.u8(0x0c);
  w.u32(0);
  w.u8(0x0b);
  m.func(plain, ['i64', 'i32', 'i32', 'i64', 'i64'], w.take(), { name: 'run', exported: 'run' });

  const { bytes } = m.finish();
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    g: { m: imports.memory, s: imports.state, t: imports.table },
    r: { resolve: imports.resolve, resolveIndirect: imports.resolveIndirect, spent: imports.spent, poll: imports.poll },
  });
  const e = instance.exports as { run: () => never; miss: unknown; budget: unknown; missIndirect: unknown };
  return { run: e.run, miss: e.miss, budget: e.budget, missIndirect: e.missIndirect };
}
