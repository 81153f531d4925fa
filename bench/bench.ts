/**
 * `npm run bench [-- --quick] [-- --json FILE] [-- --against FILE] [-- GROUP…]`: times programs natively, under
 * qemu-x86_64 (if it is there) and under lunagate, in turn, checks that their outputs agree, and prints medians of CPU
 * seconds (user + system, children included) and ratios, with geometric means by group. Each lunagate run has the
 * translations that a first, uncounted run has kept; `--cold` does without.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const lunagate = join(root, 'bin/lunagate');
const build = join(root, '.build/bench');
const work = join(build, 'work');
mkdirSync(work, { recursive: true });

interface Benchmark {
  readonly group: string;
  readonly name: string;
  command(): readonly string[];
  readonly options?: readonly string[];
}
const benchmarks: Benchmark[] = [];
const debian = (group: string, name: string, ...command: string[]): void =>
  void benchmarks.push({ group, name, command: () => command });
const program = (group: string, name: string, ...options: string[]): void =>
  void benchmarks.push({
    group,
    name: options.length === 0 ? name : `${name} ${options.join(' ')}`,
    command: () => [compiled(name)],
    options,
  });

function compiled(name: string): string {
  const from = join(import.meta.dirname, 'programs', `${name}.c`);
  const to = join(build, name);
  if (!existsSync(to) || statSync(to).mtimeMs < statSync(from).mtimeMs)
    execFileSync('gcc', ['-O2', '-w', '-o', to, from, '-lm']);
  return to;
}
function data(name: string, bytes: number): string {
  const path = join(work, name);
  if (!existsSync(path)) {
    const words = ['alpha', 'beta', 'gamma', 'delta', 'lorem', 'ipsum', '12345', 'zeta'];
    let s = 1;
    let text = '';
    while (text.length < bytes) {
      s = (Math.imul(s, 1103515245) + 12345) >>> 0;
      text += `${words[s >>> 29]} ${s.toString(36)}\n`;
    }
    writeFileSync(path, text.slice(0, bytes));
  }
  return path;
}
const rules = join(work, 'rules');
mkdirSync(rules, { recursive: true });
writeFileSync(join(rules, 'getpid.lua'), 'function do_syscall(num, ...)\n  return c_do_syscall(num, ...)\nend\n');

debian('start-up', 'true', '/bin/true');
debian('start-up', 'ls /', '/bin/ls', '/');
debian('start-up', 'bash -c :', '/bin/bash', '-c', ':');
debian('start-up', 'perl -e 0', '/usr/bin/perl', '-e', '0');
debian('start-up', 'python3 -c 0', '/usr/bin/python3', '-c', '0');
debian('start-up', 'gcc --version', '/usr/bin/gcc', '--version');
for (const name of ['sieve', 'hash', 'quicksort', 'calls', 'threaded', 'strings']) program('integer', name);
for (const name of ['matmul', 'nbody', 'simd', 'x87']) program('floating point', name);
program('system calls', 'getpid');
program('system calls', 'getpid', '--quiet', '--rules', rules);
program('system calls', 'files');
program('processes', 'forks');
benchmarks.push(
  {
    group: 'whole programs',
    name: 'sha256sum 100 MB',
    command: () => ['/usr/bin/sha256sum', data('100m', 100_000_000)],
  },
  { group: 'whole programs', name: 'gzip 8 MB', command: () => ['/bin/gzip', '-c', data('8m', 8_000_000)] },
  { group: 'whole programs', name: 'xz 1 MB', command: () => ['/usr/bin/xz', '-c', '-T1', data('1m', 1_000_000)] },
  { group: 'whole programs', name: 'sort 8 MB', command: () => ['/usr/bin/sort', data('8m', 8_000_000)] },
);
debian(
  'whole programs',
  'python3 loop',
  '/usr/bin/python3',
  '-c',
  's = 0\nfor i in range(2000000): s += i * i % 7\nprint(s)',
);
debian(
  'whole programs',
  'perl loop',
  '/usr/bin/perl',
  '-e',
  'my $s = 0; for my $i (1..2000000) { $s += $i * $i % 7 } print "$s\\n"',
);
debian(
  'whole programs',
  'lua loop',
  '/usr/bin/lua5.4',
  '-e',
  'local s = 0 for i = 1, 10000000 do s = s + i * i % 7 end print(s)',
);
debian(
  'whole programs',
  'sqlite3',
  '/usr/bin/sqlite3',
  ':memory:',
  'with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000) select sum(i * i % 7), count(distinct i % 1000) from n',
);

// ---- running ----

const arguments_ = process.argv.slice(2);
const flag = (name: string): boolean =>
  arguments_.includes(name) && arguments_.splice(arguments_.indexOf(name), 1).length > 0;
const value = (name: string): string | undefined =>
  arguments_.includes(name) ? arguments_.splice(arguments_.indexOf(name), 2)[1] : undefined;
const quick = flag('--quick');
const cold = flag('--cold');
const json = value('--json');
const against = value('--against');
const rounds = quick ? 1 : 5;
const cache = join(work, 'packs');
rmSync(cache, { recursive: true, force: true });
const qemu = ['/usr/bin/qemu-x86_64', '/usr/local/bin/qemu-x86_64'].find((p) => existsSync(p));

interface Run {
  readonly seconds: number;
  readonly output: string;
}
/** CPU seconds of the command and its children, by the shell's own `times`. */
function time(command: readonly string[]): Run {
  const r = spawnSync('/bin/bash', ['-c', 'TIMEFORMAT="%U %S"; time "$@" 2>/dev/null', 'bench', ...command], {
    env: { PATH: '/usr/bin:/bin', HOME: work, LANG: 'C.UTF-8', LUNAGATE_CACHE: cold ? 'off' : cache },
    maxBuffer: 1 << 28,
    encoding: 'latin1',
  });
  const [user, system] = (r.stderr.trim().split('\n').pop() ?? '').split(' ').map(Number) as [number, number];
  return { seconds: user + system, output: `${r.status}\n${r.stdout}` };
}
const median = (a: number[]): number => a.sort((x, y) => x - y)[a.length >> 1] as number;
const mean = (a: number[]): number => Math.exp(a.reduce((s, x) => s + Math.log(x), 0) / a.length);

