/**
 * Owns what one thread knows of the rules: which scripts there are, what rules.toml says of them, what has been
 * reported. Loading and running scripts is done elsewhere.
 */

import type { SharedWords } from './hook-lock.ts';
import type { CommonOptions, ThreadOptions } from './hook-options.ts';
import { Reporter } from './report.ts';
import { type Changes, type ConfigurationFile, type DirectoryState, RuleFileError, RulesDirectory } from './rules-directory.ts';
import { readRulesToml } from './rules-toml.ts';
import type { Script, ScriptState } from './script.ts';
import { ScriptSet } from './script-set.ts';
import { Settings } from './settings.ts';
import { strangers } from './strangers.ts';

type RulesOptions = CommonOptions & Pick<ThreadOptions, 'host' | 'syscalls' | 'constants'>;

/** Plain data by which another thread knows the same. */
export interface RulesState {
  readonly directory: DirectoryState;
  readonly configurations: readonly ConfigurationFile[];
  readonly logFd: number;
  readonly exact: boolean;
  readonly scripts: ReadonlyMap<string, ScriptState>;
  readonly told: Reporter['told'];
}

export class Rules {
  readonly directory: RulesDirectory;
  readonly reporter: Reporter;
  readonly set: ScriptSet;
  settings = new Settings([]);
  /** Every call asks the kernel for changes: the guest itself writes scripts. */
  exact = false;
  /** Something here is not as it was published. */
  changed = false;
  readonly #options: RulesOptions;
  #configurations: readonly ConfigurationFile[] = [];
  #logFd = -1;

  /** `open` or `copy` makes it usable. */
  constructor(options: RulesOptions, words: SharedWords, statistics: SharedArrayBuffer, counts: SharedArrayBuffer) {
    this.#options = options;
    this.directory = new RulesDirectory(options.host, words);
    this.reporter = new Reporter(options.host, options.stdio?.[2] ?? 2, counts);
    this.set = new ScriptSet(this.directory, options.syscalls, statistics);
    this.#configure([]);
  }

  /**
   * At the start everything in rules.toml counts, and what is wrong there ends it.
   * @throws RuleFileError when a directory or configuration cannot be used.
   */
  open(directories: readonly string[], cwd: string, quiet: boolean): void {
    const { directory, reporter } = this;
    directory.open(directories, cwd);
    const files = directory.configurations();
    this.#configure(files);
    const layers = files.flatMap((file) => {
      const { layers: list } = this.#parse(file);
      return list.map((layer) => ({ ...layer, index: file.index, from: file.path }));
    });
    directory.addLayers(layers);
    for (const file of files) {
      const { logFile } = this.#parse(file);
      if (logFile === undefined || this.#logFd >= 0) continue;
      this.#logFd = directory.openLog(file.index, logFile, file.path);
    }
    reporter.configure(this.settings.logLevel, this.#logFd);
    if (!quiet) {
      for (const label of directories) reporter.line(`Rules folder path: ${label}`);
      reporter.line('Lua environment initialized. Scripts will be loaded on demand.');
    }
    if (!directory.watching) {
      reporter.warn('inotify is not to be had (see fs.inotify.max_user_instances): edited scripts will not be noticed');
    }
    const scripts = directory.scan();
    this.set.adopt(scripts, undefined, this.settings);
    for (const line of strangers(scripts.values(), directory, this.#options.syscalls)) reporter.warn(line);
  }

  get state(): RulesState {
    return {
      directory: this.directory.state,
      configurations: this.#configurations,
      logFd: this.#logFd,
      exact: this.exact,
      scripts: this.set.states(),
      told: this.reporter.told,
    };
  }

  /** Know what another thread knows. */
  copy(state: RulesState): void {
    this.directory.adopt(state.directory);
    const texts = (files: readonly ConfigurationFile[]): string => JSON.stringify(files);
    if (texts(state.configurations) !== texts(this.#configurations)) this.#configure(state.configurations);
    this.#logFd = state.logFd;
    this.reporter.configure(this.settings.logLevel, this.#logFd);
    this.reporter.copy(state.told);
    this.exact = state.exact;
    this.set.copy(state.scripts, this.settings);
  }

  /** Take account of changed files. What happened, and the scripts that are gone; undefined: nothing that matters. */
  refresh(): { changes: Changes; gone: Script[] } | undefined {
    const changes = this.directory.drain();
    if (changes === undefined) return undefined;
    if (changes.configuration) this.#configureAgain();
    return { changes, gone: this.rescan(changes) };
  }

  /** Make the set of scripts what the directories hold; returns those that are gone. */
  rescan(changes: Changes | undefined): Script[] {
    this.changed = true;
    return this.set.adopt(this.directory.scan(), changes, this.settings);
  }

  #configure(files: readonly ConfigurationFile[]): void {
    const { memoryLimit, instructionLimit, strict } = this.#options;
    const given = {
      ...(memoryLimit === undefined ? {} : { memory: memoryLimit }),
      ...(instructionLimit === undefined ? {} : { instructions: instructionLimit }),
    };
    const first = { ...(strict === true ? { strict } : {}), layers: [], scripts: new Map() };
    this.settings = new Settings([first, ...files.map((f) => this.#parse(f)), { ...given, layers: [], scripts: new Map() }]);
    this.#configurations = files;
  }

  #parse({ text, path }: ConfigurationFile) {
    return readRulesToml(text, path, this.#options.syscalls, this.#options.constants?.['linux'] ?? (() => ({})));
  }

  /** A rules.toml was edited: the new one counts if nothing is wrong with it. */
  #configureAgain(): void {
    try {
      this.#configure(this.directory.configurations());
      this.reporter.configure(this.settings.logLevel, this.#logFd);
    } catch (error) {
      if (!(error instanceof RuleFileError)) throw error;
      this.reporter.failure('rules.toml', { message: error.message, traceback: '' }, 'what was read before stays in force');
    }
  }
}
