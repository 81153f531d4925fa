/**
 * The texts of /proc/PID that describe memory: maps, smaps, smaps_rollup, numa_maps, statm, in the kernel's own
 * format (proc_pid_maps(5), proc_pid_smaps(5)), from the guest's mappings. What is resident is asked of the host's
 * pagemap over the guest's pages.
 */

import type { Task } from '../kernel/task.ts';
import { type Mapping, permissions } from '../memory/mapping.ts';
import { type GuestView, openEntry } from './guest-view.ts';

const PAGE = 4096;
const O_CLOEXEC = 0o2000000;
const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;

/** What maps shows in its last column: path, `[heap]`, `[stack]`, … or nothing. */
function nameOf(m: Mapping): string {
  // The texts here are byte strings (latin1); the names are decoded UTF-8.
  return Buffer.from(m.backing?.path || m.name, 'utf8').toString('latin1');
}

function hex(n: number, width: number): string {
  return n.toString(16).padStart(width, '0');
}

/** show_map_vma(): the name starts in column 74. Device numbers are in the encoding of st_dev. */
export function mapsLine(m: Mapping): string {
  const { dev, inode } = m.backing ?? { dev: 0, inode: 0 };
  const major = ((dev >>> 8) & 0xfff) | (Math.floor(dev / 2 ** 32) & ~0xfff);
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  const range = `${hex(m.start, 8)}-${hex(m.end, 8)} ${permissions(m)} ${hex(m.offset, 8)}`;
  const head = `${range} ${hex(major, 2)}:${hex(minor, 2)} ${inode} `;
  // Newlines are the one character the kernel escapes in the name.
  return nameOf(m) === '' ? head : `${head.padEnd(73)}${nameOf(m).replaceAll('\n', '\\012')}`;
}

export function mapsText(view: GuestView): string {
  return view
    .mappings()
    .map((m) => `${mapsLine(m)}\n`).join('');
}

/** Pages of a range by what the host's pagemap says of them. */
export interface Residency {
  resident: number;
  anonymous: number;
  exclusive: number;
  dirty: number;
  swapped: number;
}

const PRESENT = 0x8000_0000;
const SWAPPED = 0x4000_0000;
const FILE_OR_SHARED = 0x2000_0000;
const EXCLUSIVE = 0x0100_0000;

/** A reader of the host's pagemap for guest ranges; `close` it. */
export class ResidencyReader {
  readonly #task: Task;
  readonly #base: number;
  readonly #fd: number;
  constructor(task: Task, view: GuestView) {
    this.#task = task;
    this.#base = view.memoryBase;
    this.#fd = openEntry(task, view, 'pagemap', O_CLOEXEC);
  }

