/** exec, clone, wait, futex, prctl, limits, scheduling, identity. */

import { signalName } from '../../abi/signals.ts';
import { cpuSet, dirfd, environment, limit, path, string, stringList, waitStatus } from '../basics.ts';
import { address, type Call, hex, type Text, u64 } from '../call.ts';
import { choiceName, choiceText, flagsText } from '../constants.ts';
import { argumentText } from '../kinds.ts';
import { quoteHex } from '../quote.ts';
import { structPrinter } from '../structures.ts';
import type { CallPrinters } from './table.ts';

const FUTEX_PRIVATE = 128;
const FUTEX_CLOCK_REALTIME = 256;

function futexOperation(value: number): string {
  const name = choiceText('futex', value & ~(FUTEX_PRIVATE | FUTEX_CLOCK_REALTIME));
  const isPrivate = (value & FUTEX_PRIVATE) !== 0 ? '_PRIVATE' : '';
  return `${name}${isPrivate}${(value & FUTEX_CLOCK_REALTIME) !== 0 ? '|FUTEX_CLOCK_REALTIME' : ''}`;
}

function bitset(value: number): string {
  return value === 0xffffffff ? 'FUTEX_BITSET_MATCH_ANY' : hex(value);
}

const wakeOperations = ['FUTEX_OP_SET', 'FUTEX_OP_ADD', 'FUTEX_OP_OR', 'FUTEX_OP_ANDN', 'FUTEX_OP_XOR'];
const wakeCompares = [
  'FUTEX_OP_CMP_EQ',
  'FUTEX_OP_CMP_NE',
  'FUTEX_OP_CMP_LT',
  'FUTEX_OP_CMP_LE',
  'FUTEX_OP_CMP_GT',
  'FUTEX_OP_CMP_GE',
];

function wakeOperation(value: number): string {
  const operation = (value >>> 28) & 7;
  const shift = value >>> 31 !== 0 ? 'FUTEX_OP_OPARG_SHIFT<<28|' : '';
  const compare = (value >>> 24) & 15;
  return `${shift}${wakeOperations[operation] ?? hex(operation)}<<28|${hex((value >>> 12) & 0xfff)}<<12|${wakeCompares[compare] ?? hex(compare)}<<24|${hex(value & 0xfff)}`;
}

function futexArguments(call: Call): Text[] {
  const operation = call.int(1);
  const command = operation & 127;
  const head: Text[] = [address(call.ulong(0)), futexOperation(operation)];
  const timeout = call.deref(call.at(3), 16, (v) => structPrinter('timespec')?.(v, call) ?? '');
  switch (command) {
    case 0:
      return [...head, String(call.uint(2)), timeout];
    case 9:
      return [...head, String(call.uint(2)), timeout, bitset(call.uint(5))];
    case 10:
      return [...head, String(call.uint(2)), bitset(call.uint(5))];
    case 3:
      return [...head, String(call.uint(2)), String(call.uint(3)), address(call.ulong(4))];
    case 4:
    case 12:
      return [...head, String(call.uint(2)), String(call.uint(3)), address(call.ulong(4)), String(call.uint(5))];
    case 5:
      return [...head, String(call.uint(2)), String(call.uint(3)), address(call.ulong(4)), wakeOperation(call.uint(5))];
    case 6:
    case 13:
      return [...head, timeout];
    case 7:
    case 8:
      return head;
    case 11:
      return [...head, String(call.uint(2)), timeout, address(call.ulong(4))];
    case 1:
    case 2:
      return [...head, String(call.uint(2))];
    default:
      return [...head, String(call.uint(2)), address(call.ulong(3)), address(call.ulong(4)), hex(call.uint(5))];
  }
}

const SIGNAL_MASK = 0xff;

/** Flags and, in the low byte, the signal sent at the end. */
function cloneFlags(value: bigint): string {
  const signal = Number(value & 0xffn);
  const flags = value & ~BigInt(SIGNAL_MASK);
  const names = flags === 0n ? [] : [flagsText('clone', flags, 64)];
  if (signal !== 0) names.push(signalName(signal));
  return names.length === 0 ? '0' : names.join('|');
}

