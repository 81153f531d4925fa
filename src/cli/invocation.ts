/**
 * How lunagate was called, as exact bytes. Node decodes arguments and environment as UTF-8 and loses what is not;
 * a guest must get every byte, so they are read from /proc/self, and what the launcher added is taken out again.
 */

import { readFileSync } from 'node:fs';

/**
 * Text that carries bytes: one character (U+0000 … U+00FF) for each. All of the command line is handled in this form,
 * so that it can be searched and cut like text and loses nothing.
 */
export type ByteString = string;

export interface Invocation {
  /** Arguments after the program's own name. */
  readonly args: readonly ByteString[];
  /** `NAME=VALUE` strings (or what else somebody put there), in the order received. */
  readonly env: readonly ByteString[];
}

export function toBytes(text: ByteString): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

/** For messages, and for names given to Node: the bytes read as UTF-8. */
export function toText(bytes: ByteString): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

export function fromText(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Variables the launcher passes to the engine; the guest never sees them. */
const INTERNAL = 'LUNAGATE_INTERNAL_';
const INHERITED = 'LUNAGATE_INHERITED';
/**
 * `LUNAGATE_INTERNAL_SAVED_X=value` gives back a variable X that the launcher had to hide from Node itself
 * (NODE_OPTIONS and the like): the guest sees X.
 */
const SAVED = `${INTERNAL}SAVED_`;
/**
 * The environment as the launcher itself got it, /proc/PID/environ in base64: a shell hands on its own version (other
 * order, no names it cannot spell, exported functions under other names).
 */
const EXACT = `${INTERNAL}ENVIRON=`;

/** What node itself adds for the channel that src/api serves hooks over. */
const CHANNEL = ['NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE'];

/** The launcher sets them for the engine, having saved what was there. */
const TUNING = ['GLIBC_TUNABLES', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_'];

export function cleanEnvironment(raw: readonly ByteString[]): ByteString[] {
  const exact = raw.find((entry) => entry.startsWith(EXACT));
  if (exact !== undefined)
    return cleanEnvironment(splitList(Buffer.from(exact.slice(EXACT.length), 'base64').toString('latin1')));
  const restored: ByteString[] = [];
  const kept: ByteString[] = [];
  const served = raw.some((entry) => entry.startsWith(`${INTERNAL}API=`));
  const launched = raw.some((entry) => entry.startsWith(`${INHERITED}=`));
  for (const entry of raw) {
    if (served && CHANNEL.includes(nameOf(entry))) continue;
    if (launched && TUNING.includes(nameOf(entry))) continue;
    if (entry.startsWith(SAVED)) restored.push(entry.slice(SAVED.length));
    else if (!entry.startsWith(INTERNAL) && !entry.startsWith(`${INHERITED}=`)) kept.push(entry);
  }
  const names = new Set(restored.map(nameOf));
  return [...kept.filter((entry) => !names.has(nameOf(entry))), ...restored];
}

export function nameOf(entry: ByteString): ByteString {
  const equals = entry.indexOf('=');
  return equals < 0 ? entry : entry.slice(0, equals);
}

/** This process's own invocation. */
export function readInvocation(): Invocation {
  return {
    args: ownArguments(readList('/proc/self/cmdline'), process.argv.slice(2)),
    env: cleanEnvironment(
      readList('/proc/self/environ') ?? Object.entries(process.env).map(([k, v]) => fromText(`${k}=${v}`)),
    ),
  };
}

/** Node's options and the script come first; the arguments are as many as Node counted, at the end. */
function ownArguments(list: readonly ByteString[] | undefined, decoded: readonly string[]): ByteString[] {
  if (list === undefined || list.length < decoded.length) return decoded.map(fromText);
  return list.slice(list.length - decoded.length);
}

function readList(path: string): ByteString[] | undefined {
  let content: string;
  try {
    content = readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
  return splitList(content);
}

/** Strings that each end with a NUL. */
function splitList(content: string): ByteString[] {
  if (content === '') return [];
  return (content.endsWith('\0') ? content.slice(0, -1) : content).split('\0');
}
