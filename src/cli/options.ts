/**
 * The command line: `lunagate [options] program [args…]` and the environment variables that mean the same. One
 * row an option; parser, help and environment derive from the rows. Wrong use is a UsageError that names the option
 * and the remedy.
 */

import { type ByteString, type Invocation, nameOf, toBytes, toText } from './invocation.ts';

/** What `run` in src/emulator.ts is given: a program and how to run it. */
export interface RunOptions {
  /** Path of the program's file as found: as typed if it holds a slash, else from PATH. */
  readonly program: Uint8Array;
  /** The guest's argv, argv[0] included. */
  readonly argv: readonly Uint8Array[];
  /** The guest's environment: `NAME=VALUE` strings. */
  readonly envp: readonly Uint8Array[];
  /** Rules directories, earlier ones winning; empty: no hooks at all. */
  readonly rules: readonly string[];
  /** --hooks: modules with hooks of JavaScript or TypeScript. */
  readonly hooks: readonly string[];
  /** --rules-strict: scripts cannot reach the host. */
  readonly rulesStrict: boolean;
  /** --inject expressions, in order. */
  readonly inject: readonly string[];
  /** -P: paths that injections are limited to. */
  readonly paths: readonly string[];
  /** --audit: file for one JSON object a call. */
  readonly audit: string | undefined;
  /** --explain: at the end, what the rules did. */
  readonly explain: boolean;
  /** --profile: at the end, where the time went. */
  readonly profile: boolean;
  /** --dump-region: guest pcs whose translations to print at the end. */
  readonly dumpRegions: readonly number[];
  /** -L: tried before the file system itself for absolute paths. */
  readonly sysroot: string | undefined;
  /** --code-memory: bytes that translated code may take. */
  readonly codeMemory: number;
  /** -s: bytes of stack; undefined: RLIMIT_STACK's. */
  readonly stackSize: number | undefined;
  readonly strace: boolean;
  /** -D: file for the log; undefined: standard error. */
  readonly logFile: string | undefined;
  /** No banner lines. */
  readonly quiet: boolean;
  /** -cpu: level and features, as written; undefined: the default. */
  readonly cpu: string | undefined;
  /** -seed: fixes AT_RANDOM; undefined: random. */
  readonly seed: number | undefined;
  /** -aslr: lay memory out at random, as the kernel does. */
  readonly aslr: boolean;
}

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export type Command =
  | { readonly kind: 'help'; readonly topic: string | undefined }
  | { readonly kind: 'version' }
  /** `lunagate rules …`: a tool for who writes rules, with its arguments. */
  | { readonly kind: 'rules'; readonly args: readonly string[] }
  /** `program` still to be searched for. */
  | { readonly kind: 'run'; readonly program: ByteString; readonly options: Omit<RunOptions, 'program'> };

/** What the options have said so far. */
interface Draft {
  argv0: ByteString | undefined;
  env: ByteString[];
  /** By --rules; where there is none, from the environment. */
  rules: string[];
  rulesFromEnvironment: string[];
  rulesStrict: boolean;
  hooks: string[];
  inject: string[];
  paths: string[];
  audit: string | undefined;
  explain: boolean;
  profile: boolean;
  dumpRegions: number[];
  sysroot: string | undefined;
  codeMemory: number;
  stackSize: number | undefined;
  strace: boolean;
  logFile: string | undefined;
  quiet: boolean;
  cpu: string | undefined;
  seed: number | undefined;
  aslr: boolean;
}

interface Option {
  readonly names: readonly string[];
  /** Name of the value in the help; undefined: the option takes none. */
  readonly value?: string;
  readonly variables?: readonly string[];
  readonly help: string;
  /** `from` is the option or variable as the user wrote it, for messages. */
  apply(draft: Draft, value: ByteString, from: string): void;
}

