/**
 * Owns the WebAssembly functions between Lua and the engine. Two modules: `unwinding`, which Lua itself imports
 * (its setjmp/longjmp as a WebAssembly exception), and `bridge`, which imports Lua: one call runs a whole hook,
 * and the Lua C functions hooks use most need no JavaScript to fetch their arguments.
 *
 * Invariants: only the longjmp tag is caught here, so an exception of JavaScript's (Unwind above all) passes
 * through every Lua frame, uncaught even by pcall. Whoever catches it gives up the Lua thread it went through and
 * restores the C stack pointer.
 */

import { Assembler, i32, i64, op } from './glue-assembler.ts';

/** Where the pieces of a call lie, relative to the block address passed to `hook_call` (8-byte units where i64). */
export const block = {
  /** The hook's call: number, arguments 1–8, result. */
  nr: 0,
  args: 8,
  result: 72,
  /** c_do_syscall's: the same. */
  innerNr: 80,
  innerArgs: 88,
  innerResult: 152,
  /** i32: out parameter of lua_tointegerx. */
  isInteger: 160,
  /** i32: times the instruction counter ran out during this hook call. */
  ticks: 164,
  bytes: 176,
} as const;

/**
 * Where a Lua state keeps what every thread that uses it must find: 32-bit words in the memory that the interpreter
 * leaves unused (lua-binary.ts).
 */
export const common = {
  /** Bytes Lua holds, and may hold. */
  used: 256,
  limit: 260,
  /** The main lua_State; 0: there is no state in this memory. */
  state: 264,
  /** Top of a C stack for whoever holds the lock and has no stack of its own yet. */
  boot: 268,
  /** Array of what each thread was given, by its number; 0: nothing yet. */
  rooms: 292,
  /** Registry references (script-host.ts). */
  metatable: 272,
  collect: 276,
  loaded: 280,
  threads: 284,
  /** Bytes the memory has; not 0: it has been used. */
  size: 288,
} as const;

/**
 * Where Lua 5.4 has things in wasm32, for what hooks do most: passing integers. `LuaVm.begin` sees to it that this is so.
 * A lua_State holds the address behind its stack's topmost value; a value is 64 bits and a tag in the byte behind them.
 */
export const layout = { top: 12, value: 16, tag: 8, integer: 3 } as const;

/** What hook_call returns besides Lua's own status codes (0 fine, 2 runtime error, 4 memory, 5 in handler). */
export const WRONG_RESULT = 100;

/** Table slots after Lua's own, in this order. */
export const unwindingSlots = ['stackSave', 'stackRestore', 'setThrew'] as const;

const REGISTRY = -1001000;
const LUA_TNIL = 0;
const LUA_TNUMBER = 3;

const none = { params: [], results: [] };
const toInt = (...params: number[]) => ({ params, results: [i32] });
const toVoid = (...params: number[]) => ({ params, results: [] });

/** setjmp/longjmp for Lua: `invoke_vii` and `_emscripten_throw_longjmp`. `slot`: first slot of `unwindingSlots`. */
export function unwindingModule(slot: number, variant: string): WebAssembly.Module {
  const a = new Assembler();
  a.importTable('env', 'table', slot);
  const longjmp = a.tag('longjmp');
  a.function('throwLongjmp', none, [], [op.throw(longjmp)]);
  a.function(
    'invoke',
    toVoid(i32, i32, i32),
    [i32],
    [
      op.const(slot),
      op.callIndirect(a.type(toInt())),
      op.set(3),
      op.block,
      op.tryCatch(longjmp, 0),
      op.get(1),
      op.get(2),
      op.get(0),
      op.callIndirect(a.type(toVoid(i32, i32))),
      op.return,
      op.end,
      op.end,
      op.get(3),
      op.const(slot + 1),
      op.callIndirect(a.type(toVoid(i32))),
      op.const(1),
      op.const(0),
      op.const(slot + 2),
      op.callIndirect(a.type(toVoid(i32, i32))),
    ],
  );
  return a.compile(variant);
}

