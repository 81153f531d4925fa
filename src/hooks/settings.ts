/**
 * What a rule author can set about rules: policies, budgets, log, layers, and per script whether and when it runs.
 * Owns the defaults and how several configurations combine; where the values come from is rules-toml.ts's business.
 */

import type { GuestMemory, SyscallFrame } from '../kernel/ports.ts';

/** What the guest gets when a script fails. */
export const policies = ['passthrough', 'deny', 'kill'] as const;
export type Policy = (typeof policies)[number];

/** In rising order of importance; `none` is above all. */
export const logLevels = ['debug', 'info', 'warning', 'error', 'none'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Whether a call is one the script is for. May not throw. */
export type Predicate = (memory: GuestMemory, frame: SyscallFrame) => boolean;

export interface Limits {
  /** Lua instructions one hook call may run. */
  readonly instructions: number;
  /** Milliseconds one hook call may take outside c_do_syscall. */
  readonly time: number;
}

export interface ScriptSettings extends Limits {
  readonly enabled: boolean;
  readonly onError: Policy;
  /** Undefined: every call. */
  readonly when: Predicate | undefined;
}

/** A further rules directory, as rules.toml names it. */
export interface LayerSettings {
  readonly path: string;
  /** Higher comes first; the directories of the command line have 0. */
  readonly priority: number;
}

/** One rules.toml: what it says, and nothing where it is silent. */
export interface Configuration {
  readonly onError?: Policy;
  readonly instructions?: number;
  readonly time?: number;
  /** Bytes. */
  readonly memory?: number;
  readonly strict?: boolean;
  readonly logLevel?: LogLevel;
  readonly logFile?: string;
  readonly layers: readonly LayerSettings[];
  /** By script name: a system call's, `entry` or `finish`. */
  readonly scripts: ReadonlyMap<string, Partial<ScriptSettings>>;
}

export const emptyConfiguration: Configuration = { layers: [], scripts: new Map() };

export const defaults = {
  onError: 'passthrough',
  instructions: 500_000_000,
  time: 10_000,
  memory: 256 << 20,
  logLevel: 'info',
} as const;

/** Several configurations as one: for each thing the first that says something counts. */
export class Settings {
  readonly #all: readonly Configuration[];

  constructor(all: readonly Configuration[]) {
    this.#all = all;
  }

  get memory(): number {
    return this.#first('memory') ?? defaults.memory;
  }
  get strict(): boolean {
    return this.#first('strict') ?? false;
  }
  get logLevel(): LogLevel {
    return this.#first('logLevel') ?? defaults.logLevel;
  }
  get logFile(): string | undefined {
    return this.#first('logFile');
  }

  script(name: string): ScriptSettings {
    const own = <K extends keyof ScriptSettings>(key: K): ScriptSettings[K] | undefined => {
      for (const { scripts } of this.#all) {
        const value = scripts.get(name)?.[key];
        if (value !== undefined) return value as ScriptSettings[K];
      }
      return undefined;
    };
    return {
      enabled: own('enabled') ?? true,
      onError: own('onError') ?? this.#first('onError') ?? defaults.onError,
      instructions: own('instructions') ?? this.#first('instructions') ?? defaults.instructions,
      time: own('time') ?? this.#first('time') ?? defaults.time,
      when: own('when'),
    };
  }

  #first<K extends keyof Configuration>(key: K): Configuration[K] | undefined {
    for (const configuration of this.#all) if (configuration[key] !== undefined) return configuration[key];
    return undefined;
  }
}