const options: readonly Option[] = [
  {
    names: ['rules'],
    value: 'DIR',
    variables: ['QEMU_RULES', 'LUNAGATE_RULES'],
    help: 'let DIR/NAME.lua own system call NAME; may be given several times, earlier wins',
    apply(draft, value, from) {
      if (value === '') throw new UsageError(`${from} needs the name of a directory, not an empty one`);
      // LUNAGATE_RULES comes after QEMU_RULES and so replaces it; directories on the command line replace both.
      if (from.startsWith('-')) draft.rules.push(utf8(value, from));
      else draft.rulesFromEnvironment = [utf8(value, from)];
    },
  },
  {
    names: ['rules-strict'],
    variables: ['LUNAGATE_RULES_STRICT'],
    help: 'scripts have no way to the host: no io, no os.execute, no bytecode, …',
    apply(draft) {
      draft.rulesStrict = true;
    },
  },
  {
    names: ['hooks'],
    value: 'FILE',
    help: 'hooks in JavaScript or TypeScript: a module that exports functions by the names of system calls',
    apply(draft, value, from) {
      if (value === '') throw new UsageError(`${from} needs the name of a file, not an empty one`);
      draft.hooks.push(utf8(value, from));
    },
  },
  {
    names: ['explain'],
    help: 'at the end, tell what each script did, which never ran, and what came close',
    apply(draft) {
      draft.explain = true;
    },
  },
  {
    names: ['profile'],
    help: 'at the end, tell where the time went: translation, V8, system calls, functions of the program',
    apply(draft) {
      draft.profile = true;
    },
  },
  {
    names: ['dump-region'],
    value: 'ADDRESS',
    help: 'at the end, print how the code at this address is translated; may be given several times',
    apply(draft, value, from) {
      const address = Number(value);
      if (!Number.isSafeInteger(address) || address < 0 || value === '') throw new UsageError(`${from} needs an address, such as 0x401000, not "${value}"`);
      draft.dumpRegions.push(address);
    },
  },
  {
    names: ['inject'],
    value: 'SET:WHAT',
    help: 'tamper with system calls as strace --inject does, such as write:error=ENOSPC:when=3+; may be given several times',
    apply(draft, value, from) {
      draft.inject.push(utf8(value, from));
    },
  },
  {
    names: ['P'],
    value: 'PATH',
    help: 'limit --inject to calls that have to do with PATH; may be given several times',
    apply(draft, value) {
      draft.paths.push(value);
    },
  },
  {
    names: ['audit'],
    value: 'FILE',
    help: 'write every system call to FILE as a line of JSON; %d in the name is the process id',
    apply(draft, value, from) {
      if (value === '') throw new UsageError(`${from} needs the name of a file, not an empty one`);
      draft.audit = utf8(value, from);
    },
  },
  {
    names: ['L'],
    value: 'PREFIX',
    variables: ['QEMU_LD_PREFIX'],
    help: 'look for the program interpreter and absolute paths under PREFIX first',
    apply(draft, value, from) {
      draft.sysroot = value === '' ? undefined : utf8(value, from);
    },
  },
  {
    names: ['E'],
    value: 'VAR=VALUE',
    variables: ['QEMU_SET_ENV'],
    help: "set a variable in the guest's environment; several are separated by commas",
    apply(draft, value, from) {
      for (const entry of value.split(',')) {
        const equals = entry.indexOf('=');
        if (equals < 1)
          throw new UsageError(
            `${from} ${toText(value)}: "${toText(entry)}" is not VAR=VALUE (a comma separates variables; for a value with a comma write: env VAR=VALUE lunagate …)`,
          );
        setVariable(draft, entry.slice(0, equals), entry);
      }
    },
  },
  {
    names: ['U'],
    value: 'VAR',
    variables: ['QEMU_UNSET_ENV'],
    help: "remove a variable from the guest's environment; several are separated by commas",
    apply(draft, value, from) {
      for (const name of value.split(',')) {
        if (name === '' || name.includes('='))
          throw new UsageError(
            `${from} ${toText(value)}: "${toText(name)}" is not the name of a variable (write ${from} VAR)`,
          );
        draft.env = draft.env.filter((e) => nameOf(e) !== name);
      }
    },
  },
  {
    names: ['0'],
    value: 'ARGV0',
    variables: ['QEMU_ARGV0'],
    help: 'give the guest ARGV0 as its argv[0]',
    apply(draft, value) {
      draft.argv0 = value;
    },
  },
  {
    names: ['s'],
    value: 'SIZE',
    variables: ['QEMU_STACK_SIZE'],
    help: 'size of the stack in bytes, or with a suffix K, M or G (default: the limit of ulimit -s)',
    apply(draft, value, from) {
      draft.stackSize = parseSize(toText(value), from);
    },
  },
  {
    names: ['code-memory'],
    value: 'SIZE',
    variables: ['LUNAGATE_CODE_MEMORY'],
    help: 'memory for translated code, of which the oldest is dropped when it is used up (default: 1G)',
    apply(draft, value, from) {
      draft.codeMemory = parseSize(toText(value), from);
    },
  },
  {
    names: ['strace'],
    variables: ['QEMU_STRACE'],
    help: 'log every system call, decoded, as strace prints it',
    apply(draft) {
      draft.strace = true;
    },
  },
  {
    names: ['d'],
    value: 'ITEM',
    variables: ['QEMU_LOG'],
    help: 'log ITEM: strace is the one there is',
    apply(draft, value, from) {
      for (const item of value.split(','))
        if (item === 'strace') draft.strace = true;
        else
          throw new UsageError(
            `${from} ${toText(value)}: there is no log item "${toText(item)}"; the one there is: strace`,
          );
    },
  },
  {
    names: ['D'],
    value: 'FILE',
    variables: ['QEMU_LOG_FILENAME'],
    help: 'write the log to FILE (default: standard error)',
    apply(draft, value, from) {
      if (value === '') throw new UsageError(`${from} needs the name of a file, not an empty one`);
      draft.logFile = utf8(value, from);
    },
  },
  {
    names: ['cpu'],
    value: 'MODEL',
    variables: ['QEMU_CPU'],
    help: 'the processor: x86-64-v1, v2, v3 or max, then +FEATURE or -FEATURE (-cpu help lists them)',
    apply(draft, value, from) {
      if (value === '') throw new UsageError(`${from} needs the name of a CPU, not an empty one; -cpu help lists them`);
      draft.cpu = toText(value);
    },
  },
  {
    names: ['seed'],
    value: 'NUMBER',
    variables: ['QEMU_RAND_SEED'],
    help: 'the same AT_RANDOM bytes in every run with the same NUMBER',
    apply(draft, value, from) {
      const text = toText(value);
      const seed = Number(text);
      if (!/^(\d+|0x[\da-f]+)$/i.test(text) || seed > 0xffffffffffff)
        throw new UsageError(`${from} ${text}: not a whole number from 0 to 2^48-1`);
      draft.seed = seed;
    },
  },
  {
    names: ['aslr'],
    help: 'place the program, its libraries and its stack at random, as the kernel does (kept translations then seldom fit)',
    apply(draft) {
      draft.aslr = true;
    },
  },
  {
    names: ['quiet'],
    help: 'do not print the banner lines of --rules',
    apply(draft) {
      draft.quiet = true;
    },
  },
];

