/**
 * A guest process as /proc shows it: the calling one, or another, whose state is read from its memory.
 *
 * How another guest is known: the bounds of its data segment, which the kernel shows in /proc/PID/stat to those who may look at
 * the process, are those of its process block (host/command-line.ts), and the block begins the addresses of all else. Who may
 * not read the process's memory sees of it what the kernel shows. What is read is a copy; the other goes on meanwhile.
 */

import { FdTable } from '../kernel/fd-table.ts';
import { type PublicImage, IMAGE_RECORD, readImageRecord } from '../kernel/image-record.ts';
import { BLOCK_HEADER, BLOCK_SIZE, ProcessBlock, WORD } from '../kernel/process-block.ts';
import type { Process } from '../kernel/process.ts';
import type { Task } from '../kernel/task.ts';
import { journalLength, readJournal } from '../memory/journal.ts';
import type { Mapping } from '../memory/mapping.ts';
import { hostPlace, openInProc } from './special-files.ts';

const O_CLOEXEC = 0o2000000;
const WORDS_PER_ACTION = 4;
const LAST_SIGNAL = 64;
const CHUNK = 1 << 16;
/** Fields of /proc/PID/stat, counted from 1. */
const START_DATA = 45;
const END_DATA = 46;
/** How often something is read again that was being written. */
const TRIES = 20;

export interface GuestView {
  /** Its number in the /proc that the guest looks at. */
  readonly id: number;
  /** Its directory there: /proc/ID, or below another place where a procfs is mounted. */
  readonly directory: string;
  readonly own: boolean;
  readonly memoryBase: number;
  readonly memorySize: number;
  /** Threads, limits, filters. */
  readonly block: ProcessBlock;
  readonly fds: FdTable;
  readonly image: PublicImage;
  mappings(): readonly Mapping[];
  /** SIG_DFL, SIG_IGN or an address. */
  handler(signal: number): number;
}

/** The calling process. `id`: its number in the procfs at `mount`. */
export function ownView({ process, host, fds }: Task, mount: string, id: number): GuestView {
  return {
    id, directory: `${mount}/${id}`, own: true, memoryBase: host.memoryBase, memorySize: host.memorySize, block: process.block, fds,
    get image() {
      return publicImage(process);
    },
    mappings: () => process.space.entries(),
    handler: (signal) => process.signals?.action(signal).handler ?? 0,
  };
}

function publicImage({ image }: Process): PublicImage {
  return { ...image, auxv: Buffer.from(image.auxv).toString('base64') };
}

/** The engine's own look into a guest's entry: a host descriptor or −errno. Its own it finds where the guest's root is another, too. */
export function openEntry(task: Task, view: GuestView, name: string, flags: number): number {
  const mark = task.host.scratch.mark();
  const { dirfd, path } = hostPlace(task, `${view.directory}/${name}`);
  const fd = task.call('openat', dirfd, path, flags, 0);
  task.host.scratch.release(mark);
  return fd < 0 && view.own ? openInProc(task, `self/${name}`, flags) : fd;
}

/** Reads of another process's memory, by its /proc/PID/mem. */
class OtherMemory {
  readonly #task: Task;
  readonly #fd: number;

  constructor(task: Task, fd: number) {
    this.#task = task;
    this.#fd = fd;
  }

