/**
 * What is timed: the project's own small programs (programs/*.c, built with -O2) and programs of the system, in groups.
 * Each does the same work on every run and prints something that depends on it.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const build = join(resolve(import.meta.dirname, '..'), '.build/bench');
/** Input files, and the cache of translations that the runs share. */
export const work: string = join(build, 'work');

export interface Benchmark {
  readonly group: string;
  readonly name: string;
  /** Left out of --quick: another of its group stands for it. */
  readonly long: boolean;
  /** It starts other programs: qemu-user runs those natively, so that its figure would mean nothing. */
  readonly execs: boolean;
  /** Options of lunagate that belong to it. */
  readonly options: readonly string[];
  /** Program, by its absolute path, and arguments; undefined if it is not installed. Makes what it needs. */
  command(): readonly string[] | undefined;
}

export const benchmarks: Benchmark[] = [];

interface Extra {
  readonly long?: boolean;
  readonly execs?: boolean;
  readonly options?: readonly string[];
}

function add(group: string, name: string, command: () => readonly string[] | undefined, extra: Extra = {}): void {
  benchmarks.push({ group, name, long: extra.long ?? false, execs: extra.execs ?? false, options: extra.options ?? [], command });
}
/** A program of the system, looked for where distributions put it. */
function installed(group: string, name: string, program: string, args: () => readonly string[], extra?: Extra): void {
  const find = (): readonly string[] | undefined => {
    const path = [`/usr/bin/${program}`, `/bin/${program}`].find((p) => existsSync(p));
    return path === undefined ? undefined : [path, ...args()];
  };
  add(group, name, find, extra);
}
function own(group: string, name: string, extra?: Extra): void {
  add(group, name, () => [compiled(name)], extra);
}

const source = (name: string): string => join(import.meta.dirname, 'programs', `${name}.c`);

function compiled(name: string): string {
  const from = source(name);
  const to = join(build, name);
  if (!existsSync(to) || statSync(to).mtimeMs < statSync(from).mtimeMs) {
    mkdirSync(build, { recursive: true });
    execFileSync('gcc', ['-O2', '-w', '-o', to, from, '-lm', '-lpthread']);
  }
  return to;
}

/** A file of `megabytes` of words and numbers, always the same. */
function text(megabytes: number): string {
  const path = join(work, `${megabytes}m`);
  if (existsSync(path)) return path;
  const words = ['alpha', 'beta', 'gamma', 'delta', 'lorem', 'ipsum', '12345', 'zeta'];
  const parts: string[] = [];
  let s = 1;
  for (let length = 0; length < megabytes * 1e6; ) {
    s = (Math.imul(s, 1103515245) + 12345) >>> 0;
    const line = `${words[s >>> 29]} ${s.toString(36)}\n`;
    length += line.length;
    parts.push(line);
  }
  mkdirSync(work, { recursive: true });
  writeFileSync(path, parts.join('').slice(0, megabytes * 1e6));
  return path;
}

/** gcc's compiler proper, over a preprocessed source. */
function compiler(): readonly string[] {
  const cc1 = execFileSync('gcc', ['-print-prog-name=cc1'], { encoding: 'utf8' }).trim();
  const from = join(work, 'interpreter.i');
  mkdirSync(work, { recursive: true });
  execFileSync('gcc', ['-E', '-o', from, source('interpreter')]);
  return [cc1, '-O2', '-quiet', '-fpreprocessed', from, '-o', '-'];
}

/** A rules directory whose one script forwards getpid. */
export const forwarding: string = join(work, 'rules');
function makeRules(): void {
  mkdirSync(forwarding, { recursive: true });
  writeFileSync(join(forwarding, 'getpid.lua'), 'function do_syscall(num, ...)\n  return c_do_syscall(num, ...)\nend\n');
}

const start = 'start-up';
installed(start, 'true', 'true', () => []);
installed(start, 'ls /', 'ls', () => ['/']);
installed(start, 'bash -c :', 'bash', () => ['-c', ':']);
installed(start, 'perl -e 0', 'perl', () => ['-e', '0']);
installed(start, 'python3 -c 0', 'python3', () => ['-c', '0']);
installed(start, 'gcc --version', 'gcc', () => ['--version']);

