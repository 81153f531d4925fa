/** Real programs: standard output and exit status equal to the native run's. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, native, type RunOptions, work } from './harness.ts';

before(() => {
  mkdirSync(work, { recursive: true });
  let s = 12345;
  const random = Buffer.alloc(1 << 20, 0).map(() => {
    s = (Math.imul(s, 1103515245) + 12345) >>> 0;
    return s >>> 24;
  });
  writeFileSync(join(work, 'random'), random);
  const lines = Array.from(
    { length: 20_000 },
    (_, k) => `${(k * 7919) % 20_011} line ${k} ${Buffer.from(random.subarray(k, k + 12)).toString('hex')}`,
  );
  writeFileSync(join(work, 'text'), `${lines.join('\n')}\n`);
  mkdirSync(join(work, 'tree/a/b'), { recursive: true });
  for (const f of ['tree/one', 'tree/a/two', 'tree/a/b/three']) writeFileSync(join(work, f), `hello ${f}\nfoo bar\n`);
  writeFileSync(
    join(work, 'data.json'),
    JSON.stringify({ list: lines.slice(0, 200).map((l, k) => ({ k, l })), x: 1.5e300, y: [null, true, 'ünï'] }),
  );
});
after(() => rmSync(work, { recursive: true, force: true }));

function same(name: string, command: () => readonly string[], o: RunOptions = {}): void {
  test(name, { timeout: 120_000 }, () => {
    const c = command();
    const n = native(c, o);
    const e = emulated(c, o);
    assert.equal(
      e.stdout.toString('latin1'),
      n.stdout.toString('latin1'),
      `stdout of ${c.join(' ')}\nstderr: ${e.stderr}`,
    );
    assert.deepEqual({ status: e.status, signal: e.signal }, { status: n.status, signal: n.signal }, e.stderr);
  });
}
const program = (name: string, ...command: string[]): void => same(name, () => command);
const python = (name: string, code: string): void => program(`python3: ${name}`, 'python3', '-c', code);

describe('Debian programs', { concurrency: 2 }, () => {
  program('true', 'true');
  program('false', 'false');
  program('ls -la /usr/bin', 'ls', '-la', '/usr/bin');
  program('cat', 'cat', 'text', 'random');
  program('sort', 'sort', '-n', '-k1,1', 'text');
  program('sort by locale', 'sort', '-r', 'text');
  program('sha256sum', 'sha256sum', 'random', 'text');
  program('md5sum', 'md5sum', 'random');
  program('b2sum', 'b2sum', 'random');
  program('cksum', 'cksum', 'random');
  program('wc', 'wc', 'text', 'random');
  program('grep -r', 'grep', '-rn', 'foo', 'tree');
  program('grep -E', 'grep', '-cE', '(1|3)+[a-f]{2}$', 'text');
  program('sed', 'sed', '-n', 's/line \\([0-9]*\\)/<\\1>/gp', 'text');
  program('awk', 'awk', '{ s += $1; n[$1 % 7]++ } END { print s, NR; printf "%.6f %s\\n", s / NR, sqrt(2) }', 'text');
  program('find', 'find', 'tree', '-type', 'f', '-name', '*e*', '-printf', '%p %s %m\\n');
  program('tar', 'tar', 'cf', '-', '--sort=name', '--mtime=@0', 'tree', 'text');
  program('gzip -9', 'gzip', '-9', '-n', '-c', 'text');
  program('xz', 'xz', '-T1', '-c', 'text');
  program('bzip2', 'bzip2', '-c', 'text');
  same('gzip round trip', () => ['gzip', '-d', '-c'], {
    get input() {
      return native(['gzip', '-9', '-c', 'random']).stdout;
    },
  });
  same('xz round trip', () => ['xz', '-d', '-c'], {
    get input() {
      return native(['xz', '-c', 'text']).stdout;
    },
  });
  same('bzip2 round trip', () => ['bzip2', '-d', '-c'], {
    get input() {
      return native(['bzip2', '-c', 'random']).stdout;
    },
  });
  program(
    'bash arithmetic',
    'bash',
    '-c',
    'x=0; for ((i=0;i<20000;i++)); do ((x=(x*31+i)%65537)); done; echo $x; printf "%05d %x %q\\n" 42 255 "a b"; a=(3 1 2); echo "${a[@]}" "${#a[@]}" ${x//6/_}; [[ abc =~ b(.) ]] && echo ${BASH_REMATCH[1]}; echo $((1<<40)) $((-7/2)) $((16#ff))',
  );
  program(
    'bash builtins',
    'bash',
    '-c',
    'set -e; cd /usr; pwd; type cd; test -d bin; echo {a..e} ~; read -r x y <<< "one two three"; echo "$y|$x"; declare -A m=([k]=v); echo ${m[k]}; printf -v z "%s-" 1 2 3; echo $z; exit 7',
  );
  program(
    'dash',
    'dash',
    '-c',
    'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo $i; trap "echo bye" EXIT; exit 3',
  );
  program(
    'perl',
    'perl',
    '-e',
    'my %h; $h{$_ % 13} .= chr(65 + $_ % 26) for 1..2000; print "$_ $h{$_}\\n" for sort { $a <=> $b } keys %h; print join(",", map { sprintf "%.10g", sqrt $_ } 1..20), "\\n"; my $s = "the quick brown fox" x 50; my $n = () = $s =~ /(\\w)(\\w+)/g; print "$n\\n"; print pack("w/a", "x" x 300) =~ tr/x//, "\\n"; use POSIX; print strftime("%Y", gmtime 0), " ", DBL_MAX, "\\n"',
  );
  program(
    'lua5.4',
    'lua5.4',
    '-e',
    'local t = {} for i = 1, 20000 do t[i] = (i * 7919) % 10007 end table.sort(t) print(t[1], t[100], #t, 7 // 2, 7 / 2, 2^53, 1e15, string.format("%q %5.2f %g", "a\\nb", math.pi, 1e100)) print(string.rep("ab", 10):gsub("b", "%0%0")) print(pcall(error, "x"))',
  );
  program(
    'sqlite3',
    'sqlite3',
    ':memory:',
    'create table t(a integer primary key, b text, c real); with recursive n(i) as (select 1 union all select i+1 from n where i < 3000) insert into t select i, hex(i*i), i/7.0 from n; select count(*), sum(a), round(avg(c),6), max(b), group_concat(a) from t where a % 500 = 0; select b, count(*) from t group by length(b) order by 2;',
  );
  program('openssl dgst', 'openssl', 'dgst', '-sha512', 'random');
  program('openssl sha3', 'openssl', 'dgst', '-sha3-256', 'text');
  program(
    'openssl enc',
    'openssl',
    'enc',
    '-aes-256-cbc',
    '-K',
    '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff',
    '-iv',
    '0102030405060708090a0b0c0d0e0f10',
    '-in',
    'text',
    '-a',
  );
  same('bc', () => ['bc', '-l'], { input: 'scale=60; 4*a(1); e(1); sqrt(2); 2^300; obase=16; 2^64-1\n' });
  program('jq', 'jq', '-r', '.list | map(select(.k % 17 == 0) | .l) | .[] , ([1,2,3] | add / 7)', 'data.json');
  program('jq whole', 'jq', '-S', '.', 'data.json');
  program('file', 'file', '-b', '/bin/ls', 'data.json', 'random');
  program('busybox sh', 'busybox', 'sh', '-c', 'for i in 1 2 3; do echo $i; done; echo $((3*4))');
  program('busybox md5sum', 'busybox', 'md5sum', 'random');
  program('busybox awk', 'busybox', 'awk', 'BEGIN { for (i = 0; i < 1000; i++) s += sin(i); printf "%.9f\\n", s }');
  program('busybox ls', 'busybox', 'ls', '-la', 'tree');
  program('date', 'date', '-u', '-d', '@86400', '+%F %T %A %j');
  program('seq', 'seq', '-f', '%.3Lf', '0', '0.1', '10');
  program('factor', 'factor', '18446744073709551557', '1000000007000000063');
  program('od', 'od', '-A', 'x', '-t', 'x1z', '-N', '4096', 'random');
  program('od floats', 'od', '-t', 'fD', '-t', 'fF', '-N', '512', 'random');
  program('cut and tr', 'cut', '-d', ' ', '-f', '2-', 'text');
  program('diff', 'diff', 'tree/one', 'tree/a/two');
  program('env', 'env', '-i', 'A=1', 'B=2');
  program('id', 'id');
  program('uname', 'uname', '-srm');
  program('expr', 'expr', '170141183460469231731687303715884105727', '+', '1');
  program('stat', 'stat', '-c', '%n %s %F %a', '/etc/passwd', 'tree');
  program('nonexistent file', 'cat', 'nosuchfile');
});

describe('python3', { concurrency: 2 }, () => {
  python(
    'json',
    'import json; d = json.load(open("data.json")); print(json.dumps(d, sort_keys=True, indent=1)); print(json.loads("[1e400, -0.0, 123456789012345678901234567890]"))',
  );
  python(
    'hashlib',
    'import hashlib; b = open("random", "rb").read(); print([hashlib.new(n, b).hexdigest() for n in ("md5", "sha1", "sha256", "sha512", "blake2b", "sha3_256")])',
  );
  python(
    're',
    'import re; s = open("text").read(); print(len(re.findall(r"(\\d+) line (\\d+) [0-9a-f]{3}a", s)), re.sub(r"(?i)LINE", "x", s)[:100])',
  );
  python(
    'decimal',
    'from decimal import *; getcontext().prec = 50; print(Decimal(2).sqrt(), Decimal(1) / 7, Decimal("1e1000").ln(), Decimal(10) ** -30)',
  );
  python(
    'math',
    'import math, cmath; print([getattr(math, f)(0.7) for f in "sin cos tan asin acos atan sinh cosh tanh exp expm1 log log1p log2 log10 sqrt gamma lgamma erf erfc cbrt exp2".split() if hasattr(math, f)], math.fsum([0.1] * 10), cmath.sqrt(-2), math.comb(100, 50), math.pi ** 100, 5e-324, 1.7e308 * 10, math.fmod(7.5, -2))',
  );
  python(
    'struct',
    'import struct; print(struct.pack("<qQdfhB3s", -1, 2**64 - 1, 1.1, 1.1, -300, 255, b"abc").hex(), struct.unpack(">d", bytes(range(8))))',
  );
  python(
    'zlib',
    'import zlib, bz2, lzma; b = open("text", "rb").read(); c = zlib.compress(b, 9); print(len(c), zlib.crc32(b), zlib.adler32(b), zlib.decompress(c) == b, bz2.decompress(bz2.compress(b)) == b, lzma.decompress(lzma.compress(b[:50000], preset=1)) == b[:50000])',
  );
  python(
    'big integers',
    'print(3 ** 2000 % (2 ** 127 - 1), pow(7, 10 ** 30, 10 ** 18 + 9), int("9" * 300) // 7 ** 100, (1 << 500) ^ (1 << 3))',
  );
  python(
    'exceptions',
    'def f(n): return 1 / n if n else f(n)\ntry: f(0)\nexcept RecursionError as e: print("deep", e)\ntry: [][1]\nexcept IndexError as e: print(e)\nimport sys; sys.exit(5)',
  );
  python(
    'floats',
    'import random; random.seed(1); print([random.random() for _ in range(5)], sum(random.gauss(0, 1) for _ in range(1000)), float.hex(0.1), round(2.675, 2), 1e22, f"{1/3:.20f}", "%.17g" % 0.1, int(1e300))',
  );
  python(
    'classes and generators',
    'class A:\n  def __init__(s, x): s.x = x\n  def __lt__(s, o): return s.x < o.x\nprint([a.x for a in sorted(A(i * 37 % 101) for i in range(101))][:20], sum(x * x for x in range(1000)), dict(zip("abc", range(3))), {*range(5)} & {3, 4, 9})',
  );
});

describe('compiled programs', { concurrency: 2 }, () => {
  const c = (
    source: string,
    flags: readonly string[] = [],
    args: readonly string[] = [],
    compiler?: string,
    env: Record<string, string> = {},
  ): void =>
    same([source, ...flags, ...args].join(' '), () => [compile(source, flags, compiler), ...args], {
      timeout: 100_000,
      env,
    });
  c('hello.c');
  c('hello.c', ['-static']);
  c('hello.c', ['-static-pie']);
  c('hello.c', ['-no-pie']);
  c('hello.c', ['-static'], ['musl'], 'musl-gcc');
  c('long-double.c', ['-lm']);
  c('long-double.c', ['-static', '-lm'], [], 'musl-gcc');
  c('control.c');
  c('control.c', ['-O0']);
  c('callees.c');
  c('callees.c', ['-O1', '-fPIC', '-fno-plt']);
  c('memory.c');
  c('exceptions.cc');
  c('exceptions.cc', ['-static']);
  c('big-file.c');
  // libm picks its FMA variants by CPUID, and they round differently in the last place: none of them on either side.
  const noFma = { GLIBC_TUNABLES: 'glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX' };
  c('numbers.c', ['-lm'], [], undefined, noFma);
  c('numbers.c', ['-O0', '-lm'], [], undefined, noFma);
  c('signals.c');
  c('wakeups.c');
  c('wild-addresses.c');
  c('locked-faults.c');
  c('single-step.c');
  c('segments.c');
  c('machine.c');
  c('close-listed.c');
  for (const how of ['abort', 'segv', 'fpe', 'ill', 'kill', 'term', 'pipe', 'exit']) c('dies.c', [], [how]);
});
