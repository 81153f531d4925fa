/**
 * One thread's way into a Lua state: begins or joins it, passes values in and out, makes protected calls. Knows
 * nothing of system calls or rules.
 *
 * The state lies whole in the interpreter's memory, which several threads may share; a lock that is not kept here lets
 * one of them at a time in. What is a thread's own: its instance of the interpreter, its C stack, its call block.
 *
 * Invariants: every Lua function that can raise an error runs below a protected call (`call`, `hookCall`) or
 * inside a C function called by Lua; an exception of JavaScript's that passes through Lua frames leaves the Lua
 * thread it ran on unusable, and `ScriptHost.forsake` must follow.
 */

import { withoutV8 } from '../wasm/v8-flags.ts';
import { block, common, layout } from './glue.ts';
import { STATIC_BASE } from './lua-binary.ts';
import { type LuaExports, type LuaState, luaType, type Pointer, typeNames } from './lua-exports.ts';
import { compileLua, instantiateLua, type LuaInstance, type LuaModules, tableFor, type VmOptions } from './lua-instance.ts';

/** What a further thread needs to use the same state. Can be handed to it. */
export interface LuaShare {
  readonly memory: WebAssembly.Memory;
  readonly modules: LuaModules;
  /** Whether the modules are those with optimised code, and whether such can be made. */
  readonly optimised: boolean;
  readonly optimisable: boolean;
}

/** A Lua error as protected calls report it: the message, and the traceback below it. */
export interface LuaFailure {
  readonly message: string;
  readonly traceback: string;
}

const SEPARATOR = '\nstack traceback:\n';

/** Lua nests at most 200 C calls, each with some hundred bytes to a kilobyte and a half; printf takes eight. */
const STACK = 512 << 10;
const BOOT_STACK = 64 << 10;
const TRANSFER = 4096;
/** What a thread has to itself: call block and transfer buffer, then the stack. */
const ROOM = block.bytes + TRANSFER + STACK;
/** Numbers of threads there can be. */
const THREADS = 4096 + 1;

export class LuaVm {
  readonly memory: WebAssembly.Memory;
  /** What belongs to the thread in the state it uses now. */
  L: LuaState = 0;
  blockAt: Pointer = 0;
  /** The call block as 32-bit and 64-bit words (index = byte offset / 4 or 8, from the block's start). */
  words = new Int32Array(0);
  longs = new BigInt64Array(0);
  /** Where the C stack begins. */
  stackTop: Pointer = 0;
  readonly #options: VmOptions;
  #modules: LuaModules;
  readonly #table: WebAssembly.Table;
  #instance: LuaInstance;
  /**
   * Whether `optimise` can be used. With inlining on, V8 14 aborts the process when a function is to be optimised
   * that has no call counts from baseline code; the flag can only be set for the whole process.
   */
  readonly canOptimise: boolean;
  #optimised: boolean;
  readonly #slots = new Map<string, number>();
  readonly #names = new Map<string, Pointer>();
  /** Words of `common`. */
  readonly #common: Int32Array;
  #bytes: Buffer;
  /** The transfer buffer, and the one it is when nothing large is to be transferred. */
  #transfer: Pointer = 0;
  #smallTransfer: Pointer = 0;
  #transferSize = TRANSFER;
  /** Where a new instance's C stack begins: that of whoever begins the state. */
  readonly #bottom: Pointer;

