/**
 * seccomp(2) of the guest's threads: their filters, which are interpreted over the guest's calls and never given to the
 * host's kernel (they would bind the engine), and strict mode.
 *
 * A filter is a node of a tree, as in the kernel: what a thread adds points to what it had. Which node is a thread's is a word
 * of its entry in the process block; the nodes themselves every thread has, told through the log. A thread without filters
 * has no interceptor, and no number that all its filters allow whatever the arguments are is shown to it.
 *
 * Invariant: a thread that another one's TSYNC was to reach makes no call that is not filtered once that call has returned.
 */

import { errno } from '../abi/errno.ts';
import { signo } from '../abi/signals.ts';
import { seccompActions } from '../abi/constants/misc.ts';
import { checkProgram, constantResult, convertedLength, DATA_WORDS, type Program, runProgram } from './bpf.ts';
import type { ChangeLog, Replicated } from './change-log.ts';
import { type Interceptor, type InterceptorSet, interceptorOrder, type Next, type Registration } from './interceptor.ts';
import type { Host, SyscallFrame } from './ports.ts';
import { PHASE, type ProcessBlock } from './process-block.ts';
import type { Task } from './task.ts';

const action = seccompActions.values;
const ACTION_FULL = 0xffff_0000;
const DATA = 0xffff;
const MAX_ERRNO = 4095;
/** Instructions of all filters of a thread together, as the kernel counts them, with a charge of four a filter. */
const MAX_PATH = 32768;
const CHARGE = 4;
const PR_GET_NO_NEW_PRIVS = 39;
const PR_SET_NO_NEW_PRIVS = 38;
/** The state of a thread in strict mode; others are 0 or the number of a filter. */
const STRICT = -1;
/** Numbers that the cache of decided results knows. */
const CACHED = 512;
const SYS_SECCOMP = 1;

/** Filters of one thread for the others: plain data. */
interface FilterRecord {
  readonly id: number;
  readonly parent: number;
  /** Base64. */
  readonly instructions: string;
}
interface Told {
  readonly filter: FilterRecord | undefined;
  /** Slots that have this filter now. */
  readonly reached: readonly number[];
  readonly noNewPrivs: boolean;
}

interface Filter {
  readonly id: number;
  readonly parent: Filter | undefined;
  readonly instructions: Uint8Array;
  readonly program: Program;
  /** With those above it. */
  readonly count: number;
  readonly charge: number;
  /** By number: all the filters up to here allow the call, whatever its arguments. */
  readonly allowed: Uint8Array;
}

/** What of the instruction set a filter sees. */
export interface SeccompArch {
  /** AUDIT_ARCH_… */
  readonly audit: number;
  /** Calls of strict mode: read, write, exit, rt_sigreturn. */
  readonly strict: readonly number[];
}

/** What a thread's state is for one that takes it over. */
export interface SeccompState {
  readonly state: number;
  readonly filters: readonly FilterRecord[];
  readonly noNewPrivs: boolean;
}

/** SECCOMP_MODE_ of a thread by its word in the process block. */
export function seccompMode(state: number): number {
  return state === 0 ? 0 : state === STRICT ? 1 : 2;
}

export class Seccomp implements Interceptor {
  readonly name = 'seccomp';
  readonly #host: Host;
  readonly #block: ProcessBlock;
  readonly #log: ChangeLog;
  readonly #interceptors: InterceptorSet;
  readonly #arch: SeccompArch;
  readonly #filters = new Map<number, Filter>();
  readonly #part: Replicated;
  readonly #data = new Uint32Array(DATA_WORDS);
  #registration: Registration | undefined;
  /** The calling thread's: what its state word said when it was last looked at. */
  #state = 0;
  #filter: Filter | undefined;
  /** Ends the calling thread alone, as by a signal. Set by whoever builds the process. */
  killThread: (task: Task, signal: number) => never = (task, signal) => task.host.dieBySignal(signal);

  constructor(host: Host, log: ChangeLog, interceptors: InterceptorSet, arch: SeccompArch) {
    this.#host = host;
    this.#block = host.block;
    this.#log = log;
    this.#interceptors = interceptors;
    this.#arch = arch;
    this.#part = {
      name: 'seccomp',
      snapshot: () => this.#records(),
      restore: (records) => this.#restore(records as FilterRecord[]),
      apply: (record) => this.#apply(record as Told),
    };
    log.add(this.#part);
  }

