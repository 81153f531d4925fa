/**
 * Reads rules.toml: every key and value is checked, and what is wrong is told with file, line and key before anything
 * runs. See docs/writing-rules.md for what the keys mean.
 */

import { parse, TomlError } from 'smol-toml';
import type { SyscallNames } from './api.ts';
import { nearestName } from './near-name.ts';
import { compileWhen } from './predicate.ts';
import { RuleFileError } from './rules-directory.ts';
import { type Configuration, type LayerSettings, logLevels, policies, type ScriptSettings } from './settings.ts';

/** Scripts that belong to no system call. */
const others = ['entry', 'finish'];
const globalKeys = ['on_error', 'instruction_limit', 'time_limit', 'memory_limit', 'strict', 'log', 'layer', 'script'];
const logKeys = ['level', 'file'];
const layerKeys = ['path', 'priority', 'enabled'];
const scriptKeys = ['enabled', 'on_error', 'instruction_limit', 'time_limit', 'when'];

type Table = Readonly<Record<string, unknown>>;

/** A value that is not what its key needs: the path of keys, and what is wrong. */
class BadValue extends Error {
  readonly keys: readonly string[];
  constructor(keys: readonly string[], message: string) {
    super(message);
    this.keys = keys;
  }
}

/**
 * @param path as messages show it; `constants` give values to names in predicates.
 * @throws RuleFileError `path:line: key: what is wrong`.
 */
export function readRulesToml(
  text: string,
  path: string,
  syscalls: SyscallNames,
  constants: () => Readonly<Record<string, number | bigint>>,
): Configuration {
  let table: Table;
  try {
    table = parse(text, { integersAsBigInt: 'asNeeded' });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [first = ''] = error.message.split('\n');
    throw new RuleFileError(`${path}:${error.line}: ${first.replace(/^Invalid TOML document: /, '')}`);
  }
  try {
    return configuration(table, syscalls, constants);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw new RuleFileError(`${path}:${lineOf(text, error.keys)}: ${error.keys.join('.')}: ${error.message}`);
  }
}

function configuration(table: Table, syscalls: SyscallNames, constants: () => Readonly<Record<string, number | bigint>>): Configuration {
  known(table, [], globalKeys);
  const log = subtable(table, [], 'log');
  known(log, ['log'], logKeys);
  const scripts = new Map<string, Partial<ScriptSettings>>();
  for (const [name, value] of Object.entries(subtable(table, [], 'script'))) {
    const keys = ['script', name];
    if (syscalls.number(name) === undefined && !others.includes(name)) {
      throw new BadValue(keys, `there is no system call of this name${hint(name, [...syscalls.names(), ...others])}`);
    }
    const script = object(value, keys);
    known(script, keys, scriptKeys);
    const when = subtable(script, keys, 'when');
    scripts.set(name, defined({
      enabled: boolean(script, keys, 'enabled'),
      onError: oneOf(script, keys, 'on_error', policies),
      ...limits(script, keys),
      when: Object.keys(when).length === 0 ? undefined
        : compileWhen(when, syscalls.arguments(name) ?? [], constants, (key, message) => {
          throw new BadValue([...keys, 'when', key], message);
        }),
    }));
  }
  const file = string(log, ['log'], 'file');
  if (file === '') throw new BadValue(['log', 'file'], 'the name of a file is needed, not an empty one');
  return {
    ...defined({
      onError: oneOf(table, [], 'on_error', policies),
      ...limits(table, []),
      memory: size(table, [], 'memory_limit'),
      strict: boolean(table, [], 'strict'),
      logLevel: oneOf(log, ['log'], 'level', logLevels),
      logFile: file,
    }),
    layers: layers(table),
    scripts,
  };
}

function layers(table: Table): LayerSettings[] {
  const list = table['layer'] ?? [];
  if (!Array.isArray(list)) throw new BadValue(['layer'], 'layers are written [[layer]], with double brackets');
  return list.flatMap((value: unknown, k) => {
    const keys = ['layer', String(k)];
    const layer = object(value, keys);
    known(layer, keys, layerKeys);
    const path = string(layer, keys, 'path');
    if (path === undefined || path === '') throw new BadValue([...keys, 'path'], 'a layer needs the path of its directory');
    const priority = integer(layer, keys, 'priority', -1_000_000, 1_000_000) ?? 0;
    return boolean(layer, keys, 'enabled') === false ? [] : [{ path, priority }];
  });
}

