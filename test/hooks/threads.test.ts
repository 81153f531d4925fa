/** Hooks of several threads over one Lua state: Workers that attach to one engine, with a fake kernel behind each. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Fixture } from './fixture.ts';
import { ARRIVED, ORIGINALS, type ThreadData, type ThreadResult } from './thread.ts';

let slots = 0;

class Threads {
  readonly f: Fixture;
  readonly gate = new Int32Array(new SharedArrayBuffer(4 * 32));

  constructor(files: Readonly<Record<string, string>>, options: ConstructorParameters<typeof Fixture>[1] = {}) {
    this.f = new Fixture(files, options);
  }

  start(calls: ThreadData['calls'], detach = true): Promise<ThreadResult> {
    const { machine, engine } = this.f;
    const workerData: ThreadData = {
      hooks: engine.share(), host: machine.host.share, memory: machine.memory, slot: ++slots, gate: this.gate, calls, detach,
    };
    const worker = new Worker(new URL('./thread.ts', import.meta.url), { workerData });
    return new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  }

  /** Wait until so many threads have come to their blocking calls. */
  async arrived(count: number): Promise<void> {
    while (Atomics.load(this.gate, ARRIVED) < count) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  /** Let reads of a descriptor return. */
  open(fd: number): void {
    Atomics.store(this.gate, fd, 1);
    Atomics.notify(this.gate, fd);
  }

  [Symbol.dispose](): void {
    this.f[Symbol.dispose]();
  }
}

const counter = 'local n = 0 function do_syscall(num, ...) n = n + 1 return n end';
const forward = 'function do_syscall(num, ...) return c_do_syscall(num, ...) end';

