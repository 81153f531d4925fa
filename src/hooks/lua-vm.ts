/**
 * Owns one Lua interpreter: its memory, state and C stack, values passed in and out, protected calls. Knows
 * nothing of system calls or rules.
 *
 * Invariants: every Lua function that can raise an error runs below a protected call (`protect`, `hookCall`) or
 * inside a C function called by Lua; an exception of JavaScript's that passes through Lua frames leaves the Lua
 * thread it ran on unusable, and `abandon` must follow.
 */

import { setV8Flag } from '../wasm/v8-flags.ts';
import { block, bridgeModule, unwindingModule, unwindingSlots } from './glue.ts';
import { fitLuaBinary, type LuaModule, readLuaBinary } from './lua-binary.ts';

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

const typeNames = ['nil', 'boolean', 'light userdata', 'number', 'string', 'table', 'function', 'userdata', 'thread'];

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

interface Bridge {
  hookCall(L: LuaState, ref: number, block: Pointer): number;
  used: WebAssembly.Global;
  limit: WebAssembly.Global;
  block: WebAssembly.Global;
  alloc: () => void;
  countHook: () => void;
}

/** A Lua error as protected calls report it: the message, and the traceback below it. */
export interface LuaFailure {
  readonly message: string;
  readonly traceback: string;
}

const SEPARATOR = '\nstack traceback:\n';

export class LuaVm {
  /** Lua's own functions. Do not keep them: `optimise` replaces them. */
  x!: LuaExports;
  readonly L: LuaState;
  readonly memory: WebAssembly.Memory;
  readonly blockAt: Pointer;
  /** The call block as 32-bit and 64-bit words (index = byte offset / 4 or 8, from the block's start). */
  readonly words: Int32Array;
  readonly longs: BigInt64Array;
  readonly #options: VmOptions;
  readonly #table: WebAssembly.Table;
  readonly #functions: readonly string[];
  #bridge!: Bridge;
  #optimised = false;
  readonly #slots = new Map<string, number>();
  readonly #names = new Map<string, Pointer>();
  #bytes: Buffer;
  #transfer: Pointer;
  #transferSize = 4096;

  /** @throws Error when the interpreter cannot be started. */
  constructor(options: VmOptions) {
    this.#options = options;
    this.#functions = ['alloc', 'countHook', 'c_do_syscall', ...Object.keys(options.functions)];
    const fitted = fitLuaBinary(readLuaBinary());
    const first = fitted.tableSize + unwindingSlots.length;
    this.#functions.forEach((name, k) => this.#slots.set(name, first + k));
    this.memory = new WebAssembly.Memory({ initial: fitted.minPages, maximum: fitted.maxPages, shared: true });
    this.#table = new WebAssembly.Table({ element: 'anyfunc', initial: first + this.#functions.length });
    this.#bytes = Buffer.from(this.memory.buffer);
    this.#instantiate(fitted);
    this.#bridge.limit.value = Math.min(options.memoryLimit, 0x7fff_ffff);
    const lua = this.x;
    lua.__wasm_call_ctors();
    lua.emscripten_stack_init();
    this.blockAt = lua.malloc(block.bytes);
    this.#bridge.block.value = this.blockAt;
    this.words = new Int32Array(this.memory.buffer, this.blockAt, block.bytes >> 2);
    this.longs = new BigInt64Array(this.memory.buffer, this.blockAt, block.bytes >> 3);
    this.#transfer = lua.malloc(this.#transferSize);
    this.L = lua.lua_newstate(this.slot('alloc'), 0);
    if (this.L === 0) throw new Error('the Lua interpreter could not be started: out of memory');
    lua.luaL_openlibs(this.L);
  }

  /** Make instances of Lua and of the bridge over the memory and table, and enter their functions there. */
  #instantiate(fitted: LuaModule): void {
    const { memory } = this;
    const table = this.#table;
    const { functions, argument, original, tick } = this.#options;
    const unwinding = new WebAssembly.Instance(unwindingModule(fitted.tableSize), { env: { table } })
      .exports as WebAssembly.ModuleImports;
    const { env, wasi } = this.#options.system(memory);
    const own = {
      memory,
      table,
      invoke_vii: unwinding['invoke'],
      _emscripten_throw_longjmp: unwinding['throwLongjmp'],
    };
    const lua = new WebAssembly.Instance(fitted.module, {
      env: { ...env, ...own } as WebAssembly.ModuleImports,
      wasi_snapshot_preview1: wasi,
    }).exports as unknown as LuaExports;
    unwindingSlots.forEach((name, k) => table.set(fitted.tableSize + k, lua[name]));
    const bridge = new WebAssembly.Instance(bridgeModule(fitted.minPages, fitted.maxPages, Object.keys(functions)), {
      env: { memory },
      lua: lua as unknown as WebAssembly.ModuleImports,
      js: { ...functions, argument, original, tick } as unknown as WebAssembly.ModuleImports,
    }).exports as unknown as Bridge & Record<string, unknown>;
    for (const name of this.#functions) table.set(this.slot(name), bridge[name]);
    this.x = lua;
    this.#bridge = bridge;
  }

