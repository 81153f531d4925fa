/**
 * Owns the functions a script can call: their names, aliases and behaviour. Each runs as a Lua C function; a bad
 * guest address gives `nil, -14`, a wrong argument the usual Lua error.
 */

import { errno } from '../abi/errno.ts';
import { GuestFault, type GuestMemory, type Host, type HostBuffer } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { contextFields, guestFunctions } from './api-guest.ts';
import type { GuestScratch } from './guest-scratch.ts';
import { linuxErrno } from './lua-system.ts';
import { type LuaFunction, type LuaState, luaType } from './lua-exports.ts';
import type { LuaVm } from './lua-vm.ts';
import type { Reporter } from './report.ts';
import type { RulesDirectory } from './rules-directory.ts';
import { type LogLevel, logLevels } from './settings.ts';

/** One argument of a system call, as far as rules need to know it. */
export interface ArgumentType {
  readonly name: string;
  readonly kind: string;
  /** How much of the register counts, and whether it has a sign. */
  readonly width: 'i32' | 'u32' | 'i64';
}

/** Names and numbers of the guest's system calls. */
export interface SyscallNames {
  name(nr: number): string | undefined;
  number(name: string): number | undefined;
  /** Every name of the guest's ABI. */
  names(): readonly string[];
  arguments(name: string): readonly ArgumentType[] | undefined;
}

/** One level of the guest's call stack. */
export interface StackFrame {
  readonly pc: number;
  readonly symbol: string | undefined;
  /** Distance from the symbol, or from the start of the file where there is none. */
  readonly offset: number;
  readonly file: string | undefined;
}

export type ConstantTables = Readonly<Record<string, () => Readonly<Record<string, number | bigint>>>>;

/** What the functions work on. `vm`, `task` and `memory` are those of the call being handled. */
export interface ApiContext {
  readonly vm: LuaVm;
  readonly task: Task;
  readonly memory: GuestMemory;
  /** The guest's call stack, innermost first, at most `max` levels. */
  backtrace(task: Task, max: number): readonly StackFrame[];
  readonly host: Host;
  readonly reporter: Reporter;
  readonly scratch: GuestScratch;
  readonly syscalls: SyscallNames;
  readonly directory: RulesDirectory;
  readonly constants: ConstantTables;
  /** A module of the rules directory was loaded on behalf of the script being handled. */
  moduleUsed(name: string): void;
  /** A finalizer begins or ends. */
  finalizing(on: boolean): void;
}

/** More would only fill the Lua state: such a length is a mistake. */
const MAX_BYTES = 64 << 20;
const DEFAULT_STRING = 4096;
/** lua_State.allowhook: after the object header (next, tt, marked) and the status byte. Lua restores it itself. */
const ALLOW_HOOK = 7;
const CLOCK_REALTIME = 0;
const CLOCK_PROCESS_CPUTIME_ID = 2;

/** Global name → function name in `hookFunctions`, where they differ. */
export const aliases: Readonly<Record<string, string>> = {
  c_read_guest_string: 'c_read_string',
  c_read_guest_bytes: 'c_read_bytes',
  c_write_guest_bytes: 'c_write_bytes',
  c_read_guest_u32: 'c_read_u32',
  c_read_guest_u64: 'c_read_u64',
  c_write_guest_u32: 'c_write_u32',
  c_write_guest_u64: 'c_write_u64',
};

type Reader = (memory: GuestMemory, addr: number) => number | bigint;
const readers: Readonly<Record<string, Reader>> = {
  u8: (m, a) => m.u8(a),
  u16: (m, a) => m.u16(a),
  u32: (m, a) => m.u32(a),
  u64: (m, a) => m.u64(a),
  i8: (m, a) => (m.u8(a) << 24) >> 24,
  i16: (m, a) => (m.u16(a) << 16) >> 16,
  i32: (m, a) => m.i32(a),
  i64: (m, a) => m.u64(a),
};

