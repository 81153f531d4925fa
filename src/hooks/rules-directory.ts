/**
 * Owns the rules directories on the host: which script files exist, their contents, and word of their changing.
 * Everything goes through descriptors opened at the start, so the guest's chdir or chroot changes nothing.
 *
 * Invariants: while nothing changes, asking `changed()` touches no file system; a file is read whole or refused
 * with a reason; nothing but regular files is ever opened for reading.
 */

import { errno, errnoName } from '../abi/errno.ts';
import type { Host, HostBuffer } from '../kernel/ports.ts';
import { type SharedWords, word } from './hook-lock.ts';

/** One script or module found in a rules directory. */
export interface RuleFile {
  /** System call or module name: the file name without `.lua`. */
  readonly name: string;
  /** As messages show it and Lua knows it: directory as given on the command line, then the file. */
  readonly path: string;
  readonly directory: OpenDirectory;
}

/** A directory held open. */
export interface OpenDirectory {
  readonly label: string;
  readonly fd: number;
}

export class RuleFileError extends Error {
  /** What the command line exits with when a rules directory cannot be used. */
  readonly exitStatus = 125;
  /** There is no such file. */
  readonly missing: boolean;
  constructor(message: string, missing = false) {
    super(message);
    this.missing = missing;
  }
}

/** What happened since the last `drain`. */
export interface Changes {
  /** Names (without `.lua`) of files touched; undefined: anything may have changed. */
  readonly names: ReadonlySet<string> | undefined;
  /** Names whose writer closed them or that were moved into place: complete, not half-written. */
  readonly settled: ReadonlySet<string>;
  /** A rules.toml was written, came or went. */
  readonly configuration: boolean;
}

/** The text of a rules.toml and which of the directories given it is of. */
export interface ConfigurationFile {
  readonly text: string;
  readonly path: string;
  readonly index: number;
}

const AT_FDCWD = -100;
const O_PATH = 0o10000000;
const AT_EMPTY_PATH = 0x1000;
const O_DIRECTORY = 0o200000;
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const STATX_BASIC_STATS = 0x7ff;
const DT_UNKNOWN = 0;
const DT_LNK = 10;
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const FIONREAD = 0x541b;
const inotify = {
  MODIFY: 0x2,
  ATTRIB: 0x4,
  CLOSE_WRITE: 0x8,
  MOVED_FROM: 0x40,
  MOVED_TO: 0x80,
  CREATE: 0x100,
  DELETE: 0x200,
  DELETE_SELF: 0x400,
  MOVE_SELF: 0x800,
  Q_OVERFLOW: 0x4000,
  IGNORED: 0x8000,
} as const;
const CONTENT_EVENTS =
  inotify.MODIFY |
  inotify.ATTRIB |
  inotify.CLOSE_WRITE |
  inotify.MOVED_FROM |
  inotify.MOVED_TO |
  inotify.CREATE |
  inotify.DELETE |
  inotify.DELETE_SELF |
  inotify.MOVE_SELF;
/** In the parent of a rules directory that is gone: only its coming back matters. */
const RETURN_EVENTS = inotify.CREATE | inotify.MOVED_TO;
const IN_MASK_ADD = 0x20000000;
/** How long the event behind a risen counter may take to reach the other queue. */
const LAG_MS = 5;
/**
 * Asking costs half a microsecond. Another process that edits a script and then tells the guest so needs longer than
 * this for the telling, so a guest that asked within this time sees the edit with the question after it.
 */
const ASK_MS = 0.01;
/** Larger scripts are refused: nobody writes them, and reading one would stall the guest. */
const MAX_SCRIPT_BYTES = 16 << 20;

const BUFFER = 65536;
const STATX_AT = BUFFER;
const PATH_AT = BUFFER + 256;
const FIONREAD_AT = BUFFER + 256 + 4100;

const CONFIGURATION = 'rules.toml';

/** What one thread knows of the directories and another can take over: plain data, descriptors are the process's. */
export interface DirectoryState {
  readonly layers: readonly Layer[];
  readonly rootFd: number;
  readonly inotify: number;
  readonly alarm: number;
  readonly watched: ReadonlyMap<number, string>;
}

