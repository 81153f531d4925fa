/**
 * The tests against the host CPU in their long form: `npm run nightly [-- --part K/N --cases N --seed N --test REGEX]`. Prints
 * what was judged and what differs; exits 1 if anything does. At least 2,000 cases an encoding; a part takes every Nth
 * encoding and a share of the random programs.
 */

import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    part: { type: 'string', default: '1/1' },
    cases: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
    test: { type: 'string', default: '' },
  },
});
const TESTS = [
  'semantics',
  'x87',
  'x87-functions',
  'fma',
  'float-environment',
  'integer',
  'flags',
  'sequences',
  'programs',
  'decode',
  'encode',
]
  .filter((name) => new RegExp(values.test).test(name))
  .map((name) => `test/isa/x86_64/${name}.test.ts`);

const env = {
  ...process.env,
  LUNAGATE_PART: values.part,
  LUNAGATE_CASES: values.cases,
  LUNAGATE_SEED: values.seed,
};
let failed = false;
for (const test of TESTS) {
  const started = performance.now();
  const run = spawnSync(
    process.execPath,
    [
      ...[
        '--disable-warning=ExperimentalWarning',
        '--single-threaded',
        '--no-wasm-dynamic-tiering',
        '--no-wasm-tier-up',
      ],
      ...['--test', '--test-reporter=spec', test],
    ],
    { env, encoding: 'utf8', maxBuffer: 1 << 28 },
  );
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${test}, part ${values.part}: ${run.status === 0 ? 'passes' : 'FAILS'}, ${seconds} s`);
  for (const [, line] of run.stdout.matchAll(/ judged (.*)/g)) console.log(`  ${line}`);
  if (run.status === 0) continue;
  failed = true;
  console.log(run.stdout.slice(run.stdout.indexOf('failing tests')));
}
process.exitCode = failed ? 1 : 0;
