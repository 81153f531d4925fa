/**
 * Writes docs/syscalls.md from the declarations: `node scripts/syscalls-page.ts`. The test of the table fails when
 * the page and the declarations differ.
 */

import { writeFileSync } from 'node:fs';
import type { Syscall } from '../src/syscalls/declare.ts';
import { syscallByNumber, syscallNumbers } from '../src/syscalls/table.ts';

function row(nr: number, s: Syscall): string {
  const args = s.args.map((a) => a.name).join(', ');
  const { level, reason } = s.support;
  return `| ${nr} | \`${s.name}(${args})\` | ${level} | ${reason.replaceAll('|', '\\|')} |`;
}

/** The whole page. */
export function syscallsPage(): string {
  const all = syscallNumbers().map((nr) => [nr, syscallByNumber(nr) as Syscall] as const);
  const count = (level: string) => all.filter(([, s]) => s.support.level === level).length;
  return `# System calls

Generated from the declarations in \`src/syscalls\` by \`scripts/syscalls-page.ts\`; do not edit. Numbers are those of
x86-64, as of Linux 6.18.

- **full** (${count('full')}): as the host kernel does it.
- **partial** (${count('partial')}): works, with the limit named.
- **none** (${count('none')}): answers ENOSYS.

| number | call | support | limit or reason |
|---:|---|---|---|
${all.map(([nr, s]) => row(nr, s)).join('\n')}
`;
}

if (import.meta.main) {
  writeFileSync(new URL('../docs/syscalls.md', import.meta.url), syscallsPage());
}