interface Layer {
  /** As given. */
  readonly label: string;
  readonly priority: number;
  /** Which of the directories given; undefined for those that a rules.toml adds. */
  readonly index: number | undefined;
  readonly absolute: string;
  root: OpenDirectory | undefined;
  nested: OpenDirectory | undefined;
}

export class RulesDirectory {
  readonly #host: Host;
  readonly #buffer: HostBuffer;
  /** `changed` counts what the helper thread sees, `taken` is what of it has been taken account of. */
  readonly #words: SharedWords;
  #layers: Layer[] = [];
  /** The root directory of the start: paths mean the same after the guest has changed its own root. */
  #rootFd = -1;
  /** The queue of events read here. */
  #inotify = -1;
  /** A second queue over the same directories, emptied by the host's helper thread, which counts. */
  #alarm = -1;
  #risenAt = 0;
  readonly #askedAt = new Float64Array(1);
  /** node has the global behind a getter. */
  readonly #clock = performance;
  /** What `changed` was when this thread last took account of it. */
  readonly #seen = new Int32Array(1);
  readonly #fionread: number;
  #watched = new Map<number, string>();

  /** `open` or `adopt` makes it usable. */
  constructor(host: Host, words: SharedWords) {
    this.#host = host;
    this.#words = words;
    this.#buffer = host.allocate(BUFFER + 8192);
    this.#fionread = host.nr['ioctl'] ?? -1;
  }