/**
 * The functions on top of Lua. Each name in `functions` is a JavaScript function (lua_State) → number of results,
 * imported as `js.NAME` and exported again as a WebAssembly function fit for the table.
 */
export function bridgeModule(minPages: number, maxPages: number, functions: readonly string[], variant: string): WebAssembly.Module {
  const a = new Assembler();
  a.importSharedMemory('env', 'memory', minPages, maxPages);
  const lua = (name: string, params: number[], results: number[]) => a.importFunction('lua', name, { params, results });
  const rawGetI = lua('lua_rawgeti', [i32, i32, i64], [i32]);
  const rawGet = lua('lua_rawget', [i32, i32], [i32]);
  const pcall = lua('lua_pcallk', [i32, i32, i32, i32, i32, i32], [i32]);
  const type = lua('lua_type', [i32, i32], [i32]);
  const toInteger = lua('lua_tointegerx', [i32, i32, i32], [i64]);
  const getTop = lua('lua_gettop', [i32], [i32]);
  const setTop = lua('lua_settop', [i32, i32], []);
  const realloc = lua('realloc', [i32, i32], [i32]);
  const free = lua('free', [i32], []);
  const argument = a.importFunction('js', 'argument', { params: [i32, i32], results: [i64] });
  const original = a.importFunction('js', 'original', toVoid(i32));
  const tick = a.importFunction('js', 'tick', toVoid(i32));
  const js = functions.map((f) => a.importFunction('js', f, toInt(i32)));
  const blockAt = a.global('block');
  const used = [...op.const(0), ...op.load32(common.used)];
  const limit = [...op.const(0), ...op.load32(common.limit)];
  const setUsed = op.store32(common.used);

  // lua_Alloc with a cap: (ud, ptr, oldSize, newSize). With ptr NULL, oldSize is a type, not a size.
  a.function(
    'alloc',
    toInt(i32, i32, i32, i32),
    [i32],
    [
      op.get(1),
      op.eqz,
      op.if,
      op.const(0),
      op.set(2),
      op.end,
      op.get(3),
      op.eqz,
      op.if,
      op.const(0),
      used,
      op.get(2),
      op.sub,
      setUsed,
      op.get(1),
      op.call(free),
      op.const(0),
      op.return,
      op.end,
      op.get(3),
      op.get(2),
      op.gtU,
      op.if,
      used,
      op.get(3),
      op.add,
      op.get(2),
      op.sub,
      limit,
      op.gtU,
      op.get(3),
      limit,
      op.gtU,
      op.or,
      op.if,
      op.const(0),
      op.return,
      op.end,
      op.end,
      op.get(1),
      op.get(3),
      op.call(realloc),
      op.tee(4),
      op.if,
      op.const(0),
      used,
      op.get(3),
      op.add,
      op.get(2),
      op.sub,
      setUsed,
      op.end,
      op.get(4),
    ],
  );

  // Run do_syscall of the script whose environment is `ref` in the registry: (L, ref) → status.
  // On L's stack: 1 the message handler, 2 the string "do_syscall". An error or wrong result is left on top.
  const words = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const { value, tag } = layout;
  const loadTop = [...op.get(0), ...op.load32(layout.top)];
  a.function(
    'hookCall',
    toInt(i32, i32, i32),
    [i32, i64],
    [
      op.get(2),
      op.const(0),
      op.store32(block.ticks),
      op.get(0),
      op.const(REGISTRY),
      op.get(1),
      [0xad],
      op.call(rawGetI),
      op.drop,
      // The name once more, for rawget to replace by the function. (A new thread has room for twenty values.)
      loadTop,
      op.const(2 * value),
      op.sub,
      op.tee(3),
      op.get(3),
      op.load64(0),
      op.store64(2 * value),
      op.get(3),
      op.get(3),
      op.load64(tag),
      op.store64(2 * value + tag),
      op.get(0),
      op.get(3),
      op.const(3 * value),
      op.add,
      op.store32(layout.top),
      op.get(0),
      op.const(-2),
      op.call(rawGet),
      op.drop,
      loadTop,
      op.set(3),
      ...words.map((w) => [
        ...op.get(3), ...op.get(2), ...op.load64(block.nr + 8 * w), ...op.store64(value * w),
        ...op.get(3), ...op.const(layout.integer), ...op.store8(value * w + tag),
      ]),
      op.get(0),
      op.get(3),
      op.const(value * words.length),
      op.add,
      op.store32(layout.top),
      op.get(0),
      op.const(9),
      op.const(1),
      op.const(1),
      op.const(0),
      op.const(0),
      op.call(pcall),
      op.tee(3),
      op.if,
      op.get(3),
      op.return,
      op.end,
      // An integer: all is well.
      loadTop,
      op.const(2 * value),
      op.sub,
      op.tee(3),
      op.load8(value + tag),
      op.const(layout.integer),
      op.eq,
      op.if,
      op.get(2),
      op.get(3),
      op.load64(value),
      op.store64(block.result),
      op.get(0),
      op.get(3),
      op.store32(layout.top),
      op.const(0),
      op.return,
      op.end,
      op.get(0),
      op.const(-1),
      op.call(type),
      op.tee(3),
      op.const(LUA_TNUMBER),
      op.eq,
      op.if,
      op.get(0),
      op.const(-1),
      op.get(2),
      op.const(block.isInteger),
      op.add,
      op.call(toInteger),
      op.set(4),
      op.get(2),
      op.load32(block.isInteger),
      op.eqz,
      op.if,
      op.const(WRONG_RESULT),
      op.return,
      op.end,
      op.else,
      op.get(3),
      op.const(LUA_TNIL),
      op.ne,
      op.if,
      op.const(WRONG_RESULT),
      op.return,
      op.end,
      op.end,
      op.get(2),
      op.get(4),
      op.store64(block.result),
      op.get(0),
      op.const(2),
      op.call(setTop),
      op.const(0),
    ],
  );

  // lua_CFunction c_do_syscall: integers straight into the block, everything else decided by js.argument.
  a.function(
    'c_do_syscall',
    toInt(i32),
    [i32, i32, i32],
    [
      op.globalGet(blockAt),
      op.set(2),
      op.get(0),
      op.call(getTop),
      op.set(1),
      loadTop,
      op.get(1),
      op.const(4),
      op.shl,
      op.sub,
      op.set(3),
      ...words.map((w) => [
        ...op.get(2),
        ...op.get(1),
        ...op.const(w),
        ...op.gtS,
        ...op.ifI64,
        ...op.get(3),
        ...op.load8(value * w + tag),
        ...op.const(layout.integer),
        ...op.eq,
        ...op.ifI64,
        ...op.get(3),
        ...op.load64(value * w),
        ...op.else,
        ...op.get(0),
        ...op.const(w + 1),
        ...op.call(argument),
        // It may have made the stack grow.
        ...loadTop,
        ...op.get(1),
        ...op.const(4),
        ...op.shl,
        ...op.sub,
        ...op.set(3),
        ...op.end,
        ...op.else,
        ...op.const64(0n),
        ...op.end,
        ...op.store64(block.innerNr + 8 * w),
      ]),
      op.get(0),
      op.call(original),
      // A C function has room for twenty values beside its arguments.
      loadTop,
      op.tee(3),
      op.get(2),
      op.load64(block.innerResult),
      op.store64(0),
      op.get(3),
      op.const(layout.integer),
      op.store8(tag),
      op.get(0),
      op.get(3),
      op.const(value),
      op.add,
      op.store32(layout.top),
      op.const(1),
    ],
  );

  // lua_Hook: the instruction counter ran out once more.
  a.function('countHook', toVoid(i32, i32), [], [op.get(0), op.call(tick)]);

  functions.forEach((name, k) => {
    a.function(name, toInt(i32), [], [op.get(0), op.call(js[k] as number)]);
  });
  return a.compile(variant);
}