/** Options that end lunagate instead of running something; `--help TOPIC` takes a topic. */
const helpNames = ['help', 'h'];
const versionNames = ['version'];
const topics = ['syscalls', 'cpu'];

/** Interprets the command line. Throws UsageError. */
export function parseCommandLine({ args, env }: Invocation): Command {
  const draft: Draft = {
    argv0: undefined,
    env: [...env],
    rules: [],
    rulesFromEnvironment: [],
    rulesStrict: false,
    hooks: [],
    inject: [],
    paths: [],
    audit: undefined,
    explain: false,
    profile: false,
    dumpRegions: [],
    sysroot: undefined,
    codeMemory: 2 ** 30,
    stackSize: undefined,
    strace: false,
    logFile: undefined,
    quiet: false,
    cpu: undefined,
    seed: undefined,
    aslr: false,
  };
  applyEnvironment(draft, env);

  let at = 0;
  let ended = false;
  for (; at < args.length; at++) {
    const arg = args[at] as ByteString;
    if (arg === '--') {
      at++;
      ended = true;
      break;
    }
    if (arg[0] !== '-' || arg === '-') break;
    const written = /^--?/.exec(arg)?.[0] ?? '';
    const equals = arg.indexOf('=');
    const name = arg.slice(written.length, equals < 0 ? undefined : equals);
    if (helpNames.includes(name) && equals < 0) return { kind: 'help', topic: helpTopic(args[at + 1]) };
    if (versionNames.includes(name) && equals < 0) return { kind: 'version' };
    const option = options.find(
      (o) => o.names.includes(name) && (equals < 0 || (o.value !== undefined && name.length > 1)),
    );
    if (option === undefined) throw unknownOption(arg, name);
    if (option.value === undefined) option.apply(draft, '', arg);
    else if (equals >= 0) option.apply(draft, arg.slice(equals + 1), arg.slice(0, equals));
    else if (at + 1 < args.length) option.apply(draft, args[++at] as ByteString, arg);
    else throw new UsageError(`${arg} needs a value: ${arg} ${option.value}`);
  }
  if (draft.cpu === 'help' || draft.cpu === '?') return { kind: 'help', topic: 'cpu' };
  const program = args[at];
  // A program of this name is run as ./rules or behind --.
  if (program === 'rules' && !ended) return { kind: 'rules', args: args.slice(at + 1).map(toText) };
  if (program === undefined) throw new UsageError('no program to run; usage: lunagate [options] program [arguments…]');
  if (program === '')
    throw new UsageError('the name of the program is empty; usage: lunagate [options] program [arguments…]');
  return {
    kind: 'run',
    program,
    options: {
      argv: [draft.argv0 ?? program, ...args.slice(at + 1)].map(toBytes),
      envp: draft.env.map(toBytes),
      rules: draft.rules.length > 0 ? draft.rules : draft.rulesFromEnvironment,
      rulesStrict: draft.rulesStrict,
      hooks: draft.hooks,
      inject: draft.inject,
      paths: draft.paths,
      audit: draft.audit,
      explain: draft.explain,
      profile: draft.profile,
      dumpRegions: draft.dumpRegions,
      sysroot: draft.sysroot,
      codeMemory: draft.codeMemory,
      stackSize: draft.stackSize,
      strace: draft.strace,
      logFile: draft.logFile,
      quiet: draft.quiet,
      cpu: draft.cpu,
      seed: draft.seed,
      aslr: draft.aslr,
    },
  };
}

