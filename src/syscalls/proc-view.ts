/**
 * A guest's entry in /proc as it or another guest sees it: which file shows what, and the open descriptors behind it. What is
 * not the guest's own to show (mounts, cgroup, oom_score, …) is the host's file as it is; so are command line, environment
 * and name of another guest, which the host's kernel knows (host/command-line.ts).
 */

import { errno } from '../abi/errno.ts';
import type { SpecialFile } from '../kernel/fd-table.ts';
import type { Task } from '../kernel/task.ts';
import { seccompMode } from '../kernel/seccomp.ts';
import { type GuestView, openEntry, slotOf, threadIds } from './guest-view.ts';
import { latin1 } from './paths.ts';
import { nodeAt, type ProcNode } from './proc-entry.ts';
import { mapsText, memoryTotals, numaMapsText, rollupText, smapsText, statmText } from './proc-memory.ts';
import { type ListingEntry, type ProcFile, procFile } from './special-files.ts';

const DT_DIR = 4;
const DT_LNK = 10;
const DT_REG = 8;
const EIO = errno.EIO;
const O_CLOEXEC = 0o2000000;
const O_WRONLY_CLOEXEC = 0o2000001;

/** Bytes of a file in the host's entry of a guest, at most 1 MiB; empty if it cannot be read. */
function hostFile(task: Task, view: GuestView, path: string): string {
  const { scratch } = task.host;
  const mark = scratch.mark();
  let text = '';
  const fd = openEntry(task, view, path, O_CLOEXEC);
  if (fd >= 0) {
    const { at, address } = task.scratch(16384);
    for (let got = 1; got > 0 && text.length < 1 << 20; ) {
      got = task.call('read', fd, address, 16384);
      if (got > 0) text += latin1(scratch.bytes.subarray(at, at + got));
    }
    task.call('close', fd);
  }
  scratch.release(mark);
  return text;
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/** The thread a node is about if it is the calling one. */
function callingThread(task: Task, { view, tid }: ProcNode): Task | undefined {
  return view.own ? task.process.ownTask(tid ?? task.process.pid) : undefined;
}

/** Name of the thread a node is about. */
function commOf(task: Task, node: ProcNode): Uint8Array {
  const text = (): string => hostFile(task, node.view, `${threadDirectory(node)}comm`).replace(/\n$/, '');
  return callingThread(task, node)?.comm ?? Buffer.from(text(), 'latin1');
}

/** Where the host has the files of the thread that a node is about; of the process's first one for the process. */
function threadDirectory({ view, tid }: ProcNode): string {
  return `task/${tid ?? view.id}/`;
}

/** What lies between two addresses of the guest's stack now (the kernel reads it live, so setproctitle shows). */
function strings(task: Task, start: number, end: number, original: readonly Uint8Array[]): Uint8Array {
  if (end > start) return task.memory.readPartial(start, end - start);
  return Buffer.concat(original.flatMap((s) => [s, new Uint8Array(1)]));
}

function statText(task: Task, node: ProcNode): string {
  const { view } = node;
  const { image } = view;
  const raw = hostFile(task, view, `${node.tid === undefined ? '' : threadDirectory(node)}stat`);
  const end = raw.lastIndexOf(')');
  // Fields as in proc_pid_stat(5), counted from 1; `rest[0]` is field 3.
  const rest = raw.slice(end + 2).trimEnd().split(' ');
  const set = (field: number, value: number | bigint) => {
    if (field - 3 < rest.length) rest[field - 3] = String(value);
  };
  const totals = memoryTotals(task, view);
  set(20, threadIds(view).length);
  set(23, totals.size * 4096);
  set(24, totals.resident);
  set(26, image.startCode);
  set(27, image.endCode);
  set(28, image.startStack);
  set(29, 0);
  set(30, 0);
  const { blocked, ignored, caught, pending } = signalSets(task, node);
  // 31 bits and a sign are all these old fields show.
  const low = (mask: bigint) => mask & 0x7fffffffn;
  set(31, low(pending));
  set(32, low(blocked));
  set(33, low(ignored));
  set(34, low(caught));
  set(45, image.startData);
  set(46, image.endData);
  set(47, image.startBrk);
  set(48, image.argStart);
  set(49, image.argEnd);
  set(50, image.envStart);
  set(51, image.envEnd);
  return `${raw.slice(0, raw.indexOf('('))}(${latin1(commOf(task, node))}) ${rest.join(' ')}\n`;
}

function signalSets(task: Task, node: ProcNode): { pending: bigint; blocked: bigint; ignored: bigint; caught: bigint } {
  const { view } = node;
  let ignored = 0n;
  let caught = 0n;
  for (let signal = 1; signal <= 64; signal++) {
    const handler = view.handler(signal);
    if (handler === 1) ignored |= 1n << BigInt(signal - 1);
    else if (handler !== 0) caught |= 1n << BigInt(signal - 1);
  }
  const { signals } = task.process;
  const calling = callingThread(task, node);
  if (calling !== undefined && signals !== undefined) {
    return { pending: signals.pending(calling), blocked: signals.of(calling).mask, ignored, caught };
  }
  // Another thread's mask is its host thread's.
  const status = hostFile(task, view, `${threadDirectory(node)}status`);
  const mask = (field: string): bigint => BigInt(`0x${new RegExp(`^${field}:\\s*([0-9a-f]+)`, 'm').exec(status)?.[1] ?? '0'}`);
  return { pending: mask('SigPnd') | mask('ShdPnd'), blocked: mask('SigBlk'), ignored, caught };
}

function statusText(task: Task, node: ProcNode): string {
  const { view } = node;
  const { block, fds } = view;
  const totals = memoryTotals(task, view);
  const sets = signalSets(task, node);
  const kb = (pages: number) => `${String(pages * 4).padStart(8)} kB`;
  const mask = (m: bigint) => m.toString(16).padStart(16, '0');
  const slot = slotOf(view, node.tid);
  const shown: Record<string, string> = {
    Name: latin1(commOf(task, node)).replaceAll('\\', '\\\\').replaceAll('\n', '\\n'),
    FDSize: String(fds.capacity),
    VmPeak: kb(totals.size), VmSize: kb(totals.size), VmLck: kb(0), VmPin: kb(0), VmHWM: kb(totals.resident),
    VmRSS: kb(totals.resident), RssAnon: kb(totals.anonymous), RssFile: kb(totals.resident - totals.anonymous),
    RssShmem: kb(0), VmData: kb(totals.data), VmStk: kb(totals.stack), VmExe: kb(totals.text),
    VmLib: kb(totals.library), VmSwap: kb(totals.swapped),
    Threads: String(threadIds(view).length),
    ShdPnd: mask(sets.pending), SigPnd: mask(0n), SigBlk: mask(sets.blocked), SigIgn: mask(sets.ignored),
    SigCgt: mask(sets.caught),
    Seccomp: String(seccompMode(block.seccomp(slot))), Seccomp_filters: String(block.filters(slot)),
  };
  return hostFile(task, view, `${node.tid === undefined ? '' : threadDirectory(node)}status`)
    .split('\n')
    .map((line) => {
      const name = line.slice(0, line.indexOf(':'));
      return name in shown ? `${name}:\t${shown[name]}` : line;
    })
    .join('\n');
}

/** Rows of /proc/PID/limits by RLIMIT_ number. */
const limitNames = [
  'Max cpu time', 'Max file size', 'Max data size', 'Max stack size', 'Max core file size', 'Max resident set',
  'Max processes', 'Max open files', 'Max locked memory', 'Max address space', 'Max file locks',
  'Max pending signals', 'Max msgqueue size', 'Max nice priority', 'Max realtime priority', 'Max realtime timeout',
];

function limitsText(task: Task, { view }: ProcNode): string {
  const show = (limit: bigint) => (limit === 0xffff_ffff_ffff_ffffn ? 'unlimited' : String(limit)).padEnd(20);
  return hostFile(task, view, 'limits')
    .split('\n')
    .map((line) => {
      const resource = limitNames.indexOf(line.slice(0, 26).trimEnd());
      const limit = resource < 0 ? undefined : view.block.limit(resource);
      if (limit === undefined) return line;
      return `${line.slice(0, 26)}${show(limit[0])} ${show(limit[1])} ${line.slice(68)}`;
    })
    .join('\n');
}

/** The host's fdinfo with the guest's close-on-exec flag and, for epoll, the guest's descriptor numbers. */
function fdinfoText(task: Task, { view, fd: asked }: ProcNode): string {
  const fd = asked as number;
  const { fds } = view;
  return hostFile(task, view, `fdinfo/${fds.host(fd)}`)
    .split('\n')
    .map((line) => {
      if (line.startsWith('flags:\t')) {
        const flags = Number.parseInt(line.slice(7), 8) & ~0o2000000;
        return `flags:\t0${(flags | (fds.isCloexec(fd) ? 0o2000000 : 0)).toString(8)}`;
      }
      return line.replace(/^tfd: *(\d+)/, (_, host: string) => `tfd: ${String(fds.guestOf(Number(host))).padStart(8)}`);
    })
    .join('\n');
}

/**
 * The system call that the host thread is in: number, arguments, stack pointer and pc. Addresses of the guest's memory are shown as
 * the guest's, those of the engine, its stack and code among them, as 0.
 */
function syscallText(task: Task, node: ProcNode): string {
  const { memoryBase, memorySize } = node.view;
  return hostFile(task, node.view, `${node.tid === undefined ? '' : threadDirectory(node)}syscall`).replace(/0x[0-9a-f]+/g, (word) => {
    const value = Number(word);
    if (value >= memoryBase && value < memoryBase + memorySize) return `0x${(value - memoryBase).toString(16)}`;
    return value >= memorySize && value < USER_END ? '0x0' : word;
  });
}
const USER_END = 2 ** 47;

/** What the files with a text of their own show. */
const texts: Record<string, (task: Task, node: ProcNode) => Uint8Array> = {
  maps: (_, { view }) => bytes(mapsText(view)),
  smaps: (task, { view }) => bytes(smapsText(task, view)),
  smaps_rollup: (task, { view }) => bytes(rollupText(task, view)),
  numa_maps: (task, { view }) => bytes(numaMapsText(task, view)),
  statm: (task, { view }) => bytes(statmText(task, view)),
  stat: (task, node) => bytes(statText(task, node)),
  status: (task, node) => bytes(statusText(task, node)),
  limits: (task, node) => bytes(limitsText(task, node)),
  syscall: (task, node) => bytes(syscallText(task, node)),
  auxv: (_, { view }) => Buffer.from(view.image.auxv, 'base64'),
  comm: (task, node) => Buffer.concat([commOf(task, node), Buffer.from('\n')]),
};
/** Those that for another guest the host's kernel has right. */
const ownTexts: Record<string, (task: Task) => Uint8Array> = {
  cmdline: (task) => {
    const { image } = task.process;
    return strings(task, image.argStart, image.argEnd, image.argv);
  },
  environ: (task) => {
    const { image } = task.process;
    return strings(task, image.envStart, image.envEnd, image.envp);
  },
};

/** Inode numbers for listed entries: the host's own are not known here, but must not be 0. */
function inodeOf(name: string): number {
  let hash = 7;
  for (let k = 0; k < name.length; k++) hash = (hash * 31 + name.charCodeAt(k)) % 0x7fffffff;
  return hash + 1;
}

/** `placed`: names are numbers, and say where an entry stands. */
function listing(names: readonly string[], type: number, placed = false): ListingEntry[] {
  return [
    { name: '.', inode: 1, type: DT_DIR },
    { name: '..', inode: 2, type: DT_DIR },
    ...names.map((name) => ({ name, inode: inodeOf(name), type, ...(placed ? { place: Number(name) + 2 } : {}) })),
  ];
}

/**
 * Bytes of guest memory that are mapped without a gap from `at` on. The host's /proc/self/mem reads and writes pages
 * whatever their protection, so what the guest has not mapped must be kept out here.
 */
function mappedFrom(view: GuestView, at: number): number {
  let end = at;
  for (const m of view.mappings()) {
    if (m.end <= end) continue;
    if (m.start > end) break;
    end = m.end;
  }
  return end - at;
}

/** The node as it is now: another guest may have become another program, or have ended. */
function renewed(task: Task, node: ProcNode): ProcNode | undefined {
  return node.view.own ? node : (nodeAt(task, node.path) ?? undefined);
}

/**
 * How the node is to be opened: undefined means the host's file as it is, else what the descriptor becomes.
 */
export function openedAs(node: ProcNode): ProcFile | undefined {
  const { entry, path, view } = node;
  const text = textOf(node);
  if (text !== undefined) {
    const generate = (reader: Task): Uint8Array | undefined => {
      const now = renewed(reader, node);
      return now === undefined ? undefined : text(reader, now);
    };
    if (entry !== 'comm') return { kind: 'text', path, generate };
    const write = (writer: Task, data: Uint8Array) => setComm(writer, node, data);
    return { kind: 'text', path, generate, write };
  }
  if (entry === 'mem') {
    const available = (reader: Task, at: number): number => {
      const now = renewed(reader, node);
      return now === undefined ? 0 : mappedFrom(now.view, at);
    };
    return { kind: 'window', path, shift: view.memoryBase, limit: view.memorySize, available, beyond: -EIO };
  }
  if (entry === 'pagemap') {
    const limit = view.memorySize / 512;
    const available = (_: Task, at: number) => Math.max(0, limit - at);
    return { kind: 'window', path, shift: view.memoryBase / 512, limit, available, beyond: 0 };
  }
  const names = namesIn(node);
  if (names === undefined) return undefined;
  const type = entry === 'fd' ? DT_LNK : entry === 'fdinfo' ? DT_REG : DT_DIR;
  return {
    kind: 'listing', path, position: 0,
    entries: (reader) => {
      const now = renewed(reader, node);
      return listing(now === undefined ? [] : (namesIn(now) ?? []), type, type !== DT_DIR);
    },
  };
}

function textOf({ entry, fd, view }: ProcNode): ((task: Task, node: ProcNode) => Uint8Array) | undefined {
  if (Object.hasOwn(texts, entry)) return texts[entry];
  if (view.own && Object.hasOwn(ownTexts, entry)) return ownTexts[entry];
  return fd !== undefined && /^fdinfo\/\d+$/.test(entry) ? (task, node) => bytes(fdinfoText(task, node)) : undefined;
}

/** What a directory lists that is the guest's own; undefined: it is no such directory. */
function namesIn({ entry, tid, view }: ProcNode): string[] | undefined {
  if (entry === 'fd' || entry === 'fdinfo') return [...view.fds.numbers()].map(String);
  return entry === 'task' && tid === undefined ? threadIds(view).map(String) : undefined;
}

/** proc_comm write: up to 15 bytes, a trailing newline is not part of the name. */
function setComm(task: Task, node: ProcNode, data: Uint8Array): number {
  const end = data.indexOf(10);
  const name = data.slice(0, end < 0 ? 15 : Math.min(end, 15));
  const own = callingThread(task, node);
  if (own !== undefined) own.comm = name;
  else {
    // Of another process the host's kernel refuses it.
    const file = openEntry(task, node.view, `${threadDirectory(node)}comm`, O_WRONLY_CLOEXEC);
    if (file < 0) return file;
    task.host.writeAll(file, name);
    task.call('close', file);
  }
  return data.length;
}

/** The target of a link in a guest's entry as readlink shows it: undefined if the host's answer is right. */
export function linkTarget(task: Task, node: ProcNode): string | undefined {
  if (node.entry === 'exe') return node.view.image.path;
  if (node.view.own && node.fd !== undefined && node.entry === `fd/${node.fd}`) return procFile(task, node.fd)?.path;
  return undefined;
}

/** What another thread's word on a special descriptor becomes here; undefined: nothing special after all. */
export function reviveSpecial(task: Task, told: SpecialFile): SpecialFile | undefined {
  const { path } = told as ProcFile;
  if (path === undefined || told.kind === 'directory') return told;
  const node = nodeAt(task, path);
  return node === undefined || node === null ? undefined : openedAs(node);
}
