/**
 * `lunagate rules test DIR…`: runs the `*_test.lua` beside rules. There is no guest: the rules get their calls from the
 * tests, and c_do_syscall reaches a kernel that the tests make up.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InterceptorSet } from '../../kernel/interceptor.ts';
import { SyscallFrame } from '../../kernel/ports.ts';
import type { Task } from '../../kernel/task.ts';
import type { ApiContext } from '../api.ts';
import { createHookEngine } from '../engine.ts';
import type { HookEngineOptions } from '../hook-options.ts';
import { type LuaFunction, luaType } from '../lua-exports.ts';
import type { LuaVm } from '../lua-vm.ts';

/** What test files can use; docs/writing-rules.md explains it. */
const prelude = `
calls, logs, fake = {}, {}, {}
local t_call, t_errors, t_reset, t_result = t_call, t_errors, t_reset, t_result
local function number(name)
  return math.type(name) == 'integer' and name or c_syscall_number(name) or error('there is no system call ' .. tostring(name), 3)
end
function c_log(message) logs[#logs + 1] = tostring(message) end
function call(name, ...) return t_call(number(name), ...) end
function memory(data) return t_memory(data) end
local function show(value) return type(value) == 'string' and string.format('%q', value) or tostring(value) end
function expect(actual, wanted, what)
  if actual ~= wanted then
    error((what and what .. ': ' or '') .. 'expected ' .. show(wanted) .. ', got ' .. show(actual), 2)
  end
end
local forgiven = 0
function expect_error(f)
  local before = t_errors()
  f()
  local more = t_errors() - before
  if more == 0 then error('the rule was expected to fail', 2) end
  forgiven = forgiven + more
end
function test(name, f)
  for _, t in ipairs { calls, logs, fake, shared } do for k in pairs(t) do t[k] = nil end end
  t_reset()
  forgiven = 0
  local before = t_errors()
  local fine, message = xpcall(f, function(m) return tostring(m) end)
  if fine and t_errors() - before > forgiven then fine, message = false, 'the rule failed (see above)' end
  t_result(name, fine, fine and '' or message)
end
function t_kernel(num, ...)
  local name = c_syscall_name(num) or num
  calls[#calls + 1] = { name = name, num = num, ... }
  local answer = fake[name]
  if type(answer) == 'function' then return answer(num, ...) end
  return answer or 0
end
`;

export interface TestHost {
  /** Guest memory and a bare task over it. */
  readonly task: Task;
  readonly options: Omit<HookEngineOptions, 'directories' | 'functions' | 'quiet'>;
  /** Fresh guest memory that lasts. */
  memory(bytes: number): number;
}

/** @returns how many tests ran and failed. `say` gets one line at a time. */
export function testRules(host: TestHost, directories: readonly string[], say: (line: string) => void): { ran: number; failed: number } {
  let ran = 0;
  let failed = 0;
  for (const directory of directories) {
    for (const file of readdirSync(directory).filter((f) => f.endsWith('_test.lua')).sort()) {
      const path = join(directory, file);
      const outcome = runFile(host, directory, path, (name, fine, message) => {
        ran++;
        if (!fine) failed++;
        say(fine ? `ok    ${path}: ${name}` : `FAIL  ${path}: ${name}\n      ${message}`);
      });
      if (outcome === undefined) continue;
      failed++;
      say(`FAIL  ${path}\n      ${outcome.replaceAll('\n', '\n      ')}`);
    }
  }
  return { ran, failed };
}

function runFile(
  host: TestHost, directory: string, path: string, result: (name: string, fine: boolean, message: string) => void,
): string | undefined {
  const { task } = host;
  const interceptors = new InterceptorSet();
  let thread = 0;
  const kernel = (context: () => ApiContext) => (frame: SyscallFrame): bigint => {
    const { vm } = context();
    const { x } = vm;
    x.lua_getglobal(thread, vm.name('t_kernel'));
    x.lua_pushinteger(thread, BigInt(frame.nr));
    for (const arg of frame.i64) x.lua_pushinteger(thread, arg);
    const failure = vm.call(thread, 9, 1, 'handler');
    if (failure !== undefined) throw new TestFailure(failure.message);
    const value = x.lua_tointegerx(thread, -1, 0);
    x.lua_settop(thread, -2);
    return value;
  };
  const text = (vm: LuaVm, L: number, i: number): string => Buffer.from(vm.showBytes(L, i)).toString();
  const functions = (context: () => ApiContext): Record<string, LuaFunction> => ({
    t_call: (L) => {
      const { vm } = context();
      const { x } = vm;
      const frame = new SyscallFrame();
      frame.nr = Number(x.luaL_checkinteger(L, 1));
      for (let k = 0; k < 8; k++) {
        const type = x.lua_type(L, k + 2);
        if (type <= luaType.nil) continue;
        frame.i64[k] = type === luaType.string ? BigInt(place(vm.toBytes(L, k + 2))) : x.luaL_checkinteger(L, k + 2);
      }
      x.lua_pushinteger(L, interceptors.run(task, frame, kernel(context)));
      return 1;
    },
    t_memory: (L) => {
      const { vm } = context();
      const bytes = vm.x.lua_type(L, 1) === luaType.string ? vm.toBytes(L, 1) : new Uint8Array(Number(vm.x.luaL_checkinteger(L, 1)));
      vm.x.lua_pushinteger(L, BigInt(place(bytes)));
      return 1;
    },
    t_errors: (L) => {
      let errors = 0;
      for (const script of engine.scripts()) errors += script.statistics.errors;
      context().vm.x.lua_pushinteger(L, BigInt(errors));
      return 1;
    },
    t_reset: () => {
      engine.restart();
      return 0;
    },
    t_result: (L) => {
      const { vm } = context();
      result(text(vm, L, 1), vm.x.lua_toboolean(L, 2) !== 0, text(vm, L, 3));
      return 0;
    },
  });
  const place = (bytes: Uint8Array): number => {
    const addr = host.memory(bytes.length + 1);
    task.memory.write(addr, new Uint8Array([...bytes, 0]));
    return addr;
  };
  const engine = createHookEngine({ ...host.options, directories: [directory], quiet: true, functions });
  engine.attach(interceptors);
  thread = engine.thread();
  try {
    const failure =
      engine.runChunk(task, Buffer.from(prelude), '=rules test') ?? engine.runChunk(task, readFileSync(path), `@${path}`);
    return failure === undefined ? undefined : `${failure.message}\n${failure.traceback}`;
  } catch (error) {
    if (error instanceof TestFailure) return error.message;
    throw error;
  } finally {
    engine.close();
  }
}

/** The made-up kernel itself went wrong. */
class TestFailure extends Error {}
