/**
 * Builds dist/: the bundle lunagate.mjs (everything from src/cli/main.ts in one file), lua.wasm beside it, a
 * start-up snapshot of the same program for this architecture, which the launcher prefers, and index.js, the programming
 * interface for the nodes of those who use it. koffi's native part stays in its package.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { launcherFlags } from './launcher-flags.ts';
import { withoutLibraryCode } from './snapshot-blob.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const blob = `lunagate-${process.arch}.blob`;

/** Tells engines apart that might translate differently: a hash of everything the bundle is made from. */
function buildId(): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).sort())
    if (name.endsWith('.ts')) hash.update(name).update(readFileSync(join(root, 'src', name)));
  return hash.digest('hex').slice(0, 16);
}
const define = { LUNAGATE_BUILD_ID: JSON.stringify(buildId()) };

const common: BuildOptions = {
  define,
  bundle: true,
  platform: 'node',
  target: 'node26',
  external: ['wasmoon'],
  legalComments: 'none',
  minifySyntax: true,
  logLevel: 'warning',
};

/** Made aside and renamed: a lunagate that starts at this moment sees the old file or the new one. */
async function replace(name: string, make: (path: string) => unknown): Promise<void> {
  const aside = join(dist, `${process.pid}.${name}`);
  try {
    await make(aside);
    renameSync(aside, join(dist, name));
  } finally {
    rmSync(aside, { force: true });
  }
}

/** As the launcher starts it: V8 takes compiled code only if it was made with the same flags. */
const engineFlags = ['--single-threaded', '--v8-pool-size=1', '--no-wasm-dynamic-tiering', '--no-wasm-tier-up', '--no-wasm-inlining'];

/**
 * What is run to see which functions of the engine are called, in this order, and recorded at the end of the process that has
 * called most: a shell whose code is in packs forks, waits, and one of its children becomes `ls`, whose code is in none.
 */
const recorded = [':', 'x=$(:); (x=$(:); exec ls -l /)'];

/**
 * The snapshot must not know where it was made: for import.meta.url it has what snapshot-entry.ts finds at start.
 * What a run compiles goes into it, as recorded by one.
 */
async function snapshot(path: string): Promise<void> {
  const aside = mkdtempSync(join(dist, 'snapshot.'));
  const bundle = join(aside, 'bundle.js');
  const code = join(aside, 'code');
  try {
    await build({
      ...common,
      entryPoints: [join(root, 'scripts/snapshot-entry.ts')],
      outfile: bundle,
      format: 'cjs',
      minifyWhitespace: true,
      charset: 'ascii',
      banner: { js: '(function (require) {' },
      footer: { js: '})' },
      external: [...(common.external ?? []), 'internal/*'],
      define: { ...define, 'import.meta.url': 'globalThis.lunagateUrl' },
    });
    const node = (args: string[]): Buffer =>
      execFileSync(process.execPath, ['--no-warnings', '--expose-internals', ...engineFlags, ...args], {
        cwd: dist,
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, LUNAGATE_CACHE: join(aside, 'packs') },
      });
    for (const command of recorded) {
      // Code depends on the heap V8 starts from; for a snapshot that is not Node's own.
      const recorder = [join(root, 'scripts/snapshot-recorder.cjs'), bundle, code, join(dist, 'lunagate.mjs')];
      node(['--no-node-snapshot', ...recorder, '/bin/sh', '-c', command]);
    }
    const builder = ['--build-snapshot', join(root, 'scripts/snapshot-builder.cjs'), bundle, code];
    node(['--snapshot-blob', path, ...builder]);
    const small = withoutLibraryCode(readFileSync(path));
    if (small !== undefined) writeFileSync(path, small);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

/** As the snapshot: which functions go into it is recorded, here from the very snapshot that Workers start beside. */
function threadCache(path: string): void {
  const packs = mkdtempSync(join(dist, 'packs.'));
  const record = join(root, 'scripts/thread-cache.cjs');
  try {
    for (const command of recorded)
      execFileSync(
        process.execPath,
        [...launcherFlags(), `--snapshot-blob=${join(dist, blob)}`, '-r', record, join(dist, 'lunagate-thread.cjs'), path, '/bin/sh', '-c', command],
        { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, LUNAGATE_CACHE: packs } },
      );
  } finally {
    rmSync(packs, { recursive: true, force: true });
  }
}

mkdirSync(dist, { recursive: true });
await replace('lua.wasm', (path) =>
  copyFileSync(join(dirname(createRequire(import.meta.url).resolve('wasmoon')), 'glue.wasm'), path),
);
await replace('lunagate-thread.cjs', (path) =>
  build({
    ...common,
    entryPoints: [join(root, 'src/cli/thread.ts')],
    outfile: path,
    format: 'cjs',
    minify: true,
    define: { ...define, 'import.meta.url': 'globalThis.lunagateUrl' },
  }),
);
// A run opens it, and none has been recorded yet to make it from.
if (!existsSync(join(dist, 'lunagate-thread.cache'))) writeFileSync(join(dist, 'lunagate-thread.cache'), '');
// After what a program needs at run time: runs are recorded for it.
await replace(blob, snapshot);
await replace('lunagate-thread.cache', threadCache);
await replace('index.js', (path) =>
  build({ ...common, entryPoints: [join(root, 'src/index.ts')], outfile: path, format: 'esm', target: 'node20' }),
);
// Last, for its time is what the launcher compares with the sources.
await replace('lunagate.mjs', (path) =>
  build({ ...common, entryPoints: [join(root, 'src/cli/main.ts')], outfile: path, format: 'esm' }),
);
