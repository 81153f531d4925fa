/**
 * Builds dist/lunagate.mjs: everything from src/cli/main.ts in one file, so that start-up reads one file. koffi's
 * native part and wasmoon's WebAssembly stay in their packages.
 */

import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const bundle = join(dist, 'lunagate.mjs');
// Built aside and renamed: a lunagate that starts at this moment sees the old bundle or the new one.
const aside = join(dist, `lunagate.${process.pid}.mjs`);

mkdirSync(dist, { recursive: true });
try {
  await build({
    entryPoints: [join(root, 'src/cli/main.ts')],
    outfile: aside,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    external: ['wasmoon'],
    legalComments: 'none',
    minifySyntax: true,
    minifyWhitespace: true,
    keepNames: false,
    logLevel: 'warning',
  });
  renameSync(aside, bundle);
} finally {
  rmSync(aside, { force: true });
}