  of(m: Mapping): Residency {
    const task = this.#task;
    const { scratch } = task.host;
    const total: Residency = { resident: 0, anonymous: 0, exclusive: 0, dirty: 0, swapped: 0 };
    const mark = scratch.mark();
    const chunk = 8192;
    const { at, address } = task.scratch(chunk * 8);
    const words = new Uint32Array(scratch.bytes.buffer, scratch.bytes.byteOffset + at, chunk * 2);
    let page = (this.#base + m.start) / PAGE;
    let left = (m.end - m.start) / PAGE;
    while (left > 0 && this.#fd >= 0) {
      const got = task.call('pread64', this.#fd, address, Math.min(left, chunk) * 8, page * 8) / 8;
      if (got <= 0) break;
      for (let k = 0; k < got; k++) {
        const high = words[2 * k + 1] as number;
        if ((high & SWAPPED) !== 0) total.swapped++;
        if ((high & PRESENT) === 0) continue;
        total.resident++;
        if ((high & FILE_OR_SHARED) === 0) total.anonymous++;
        if ((high & EXCLUSIVE) !== 0) total.exclusive++;
        if ((high & FILE_OR_SHARED) === 0) total.dirty++;
      }
      page += got;
      left -= got;
    }
    scratch.release(mark);
    return total;
  }

  close(): void {
    if (this.#fd >= 0) this.#task.call('close', this.#fd);
  }
}

function kb(pages: number): string {
  return `${String(pages * 4).padStart(8)} kB\n`;
}

function smapsBody(r: Residency): string {
  const privateDirty = r.anonymous;
  const privateClean = Math.max(0, r.exclusive - r.anonymous);
  const sharedClean = r.resident - privateDirty - privateClean;
  return [
    ['Shared_Clean', sharedClean], ['Shared_Dirty', 0], ['Private_Clean', privateClean],
    ['Private_Dirty', privateDirty], ['Referenced', r.resident], ['Anonymous', r.anonymous], ['KSM', 0],
    ['LazyFree', 0], ['AnonHugePages', 0], ['ShmemPmdMapped', 0], ['FilePmdMapped', 0], ['Shared_Hugetlb', 0],
    ['Private_Hugetlb', 0], ['Swap', r.swapped], ['SwapPss', r.swapped], ['Locked', 0],
  ].map(([name, pages]) => `${`${name}:`.padEnd(16)}${kb(pages as number)}`).join('');
}

function vmFlags(m: Mapping): string {
  const flags: string[] = [];
  if (m.prot & PROT_READ) flags.push('rd');
  if (m.prot & PROT_WRITE) flags.push('wr');
  if (m.prot & PROT_EXEC) flags.push('ex');
  if (m.shared) flags.push('sh');
  flags.push('mr', 'mw', 'me');
  if (m.shared) flags.push('ms');
  if (m.name === '[stack]') flags.push('gd');
  if (m.prot & PROT_WRITE && !m.shared) flags.push('ac');
  return flags.join(' ');
}

function field(name: string, pages: number): string {
  return `${`${name}:`.padEnd(16)}${kb(pages)}`;
}

export function smapsText(task: Task, view: GuestView): string {
  const reader = new ResidencyReader(task, view);
  let text = '';
  for (const m of view.mappings()) {
    const r = reader.of(m);
    text += `${mapsLine(m)}\n${field('Size', (m.end - m.start) / PAGE)}${field('KernelPageSize', 1)}`;
    text += `${field('MMUPageSize', 1)}${field('Rss', r.resident)}${field('Pss', r.resident)}`;
    text += `${field('Pss_Dirty', r.dirty)}${smapsBody(r)}THPeligible:           0\nVmFlags: ${vmFlags(m)} \n`;
  }
  reader.close();
  return text;
}

/** Sums over all mappings, in pages. */
export interface MemoryTotals extends Residency {
  size: number;
  shared: number;
  text: number;
  data: number;
  stack: number;
  library: number;
}

export function memoryTotals(task: Task, view: GuestView): MemoryTotals {
  const totals: MemoryTotals = {
    size: 0, resident: 0, anonymous: 0, exclusive: 0, dirty: 0, swapped: 0, shared: 0, text: 0, data: 0, stack: 0,
    library: 0,
  };
  const { image } = view;
  const reader = new ResidencyReader(task, view);
  for (const m of view.mappings()) {
    const pages = (m.end - m.start) / PAGE;
    // Address space merely reserved is never resident; skipping it keeps large reservations cheap.
    const r = m.prot === 0 ? undefined : reader.of(m);
    totals.size += pages;
    if (r !== undefined) {
      totals.resident += r.resident;
      totals.anonymous += r.anonymous;
      totals.swapped += r.swapped;
    }
    if (m.name === '[stack]') totals.stack += pages;
    else if ((m.prot & PROT_EXEC) !== 0) {
      const own = m.start < image.endCode && m.end > image.startCode;
      if (own) totals.text += pages;
      else totals.library += pages;
    }
    if ((m.prot & PROT_WRITE) !== 0 && !m.shared) totals.data += pages;
  }
  reader.close();
  totals.shared = totals.resident - totals.anonymous;
  return totals;
}

export function rollupText(task: Task, view: GuestView): string {
  const all = view.mappings();
  const total: Residency = { resident: 0, anonymous: 0, exclusive: 0, dirty: 0, swapped: 0 };
  const reader = new ResidencyReader(task, view);
  for (const m of all) {
    const r = reader.of(m);
    for (const key of Object.keys(total) as (keyof Residency)[]) total[key] += r[key];
  }
  reader.close();
  const range = `${hex(all[0]?.start ?? 0, 8)}-${hex(all.at(-1)?.end ?? 0, 8)}`;
  const head = `${`${range} ---p 00000000 00:00 0 `.padEnd(73)}[rollup]`;
  const files = total.resident - total.anonymous;
  return `${head}\n${field('Rss', total.resident)}${field('Pss', total.resident)}${field('Pss_Dirty', total.dirty)}${field('Pss_Anon', total.anonymous)}${field('Pss_File', files)}${field('Pss_Shmem', 0)}${smapsBody(total)}`;
}

export function numaMapsText(task: Task, view: GuestView): string {
  const reader = new ResidencyReader(task, view);
  let text = '';
  for (const m of view.mappings()) {
    const r = reader.of(m);
    let line = `${hex(m.start, 8)} default`;
    const name = nameOf(m);
    if (name === '[heap]') line += ' heap';
    else if (name === '[stack]') line += ' stack';
    else if (name.startsWith('/')) line += ` file=${name.replaceAll(' ', '\\040')}`;
    if (r.anonymous > 0) line += ` anon=${r.anonymous} dirty=${r.dirty}`;
    if (r.resident > r.anonymous) line += ` mapped=${r.resident}`;
    if (r.resident > 0) line += ` N0=${r.resident} kernelpagesize_kB=4`;
    text += `${line}\n`;
  }
  reader.close();
  return text;
}

export function statmText(task: Task, view: GuestView): string {
  const t = memoryTotals(task, view);
  return `${t.size} ${t.resident} ${t.shared} ${t.text} 0 ${t.data + t.stack} 0\n`;
}
