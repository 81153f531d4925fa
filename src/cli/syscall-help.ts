/** `--help syscalls`: every system call of the guest ABI and how far it is supported, from the declarations. */

import type { Syscall } from '../syscalls/declare.ts';

export function syscallHelp(syscalls: readonly Syscall[], isa: 'x86_64'): string {
  const rows = syscalls
    .flatMap((s) => {
      const nr = s.nr[isa];
      return nr === undefined ? [] : [{ nr, name: s.name, level: s.support.level, reason: s.support.reason }];
    })
    .sort((a, b) => a.nr - b.nr);
  const width = Math.max(4, ...rows.map((r) => r.name.length)) + 2;
  const count = (level: string): number => rows.filter((r) => r.level === level).length;
  return [
    `System calls of ${isa}: ${count('full')} supported, ${count('partial')} partly, ${count('none')} answered with ENOSYS.`,
    '',
    ...rows.map(
      (r) => `${String(r.nr).padStart(4)}  ${r.name.padEnd(width)}${r.level}${r.reason === '' ? '' : `: ${r.reason}`}`,
    ),
    '',
  ].join('\n');
}