interface Result {
  readonly group: string;
  readonly name: string;
  readonly native: number;
  readonly qemu: number | undefined;
  readonly lunagate: number;
}
const old = against === undefined ? undefined : (JSON.parse(readFileSync(against, 'utf8')) as Result[]);
const results: Result[] = [];
let wrong = 0;
console.log(
  `${'benchmark'.padEnd(34)}  native    qemu  lunagate   to qemu  to native${old === undefined ? '' : '   to before'}`,
);
for (const b of benchmarks) {
  if (arguments_.length > 0 && !arguments_.includes(b.group)) continue;
  const command = b.command();
  if (!existsSync(command[0] as string)) {
    console.log(`${b.group}: ${b.name}: ${command[0]} is not installed`);
    continue;
  }
  const expected = time(command);
  const mine = [lunagate, ...(b.options ?? []), ...command];
  if (time(mine).output !== expected.output) {
    wrong++;
    console.log(`${b.group}: ${b.name}: the output differs from native`);
    continue;
  }
  const seconds = { native: [] as number[], qemu: [] as number[], lunagate: [] as number[] };
  for (let k = 0; k < rounds; k++) {
    seconds.native.push(time(command).seconds);
    if (qemu !== undefined) seconds.qemu.push(time([qemu, ...command]).seconds);
    seconds.lunagate.push(time(mine).seconds);
  }
  const result: Result = {
    group: b.group,
    name: b.name,
    native: median(seconds.native),
    qemu: qemu === undefined ? undefined : median(seconds.qemu),
    lunagate: median(seconds.lunagate),
  };
  results.push(result);
  const before = old?.find((o) => o.group === b.group && o.name === b.name)?.lunagate;
  const ratio = (x: number | undefined): string =>
    x === undefined || x === 0 ? '-' : (result.lunagate / x).toFixed(2);
  console.log(
    `${`${b.group}: ${b.name.replace(rules, 'RULES')}`.padEnd(34)} ${result.native.toFixed(3).padStart(7)} ${(result.qemu?.toFixed(3) ?? '-').padStart(7)} ${result.lunagate.toFixed(3).padStart(9)} ${ratio(result.qemu).padStart(9)} ${ratio(result.native).padStart(10)}${old === undefined ? '' : ratio(before).padStart(12)}`,
  );
}
for (const group of new Set(results.map((r) => r.group))) {
  const of = results.filter((r) => r.group === group && r.native > 0 && (r.qemu ?? 1) > 0);
  if (of.length === 0) continue;
  const toQemu = qemu === undefined ? '-' : mean(of.map((r) => r.lunagate / (r.qemu as number))).toFixed(2);
  console.log(
    `${group}: geometric mean to qemu ${toQemu}, to native ${mean(of.map((r) => r.lunagate / r.native)).toFixed(2)}`,
  );
}
if (json !== undefined) writeFileSync(json, `${JSON.stringify(results, undefined, 1)}\n`);
process.exit(wrong === 0 ? 0 : 1);