function cloneArguments(call: Call): Text[] {
  const flags = call.ulong(0);
  const parts: Text[] = [`child_stack=${address(call.ulong(1))}`, `flags=${cloneFlags(flags)}`];
  const named = (name: string, text: Text): Text =>
    typeof text === 'string' ? `${name}=${text}` : () => `${name}=${text()}`;
  if ((flags & 0x101000n) !== 0n)
    parts.push(
      named(
        'parent_tid',
        call.derefOut(call.at(2), 4, (v) => `[${v.getInt32(0, true)}]`),
      ),
    );
  if ((flags & 0x80000n) !== 0n) parts.push(`tls=${address(call.ulong(4))}`);
  if ((flags & 0x1200000n) !== 0n) parts.push(`child_tidptr=${address(call.ulong(3))}`);
  return parts;
}

function statusOut(call: Call, k: number): Text {
  const addr = call.at(k);
  if (addr === 0) return 'NULL';
  return () =>
    call.failed || call.result === 0n
      ? address(addr)
      : call.deref(addr, 4, (v) => `[${waitStatus(v.getInt32(0, true))}]`);
}

function usageOut(call: Call, k: number): Text {
  const addr = call.at(k);
  if (addr === 0) return 'NULL';
  return () =>
    call.failed || call.result === 0n
      ? address(addr)
      : call.deref(addr, 144, (v) => structPrinter('rusage')?.(v, call) ?? '');
}

function prctlArguments(call: Call): Text[] {
  const option = choiceText('prctl', call.int(0));
  const addr = call.at(1);
  const rest = (count: number): Text[] => [2, 3, 4].slice(0, count).map((k) => hex(call.ulong(k)));
  switch (choiceName('prctl', call.int(0))) {
    case 'PR_SET_NAME':
      return [option, string(call, addr)];
    case 'PR_GET_NAME':
      return [option, () => (call.failed ? address(addr) : string(call, addr))];
    case 'PR_GET_DUMPABLE':
    case 'PR_GET_KEEPCAPS':
    case 'PR_GET_SECCOMP':
    case 'PR_GET_SECUREBITS':
    case 'PR_GET_TIMERSLACK':
    case 'PR_GET_TIMING':
      return [option];
    case 'PR_SET_DUMPABLE':
      return [option, choiceText('dumpable', call.ulong(1))];
    case 'PR_SET_PDEATHSIG':
      return [option, signalName(call.int(1))];
    case 'PR_GET_PDEATHSIG':
      return [option, call.derefOut(addr, 4, (v) => `[${signalName(v.getInt32(0, true))}]`)];
    case 'PR_CAPBSET_READ':
    case 'PR_CAPBSET_DROP':
      return [option, choiceText('capability', call.ulong(1))];
    case 'PR_SET_KEEPCAPS':
    case 'PR_SET_TIMERSLACK':
    case 'PR_SET_CHILD_SUBREAPER':
      return [option, String(call.ulong(1))];
    case 'PR_GET_CHILD_SUBREAPER':
      return [option, call.derefOut(addr, 4, (v) => `[${v.getInt32(0, true)}]`)];
    case 'PR_SET_NO_NEW_PRIVS':
      return [option, String(call.ulong(1)), ...[2, 3, 4].map((k) => hex(call.ulong(k)))];
    case 'PR_GET_NO_NEW_PRIVS':
      return [option, ...[1, 2, 3, 4].map((k) => hex(call.ulong(k)))];
    case 'PR_SET_THP_DISABLE':
      return [option, String(call.ulong(1)), ...rest(3)];
    case 'PR_GET_THP_DISABLE':
      return [option, ...[1, 2, 3, 4].map((k) => hex(call.ulong(k)))];
    case 'PR_CAP_AMBIENT': {
      const what = choiceName('prctl_cap_ambient', call.ulong(1));
      const capability =
        what === 'PR_CAP_AMBIENT_CLEAR_ALL' ? hex(call.ulong(2)) : choiceText('capability', call.ulong(2));
      return [
        option,
        choiceText('prctl_cap_ambient', call.ulong(1)),
        capability,
        hex(call.ulong(3)),
        hex(call.ulong(4)),
      ];
    }
    case 'PR_SET_VMA': {
      const name = call.at(4);
      return [
        option,
        call.ulong(1) === 0n ? 'PR_SET_VMA_ANON_NAME' : hex(call.ulong(1)),
        address(call.ulong(2)),
        String(call.ulong(3)),
        name === 0 ? 'NULL' : string(call, name),
      ];
    }
    default:
      return [option, ...[1, 2, 3, 4].map((k) => hex(call.ulong(k)))];
  }
}

function limitStruct(call: Call, k: number): Text {
  return call.deref(call.at(k), 16, (v) => `{rlim_cur=${limit(u64(v, 0))}, rlim_max=${limit(u64(v, 8))}}`);
}

