/**
 * Which entry of /proc a canonical path names, if it is that of a guest: the calling one, or another (guest-view.ts).
 */

import type { HostAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { type GuestView, mainId, otherView, ownView, readText, threadIds } from './guest-view.ts';
import { ENGINE_PROC, hostPlace } from './special-files.ts';

/** A place in the /proc entry of a guest process. */
export interface ProcNode {
  /** Canonical guest path. */
  readonly path: string;
  readonly view: GuestView;
  /** Thread of a path through task/TID; undefined in the process's own directory. */
  readonly tid: number | undefined;
  /** What follows /proc/PID[/task/TID]/: '' for the directory itself, `maps`, `fd`, `fd/3`, `fdinfo/3`, … */
  readonly entry: string;
  /** The guest's descriptor for fd/N and fdinfo/N. */
  readonly fd: number | undefined;
}

/** What was found about each directory, for several looks in one system call. */
export type Views = Map<string, GuestView | null | undefined>;

/** The calling process's number in a procfs, which is not its own where that is of another pid namespace. */
function procNumber(task: Task, mount: string): number {
  const { scratch } = task.host;
  const mark = scratch.mark();
  const { at, address } = task.scratch(16);
  const { dirfd, path } = hostPlace(task, `${mount}/self`);
  const length = task.call('readlinkat', dirfd, path, address, 16);
  const number = length > 0 ? Number(Buffer.from(scratch.bytes.subarray(at, at + length)).toString('latin1')) : Number.NaN;
  scratch.release(mark);
  return number > 0 ? number : task.process.pid;
}

/** Is a procfs mounted there? At /proc, who would doubt it. */
function isProc(task: Task, mount: string): boolean {
  if (mount === '/proc' || mount === `/${ENGINE_PROC}`) return true;
  const { scratch } = task.host;
  const mark = scratch.mark();
  const { at, address } = task.scratch(120);
  const result = task.call('statfs', task.cstring(Buffer.from(mount, 'latin1')), address);
  const found = result === 0 && scratch.view.getUint32(at, true) === PROC_SUPER_MAGIC;
  scratch.release(mark);
  return found;
}
export const PROC_SUPER_MAGIC = 0x9fa0;

/** The guest that an entry is about: undefined if it is none, null if it is a thread of an engine's that no guest has. */
function findView(task: Task, mount: string, id: number): GuestView | null | undefined {
  if (!isProc(task, mount)) return undefined;
  const own = procNumber(task, mount);
  // /proc/TID works for threads too, though it is not listed.
  if (id === own || (own === task.process.pid && task.process.hasThread(id))) return ownView(task, mount, own);
  if (own === task.process.pid && isEngineThread(task, id)) return null;
  const other = otherView(task, mount, id);
  if (other === undefined) return undefined;
  const main = mainId(other.block);
  if (id === main) return other;
  if (other.block.slotOf(id) >= 0) return { ...other, id: main, directory: `${mount}/${main}` };
  // A process of another pid namespace goes by another number than it knows.
  return leads(task, `${mount}/${id}`, id) ? other : null;
}

/**
 * The guest of this number, for calls that take a process: undefined if it is none, null if that is a thread of an engine's or cannot
 * be told, where the guest's /proc numbers other processes.
 */
export function viewOfProcess(task: Task, pid: number): GuestView | null | undefined {
  return procNumber(task, '/proc') === task.process.pid ? findView(task, '/proc', pid) : null;
}

/** Is the number a process's, and not that of a further thread? */
function leads(task: Task, directory: string, id: number): boolean {
  return /^Tgid:\t(\d+)$/m.exec(readText(task, `${directory}/status`))?.[1] === String(id);
}

const inProc = /^((?:\/[^/]+)+?)\/(\d+)(?:\/task\/(\d+))?(?:\/(.*))?$/;

/**
 * The guest's /proc entry that a canonical path names: undefined if it names none (a process that is no guest, no /proc at
 * all), null if it names an engine's own thread or a descriptor the guest does not have.
 */
export function nodeAt(task: Task, canonical: string, views: Views = new Map()): ProcNode | null | undefined {
  const match = inProc.exec(canonical);
  if (match === null) return undefined;
  const mount = match[1] as string;
  const id = Number(match[2]);
  const directory = `${mount}/${id}`;
  const view = views.has(directory) ? views.get(directory) : findView(task, mount, id);
  views.set(directory, view);
  if (view === undefined || view === null) return view;
  let tid = match[3] === undefined ? undefined : Number(match[3]);
  const entry = match[4] ?? '';
  if (id !== view.id) tid ??= id;
  if (tid !== undefined && !threadIds(view).includes(tid)) return null;
  const numbered = /^(?:fd|fdinfo)\/(0|[1-9]\d*)(?=\/|$)/.exec(entry);
  const fd = numbered === null ? undefined : Number(numbered[1]);
  if (fd !== undefined && !view.fds.has(fd)) return null;
  if (entry === 'map_files' || entry.startsWith('map_files/')) return null;
  return { path: canonical, view, tid, entry, fd };
}

/** Is the path one that a procfs has for a process, so that `nodeAt` has told what it is? */
export function isListed(canonical: string): boolean {
  return inProc.test(canonical);
}

/** Is this a thread of the process's that the guest has not: one of Node's, or one that waits to be used again? */
export function isEngineThread(task: Task, id: number): boolean {
  if (id <= 0 || task.process.hasThread(id)) return false;
  const { scratch } = task.host;
  const mark = scratch.mark();
  const found = task.call('faccessat', task.process.procFd, task.cstring(Buffer.from(`self/task/${id}`)), 0) === 0;
  scratch.release(mark);
  return found;
}

/** The host path that behaves (for stat, access, xattr, …) as the guest's node. */
function hostPathOf(node: ProcNode, follow: boolean): string {
  const { view } = node;
  // Not /proc/self: that is a symbolic link, the entry is a directory.
  const entry = view.directory;
  const base = node.tid === undefined ? entry : `${entry}/task/${node.tid}`;
  if (node.entry === 'exe' && follow) {
    const { hostFd, path } = view.image;
    return hostFd >= 0 ? `${entry}/fd/${hostFd}` : Buffer.from(path, 'utf8').toString('latin1');
  }
  if (node.fd !== undefined) {
    const directory = node.entry.slice(0, node.entry.indexOf('/'));
    const below = node.entry.slice(directory.length + 1 + String(node.fd).length);
    return `${base}/${directory}/${view.fds.host(node.fd)}${below}`;
  }
  return node.entry === '' ? base : `${base}/${node.entry}`;
}

/** As `hostPathOf`, for the host; `tail` is added. */
export function hostPlaceOf(task: Task, node: ProcNode, follow: boolean, tail = ''): { readonly dirfd: number; readonly path: HostAddr } {
  return hostPlace(task, hostPathOf(node, follow) + tail);
}
