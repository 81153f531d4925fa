/** V8's code cache for the script that Workers run. A Worker runs without it just as well, only slower. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launcherFlags } from '../../scripts/launcher-flags.ts';

const PROBE = `
const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const [, text, cache] = process.argv;
const script = new Script(readFileSync(text, 'latin1'), { filename: 'lunagate-thread.cjs', cachedData: readFileSync(cache) });
console.log(script.cachedDataRejected);
process.exit();
`;

test('is taken beside the start-up snapshot and under the flags of the launcher', () => {
  const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
  const place = mkdtempSync(join(tmpdir(), 'lunagate-cache-'));
  try {
    const probe = join(place, 'probe.cjs');
    writeFileSync(probe, PROBE);
    const rejected = execFileSync(
      process.execPath,
      [...launcherFlags(), `--snapshot-blob=${dist}lunagate-${process.arch}.blob`, '-r', probe, `${dist}lunagate-thread.cjs`, `${dist}lunagate-thread.cache`],
      { encoding: 'utf8' },
    );
    assert.equal(rejected, 'false\n');
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
});
