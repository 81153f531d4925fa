/** `lunagate rules new NAME`: a script to start from, with the call's own argument names. */

import type { Syscall, SyscallArg } from '../../syscalls/declare.ts';
import { relatives } from '../relatives.ts';

const keywords = new Set(
  'and break do else elseif end false for function goto if in local nil not or repeat return then true until while'.split(' '),
);
/** Globals that an argument of the same name would hide. */
const taken = new Set(['type', 'string', 'table', 'math', 'io', 'os', 'next', 'select', 'error', 'errno', 'linux', 'shared', 'ctx', 'num']);

function luaName(name: string): string {
  return keywords.has(name) || taken.has(name) ? `${name}_` : name;
}

/** How to look at an argument, as a line of Lua; undefined for plain numbers. */
function look({ name, type }: SyscallArg): string | undefined {
  const v = luaName(name);
  switch (type.kind) {
    case 'path': case 'string':
      return `c_read_string(${v})`;
    case 'buffer':
      return type.direction === 'in' && type.count !== undefined && !type.countIsPointer
        ? `c_read_bytes(${v}, math.min(${luaName(type.count)}, 64))` : undefined;
    case 'fd':
      return `c_fd_path(${v})`;
    case 'struct':
      return type.direction === 'in' && type.size > 0 ? `${v} ~= 0 and c_read_bytes(${v}, ${type.size})  -- struct ${type.set}` : undefined;
    default:
      return undefined;
  }
}

export function newRule(call: Syscall): string {
  const names = call.args.filter((a) => a.type.kind !== 'unused').map((a) => luaName(a.name));
  const list = ['num', ...names, ...(names.length < 6 ? ['...'] : [])].join(', ');
  const described = call.args.map(({ name, type }) => `--   ${luaName(name).padEnd(12)} ${describe(type)}`);
  const other = relatives(call.name);
  const looks = call.args.flatMap((a) => {
    const line = look(a);
    return line === undefined ? [] : [`    -- local ${luaName(a.name)}_text = ${line}`];
  });
  return [
    `-- ${call.name}.lua: owns the system call ${call.name} (see ${call.name}(2))`,
    ...(described.length === 0 ? ['-- It has no arguments.'] : ['-- Its arguments:', ...described]),
    ...(other.length === 0 ? [] : [`-- Programs may use these for the same thing: ${other.join(', ')}`]),
    '',
    `function do_syscall(${list})`,
    ...looks,
    `    local ret = c_do_syscall(${list})`,
    `    -- ret: ${call.ret.kind === 'errno-status' ? '0' : 'the result'}, or -errno (such as -errno.EACCES)`,
    '    return ret',
    'end',
    '',
  ].join('\n');
}

function describe(type: SyscallArg['type']): string {
  const way = { in: 'read by the kernel', out: 'written by the kernel', inout: 'read and written by the kernel' }[type.direction];
  const set = type.set === undefined ? '' : ` ${type.set}`;
  const count = type.count === undefined ? '' : `, its length in ${luaName(type.count)}`;
  return type.pointer ? `address of ${type.kind}${set}, ${way}${count}` : `${type.kind}${set}`;
}
