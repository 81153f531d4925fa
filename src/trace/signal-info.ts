/** siginfo_t and sigevent as strace prints them. */

import { siCodes, siCodesBySignal, signo } from '../abi/signals.ts';
import { signal } from './basics.ts';
import { address, hex, i32, i64, u32, u64 } from './call.ts';
import { choiceText } from './constants.ts';

const general = new Map<number, string>(Object.entries(siCodes.values).map(([name, value]) => [value, name]));

function codeText(signalNumber: number, code: number): string {
  const own = siCodesBySignal[signal(signalNumber)];
  if (code > 0 && own !== undefined) for (const [name, value] of Object.entries(own)) if (value === code) return name;
  return general.get(code) ?? (code < 0 || code >= 0x80 ? `${code < 0 ? String(code) : hex(code)}` : hex(code));
}

function sigval(view: DataView, at: number): string {
  return `{sival_int=${i32(view, at)}, sival_ptr=${address(u64(view, at))}}`;
}

/** The fields that the signal and its code make valid. */
export function siginfo(view: DataView): string {
  const number = i32(view, 0);
  const errorNumber = i32(view, 4);
  const code = i32(view, 8);
  if (number === 0) return '{}';
  const parts = [`si_signo=${signal(number)}`];
  if (errorNumber !== 0) parts.push(`si_errno=${errorNumber}`);
  parts.push(`si_code=${codeText(number, code)}`);
  const sender = `si_pid=${i32(view, 16)}, si_uid=${u32(view, 20)}`;
  if (code === 0 || code === -6) parts.push(sender);
  else if (code === -2)
    parts.push(
      `si_timerid=${hex(u32(view, 16))}, si_overrun=${i32(view, 20)}, si_int=${i32(view, 24)}, si_ptr=${address(u64(view, 24))}`,
    );
  else if (code < 0) parts.push(sender, `si_int=${i32(view, 24)}, si_ptr=${address(u64(view, 24))}`);
  else if (number === signo.SIGCHLD) {
    const status = i32(view, 24);
    parts.push(
      sender,
      `si_status=${code === 1 ? status : signal(status & 0x7f)}`,
      `si_utime=${i64(view, 32)}, si_stime=${i64(view, 40)}`,
    );
  } else if (
    number === signo.SIGSEGV ||
    number === signo.SIGBUS ||
    number === signo.SIGILL ||
    number === signo.SIGFPE ||
    number === signo.SIGTRAP
  ) {
    if (code !== 0x80) parts.push(`si_addr=${address(u64(view, 16))}`);
  } else if (number === signo.SIGIO) parts.push(`si_band=${i64(view, 16)}, si_fd=${i32(view, 24)}`);
  else if (number === signo.SIGSYS)
    parts.push(`si_call_addr=${address(u64(view, 16))}, si_syscall=${i32(view, 24)}, si_arch=${hex(u32(view, 28))}`);
  return `{${parts.join(', ')}}`;
}

export function sigevent(view: DataView): string {
  const notify = i32(view, 12);
  const parts: string[] = [];
  const value = u64(view, 0);
  if (value !== 0n) parts.push(`sigev_value=${sigval(view, 0)}`);
  parts.push(`sigev_signo=${signal(i32(view, 8))}`, `sigev_notify=${choiceText('sigev_notify', notify)}`);
  if (notify === 4) parts.push(`sigev_notify_thread_id=${i32(view, 16)}`);
  return `{${parts.join(', ')}}`;
}