  /**
   * `begin` or `join` makes it usable.
   * @param share what another thread's `share` gave; default: a memory of its own.
   * @throws Error when the interpreter cannot be started.
   */
  constructor(options: VmOptions, share?: LuaShare) {
    this.#options = options;
    this.#optimised = share?.optimised ?? false;
    this.canOptimise = share?.optimisable ?? process.execArgv.includes('--no-wasm-inlining');
    this.#modules = share?.modules ?? compileLua(Object.keys(options.functions));
    const { functions, first, lua } = this.#modules;
    functions.forEach((name, k) => this.#slots.set(name, first + k));
    this.memory = share?.memory ?? new WebAssembly.Memory({ initial: lua.minPages, maximum: lua.maxPages, shared: true });
    this.#table = tableFor(this.#modules);
    this.#instance = instantiateLua(this.#modules, this.memory, this.#table, options);
    this.#common = new Int32Array(this.memory.buffer, 0, STATIC_BASE >> 2);
    this.#bytes = Buffer.from(this.memory.buffer);
    this.#bottom = this.x.stackSave();
  }

  get optimised(): boolean {
    return this.#optimised;
  }

  get share(): LuaShare {
    return { memory: this.memory, modules: this.#modules, optimised: this.#optimised, optimisable: this.canOptimise };
  }

  /** Lua's own functions. Do not keep them: `optimise` replaces them. */
  get x(): LuaExports {
    return this.#instance.x;
  }

  /** A word that all users of the state find. See `common`. */
  common(at: number): number {
    return this.#common[at >> 2] as number;
  }
  setCommon(at: number, value: number): void {
    this.#common[at >> 2] = value;
  }

  /**
   * Begin a fresh state, whatever the memory holds. Other threads that used what was there must not run in it any more:
   * they `join` when they next need Lua.
   */
  begin(): void {
    this.refresh();
    const { x, bytes } = this;
    if (this.common(common.size) !== 0) bytes.fill(0, STATIC_BASE);
    this.#common.fill(0);
    this.setCommon(common.size, bytes.length);
    for (const { at, bytes: data } of this.#modules.lua.data) bytes.set(data, at);
    this.stackTop = this.#bottom;
    x.stackRestore(this.stackTop);
    x.__wasm_call_ctors();
    x.emscripten_stack_init();
    this.setCommon(common.limit, Math.min(this.#options.memoryLimit, 0x7fff_ffff));
    const L = x.lua_newstate(this.slot('alloc'), 0);
    if (L === 0) throw new RangeError('the Lua interpreter could not be started: out of memory');
    this.#checkLayout(L);
    this.setCommon(common.boot, this.#allocate(BOOT_STACK) + BOOT_STACK);
    const rooms = this.#allocate(4 * THREADS);
    this.setCommon(common.rooms, rooms);
    this.bytes.fill(0, rooms, rooms + 4 * THREADS);
    this.setCommon(common.state, L);
    x.luaL_openlibs(L);
    this.#settle(L, this.#allocate(block.bytes + TRANSFER));
  }

  /**
   * Use the state that another thread began. A thread that ended without `leave` is succeeded by the next of its number.
   * @throws RangeError when there is no memory for it.
   */
  join(thread: number): void {
    const { x } = this;
    this.refresh();
    x.stackRestore(this.common(common.boot));
    const at = this.common(common.rooms) + 4 * thread;
    let room = this.bytes.readUInt32LE(at);
    if (room === 0) {
      room = this.#allocate(ROOM);
      this.bytes.writeUInt32LE(room, at);
    }
    this.stackTop = (room + ROOM) & ~15;
    x.stackRestore(this.stackTop);
    this.#settle(this.common(common.state), room);
  }

  /** Give back what `join` took. */
  leave(thread: number): void {
    const { x, bytes } = this;
    x.stackRestore(this.common(common.boot));
    this.#dropTransfer();
    for (const at of this.#names.values()) x.free(at);
    this.#names.clear();
    const at = this.common(common.rooms) + 4 * thread;
    x.free(bytes.readUInt32LE(at));
    bytes.writeUInt32LE(0, at);
  }

  /** Another thread may have made the memory grow: see it as it is now. */
  refresh(): void {
    if (this.common(common.size) > this.#bytes.length) this.memory.grow(0);
  }

  /** What the bridge takes for granted. */
  #checkLayout(L: LuaState): void {
    const { x, bytes } = this;
    const pushed = 0x1234_5678_9abc_def0n;
    const before = bytes.readUInt32LE(L + layout.top);
    x.lua_pushinteger(L, pushed);
    const right =
      bytes.readUInt32LE(L + layout.top) === before + layout.value &&
      bytes.readBigInt64LE(before) === pushed &&
      bytes[before + layout.tag] === layout.integer;
    x.lua_settop(L, 0);
    if (!right) throw new Error('the Lua interpreter binary keeps its stack in an unknown way; reinstall the package');
  }

  #settle(L: LuaState, room: Pointer): void {
    this.L = L;
    this.#names.clear();
    this.blockAt = room;
    this.#smallTransfer = room + block.bytes;
    this.#transfer = this.#smallTransfer;
    this.#transferSize = TRANSFER;
    this.#instance.block.value = this.blockAt;
    const { buffer } = this.memory;
    this.words = new Int32Array(buffer, this.blockAt, block.bytes >> 2);
    this.longs = new BigInt64Array(buffer, this.blockAt, block.bytes >> 3);
  }

  #allocate(bytes: number): Pointer {
    const at = this.x.malloc(bytes);
    if (at === 0) throw new RangeError('out of memory in the Lua interpreter');
    return at;
  }

  /** Have functions that are compiled from now on (each is, at its first call) optimised, or again not. */
  static optimising(on: boolean): void {
    withoutV8('liftoff', on);
  }

  /**
   * Go over to optimised code: another instance of the interpreter on the same memory, compiled by V8's optimising
   * compiler. Only while no Lua code is running, and with `optimising(true)` in force during the next calls as well.
   * Costs some 25 milliseconds in all; done once.
   */
  optimise(): void {
    if (this.#optimised) return;
    this.#optimised = true;
    const sp = this.x.stackSave();
    // What another thread has compiled of it, V8 knows.
    this.#modules = compileLua(Object.keys(this.#options.functions), 'optimised');
    this.#instance = instantiateLua(this.#modules, this.memory, this.#table, this.#options);
    this.#instance.block.value = this.blockAt;
    this.x.stackRestore(sp);
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

  /** Run the script whose environment is `ref`, with the number and arguments in the block. See glue.ts. */
  hookCall(L: LuaState, ref: number): number {
    return this.#instance.hookCall(L, ref, this.blockAt);
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
      this.#dropTransfer();
      this.#transfer = this.#allocate(bytes.length + 1);
      this.#transferSize = bytes.length + 1;
    }
    this.bytes.set(bytes, this.#transfer);
    this.bytes[this.#transfer + bytes.length] = 0;
    return this.#transfer;
  }

  /** Give a large transfer buffer back. */
  trim(): void {
    if (this.#transferSize > 65536) this.#dropTransfer();
  }

  #dropTransfer(): void {
    if (this.#transfer !== this.#smallTransfer) this.x.free(this.#transfer);
    this.#transfer = this.#smallTransfer;
    this.#transferSize = TRANSFER;
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