own('integer', 'sieve');
own('integer', 'sha256');
own('integer', 'hash', { long: true });
own('integer', 'collatz', { long: true });

own('floating point', 'matmul');
own('floating point', 'nbody', { long: true });
own('floating point', 'mandelbrot', { long: true });
own('floating point', 'simd');
own('floating point', 'vectors', { long: true });
own('floating point', 'x87', { long: true });

own('calls', 'calls');
own('calls', 'tree', { long: true });
own('calls', 'quicksort', { long: true });

own('indirect branches', 'threaded');
own('indirect branches', 'interpreter', { long: true });
own('indirect branches', 'objects', { long: true });

own('memory and strings', 'strings');
own('memory and strings', 'lists', { long: true });

own('system calls', 'getpid');
own('system calls', 'files');
add(
  'hooked system calls',
  'getpid forwarded',
  () => {
    makeRules();
    return [compiled('getpid')];
  },
  { options: ['--quiet', '--rules', forwarding] },
);

own('processes and threads', 'forks');
own('processes and threads', 'spawns', { long: true, execs: true });
own('processes and threads', 'pipes', { long: true });
own('processes and threads', 'threads', { long: true });

const whole = 'whole programs';
const long = { long: true };
installed(whole, 'gzip 8 MB', 'gzip', () => ['-c', text(8)]);
installed(whole, 'bzip2 2 MB', 'bzip2', () => ['-c', text(2)], long);
installed(whole, 'xz 1 MB', 'xz', () => ['-c', '-T1', text(1)], long);
installed(whole, 'sort 8 MB', 'sort', () => [text(8)], { long: true });
installed(whole, 'sha256sum 100 MB', 'sha256sum', () => [text(100)], long);
installed(whole, 'openssl aes-256-ctr 20 MB', 'openssl', () => ['enc', '-aes-256-ctr', '-K', '00', '-iv', '00', '-in', text(20)], long);
installed(whole, 'openssl prime', 'openssl', () => ['prime', '-checks', '400', (2n ** 1279n - 1n).toString()], long);
installed(whole, 'gcc -O2 (with its driver)', 'gcc', () => ['-O2', '-S', '-o', '-', source('interpreter')], { long: true, execs: true });
add(whole, 'cc1 -O2', compiler);
installed(
  whole,
  'sqlite3',
  'sqlite3',
  () => [':memory:', 'with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000) select sum(i * i % 7), count(distinct i % 1000) from n'],
);
const python = [
  'class Point:',
  '    def __init__(self, x, y): self.x, self.y = x, y',
  '    def dot(self, o): return self.x * o.x + self.y * o.y',
  'words = {}',
  'total = 0',
  'for i in range(120000):',
  '    p = Point(i, i % 7)',
  '    total += p.dot(Point(3, 4))',
  '    key = "k%d" % (i % 1000)',
  '    words[key] = words.get(key, 0) + len(key)',
  'print(total, sorted(words.items(), key=lambda kv: (kv[1], kv[0]))[:3])',
].join('\n');
installed(whole, 'python3 loop', 'python3', () => ['-c', 's = 0\nfor i in range(2000000): s += i * i % 7\nprint(s)']);
installed(whole, 'python3 objects', 'python3', () => ['-c', python], long);
installed(whole, 'perl loop', 'perl', () => ['-e', 'my $s = 0; for my $i (1..2000000) { $s += $i * $i % 7 } print "$s\\n"'], long);
installed(
  whole,
  'perl words',
  'perl',
  () => ['-ne', 'for (split) { $n{$_ =~ /^(\\w{3})/ ? $1 : ""}++ } END { print "$_ $n{$_}\\n" for (sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n)[0..9] }', text(2)],
  long,
);
installed(whole, 'lua loop', 'lua5.4', () => ['-e', 'local s = 0 for i = 1, 10000000 do s = s + i * i % 7 end print(s)']);
installed(whole, 'gawk', 'gawk', () => ['{ n[$1] += length($2) } END { for (w in n) print w, n[w] | "sort" }', text(8)], long);
installed(whole, 'jq', 'jq', () => ['-n', '[range(100000) | {a: ., b: (. * 7 % 13)}] | group_by(.b) | map({b: .[0].b, n: length})'], long);
