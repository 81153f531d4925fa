/**
 * The interpreter's C functions as JavaScript sees them, and the constants of its interface.
 */

/** An address in the interpreter's memory. */
export type Pointer = number;
/** A lua_State: one Lua thread. */
export type LuaState = number & { readonly __lua?: never };

export const REGISTRY = -1001000;
export const luaType = {
  none: -1,
  nil: 0,
  boolean: 1,
  lightuserdata: 2,
  number: 3,
  string: 4,
  table: 5,
  function: 6,
  userdata: 7,
  thread: 8,
} as const;

export const typeNames = ['nil', 'boolean', 'light userdata', 'number', 'string', 'table', 'function', 'userdata', 'thread'];

/** The exports used from JavaScript. */
export interface LuaExports {
  __wasm_call_ctors(): void;
  emscripten_stack_init(): void;
  stackSave(): number;
  stackRestore(sp: number): void;
  malloc(n: number): Pointer;
  realloc(p: Pointer, n: number): Pointer;
  free(p: Pointer): void;
  fflush(file: Pointer): number;
  lua_newstate(alloc: number, ud: Pointer): LuaState;
  lua_close(L: LuaState): void;
  lua_atpanic(L: LuaState, f: number): number;
  lua_newthread(L: LuaState): LuaState;
  lua_pushthread(L: LuaState): number;
  lua_checkstack(L: LuaState, n: number): number;
  lua_absindex(L: LuaState, i: number): number;
  lua_gettop(L: LuaState): number;
  lua_settop(L: LuaState, i: number): void;
  lua_rotate(L: LuaState, i: number, n: number): void;
  lua_copy(L: LuaState, from: number, to: number): void;
  lua_pushvalue(L: LuaState, i: number): void;
  lua_xmove(from: LuaState, to: LuaState, n: number): void;
  lua_type(L: LuaState, i: number): number;
  lua_isinteger(L: LuaState, i: number): number;
  lua_tointegerx(L: LuaState, i: number, isInteger: Pointer): bigint;
  lua_tonumberx(L: LuaState, i: number, isNumber: Pointer): number;
  lua_toboolean(L: LuaState, i: number): number;
  lua_tolstring(L: LuaState, i: number, length: Pointer): Pointer;
  lua_touserdata(L: LuaState, i: number): Pointer;
  lua_pushnil(L: LuaState): void;
  lua_pushnumber(L: LuaState, v: number): void;
  lua_pushinteger(L: LuaState, v: bigint): void;
  lua_pushboolean(L: LuaState, v: number): void;
  lua_pushlstring(L: LuaState, at: Pointer, n: number): Pointer;
  lua_pushcclosure(L: LuaState, slot: number, upvalues: number): void;
  lua_getglobal(L: LuaState, name: Pointer): number;
  lua_setglobal(L: LuaState, name: Pointer): void;
  lua_getfield(L: LuaState, i: number, name: Pointer): number;
  lua_setfield(L: LuaState, i: number, name: Pointer): void;
  lua_rawget(L: LuaState, i: number): number;
  lua_rawset(L: LuaState, i: number): void;
  lua_rawgeti(L: LuaState, i: number, n: bigint): number;
  lua_rawseti(L: LuaState, i: number, n: bigint): void;
  lua_createtable(L: LuaState, array: number, hash: number): void;
  lua_setmetatable(L: LuaState, i: number): number;
  lua_setupvalue(L: LuaState, i: number, n: number): Pointer;
  lua_callk(L: LuaState, args: number, results: number, ctx: number, k: number): void;
  lua_pcallk(L: LuaState, args: number, results: number, handler: number, ctx: number, k: number): number;
  lua_error(L: LuaState): number;
  lua_next(L: LuaState, i: number): number;
  lua_sethook(L: LuaState, hook: number, mask: number, count: number): void;
  luaL_loadbufferx(L: LuaState, at: Pointer, n: number, chunk: Pointer, mode: Pointer): number;
  luaL_openlibs(L: LuaState): void;
  luaL_traceback(L: LuaState, of: LuaState, message: Pointer, level: number): void;
  luaL_getmetafield(L: LuaState, i: number, name: Pointer): number;
  luaL_where(L: LuaState, level: number): void;
  luaL_tolstring(L: LuaState, i: number, length: Pointer): Pointer;
  luaL_checkinteger(L: LuaState, i: number): bigint;
  luaL_optinteger(L: LuaState, i: number, otherwise: bigint): bigint;
  luaL_checklstring(L: LuaState, i: number, length: Pointer): Pointer;
  luaL_argerror(L: LuaState, i: number, message: Pointer): number;
  luaL_typeerror(L: LuaState, i: number, expected: Pointer): number;
  luaL_ref(L: LuaState, table: number): number;
  luaL_unref(L: LuaState, table: number, ref: number): void;
  [slot: string]: (...args: never[]) => unknown;
}

/** A Lua C function in JavaScript: gets the running thread, leaves results on its stack, returns how many. */
export type LuaFunction = (L: LuaState) => number;
