/**
 * Owns what all scripts share inside the Lua state: the global functions and tables, environments, Lua threads,
 * modules. Knows scripts only as their text.
 *
 * Each thread that uses the state has one of these. What they have in common lies in the state itself: see `common`.
 */

import { aliases, prelude } from './api.ts';
import { block, common } from './glue.ts';
import { type LuaState, luaType, REGISTRY } from './lua-exports.ts';
import type { LuaFailure, LuaVm } from './lua-vm.ts';

const LUA_MASKCOUNT = 8;
/** Hooks of one thread that can be in progress at a time: calls made for a hook may run guest code with hooks of its own. */
const LEVELS = 65536;

export class ScriptHost {
  readonly vm: LuaVm;
  readonly #tick: number;
  /** The number of this thread among those that use the state. */
  readonly #thread: number;

  /** `tick`: instructions between two calls of the count hook. */
  constructor(vm: LuaVm, tick: number, thread: number) {
    this.vm = vm;
    this.#tick = tick;
    this.#thread = thread;
  }

  /** Fill the fresh state; `strict` leaves out what reaches the host. @throws Error when the engine's own Lua code fails. */
  furnish(strict: boolean): void {
    const { vm } = this;
    const { x, L } = vm;
    for (const name of vm.functionNames()) {
      if (!name.startsWith('c_') && !name.startsWith('t_')) continue;
      vm.pushFunction(L, name);
      x.lua_setglobal(L, vm.name(name));
    }
    for (const [alias, name] of Object.entries(aliases)) {
      vm.pushFunction(L, name);
      x.lua_setglobal(L, vm.name(alias));
    }
    // Tables of thousands of constants are built when a script first names them.
    x.lua_rawgeti(L, REGISTRY, 2n); // LUA_RIDX_GLOBALS
    x.lua_createtable(L, 0, 1);
    vm.pushFunction(L, 'lazyGlobal');
    x.lua_setfield(L, -2, vm.name('__index'));
    x.lua_setmetatable(L, -2);
    x.lua_createtable(L, 0, 1);
    x.lua_rawgeti(L, REGISTRY, 2n); // LUA_RIDX_GLOBALS
    x.lua_setfield(L, -2, vm.name('__index'));
    vm.setCommon(common.metatable, x.luaL_ref(L, REGISTRY));
    x.lua_getglobal(L, vm.name('collectgarbage'));
    vm.setCommon(common.collect, x.luaL_ref(L, REGISTRY));
    x.lua_getglobal(L, vm.name('package'));
    x.lua_getfield(L, -1, vm.name('loaded'));
    vm.setCommon(common.loaded, x.luaL_ref(L, REGISTRY));
    x.lua_createtable(L, 0, 0);
    vm.setCommon(common.threads, x.luaL_ref(L, REGISTRY));
    x.lua_settop(L, 0);
    const failure = vm.load(L, Buffer.from(prelude), '=lunagate', true) ?? this.#callPrelude(strict);
    if (failure !== undefined) throw new Error(`${failure.message}\n${failure.traceback}`);
  }

