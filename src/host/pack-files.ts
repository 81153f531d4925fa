/**
 * Translations on disk: one directory of the user's, bounded in size, shared by runs that go on side by side (files are
 * written aside and renamed). Whatever goes wrong here is no error: there is then no cache.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** Bytes that all packs together may take; the longest unused go first. */
const LIMIT = 1 << 30;

/** Set by the build to a hash of the sources; without it (running from source) there is no telling engines apart. */
declare const LUNAGATE_BUILD_ID: string | undefined;

function root(): string {
  const { dev, ino } = statSync('/');
  return `${dev}:${ino}`;
}

export class PackDirectory {
  readonly engine: string;
  readonly #path: string;

  /** Device and inode of the root directory: after a chroot of the guest's the path would mean another place. */
  readonly #root = root();

  readonly #limit: number;

  /** `limit`: bytes that all packs together may take. */
  constructor(path: string, engine: string, limit = LIMIT) {
    this.#path = path;
    this.engine = engine;
    this.#limit = limit;
  }

  /**
   * The directory LUNAGATE_CACHE names, else lunagate in the user's cache directory. undefined where there is none, or
   * LUNAGATE_CACHE is `off`.
   */
  static find(env: Readonly<Record<string, string | undefined>>): PackDirectory | undefined {
    const engine = typeof LUNAGATE_BUILD_ID === 'undefined' ? undefined : LUNAGATE_BUILD_ID;
    const asked = env['LUNAGATE_CACHE'];
    if (engine === undefined || asked === 'off') return undefined;
    const base = env['XDG_CACHE_HOME'] || (env['HOME'] ? join(env['HOME'], '.cache') : '');
    const path = asked || (base === '' ? '' : join(base, 'lunagate'));
    return path === '' ? undefined : new PackDirectory(path, engine);
  }

  open(name: string): OpenPack | undefined {
    let fd = -1;
    try {
      if (root() !== this.#root) return undefined;
      fd = openSync(join(this.#path, name), 'r');
      const { size, uid } = fstatSync(fd);
      // Code for this process to run comes from nobody else.
      if (uid !== process.getuid?.()) throw new Error('not the user’s');
      return new OpenPack(fd, size);
    } catch {
      if (fd >= 0) closeSync(fd);
      return undefined;
    }
  }

  /** One write, so that runs side by side do not cut into each other; what comes out cut off is found by its checksum. */
  append(name: string, bytes: Uint8Array): void {
    if (root() !== this.#root) return;
    let fd = -1;
    try {
      this.#make();
      fd = openSync(join(this.#path, name), 'a', 0o600);
      if (fstatSync(fd).uid === process.getuid?.()) writeSync(fd, bytes);
      this.#prune();
    } catch {
      // There is no cache then.
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  }

  replace(name: string, bytes: Uint8Array): void {
    if (root() !== this.#root) return;
    // Not the pid nor chance alone: a forked process has its parent's of both.
    const aside = join(
      this.#path,
      `${name}.${process.hrtime.bigint().toString(36)}${Math.random().toString(36).slice(2)}`,
    );
    let fd = -1;
    try {
      this.#make();
      fd = openSync(aside, 'wx', 0o600);
      for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
      closeSync(fd);
      fd = -1;
      renameSync(aside, join(this.#path, name));
      this.#prune();
    } catch {
      // Nothing to tidy up unless the file is this call's own; and the user may be another by now.
      try {
        if (fd >= 0) {
          closeSync(fd);
          rmSync(aside, { force: true });
        }
      } catch {
        // A stray file in a cache.
      }
    }
  }

  /** The directory, and the one it is in. (Not mkdir's `recursive`: it never ends where nothing can be made, as in /proc.) */
  #make(): void {
    for (const path of [dirname(this.#path), this.#path]) {
      try {
        mkdirSync(path, 0o700);
      } catch (error) {
        if ((error as { code?: string }).code !== 'EEXIST') throw error;
      }
    }
  }

  #prune(): void {
    const files = readdirSync(this.#path).map((name) => {
      const { size, atimeMs, mtimeMs } = statSync(join(this.#path, name));
      return { name, size, used: Math.max(atimeMs, mtimeMs) };
    });
    let total = files.reduce((sum, f) => sum + f.size, 0);
    if (total <= this.#limit) return;
    files.sort((a, b) => a.used - b.used);
    for (const f of files) {
      if (total <= this.#limit * 0.75) break;
      rmSync(join(this.#path, f.name), { force: true });
      total -= f.size;
    }
  }
}

class OpenPack {
  readonly size: number;
  readonly #fd: number;

  constructor(fd: number, size: number) {
    this.#fd = fd;
    this.size = size;
  }

  read(at: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - at)));
    let done = 0;
    try {
      while (done < bytes.length) {
        const n = readSync(this.#fd, bytes, done, bytes.length - done, at + done);
        if (n === 0) break;
        done += n;
      }
    } catch {
      done = 0;
    }
    return done === bytes.length ? bytes : bytes.slice(0, done);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
