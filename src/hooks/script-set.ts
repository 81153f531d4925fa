/**
 * Which scripts there are: follows the files of the rules directories, and knows what each file's text was when its
 * change was noticed. Loading and running is the engine's business.
 *
 * Invariant: a script that rules.toml disables is not here.
 */

import type { SyscallNames } from './api.ts';
import { type Changes, type RuleFile, RuleFileError, type RulesDirectory } from './rules-directory.ts';
import { Script, type ScriptMain } from './script.ts';
import type { Settings } from './settings.ts';

/** File names with a meaning of their own. */
const around: Readonly<Record<string, ScriptMain>> = { entry: 'entry', finish: 'finish' };

export class ScriptSet {
  readonly #directory: RulesDirectory;
  readonly #syscalls: SyscallNames;
  #byName = new Map<string, Script>();
  /** By system call number: the script that owns it. */
  readonly byNumber: (Script | undefined)[] = [];
  entry: Script | undefined;
  finish: Script | undefined;

  constructor(directory: RulesDirectory, syscalls: SyscallNames) {
    this.#directory = directory;
    this.#syscalls = syscalls;
  }

  all(): Iterable<Script> {
    return this.#byName.values();
  }

  /**
   * Make the set what the directories hold. `changes` undefined: all files are complete. Returns the scripts that are
   * gone.
   */
  adopt(files: ReadonlyMap<string, RuleFile>, changes: Changes | undefined, settings: Settings): Script[] {
    const gone = new Map(this.#byName);
    for (const file of files.values()) {
      const { name } = file;
      const main = Object.hasOwn(around, name) ? (around[name] as ScriptMain) : 'do_syscall';
      const nr = main === 'do_syscall' ? this.#syscalls.number(name) : -1;
      if (nr === undefined) continue;
      const own = settings.script(name);
      if (!own.enabled) continue;
      gone.delete(name);
      let script = this.#byName.get(name);
      const settled = changes === undefined || changes.settled.has(name);
      if (script === undefined) {
        script = new Script(nr, main, file, this.#read(file), own);
        script.settled = settled;
        this.#put(name, script);
      } else if (changes?.names?.has(name) !== false || script.file.path !== file.path) {
        // Not told by time stamps: two edits may come within one tick of the kernel's clock.
        const text = this.#read(file);
        const same = text instanceof Buffer && script.text instanceof Buffer && text.equals(script.text);
        script.settled = settled || (same && script.settled);
        script.stale = true;
        if (!same) script.text = text;
      }
      script.file = file;
      script.settings = own;
    }
    for (const name of gone.keys()) this.#put(name, undefined);
    return [...gone.values()];
  }

  #put(name: string, script: Script | undefined): void {
    const nr = (script ?? this.#byName.get(name))?.nr ?? -1;
    if (script === undefined) this.#byName.delete(name);
    else this.#byName.set(name, script);
    if (name === 'entry') this.entry = script;
    else if (name === 'finish') this.finish = script;
    else if (nr >= 0) this.byNumber[nr] = script;
  }

  #read(file: RuleFile): Buffer | RuleFileError {
    try {
      return this.#directory.read(file);
    } catch (error) {
      if (error instanceof RuleFileError) return error;
      throw error;
    }
  }
}
