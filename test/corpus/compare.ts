/** What a run left behind, natively and emulated, and how the two differ. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Case } from './cases.ts';

export interface Outcome {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** `exit 0`, `signal SIGSEGV`, `no end within 60 s`, … */
  readonly end: string;
  /** Path → what it is. */
  readonly files: ReadonlyMap<string, string>;
  readonly seconds: number;
}

function masked(c: Case, bytes: Buffer): string {
  let text = bytes.toString('latin1');
  for (const { pattern, text: by } of c.masks) text = text.replace(pattern, by);
  return text;
}

/** Everything below `directory`: type, mode, and content by hash. */
export function readFiles(c: Case, directory: string): Map<string, string> {
  const files = new Map<string, string>();
  const walk = (relative: string): void => {
    for (const name of readdirSync(join(directory, relative)).sort()) {
      const path = join(relative, name);
      if (c.ignored.some((i) => path === i)) continue;
      const s = lstatSync(join(directory, path));
      const mode = (s.mode & 0o7777).toString(8);
      if (s.isDirectory()) {
        files.set(path, `directory ${mode}`);
        walk(path);
      } else if (s.isSymbolicLink()) files.set(path, `link to ${readlinkSync(join(directory, path))}`);
      else if (s.isFile()) {
        const bytes = readFileSync(join(directory, path));
        const content = c.masks.length === 0 ? bytes : Buffer.from(masked(c, bytes), 'latin1');
        files.set(path, `file ${mode} of ${s.size} bytes, ${createHash('sha256').update(content).digest('hex').slice(0, 16)}`);
      } else files.set(path, `special ${s.mode.toString(8)} ${s.rdev}`);
    }
  };
  walk('');
  return files;
}

/** The first place where two texts part, with its surroundings. */
function parting(what: string, a: string, b: string): string {
  let k = 0;
  while (k < a.length && a[k] === b[k]) k++;
  const from = Math.max(a.lastIndexOf('\n', k - 1) + 1, k - 80);
  const show = (s: string): string => JSON.stringify(s.slice(from, k + 120));
  return `${what}, byte ${k}: native ${show(a)} emulated ${show(b)}`;
}

/** The differences that count for this case; none: equal. */
export function differences(c: Case, native: Outcome, emulated: Outcome): string[] {
  const found: string[] = [];
  if (native.end !== emulated.end) found.push(`end: native ${native.end}, emulated ${emulated.end}`);
  const texts = (what: string, a: Buffer, b: Buffer): void => {
    if (a.equals(b)) return;
    const [x, y] = [masked(c, a), masked(c, b)];
    if (x !== y) found.push(parting(what, x, y));
  };
  if (c.stdout) texts('stdout', native.stdout, emulated.stdout);
  if (c.stderr) texts('stderr', native.stderr, emulated.stderr);
  else if (found.length > 0 && emulated.stderr.length > 0) found.push(`stderr: ${JSON.stringify(emulated.stderr.toString().slice(-800))}`);
  const all = new Set([...native.files.keys(), ...emulated.files.keys()]);
  for (const path of all) {
    const [a = 'absent', b = 'absent'] = [native.files.get(path), emulated.files.get(path)];
    if (a !== b) found.push(`${path}: native ${a}, emulated ${b}`);
  }
  return found;
}

/** True if the engine itself gave up: a message of its own or of node's, or a crash of node. */
export function engineFailure(emulated: Outcome): boolean {
  const text = emulated.stderr.toString('latin1');
  return (
    /^(lunagate: |#\n# Fatal|Node\.js v|FATAL ERROR)/m.test(text) || /\bat .*\(?(file:|node:|wasm:)/.test(text) || /dist\/lunagate\.mjs/.test(text)
  );
}