  #callPrelude(strict: boolean): LuaFailure | undefined {
    const { vm } = this;
    const names = ['searchRules', 'noteModule', 'linuxErrno', 'clock', 'beginFinalizer', 'endFinalizer', 'contextField'];
    for (const name of names) vm.pushFunction(vm.L, name);
    vm.x.lua_pushboolean(vm.L, strict ? 1 : 0);
    return vm.call(vm.L, names.length + 1, 0, 'handler');
  }

  /**
   * A Lua thread fit for hook calls: the message handler and the name of the function at the bottom of its stack.
   * It lives until `dropThread` of the same level.
   */
  newThread(level: number): LuaState {
    const { vm } = this;
    const { x } = vm;
    this.#pushThreads();
    const L = x.lua_newthread(vm.L);
    x.lua_rawseti(vm.L, -2, this.#key(level));
    x.lua_settop(vm.L, -2);
    x.lua_sethook(L, vm.slot('countHook'), LUA_MASKCOUNT, this.#tick);
    vm.pushFunction(L, 'handler');
    vm.pushText(L, 'do_syscall');
    return L;
  }

  dropThread(level: number): void {
    this.#pushThreads();
    this.vm.x.lua_pushnil(this.vm.L);
    this.vm.x.lua_rawseti(this.vm.L, -2, this.#key(level));
    this.vm.x.lua_settop(this.vm.L, -2);
  }

  /** All of this thread's, or all of the others'. */
  dropThreads(own: boolean): void {
    const { x, L } = this.vm;
    this.#pushThreads();
    x.lua_pushnil(L);
    while (x.lua_next(L, -2) !== 0) {
      x.lua_settop(L, -2);
      const mine = Number(x.lua_tointegerx(L, -1, 0)) >= LEVELS * this.#thread && Number(x.lua_tointegerx(L, -1, 0)) < LEVELS * (this.#thread + 1);
      if (mine !== own) continue;
      // Clearing an entry during traversal is allowed.
      x.lua_pushvalue(L, -1);
      x.lua_pushnil(L);
      x.lua_rawset(L, -4);
    }
    x.lua_settop(L, -2);
  }

  #pushThreads(): void {
    this.vm.x.lua_rawgeti(this.vm.L, REGISTRY, BigInt(this.vm.common(common.threads)));
  }

  #key(level: number): bigint {
    return BigInt(LEVELS * this.#thread + level);
  }

  /**
   * Compile and run a script in an environment of its own, where it must define the function `main`.
   * @returns the registry reference of that environment, or why there is none.
   */
  load(L: LuaState, source: Uint8Array, chunk: string, main: string): number | LuaFailure {
    const { vm } = this;
    const { x } = vm;
    const failure = vm.load(L, source, chunk, true);
    if (failure !== undefined) return failure;
    x.lua_createtable(L, 0, 4);
    x.lua_pushvalue(L, -1);
    x.lua_setfield(L, -2, vm.name('_G'));
    x.lua_rawgeti(L, REGISTRY, BigInt(vm.common(common.metatable)));
    x.lua_setmetatable(L, -2);
    x.lua_pushvalue(L, -1);
    const ref = x.luaL_ref(L, REGISTRY);
    if (x.lua_setupvalue(L, -2, 1) === 0) x.lua_settop(L, -2); // a chunk that uses no global at all
    const failed = vm.call(L, 0, 0, 'handler');
    if (failed === undefined) {
      x.lua_rawgeti(L, REGISTRY, BigInt(ref));
      vm.pushText(L, main);
      const type = x.lua_rawget(L, -2);
      x.lua_settop(L, -3);
      if (type === luaType.function) return ref;
    }
    this.release(ref);
    return failed ?? { message: `${chunk.slice(1)}: defines no global function ${main}`, traceback: '' };
  }

  /**
   * Call a function of a script's other than do_syscall, with up to three leading values and the eight arguments.
   * Leaves two results on L's stack, or takes the failure.
   */
  run(L: LuaState, environment: number, main: string, leading: readonly (bigint | boolean | string | undefined)[], args: BigInt64Array): LuaFailure | undefined {
    const { vm } = this;
    const { x } = vm;
    vm.words[block.ticks >> 2] = 0;
    x.lua_rawgeti(L, REGISTRY, BigInt(environment));
    vm.pushText(L, main);
    x.lua_rawget(L, -2);
    x.lua_rotate(L, -2, 1);
    x.lua_settop(L, -2);
    for (const value of leading) {
      if (typeof value === 'bigint') x.lua_pushinteger(L, value);
      else if (typeof value === 'boolean') x.lua_pushboolean(L, value ? 1 : 0);
      else if (typeof value === 'string') vm.pushText(L, value);
      else x.lua_pushnil(L);
    }
    for (const arg of args) x.lua_pushinteger(L, arg);
    return vm.call(L, leading.length + args.length, 2, 'handler');
  }

  release(ref: number): void {
    this.vm.x.luaL_unref(this.vm.L, REGISTRY, ref);
  }

  /** Free what no script refers to any more. */
  collect(): void {
    const { x, L } = this.vm;
    x.lua_rawgeti(L, REGISTRY, BigInt(this.vm.common(common.collect)));
    this.vm.call(L, 0, 0, 'handler');
  }

  /** The next `require` of this module loads it again. */
  forgetModule(name: string): void {
    const { x, L } = this.vm;
    x.lua_rawgeti(L, REGISTRY, BigInt(this.vm.common(common.loaded)));
    this.vm.pushText(L, name);
    x.lua_pushnil(L);
    x.lua_rawset(L, -3);
    x.lua_settop(L, -2);
  }

  /**
   * Give up a Lua thread that an exception passed through.
   * @param level its own; 0 is the outermost, and the C stack is empty again.
   * @returns false when the state is not sound any more (its collector was interrupted).
   */
  forsake(level: number): boolean {
    const { vm } = this;
    const { x, L } = vm;
    if (level === 0) x.stackRestore(vm.stackTop);
    this.dropThread(level);
    x.lua_rawgeti(L, REGISTRY, BigInt(this.vm.common(common.collect)));
    vm.pushText(L, 'count');
    if (vm.call(L, 1, 1, 'handler') !== undefined) return false;
    const counted = x.lua_type(L, -1) === luaType.number;
    x.lua_settop(L, -2);
    return counted;
  }
}

/** What `main` returned instead of an integer; the value is on the stack's top. */
export function describeResult(vm: LuaVm, L: LuaState, main = 'do_syscall'): string {
  const { x } = vm;
  const kind = x.lua_type(L, -1);
  if (kind === luaType.number)
    return `${main} returned ${x.lua_tonumberx(L, -1, 0)}, which is not an integer of 64 bits`;
  const name = {
    [luaType.boolean]: 'boolean',
    [luaType.string]: 'string',
    [luaType.table]: 'table',
    [luaType.function]: 'function',
  }[kind];
  return `${main} returned a ${name ?? 'value of a strange type'}, not an integer (a result ≥ 0 or -errno)`;
}