type Writer = (memory: GuestMemory, addr: number, value: bigint) => void;
const write8: Writer = (m, a, v) => m.setU8(a, Number(BigInt.asUintN(8, v)));
const write16: Writer = (m, a, v) => m.setU16(a, Number(BigInt.asUintN(16, v)));
const write32: Writer = (m, a, v) => m.setU32(a, Number(BigInt.asUintN(32, v)));
const write64: Writer = (m, a, v) => m.setU64(a, BigInt.asUintN(64, v));
const writers: Readonly<Record<string, Writer>> = {
  u8: write8,
  u16: write16,
  u32: write32,
  u64: write64,
  i8: write8,
  i16: write16,
  i32: write32,
  i64: write64,
};

/**
 * All functions by name. Those that begin with `c_` become globals; the others serve the engine itself.
 * `context` is asked at each call, so that one set serves whatever call is being handled.
 */
export function hookFunctions(context: () => ApiContext): Record<string, LuaFunction> {
  let clockBuffer: HostBuffer | undefined;
  const clock = (host: Host, which: number): { seconds: bigint; nanoseconds: number } => {
    clockBuffer ??= host.allocate(16);
    host.syscall(host.nr['clock_gettime'] ?? -1, which, clockBuffer.address);
    return { seconds: clockBuffer.view.getBigInt64(0, true), nanoseconds: clockBuffer.view.getUint32(8, true) };
  };
  const fault = (L: LuaState): number => {
    const { x } = context().vm;
    x.lua_pushnil(L);
    x.lua_pushinteger(L, BigInt(-errno.EFAULT));
    return 2;
  };
  /** Run `access`, which pushes its results; a fault gives nil, -14. */
  const guarded = (L: LuaState, access: () => number): number => {
    try {
      return access();
    } catch (error) {
      if (error instanceof GuestFault) return fault(L);
      throw error;
    }
  };
  const address = (L: LuaState, i: number): number =>
    Number(BigInt.asUintN(64, context().vm.x.luaL_checkinteger(L, i)));
  const length = (L: LuaState, i: number, otherwise?: number): number => {
    const { vm } = context();
    const value =
      otherwise === undefined ? vm.x.luaL_checkinteger(L, i) : vm.x.luaL_optinteger(L, i, BigInt(otherwise));
    if (value < 0n || value > MAX_BYTES) vm.x.luaL_argerror(L, i, vm.name(`length not in 0 … ${MAX_BYTES}`));
    return Number(value);
  };
  /** Beyond the guest's space nothing is accessible, whatever the accessors would make of such a number. */
  const inside = (memory: GuestMemory, addr: number): number => {
    if (addr >= memory.size) throw new GuestFault(addr);
    return addr;
  };

  const functions: Record<string, LuaFunction> = {
    ...guestFunctions(context),

    c_log: (L) => {
      const { vm, reporter } = context();
      vm.x.lua_settop(L, 2);
      let level: LogLevel = 'info';
      // Anything else there is a further result of what was logged: c_log(text:gsub(…)).
      if (vm.x.lua_type(L, 2) === luaType.string) {
        const given = Buffer.from(vm.toBytes(L, 2)).toString('latin1') as LogLevel;
        if (given !== 'none' && logLevels.includes(given)) level = given;
      }
      if (reporter.shows(level)) reporter.log(vm.showBytes(L, 1), level);
      return 0;
    },

    c_get_timestamp: (L) => {
      const { vm, host } = context();
      const { seconds, nanoseconds } = clock(host, CLOCK_REALTIME);
      vm.x.lua_pushinteger(L, seconds);
      vm.x.lua_pushinteger(L, BigInt(nanoseconds));
      return 2;
    },

    c_read_string: (L) => {
      const { vm, memory } = context();
      const addr = address(L, 1);
      const max = length(L, 2, DEFAULT_STRING);
      return guarded(L, () => {
        vm.pushBytes(L, memory.readCString(inside(memory, addr), max).bytes);
        return 1;
      });
    },

    c_read_bytes: (L) => {
      const { vm, memory } = context();
      const addr = address(L, 1);
      const n = length(L, 2);
      return guarded(L, () => {
        vm.pushBytes(L, n === 0 ? new Uint8Array(0) : memory.read(inside(memory, addr), n));
        return 1;
      });
    },

    c_write_bytes: (L) => {
      const { vm, memory } = context();
      const addr = address(L, 1);
      const data = vm.checkBytes(L, 2);
      return guarded(L, () => {
        if (data.length > 0) memory.write(inside(memory, addr), data);
        vm.x.lua_pushinteger(L, BigInt(data.length));
        return 1;
      });
    },

    c_scratch: (L) => {
      const { vm, memory, scratch } = context();
      const isData = vm.x.lua_type(L, 1) === luaType.string;
      return guarded(L, () => {
        const addr = isData ? scratch.put(memory, vm.toBytes(L, 1)) : scratch.reserve(length(L, 1));
        if (addr < 0) vm.x.lua_pushnil(L);
        vm.x.lua_pushinteger(L, BigInt(addr));
        return addr < 0 ? 2 : 1;
      });
    },

    c_syscall_name: (L) => {
      const { vm, syscalls } = context();
      const nr = vm.x.luaL_checkinteger(L, 1);
      const name = nr < 0n || nr > 0xffffffffn ? undefined : syscalls.name(Number(nr));
      if (name === undefined) vm.x.lua_pushnil(L);
      else vm.pushText(L, name);
      return 1;
    },

    c_syscall_number: (L) => {
      const { vm, syscalls } = context();
      const nr = syscalls.number(Buffer.from(vm.checkBytes(L, 1)).toString('latin1'));
      if (nr === undefined) vm.x.lua_pushnil(L);
      else vm.x.lua_pushinteger(L, BigInt(nr));
      return 1;
    },

    /** Message handler of every protected call. */
    handler: (L) => context().vm.handler(L),

    /** os.clock: CPU seconds of the process. */
    clock: (L) => {
      const { vm, host } = context();
      const { seconds, nanoseconds } = clock(host, CLOCK_PROCESS_CPUTIME_ID);
      vm.x.lua_pushnumber(L, Number(seconds) + nanoseconds / 1e9);
      return 1;
    },

    /** Error number of the interpreter's C library → Linux's. */
    linuxErrno: (L) => {
      const { vm } = context();
      vm.x.lua_pushinteger(L, BigInt(linuxErrno(Number(vm.x.luaL_checkinteger(L, 1)))));
      return 1;
    },

    /** __index of the globals: tables of constants come into being when first named. */
    lazyGlobal: (L) => {
      const { vm, constants } = context();
      const { x } = vm;
      const name = x.lua_type(L, 2) === luaType.string ? Buffer.from(vm.toBytes(L, 2)).toString('latin1') : '';
      const values = Object.hasOwn(constants, name) ? constants[name]?.() : undefined;
      if (values === undefined) return 0;
      const entries = Object.entries(values);
      x.lua_settop(L, 2);
      x.lua_createtable(L, 0, entries.length);
      for (const [key, value] of entries) {
        vm.pushText(L, key);
        x.lua_pushinteger(L, BigInt.asIntN(64, BigInt(value)));
        x.lua_rawset(L, 3);
      }
      x.lua_pushvalue(L, 3);
      x.lua_rotate(L, 2, 1);
      x.lua_rawset(L, 1);
      return 1;
    },

    /** A finalizer is being run: let the instruction counter run all the same. */
    beginFinalizer: (L) => {
      const { vm, finalizing } = context();
      vm.bytes[L + ALLOW_HOOK] = 1;
      finalizing(true);
      return 0;
    },

    endFinalizer: () => {
      context().finalizing(false);
      return 0;
    },

    /** package.searchers entry for the rules directories. */
    searchRules: (L) => {
      const { vm, directory } = context();
      const name = Buffer.from(vm.checkBytes(L, 1)).toString('latin1');
      const found = directory.readModule(name);
      if (Array.isArray(found)) {
        vm.pushText(L, found.join('\n\t'));
        return 1;
      }
      const failure = vm.load(L, found.source, `@${found.path}`, true);
      if (failure !== undefined) {
        vm.pushText(L, `error loading module '${name}' from file '${found.path}':\n\t${failure.message}`);
        vm.x.lua_error(L);
      }
      vm.pushText(L, found.path);
      return 2;
    },

    noteModule: (L) => {
      const { vm } = context();
      if (vm.x.lua_type(L, 1) === luaType.string)
        context().moduleUsed(Buffer.from(vm.toBytes(L, 1)).toString('latin1'));
      return 0;
    },
  };

  for (const [type, read] of Object.entries(readers)) {
    functions[`c_read_${type}`] = (L) => {
      const { vm, memory } = context();
      const addr = address(L, 1);
      return guarded(L, () => {
        vm.x.lua_pushinteger(L, BigInt.asIntN(64, BigInt(read(memory, inside(memory, addr)))));
        return 1;
      });
    };
  }
  for (const [type, write] of Object.entries(writers)) {
    functions[`c_write_${type}`] = (L) => {
      const { vm, memory } = context();
      const addr = address(L, 1);
      const value = vm.x.luaL_checkinteger(L, 2);
      return guarded(L, () => {
        write(memory, inside(memory, addr), value);
        vm.x.lua_pushboolean(L, 1);
        return 1;
      });
    };
  }
  return functions;
}

