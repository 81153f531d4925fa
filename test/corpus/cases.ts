/**
 * The corpus as text: reads `cases/*.txt`. One case a line:
 *
 *     program arguments … [<file] [NAME=VALUE before the program] [:: directive …]
 *
 * Words are split as a shell does for quotes and backslashes; nothing is expanded. A line that ends in ` \` goes on in
 * the next. `# …` is a comment. Directives:
 *
 *     :: needs FILE          skip where this file or program is missing
 *     :: before COMMAND      sh runs it natively in both directories first
 *     :: mask /REGEX/ TEXT   replace it in standard output, standard error and written files (what differs by nature)
 *     :: no-stderr           standard error is not compared
 *     :: no-stdout           nor standard output
 *     :: ignore PATH         this file or directory is not compared
 *     :: slow                another limit of time
 *     :: known REASON        fails, and why; passing is then an error
 *
 * The file's name is the group's. A case is known by its group and line text, so two lines are never alike.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Mask {
  readonly pattern: RegExp;
  readonly text: string;
}
export interface Case {
  readonly group: string;
  /** The line without its directives. */
  readonly text: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string | undefined;
  readonly needs: readonly string[];
  readonly before: readonly string[];
  readonly masks: readonly Mask[];
  readonly ignored: readonly string[];
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly slow: boolean;
  readonly known: string | undefined;
}

/** Shell words of `text`; an unquoted `<file` is told by its first character being NUL. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let k = 0; k < text.length; k++) {
    const c = text[k] as string;
    if (quote === "'") {
      if (c === "'") quote = '';
      else word += c;
    } else if (c === '\\' && quote === '') word = (word ?? '') + (text[++k] ?? '');
    else if (c === '\\' && '"\\$`'.includes(text[k + 1] ?? ' ')) word += text[++k] ?? '';
    else if (quote === '"') {
      if (c === '"') quote = '';
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      word ??= '';
    } else if (c === ' ') {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (c === '<' && word === undefined) word = '\0';
    else word = (word ?? '') + c;
  }
  if (quote !== '') throw new Error(`unclosed ${quote} in: ${text}`);
  if (word !== undefined) words.push(word);
  return words;
}

export function parseCase(group: string, line: string): Case {
  const [head, ...directives] = line.split(/ +:: +/);
  const text = (head as string).trim();
  const argv: string[] = [];
  const env: Record<string, string> = {};
  let stdin: string | undefined;
  for (const word of splitWords(text)) {
    const assignment = argv.length === 0 ? /^([A-Za-z_]\w*)=(.*)$/s.exec(word) : null;
    if (word[0] === '\0') stdin = word.slice(1);
    else if (assignment !== null) env[assignment[1] as string] = assignment[2] as string;
    else argv.push(word);
  }
  if (argv.length === 0) throw new Error(`${group}: no program in: ${line}`);
  const needs: string[] = [];
  const before: string[] = [];
  const masks: Mask[] = [];
  const ignored: string[] = [];
  let stdout = true;
  let stderr = true;
  let slow = false;
  let known: string | undefined;
  for (const d of directives) {
    const [, name = '', value = ''] = /^(\S+)\s*(.*)$/s.exec(d.trim()) ?? [];
    if (name === 'needs') needs.push(value);
    else if (name === 'before') before.push(value);
    else if (name === 'ignore') ignored.push(value);
    else if (name === 'no-stdout') stdout = false;
    else if (name === 'no-stderr') stderr = false;
    else if (name === 'slow') slow = true;
    else if (name === 'known' && value !== '') known = value;
    else if (name === 'mask') {
      const m = /^\/(.*)\/\s*(.*)$/.exec(value);
      if (m === null) throw new Error(`${group}: not a mask: ${d}`);
      masks.push({ pattern: new RegExp(m[1] as string, 'gm'), text: m[2] as string });
    } else throw new Error(`${group}: unknown directive: ${d}`);
  }
  return { group, text, argv, env, stdin, needs, before, masks, ignored, stdout, stderr, slow, known };
}

export function readCases(directory: string): Case[] {
  const cases: Case[] = [];
  const seen = new Set<string>();
  for (const file of readdirSync(directory).sort()) {
    if (!file.endsWith('.txt')) continue;
    const group = file.slice(0, -4);
    for (const line of readFileSync(join(directory, file), 'utf8').replace(/ \\\n\s*/g, ' ').split('\n')) {
      if (line.trim() === '' || line.startsWith('#')) continue;
      const c = parseCase(group, line);
      const id = `${group} ${c.text} ${c.before.join()}`;
      if (seen.has(id)) throw new Error(`${group}: twice: ${line}`);
      seen.add(id);
      cases.push(c);
    }
  }
  return cases;
}
