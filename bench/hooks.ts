/**
 * `npm run bench:hooks [-- --quick]`: what hooks cost a system call. Nanoseconds of CPU a call, the engine's included (for
 * hooks in a program, that of both processes), medians of rounds in which all kinds take turns; then resident memory over
 * ten million hooked calls.
 *
 * "Loaded anew" is what the first design did: the script is read and run on each call, then called. It is a rule that does
 * so with loadfile, so it has this Lua's and this io's speed.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type Hooks, run } from '../src/index.ts';

const root = resolve(import.meta.dirname, '..');
const lunagate = join(root, 'bin/lunagate');
const work = join(root, '.build/bench/hooks');
const quick = process.argv.includes('--quick');
const rounds = quick ? 3 : 5;

rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
const guest = join(work, 'hooked');
execFileSync('gcc', ['-O2', '-w', '-pthread', '-o', guest, join(import.meta.dirname, 'programs/hooked.c')]);

let serial = 0;
function rules(scripts: Readonly<Record<string, string>>): readonly string[] {
  const path = join(work, `rules-${++serial}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(path, `${name}.lua`), text);
  return ['--quiet', '--rules', path];
}
function hooks(text: string): readonly string[] {
  const path = join(work, `hooks-${++serial}.mjs`);
  writeFileSync(path, text);
  return ['--hooks', path];
}

const forward = 'function do_syscall(num, ...)\n  return c_do_syscall(num, ...)\nend\n';
const counting = 'local n = 0\nfunction do_syscall(num, ...)\n  n = n + 1\n  return c_do_syscall(num, ...)\nend\n';
const reading = 'function do_syscall(num, path, ...)\n  if c_read_string(path) == "/etc/shadow" then return -13 end\n  return c_do_syscall(num, path, ...)\nend\n';
const script = join(work, 'script.lua');
writeFileSync(script, forward);
const anew = `function do_syscall(...)\n  local environment = setmetatable({}, { __index = _G })\n  loadfile(${JSON.stringify(script)}, "t", environment)()\n  return environment.do_syscall(...)\nend\n`;
// Three hundred scripts for calls that are not made.
const names = execFileSync(lunagate, ['--help', 'syscalls'], { encoding: 'utf8' }).match(/^ *\d+ +(\w+)/gm)?.map((l) => l.trim().split(/ +/)[1] as string) ?? [];
const many = Object.fromEntries(names.filter((n) => n !== 'getppid' && n !== 'access').slice(0, 300).map((n) => [n, forward]));
if (Object.keys(many).length !== 300) throw new Error(`only ${names.length} names of system calls were read`);

interface Kind {
  readonly name: string;
  readonly options: readonly string[];
  readonly call?: 'getppid' | 'access';
  readonly times: number;
  readonly threads?: number;
  /** In this process instead. */
  readonly served?: Hooks;
}
/** Long enough that V8's work on the engine itself, 10 to 100 ms at the start of each run, is small beside it. */
const UNHOOKED = 12_000_000;
const HOOKED = 2_000_000;
const kinds: readonly Kind[] = [
  { name: 'no rules', options: [], times: UNHOOKED },
  { name: 'rules for another call', options: rules({ access: forward }), times: UNHOOKED },
  { name: '300 rules for other calls', options: rules(many), times: UNHOOKED },
  { name: 'forwarding rule', options: rules({ getppid: forward }), times: HOOKED },
  { name: 'counting rule', options: rules({ getppid: counting }), times: HOOKED },
  { name: 'forwarding rule, loaded anew', options: rules({ getppid: anew }), times: 5_000 },
  { name: 'module that forwards (--hooks)', options: hooks('export function getppid(call) { return call.original(); }\n'), times: HOOKED },
  { name: 'access, no rules', options: [], call: 'access', times: 300_000 },
  { name: 'access, rule reads the path', options: rules({ access: reading }), call: 'access', times: 300_000 },
  { name: '8 threads, no rules', options: [], times: 400_000, threads: 8 },
  { name: '8 threads, forwarding rule', options: rules({ getppid: forward }), times: 80_000, threads: 8 },
  { name: 'hook in a program, returns nothing', options: [], times: 5_000, served: { getppid: () => undefined } },
  { name: 'hook in a program, forwards', options: [], times: 5_000, served: { getppid: (call) => call.original() } },
];

async function measure({ options, call = 'getppid', times, threads = 1, served }: Kind): Promise<number> {
  const args = [call, String(times), String(threads)];
  if (served === undefined) {
    const r = spawnSync(lunagate, [...options, guest, ...args], { encoding: 'utf8' });
    if (r.status !== 0) throw new Error(`${options.join(' ')}: ${r.status} ${r.signal} ${r.stderr}`);
    return Number(r.stdout);
  }
  const before = process.cpuUsage();
  const r = await run({ program: guest, args, hooks: served }).output();
  const { user, system } = process.cpuUsage(before);
  if (r.status !== 0) throw new Error(r.stderr);
  return Number(r.stdout) + ((user + system) * 1000) / (times * 1.02);
}

const seen = new Map<Kind, number[]>(kinds.map((k) => [k, []]));
for (const kind of kinds) await measure({ ...kind, times: 1000 * (kind.threads ?? 1) });
// In turn, each round from another one on: what ran just before matters.
for (let k = 0; k < rounds; k++) for (const kind of [...kinds.slice(k * 3), ...kinds.slice(0, k * 3)]) seen.get(kind)?.push(await measure(kind));
const median = (kind: Kind): number => (seen.get(kind) as number[]).toSorted((a, b) => a - b)[rounds >> 1] as number;
let plain = 0;
for (const kind of kinds) {
  const ns = median(kind);
  const first = kind.name.endsWith('no rules');
  if (first || kind.served !== undefined) plain = first ? ns : median(kinds[0] as Kind);
  const more = first ? '' : `+${((ns - plain) / 1000).toFixed(2)} µs (${((100 * ns) / plain - 100).toFixed(1)} %)`;
  console.log(`${kind.name.padEnd(36)} ${(ns / 1000).toFixed(3).padStart(9)} µs  ${more}`);
}

// Memory: after a million, and after ten million more.
const stretches = quick ? [100_000, 1_000_000] : [1_000_000, 10_000_000];
for (const [name, options] of [['forwarding rule', rules({ getppid: forward })], ['module that forwards', hooks('export function getppid(call) { return call.original(); }\n')]] as const) {
  const child = spawn(lunagate, [...options, guest, 'getppid', String(stretches[0]), '1', String(stretches[1])], { stdio: ['pipe', 'pipe', 'inherit'] });
  const sizes: number[] = [];
  for await (const _ of createInterface({ input: child.stdout })) {
    sizes.push(Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024);
    child.stdin.write('\n');
  }
  console.log(`${name}: ${sizes.map((s) => s.toFixed(1)).join(' MiB resident after the first stretch, ')} MiB after ${stretches[1]?.toLocaleString('en')} more calls`);
}
