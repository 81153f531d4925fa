/**
 * `npm run bench [-- OPTIONS] [GROUP…]`: times programs natively, under qemu-x86_64 (if it is there) and under lunagate, in
 * turn, checks that their outputs agree, and prints medians of CPU seconds (user + system, children included) and ratios,
 * with geometric means by group. Each lunagate run has the translations that a first, uncounted run has kept.
 *
 *   --quick           one round of a part of the programs: under two minutes
 *   --rounds N        instead of five (three where a program takes long)
 *   --cold            nothing is kept between runs
 *   --json FILE       write the results; --against FILE compares with such a file, from an earlier version say
 *   --lunagate PATH   another launcher than this checkout's
 *   --only REGEX      only programs whose name matches
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Benchmark, benchmarks, forwarding, work } from './benchmarks.ts';

const { values: options, positionals: groups } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    cold: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    json: { type: 'string' },
    against: { type: 'string' },
    lunagate: { type: 'string', default: join(resolve(import.meta.dirname, '..'), 'bin/lunagate') },
    only: { type: 'string', default: '' },
  },
});

interface Run {
  readonly seconds: number;
  readonly output: string;
}
interface Result {
  readonly group: string;
  readonly name: string;
  readonly native: number;
  readonly qemu: number | undefined;
  readonly lunagate: number;
}

const cache = join(work, 'packs');
mkdirSync(work, { recursive: true });
rmSync(cache, { recursive: true, force: true });
const environment = { PATH: '/usr/bin:/bin', HOME: work, LANG: 'C.UTF-8', LUNAGATE_CACHE: options.cold ? 'off' : cache };
const qemu = ['/usr/bin/qemu-x86_64', '/usr/local/bin/qemu-x86_64'].find((p) => existsSync(p));

/** CPU seconds of the command and its children, by the shell's own `times`. */
function time(command: readonly string[]): Run {
  const r = spawnSync('/bin/bash', ['-c', 'TIMEFORMAT="%U %S"; time "$@" 2>/dev/null', 'bench', ...command], {
    env: environment,
    maxBuffer: 1 << 28,
    encoding: 'latin1',
  });
  const [user, system] = (r.stderr.trim().split('\n').pop() ?? '').split(' ').map(Number) as [number, number];
  return { seconds: user + system, output: `${r.status}\n${r.stdout}` };
}
const median = (a: number[]): number => a.sort((x, y) => x - y)[a.length >> 1] as number;
const mean = (a: number[]): number => Math.exp(a.reduce((s, x) => s + Math.log(x), 0) / a.length);
/** Ratios mean nothing below the resolution of the clock. */
const positive = (x: number): number => Math.max(x, 0.001);

/** Undefined if outputs differ. */
function measure(b: Benchmark, command: readonly string[]): Result | undefined {
  const expected = time(command);
  const mine = [options.lunagate, ...b.options, ...command];
  const first = time(mine);
  if (first.output !== expected.output) return undefined;
  const seconds = { native: [] as number[], qemu: [] as number[], lunagate: [] as number[] };
  const rounds = options.quick ? 1 : Number(options.rounds ?? (first.seconds > 3 ? 3 : 5));
  for (let k = 0; k < rounds; k++) {
    seconds.native.push(time(command).seconds);
    if (qemu !== undefined && !b.execs) {
      const other = time([qemu, ...command]);
      if (other.output === expected.output) seconds.qemu.push(other.seconds);
    }
    seconds.lunagate.push(time(mine).seconds);
  }
  return {
    group: b.group,
    name: b.name,
    native: positive(median(seconds.native)),
    qemu: seconds.qemu.length === 0 ? undefined : positive(median(seconds.qemu)),
    lunagate: positive(median(seconds.lunagate)),
  };
}

const old =
  options.against === undefined ? undefined : (JSON.parse(readFileSync(options.against, 'utf8')) as Result[]);
const ratio = (r: Result, x: number | undefined): string => (x === undefined ? '-' : (r.lunagate / x).toFixed(2));
const wanted = new RegExp(options.only);
const results: Result[] = [];
let wrong = 0;
console.log(
  `${'seconds of CPU time'.padEnd(46)} native    qemu  lunagate   to qemu  to native${old === undefined ? '' : '   to before'}`,
);
for (const b of benchmarks) {
  if (groups.length > 0 && !groups.includes(b.group)) continue;
  if ((options.quick && b.long) || !wanted.test(b.name)) continue;
  const title = `${b.group}: ${b.name}`.replace(forwarding, 'RULES');
  const command = b.command();
  if (command === undefined) {
    console.log(`${title}: not installed`);
    continue;
  }
  const r = measure(b, command);
  if (r === undefined) {
    wrong++;
    console.log(`${title}: the output differs from native`);
    continue;
  }
  results.push(r);
  const before = old?.find((o) => o.group === b.group && o.name === b.name)?.lunagate;
  const cells = [
    title.padEnd(45),
    r.native.toFixed(3).padStart(7),
    (r.qemu?.toFixed(3) ?? '-').padStart(7),
    r.lunagate.toFixed(3).padStart(9),
    ratio(r, r.qemu).padStart(9),
    ratio(r, r.native).padStart(10),
    old === undefined ? '' : ratio(r, before).padStart(11),
  ];
  console.log(cells.join(' '));
}
console.log();
for (const group of new Set(results.map((r) => r.group))) {
  const of = results.filter((r) => r.group === group);
  const both = of.filter((r) => r.qemu !== undefined);
  const toQemu = both.length === 0 ? '-' : mean(both.map((r) => r.lunagate / (r.qemu as number))).toFixed(2);
  const toNative = mean(of.map((r) => r.lunagate / r.native)).toFixed(2);
  console.log(`${group.padEnd(24)} geometric mean to qemu ${toQemu.padStart(6)}, to native ${toNative.padStart(6)}`);
}
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, undefined, 1)}\n`);
process.exit(wrong === 0 ? 0 : 1);
