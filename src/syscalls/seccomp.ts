/** seccomp(2) and its forms in prctl(2): the arguments and the kernel's checks. The filters are in kernel/seccomp.ts. */

import { seccompActions, seccompFlags, seccompModes, seccompOps } from '../abi/constants/misc.ts';
import { errno } from '../abi/errno.ts';
import type { GuestAddr } from '../kernel/ports.ts';
import { INSTRUCTION, MAX_INSTRUCTIONS } from '../kernel/bpf.ts';
import type { Task } from '../kernel/task.ts';
import { choice, flags, int, partial, pointer, syscall } from './declare.ts';

const op = seccompOps.values;
const mode = seccompModes.values;
const flag = seccompFlags.values;
const FLAGS = flag.SECCOMP_FILTER_FLAG_TSYNC | flag.SECCOMP_FILTER_FLAG_LOG | flag.SECCOMP_FILTER_FLAG_SPEC_ALLOW | flag.SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
const CAP_SYS_ADMIN = 21;
const CAPABILITY_VERSION_3 = 0x2008_0522;

/** There can be no listener, so what would ask it is not there either: as on kernels before 5.0. */
const actions = new Set<number>(Object.values(seccompActions.values).filter((a) => a !== seccompActions.values.SECCOMP_RET_USER_NOTIF));

/** PR_SET_SECCOMP. */
export function setMode(task: Task, wanted: number, program: GuestAddr): number {
  if (wanted === mode.SECCOMP_MODE_STRICT) return task.process.seccomp.setStrict();
  if (wanted === mode.SECCOMP_MODE_FILTER) return setFilter(task, 0, program);
  return -errno.EINVAL;
}

function setFilter(task: Task, given: number, program: GuestAddr): number {
  if ((given & ~FLAGS) !== 0) return -errno.EINVAL;
  const { memory, process } = task;
  const { seccomp } = process;
  const head = memory.read(program, 16);
  const view = new DataView(head.buffer, head.byteOffset);
  const length = view.getUint16(0, true);
  const address = Number(view.getBigUint64(8, true));
  if (length === 0 || length > MAX_INSTRUCTIONS) return -errno.EINVAL;
  if (!seccomp.noNewPrivs && !isAdministrator(task)) return -errno.EACCES;
  if (address === 0) return -errno.EINVAL;
  const result = seccomp.attach(memory.read(address, length * INSTRUCTION), (given & flag.SECCOMP_FILTER_FLAG_TSYNC) !== 0);
  return result > 0 && (given & flag.SECCOMP_FILTER_FLAG_TSYNC_ESRCH) !== 0 ? -errno.ESRCH : result;
}

/** CAP_SYS_ADMIN in the thread's own user namespace. */
function isAdministrator(task: Task): boolean {
  const header = task.scratch(8);
  const data = task.scratch(24);
  const { view } = task.host.scratch;
  view.setUint32(header.at, CAPABILITY_VERSION_3, true);
  return task.call('capget', header.address, data.address) === 0 && (view.getUint32(data.at, true) & (1 << CAP_SYS_ADMIN)) !== 0;
}

export const seccompSyscalls = [
  syscall({
    name: 'seccomp', nr: { x86_64: 317, aarch64: 277 }, class: ['process'],
    args: { op: choice('seccomp'), flags: flags('seccomp_flags'), uargs: pointer }, ret: int,
    support: partial('no listeners (SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_RET_USER_NOTIF), as on kernels before 5.0; nothing is logged'),
    run: (task, args) => {
      switch (args.op) {
        case op.SECCOMP_SET_MODE_STRICT:
          return args.flags !== 0 || args.uargs !== 0 ? -errno.EINVAL : task.process.seccomp.setStrict();
        case op.SECCOMP_SET_MODE_FILTER:
          return setFilter(task, args.flags, args.uargs);
        case op.SECCOMP_GET_ACTION_AVAIL:
          if (args.flags !== 0) return -errno.EINVAL;
          return actions.has(task.memory.u32(args.uargs)) ? 0 : -errno.EOPNOTSUPP;
        default:
          return -errno.EINVAL;
      }
    },
  }),
];