function affinity(call: Call, k: number, length: (call: Call) => number): Text {
  const addr = call.at(k);
  const bytes = call.bytes(addr, length(call));
  return addr === 0 ? 'NULL' : bytes === undefined ? address(addr) : cpuSet(bytes);
}

export const processCalls: CallPrinters = {
  execve: { args: (c) => [path(c, c.at(0)), stringList(c, c.at(1)), environment(c, c.at(2))] },
  execveat: {
    args: (c) => [
      dirfd(c.int(0)),
      path(c, c.at(1)),
      stringList(c, c.at(2)),
      environment(c, c.at(3)),
      flagsText('at', c.uint(4)),
    ],
  },
  clone: { args: cloneArguments },
  wait4: { args: (c) => [String(c.int(0)), statusOut(c, 1), flagsText('wait', c.uint(2)), usageOut(c, 3)] },
  waitid: {
    args: (c) => [
      choiceText('waitid', c.int(0)),
      String(c.int(1)),
      c.derefOut(c.at(2), 128, (v) => structPrinter('siginfo')?.(v, c) ?? ''),
      flagsText('wait', c.uint(3)),
      c.derefOut(c.at(4), 144, (v) => structPrinter('rusage')?.(v, c) ?? ''),
    ],
  },
  capget: { args: (c) => [argumentText(c, 0), capabilities(c, true)] },
  capset: { args: (c) => [argumentText(c, 0), capabilities(c, false)] },
  futex: { args: futexArguments },
  prctl: {
    args: prctlArguments,
    result: (c) => {
      switch (choiceName('prctl', c.int(0))) {
        case 'PR_GET_DUMPABLE':
          return `${c.result} (${choiceText('dumpable', c.result)})`;
        default:
          return undefined;
      }
    },
  },
  arch_prctl: {
    args: (c) => {
      const name = choiceName('arch_prctl', c.int(0));
      const isGet = name === 'ARCH_GET_FS' || name === 'ARCH_GET_GS';
      return [
        choiceText('arch_prctl', c.int(0)),
        isGet
          ? c.derefOut(c.at(1), 8, (v) => `[${address(u64(v, 0))}]`)
          : name === 'ARCH_SET_CPUID' || name === 'ARCH_GET_CPUID'
            ? hex(c.ulong(1))
            : address(c.ulong(1)),
      ];
    },
  },
  setrlimit: { args: (c) => [choiceText('rlimit', c.int(0)), limitStruct(c, 1)] },
  sched_getaffinity: {
    args: (c) => [String(c.int(0)), String(c.uint(1)), () => (c.failed ? address(c.at(2)) : affinityText(c))],
  },
  sched_setaffinity: { args: (c) => [String(c.int(0)), String(c.uint(1)), affinity(c, 2, (x) => x.uint(1))] },
  sched_setscheduler: {
    args: (c) => [String(c.int(0)), choiceText('sched', c.int(1)), argumentText(c, 2)],
  },
  setgroups: { args: (c) => [String(c.int(0)), c.uint(0) > GROUPS_MAX ? address(c.ulong(1)) : argumentText(c, 1)] },
  ioprio_get: { result: (c) => `${c.result} (${ioPriority(Number(c.result))})` },
  ioprio_set: { args: (c) => [choiceText('ioprio_who', c.int(0)), String(c.int(1)), ioPriority(c.int(2))] },
  seccomp: { args: seccompArguments },
  ptrace: {
    args: (c) => [choiceText('ptrace', c.long(0)), String(c.int(1)), address(c.ulong(2)), address(c.ulong(3))],
  },
  syslog: {
    args: (c) => [
      choiceName('syslog', c.int(0)) ?? `${c.int(0)} /* SYSLOG_ACTION_??? */`,
      address(c.ulong(1)),
      String(c.int(2)),
    ],
  },
  reboot: {
    args: (c) => [
      choiceText('reboot_magic1', c.uint(0)),
      choiceText('reboot_magic2', c.uint(1)),
      choiceText('reboot', c.uint(2)),
      ...(c.uint(2) === RESTART2 ? [string(c, c.at(3))] : []),
    ],
  },
  keyctl: { args: (c) => [choiceText('keyctl', c.int(0)), ...[1, 2, 3, 4].map((k) => hex(c.ulong(k)))] },
  request_key: { args: (c) => [string(c, c.at(0)), string(c, c.at(1)), string(c, c.at(2)), keyring(c.int(3))] },
  add_key: {
    args: (c) => [string(c, c.at(0)), string(c, c.at(1)), argumentText(c, 2), String(c.ulong(3)), keyring(c.int(4))],
  },
  clone3: { args: clone3Arguments },
  getrandom: {
    args: (c) => [
      () => {
        const bytes = c.failed ? undefined : c.bytes(c.at(0), Math.min(Number(c.result), 33));
        return bytes === undefined ? address(c.ulong(0)) : quoteHex(bytes);
      },
      String(c.ulong(1)),
      flagsText('getrandom', c.uint(2)),
    ],
  },
  personality: {
    args: (c) => [c.uint(0) === 0xffffffff ? '0xffffffff' : personality(c.uint(0))],
    result: (c) => `${hex(c.result)} (${personality(Number(c.result))})`,
  },
  rseq: { args: (c) => [address(c.ulong(0)), hex(c.uint(1)), flagsText('rseq', c.uint(2)), hex(c.uint(3))] },
  getcpu: { args: (c) => [argumentText(c, 0), argumentText(c, 1), address(c.ulong(2))] },
};

