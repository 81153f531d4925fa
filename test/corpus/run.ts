/**
 * The corpus: real programs natively and under lunagate, side by side. `npm run corpus [-- options] [regex …]`; each
 * regex chooses cases by `group program arguments`. Options: --jobs N (2), --group NAME, --verbose (differences at once),
 * --lunagate PATH, --json FILE, --list.
 *
 * Each case runs in a fresh copy of the same directory, so what it writes is compared as well. A case that differs is
 * run natively once more: if that differs too, the case is unstable, which is an error of the corpus.
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Case, readCases } from './cases.ts';
import { differences, engineFailure, type Outcome, readFiles } from './compare.ts';
import { makeInputs } from './inputs.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: 'string', default: '2' },
    group: { type: 'string', multiple: true },
    lunagate: { type: 'string', default: resolve(import.meta.dirname, '../../bin/lunagate') },
    json: { type: 'string' },
    list: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
/** Differences printed of one case. */
const SHOWN = 6;
const LIMIT = { usual: 60, slow: 300 } as const;
/** What is translated once serves later runs, whatever HOME the case has. */
const CACHE = process.env['LUNAGATE_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'lunagate');
const PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/usr/games';

type Verdict = 'same' | 'differs' | 'engine failure' | 'known' | 'passes unexpectedly' | 'unstable' | 'skipped';
interface Result {
  readonly case: Case;
  readonly verdict: Verdict;
  readonly native: number;
  readonly emulated: number;
  readonly found: readonly string[];
}

const top = mkdtempSync(join(tmpdir(), 'lunagate-corpus-'));
const inputs = join(top, 'inputs');

/** Run once in a fresh copy of the inputs at `directory`. */
async function once(c: Case, directory: string, launcher: readonly string[]): Promise<Outcome> {
  rmSync(directory, { recursive: true, force: true });
  execFileSync('cp', ['-a', inputs, directory]);
  const env = { PATH, HOME: directory, LANG: 'C.UTF-8', TZ: 'UTC', TERM: 'xterm', USER: 'corpus', LUNAGATE_CACHE: CACHE, ...c.env };
  for (const command of c.before) {
    const { end, stderr } = await start(['sh', '-c', command], directory, env, undefined, LIMIT.slow);
    if (end !== 'exit 0') throw new Error(`before ${c.text}: ${command}: ${end}: ${stderr}`);
  }
  const began = performance.now();
  const r = await start([...launcher, ...c.argv], directory, env, c.stdin, c.slow ? LIMIT.slow : LIMIT.usual);
  return { ...r, seconds: (performance.now() - began) / 1000, files: readFiles(c, directory) };
}

/** Output goes through files beside the directory: a program may tell pipes and files apart, and both sides see files. */
async function start(
  argv: readonly string[],
  cwd: string,
  env: Record<string, string>,
  stdin: string | undefined,
  limit: number,
): Promise<{ stdout: Buffer; stderr: Buffer; end: string }> {
  const input = openSync(stdin === undefined ? '/dev/null' : join(cwd, stdin), 'r');
  const output = openSync(`${cwd}.out`, 'w');
  const errors = openSync(`${cwd}.err`, 'w');
  let end = '';
  await new Promise<void>((done) => {
    const child = spawn(argv[0] as string, argv.slice(1), { cwd, env, stdio: [input, output, errors], detached: true });
    // The group, so that children of a hanging program go too.
    const timer = setTimeout(() => {
      end = `no end within ${limit} s`;
      try {
        process.kill(-(child.pid as number), 'SIGKILL');
      } catch {}
    }, limit * 1000);
    child.on('error', (error) => {
      end ||= `not started: ${error.message}`;
      clearTimeout(timer);
      done();
    });
    child.on('exit', (status, signal) => {
      end ||= signal === null ? `exit ${status}` : `signal ${signal}`;
      clearTimeout(timer);
      done();
    });
  });
  for (const fd of [input, output, errors]) closeSync(fd);
  return { stdout: readFileSync(`${cwd}.out`), stderr: readFileSync(`${cwd}.err`), end };
}

const found = (program: string): boolean =>
  program.includes('/') ? existsSync(program) : PATH.split(':').some((d) => existsSync(join(d, program)));

async function judge(c: Case, directory: string): Promise<Result> {
  const none = { case: c, native: 0, emulated: 0, found: [] };
  const missing = c.needs.find((p) => !found(p));
  if (missing !== undefined) return { ...none, verdict: 'skipped', found: [`${missing} is missing`] };
  if (!c.argv[0]?.startsWith('./') && !found(c.argv[0] as string))
    return { ...none, verdict: 'unstable', found: [`${c.argv[0]} is missing: scripts/setup-corpus installs it`] };
  const native = await once(c, directory, []);
  const emulated = await once(c, directory, [values.lunagate]);
  const result = { case: c, native: native.seconds, emulated: emulated.seconds };
  let differ = differences(c, native, emulated);
  if (differ.length > 0) {
    const again = differences(c, native, await once(c, directory, []));
    if (again.length > 0) return { ...result, verdict: 'unstable', found: [...again, 'emulated:', ...differ] };
  }
  if (native.end.startsWith('no')) return { ...result, verdict: 'unstable', found: [`native: ${native.end}`] };
  if (differ.length === 0 && engineFailure(emulated)) differ = ['a message of the engine in stderr'];
  if (differ.length === 0) return { ...result, verdict: c.known === undefined ? 'same' : 'passes unexpectedly', found: [] };
  if (c.known !== undefined) return { ...result, verdict: 'known', found: [c.known] };
  const verdict = engineFailure(emulated) || emulated.end.startsWith('no end') ? 'engine failure' : 'differs';
  return { ...result, verdict, found: differ };
}

const chosen = readCases(join(import.meta.dirname, 'cases')).filter(
  (c) =>
    (values.group === undefined || values.group.includes(c.group)) &&
    (positionals.length === 0 || positionals.some((p) => new RegExp(p).test(`${c.group} ${c.text}`))),
);
if (values.list) {
  for (const c of chosen) console.log(`${c.group} ${c.text}`);
  process.exit(0);
}
if (chosen.length === 0) throw new Error('no case is called so');

const results: Result[] = [];
try {
  mkdirSync(inputs);
  makeInputs(inputs);
  const queue = [...chosen];
  const worker = async (k: number): Promise<void> => {
    for (;;) {
      const c = queue.shift();
      if (c === undefined) return;
      const r = await judge(c, join(top, `w${k}`));
      results.push(r);
      const factor = r.native > 0 ? (r.emulated / r.native).toFixed(1) : '-';
      const bad = r.verdict !== 'same' && r.verdict !== 'known';
      if (bad || values.verbose)
        console.log(`${r.verdict.padEnd(14)} ${r.emulated.toFixed(2).padStart(7)} s ${factor.padStart(7)}  ${c.group}: ${c.text.slice(0, 200)}`);
      if (bad) {
        for (const line of r.found.slice(0, SHOWN)) console.log(`    ${line.slice(0, 1000)}`);
        if (r.found.length > SHOWN) console.log(`    and ${r.found.length - SHOWN} more`);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, (_, k) => worker(k)));
} finally {
  rmSync(top, { recursive: true, force: true });
}

const VERDICTS: readonly Verdict[] = ['same', 'known', 'differs', 'engine failure', 'passes unexpectedly', 'unstable', 'skipped'];
const row = (name: string, of: readonly Result[]): string => {
  const counts = VERDICTS.map((v) => String(of.filter((r) => r.verdict === v).length).padStart(v.length + 2)).join('');
  const seconds = of.reduce((sum, r) => sum + r.emulated, 0);
  return `${name.padEnd(14)}${counts}${seconds.toFixed(1).padStart(10)}`;
};
console.log(`\n${'group'.padEnd(14)}${VERDICTS.map((v) => `  ${v}`).join('')}   seconds`);
for (const group of new Set(chosen.map((c) => c.group))) console.log(row(group, results.filter((r) => r.case.group === group)));
console.log(row('all', results));
const names = new Set(results.filter((r) => r.verdict === 'same').map((r) => r.case.argv[0]));
console.log(`${names.size} programs run the same`);
if (values.json !== undefined)
  writeFileSync(
    values.json,
    JSON.stringify(
      results.map((r) => ({ group: r.case.group, text: r.case.text, verdict: r.verdict, native: r.native, emulated: r.emulated, found: r.found })),
      undefined,
      1,
    ),
  );
process.exitCode = results.every((r) => r.verdict === 'same' || r.verdict === 'known' || r.verdict === 'skipped') ? 0 : 1;
