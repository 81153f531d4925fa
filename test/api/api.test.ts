/** The parts of the programming interface that need no guest. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { apiConstants, apiSyscalls, constantsFile, file } from '../../scripts/api-syscalls.ts';
import { CallView, type Port, resultWord } from '../../src/api/call.ts';
import { ask, encodeFrame, type Frame, FrameReader, kind } from '../../src/api/protocol.ts';

test('the generated tables are what the declarations say', () => {
  assert.equal(readFileSync(file, 'utf8'), apiSyscalls(), 'run scripts/api-syscalls.ts');
  assert.equal(readFileSync(constantsFile, 'utf8'), apiConstants(), 'run scripts/api-syscalls.ts');
});

test('frames survive any cutting of the stream', () => {
  const frame = fc.record({
    kind: fc.integer({ min: 0, max: 255 }),
    ints: fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { maxLength: 10 }),
    bytes: fc.uint8Array({ maxLength: 40 }),
  });
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 5 }), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (frames, cuts) => {
      const stream = Buffer.concat(frames.map((f) => encodeFrame(f.kind, f.ints, f.bytes)));
      const reader = new FrameReader();
      const seen: Frame[] = [];
      for (let at = 0, k = 0; at < stream.length; k++) {
        const size = cuts[k % cuts.length] as number;
        reader.push(new Uint8Array(stream.subarray(at, at + size)));
        at += size;
        for (let f = reader.next(); f !== undefined; f = reader.next()) seen.push(f);
      }
      assert.deepEqual(seen.map((f) => ({ ...f, bytes: [...f.bytes] })), frames.map((f) => ({ ...f, bytes: [...f.bytes] })));
    }),
  );
});

test('what is no frame is told', () => {
  for (const bytes of [[7, 0, 0, 0, 1, 0, 0, 0], [255, 255, 255, 255, 1, 0, 0, 0], [8, 0, 0, 0, 1, 3, 0, 0]]) {
    const reader = new FrameReader();
    reader.push(Uint8Array.from(bytes));
    assert.throws(() => reader.next(), /damaged message/);
  }
});

test('results: every integer of 64 bits, and nothing else', () => {
  assert.equal(resultWord(-13), -13n);
  assert.equal(resultWord(2n ** 64n - 1n), -1n);
  assert.equal(resultWord(2 ** 53), 2n ** 53n);
  for (const wrong of ['1', 1.5, Number.NaN, Number.POSITIVE_INFINITY, true, null, {}, [], 2n ** 64n, -(2n ** 63n) - 1n]) {
    assert.throws(() => resultWord(wrong), (e) => e instanceof TypeError || e instanceof RangeError);
  }
});

test('arguments become what the kernel reads; strings and bytes travel beside them', () => {
  const asked: [number, readonly bigint[], Uint8Array | undefined][] = [];
  const port: Port<'sync'> = {
    ask(question, ints, bytes, decode) {
      asked.push([question, ints, bytes]);
      return decode({ kind: kind.answer, ints: [0n], bytes: new Uint8Array(0) });
    },
  };
  const raw = [0xffffffff_ffffff9cn, 0x1000n, 0xdead_0000_0041n, 0n, 5n, 6n];
  const call = new CallView<'openat', 'sync'>(port, { nr: 257, raw, pid: 1, tid: 1, pc: 0 });
  assert.deepEqual(call.args, { dirfd: -100, path: 0x1000, flags: 0x41, mode: 0 });
  call.original();
  call.original({ path: 'ab', mode: 0o600 });
  call.syscall('write', { fd: 1, buf: Uint8Array.of(9), count: 2 ** 64 });
  assert.deepEqual(asked, [
    [ask.syscall, [257n, 0n, -100n, 0x1000n, 0xdead_0000_0041n, 0n, 5n, 6n], undefined],
    [ask.syscall, [257n, 2n, -100n, 0x1000n, 0xdead_0000_0041n, 0o600n, 5n, 6n], Uint8Array.of(2, 0, 0, 0, 97, 98)],
    [ask.syscall, [1n, 2n, 1n, 0n, -1n, 0n, 0n, 0n], Uint8Array.of(1, 0, 0, 0, 9)],
  ]);
  assert.throws(() => call.original({ fd: 1 } as object), /openat has no argument fd/);
  assert.throws(() => call.syscall('opennat' as 'openat'), /no system call opennat/);
  assert.throws(() => call.original({ flags: 1.5 }), /argument flags is to be an integer/);
  const unknown = new CallView(port, { nr: 9999, raw, pid: 1, tid: 1, pc: 0 });
  assert.deepEqual([unknown.name, unknown.args], ['syscall_9999', {}]);
});
