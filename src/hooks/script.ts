/**
 * One script that owns a system call: which version of its file is loaded, which one failed.
 */

import type { LuaFailure } from './lua-vm.ts';
import type { RuleFile } from './rules-directory.ts';
import type { ScriptSettings } from './settings.ts';

/** What a script must define. */
export type ScriptMain = 'do_syscall' | 'entry' | 'finish';

/** A file that cannot be read, and why. */
export interface Unreadable {
  readonly message: string;
  /** There is no such file. */
  readonly missing: boolean;
}

/** What every thread must know of a script: plain data, published under the lock when it changes. */
export interface ScriptState {
  /** The file as the last scan saw it. */
  file: RuleFile;
  /** The file's text, read when the change was noticed: later the guest may have given up the right to. */
  text: Buffer | Unreadable;
  /** Registry reference of the loaded version's environment; 0: none is loaded. */
  environment: number;
  /** The file may differ from what is loaded: look before the next call. */
  stale: boolean;
  /** Text of the loaded version. */
  source: Buffer | undefined;
  /** The `text` that could not be loaded. */
  failed: Buffer | Unreadable | undefined;
  /** A failure kept back because the file was perhaps still being written, and since when. */
  withheld: { readonly failure: LuaFailure; readonly since: number } | undefined;
  /** The file's writer has finished with it. */
  settled: boolean;
  /** A module it uses has changed: load again even if the text is the same. */
  modulesChanged: boolean;
  /** Names it gave to `require`. */
  modules: Set<string>;
  /** Number of the thread that is loading it; 0: none is. */
  loading: number;
}

/** Of each script, in shared memory: see `Statistics`. */
const COUNTS = 4;
/** Scripts by system call number, entry and finish before them. */
const SLOTS = 1024;

/** A place for the statistics of all scripts there can be. */
export function statisticsMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(8 * COUNTS * SLOTS);
}

/** For --explain: of all threads together. Changed only under the lock. */
export class Statistics {
  readonly #counts: Float64Array;

  constructor(memory: SharedArrayBuffer, nr: number, main: ScriptMain) {
    const slot = main === 'do_syscall' ? nr + 2 : main === 'entry' ? 0 : 1;
    this.#counts = new Float64Array(memory, 8 * COUNTS * slot, COUNTS);
  }

  get calls(): number {
    return this.#counts[0] as number;
  }
  set calls(value: number) {
    this.#counts[0] = value;
  }
  get originals(): number {
    return this.#counts[1] as number;
  }
  set originals(value: number) {
    this.#counts[1] = value;
  }
  get errors(): number {
    return this.#counts[2] as number;
  }
  set errors(value: number) {
    this.#counts[2] = value;
  }
  get milliseconds(): number {
    return this.#counts[3] as number;
  }
  set milliseconds(value: number) {
    this.#counts[3] = value;
  }

  forget(): void {
    this.#counts.fill(0);
  }
}

export class Script {
  /** The system call it owns; −1 for entry and finish. */
  readonly nr: number;
  readonly main: ScriptMain;
  /** What rules.toml says of it. */
  settings: ScriptSettings;
  readonly statistics: Statistics;
  state: ScriptState;

  constructor(nr: number, main: ScriptMain, settings: ScriptSettings, statistics: Statistics, state: ScriptState) {
    this.nr = nr;
    this.main = main;
    this.settings = settings;
    this.statistics = statistics;
    this.state = state;
  }

  get path(): string {
    return this.state.file.path;
  }
}

/** Of a script that is not loaded yet. */
export function unloaded(file: RuleFile, text: Buffer | Unreadable, settled: boolean): ScriptState {
  return {
    file, text, settled,
    environment: 0, stale: true, source: undefined, failed: undefined, withheld: undefined,
    modulesChanged: false, modules: new Set(), loading: 0,
  };
}
