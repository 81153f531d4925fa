/** Runs a program natively and under lunagate. The native run is the expectation. */
import { type SpawnSyncReturns, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');
export const lunagate = join(root, 'bin/lunagate');
export const programs = join(import.meta.dirname, 'programs');
/** Compiled test programs: kept between runs, rebuilt when their source is newer. */
export const build = join(root, '.build/e2e');
/** Input files that tests share, made once per run. */
export const work = join(tmpdir(), `lunagate-test-${process.pid}`);

export interface RunOptions {
  readonly input?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeout?: number;
  /** Options of lunagate's own, before the program. */
  readonly options?: readonly string[];
}
export interface Outcome {
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly status: number | null;
  readonly signal: string | null;
}

function outcome(r: SpawnSyncReturns<Buffer>): Outcome {
  if (r.error !== undefined) throw r.error;
  return { stdout: r.stdout, stderr: r.stderr.toString(), status: r.status, signal: r.signal };
}
/** Nothing of the test runner's own environment reaches the guest. */
function environment(extra: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', HOME: work, LANG: 'C.UTF-8', ...extra };
}
function spawn(file: string, args: readonly string[], o: RunOptions): Outcome {
  return outcome(
    spawnSync(file, args as string[], {
      input: o.input ?? '',
      env: environment(o.env),
      cwd: o.cwd ?? work,
      timeout: o.timeout ?? 60_000,
      maxBuffer: 256 << 20,
    }),
  );
}
export function native(command: readonly string[], o: RunOptions = {}): Outcome {
  mkdirSync(work, { recursive: true });
  return spawn(command[0] as string, command.slice(1), o);
}
export function emulated(command: readonly string[], o: RunOptions = {}): Outcome {
  mkdirSync(work, { recursive: true });
  return spawn(lunagate, [...(o.options ?? []), ...command], o);
}

/** Compile programs/NAME (C or C++) once; the path of the executable. */
export function compile(
  source: string,
  flags: readonly string[] = [],
  compiler = source.endsWith('.cc') ? 'g++' : 'gcc',
): string {
  mkdirSync(build, { recursive: true });
  const from = join(programs, source);
  const tag = [compiler, ...flags].join('_').replace(/[^\w.-]+/g, '');
  const to = join(build, `${basename(source).replace(/\.\w+$/, '')}.${tag}`);
  if (!existsSync(to) || statSync(to).mtimeMs < statSync(from).mtimeMs)
    execFileSync(compiler, ['-O2', '-w', '-o', to, from, ...flags]);
  return to;
}
