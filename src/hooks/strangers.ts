/** Files that look like scripts for a system call that does not exist. */

import type { SyscallNames } from './api.ts';
import { nearestName } from './near-name.ts';
import { type RuleFile, RuleFileError, type RulesDirectory } from './rules-directory.ts';

/** Names with a meaning of their own. */
const reserved = new Set(['entry', 'finish']);

/** One line for each file that defines do_syscall under a name no call has; modules for `require` do not. */
export function strangers(files: Iterable<RuleFile>, directory: RulesDirectory, syscalls: SyscallNames): string[] {
  const lines: string[] = [];
  for (const file of files) {
    const { name } = file;
    if (syscalls.number(name) !== undefined || reserved.has(name) || name.endsWith('_test')) continue;
    let source: string;
    try {
      source = directory.read(file).toString('latin1');
    } catch (error) {
      if (error instanceof RuleFileError) continue;
      throw error;
    }
    if (!/\bfunction\s+do_syscall\b|\bdo_syscall\s*=/.test(source)) continue;
    const near = nearestName(name, syscalls.names());
    const hint = near === undefined ? '' : `; did you mean ${near}.lua?`;
    lines.push(`${file.path}: there is no system call '${name}', so this script never runs${hint}`);
  }
  return lines;
}