  /** SECCOMP_MODE_ of the calling thread. */
  get mode(): number {
    return seccompMode(this.#block.seccomp(this.#host.slotNumber));
  }
  /** SECCOMP_SET_MODE_STRICT. */
  setStrict(): number {
    if (this.mode === 2) return -errno.EINVAL;
    this.#block.setSeccomp(this.#host.slotNumber, STRICT, 0);
    this.refresh();
    return 0;
  }

  /**
   * SECCOMP_SET_MODE_FILTER for the calling thread, `everywhere` (TSYNC) for all. 0, −errno, or the id of a thread whose
   * filters are not the caller's. `instructions`: private memory.
   */
  attach(instructions: Uint8Array, everywhere: boolean): number {
    const program = checkProgram(instructions);
    if (program === undefined || this.mode === 1) return -errno.EINVAL;
    let told = false;
    const result = this.#log.change(() => {
      const block = this.#block;
      const own = this.#host.slotNumber;
      const parent = this.#filters.get(block.seccomp(own));
      const length = convertedLength(program);
      if ((parent?.charge ?? 0) + length > MAX_PATH) return -errno.ENOMEM;
      const others = everywhere ? block.slots(PHASE.live).filter((slot) => slot !== own) : [];
      const stranger = others.find((slot) => !this.#isAncestor(block.seccomp(slot), parent));
      if (stranger !== undefined) return block.tid(stranger);
      const id = Math.max(0, ...this.#filters.keys()) + 1;
      const record = { id, parent: parent?.id ?? 0, instructions: Buffer.from(instructions).toString('base64') };
      this.#add(record, program);
      const reached = [own, ...others];
      for (const slot of reached) block.setSeccomp(slot, id, this.#filters.get(id)?.count ?? 0);
      this.#log.append(this.#part, { filter: record, reached: others, noNewPrivs: this.noNewPrivs } satisfies Told);
      this.refresh();
      told = others.length > 0;
      return 0;
    });
    if (told) this.#log.settle();
    return result;
  }

  /** no_new_privs of the calling thread. */
  get noNewPrivs(): boolean {
    return this.#host.syscall(this.#host.nr['prctl'] as number, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) === 1;
  }

  /** Everything of the calling thread's, for one that becomes it. */
  take(): SeccompState {
    return { state: this.#block.seccomp(this.#host.slotNumber), filters: this.#records(), noNewPrivs: this.noNewPrivs };
  }
  give({ state, filters, noNewPrivs }: SeccompState): void {
    this.#restore(filters);
    this.#block.setSeccomp(this.#host.slotNumber, state, this.#filters.get(state)?.count ?? 0);
    if (noNewPrivs) this.#setNoNewPrivs();
    this.refresh();
  }

  /** The calling thread's state word may have changed: be what it says. */
  refresh(): void {
    const state = this.#block.seccomp(this.#host.slotNumber);
    if (state === this.#state) return;
    const filter = this.#filters.get(state);
    // A new thread that has not read the log yet: it will.
    if (state > 0 && filter === undefined) return;
    this.#state = state;
    this.#filter = filter;
    this.#registration?.remove();
    this.#registration = undefined;
    if (state === 0) return;
    this.#registration = this.#interceptors.add(this, interceptorOrder.seccomp);
    this.#registration.wantAll(true);
    filter?.allowed.forEach((allowed, nr) => {
      if (allowed !== 0) this.#registration?.want(nr, false);
    });
  }

  intercept(task: Task, frame: SyscallFrame, next: Next): bigint {
    if (this.#state === STRICT) {
      return this.#arch.strict.includes(frame.nr) ? next(frame) : this.#end(task, signo.SIGKILL);
    }
    const verdict = this.#judge(task, frame);
    const data = verdict & DATA;
    switch ((verdict & ACTION_FULL) >>> 0) {
      case action.SECCOMP_RET_ALLOW:
      case action.SECCOMP_RET_LOG:
        return next(frame);
      case action.SECCOMP_RET_ERRNO:
        return BigInt(-Math.min(data, MAX_ERRNO));
      case action.SECCOMP_RET_TRAP:
        this.#trap(task, frame, data);
        return BigInt(frame.nr);
      case action.SECCOMP_RET_TRACE:
      case action.SECCOMP_RET_USER_NOTIF:
        // No tracer, no listener.
        return BigInt(-errno.ENOSYS);
      case action.SECCOMP_RET_KILL_THREAD:
        return this.#end(task, signo.SIGSYS);
      default:
        return task.host.dieBySignal(signo.SIGSYS);
    }
  }

  /** Of all filters' results the one with the most severe action; of equals the newest filter's. */
  #judge(task: Task, frame: SyscallFrame): number {
    const data = this.#data;
    data[0] = frame.nr;
    data[1] = this.#arch.audit;
    data[2] = task.cpu.pc;
    data[3] = Math.floor(task.cpu.pc / 2 ** 32);
    data.set(frame.u32.subarray(0, 12), 4);
    let verdict: number = action.SECCOMP_RET_ALLOW;
    for (let f = this.#filter; f !== undefined; f = f.parent) {
      const result = runProgram(f.program, data);
      // Signed: KILL_PROCESS is the least.
      if ((result & ACTION_FULL) < (verdict & ACTION_FULL)) verdict = result;
    }
    return verdict;
  }

  /** SIGSYS as force_sig_seccomp() sends it: it cannot be blocked or ignored. */
  #trap(task: Task, frame: SyscallFrame, data: number): void {
    const info = new Uint8Array(128);
    const view = new DataView(info.buffer);
    view.setInt32(0, signo.SIGSYS, true);
    view.setInt32(4, data, true);
    view.setInt32(8, SYS_SECCOMP, true);
    view.setBigUint64(16, BigInt(task.cpu.pc), true);
    view.setInt32(24, frame.nr, true);
    view.setUint32(28, this.#arch.audit, true);
    task.process.signals.force(task, signo.SIGSYS, info);
  }

  /** The last thread takes the process with it. */
  #end(task: Task, signal: number): never {
    return this.#block.threadCount <= 1 ? task.host.dieBySignal(signal) : this.killThread(task, signal);
  }

  #isAncestor(state: number, of: Filter | undefined): boolean {
    if (state === 0) return true;
    for (let f = of; f !== undefined; f = f.parent) if (f.id === state) return true;
    return false;
  }

  #records(): FilterRecord[] {
    return [...this.#filters.values()].map(({ id, parent, instructions }) => ({
      id, parent: parent?.id ?? 0, instructions: Buffer.from(instructions).toString('base64'),
    }));
  }

  #restore(records: readonly FilterRecord[]): void {
    for (const record of records) if (!this.#filters.has(record.id)) this.#add(record);
    this.refresh();
  }

  #apply({ filter, reached, noNewPrivs }: Told): void {
    if (filter !== undefined) this.#add(filter);
    if (reached.includes(this.#host.slotNumber) && noNewPrivs) this.#setNoNewPrivs();
    this.refresh();
  }

  #setNoNewPrivs(): void {
    this.#host.syscall(this.#host.nr['prctl'] as number, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  }

  #add({ id, parent: above, instructions: text }: FilterRecord, checked?: Program): void {
    const instructions = new Uint8Array(Buffer.from(text, 'base64'));
    const program = checked ?? (checkProgram(instructions) as Program);
    const parent = this.#filters.get(above);
    const allowed = new Uint8Array(CACHED);
    for (let nr = 0; nr < CACHED; nr++) {
      const result = parent === undefined || parent.allowed[nr] !== 0 ? constantResult(program, nr, this.#arch.audit) : undefined;
      if (result !== undefined && (result & ACTION_FULL) >>> 0 === action.SECCOMP_RET_ALLOW) allowed[nr] = 1;
    }
    this.#filters.set(id, {
      id, parent, instructions, program, allowed,
      count: (parent?.count ?? 0) + 1,
      charge: (parent?.charge ?? 0) + convertedLength(program) + CHARGE,
    });
  }
}
