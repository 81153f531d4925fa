/**
 * System calls the kernel keeps for code it puts into programs itself (uprobes). No program makes them.
 */

import { none, syscall } from './declare.ts';

export const probeSyscalls = [
  syscall({
    name: 'uretprobe', nr: { x86_64: 335 }, args: {}, support: none('for the kernel\'s own uprobe trampolines only'),
  }),
  syscall({
    name: 'uprobe', nr: { x86_64: 336 }, args: {}, support: none('for the kernel\'s own uprobe trampolines only'),
  }),
];