  /** Up to `length` bytes: fewer where the memory ends. */
  read(address: number, length: number): Uint8Array {
    const { scratch } = this.#task.host;
    const mark = scratch.mark();
    const parts: Uint8Array[] = [];
    const { at, address: into } = this.#task.scratch(Math.min(length, CHUNK));
    for (let done = 0; done < length; ) {
      const wanted = Math.min(CHUNK, length - done);
      const got = this.#task.call('pread64', this.#fd, into, wanted, address + done);
      if (got > 0) parts.push(scratch.bytes.slice(at, at + got));
      if (got < wanted) break;
      done += got;
    }
    scratch.release(mark);
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  /** In memory that the classes for shared state can be put over. */
  shared(address: number, length: number): SharedArrayBuffer {
    const bytes = this.read(address, length);
    const buffer = new SharedArrayBuffer(bytes.length & ~7);
    new Uint8Array(buffer).set(bytes.subarray(0, bytes.length & ~7));
    return buffer;
  }

  close(): void {
    this.#task.call('close', this.#fd);
  }
}

/** The beginning of a file that the guest sees. */
export function readText(task: Task, path: string): string {
  const { scratch } = task.host;
  const mark = scratch.mark();
  let text = '';
  const place = hostPlace(task, path);
  const fd = task.call('openat', place.dirfd, place.path, O_CLOEXEC, 0);
  if (fd >= 0) {
    const { at, address } = task.scratch(4096);
    const got = task.call('read', fd, address, 4096);
    if (got > 0) text = Buffer.from(scratch.bytes.subarray(at, at + got)).toString('latin1');
    task.call('close', fd);
  }
  scratch.release(mark);
  return text;
}

/** Where the block of the process lies that a text of /proc/PID/stat is of; undefined: it is no guest. */
function blockAddress(stat: string): number | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const start = Number(fields[START_DATA - 3]);
  return start > 0 && Number(fields[END_DATA - 3]) - start === BLOCK_SIZE ? start : undefined;
}

/** The guest process that `id` in the procfs at `mount` is about, a thread's number included; undefined: there is none to be seen. */
export function otherView(task: Task, mount: string, id: number): GuestView | undefined {
  const directory = `${mount}/${id}`;
  const address = blockAddress(readText(task, `${directory}/stat`));
  if (address === undefined) return undefined;
  const mark = task.host.scratch.mark();
  const { dirfd, path } = hostPlace(task, `${directory}/mem`);
  const fd = task.call('openat', dirfd, path, O_CLOEXEC, 0);
  task.host.scratch.release(mark);
  if (fd < 0) return undefined;
  const memory = new OtherMemory(task, fd);
  try {
    return readView(memory, address, { id, directory });
  } finally {
    memory.close();
  }
}

function readView(memory: OtherMemory, address: number, place: Pick<GuestView, 'id' | 'directory'>): GuestView | undefined {
  const header = memory.shared(address, BLOCK_HEADER);
  if (!ProcessBlock.isBlock(new Uint8Array(header))) return undefined;
  const whole = memory.shared(address, new ProcessBlock(header, address).used);
  const block = new ProcessBlock(whole, address);
  let image: PublicImage | undefined;
  for (let k = 0; image === undefined && k < TRIES; k++) image = readImageRecord(memory.read(block.published('image'), IMAGE_RECORD));
  if (image === undefined) return undefined;
  const table = block.published('descriptors');
  const descriptors = memory.shared(table, Math.max(16, FdTable.bytesOf(memory.read(table, 8))));
  const actions = new BigUint64Array(memory.shared(block.published('actions'), (LAST_SIGNAL + 1) * WORDS_PER_ACTION * 8));
  const mappings = readMappings(memory, block.published('mappings'));
  return {
    ...place, own: false, memoryBase: block.published('memoryBase'), memorySize: block.published('memorySize'), block, image,
    fds: new FdTable(() => 0, undefined, descriptors),
    mappings: () => mappings,
    handler: (signal) => Number(actions[signal * WORDS_PER_ACTION] ?? 0n),
  };
}

function readMappings(memory: OtherMemory, address: number): readonly Mapping[] {
  for (let k = 0; k < TRIES; k++) {
    const header = memory.read(address, 16);
    const length = journalLength(header);
    if (length === undefined) continue;
    const bytes = memory.read(address, length);
    // Begun anew in between: other records than the header said.
    if (Buffer.compare(memory.read(address, 4), header.subarray(0, 4)) === 0) return readJournal(bytes);
  }
  return [];
}

/** Ids of the guest's living threads, the process's own included although its thread may have ended before others. */
export function threadIds({ block, id }: GuestView): number[] {
  const main = mainId(block);
  return [id, ...block.tids().filter((tid) => tid !== main && tid !== id)].sort((a, b) => a - b);
}

/** Number of the process in its own pid namespace. */
export function mainId(block: ProcessBlock): number {
  return block.tid(block.get(WORD.mainSlot));
}

export function slotOf({ block, id }: GuestView, tid = id): number {
  return tid === id ? block.get(WORD.mainSlot) : block.slotOf(tid);
}
