/**
 * Which system calls of the guest may put a `.lua` file into a directory, told from their arguments alone. From
 * the first such call on the engine asks for changes exactly, so that a guest that writes its own rules sees them
 * from its next call.
 */

import type { SyscallFrame } from '../kernel/ports.ts';

const O_ACCMODE = 3;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;

/** Does the path at this guest address end in `.lua`? */
export type IsLuaPath = (addr: number) => boolean;

const opensForWriting = (flags: number): boolean => (flags & (O_ACCMODE | O_CREAT | O_TRUNC)) !== 0;
const path =
  (k: number) =>
  (frame: SyscallFrame, isLua: IsLuaPath): boolean =>
    isLua(frame.unsigned(k));

export const writesRule: Readonly<Record<string, (frame: SyscallFrame, isLua: IsLuaPath) => boolean>> = {
  open: (f, isLua) => opensForWriting(f.i32[2] as number) && isLua(f.unsigned(0)),
  openat: (f, isLua) => opensForWriting(f.i32[4] as number) && isLua(f.unsigned(1)),
  // struct open_how lies in memory: any .lua path counts.
  openat2: path(1),
  creat: path(0),
  truncate: path(0),
  rename: path(1),
  renameat: path(3),
  renameat2: path(3),
  link: path(1),
  linkat: path(3),
  symlink: path(1),
  symlinkat: path(2),
};
