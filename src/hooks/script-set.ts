/**
 * Which scripts there are: follows the files of the rules directories, and knows what each file's text was when its
 * change was noticed. Loading and running is the engine's business.
 *
 * Invariant: a script that rules.toml disables is not here.
 */

import type { SyscallNames } from './api.ts';
import { type Changes, type RuleFile, RuleFileError, type RulesDirectory } from './rules-directory.ts';
import { Script, type ScriptMain, type ScriptState, Statistics, type Unreadable, unloaded } from './script.ts';
import type { Settings } from './settings.ts';

/** File names with a meaning of their own. */
const around: Readonly<Record<string, ScriptMain>> = { entry: 'entry', finish: 'finish' };

export class ScriptSet {
  readonly #directory: RulesDirectory;
  readonly #syscalls: SyscallNames;
  readonly #statistics: SharedArrayBuffer;
  #byName = new Map<string, Script>();
  /** By system call number: the script that owns it. */
  readonly byNumber: (Script | undefined)[] = [];
  entry: Script | undefined;
  finish: Script | undefined;

  /** `statistics`: see `statisticsMemory`. */
  constructor(directory: RulesDirectory, syscalls: SyscallNames, statistics: SharedArrayBuffer) {
    this.#directory = directory;
    this.#syscalls = syscalls;
    this.#statistics = statistics;
  }

  all(): Iterable<Script> {
    return this.#byName.values();
  }

  has(script: Script): boolean {
    return this.#byName.get(script.state.file.name) === script;
  }

  /**
   * Make the set what the directories hold. `changes` undefined: all files are complete. Returns the scripts that are
   * gone.
   */
  adopt(files: ReadonlyMap<string, RuleFile>, changes: Changes | undefined, settings: Settings): Script[] {
    const gone = new Map(this.#byName);
    for (const file of files.values()) {
      const { name } = file;
      const own = settings.script(name);
      if (this.#place(name) === undefined || !own.enabled) continue;
      gone.delete(name);
      const script = this.#byName.get(name);
      const settled = changes === undefined || changes.settled.has(name);
      if (script === undefined) {
        this.#add(name, unloaded(file, this.#read(file), settled), settings).statistics.forget();
        continue;
      }
      const { state } = script;
      if (changes?.names?.has(name) !== false || state.file.path !== file.path) {
        // Not told by time stamps: two edits may come within one tick of the kernel's clock.
        const text = this.#read(file);
        const same = text instanceof Buffer && state.text instanceof Buffer && text.equals(state.text);
        state.settled = settled || (same && state.settled);
        state.stale = true;
        if (!same) state.text = text;
      }
      state.file = file;
      script.settings = own;
    }
    for (const name of gone.keys()) this.#put(name, undefined);
    return [...gone.values()];
  }

  /** What another thread needs to have the same set. */
  states(): Map<string, ScriptState> {
    return new Map([...this.#byName].map(([name, { state }]) => [name, state]));
  }

  /** Have the set that another thread has. */
  copy(states: ReadonlyMap<string, ScriptState>, settings: Settings): void {
    for (const name of this.#byName.keys()) if (!states.has(name)) this.#put(name, undefined);
    for (const [name, state] of states) {
      const script = this.#byName.get(name) ?? this.#add(name, state, settings);
      script.state = state;
      script.settings = settings.script(name);
    }
  }

  /** What the script of this name defines, and for which call; undefined: there is no such call. */
  #place(name: string): { main: ScriptMain; nr: number } | undefined {
    if (Object.hasOwn(around, name)) return { main: around[name] as ScriptMain, nr: -1 };
    const nr = this.#syscalls.number(name);
    return nr === undefined ? undefined : { main: 'do_syscall', nr };
  }

  #add(name: string, state: ScriptState, settings: Settings): Script {
    const { nr, main } = this.#place(name) as { main: ScriptMain; nr: number };
    const script = new Script(nr, main, settings.script(name), new Statistics(this.#statistics, nr, main), state);
    this.#put(name, script);
    return script;
  }

  #put(name: string, script: Script | undefined): void {
    const nr = (script ?? this.#byName.get(name))?.nr ?? -1;
    if (script === undefined) this.#byName.delete(name);
    else this.#byName.set(name, script);
    if (name === 'entry') this.entry = script;
    else if (name === 'finish') this.finish = script;
    else if (nr >= 0) this.byNumber[nr] = script;
  }

  #read(file: RuleFile): Buffer | Unreadable {
    try {
      return this.#directory.read(file);
    } catch (error) {
      if (error instanceof RuleFileError) return { message: error.message, missing: error.missing };
      throw error;
    }
  }
}
