/** What the hook engine needs from those who put it together. */

import type { GuestMemory, Host, SyscallFrame } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import type { ApiContext, ConstantTables, StackFrame, SyscallNames } from './api.ts';
import type { MapGuest, UnmapGuest } from './guest-scratch.ts';
import type { LuaFunction } from './lua-exports.ts';

/** What counts for all threads of a process. Plain data. */
export interface CommonOptions {
  /** What os.getenv sees. Default: the process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Host descriptors behind io.stdin, io.stdout and io.stderr; the last takes logs and reports. Default 0, 1, 2. */
  readonly stdio?: readonly [number, number, number];
  /** What counts where no rules.toml says anything: bytes of the Lua state, and Lua instructions of a hook call. */
  readonly memoryLimit?: number;
  readonly instructionLimit?: number;
  /** Scripts cannot reach the host, whatever rules.toml says. */
  readonly strict?: boolean;
}

/** What each guest thread brings along. */
export interface ThreadOptions {
  readonly host: Host;
  readonly syscalls: SyscallNames;
  /** Fresh private guest memory, and giving it back. */
  readonly mapGuest: MapGuest;
  readonly unmapGuest: UnmapGuest;
  /** Tables of constants by global name (`linux`, `errno`); each is asked for when a script first names it. */
  readonly constants?: ConstantTables;
  /** This thread is to end, whatever it was doing: another one's execve. */
  readonly leaving?: () => boolean;
  /** A call as error messages show it, decoded. */
  readonly describe?: (memory: GuestMemory, frame: SyscallFrame) => string;
  readonly backtrace?: (task: Task, max: number) => readonly StackFrame[];
  /** Further functions: those whose names begin with `t_` become globals. The same for all threads. */
  readonly functions?: (context: () => ApiContext) => Record<string, LuaFunction>;
}

export interface HookEngineOptions extends CommonOptions, ThreadOptions {
  /** Rules directories as given, the one that takes precedence first. */
  readonly directories: readonly string[];
  /** No banner. */
  readonly quiet?: boolean;
  /** Directory that relative `directories` mean. Default: the process's. */
  readonly cwd?: string;
}