  /**
   * Open `directories` (in order of precedence) and start watching.
   * @throws RuleFileError naming the directory and the reason when one cannot be used.
   */
  open(directories: readonly string[], cwd: string): void {
    this.#rootFd = this.#call('openat', AT_FDCWD, this.#path('/'), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    this.#layers = directories.map((label, index) => {
      const absolute = pathBytes(label.startsWith('/') ? label : `${cwd}/${label}`);
      const root = this.#open(this.#rootFd, fromRoot(absolute), label);
      if (typeof root === 'number') {
        throw new RuleFileError(
          `rules directory ${label}: ${reason(root)}; give --rules an existing, readable directory`,
        );
      }
      return { label, priority: 0, index, absolute, root, nested: undefined };
    });
    this.watchAnew();
  }

  get state(): DirectoryState {
    return { layers: this.#layers, rootFd: this.#rootFd, inotify: this.#inotify, alarm: this.#alarm, watched: this.#watched };
  }

  /** Have `changed` say so, whatever has happened. */
  lookAgain(): void {
    this.#seen[0] = (this.#words[word.changed] as number) - 1;
  }

  /** Be as another thread's directory was. */
  adopt(state: DirectoryState): void {
    this.#layers = [...state.layers];
    this.#rootFd = state.rootFd;
    this.#inotify = state.inotify;
    this.#alarm = state.alarm;
    this.#watched = new Map(state.watched);
  }

  /** The rules.toml of each directory given, where there is one. @throws RuleFileError if one cannot be read. */
  configurations(): ConfigurationFile[] {
    const found: ConfigurationFile[] = [];
    for (const { index, root } of this.#layers) {
      if (index === undefined || root === undefined) continue;
      const path = `${root.label}/${CONFIGURATION}`;
      const result = this.#readAt(root.fd, CONFIGURATION);
      if (typeof result !== 'string') found.push({ text: result.toString(), path, index });
      else if (result !== reason(-errno.ENOENT)) throw new RuleFileError(`${path}: ${result}`);
    }
    return found.sort((a, b) => a.index - b.index);
  }

  /**
   * Put in further directories, relative to the one at `index` of those given: those with a higher priority first,
   * among equals the given ones, then these in their order.
   * @throws RuleFileError naming the directory when one cannot be used.
   */
  addLayers(list: readonly { readonly index: number; readonly path: string; readonly priority: number; readonly from: string }[]): void {
    for (const { index, path, priority, from } of list) {
      const base = this.#layers.find((l) => l.index === index) as Layer;
      const label = path.startsWith('/') ? path : `${base.label.replace(/(?<=.)\/+$/, '')}/${path}`;
      const absolute = path.startsWith('/') ? pathBytes(path) : `${base.absolute}/${pathBytes(path)}`;
      const root = this.#open(this.#rootFd, fromRoot(absolute), label);
      if (typeof root === 'number') throw new RuleFileError(`${from}: layer ${path}: ${reason(root)}`);
      this.#layers.push({ label, priority, index: undefined, absolute, root, nested: undefined });
      this.#watchFd(root.fd, CONTENT_EVENTS);
    }
    this.#layers = this.#layers.toSorted((a, b) => b.priority - a.priority);
  }

  /** Open a log file for appending, relative to the directory at `index`. @throws RuleFileError. */
  openLog(index: number, path: string, from: string): number {
    const base = this.#layers.find((l) => l.index === index) as Layer;
    const O_WRONLY_CREAT_APPEND_CLOEXEC = 0o2002101;
    const dirfd = path.startsWith('/') ? AT_FDCWD : (base.root?.fd ?? AT_FDCWD);
    const fd = this.#call('openat', dirfd, this.#path(pathBytes(path)), O_WRONLY_CREAT_APPEND_CLOEXEC, 0o666);
    if (fd < 0) throw new RuleFileError(`${from}: log.file: ${path} cannot be written: ${reason(fd)}`);
    return fd;
  }

  /** Whether changes are noticed: not where the user's inotify instances are used up. */
  get watching(): boolean {
    return this.#inotify >= 0 && this.#alarm >= 0;
  }

  /** Start watching; again after fork, where the child must not share its parent's queue. */
  watchAnew(): void {
    for (const fd of [this.#inotify, this.#alarm]) if (fd >= 0) this.#call('close', fd);
    this.#watched.clear();
    this.#inotify = this.#call('inotify_init1', O_CLOEXEC | O_NONBLOCK);
    this.#alarm = this.#call('inotify_init1', O_CLOEXEC);
    // No inotify to be had (fs.inotify.max_user_instances): the scripts are then those of the start.
    if (this.#inotify < 0 || this.#alarm < 0) return;
    this.#host.watch(this.#alarm, this.#words);
    this.#take(this.#words[word.changed] as number);
    for (const layer of this.#layers) {
      for (const directory of [layer.root, layer.nested]) {
        if (directory !== undefined) this.#watchFd(directory.fd, CONTENT_EVENTS);
      }
    }
  }

  /** Rises (element 0) when something in the directories changed. Compare it with what it was; no call needed. */
  get changeCell(): Int32Array {
    return this.#words;
  }

  /** What element 0 of `changeCell` was when this thread last took account of changes. */
  get seenCell(): Int32Array {
    return this.#seen;
  }

  /** Whether word of a change has come. One memory read. */
  changed(): boolean {
    return this.#words[word.changed] !== this.#seen[0];
  }

  /** Is it time to ask the kernel? Two questions less than ASK_MS apart cannot have different answers that matter. */
  due(): boolean {
    const now = this.#clock.now();
    if (now - (this.#askedAt[0] as number) < ASK_MS) return false;
    this.#askedAt[0] = now;
    return true;
  }

  /** As `changed`, but exact: asks the kernel, in one system call. A change made before this call is seen. */
  changedExactly(): boolean {
    if (this.#words[word.changed] !== this.#seen[0]) return true;
    if (this.#inotify < 0) return false;
    this.#host.syscall(this.#fionread, this.#inotify, FIONREAD, this.#buffer.address + FIONREAD_AT);
    return this.#buffer.view.getInt32(FIONREAD_AT, true) > 0;
  }

  /** Take the queued events. Undefined when none of them matters to rules. */
  drain(): Changes | undefined {
    const risen = this.#words[word.changed] as number;
    const names = new Set<string>();
    const settled = new Set<string>();
    let all = false;
    let any = false;
    let configuration = false;
    for (;;) {
      const n = this.#call('read', this.#inotify, this.#buffer.address, BUFFER);
      if (n <= 0) break;
      any = true;
      const { view, bytes } = this.#buffer;
      for (let at = 0; at + 16 <= n; ) {
        const wd = view.getInt32(at, true);
        const mask = view.getUint32(at + 4, true);
        const length = view.getUint32(at + 12, true);
        const raw = bytes.subarray(at + 16, at + 16 + length);
        const end = raw.indexOf(0);
        const file = Buffer.from(raw.subarray(0, end < 0 ? length : end)).toString('latin1');
        at += 16 + length;
        if (mask & inotify.IGNORED) this.#watched.delete(wd);
        if (mask & (inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.Q_OVERFLOW | inotify.IGNORED)) {
          all = true;
        } else if (file === CONFIGURATION) {
          // While it is being written it may be anything: only a finished one counts.
          const finished = inotify.CLOSE_WRITE | inotify.MOVED_TO | inotify.MOVED_FROM | inotify.DELETE;
          if ((mask & finished) !== 0) configuration = true;
        } else if (file.endsWith('.lua')) {
          const name = file.slice(0, -4);
          names.add(name);
          if (mask & (inotify.CLOSE_WRITE | inotify.MOVED_TO)) settled.add(name);
        } else if (file === 'syscall' || this.#isLayerName(file) || this.#isTarget(wd)) {
          all = true;
        }
      }
    }
    // The kernel tells one queue after the other: the counter may be ahead of this one for a moment.
    if (any || risen === this.#words[word.taken]) {
      this.#take(risen);
    } else if (this.#risenAt === 0) {
      this.#risenAt = performance.now();
    } else if (performance.now() - this.#risenAt > LAG_MS) {
      this.#take(risen);
    }
    if (!all && !configuration && names.size === 0) return undefined;
    return { names: all ? undefined : names, settled, configuration: configuration || all };
  }

  #take(risen: number): void {
    this.#words[word.taken] = risen;
    this.#seen[0] = risen;
    this.#risenAt = 0;
  }

  /** All `.lua` files there are now, by name; of several with a name, the one that takes precedence. */
  scan(): Map<string, RuleFile> {
    const files = new Map<string, RuleFile>();
    for (const layer of this.#layers) {
      this.#reopen(layer);
      for (const directory of [layer.root, layer.nested]) {
        if (directory === undefined) continue;
        for (const { file, link } of this.#list(directory)) {
          if (!file.endsWith('.lua') || file.length === 4) continue;
          const name = file.slice(0, -4);
          if (files.has(name)) continue;
          if (link) this.#watchTarget(directory.fd, file);
          files.set(name, { name, path: `${directory.label}/${pathText(file)}`, directory });
        }
      }
    }
    return files;
  }

  /**
   * The contents of a file found by `scan`.
   * @throws RuleFileError with the reason.
   */
  read(file: RuleFile): Buffer {
    const result = this.#readAt(file.directory.fd, `${file.name}.lua`);
    if (typeof result === 'string') {
      throw new RuleFileError(`${file.path}: ${result}`, result === reason(-errno.ENOENT));
    }
    return result;
  }

  /** A module for `require`: `a.b` is a/b.lua or a/b/init.lua below a rules directory. */
  readModule(name: string): { source: Buffer; path: string } | string[] {
    const tried: string[] = [];
    const relative = name.replaceAll('.', '/');
    const escapes = relative.split('/').some((part) => part === '' || part === '..');
    for (const layer of this.#layers) {
      if (layer.root === undefined || escapes) continue;
      for (const file of [`${relative}.lua`, `${relative}/init.lua`]) {
        const path = `${layer.root.label}/${pathText(file)}`;
        const result = this.#readAt(layer.root.fd, file);
        if (typeof result !== 'string') return { source: result, path };
        tried.push(result === reason(-errno.ENOENT) ? `no file '${path}'` : `${path}: ${result}`);
        if (relative.includes('/'))
          this.#watch(`${layer.absolute}/${file.slice(0, file.lastIndexOf('/'))}`, CONTENT_EVENTS);
      }
    }
    return tried;
  }

  #readAt(dirfd: number, file: string): Buffer | string {
    const before = this.#stat(dirfd, file, 0);
    if (typeof before === 'number') return reason(before);
    if ((before.mode & S_IFMT) === S_IFDIR) return 'is a directory';
    if ((before.mode & S_IFMT) !== S_IFREG) return 'not a regular file';
    const fd = this.#call('openat', dirfd, this.#path(file), O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0) return reason(fd);
    try {
      const stat = this.#stat(fd, '', AT_EMPTY_PATH);
      if (typeof stat === 'number') return reason(stat);
      if ((stat.mode & S_IFMT) !== S_IFREG) return 'not a regular file';
      const chunks: Buffer[] = [];
      let size = 0;
      for (;;) {
        const n = this.#call('read', fd, this.#buffer.address, BUFFER);
        if (n < 0) return reason(n);
        if (n === 0) break;
        size += n;
        if (size > MAX_SCRIPT_BYTES) return `larger than ${MAX_SCRIPT_BYTES >> 20} MiB, which no rule needs`;
        chunks.push(Buffer.from(this.#buffer.bytes.slice(0, n)));
      }
      return Buffer.concat(chunks);
    } finally {
      this.#call('close', fd);
    }
  }

  /** Follow a directory that vanished, came back or was replaced, and `syscall` coming into being. */
  #reopen(layer: Layer): void {
    const now = this.#stat(this.#rootFd, fromRoot(layer.absolute), 0);
    const held = layer.root === undefined ? -errno.ENOENT : this.#stat(layer.root.fd, '', AT_EMPTY_PATH);
    const same = typeof now !== 'number' && typeof held !== 'number' && now.file === held.file;
    // Not to be seen any more (the guest gave up its rights): what is open stays good.
    const hidden = typeof now === 'number' && now !== -errno.ENOENT && now !== -errno.ENOTDIR;
    if (!same && !hidden) {
      if (layer.root !== undefined) this.#call('close', layer.root.fd);
      const opened = this.#open(this.#rootFd, fromRoot(layer.absolute), layer.label);
      layer.root = typeof opened === 'number' ? undefined : opened;
      const parent = layer.absolute.replace(/\/+$/, '');
      if (layer.root === undefined) this.#watch(parent.slice(0, parent.lastIndexOf('/')) || '/', RETURN_EVENTS);
      else this.#watchFd(layer.root.fd, CONTENT_EVENTS);
    }
    this.#openNested(layer);
  }

  #openNested(layer: Layer): void {
    const { root, nested } = layer;
    if (nested !== undefined) {
      const now = root === undefined ? -errno.ENOENT : this.#stat(root.fd, 'syscall', 0);
      const held = this.#stat(nested.fd, '', AT_EMPTY_PATH);
      if (typeof now !== 'number' && typeof held !== 'number' && now.file === held.file) return;
      this.#call('close', nested.fd);
      layer.nested = undefined;
    }
    if (root === undefined) return;
    const opened = this.#open(root.fd, 'syscall', `${layer.label}/syscall`);
    if (typeof opened === 'number') return;
    layer.nested = opened;
    this.#watchFd(opened.fd, CONTENT_EVENTS);
  }

  #open(dirfd: number, path: string, label: string): OpenDirectory | number {
    const fd = this.#call('openat', dirfd, this.#path(path), O_DIRECTORY | O_CLOEXEC, 0);
    return fd < 0 ? fd : { label: label.replace(/(?<=.)\/+$/, ''), fd };
  }

  /** Watch a directory held open, by what /proc calls it. */
  #watchFd(fd: number, mask: number): void {
    this.#watch(`/proc/self/fd/${fd}`, mask);
  }

  #watch(path: string, mask: number): void {
    if (this.#inotify < 0) return;
    const wd = this.#call('inotify_add_watch', this.#inotify, this.#path(path), mask | IN_MASK_ADD);
    if (wd >= 0) this.#watched.set(wd, path);
    this.#call('inotify_add_watch', this.#alarm, this.#path(path), mask | IN_MASK_ADD);
  }

  /** A watched directory that is no rules directory: it holds what a link there points to. */
  #isTarget(wd: number): boolean {
    return this.#watched.get(wd)?.startsWith('\0') === true;
  }

  #isLayerName(file: string): boolean {
    return this.#layers.some((l) => l.root === undefined && l.absolute.replace(/\/+$/, '').endsWith(`/${file}`));
  }

  #list(directory: OpenDirectory): { file: string; link: boolean }[] {
    const files: { file: string; link: boolean }[] = [];
    if (this.#call('lseek', directory.fd, 0, 0) < 0) return files;
    for (;;) {
      const n = this.#call('getdents64', directory.fd, this.#buffer.address, BUFFER);
      if (n <= 0) return files.sort((a, b) => (a.file < b.file ? -1 : 1));
      const { view, bytes } = this.#buffer;
      for (let at = 0; at < n; at += view.getUint16(at + 16, true)) {
        const type = bytes[at + 18];
        const file = Buffer.from(bytes.slice(at + 19, bytes.indexOf(0, at + 19))).toString('latin1');
        files.push({ file, link: type === DT_LNK || type === DT_UNKNOWN });
      }
    }
  }

  /** If this is a symbolic link, watch the directory of what it leads to: edits happen there. */
  #watchTarget(dirfd: number, file: string): void {
    if (!this.watching) return;
    const length = this.#call('readlinkat', dirfd, this.#path(file), this.#buffer.address, 4096);
    if (length <= 0) return;
    const target = Buffer.from(this.#buffer.bytes.slice(0, length)).toString('latin1');
    const slash = target.lastIndexOf('/');
    if (slash < 0) return; // the rules directory itself
    const directory = target.slice(0, slash) || '/';
    const path = directory.startsWith('/') ? directory : `/proc/self/fd/${dirfd}/${directory}`;
    const wd = this.#call('inotify_add_watch', this.#inotify, this.#path(path), CONTENT_EVENTS | IN_MASK_ADD);
    this.#call('inotify_add_watch', this.#alarm, this.#path(path), CONTENT_EVENTS | IN_MASK_ADD);
    if (wd >= 0 && !this.#watched.has(wd)) this.#watched.set(wd, `\0${path}`);
  }

  /** Kind of a file, and what tells it from every other. */
  #stat(dirfd: number, path: string, flags: number): { mode: number; file: string } | number {
    const { view, address } = this.#buffer;
    const result = this.#call('statx', dirfd, this.#path(path), flags, STATX_BASIC_STATS, address + STATX_AT);
    if (result < 0) return result;
    const s = STATX_AT;
    const device = `${view.getUint32(s + 136, true)}:${view.getUint32(s + 140, true)}`;
    return { mode: view.getUint16(s + 28, true), file: `${device}:${view.getBigUint64(s + 32, true)}` };
  }

  /** Puts a path where the kernel can read it; valid until the next call of this. */
  #path(path: string): number {
    const bytes = Buffer.from(path, 'latin1');
    if (bytes.length > 4095) return this.#buffer.address + PATH_AT + 4096;
    this.#buffer.bytes.set(bytes, PATH_AT);
    this.#buffer.bytes[PATH_AT + bytes.length] = 0;
    return this.#buffer.address + PATH_AT;
  }

  #call(name: string, a = 0, b = 0, c = 0, d = 0, e = 0): number {
    const nr = this.#host.nr[name];
    if (nr === undefined || nr < 0) return -errno.ENOSYS;
    for (;;) {
      const result = this.#host.syscall(nr, a, b, c, d, e);
      if (result !== -errno.EINTR) return result;
    }
  }
}

/** An absolute path as one relative to the root directory. */
function fromRoot(path: string): string {
  return path.replace(/^\/+/, '') || '.';
}

/** Inside this file a path is a string of bytes (one per character), as the kernel takes it. */
function pathBytes(path: string): string {
  return Buffer.from(path).toString('latin1');
}

function pathText(path: string): string {
  return Buffer.from(path, 'latin1').toString();
}

function reason(result: number): string {
  if (result === -errno.ENOENT) return 'no such file or directory';
  if (result === -errno.EACCES) return 'permission denied';
  if (result === -errno.ENOTDIR) return 'not a directory';
  return errnoName(-result) ?? `error ${-result}`;
}
