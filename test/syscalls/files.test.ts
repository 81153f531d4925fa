import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, readdirSync, rmSync, statSync, symlinkSync, truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { errno } from '../../src/abi/errno.ts';
import { AT_FDCWD, Guest } from './guest.ts';

const dir = mkdtempSync(join(tmpdir(), 'guest-files-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const guest = new Guest();
const file = (name: string) => join(dir, name);

const O_WRONLY = 1;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_DIRECTORY = 0o200000;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const F_GETFD = 1;

function iovecs(...parts: (readonly [number, number])[]): Uint8Array {
  const raw = Buffer.alloc(parts.length * 16);
  parts.forEach(([base, length], k) => {
    raw.writeBigUInt64LE(BigInt(base), 16 * k);
    raw.writeBigUInt64LE(BigInt(length), 16 * k + 8);
  });
  return raw;
}

test('create, write, seek, read', () => {
  const fd = guest.sys('openat', AT_FDCWD, file('a'), O_RDWR | O_CREAT | O_EXCL, 0o640);
  assert.equal(fd, 3);
  assert.equal(guest.sys('write', fd, Buffer.from('hello world'), 11), 11);
  assert.equal(readFileSync(file('a'), 'utf8'), 'hello world');
  assert.equal(statSync(file('a')).mode & 0o7777, 0o640 & ~process.umask());
  assert.equal(guest.sys('lseek', fd, -5, 2), 6);
  assert.equal(guest.readAll(fd).toString(), 'world');
  const buf = guest.alloc(5);
  assert.equal(guest.sys('pread64', fd, buf, 5, 0), 5);
  assert.equal(guest.read(buf, 5).toString(), 'hello');
  assert.equal(guest.sys('pwrite64', fd, Buffer.from('HE'), 2, 0), 2);
  assert.equal(readFileSync(file('a'), 'utf8'), 'HEllo world');
  assert.equal(guest.sys('open', file('a'), O_CREAT | O_EXCL, 0o600), -errno.EEXIST);
  assert.equal(guest.sys('open', file('none'), 0, 0), -errno.ENOENT);
  assert.equal(guest.sys('ftruncate', fd, 5), 0);
  assert.equal(guest.sys('truncate', file('a'), 3), 0);
  assert.equal(statSync(file('a')).size, 3);
  assert.equal(guest.sys('close', fd), 0);
  assert.equal(guest.sys('close', fd), -errno.EBADF);
});

test('64-bit offsets', () => {
  const fd = guest.sys('open', file('big'), O_RDWR | O_CREAT, 0o600);
  const far = 5n * 2n ** 32n + 7n;
  assert.equal(guest.sys64('lseek', fd, far, 0), far);
  assert.equal(guest.sys('write', fd, Buffer.from('x'), 1), 1);
  assert.equal(BigInt(statSync(file('big')).size), far + 1n);
  assert.equal(guest.sys64('lseek', fd, 0x7fff_ffff_ffff_ffffn, 0), BigInt(-errno.EINVAL));
  assert.equal(guest.sys('ftruncate', fd, -1), -errno.EINVAL);
  guest.sys('close', fd);
});

test('bad pointers give EFAULT, in the kernel order of checks', () => {
  const fd = guest.sys('open', file('a'), O_RDWR | O_CREAT, 0o600);
  for (const bad of [8, 0x8000, 2 ** 33, 2 ** 34, 0x7fff_ffff_f000n, -1n, -4096n]) {
    assert.equal(guest.sys('write', fd, bad, 16), -errno.EFAULT, `write from ${bad}`);
    assert.equal(guest.sys('open', bad, 0), -errno.EFAULT, `open ${bad}`);
    assert.equal(guest.sys('fstat', fd, bad), -errno.EFAULT, `fstat to ${bad}`);
    assert.equal(guest.sys('write', 99, bad, 16), -errno.EBADF, `write to a closed descriptor from ${bad}`);
  }
  assert.equal(guest.sys('read', fd, guest.alloc(8), -1n), -errno.EFAULT);
  assert.equal(guest.sys('write', fd, 2 ** 34 - 4096, 8192), -errno.EFAULT);
  guest.sys('close', fd);
});

test('vectors', () => {
  const fd = guest.sys('open', file('v'), O_RDWR | O_CREAT, 0o600);
  const one = guest.bytes(Buffer.from('one'));
  const two = guest.bytes(Buffer.from('three'));
  assert.equal(guest.sys('writev', fd, iovecs([one, 3], [0, 0], [two, 5]), 3), 8);
  assert.equal(readFileSync(file('v'), 'utf8'), 'onethree');
  const a = guest.alloc(2);
  const b = guest.alloc(16);
  assert.equal(guest.sys('preadv', fd, iovecs([a, 2], [b, 16]), 2, 1, 0), 7);
  assert.equal(guest.read(a, 2).toString() + guest.read(b, 5).toString(), 'nethree');
  assert.equal(guest.sys('preadv2', fd, iovecs([a, 2]), 1, 6, 0, 0), 2);
  assert.equal(guest.read(a, 2).toString(), 'ee');
  assert.equal(guest.sys('pwritev2', fd, iovecs([one, 3]), 1, -1, -1, 0x10), 3);
  assert.equal(guest.sys('pwritev', fd, iovecs([one, 3]), 1, 0, 0), 3);
  assert.equal(guest.sys('readv', fd, iovecs([a, 2]), -1), -errno.EINVAL);
  assert.equal(guest.sys('readv', fd, iovecs([a, 2]), 1025), -errno.EINVAL);
  assert.equal(guest.sys('readv', 77, 0, 1), -errno.EBADF);
  assert.equal(guest.sys('readv', fd, 0, 1), -errno.EFAULT);
  assert.equal(guest.sys('writev', fd, iovecs([one, -1 >>> 0]), 1) > 0, true);
  guest.sys('close', fd);
});

test('the lowest free number, RLIMIT_NOFILE, close-on-exec', () => {
  const own = new Guest({ rlimits: new Map([[7, [8n, 8n]]]) });
  const got: number[] = [];
  for (;;) {
    const fd = own.sys('open', '/dev/null', 0);
    if (fd < 0) {
      assert.equal(fd, -errno.EMFILE);
      break;
    }
    got.push(fd);
  }
  assert.deepEqual(got, [3, 4, 5, 6, 7]);
  assert.equal(own.sys('open', file('must-not-appear'), O_CREAT | O_WRONLY, 0o600), -errno.EMFILE);
  assert.equal(existsSync(file('must-not-appear')), false);
  own.sys('close', 6);
  own.sys('close', 4);
  assert.equal(own.sys('dup', 3), 4);
  assert.equal(own.sys('fcntl', 3, 0, 8), -errno.EINVAL);
  assert.equal(own.sys('fcntl', 3, 0, 5), 6);
  assert.equal(own.sys('dup2', 3, 8), -errno.EBADF);
  assert.equal(own.sys('dup2', 3, 7), 7);
  assert.equal(own.sys('dup2', 99, 7), -errno.EBADF);
  assert.equal(own.sys('dup2', 5, 5), 5);
  assert.equal(own.sys('dup3', 3, 3, 0), -errno.EINVAL);
  assert.equal(own.sys('dup3', 3, 7, O_CLOEXEC), 7);
  assert.equal(own.sys('fcntl', 7, F_GETFD, 0), 1);
  assert.equal(own.sys('fcntl', 7, 2, 0), 0);
  assert.equal(own.sys('fcntl', 7, F_GETFD, 0), 0);
  assert.equal(own.sys('ioctl', 7, 0x5451, 0), 0);
  assert.equal(own.sys('fcntl', 7, F_GETFD, 0), 1);
  assert.equal(own.sys('close_range', 4, 6, 0), 0);
  assert.deepEqual([...own.process.fds.numbers()], [0, 1, 2, 3, 7]);
  assert.equal(own.sys('close_range', 6, 4, 0), -errno.EINVAL);
  assert.equal(own.sys('close_range', 0, 0xffffffff, 4), 0);
  assert.equal(own.sys('fcntl', 0, F_GETFD, 0), 1);
  assert.equal(own.process.fds.removeCloexec().length, 5);
});

test('the guest cannot name a descriptor of the engine', () => {
  // Node itself holds several descriptors from 3 on; none of them is the guest's.
  for (let fd = 3; fd < 64; fd++) {
    if (guest.process.fds.has(fd)) continue;
    assert.equal(guest.sys('fcntl', fd, F_GETFD, 0), -errno.EBADF);
    assert.equal(guest.sys('open', `/proc/self/fd/${fd}`, 0), -errno.ENOENT);
    assert.equal(guest.sys('open', `/dev/fd/${fd}`, 0), -errno.ENOENT);
    assert.equal(guest.sys('truncate', `/proc/${process.pid}/fd/${fd}`, 0), -errno.ENOENT);
  }
});

test('pipes, locks, seals, owners', () => {
  const pair = guest.alloc(8);
  assert.equal(guest.sys('pipe2', pair, O_CLOEXEC | 0o4000), 0);
  const [r, w] = [guest.task.memory.i32(pair), guest.task.memory.i32(pair + 4)];
  assert.equal(w, r + 1);
  assert.equal(guest.sys('fcntl', r, F_GETFD, 0), 1);
  assert.equal(guest.sys('fcntl', r, 3, 0) & 0o4000, 0o4000);
  const buf = guest.alloc(16);
  assert.equal(guest.sys('read', r, buf, 16), -errno.EAGAIN);
  assert.equal(guest.sys('write', w, Buffer.from('abc'), 3), 3);
  assert.equal(guest.sys('ioctl', r, 0x541b, buf), 0);
  assert.equal(guest.task.memory.u32(buf), 3);
  assert.equal(guest.sys('fcntl', w, 1031, 65536) >= 65536, true);
  const fd = guest.sys('open', file('spliced'), O_RDWR | O_CREAT, 0o600);
  assert.equal(guest.sys('splice', r, 0, fd, 0, 3, 0), 3);
  assert.equal(readFileSync(file('spliced'), 'utf8'), 'abc');
  const lock = Buffer.alloc(32);
  lock.writeInt16LE(1, 0);
  assert.equal(guest.sys('fcntl', fd, 37, lock), 0);
  const other = guest.sys('open', file('spliced'), O_RDWR, 0);
  assert.equal(guest.sys('fcntl', other, 37, lock), -errno.EAGAIN);
  assert.equal(guest.sys('flock', fd, 6), 0);
  assert.equal(guest.sys('flock', other, 6), -errno.EAGAIN);
  const owner = guest.alloc(8);
  assert.equal(guest.sys('fcntl', r, 8, process.pid), 0);
  assert.equal(guest.sys('fcntl', r, 16, owner), 0);
  assert.equal(guest.task.memory.u32(owner + 4), process.pid);
  assert.equal(guest.sys('fcntl', r, 12345, 0), -errno.EINVAL);
  const offset = guest.bytes(new Uint8Array(8));
  assert.equal(guest.sys('sendfile', w, fd, offset, 2), 2);
  assert.equal(guest.task.memory.u64(offset), 2n);
  assert.equal(guest.sys('tee', r, w, 1, 2), -errno.EINVAL);
  const memfd = guest.sys('memfd_create', 'name', 3);
  assert.equal(guest.sys('fcntl', memfd, F_GETFD, 0), 1);
  assert.equal(guest.sys('fcntl', memfd, 1033, 2), 0);
  assert.equal(guest.sys('fcntl', memfd, 1034, 0), 2);
  assert.equal(guest.sys('memfd_create', 'x'.repeat(250), 0), -errno.EINVAL);
  assert.equal(guest.sys('pipe', 8), -errno.EFAULT);
  guest.sys('close_range', 3, 0xffffffff, 0);
});

test('names: mkdir, link, symlink, rename, readlink, unlink, mknod', () => {
  assert.equal(guest.sys('mkdir', file('d'), 0o755), 0);
  const at = guest.sys('open', file('d'), O_DIRECTORY, 0);
  assert.equal(guest.sys('mkdirat', at, 'e', 0o700), 0);
  assert.equal(guest.sys('symlinkat', 'some where', at, 'l'), 0);
  assert.equal(readlinkSync(file('d/l')), 'some where');
  const buf = guest.alloc(64);
  assert.equal(guest.sys('readlinkat', at, 'l', buf, 64), 10);
  assert.equal(guest.read(buf, 10).toString(), 'some where');
  assert.equal(guest.sys('readlink', file('d/l'), buf, 4), 4);
  assert.equal(guest.sys('readlink', file('d/l'), buf, 0), -errno.EINVAL);
  assert.equal(guest.sys('readlink', file('d'), buf, 4), -errno.EINVAL);
  writeFileSync(file('d/f'), 'f');
  assert.equal(guest.sys('linkat', at, 'f', at, 'g', 0), 0);
  assert.equal(statSync(file('d/f')).nlink, 2);
  assert.equal(guest.sys('renameat2', at, 'f', at, 'g', 1), -errno.EEXIST);
  assert.equal(guest.sys('renameat', at, 'g', AT_FDCWD, file('h')), 0);
  assert.equal(readFileSync(file('h'), 'utf8'), 'f');
  assert.equal(guest.sys('mknodat', at, 'pipe', 0o010600, 0), 0);
  assert.equal(lstatSync(file('d/pipe')).isFIFO(), true);
  assert.equal(guest.sys('rmdir', file('d')), -errno.ENOTEMPTY);
  assert.equal(guest.sys('unlinkat', at, 'e', 0x200), 0);
  for (const name of ['l', 'f', 'pipe']) assert.equal(guest.sys('unlinkat', at, name, 0), 0);
  assert.deepEqual(readdirSync(file('d')), []);
  guest.sys('close', at);
  assert.equal(guest.sys('mkdir', 'x'.repeat(5000), 0), -errno.ENAMETOOLONG);
});

test('getdents64 lists what readdir lists', () => {
  for (const base of ['/usr/include', dir]) {
    const fd = guest.sys('open', base, O_DIRECTORY, 0);
    const buf = guest.alloc(1024);
    const names: string[] = [];
    for (;;) {
      const got = guest.sys('getdents64', fd, buf, 1024);
      assert.ok(got >= 0);
      if (got === 0) break;
      const raw = guest.read(buf, got);
      for (let at = 0; at < got; at += raw.readUInt16LE(at + 16)) {
        names.push(raw.subarray(at + 19, raw.indexOf(0, at + 19)).toString());
      }
    }
    guest.sys('close', fd);
    assert.deepEqual(names.filter((n) => n !== '.' && n !== '..').sort(), readdirSync(base).sort());
  }
});

test('stat family agrees with node', () => {
  const path = file('status');
  writeFileSync(path, 'twelve bytes');
  symlinkSync('status', file('status-link'));
  const expected = statSync(path, { bigint: true });
  const buf = guest.alloc(256);
  const check = (what: string) => {
    const raw = guest.read(buf, 144);
    assert.equal(raw.readBigUInt64LE(0), expected.dev, what);
    assert.equal(raw.readBigUInt64LE(8), expected.ino, what);
    assert.equal(BigInt(raw.readUInt32LE(24)), expected.mode, what);
    assert.equal(raw.readBigInt64LE(48), 12n, what);
    assert.equal(raw.readBigInt64LE(88) * 1_000_000_000n + raw.readBigInt64LE(96), expected.mtimeNs, what);
  };
  assert.equal(guest.sys('stat', path, buf), 0);
  check('stat');
  assert.equal(guest.sys('stat', file('status-link'), buf), 0);
  check('stat through a link');
  const fd = guest.sys('open', path, O_PATH, 0);
  assert.equal(guest.sys('fstat', fd, buf), 0);
  check('fstat');
  assert.equal(guest.sys('newfstatat', fd, '', buf, 0x1000), 0);
  check('newfstatat, empty path');
  assert.equal(guest.sys('lstat', file('status-link'), buf), 0);
  assert.equal(guest.read(buf, 144).readUInt32LE(24) & 0o170000, 0o120000);
  assert.equal(guest.sys('statx', AT_FDCWD, path, 0, 0xfff, buf), 0);
  assert.equal(guest.read(buf, 256).readBigUInt64LE(32), expected.ino);
  assert.equal(guest.sys('statx', fd, 0, 0x1000, 0xfff, buf), guest.sys('statx', fd, '', 0x1000, 0xfff, buf));
  assert.equal(guest.sys('access', path, 4), 0);
  assert.equal(guest.sys('access', file('none'), 0), -errno.ENOENT);
  assert.equal(guest.sys('faccessat2', AT_FDCWD, file('status-link'), 0, 0x100), 0);
  assert.equal(guest.sys('statfs', path, buf), 0);
  const type = guest.read(buf, 8).readBigInt64LE(0);
  assert.equal(guest.sys('fstatfs', fd, buf), 0);
  assert.equal(guest.read(buf, 8).readBigInt64LE(0), type);
  assert.equal(Number(type), Number(execFileSync('stat', ['-f', '-c', '%#t', path]).toString().trim().replace(/^(?!0x)/, '0x')));
  guest.sys('close', fd);
});

test('modes, owners and times', () => {
  const path = file('attributes');
  writeFileSync(path, '');
  symlinkSync('attributes', file('attributes-link'));
  assert.equal(guest.sys('chmod', path, 0o4711), 0);
  assert.equal(statSync(path).mode & 0o7777, 0o4711);
  assert.equal(guest.sys('fchmodat', AT_FDCWD, file('attributes-link'), 0o600), 0);
  assert.equal(statSync(path).mode & 0o7777, 0o600);
  const { uid, gid } = statSync(path);
  assert.equal(guest.sys('lchown', file('attributes-link'), uid, gid), 0);
  assert.equal(guest.sys('chown', path, -1, -1), 0);
  const timespecs = Buffer.alloc(32);
  timespecs.writeBigInt64LE(1_000_000_000n, 0);
  timespecs.writeBigInt64LE(2_000_000_000n, 16);
  timespecs.writeBigInt64LE(5n, 24);
  assert.equal(guest.sys('utimensat', AT_FDCWD, path, timespecs, 0), 0);
  assert.equal(statSync(path, { bigint: true }).mtimeNs, 2_000_000_000_000_000_005n);
  const timevals = Buffer.from(timespecs);
  timevals.writeBigInt64LE(999_999n, 24);
  assert.equal(guest.sys('utimes', path, timevals), 0);
  assert.equal(statSync(path, { bigint: true }).mtimeNs, 2_000_000_000_999_999_000n);
  timevals.writeBigInt64LE(1_000_000n, 24);
  assert.equal(guest.sys('futimesat', AT_FDCWD, path, timevals), -errno.EINVAL);
  const utimbuf = Buffer.alloc(16);
  utimbuf.writeBigInt64LE(7n, 0);
  utimbuf.writeBigInt64LE(9n, 8);
  assert.equal(guest.sys('utime', path, utimbuf), 0);
  assert.deepEqual([statSync(path).atimeMs, statSync(path).mtimeMs], [7000, 9000]);
  const fd = guest.sys('open', path, 0, 0);
  assert.equal(guest.sys('utimensat', fd, 0, 0, 0), 0);
  assert.ok(statSync(path).mtimeMs > 1e12);
  assert.equal(guest.sys('fchmod', fd, 0o640), 0);
  guest.sys('close', fd);
});

test('extended attributes', (t) => {
  const path = file('xattr');
  writeFileSync(path, '');
  const set = guest.sys('setxattr', path, 'user.one', Buffer.from('1234'), 4, 0);
  if (set === -errno.EOPNOTSUPP) return t.skip('the file system of the temporary directory has no user xattrs');
  assert.equal(set, 0);
  const buf = guest.alloc(64);
  assert.equal(guest.sys('getxattr', path, 'user.one', buf, 64), 4);
  assert.equal(guest.read(buf, 4).toString(), '1234');
  assert.equal(guest.sys('getxattr', path, 'user.one', buf, 2), -errno.ERANGE);
  assert.equal(guest.sys('setxattr', path, 'user.one', Buffer.from('x'), 1, 1), -errno.EEXIST);
  const fd = guest.sys('open', path, O_WRONLY, 0);
  assert.equal(guest.sys('fsetxattr', fd, 'user.two', 0, 0, 0), 0);
  const length = guest.sys('flistxattr', fd, buf, 64);
  assert.deepEqual(guest.read(buf, length).toString().split('\0').filter((n) => n.startsWith('user.')).sort(), ['user.one', 'user.two']);
  assert.equal(guest.sys('fremovexattr', fd, 'user.two'), 0);
  assert.equal(guest.sys('removexattr', path, 'user.two'), -errno.ENODATA);
  assert.equal(guest.sys('getxattr', path, `user.${'n'.repeat(300)}`, 0, 0), -errno.ERANGE);
  guest.sys('close', fd);
});

test('inotify', () => {
  const fd = guest.sys('inotify_init1', O_CLOEXEC | 0o4000);
  const wd = guest.sys('inotify_add_watch', fd, dir, 0x100);
  assert.ok(wd > 0);
  writeFileSync(file('seen'), '');
  const buf = guest.alloc(512);
  const got = guest.sys('read', fd, buf, 512);
  assert.ok(got > 16);
  assert.equal(guest.string(buf + 16), 'seen');
  assert.equal(guest.sys('inotify_rm_watch', fd, wd), 0);
  guest.sys('close', fd);
});

test('fanotify events carry guest descriptors', (t) => {
  const group = guest.sys('fanotify_init', 0x2 | 0x1, 0);
  if (group < 0) return t.skip(`fanotify is not allowed here: ${group}`);
  const marked = guest.sys('fanotify_mark', group, 1, 0x20 | 0x8000000, AT_FDCWD, dir);
  if (marked < 0) return t.skip(`fanotify_mark is not allowed here: ${marked}`);
  writeFileSync(file('noticed'), 'seen by fanotify');
  const buf = guest.alloc(4096);
  const got = guest.sys('read', group, buf, 4096);
  assert.ok(got >= 24, String(got));
  const fd = guest.task.memory.i32(buf + 16);
  assert.equal(fd, group + 1);
  assert.equal(guest.readAll(fd).toString(), 'seen by fanotify');
  guest.sys('close_range', 3, 0xffffffff, 0);
});

test('current directory', () => {
  const before = process.cwd();
  mkdirSync(file('cwd'));
  try {
    assert.equal(guest.sys('chdir', file('cwd')), 0);
    const buf = guest.alloc(4096);
    assert.equal(guest.sys('getcwd', buf, 4096), file('cwd').length + 1);
    assert.equal(guest.string(buf), file('cwd'));
    assert.equal(guest.sys('getcwd', buf, 2), -errno.ERANGE);
    const fd = guest.sys('open', 'relative', O_CREAT | O_WRONLY, 0o600);
    assert.ok(fd >= 3);
    assert.equal(existsSync(file('cwd/relative')), true);
    guest.sys('close', fd);
    const root = guest.sys('open', dir, O_DIRECTORY, 0);
    assert.equal(guest.sys('fchdir', root), 0);
    guest.sys('close', root);
    assert.equal(guest.sys('access', 'cwd/relative', 0), 0);
  } finally {
    process.chdir(before);
  }
});

test('openat2', () => {
  const how = (flags: number, mode: number, resolve: number) => {
    const raw = Buffer.alloc(24);
    raw.writeUInt32LE(flags, 0);
    raw.writeUInt32LE(mode, 8);
    raw.writeUInt32LE(resolve, 16);
    return raw;
  };
  const fd = guest.sys('openat2', AT_FDCWD, file('two'), how(O_CREAT | O_RDWR | O_CLOEXEC, 0o600, 0), 24);
  assert.ok(fd >= 3);
  assert.equal(guest.sys('fcntl', fd, F_GETFD, 0), 1);
  guest.sys('close', fd);
  const at = guest.sys('open', dir, O_DIRECTORY, 0);
  assert.equal(guest.sys('openat2', at, '../etc', how(0, 0, 8), 24), -errno.EXDEV);
  assert.equal(guest.sys('openat2', at, 'two', how(0, 0, 8), 24), fd + 1);
  assert.equal(guest.sys('openat2', at, 'two', how(0, 0o777, 0), 24), -errno.EINVAL);
  assert.equal(guest.sys('openat2', at, 'two', how(0, 0, 0), 23), -errno.EINVAL);
  const longer = Buffer.concat([how(0, 0, 0), Buffer.alloc(8, 1)]);
  assert.equal(guest.sys('openat2', at, 'two', longer, 32), -errno.E2BIG);
  guest.sys('close_range', 3, 0xffffffff, 0);
});

test('sysroot: absolute paths that exist under it come from there', () => {
  const root = file('sysroot');
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(join(root, 'etc/hostname'), 'inside');
  const own = new Guest({ sysroot: `${root}/` });
  assert.equal(own.readFile('/etc/hostname').toString(), 'inside');
  assert.equal(own.readFile('/etc/passwd').toString(), readFileSync('/etc/passwd', 'utf8'));
  const buf = own.alloc(144);
  assert.equal(own.sys('stat', '/etc/hostname', buf), 0);
  assert.equal(own.read(buf, 144).readBigInt64LE(48), 6n);
  assert.equal(own.sys('open', '/only-here/x', O_CREAT | O_WRONLY, 0o600), -errno.ENOENT);
});

test('unknown and unsupported numbers answer ENOSYS', () => {
  assert.equal(guest.raw(9999), BigInt(-errno.ENOSYS));
  assert.equal(guest.raw(-1), BigInt(-errno.ENOSYS));
  assert.equal(guest.raw(337), BigInt(-errno.ENOSYS));
});

test('process_vm_readv on itself reaches guest memory only', () => {
  const target = guest.alloc(16);
  const source = guest.bytes(Buffer.from('sixteen bytes ok'));
  assert.equal(guest.sys('process_vm_readv', process.pid, iovecs([target, 16]), 1, iovecs([source, 16]), 1, 0), 16);
  assert.equal(guest.read(target, 16).toString(), 'sixteen bytes ok');
  const outside = Number(guest.process.host.scratch.address);
  assert.equal(guest.sys('process_vm_readv', process.pid, iovecs([target, 16]), 1, iovecs([outside, 16]), 1, 0), -errno.EFAULT);
  assert.equal(guest.sys('process_vm_writev', process.pid, iovecs([source, 16]), 1, iovecs([8, 16]), 1, 0), -errno.EFAULT);
});

test('ioctl: no terminal, unknown requests', () => {
  truncateSync(file('a'), 10);
  const fd = guest.sys('open', file('a'), 0, 0);
  const buf = guest.alloc(64);
  assert.equal(guest.sys('ioctl', fd, 0x5401, buf), -errno.ENOTTY);
  assert.equal(guest.sys('ioctl', fd, 0x541b, buf), 0);
  assert.equal(guest.task.memory.u32(buf), 10);
  assert.equal(guest.sys('ioctl', fd, 0x80086601, buf) <= 0, true);
  assert.equal(guest.sys('ioctl', fd, 2, buf), 0);
  assert.equal(guest.task.memory.u32(buf), statSync(file('a')).blksize);
  assert.equal(guest.sys('ioctl', 99, 0x5401, buf), -errno.EBADF);
  assert.equal(guest.sys('ioctl', fd, 0x541b, 0x20), -errno.EFAULT);
  guest.sys('close', fd);
});

test('a pseudo-terminal: open, unlock, peer, size', (t) => {
  const master = guest.sys('open', '/dev/ptmx', O_RDWR | 0o400, 0);
  if (master < 0) return t.skip(`no /dev/ptmx here: ${master}`);
  const buf = guest.alloc(64);
  assert.equal(guest.sys('ioctl', master, 0x80045430, buf), 0); // TIOCGPTN
  const number = guest.task.memory.u32(buf);
  guest.task.memory.setU32(buf, 0);
  assert.equal(guest.sys('ioctl', master, 0x40045431, buf), 0); // TIOCSPTLCK
  const slave = guest.sys('ioctl', master, 0x5441, O_RDWR | 0o400);
  assert.equal(slave, master + 1);
  const size = Buffer.from(new Uint16Array([40, 100, 0, 0]).buffer);
  assert.equal(guest.sys('ioctl', slave, 0x5414, size), 0);
  assert.equal(guest.sys('ioctl', master, 0x5413, buf), 0);
  assert.deepEqual([...guest.read(buf, 4)], [40, 0, 100, 0]);
  const link = guest.sys('readlink', `/proc/self/fd/${slave}`, buf, 64);
  assert.equal(guest.read(buf, link).toString(), `/dev/pts/${number}`);
  assert.equal(guest.sys('write', slave, Buffer.from('hi\n'), 3), 3);
  const got = guest.sys('read', master, buf, 64);
  assert.equal(guest.read(buf, got).toString(), 'hi\r\n');
  guest.sys('close_range', 3, 0xffffffff, 0);
});
