/**
 * The functions and tables of the hook interface, described once: docs/writing-rules.md has its reference from here, and
 * a test holds that this list and the implementation have the same names.
 */

import { aliases } from './api.ts';

export interface ReferenceEntry {
  /** As a script writes it. */
  readonly signature: string;
  /** Markdown. */
  readonly text: string;
}

const widths = ['u8', 'u16', 'u32', 'u64', 'i8', 'i16', 'i32', 'i64'];

/** Sections of the reference, each by function name. */
export const reference: Readonly<Record<string, Readonly<Record<string, ReferenceEntry>>>> = {
  'Calls and log': {
    c_do_syscall: { signature: 'c_do_syscall(num, a1 … a8)', text: 'Makes call `num`; its result, ≥ 0 or -errno. Missing arguments and `nil` are 0, strings become pointers.' },
    c_log: { signature: 'c_log(message [, level])', text: 'Writes `[Lua Log] message`, in one write. Any value that `print` takes. `level`: `"debug"`, `"info"` (default), `"warning"`, `"error"`; what lies below `log.level` of rules.toml is not shown.' },
    c_get_timestamp: { signature: 'c_get_timestamp()', text: 'Seconds and nanoseconds since 1970 (CLOCK_REALTIME).' },
    c_syscall_name: { signature: 'c_syscall_name(num)', text: "The call's name, or `nil`." },
    c_syscall_number: { signature: 'c_syscall_number(name)', text: "The call's number, or `nil`." },
  },
  'Memory of the program': {
    c_read_string: { signature: 'c_read_string(addr [, max])', text: 'The text up to its NUL byte, at most `max` (4096) bytes.' },
    c_read_bytes: { signature: 'c_read_bytes(addr, n)', text: '`n` bytes as a string.' },
    c_write_bytes: { signature: 'c_write_bytes(addr, data)', text: "Writes the string's bytes; their number." },
    ...Object.fromEntries(widths.flatMap((w) => [
      [`c_read_${w}`, { signature: `c_read_${w}(addr)`, text: w === 'u64' ? 'An unsigned integer of 64 bits. Lua\'s integers have a sign: 2^63 and above shows as negative (`%x` and `math.ult` take it right).' : `${w[0] === 'u' ? 'An unsigned' : 'A signed'} integer of ${w.slice(1)} bits.` }],
      [`c_write_${w}`, { signature: `c_write_${w}(addr, value)`, text: `Writes the value's low ${w.slice(1)} bits; \`true\`.` }],
    ])),
    c_scratch: { signature: 'c_scratch(n)`, `c_scratch(data)', text: "Address of `n` bytes, or of a NUL-terminated copy of `data`, in the program's memory; lent until the hook returns. `nil, -errno` if there is none." },
  },
  'Registers and call stack': {
    c_list_regs: { signature: 'c_list_regs()', text: 'The names of the registers, as a list.' },
    c_get_reg: { signature: 'c_get_reg(name)', text: 'A register as it is at the call; `nil, -22` if there is none of that name.' },
    c_set_reg: { signature: 'c_set_reg(name, value)', text: '`true`; `nil, -22`. The program goes on with it after the call. The register of the result is set by what the hook returns; arguments of the call are what `c_do_syscall` is given.' },
    c_backtrace: { signature: 'c_backtrace([max])', text: 'The call stack, innermost first, at most `max` (32) levels: a list of tables with `pc`, `symbol`, `offset`, `file` and all of it as `text`. Found by the call frame information that programs carry for exceptions, or by frame pointers.' },
  },
  'Files': {
    c_fd_path: { signature: 'c_fd_path(fd)', text: 'What a descriptor is open on, as `/proc/self/fd` has it; `nil, -9`.' },
    c_path: { signature: 'c_path(dirfd, path [, follow])', text: 'The absolute path that these arguments of an `…at` call mean, links and `..` followed; `path` is an address or a string. The file need not exist, its directory must. With `follow` false a link at the end is not followed. `nil, -errno`.' },
  },
};

export const tables: readonly ReferenceEntry[] = [
  { signature: 'errno', text: 'Error numbers by name: `errno.EACCES` is 13. Results carry them negated.' },
  { signature: 'linux', text: "The kernel's constants by name: `linux.O_CREAT`, `linux.AF_INET`, `linux.PROT_EXEC`, …" },
  { signature: 'ctx', text: 'The program: `pid`, `tid`, `name` (of the thread), `exe` (its file), `argv` (`argv[0]` first), `pc` (after the system-call instruction).' },
  { signature: 'shared', text: 'Empty at the start; common to all scripts, kept over reloads.' },
];

/** The reference as Markdown. */
export function referenceText(): string {
  const rows = (entries: readonly (readonly [string | undefined, ReferenceEntry])[]): string =>
    entries.map(([name, e]) => {
      const other = Object.entries(aliases).find(([, of]) => of === name)?.[0];
      return `| \`${e.signature}\` | ${e.text}${other === undefined ? '' : ` Also \`${other}\`.`} |\n`;
    }).join('');
  const parts = Object.entries(reference).map(([title, list]) => `### ${title}\n\n| function | result |\n|---|---|\n${rows(Object.entries(list))}`);
  return [...parts, `### Tables\n\n| table | contents |\n|---|---|\n${rows(tables.map((t) => [undefined, t] as const))}`].join('\n');
}