describe('threads', () => {
  test('a counter counts the calls of all threads, exactly', async () => {
    using t = new Threads({ 'getppid.lua': 'local n = 0 function do_syscall(num, ...) local before = n c_do_syscall(num, ...) n = n + 1 return n end', 'getpid.lua': counter });
    t.f.answer = ({ nr }) => BigInt(nr) + 1000n;
    t.f.call('getpid');
    const threads = [1, 2, 3, 4].map(() => t.start([['getpid', 0, 50_000]]));
    for (let k = 0; k < 10_000; k++) t.f.call('getpid');
    await Promise.all(threads);
    assert.equal(t.f.call('getpid'), 210_002n);
    // With a call in between that lets the others in.
    await Promise.all([1, 2, 3].map(() => t.start([['getppid', 0, 20_000]])));
    assert.equal(Atomics.load(t.gate, ORIGINALS), 60_000);
    assert.equal(t.f.call('getppid'), 60_001n);
    assert.equal(t.f.stderr(), '');
  });

  test('who is blocked in c_do_syscall does not hold up others', async () => {
    using t = new Threads({ 'read.lua': 'inside = 0 shared.n = 0 function do_syscall(num, ...) shared.n = shared.n + 1 local r = c_do_syscall(num, ...) shared.n = shared.n - 1 return r end', 'getpid.lua': 'function do_syscall() return shared.n end', 'getppid.lua': forward });
    t.f.call('getpid');
    const blocked = [3, 4].map((fd) => t.start([['read', fd]]));
    await t.arrived(2);
    const others = await Promise.all([1, 2].map(() => t.start([['getppid', 0, 1000], ['getpid', 0]])));
    for (const { sum, last } of others) assert.deepEqual([sum[0], last[1]], [1_110_000n, 2n]);
    assert.equal(t.f.call('getpid'), 2n);
    t.open(4);
    assert.deepEqual((await blocked[1])?.last, [7n]);
    assert.equal(t.f.call('getpid'), 1n);
    t.open(3);
    assert.deepEqual((await blocked[0])?.last, [7n]);
    assert.equal(t.f.call('getpid'), 0n);
  });

  test('the first thread to need Lua starts it, whichever it is', async () => {
    using t = new Threads({ 'getpid.lua': `c_log('loaded') ${counter}` });
    await Promise.all([1, 2, 3].map(() => t.start([['getpid', 0, 1000]])));
    assert.equal(t.f.call('getpid'), 3001n);
    assert.equal(t.f.stderr(), '[Lua Log] loaded\n');
  });

  test('the top level runs once, also if it blocks; nobody passes it by', async () => {
    using t = new Threads({ 'getpid.lua': `c_log('loading') c_do_syscall(0, 3) c_log('loaded') ${counter}`, 'getppid.lua': forward });
    const threads = [1, 2, 3].map(() => t.start([['getpid', 0]]));
    await t.arrived(1);
    assert.deepEqual((await t.start([['getppid', 0]])).last, [1110n]);
    t.open(3);
    const results = (await Promise.all(threads)).map(({ last }) => last[0]);
    assert.deepEqual(results.sort(), [1n, 2n, 3n]);
    assert.equal(t.f.stderr(), '[Lua Log] loading\n[Lua Log] loaded\n');
  });

  test('an edit counts for all threads from their next call on; what is broken is told once', async () => {
    using t = new Threads({ 'getpid.lua': 'function do_syscall() return 1 end', 'read.lua': forward });
    const threads = [3, 4].map((fd) => t.start([['getpid', 0], ['read', fd], ['getpid', 0], ['read', 5], ['getpid', 0], ['getppid', 0]]));
    await t.arrived(2);
    t.f.write('getpid.lua', 'function do_syscall() return 2 end');
    t.open(3);
    t.open(4);
    await t.arrived(4);
    t.f.write('getpid.lua', 'function do_syscall( return 3 end');
    t.f.write('getppid.lua', 'function do_syscall() return 4 end');
    t.open(5);
    for (const { last } of await Promise.all(threads)) assert.deepEqual(last, [1n, 7n, 2n, 7n, 2n, 4n]);
    assert.equal(t.f.stderr().match(/\[Lua Error\]/g)?.length, 1, t.f.stderr());
  });

  test('edits while all threads run: nothing is lost, nothing runs twice', async () => {
    const version = (k: number): string => `${k % 3 === 2 ? 'error("version")' : ''} shared.n = shared.n or 0
      function do_syscall(num, ...) c_do_syscall(num, ...) shared.n = shared.n + 1 return ${k} end`;
    using t = new Threads({ 'getpid.lua': version(0), 'getppid.lua': 'function do_syscall() return shared.n end' });
    // Loaded once: from now on there is always a version, whatever is being written.
    t.f.call('getpid');
    let running = true;
    const threads = Promise.all([1, 2, 3].map(() => t.start([['getpid', 0, 20_000]])));
    const done = threads.then(() => (running = false));
    for (let k = 0; running; k++) {
      t.f.write('getpid.lua', version(k));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await done;
    assert.equal(Atomics.load(t.gate, ORIGINALS), 60_000);
    assert.equal(t.f.call('getppid'), 60_001n);
  });

  test('errors, coroutines and garbage in one thread leave the others alone', async () => {
    using t = new Threads({
      'getpid.lua': 'function do_syscall(num) c_do_syscall(num) error("always " .. num) end',
      'getppid.lua': `local kept = {}
        function do_syscall(num)
          local co = coroutine.wrap(function(a) for i = 1, 3 do a = a + coroutine.yield(c_do_syscall(num)) end return a end)
          local sum = co(0)
          for i = 1, 3 do sum = sum + co(i) end
          kept[#kept % 50 + 1] = string.rep('x', #kept * 100) .. sum
          local text = ('abc'):gsub('.', function(c) c_do_syscall(num) return c .. c end)
          local list = {3, 1, 2}
          table.sort(list, function(a, b) c_do_syscall(num) return a < b end)
          assert(text == 'aabbcc' and list[1] == 1 and list[3] == 3)
          return sum
        end`,
    });
    const results = await Promise.all([
      t.start([['getpid', 0, 2000]]), t.start([['getppid', 0, 2000]]), t.start([['getppid', 0, 2000]]), t.start([['getpid', 0, 2000]]),
    ]);
    assert.deepEqual(results.map(({ sum }) => sum[0]), [2_078_000n, 6_672_000n, 6_672_000n, 2_078_000n]);
    t.f.engine.close();
    assert.match(t.f.stderr(), /^\[Lua Error\] [^\n]*always 39\n[^]*\n\[Lua Error\] 4000 times in all: [^\n]*always 39\n$/);
    assert.equal(t.f.stderr().match(/\[Lua Error\]/g)?.length, 2);
  });

  test('the memory grows under the feet of others', async () => {
    using t = new Threads({
      'getppid.lua': 'function do_syscall(num) local s = string.rep("x", 30 << 20) c_do_syscall(num) shared.text = s return #s end',
      'getpid.lua': 'function do_syscall(num) c_do_syscall(num) local s = shared.text or "" assert(s:sub(-10) == ("x"):rep(math.min(10, #s))) c_log(s:sub(-5)) return #s end',
    });
    const others = [1, 2].map(() => t.start([['getpid', 0, 300], ['getppid', 0], ['getpid', 0]]));
    t.f.call('getpid');
    const results = await Promise.all(others);
    for (const { last } of results) assert.equal(last[2], 30n << 20n);
    assert.equal(t.f.call('getpid'), 30n << 20n);
    assert.doesNotMatch(t.f.stderr(), /Error/);
  });

  test('a runaway hook ends alone', async () => {
    using t = new Threads({ 'getpid.lua': 'function do_syscall() while true do end end', 'getppid.lua': 'local n = 0 function do_syscall(num) n = n + 1 c_do_syscall(num) return n end' }, { instructionLimit: 300_000 });
    const results = await Promise.all([t.start([['getpid', 0, 20]]), t.start([['getppid', 0, 3000]]), t.start([['getppid', 0, 3000]])]);
    assert.equal(results[0]?.last[0], 1039n);
    assert.equal(t.f.call('getppid'), 6001n);
    assert.equal(t.f.stderr().match(/\[Lua Error\]/g)?.length, 1, t.f.stderr());
  });

  test('a state that is lost is lost for all, and all go on with a fresh one', async () => {
    using t = new Threads({
      'read.lua': 'local n = 0 function do_syscall(num, fd) n = n + 1 local mine = n return c_do_syscall(num, fd) + mine end',
      // Ended in the middle of a finalizer: the collector cannot go on.
      'getpid.lua': 'function do_syscall(num) setmetatable({}, { __gc = function() while true do end end }) collectgarbage() return 1 end',
      'getppid.lua': counter,
    }, { instructionLimit: 300_000 });
    t.f.call('getppid');
    const blocked = [3, 4].map((fd) => t.start([['read', fd], ['read', 5], ['getppid', 0]]));
    await t.arrived(2);
    assert.deepEqual((await t.start([['getpid', 0]])).last, [1039n]);
    for (const fd of [3, 4, 5]) t.open(fd);
    const results = await Promise.all(blocked);
    // The call that was under way counts as made; the next ones find a fresh script.
    assert.deepEqual(results.map(({ last }) => last[0]), [7n, 7n]);
    assert.deepEqual(results.map(({ last }) => last[1]).sort(), [8n, 9n]);
    assert.deepEqual(results.map(({ last }) => last[2]).sort(), [1n, 2n]);
    assert.equal(t.f.call('getppid'), 3n);
  });

  test('what a script learns of the guest is of the calling thread', async () => {
    using t = new Threads({ 'getpid.lua': 'function do_syscall(num) assert(ctx.tid == c_do_syscall(186)) local r = c_do_syscall(1, 1, tostring(ctx.tid % 10) .. "text") assert(string.char(r) == tostring(ctx.tid % 10)) return ctx.tid end' });
    const results = await Promise.all([1, 2, 3].map(() => t.start([['getpid', 0, 2000], ['gettid', 0]])));
    for (const { last } of results) assert.equal(last[0], last[1]);
    assert.equal(t.f.stderr(), '');
  });

  test('short threads leave nothing behind', async () => {
    using t = new Threads({ 'getpid.lua': 'function do_syscall(num) c_do_syscall(num) collectgarbage() return collectgarbage("count") * 1024 // 1 | 0 end', 'exit.lua': forward, 'getppid.lua': forward });
    const one = async (): Promise<bigint> => {
      const { last, exits } = await t.start([['getppid', 0], ['exit', 0, 10], ['getpid', 0]]);
      assert.equal(exits, 10);
      return last[2] as bigint;
    };
    for (let k = 0; k < 3; k++) await one();
    const before = await one();
    const memory = t.f.engine.share().lua.memory.buffer.byteLength;
    for (let k = 0; k < 8; k++) await one();
    const after = await one();
    assert.ok(after - before < 4096n, `${before} → ${after}`);
    assert.equal(t.f.engine.share().lua.memory.buffer.byteLength, memory);
  });

  test('c_log lines stay whole', async () => {
    using t = new Threads({ 'getpid.lua': 'function do_syscall(num, a) c_log(string.rep(tostring(ctx.tid % 10), 3000)) c_do_syscall(num) return 0 end' });
    await Promise.all([1, 2, 3].map(() => t.start([['getpid', 0, 200]])));
    const lines = t.f.stderr().split('\n');
    assert.equal(lines.length, 601);
    for (const line of lines.slice(0, -1)) assert.match(line, /^\[Lua Log\] (\d)\1{2999}$/);
  });

  test('statistics are those of all threads', async () => {
    using t = new Threads({ 'getpid.lua': 'function do_syscall(num) c_do_syscall(num) c_do_syscall(num) error("x") end' });
    t.f.engine.count();
    await Promise.all([1, 2].map(() => t.start([['getpid', 0, 500]])));
    t.f.call('getpid');
    const [script] = [...t.f.engine.scripts()];
    assert.deepEqual([script?.statistics.calls, script?.statistics.originals, script?.statistics.errors], [1001, 2002, 1001]);
  });

  test('before a fork nobody is inside Lua; the child goes on alone with the copy', async () => {
    using t = new Threads({ 'getpid.lua': counter, 'read.lua': 'shared.r = (shared.r or 0) + 1 function do_syscall(...) return c_do_syscall(...) end', 'getppid.lua': 'function do_syscall() return shared.r end' });
    const { engine } = t.f;
    const blocked = t.start([['read', 3], ['getpid', 0, 20_000]]);
    await t.arrived(1);
    t.open(3);
    for (let k = 0; k < 100; k++) {
      engine.beforeFork();
      engine.notForked();
      t.f.call('getpid');
    }
    await blocked;
    assert.equal(t.f.call('getpid'), 20_101n);
    // As in a child: another thread was there, and is not any more.
    const lost = t.start([['read', 4]], false);
    await t.arrived(2);
    engine.beforeFork();
    engine.afterFork();
    assert.deepEqual([t.f.call('getpid'), t.f.call('getppid')], [20_102n, 1n]);
    // It can have threads of its own.
    assert.deepEqual((await t.start([['getpid', 0, 10]])).last, [20_112n]);
    t.open(4);
    await lost;
  });

  test('after exec everything is fresh', async () => {
    using t = new Threads({ 'getpid.lua': counter });
    await t.start([['getpid', 0, 10]]);
    t.f.engine.afterExec();
    assert.equal(t.f.call('getpid'), 1n);
    assert.deepEqual((await t.start([['getpid', 0, 10]])).last, [11n]);
    assert.equal(t.f.call('getpid'), 12n);
  });
});
