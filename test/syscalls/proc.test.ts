import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { errno } from '../../src/abi/errno.ts';
import { AT_FDCWD, Guest } from './guest.ts';

const dir = mkdtempSync(join(tmpdir(), 'guest-proc-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const program = join(dir, 'program');
writeFileSync(program, 'the program file');

const text = (s: string) => new TextEncoder().encode(s);
const guest = new Guest({ rlimits: new Map([[7, [123n, 456n]]]) }, {
  path: program, argv: [text('name'), text('--x')], envp: [text('A=1')], auxv: new Uint8Array([9, 0, 0, 0, 0, 0, 0, 0]),
  startCode: 0x400000, endCode: 0x401000, startStack: 0x3_0000_0000, startBrk: 0x500000,
});
const pid = process.pid;
const O_DIRECTORY = 0o200000;
const O_RDWR = 2;

function link(path: string): string | number {
  const buf = guest.alloc(4096);
  const got = guest.sys('readlink', path, buf, 4096);
  return got < 0 ? got : guest.read(buf, got).toString();
}

function list(path: string): string[] {
  const fd = guest.sys('open', path, O_DIRECTORY, 0);
  assert.ok(fd >= 0, `${path}: ${fd}`);
  const buf = guest.alloc(256);
  const names: string[] = [];
  for (;;) {
    const got = guest.sys('getdents64', fd, buf, 64);
    assert.ok(got >= 0);
    if (got === 0) break;
    const raw = guest.read(buf, got);
    for (let at = 0; at < got; at += raw.readUInt16LE(at + 16)) names.push(raw.subarray(at + 19, raw.indexOf(0, at + 19)).toString());
  }
  guest.sys('close', fd);
  return names.filter((n) => n !== '.' && n !== '..');
}

test('exe is the program, by every way of asking', () => {
  for (const path of ['/proc/self/exe', `/proc/${pid}/exe`, '/proc/thread-self/exe', `/proc/self/task/${pid}/exe`, '/proc/../proc/self/./exe']) {
    assert.equal(link(path), program, path);
    assert.equal(guest.readFile(path).toString(), 'the program file', path);
  }
  const buf = guest.alloc(144);
  assert.equal(guest.sys('stat', '/proc/self/exe', buf), 0);
  assert.equal(guest.read(buf, 144).readBigUInt64LE(8), BigInt(statSync(program).ino));
  assert.equal(guest.sys('lstat', '/proc/self/exe', buf), 0);
  assert.equal(guest.read(buf, 144).readUInt32LE(24) & 0o170000, 0o120000);
  symlinkSync('/proc/self/exe', join(dir, 'to-exe'));
  assert.equal(guest.readFile(join(dir, 'to-exe')).toString(), 'the program file');
  const at = guest.sys('open', '/proc/self', O_DIRECTORY, 0);
  const got = guest.sys('readlinkat', at, 'exe', buf, 144);
  assert.equal(guest.read(buf, got).toString(), program);
  guest.sys('close', at);
});

test('cmdline, environ, auxv, comm', () => {
  assert.equal(guest.readFile('/proc/self/cmdline').toString(), 'name\0--x\0');
  assert.equal(guest.readFile(`/proc/${pid}/environ`).toString(), 'A=1\0');
  assert.deepEqual([...guest.readFile('/proc/self/auxv')], [9, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(guest.readFile('/proc/self/comm').toString(), 'program\n');
  const fd = guest.sys('open', '/proc/self/comm', O_RDWR, 0);
  assert.equal(guest.sys('write', fd, text('renamed-to-something-long'), 25), 25);
  assert.equal(guest.sys('lseek', fd, 0, 0), 0);
  assert.equal(guest.readAll(fd).toString(), 'renamed-to-some\n');
  guest.sys('close', fd);
  // Others see it as well: the host thread carries the guest's name.
  assert.equal(readFileSync('/proc/self/comm', 'utf8'), 'renamed-to-some\n');
});

test('the command line is read from the stack as it is now', () => {
  const { image } = guest.process;
  const at = guest.bytes('first\0second\0');
  guest.process.image = { ...image, argStart: at, argEnd: at + 13 };
  const fd = guest.sys('open', '/proc/self/cmdline', 0, 0);
  assert.equal(guest.readAll(fd).toString(), 'first\0second\0');
  guest.task.memory.write(at, text('title\0'));
  assert.equal(guest.sys('lseek', fd, 0, 0), 0);
  assert.equal(guest.readAll(fd).toString(), 'title\0second\0');
  guest.sys('close', fd);
  guest.process.image = image;
});

test('maps and smaps show guest mappings in the kernel format', () => {
  const native = /^[0-9a-f]{8,}-[0-9a-f]{8,} [r-][w-][x-][ps] [0-9a-f]{8,} [0-9a-f]{2,}:[0-9a-f]{2,} \d+ (?:\s+\S.*)?$/;
  for (const line of readFileSync('/proc/self/maps', 'utf8').trimEnd().split('\n')) assert.match(line, native);
  const file = guest.sys('open', program, 0, 0);
  const mapped = guest.process.space.mmap(0, 4096, 5, 2, guest.task.hostFd(file), 0);
  guest.sys('close', file);
  const maps = guest.readFile('/proc/self/maps').toString();
  const lines = maps.trimEnd().split('\n');
  for (const line of lines) assert.match(line, native);
  assert.equal(lines.length, guest.process.space.entries().length);
  const own = lines.find((l) => l.startsWith(mapped.toString(16)));
  const { dev, ino } = statSync(program);
  const expected = `${(dev >> 8).toString(16).padStart(2, '0')}:${(dev & 0xff).toString(16).padStart(2, '0')} ${ino}`;
  assert.equal(own, `${`${mapped.toString(16)}-${(mapped + 4096).toString(16)} r-xp 00000000 ${expected} `.padEnd(73)}${program}`);
  assert.doesNotMatch(maps, /node/);
  const smaps = guest.readFile('/proc/self/smaps').toString();
  assert.equal(smaps.match(/^VmFlags:/gm)?.length, lines.length);
  const heap = /^00100000-.*\n(?:.*\n)*?Rss: +(\d+) kB/m.exec(smaps);
  assert.ok(Number(heap?.[1]) >= 4);
  assert.match(guest.readFile('/proc/self/smaps_rollup').toString(), /^Rss: /m);
  assert.match(guest.readFile('/proc/self/numa_maps').toString(), /^00100000 default anon=/m);
});

test('stat, status, statm, limits have the native shape and the guest values', () => {
  const stat = guest.readFile('/proc/self/stat').toString();
  const native = readFileSync('/proc/self/stat', 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).trimEnd().split(' ');
  assert.equal(fields.length, native.slice(native.lastIndexOf(')') + 2).trimEnd().split(' ').length);
  assert.ok(stat.startsWith(`${pid} (renamed-to-some) `));
  assert.equal(fields[17], '1');
  assert.equal(Number(fields[20]), guest.process.space.mappedBytes);
  assert.equal(Number(fields[23]), 0x400000);
  assert.equal(Number(fields[25]), 0x3_0000_0000);
  const status = guest.readFile('/proc/self/status').toString();
  const names = (s: string) => s.split('\n').map((l) => l.split(':')[0]);
  assert.deepEqual(names(status), names(readFileSync('/proc/self/status', 'utf8')));
  assert.match(status, /^Threads:\t1$/m);
  assert.match(status, new RegExp(`^Pid:\\t${pid}$`, 'm'));
  assert.match(status, new RegExp(`^VmSize:\\t *${guest.process.space.mappedBytes / 1024} kB$`, 'm'));
  assert.equal(guest.readFile('/proc/self/statm').toString().split(' ')[0], String(guest.process.space.mappedBytes / 4096));
  const limits = guest.readFile('/proc/self/limits').toString().split('\n');
  assert.equal(limits.find((l) => l.startsWith('Max open files')), 'Max open files            123                  456                  files     ');
  assert.equal(limits.length, readFileSync('/proc/self/limits', 'utf8').split('\n').length);
});

test('fd lists, links and opens guest descriptors', () => {
  const fd = guest.sys('open', program, 0, 0);
  assert.deepEqual(list('/proc/self/fd'), ['0', '1', '2', String(fd), String(fd + 1)]);
  assert.deepEqual(list('/dev/fd'), ['0', '1', '2', String(fd), String(fd + 1)]);
  assert.equal(link(`/proc/self/fd/${fd}`), program);
  assert.equal(link(`/dev/fd/${fd}`), program);
  assert.equal(guest.readFile(`/dev/fd/${fd}`).toString(), 'the program file');
  assert.match(guest.readFile(`/proc/self/fdinfo/${fd}`).toString(), /^pos:\t0\nflags:\t0100000\n/);
  guest.sys('fcntl', fd, 2, 1);
  assert.match(guest.readFile(`/proc/self/fdinfo/${fd}`).toString(), /^flags:\t02100000$/m);
  const directory = guest.sys('open', '/proc/self/fd', O_DIRECTORY, 0);
  const again = guest.sys('openat', directory, String(fd), 0, 0);
  assert.equal(guest.readAll(again).toString(), 'the program file');
  assert.equal(guest.sys('openat', directory, '40', 0, 0), -errno.ENOENT);
  assert.equal(guest.sys('openat', directory, '../maps', 0, 0), again + 1);
  const inside = guest.sys('open', dir, O_DIRECTORY, 0);
  assert.equal(guest.readFile(`/proc/self/fd/${inside}/program`).toString(), 'the program file');
  assert.equal(guest.readFile(`/proc/self/fd/${inside}/../${dir.split('/').at(-1)}/program`).toString(), 'the program file');
  guest.sys('close_range', 3, 0xffffffff, 0);
});

test('hidden ways to a descriptor of the engine lead nowhere', () => {
  symlinkSync('/proc/self/fd', join(dir, 'descriptors'));
  for (let fd = 3; fd < 40; fd++) {
    const path = join(dir, `descriptors/${fd}`);
    assert.equal(guest.sys('open', path, 0, 0), -errno.ENOENT, path);
    assert.equal(guest.sys('truncate', path, 0), -errno.ENOENT, path);
    assert.equal(guest.sys('chmod', path, 0o600), -errno.ENOENT, path);
    assert.equal(guest.sys('chdir', path), -errno.ENOENT, path);
  }
  symlinkSync('/proc/self/maps', join(dir, 'hidden-maps'));
  assert.match(guest.readFile(join(dir, 'hidden-maps')).toString(), /^00100000-/m);
  symlinkSync('/proc/self', join(dir, 'hidden-self'));
  const at = guest.sys('open', join(dir, 'hidden-self'), O_DIRECTORY, 0);
  const maps = guest.sys('openat', at, 'maps', 0, 0);
  assert.match(guest.readAll(maps).toString(), /^00100000-/m);
  const proc = guest.sys('open', '/proc', O_DIRECTORY, 0);
  const viaProc = guest.sys('openat', proc, 'self/maps', 0, 0);
  assert.match(guest.readAll(viaProc).toString(), /^00100000-/m);
  guest.sys('close_range', 3, 0xffffffff, 0);
});

test('counts in status of fd and task are the guest\'s', () => {
  const buf = guest.alloc(256);
  const fd = guest.sys('open', '/proc/self/fd', O_DIRECTORY, 0);
  const native = statSync('/proc/self/fd').size;
  for (const result of [guest.sys('stat', '/proc/self/fd', buf), guest.sys('fstat', fd, buf), guest.sys('newfstatat', fd, '', buf, 0x1000)]) {
    assert.equal(result, 0);
    // Kernels before 6.2 show 0.
    if (native > 0) assert.equal(guest.read(buf, 144).readBigInt64LE(48), 4n);
  }
  assert.equal(guest.sys('stat', '/proc/self/task', buf), 0);
  assert.equal(guest.read(buf, 144).readBigUInt64LE(16), 3n);
  guest.sys('close', fd);
});

test('task lists guest threads only', () => {
  assert.deepEqual(list('/proc/self/task'), [String(pid)]);
  const engine = readFileSync('/proc/self/status', 'utf8');
  assert.ok(engine.length > 0);
  assert.equal(guest.readFile(`/proc/self/task/${pid}/comm`).toString(), 'renamed-to-some\n');
});

test('mem is guest memory and nothing else', () => {
  const fd = guest.sys('open', '/proc/self/mem', O_RDWR, 0);
  const at = guest.bytes('needle');
  const buf = guest.alloc(64);
  assert.equal(guest.sys('pread64', fd, buf, 6, at), 6);
  assert.equal(guest.read(buf, 6).toString(), 'needle');
  assert.equal(guest.sys('lseek', fd, at + 2, 0), at + 2);
  assert.equal(guest.sys('read', fd, buf, 4), 4);
  assert.equal(guest.read(buf, 4).toString(), 'edle');
  assert.equal(guest.sys('lseek', fd, 0, 1), at + 6);
  assert.equal(guest.sys('pwrite64', fd, text('NEE'), 3, at), 3);
  assert.equal(guest.string(at), 'NEEdle');
  const { memoryBase, memorySize, scratch } = guest.process.host;
  for (const outside of [memorySize, scratch.address, scratch.address - memoryBase, 2 ** 46, 0]) {
    const got = guest.sys('pread64', fd, buf, 8, outside);
    assert.ok(got === -errno.EIO || got === -errno.EINVAL, `read at ${outside}: ${got}`);
  }
  const wrapped = 2n ** 64n - BigInt(memoryBase) + BigInt(scratch.address);
  assert.ok(guest.sys('pread64', fd, buf, 8, BigInt.asIntN(64, wrapped)) < 0);
  assert.equal(guest.sys('lseek', fd, 0, 2), -errno.EINVAL);
  assert.equal(guest.sys('sendfile', fd, fd, 0, 8), -errno.EINVAL);
  const pagemap = guest.sys('open', '/proc/self/pagemap', 0, 0);
  assert.equal(guest.sys('pread64', pagemap, buf, 8, (at >> 12) * 8), 8);
  assert.equal(guest.read(buf, 8).readBigUInt64LE(0) >> 63n, 1n);
  guest.sys('close', pagemap);
  guest.sys('close', fd);
});

test('a synthesised file looks like the one in /proc', () => {
  const fd = guest.sys('open', '/proc/self/maps', 0, 0);
  const buf = guest.alloc(256);
  assert.equal(guest.sys('fstat', fd, buf), 0);
  assert.equal(guest.read(buf, 144).readBigUInt64LE(0), BigInt(statSync('/proc/self/maps').dev));
  assert.equal(guest.read(buf, 144).readBigInt64LE(48), 0n);
  assert.equal(guest.sys('fstatfs', fd, buf), 0);
  assert.equal(guest.read(buf, 8).readBigInt64LE(0), 0x9fa0n);
  assert.equal(link(`/proc/self/fd/${fd}`), `/proc/${pid}/maps`);
  assert.equal(guest.sys('write', fd, text('x'), 1), -errno.EBADF);
  const copy = guest.sys('dup', fd);
  assert.match(guest.readAll(copy).toString(), /^00100000-/m);
  assert.equal(guest.readAll(fd).length, 0);
  const pair = guest.alloc(8);
  guest.sys('pipe', pair);
  const out = guest.task.memory.i32(pair + 4);
  const zero = guest.alloc(8);
  assert.ok(guest.sys('sendfile', out, fd, zero, 4096) > 0);
  assert.match(guest.read(buf, guest.sys('read', guest.task.memory.i32(pair), buf, 255)).toString(), /^00100000-/m);
  assert.equal(guest.sys('openat', AT_FDCWD, '/proc/self/nonsense', 0, 0), -errno.ENOENT);
  assert.equal(guest.sys('openat', AT_FDCWD, '/proc/self/map_files', 0, 0), -errno.ENOENT);
  guest.sys('close_range', 3, 0xffffffff, 0);
});

test('relative paths from a current directory in /proc', () => {
  const before = process.cwd();
  try {
    assert.equal(guest.sys('chdir', '/proc/self'), 0);
    assert.match(guest.readFile('maps').toString(), /^00100000-/m);
    assert.equal(link('exe'), program);
    assert.equal(guest.sys('chdir', 'fd'), 0);
    assert.equal(guest.sys('open', '20', 0, 0), -errno.ENOENT);
    assert.equal(guest.sys('chdir', '/'), 0);
    assert.match(guest.readFile('proc/self/maps').toString(), /^00100000-/m);
  } finally {
    process.chdir(before);
  }
});

test('the rest of /proc is the host as it is', () => {
  assert.equal(guest.readFile('/proc/sys/kernel/ostype').toString(), 'Linux\n');
  assert.equal(guest.readFile('/proc/self/mountinfo').toString(), readFileSync('/proc/self/mountinfo', 'utf8'));
  assert.equal(guest.readFile('/proc/1/comm').toString(), readFileSync('/proc/1/comm', 'utf8'));
  assert.equal(link('/proc/self'), String(pid));
  assert.equal(link('/proc/thread-self'), `${pid}/task/${pid}`);
});

test('the entry itself is a directory, not a link', () => {
  const buf = guest.alloc(64);
  assert.equal(guest.sys('readlink', `/proc/${pid}`, buf, 64), -errno.EINVAL);
  assert.equal(guest.sys('readlink', '/proc/self/', buf, 64), -errno.EINVAL);
  assert.equal(guest.sys('readlink', `/proc/self/task/${pid}`, buf, 64), -errno.EINVAL);
});
