/**
 * What execve does to the credentials of the calling thread (capabilities(7), "Transformation of capabilities during execve()"), for a
 * file without privileges of its own: the engine starts programs in place, so the host's kernel never comes to do it. Only
 * what is lost is done: nothing can be gained this way, as a root process natively gains what it had dropped.
 */

import type { Process } from '../kernel/process.ts';
import { WORD } from '../kernel/process-block.ts';
import type { Task } from '../kernel/task.ts';
import { openInProc } from './special-files.ts';

const O_CLOEXEC = 0o2000000;
const PR_SET_DUMPABLE = 4;
const PR_SET_KEEPCAPS = 8;
const PR_GET_SECUREBITS = 27;
const SECBIT_NOROOT = 1;
const CAPABILITY_VERSION_3 = 0x2008_0522;
const TEXT = 4096;

/** The calling thread, with no other guest thread alive. */
export function credentialsAfterExec(task: Task): void {
  const { process } = task;
  // As it was started: the kernel has done it.
  if (!hasChanged(process)) return;
  const { scratch } = task.host;
  const mark = scratch.mark();
  try {
    const status = readStatus(task);
    if (status === undefined) return;
    const numbers = (field: string): number[] => (status.get(field) ?? '').split('\t').map(Number);
    const set = (field: string): bigint => BigInt(`0x${status.get(field) ?? '0'}`);
    const [uid, euid, suid, fsuid] = numbers('Uid');
    const [gid, egid, sgid, fsgid] = numbers('Gid');
    if (uid === undefined || euid === undefined || egid === undefined) return;
    if (sgid !== egid || fsgid !== egid) task.call('setresgid', -1, -1, egid);
    if (suid !== euid || fsuid !== euid) task.call('setresuid', -1, -1, euid);
    const ambient = set('CapAmb');
    const inheritable = set('CapInh');
    const asRoot = (task.call('prctl', PR_GET_SECUREBITS) & SECBIT_NOROOT) === 0 && (uid === 0 || euid === 0);
    const permitted = (asRoot ? set('CapBnd') | inheritable | ambient : ambient) & set('CapPrm');
    const effective = asRoot && euid === 0 ? permitted : ambient & permitted;
    if (permitted !== set('CapPrm') || effective !== set('CapEff')) setCapabilities(task, effective, permitted, inheritable);
    task.call('prctl', PR_SET_KEEPCAPS, 0, 0, 0, 0);
    const plain = uid === euid && gid === egid;
    process.block.set(WORD.undumpable, plain ? 0 : 1);
    // Other threads of the engine's may have more rights still: nobody who has this user's may then reach into the process.
    if (plain && status.get('Threads') === '1') task.call('prctl', PR_SET_DUMPABLE, 1, 0, 0, 0);
  } finally {
    scratch.release(mark);
  }
}

function hasChanged({ block }: Process): boolean {
  return block.get(WORD.credentials) !== 0;
}

/** The lines of the host's /proc/self/status by name; undefined where there is none. */
function readStatus(task: Task): Map<string, string> | undefined {
  const fd = openInProc(task, 'self/status', O_CLOEXEC);
  if (fd < 0) return undefined;
  const { at, address } = task.scratch(TEXT);
  const length = task.call('read', fd, address, TEXT);
  task.call('close', fd);
  const text = Buffer.from(task.host.scratch.bytes.subarray(at, at + Math.max(0, length))).toString('latin1');
  return new Map(text.split('\n').map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  }));
}

function setCapabilities(task: Task, effective: bigint, permitted: bigint, inheritable: bigint): void {
  const header = task.scratch(8);
  const data = task.scratch(24);
  const { view } = task.host.scratch;
  view.setUint32(header.at, CAPABILITY_VERSION_3, true);
  [effective, permitted, inheritable].forEach((set, k) => {
    view.setUint32(data.at + 4 * k, Number(set & 0xffff_ffffn), true);
    view.setUint32(data.at + 12 + 4 * k, Number(set >> 32n), true);
  });
  task.call('capset', header.address, data.address);
}