function limits(table: Table, keys: readonly string[]): { instructions: number | undefined; time: number | undefined } {
  const seconds = table['time_limit'];
  if (seconds !== undefined && !(typeof seconds === 'number' && seconds > 0 && seconds <= 86400)) {
    throw new BadValue([...keys, 'time_limit'], `${show(seconds)} is not a time in seconds, above 0 and at most 86400`);
  }
  return {
    instructions: integer(table, keys, 'instruction_limit', 1, Number.MAX_SAFE_INTEGER),
    time: seconds === undefined ? undefined : (seconds as number) * 1000,
  };
}

function known(table: Table, keys: readonly string[], allowed: readonly string[]): void {
  for (const key of Object.keys(table)) {
    if (!allowed.includes(key)) {
      throw new BadValue([...keys, key], `there is no such key${hint(key, allowed) || `; there are: ${allowed.join(', ')}`}`);
    }
  }
}

function object(value: unknown, keys: readonly string[]): Table {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BadValue(keys, `${show(value)} is not a table`);
  }
  return value as Table;
}

function subtable(table: Table, keys: readonly string[], key: string): Table {
  return table[key] === undefined ? {} : object(table[key], [...keys, key]);
}

function boolean(table: Table, keys: readonly string[], key: string): boolean | undefined {
  const value = table[key];
  if (value !== undefined && typeof value !== 'boolean') throw new BadValue([...keys, key], `${show(value)} is neither true nor false`);
  return value as boolean | undefined;
}

function string(table: Table, keys: readonly string[], key: string): string | undefined {
  const value = table[key];
  if (value !== undefined && typeof value !== 'string') throw new BadValue([...keys, key], `${show(value)} is not a string`);
  return value as string | undefined;
}

function integer(table: Table, keys: readonly string[], key: string, least: number, most: number): number | undefined {
  const value = table[key];
  if (value === undefined) return undefined;
  if (!(typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most)) {
    throw new BadValue([...keys, key], `${show(value)} is not a whole number from ${least} to ${most}`);
  }
  return value;
}

const units: Readonly<Record<string, number>> = { '': 1, K: 1 << 10, M: 1 << 20, G: 1 << 30 };
/** Less than this Lua itself does not start in. */
const LEAST_MEMORY = 1 << 20;
const MOST_MEMORY = 2 ** 31 - 1;

function size(table: Table, keys: readonly string[], key: string): number | undefined {
  const value = table[key];
  if (value === undefined) return undefined;
  const parts = /^(\d+)([KMG]?)$/.exec(String(value));
  const bytes = parts === null ? 0 : Number(parts[1]) * (units[parts[2] as string] as number);
  if (bytes < LEAST_MEMORY || bytes > MOST_MEMORY) {
    throw new BadValue([...keys, key], `${show(value)} is not a size from "1M" to "2047M" (bytes, or a number with K, M or G)`);
  }
  return bytes;
}

function oneOf<T extends string>(table: Table, keys: readonly string[], key: string, values: readonly T[]): T | undefined {
  const value = table[key];
  if (value === undefined) return undefined;
  if (!values.includes(value as T)) {
    const near = typeof value === 'string' ? hint(value, values) : '';
    throw new BadValue([...keys, key], `${show(value)} is not one of ${values.join(', ')}${near}`);
  }
  return value as T;
}

function hint(name: string, names: readonly string[]): string {
  const near = nearestName(name, names);
  return near === undefined ? '' : `; did you mean ${near}?`;
}

function show(value: unknown): string {
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value) ?? String(value);
}

/** Without the keys that have no value. */
function defined<T extends object>(table: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(table).filter(([, value]) => value !== undefined)) as never;
}

/**
 * The line where a path of keys stands: the parser does not tell. Looks for the table's header, then for the key
 * below it; a key inside an inline table is on the line of the nearest key around it.
 */
function lineOf(text: string, keys: readonly string[]): number {
  const lines = text.split('\n');
  let best = 1;
  let depth = -1;
  let table: string[] = [];
  const counts = new Map<string, number>();
  lines.forEach((line, k) => {
    const header = /^\s*(\[\[?)\s*([^\]]+?)\s*\]/.exec(line);
    let path: string[];
    if (header !== null) {
      table = split(header[2] as string);
      if (header[1] === '[[') {
        const name = table.join('.');
        const n = counts.get(name) ?? 0;
        counts.set(name, n + 1);
        table.push(String(n));
      }
      path = table;
    } else {
      const assignment = /^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=/.exec(line);
      if (assignment === null) return;
      path = [...table, ...split(assignment[1] as string)];
    }
    if (path.length <= keys.length && path.length > depth && path.every((part, i) => part === keys[i])) {
      depth = path.length;
      best = k + 1;
    }
  });
  return best;
}

function split(dotted: string): string[] {
  return (dotted.match(/[\w-]+|"[^"]*"|'[^']*'/g) ?? []).map((part) => part.replace(/^["']|["']$/g, ''));
}
