/**
 * Builds dist/: the bundle lunagate.mjs (everything from src/cli/main.ts in one file), lua.wasm beside it, and a
 * start-up snapshot of the same program for this architecture, which the launcher prefers. koffi's native part stays
 * in its package.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');

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

/** The snapshot must not know where it was made: for import.meta.url it has what snapshot-entry.ts finds at start. */
async function snapshot(path: string): Promise<void> {
  const script = join(dist, `${process.pid}.snapshot.cjs`);
  try {
    await build({
      ...common,
      entryPoints: [join(root, 'scripts/snapshot-entry.ts')],
      outfile: script,
      format: 'cjs',
      external: [...(common.external ?? []), 'internal/*'],
      define: { ...define, 'import.meta.url': 'globalThis.lunagateUrl' },
    });
    execFileSync(
      process.execPath,
      ['--single-threaded', '--no-warnings', '--expose-internals', '--snapshot-blob', path, '--build-snapshot', script],
      {
        cwd: dist,
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    );
  } finally {
    rmSync(script, { force: true });
  }
}

mkdirSync(dist, { recursive: true });
await replace('lua.wasm', (path) =>
  copyFileSync(join(dirname(createRequire(import.meta.url).resolve('wasmoon')), 'glue.wasm'), path),
);
const blob = `lunagate-${process.arch}.blob`;
await replace(blob, snapshot);
await replace('lunagate-thread.mjs', (path) =>
  build({ ...common, entryPoints: [join(root, 'src/cli/thread.ts')], outfile: path, format: 'esm' }),
);
// Last, for its time is what the launcher compares with the sources.
await replace('lunagate.mjs', (path) =>
  build({ ...common, entryPoints: [join(root, 'src/cli/main.ts')], outfile: path, format: 'esm' }),
);
