/**
 * The functions that show a script the guest beyond its memory: registers, call stack, descriptors, paths, and what
 * program it is. Part of the set in api.ts.
 */

import { errno } from '../abi/errno.ts';
import { GuestFault } from '../kernel/ports.ts';
import { SyscallError } from '../kernel/syscall-error.ts';
import type { ApiContext } from './api.ts';
import { absolutePath, descriptorPath } from './guest-paths.ts';
import { type LuaFunction, type LuaState, luaType } from './lua-exports.ts';

const DEFAULT_DEPTH = 32;
const MAX_DEPTH = 1000;

/** Fields of the table `ctx`. */
export const contextFields = ['pid', 'tid', 'name', 'exe', 'argv', 'pc'] as const;

export function guestFunctions(context: () => ApiContext): Record<string, LuaFunction> {
  const failed = (L: LuaState, number: number): number => {
    const { x } = context().vm;
    x.lua_pushnil(L);
    x.lua_pushinteger(L, BigInt(-number));
    return 2;
  };
  const text = (L: LuaState, i: number): string => Buffer.from(context().vm.checkBytes(L, i)).toString('latin1');
  const low = (L: LuaState, i: number): number => Number(BigInt.asIntN(32, context().vm.x.luaL_checkinteger(L, i)));
  /** Run `find`; a path is pushed as its bytes, an error as nil, -errno. */
  const path = (L: LuaState, find: () => string | number): number => {
    const { vm, task } = context();
    const { scratch } = task.host;
    const mark = scratch.mark();
    let found: string | number;
    try {
      found = find();
    } catch (error) {
      if (error instanceof GuestFault) found = -errno.EFAULT;
      else if (error instanceof SyscallError) found = -error.errno;
      else throw error;
    } finally {
      scratch.release(mark);
    }
    if (typeof found === 'number') return failed(L, -found);
    vm.pushBytes(L, Buffer.from(found, 'latin1'));
    return 1;
  };

  return {
    c_list_regs: (L) => {
      const { vm, task } = context();
      const names = task.cpu.registerNames;
      vm.x.lua_createtable(L, names.length, 0);
      names.forEach((name, k) => {
        vm.pushText(L, name);
        vm.x.lua_rawseti(L, -2, BigInt(k + 1));
      });
      return 1;
    },

    c_get_reg: (L) => {
      const { vm, task } = context();
      const value = task.cpu.getRegister(text(L, 1));
      if (value === undefined) return failed(L, errno.EINVAL);
      vm.x.lua_pushinteger(L, BigInt.asIntN(64, value));
      return 1;
    },

    c_set_reg: (L) => {
      const { vm, task } = context();
      const name = text(L, 1);
      const value = BigInt.asUintN(64, vm.x.luaL_checkinteger(L, 2));
      if (!task.cpu.setRegister(name, value)) return failed(L, errno.EINVAL);
      vm.x.lua_pushboolean(L, 1);
      return 1;
    },

    c_backtrace: (L) => {
      const { vm, task, backtrace } = context();
      const { x } = vm;
      const max = x.luaL_optinteger(L, 1, BigInt(DEFAULT_DEPTH));
      if (max < 1n || max > MAX_DEPTH) x.luaL_argerror(L, 1, vm.name(`depth not in 1 … ${MAX_DEPTH}`));
      const frames = backtrace(task, Number(max));
      x.lua_createtable(L, frames.length, 0);
      frames.forEach(({ pc, symbol, offset, file }, k) => {
        x.lua_createtable(L, 0, 5);
        const set = (field: string, value: string | number | undefined): void => {
          if (value === undefined) return;
          if (typeof value === 'number') x.lua_pushinteger(L, BigInt(value));
          else vm.pushText(L, value);
          x.lua_setfield(L, -2, vm.name(field));
        };
        const place = symbol === undefined ? file : `${symbol}+0x${offset.toString(16)}${file === undefined ? '' : ` (${file})`}`;
        set('pc', pc);
        set('symbol', symbol);
        set('offset', offset);
        set('file', file);
        set('text', `0x${pc.toString(16)}${place === undefined ? '' : ` ${place}`}`);
        x.lua_rawseti(L, -2, BigInt(k + 1));
      });
      return 1;
    },

    c_fd_path: (L) => {
      const { task } = context();
      const fd = low(L, 1);
      return path(L, () => descriptorPath(task, fd));
    },

    c_path: (L) => {
      const { vm, task } = context();
      const { x } = vm;
      const dirfd = low(L, 1);
      const given = x.lua_type(L, 2) === luaType.string ? text(L, 2) : Number(BigInt.asUintN(64, x.luaL_checkinteger(L, 2)));
      const follow = x.lua_type(L, 3) <= luaType.nil || x.lua_toboolean(L, 3) !== 0;
      return path(L, () => absolutePath(task, dirfd, given, follow));
    },

    /** __index of `ctx`. */
    contextField: (L) => {
      const { vm, task } = context();
      const { x } = vm;
      const key = x.lua_type(L, 2) === luaType.string ? text(L, 2) : '';
      const { process } = task;
      switch (key) {
        case 'pid': case 'tid': case 'pc':
          x.lua_pushinteger(L, BigInt(key === 'pid' ? process.pid : key === 'tid' ? task.tid : task.cpu.pc));
          return 1;
        case 'name':
          vm.pushBytes(L, task.comm);
          return 1;
        case 'exe':
          vm.pushText(L, process.image.path);
          return 1;
        case 'argv':
          x.lua_createtable(L, process.image.argv.length, 0);
          process.image.argv.forEach((arg, k) => {
            vm.pushBytes(L, arg);
            x.lua_rawseti(L, -2, BigInt(k));
          });
          return 1;
        default:
          return 0;
      }
    },
  };
}
