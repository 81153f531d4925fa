/**
 * What the process was given by whoever started it, before Node changed it. Node sets every signal disposition anew,
 * raises the soft limit on open files, opens /dev/null for missing standard streams and marks all descriptors
 * close-on-exec; the launcher notes these things in one environment variable before it becomes Node, and raises the
 * stack limit for the engine.
 */

import type { Host } from '../kernel/ports.ts';

/**
 * `ign=HEX;fds=0 1 2;nofile=1024;stack=8192;as=unlimited:unlimited`: any part may be missing. Limits as `ulimit` prints
 * them, soft or soft:hard. Set by bin/lunagate.
 */
export const INHERITED_VARIABLE = 'LUNAGATE_INHERITED';

export interface Inherited {
  /** Open descriptors, by number (same on host and guest). */
  readonly descriptors: ReadonlyMap<number, number>;
  /** Signals ignored on entry: bit n−1 for signal n. */
  readonly ignoredSignals: bigint;
  /** Signals blocked on entry. */
  readonly blockedSignals: bigint;
  /** [soft, hard] by RLIMIT_ number, in the kernel's units; 2⁶⁴−1 is no limit. */
  readonly rlimits: ReadonlyMap<number, readonly [bigint, bigint]>;
}

const RLIMIT_STACK = 3;
const RLIMIT_NOFILE = 7;
const RLIMIT_AS = 9;
const RLIMIT_COUNT = 16;
const UNLIMITED = 0xffff_ffff_ffff_ffffn;
const F_GETFD = 1;

function parse(text: string): Map<string, string> {
  const parts = new Map<string, string>();
  for (const part of text.split(';')) {
    const at = part.indexOf('=');
    if (at > 0) parts.set(part.slice(0, at), part.slice(at + 1));
  }
  return parts;
}

/** A limit as `ulimit` prints it, in units of `unit` bytes. */
function limit(text: string | undefined, unit: bigint): bigint | undefined {
  if (text === 'unlimited') return UNLIMITED;
  return text !== undefined && /^\d+$/.test(text) ? BigInt(text) * unit : undefined;
}

/** Reads the launcher's note and removes it from `env`, so that the guest does not see it. */
export function readInherited(host: Host, env: Record<string, string | undefined>): Inherited {
  const note = parse(env[INHERITED_VARIABLE] ?? '');
  delete env[INHERITED_VARIABLE];

  const listed = note.get('fds')?.split(' ').filter((n) => /^\d+$/.test(n)).map(Number) ?? [0, 1, 2];
  const descriptors = new Map<number, number>();
  for (const fd of listed) {
    if (host.syscall(host.nr['fcntl']!, fd, F_GETFD) >= 0) descriptors.set(fd, fd);
  }

  const ign = note.get('ign');
  const rlimits = new Map<number, readonly [bigint, bigint]>();
  const mark = host.scratch.mark();
  const at = host.scratch.alloc(16);
  const view = host.scratch.view;
  for (let resource = 0; resource < RLIMIT_COUNT; resource++) {
    if (host.syscall(host.nr['prlimit64']!, 0, resource, 0, host.scratch.address + at) < 0) continue;
    rlimits.set(resource, [view.getBigUint64(at, true), view.getBigUint64(at + 8, true)]);
  }
  for (const [resource, name, unit] of [
    [RLIMIT_NOFILE, 'nofile', 1n],
    [RLIMIT_STACK, 'stack', 1024n],
    [RLIMIT_AS, 'as', 1024n],
  ] as const) {
    const [soft, hard] = (note.get(name) ?? '').split(':');
    const now = rlimits.get(resource);
    const was = limit(soft, unit);
    if (was !== undefined && now !== undefined) rlimits.set(resource, [was, limit(hard, unit) ?? now[1]]);
  }
  host.syscall(host.nr['rt_sigprocmask']!, 0, 0, host.scratch.address + at, 8);
  const blockedSignals = view.getBigUint64(at, true);
  host.scratch.release(mark);

  return {
    descriptors,
    ignoredSignals: ign !== undefined && /^[0-9a-f]+$/i.test(ign) ? BigInt(`0x${ign}`) : 0n,
    blockedSignals,
    rlimits,
  };
}