const CAPABILITY_VERSION_1 = 0x19980330;

/** Two structures where the version has 64 capabilities; printed as one. */
function capabilities(call: Call, out: boolean): Text {
  const version = call.view(call.at(0), 4)?.getUint32(0, true);
  const size = version === CAPABILITY_VERSION_1 ? 12 : 24;
  const print = (v: DataView): string => structPrinter('cap_user_data')?.(v, call) ?? '';
  return out ? call.derefOut(call.at(1), size, print) : call.deref(call.at(1), size, print);
}

const GROUPS_MAX = 65536;
const RESTART2 = 0xa1b2c3d4;

function ioPriority(value: number): string {
  return `IOPRIO_PRIO_VALUE(${choiceText('ioprio_class', value >> 13)}, ${value & 0x1fff})`;
}

function keyring(value: number): string {
  return choiceName('key_serial', value) ?? String(value);
}

function seccompArguments(call: Call): Text[] {
  const head = [choiceText('seccomp', call.uint(0)), flagsText('seccomp_flags', call.uint(1))];
  switch (choiceName('seccomp', call.uint(0))) {
    case 'SECCOMP_GET_ACTION_AVAIL':
      return [...head, call.deref(call.at(2), 4, (v) => `[${choiceText('seccomp_action', v.getUint32(0, true))}]`)];
    case 'SECCOMP_SET_MODE_FILTER':
      return [
        ...head,
        call.deref(call.at(2), 16, (v) => `{len=${v.getUint16(0, true)}, filter=${address(u64(v, 8))}}`),
      ];
    default:
      return [...head, address(call.ulong(2))];
  }
}

const CLONE_ARGS_V0 = 64;

/** Only what the flags make valid; the ids the kernel wrote behind an arrow. */
function clone3Arguments(call: Call): Text[] {
  const size = call.at(1);
  const addr = call.at(0);
  const view = size < CLONE_ARGS_V0 ? undefined : call.view(addr, Math.min(size, 88));
  if (view === undefined) return [address(addr), String(call.ulong(1))];
  const flags = u64(view, 0);
  const parts = [`flags=${flagsText('clone', flags, 64)}`];
  if ((flags & 0x1000n) !== 0n) parts.push(`pidfd=${address(u64(view, 8))}`);
  if ((flags & 0x1200000n) !== 0n) parts.push(`child_tid=${address(u64(view, 16))}`);
  if ((flags & 0x100000n) !== 0n) parts.push(`parent_tid=${address(u64(view, 24))}`);
  parts.push(
    `exit_signal=${u64(view, 32) === 0n ? '0' : signalName(Number(u64(view, 32)))}`,
    `stack=${address(u64(view, 40))}`,
    `stack_size=${hex(u64(view, 48))}`,
  );
  if ((flags & 0x80000n) !== 0n) parts.push(`tls=${address(u64(view, 56))}`);
  const parentTid = Number(u64(view, 24));
  const written = (): string => {
    if (call.failed || (flags & 0x100000n) === 0n) return '';
    return ` => {parent_tid=${call.deref(parentTid, 4, (v) => `[${v.getInt32(0, true)}]`)}}`;
  };
  return [() => `{${parts.join(', ')}}${written()}`, String(call.ulong(1))];
}

function affinityText(call: Call): string {
  const bytes = call.bytes(call.at(2), Number(call.result));
  return bytes === undefined ? address(call.ulong(2)) : cpuSet(bytes);
}

function personality(value: number): string {
  const base = choiceText('personality_base', value & 0xff);
  const flags = value & ~0xff;
  return flags === 0 ? base : `${base}|${flagsText('personality', flags)}`;
}
