/** os.date and os.time against date(1), in zones with and without summer time. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { brokenDownTime, formatTime, secondsOf } from '../../src/hooks/lua-time.ts';

const formats = 'a A b B c C d D e F g G h H I j m M n p r R S t T u U V w W x X y Y z %'.split(' ');
const moments = [
  0, 1, 86399, 951782400, 951868800, 1078012800, 1104537599, 1230768000, 1356998399, 1711846799, 1711846800, 1729990799,
  1729994400, 1735689599, 1767225600, 4102444799, -1, -86401,
];

for (const zone of ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Sydney']) {
  test(`strftime in ${zone}`, () => {
    const before = process.env['TZ'];
    process.env['TZ'] = zone;
    try {
      for (const moment of moments) {
        const local = brokenDownTime(moment, false);
        // date(1) writes %n and %t as themselves; one call for all formats.
        const expected = execFileSync('date', ['-d', `@${moment}`, `+${formats.map((f) => `${f}=%${f}`).join('|')}`], {
          env: { ...process.env, TZ: zone, LC_ALL: 'C' },
          encoding: 'utf8',
        });
        assert.equal(
          `${formats.map((f) => `${f}=${formatTime(`%${f}`, local)}`).join('|')}\n`,
          expected,
          `${zone} ${moment}`,
        );
        assert.equal(secondsOf(local), moment, `mktime of ${moment} in ${zone}`);
        assert.equal(formatTime('%s', local), String(moment));
        const utc = brokenDownTime(moment, true);
        assert.equal(formatTime('%Y-%m-%dT%H:%M:%S', utc), new Date(moment * 1000).toISOString().slice(0, 19));
      }
    } finally {
      if (before === undefined) delete process.env['TZ'];
      else process.env['TZ'] = before;
    }
  });
}

test('unknown conversions stay as they are', () => {
  assert.equal(formatTime('%q 100%', brokenDownTime(0, true)), '%q 100%');
});
