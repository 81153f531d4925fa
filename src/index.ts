/**
 * lunagate from a program: run a Linux program, own its system calls.
 *
 * ```ts
 * import { errno, run } from 'lunagate';
 *
 * const guest = run({
 *   program: 'cat',
 *   args: ['/etc/shadow'],
 *   hooks: {
 *     async openat(call) {
 *       if ((await call.text('path')) === '/etc/shadow') return -errno.EACCES;
 *     },
 *   },
 * });
 * console.log(await guest.output());
 * ```
 *
 * @module
 */

export { errno } from './abi/errno.ts';
export { GuestError } from './api/call.ts';
export { linux } from './api/constants.ts';
export { type Exit, Guest, type HookFailure, type Output, type RunOptions, run } from './api/run.ts';
export type {
  Answer, ArgumentClass, Arguments, ArgumentValues, Call, CallStackEntry, GuestAddress, Hook, HookResult, Hooks, Memory, Mode, OnError,
  Program, Registers, SyscallName, TextArgument,
} from './api/types.ts';
