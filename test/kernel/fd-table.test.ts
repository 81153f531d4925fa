import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { errno } from '../../src/abi/errno.ts';
import { BAD_HOST_FD, FdTable } from '../../src/kernel/fd-table.ts';

test('any sequence of operations agrees with a plain map and the lowest-free rule', () => {
  const op = fc.record({ what: fc.constantFrom('open', 'close', 'replace', 'from', 'cloexec'), fd: fc.nat(40), flag: fc.boolean() });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 200 }), (ops) => {
      const limit = 32;
      const table = new FdTable(() => limit);
      const model = new Map<number, { host: number; cloexec: boolean }>();
      const lowest = (from: number) => {
        let fd = from;
        while (model.has(fd)) fd++;
        return fd < limit ? fd : -errno.EMFILE;
      };
      let host = 100;
      for (const { what, fd, flag } of ops) {
        if (what === 'open' || what === 'from') {
          const from = what === 'open' ? 0 : fd;
          const expected = from >= limit ? -errno.EINVAL : lowest(from);
          const mine = host++;
          assert.equal(table.open(() => mine, flag, from), expected);
          if (expected >= 0) model.set(expected, { host: mine, cloexec: flag });
        } else if (what === 'close') {
          assert.equal(table.remove(fd), model.get(fd)?.host ?? -1);
          model.delete(fd);
        } else if (what === 'replace') {
          const mine = host++;
          assert.equal(table.replace(fd, mine, flag), model.get(fd)?.host ?? -1);
          model.set(fd, { host: mine, cloexec: flag });
        } else {
          table.setCloexec(fd, flag);
          const entry = model.get(fd);
          if (entry !== undefined) entry.cloexec = flag;
        }
        assert.equal(table.host(fd), model.get(fd)?.host ?? BAD_HOST_FD);
        assert.equal(table.isCloexec(fd), model.get(fd)?.cloexec ?? false);
      }
      assert.deepEqual([...table.numbers()], [...model.keys()].sort((a, b) => a - b));
      const kept = [...model].filter(([, e]) => !e.cloexec).map(([fd]) => fd).sort((a, b) => a - b);
      assert.equal(table.removeCloexec().length, model.size - kept.length);
      assert.deepEqual([...table.numbers()], kept);
    }),
    { numRuns: 200 },
  );
});

test('a failed or throwing open gives its number back', () => {
  const table = new FdTable(() => 10);
  assert.equal(table.open(() => -errno.ENOENT, false), -errno.ENOENT);
  assert.throws(() => table.open(() => { throw new RangeError('x'); }, false), RangeError);
  assert.equal(table.open(() => 50, false), 0);
  assert.equal(table.has(1), false);
});

test('numbers up to the kernel limit, and none that are no numbers', () => {
  const table = new FdTable(() => 1 << 20);
  assert.equal(table.replace((1 << 20) - 1, 7, true), -1);
  assert.equal(table.host((1 << 20) - 1), 7);
  for (const fd of [-1, -100, 1 << 20, 2 ** 31 - 1, Number.NaN]) assert.equal(table.host(fd), BAD_HOST_FD);
});

test('special descriptors lose what is special with the number', () => {
  const table = new FdTable(() => 10);
  const fd = table.open(() => 5, false);
  table.setSpecial(fd, { kind: 'x' });
  table.setCloexec(fd, true);
  assert.deepEqual(table.special(fd), { kind: 'x' });
  table.remove(fd);
  table.open(() => 6, false);
  assert.equal(table.special(fd), undefined);
  table.setSpecial(fd, { kind: 'y' });
  table.replace(fd, 8, false);
  assert.equal(table.special(fd), undefined);
});
