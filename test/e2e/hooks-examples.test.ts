/** Every example under examples/rules does what its README says. (The first five: hooks.test.ts, test/hooks.) */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { emulated, native, type Outcome, root, type RunOptions, work } from './harness.ts';

const examples = join(root, 'examples/rules');
const directory = mkdtempSync(join(tmpdir(), 'lunagate-examples-'));
before(() => {
  mkdirSync(work, { recursive: true });
  emulated(['--version']);
});
after(() => rmSync(directory, { recursive: true, force: true }));
const run = (name: string, command: readonly string[], o: RunOptions = {}): Outcome =>
  emulated(command, { cwd: directory, ...o, options: ['--quiet', '--rules', join(examples, name), ...(o.options ?? [])] });
const logs = (o: Outcome): string[] =>
  o.stderr.split('\n').flatMap((l) => (l.startsWith('[Lua Log] ') ? [l.slice(10)] : []));

test('each has a README, and nothing is wrong with its scripts', () => {
  const all = readdirSync(examples);
  assert.ok(all.length >= 15);
  for (const name of all) {
    assert.match(readFileSync(join(examples, name, 'README.md'), 'utf8'), /^# .+\n\n[^]*lunagate/);
    const r = emulated(['rules', 'check', join(examples, name)]);
    assert.equal(r.status, 0, `${r.stdout}`);
  }
});

describe('examples', { concurrency: 2 }, () => {
  test('redirect-path', () => {
    const hosts = readFileSync(join(examples, 'redirect-path/hosts'), 'utf8');
    symlinkSync('/etc/hosts', join(directory, 'link'));
    for (const path of ['/etc/hosts', '/etc/../etc/hosts', 'link'])
      assert.equal(run('redirect-path', ['cat', path]).stdout.toString(), hosts, path);
    assert.equal(run('redirect-path', ['cat', '/etc/passwd']).stdout.toString(), readFileSync('/etc/passwd', 'utf8'));
  });
  test('sandbox', () => {
    const box = join(directory, 'box');
    mkdirSync(join(box, 'sub'), { recursive: true });
    symlinkSync(directory, join(box, 'way-out'));
    const code = `
import os, socket
def attempt(name, f):
    try: f(); print(name, "fine")
    except OSError as e: print(name, e.errno)
attempt("inside", lambda: open("${box}/sub/x", "w").write("x"))
attempt("again", lambda: open("${box}/sub/../sub/x").read())
attempt("outside", lambda: open("${directory}/y", "w"))
attempt("link", lambda: open("${box}/way-out/y", "w"))
attempt("dots", lambda: open("${box}/../y", "w"))
attempt("secret", lambda: open("/etc/shadow"))
attempt("rename", lambda: os.rename("${box}/sub/x", "${box}/z"))
attempt("unlink", lambda: os.unlink("${box}/sub/x"))
attempt("socket", lambda: socket.socket())
attempt("exec", lambda: os.execv("/bin/true", ["true"]))`;
    const r = run('sandbox', ['python3', '-S', '-c', code], { options: ['-E', `SANDBOX=${box}`] });
    assert.equal(
      r.stdout.toString(),
      'inside fine\nagain fine\noutside 13\nlink 13\ndots 13\nsecret 13\nrename 13\nunlink 13\nsocket 13\nexec 13\n',
      r.stderr,
    );
    assert.deepEqual(readdirSync(box).sort(), ['sub', 'way-out']);
  });
  test('sandbox: its own tests', () => {
    const r = emulated(['rules', 'test', join(examples, 'sandbox')]);
    assert.match(r.stdout.toString(), /3 run, 0 failed\n$/);
    assert.equal(r.status, 0);
  });
  test('fault-injection', () => {
    const input = Array.from({ length: 50 }, (_, k) => `${(k * 37) % 50}\n`).join('');
    assert.equal(run('fault-injection', ['sort', '-n'], { input }).stdout.toString(), native(['sort', '-n'], { input }).stdout.toString());
    const code = 'import os\nfd = os.open("out", os.O_CREAT | os.O_WRONLY)\nfor k in range(7):\n  try: print(os.write(fd, b"x"), end=" ")\n  except OSError as e: print(e.errno, end=" ")';
    assert.equal(run('fault-injection', ['python3', '-S', '-c', code]).stdout.toString(), '1 1 28 1 1 28 1 ');
  });
  test('freeze-time', () => {
    const r = run('freeze-time', ['date', '-u', '+%F %T'], { options: ['-E', 'FREEZE_TIME=86400'] });
    assert.equal(r.stdout.toString(), '1970-01-02 00:00:00\n', r.stderr);
  });
  test('deterministic-random', () => {
    const once = (seed: string): string =>
      run('deterministic-random', ['python3', '-S', '-c', 'import os; print(os.urandom(8).hex())'], { options: ['-E', `RANDOM_SEED=${seed}`] }).stdout.toString();
    const first = once('5');
    assert.match(first, /^[0-9a-f]{16}\n$/);
    assert.equal(once('5'), first);
    assert.notEqual(once('6'), first);
  });
  test('virtual-device', () => {
    const r = run('virtual-device', ['cat', '/proc/mtd', '/dev/nvram']);
    assert.equal(r.stdout.toString(), 'dev:    size   erasesize  name\nmtd0: 00040000 00010000 "boot"\nmtd1: 007c0000 00010000 "rootfs"\nboot=flash\0mac=02:00:00:00:00:01\0model=X1\0\0', r.stderr);
    const code = `import os, fcntl, struct
fd = os.open("/dev/nvram", os.O_RDWR)
print(os.write(fd, b"boot=net  \\0"), fcntl.ioctl(fd, 0x80204d01, bytes(32))[:12].hex())
try: fcntl.ioctl(fd, 1)
except OSError as e: print(e.errno)
os.close(fd)
fd = os.open("/dev/nvram", os.O_RDONLY)
print(os.read(fd, 9), os.read(fd, 3))`;
    assert.equal(run('virtual-device', ['python3', '-S', '-c', code]).stdout.toString(), "11 03000000000c000000007c00\n25\nb'boot=net ' b' \\x00m'\n");
  });
  test('nvram', () => {
    const code = `import fcntl, os, struct
fd = os.open("/dev/nvram", os.O_RDWR | os.O_CLOEXEC)
def get(name):
    try: return fcntl.ioctl(fd, 0xc0604e01, struct.pack("32s64s", name, b""))[32:].rstrip(bytes(1))
    except OSError as e: return e.errno
print(get(b"boot"), get(b"none"))
fcntl.ioctl(fd, 0x40604e02, struct.pack("32s64s", b"boot", b"net"))
print(get(b"boot"), fcntl.ioctl(fd, 0x4e03))
try: fcntl.ioctl(fd, 7)
except OSError as e: print(e.errno)
os.close(fd)
try: fcntl.ioctl(os.open("/dev/null", 0), 0x4e03)
except OSError as e: print(e.errno)`;
    const options = ['-E', `NVRAM_FILE=${join(directory, 'nvram.txt')}`];
    assert.equal(run('nvram', ['python3', '-S', '-c', code], { options }).stdout.toString(), "b'flash' 2\nb'net' 0\n25\n25\n");
    assert.equal(readFileSync(join(directory, 'nvram.txt'), 'utf8'), 'boot=net\nlan_ipaddr=192.168.1.1\nmodel=X1\n');
    assert.match(run('nvram', ['python3', '-S', '-c', code], { options }).stdout.toString(), /^b'net' 2\n/);
    assert.match(emulated(['rules', 'test', join(examples, 'nvram')]).stdout.toString(), /1 run, 0 failed\n$/);
  });
  test('latency-histogram', () => {
    const r = run('latency-histogram', ['cat', '/etc/hostname']);
    assert.equal(r.stdout.toString(), readFileSync('/etc/hostname', 'utf8'));
    const lines = logs(r);
    assert.ok(lines.length > 8, r.stderr);
    for (const line of lines) assert.match(line, /^\w+ +(<\d+us:\d+ ?)+$/);
    assert.ok(lines.some((l) => l.startsWith('openat ')) && lines.some((l) => l.startsWith('read ')));
  });
  test('deny-exec', () => {
    assert.equal(run('deny-exec', ['bash', '-c', 'exec /bin/echo fine']).stdout.toString(), 'fine\n');
    const r = run('deny-exec', ['bash', '-c', 'exec /bin/grep x /etc/passwd']);
    assert.equal(r.status, 126, r.stderr);
    assert.match(r.stderr, /refused to run \S*\/grep\n/);
    assert.equal(r.stdout.length, 0);
  });
  test('record-opens', () => {
    const list = join(directory, 'list');
    run('record-opens', ['cat', '/etc/hostname', '/etc/hostname', join(directory, 'nothing')], { options: ['-E', `OPENS=${list}`] });
    const files = readFileSync(list, 'utf8').trimEnd().split('\n');
    assert.equal(files.filter((f) => f.endsWith('/etc/hostname')).length, 1);
    assert.ok(files.some((f) => /\/libc\.so\.6$/.test(f)), files.join());
    assert.ok(!files.some((f) => f.endsWith('nothing')));
  });
  test('log-decrypted', () => {
    const key = ['enc', '-aes-128-cbc', '-K', '00112233445566778899aabbccddeeff', '-iv', '00000000000000000000000000000001', '-a'];
    const cipher = native(['openssl', ...key], { input: 'secret text' }).stdout;
    assert.doesNotMatch(cipher.toString(), /secret/);
    const r = run('log-decrypted', ['openssl', ...key, '-d'], { input: cipher });
    assert.equal(r.stdout.toString(), 'secret text');
    assert.match(logs(r).join('\n'), /<- "secret text"/);
  });
});