/** Puts `entry` in the place of the variable's first entry, or at the end; no other entry of that name stays. */
function setVariable(draft: Draft, name: ByteString, entry: ByteString): void {
  const at = draft.env.findIndex((e) => nameOf(e) === name);
  if (at < 0) draft.env.push(entry);
  else draft.env = draft.env.flatMap((e, i) => (i === at ? [entry] : nameOf(e) === name ? [] : [e]));
}

/** As in qemu-user, before the options: what is on the command line comes later and so has the last word. */
function applyEnvironment(draft: Draft, env: readonly ByteString[]): void {
  for (const option of options)
    for (const variable of option.variables ?? []) {
      const entry = env.find((e) => e.startsWith(`${variable}=`));
      if (entry !== undefined) option.apply(draft, entry.slice(variable.length + 1), variable);
    }
}

function helpTopic(next: ByteString | undefined): string | undefined {
  if (next === undefined) return undefined;
  if (topics.includes(next)) return next;
  throw new UsageError(`there is no help on "${toText(next)}"; topics: ${topics.join(', ')}`);
}

function unknownOption(arg: ByteString, name: ByteString): UsageError {
  const known = [...options.flatMap((o) => o.names), ...helpNames, ...versionNames];
  const near = known.find((k) => k.length > 2 && (k.startsWith(name) || distance(k, name) <= 2));
  const hint = near === undefined ? '--help lists the options' : `did you mean --${near}?`;
  return new UsageError(`unknown option ${toText(arg)}; ${hint} (options stand before the program; -- ends them)`);
}

/** Edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(
        (row[j] as number) + 1,
        (next[j - 1] as number) + 1,
        (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    row = next;
  }
  return row[b.length] as number;
}

const units: Readonly<Record<string, number>> = { '': 1, K: 1 << 10, M: 1 << 20, G: 1 << 30 };
/** A quarter of the guest's address space would leave too little beside it. */
const MAX_STACK = 2 ** 31;

function parseSize(text: string, from: string): number {
  const parts = /^(0x[\da-f]+|\d+)([KMG]?)$/i.exec(text);
  const size = parts === null ? 0 : Number(parts[1]) * (units[(parts[2] as string).toUpperCase()] as number);
  if (parts === null || size === 0)
    throw new UsageError(`${from} ${text}: not a size; write bytes, or a number with K, M or G, such as ${from} 64M`);
  if (size > MAX_STACK) throw new UsageError(`${from} ${text}: more than the guest has room for; at most 2G`);
  return size;
}

function utf8(bytes: ByteString, from: string): string {
  const text = toText(bytes);
  if (Buffer.from(text, 'utf8').toString('latin1') !== bytes)
    throw new UsageError(`${from} ${text}: the name is not valid UTF-8`);
  return text;
}

/** The text of --help, from the rows above. */
export function helpText(): string {
  const rows = options.map((o) => ({
    left: `${o.names.map((n) => (n.length === 1 ? `-${n}` : `--${n}`)).join(', ')}${o.value === undefined ? '' : ` ${o.value}`}`,
    variables: (o.variables ?? []).toReversed().join(', '),
    help: o.help,
  }));
  rows.push({ left: '--version', variables: '', help: 'print the version and exit' });
  rows.push({
    left: '--help [syscalls|cpu]',
    variables: '',
    help: 'print this help, every system call and how far it is supported, or the CPUs and their features',
  });
  const width = Math.max(...rows.map((r) => r.left.length)) + 2;
  const lines = rows.map(
    (r) =>
      `  ${r.left.padEnd(width)}${r.help}${r.variables === '' ? '' : `\n  ${''.padEnd(width)}(environment: ${r.variables})`}`,
  );
  return [
    'usage: lunagate [options] program [arguments…]',
    'Runs an x86-64 Linux program; Lua scripts may own any of its system calls.',
    '',
    'Options (-x and --x alike; they stand before the program, -- ends them):',
    ...lines,
    '',
    'A program without a slash in its name is searched in PATH. The exit status is the program’s;',
    '127 if the program is not found, 126 if it cannot be run, 125 if lunagate was called wrongly.',
    '',
  ].join('\n');
}