/**
 * Run once in a fresh Lua state, with the engine's own functions as arguments: `require` looks in the rules
 * directories first and tells which script uses what; `os.clock`, error numbers and buffering are the host's.
 */
export const prelude = `
local searchRules, noteModule, linuxErrno, clock, beginFinalizer, endFinalizer, contextField, strict = ...
local searchers = package.searchers
searchers[4], searchers[3] = nil, nil
table.insert(searchers, 2, searchRules)
local load_module = require
function require(name)
  noteModule(name)
  return load_module(name)
end
os.clock = clock
shared = {}
-- Lua switches hooks off in finalizers: one that loops could not be stopped.
local pcall, error = pcall, error
local wrapped = setmetatable({}, { __mode = 'k' })
local function watch(metatable)
  local finalizer = type(metatable) == 'table' and rawget(metatable, '__gc')
  if type(finalizer) ~= 'function' or wrapped[finalizer] then return end
  local function counted(object)
    beginFinalizer()
    local fine, message = pcall(finalizer, object)
    endFinalizer()
    if not fine then error(message, 0) end
  end
  wrapped[counted] = true
  rawset(metatable, '__gc', counted)
end
for library, setmetatable in pairs { [_G] = setmetatable, [debug] = debug.setmetatable } do
  function library.setmetatable(value, metatable)
    watch(metatable)
    return (setmetatable(value, metatable))
  end
end
local function results(value, message, code, ...)
  if value == nil and math.type(code) == 'integer' then return value, message, linuxErrno(code), ... end
  return value, message, code, ...
end
local function translated(name, f)
  return load('local results, ' .. name .. ' = ... return function(...) return results(' .. name .. '(...)) end', '=[C]')(results, f)
end
io.open = translated('open', io.open)
for _, name in ipairs { 'remove', 'rename' } do os[name] = translated(name, os[name]) end
-- A child of the engine's own would be one the guest did not make, and could wait for.
function os.execute(command)
  if command == nil then return false end
  return nil, 'Function not implemented', 38
end
io.stdout:setvbuf('line')
ctx = setmetatable({}, {
  __index = contextField,
  __newindex = function() error('ctx cannot be changed', 2) end,
  __pairs = function()
    local values = {}
    for _, name in ipairs { CONTEXT } do values[name] = contextField(nil, name) end
    return next, values
  end,
})
if strict then
  local load, c_log, pack = load, c_log, table.pack
  function print(...)
    local words = pack(...)
    for k = 1, words.n do words[k] = tostring(words[k]) end
    c_log(table.concat(words, '\t'))
  end
  -- Bytecode is not checked by Lua: it could do anything.
  _G.load = function(chunk, name, _, ...)
    if select('#', ...) > 0 then return load(chunk, name, 't', (...)) end
    return load(chunk, name, 't')
  end
  io, dofile, loadfile = nil, nil, nil
  for _, name in ipairs { 'execute', 'exit', 'remove', 'rename', 'tmpname', 'setlocale' } do os[name] = nil end
  for name in pairs(debug) do
    if name ~= 'traceback' and name ~= 'getinfo' then debug[name] = nil end
  end
  package.loaded.io = nil
  searchers[3] = nil
  package.loadlib, package.searchpath, package.path, package.cpath = nil, nil, '', ''
end
`.replace('CONTEXT', contextFields.map((name) => `'${name}'`).join(', '));