  /**
   * Whether `optimise` can be used. With inlining on, V8 14 aborts the process when a function is to be optimised
   * that has no call counts from baseline code; the flag can only be set for the whole process.
   */
  static readonly canOptimise = process.execArgv.includes('--no-wasm-inlining');

  /** Have functions that are compiled from now on (each is, at its first call) optimised, or again not. */
  static optimising(on: boolean): void {
    setV8Flag(on ? '--no-liftoff' : '--liftoff');
  }

  /**
   * Go over to optimised code: another instance of the interpreter on the same memory, compiled by V8's optimising
   * compiler. Only while no Lua code is running, and with `optimising(true)` in force during the next calls as well.
   * Costs some 25 milliseconds in all; done once.
   */
  optimise(): void {
    if (this.#optimised) return;
    this.#optimised = true;
    const { used, limit, block: at } = this.#bridge;
    this.#instantiate(fitLuaBinary(readLuaBinary(), false));
    this.#bridge.used.value = used.value;
    this.#bridge.limit.value = limit.value;
    this.#bridge.block.value = at.value;
  }

  /** Table slot of a function given in the options (or of the bridge's own). */
  slot(name: string): number {
    const slot = this.#slots.get(name);
    if (slot === undefined) throw new Error(`no Lua function ${name}`);
    return slot;
  }

  functionNames(): string[] {
    return [...this.#slots.keys()];
  }

  /** Bytes of Lua's memory; take it anew after anything that may allocate. */
  get bytes(): Buffer {
    if (this.#bytes.length !== this.memory.buffer.byteLength) this.#bytes = Buffer.from(this.memory.buffer);
    return this.#bytes;
  }

  /** Bytes Lua holds now. */
  get used(): number {
    return (this.#bridge.used.value as number) >>> 0;
  }

  /** Run the script whose environment is `ref`, with the number and arguments in the block. See glue.ts. */
  hookCall(L: LuaState, ref: number): number {
    return this.#bridge.hookCall(L, ref, this.blockAt);
  }

  /** NUL-terminated constant text in Lua's memory, kept for ever: for names only. */
  name(text: string): Pointer {
    let at = this.#names.get(text);
    if (at === undefined) {
      const bytes = Buffer.from(`${text}\0`);
      at = this.x.malloc(bytes.length);
      this.bytes.set(bytes, at);
      this.#names.set(text, at);
    }
    return at;
  }

  /** Copy to the transfer buffer (valid until the next such call), NUL appended. */
  transfer(bytes: Uint8Array): Pointer {
    if (bytes.length + 1 > this.#transferSize) {
      const at = this.x.realloc(this.#transfer, bytes.length + 1);
      if (at === 0) throw new RangeError('out of memory in the Lua interpreter');
      this.#transfer = at;
      this.#transferSize = bytes.length + 1;
    }
    this.bytes.set(bytes, this.#transfer);
    this.bytes[this.#transfer + bytes.length] = 0;
    return this.#transfer;
  }

  /** Give a large transfer buffer back. */
  trim(): void {
    if (this.#transferSize <= 65536) return;
    this.x.free(this.#transfer);
    this.#transferSize = 4096;
    this.#transfer = this.x.malloc(this.#transferSize);
  }

  pushBytes(L: LuaState, bytes: Uint8Array): void {
    this.x.lua_pushlstring(L, this.transfer(bytes), bytes.length);
  }

  /** JavaScript text as UTF-8. */
  pushText(L: LuaState, text: string): void {
    this.pushBytes(L, Buffer.from(text));
  }

  pushFunction(L: LuaState, name: string): void {
    this.x.lua_pushcclosure(L, this.slot(name), 0);
  }

  /** Copy of the string at `i`, which must be a string (or a number: it is converted in place). */
  toBytes(L: LuaState, i: number): Uint8Array {
    const lengthAt = this.blockAt + block.isInteger;
    const at = this.x.lua_tolstring(L, i, lengthAt);
    return this.copy(at, this.words[block.isInteger >> 2] as number);
  }

  /** The string argument `i` of a C function; raises the usual Lua error otherwise. */
  checkBytes(L: LuaState, i: number): Uint8Array {
    const at = this.x.luaL_checklstring(L, i, this.blockAt + block.isInteger);
    return this.copy(at, this.words[block.isInteger >> 2] as number);
  }

  /** Any value as `print` would show it. Inside a protected call only: __tostring may run. */
  showBytes(L: LuaState, i: number): Uint8Array {
    const at = this.x.luaL_tolstring(L, i, this.blockAt + block.isInteger);
    const bytes = this.copy(at, this.words[block.isInteger >> 2] as number);
    this.x.lua_settop(L, -2);
    return bytes;
  }

  /** A private copy (views of shared memory are refused by many APIs). */
  copy(at: Pointer, length: number): Uint8Array {
    return new Uint8Array(this.bytes.subarray(at, at + length));
  }

  /** Raise a Lua error with the position of the running function. Does not return: unwinds as an exception. */
  raise(L: LuaState, message: string): never {
    this.x.luaL_where(L, 1);
    const where = Buffer.from(this.toBytes(L, -1)).toString();
    this.pushText(L, where + message);
    this.x.lua_error(L);
    throw new Error('unreachable');
  }

  /** A failure at the place L is at now, with traceback, without raising it. */
  trace(L: LuaState, message: string): LuaFailure {
    const { x } = this;
    x.luaL_where(L, 0);
    const where = Buffer.from(this.toBytes(L, -1)).toString();
    x.luaL_traceback(L, L, 0, 0);
    const traceback = Buffer.from(this.toBytes(L, -1)).toString();
    x.lua_settop(L, -3);
    return { message: where + message, traceback };
  }

  /** The message handler: error value → its text with a traceback appended. For use as a C function. */
  handler(L: LuaState): number {
    const { x } = this;
    const kind = x.lua_type(L, 1);
    if (kind !== luaType.string) {
      if (kind === luaType.number || x.luaL_getmetafield(L, 1, this.name('__tostring')) !== luaType.nil) {
        x.luaL_tolstring(L, 1, 0);
      } else {
        this.pushText(L, `(error object is a ${typeNames[kind] ?? 'strange'} value)`);
      }
      x.lua_copy(L, -1, 1);
    }
    x.luaL_traceback(L, L, x.lua_tolstring(L, 1, 0), 1);
    return 1;
  }

  /** Take the error value off the stack's top. */
  takeFailure(L: LuaState, status: number): LuaFailure {
    const { x } = this;
    let text =
      x.lua_type(L, -1) === luaType.string
        ? Buffer.from(this.toBytes(L, -1)).toString()
        : '(error object is not a string)';
    if (status === 4 && text === '') text = 'not enough memory';
    x.lua_settop(L, -2);
    const cut = text.lastIndexOf(SEPARATOR);
    return cut < 0 ? { message: text, traceback: '' } : { message: text.slice(0, cut), traceback: text.slice(cut + 1) };
  }

  /**
   * Call the function below `args` arguments on L's stack. Leaves `results` results, or takes the failure.
   * `handlerSlot` names the C function that serves as message handler.
   */
  call(L: LuaState, args: number, results: number, handlerName: string): LuaFailure | undefined {
    const { x } = this;
    const base = x.lua_gettop(L) - args;
    this.pushFunction(L, handlerName);
    x.lua_rotate(L, base, 1);
    const status = x.lua_pcallk(L, args, results, base, 0, 0);
    if (status === 0) {
      x.lua_rotate(L, base, -1);
      x.lua_settop(L, -2);
      return undefined;
    }
    const failure = this.takeFailure(L, status);
    x.lua_settop(L, base - 1);
    return failure;
  }

  /** Compile `source`; leaves the function on the stack, or takes the failure. `text` false admits bytecode. */
  load(L: LuaState, source: Uint8Array, chunk: string, text: boolean): LuaFailure | undefined {
    const { x } = this;
    const at = this.transfer(source);
    const status = x.luaL_loadbufferx(L, at, source.length, this.name(chunk), text ? this.name('t') : 0);
    this.trim();
    return status === 0 ? undefined : this.takeFailure(L, status);
  }
}
