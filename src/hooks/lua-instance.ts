/**
 * One thread's instance of the Lua interpreter and of the functions around it (glue.ts): WebAssembly modules over a
 * memory and a function table, with JavaScript behind them.
 *
 * Invariants: a Lua state refers to C functions by their table slots, so every thread that uses it has the same
 * functions at the same slots; WebAssembly's globals (the C stack pointer among them) are the instance's own.
 */

import { bridgeModule, common, unwindingModule, unwindingSlots } from './glue.ts';
import { fitLuaBinary, type LuaModule, readLuaBinary } from './lua-binary.ts';
import type { LuaExports, LuaFunction, LuaState, Pointer } from './lua-exports.ts';

/** What JavaScript stands behind an instance. */
export interface VmOptions {
  /** Builds Lua's C library imports over its memory. */
  system(memory: WebAssembly.Memory): { env: WebAssembly.ModuleImports; wasi: WebAssembly.ModuleImports };
  /** JavaScript functions callable from Lua by `pushFunction(name)`. */
  readonly functions: Readonly<Record<string, LuaFunction>>;
  /** Argument `i` of c_do_syscall, which is not an integer. */
  argument(L: LuaState, i: number): bigint;
  /** Perform the call in the block's inner part and store its result there. */
  original(L: LuaState): void;
  /** The instruction counter ran out. */
  tick(L: LuaState): void;
  /** Bytes Lua may hold at most. */
  readonly memoryLimit: number;
}

/** Compiled once for all threads of a process: can be handed to another one. */
export interface LuaModules {
  readonly lua: LuaModule;
  readonly unwinding: WebAssembly.Module;
  readonly bridge: WebAssembly.Module;
  /** Names of the functions from slot `first` on, in order. */
  readonly functions: readonly string[];
  readonly first: number;
}

/** `variant`: another text gives modules whose code is compiled anew. @throws Error when the interpreter is not there. */
export function compileLua(functions: readonly string[], variant = ''): LuaModules {
  const lua = fitLuaBinary(readLuaBinary(), variant);
  return {
    lua,
    unwinding: unwindingModule(lua.tableSize, variant),
    bridge: bridgeModule(lua.minPages, lua.maxPages, functions, variant),
    functions: ['alloc', 'countHook', 'c_do_syscall', ...functions],
    first: lua.tableSize + unwindingSlots.length,
  };
}

export interface LuaInstance {
  readonly x: LuaExports;
  hookCall(L: LuaState, ref: number, block: Pointer): number;
  /** Where c_do_syscall puts its arguments. */
  readonly block: WebAssembly.Global;
}

/** An instance of `modules` with its functions in `table`; those of an instance that was there before are replaced. */
export function instantiateLua(
  modules: LuaModules, memory: WebAssembly.Memory, table: WebAssembly.Table, options: VmOptions,
): LuaInstance {
  const { lua, first } = modules;
  const { functions, argument, original, tick } = options;
  const names = ['alloc', 'countHook', 'c_do_syscall', ...Object.keys(functions)];
  if (names.join() !== modules.functions.join()) throw new Error('the threads of a Lua state have different functions');
  const unwinding = new WebAssembly.Instance(modules.unwinding, { env: { table } }).exports as WebAssembly.ModuleImports;
  const { env, wasi } = options.system(memory);
  const resize = env['emscripten_resize_heap'] as (wanted: number) => number;
  const own = {
    memory,
    table,
    invoke_vii: unwinding['invoke'],
    _emscripten_throw_longjmp: unwinding['throwLongjmp'],
    emscripten_resize_heap: (wanted: number): number => {
      const done = resize(wanted);
      new Int32Array(memory.buffer)[common.size >> 2] = memory.buffer.byteLength;
      return done;
    },
  };
  const x = new WebAssembly.Instance(lua.module, {
    env: { ...env, ...own } as WebAssembly.ModuleImports,
    wasi_snapshot_preview1: wasi,
  }).exports as unknown as LuaExports;
  unwindingSlots.forEach((name, k) => table.set(lua.tableSize + k, x[name]));
  const bridge = new WebAssembly.Instance(modules.bridge, {
    env: { memory },
    lua: x as unknown as WebAssembly.ModuleImports,
    js: { ...functions, argument, original, tick } as unknown as WebAssembly.ModuleImports,
  }).exports as unknown as Pick<LuaInstance, 'hookCall' | 'block'> & Record<string, unknown>;
  names.forEach((name, k) => table.set(first + k, bridge[name]));
  return { x, hookCall: bridge.hookCall, block: bridge.block };
}

/** A table that holds all of the modules' functions. */
export function tableFor(modules: LuaModules): WebAssembly.Table {
  return new WebAssembly.Table({ element: 'anyfunc', initial: modules.first + modules.functions.length });
}
