/**
 * One script that owns a system call: which version of its file is loaded, which one failed.
 */

import type { LuaFailure } from './lua-vm.ts';
import type { RuleFile, RuleFileError } from './rules-directory.ts';
import type { ScriptSettings } from './settings.ts';

/** What a script must define. */
export type ScriptMain = 'do_syscall' | 'entry' | 'finish';

export class Script {
  /** The system call it owns; −1 for entry and finish. */
  readonly nr: number;
  readonly main: ScriptMain;
  /** What rules.toml says of it. */
  settings: ScriptSettings;
  /** For --explain. */
  readonly statistics = { calls: 0, originals: 0, errors: 0, milliseconds: 0 };
  /** The file as the last scan saw it. */
  file: RuleFile;
  /** Registry reference of the loaded version's environment; 0: none is loaded. */
  environment = 0;
  /** The file may differ from what is loaded: look before the next call. */
  stale = true;
  /** The file's text, read when the change was noticed: later the guest may have given up the right to. */
  text: Buffer | RuleFileError;
  /** Text of the loaded version. */
  source: Buffer | undefined = undefined;
  /** The `text` that could not be loaded. */
  failed: Buffer | RuleFileError | undefined = undefined;
  /** A failure kept back because the file was perhaps still being written, and since when. */
  withheld: { readonly failure: LuaFailure; readonly since: number } | undefined = undefined;
  /** The file's writer has finished with it. */
  settled = true;
  /** A module it uses has changed: load again even if the text is the same. */
  modulesChanged = false;
  /** Names it gave to `require`. */
  readonly modules = new Set<string>();

  constructor(nr: number, main: ScriptMain, file: RuleFile, text: Buffer | RuleFileError, settings: ScriptSettings) {
    this.nr = nr;
    this.main = main;
    this.settings = settings;
    this.file = file;
    this.text = text;
  }

  get path(): string {
    return this.file.path;
  }
}
