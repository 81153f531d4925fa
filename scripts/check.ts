/**
 * The static checks: types, lint and format, who may import whom. Prints what is wrong and exits 1, or one line each.
 */

import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = (name: string): string => join(root, 'node_modules', ...name.split('/'));

function run(title: string, script: string, ...args: string[]): string | undefined {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [bin(script), ...args], {
    cwd: root, encoding: 'utf8', maxBuffer: 64 << 20,
  });
  if (status === 0) {
    console.log(`${title}: ok`);
    return stdout;
  }
  console.log(`${title}: failed\n${stdout}${stderr}${error?.message ?? ''}`);
  process.exitCode = 1;
  return undefined;
}

run('types', 'typescript/bin/tsc', '--noEmit', '-p', '.');
run('lint', '@biomejs/biome/bin/biome', 'lint', '--max-diagnostics=50', '--error-on-warnings', '.');
run('unused', 'knip/bin/knip.js', '--include', 'files,dependencies,unresolved', '--no-config-hints');
const report = run(
  'imports', 'dependency-cruiser/bin/dependency-cruiser.mjs', '--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'src',
);
if (report !== undefined) {
  const { summary } = JSON.parse(report) as { summary: { totalCruised: number; totalDependenciesCruised: number; violations: unknown[] } };
  // Under a TypeScript it cannot read, dependency-cruiser finds nothing and is content.
  if (summary.totalCruised < 50 || summary.totalDependenciesCruised < 100) {
    console.log(`imports: failed: only ${summary.totalCruised} modules were read; dependency-cruiser does not understand the sources`);
    process.exitCode = 1;
  } else {
    console.log(`imports: ${summary.totalCruised} modules, ${summary.totalDependenciesCruised} imports, none against the rules`);
  }
}
