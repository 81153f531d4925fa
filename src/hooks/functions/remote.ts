/**
 * Hooks in the program that called `run`: each call goes over the thread's stream and back. The stream is opened by the
 * first hooked call of a process.
 */

import { type Configuration, kind } from '../../api/protocol.ts';
import { type Host, type HostBuffer, Unwind } from '../../kernel/ports.ts';
import { Channel } from './channel.ts';
import type { HookServer, Outcome } from './interceptor.ts';
import { type HookedCall, perform, type Services } from './perform.ts';

const BUFFER = 0x10000;

export class NoServer extends Error {
  override readonly name = 'NoServer';
  readonly exitStatus = 125;
}

export class RemoteHooks implements HookServer {
  readonly configuration: Configuration;
  readonly numbers: readonly number[];
  readonly #host: Host;
  readonly #control: number;
  readonly #buffer: HostBuffer;
  #channel: Channel | undefined;
  #generation = 0;
  readonly #complain: (message: string) => void;
  readonly #leaving: () => boolean;
  #complained = false;

  /** `control`: the inherited descriptor; `leaving`: this thread is to end, whatever it is doing. @throws NoServer when there is nobody behind it. */
  constructor(host: Host, control: number, pid: number, complain: (message: string) => void, leaving: () => boolean) {
    this.#complain = complain;
    this.#leaving = leaving;
    this.#host = host;
    this.#control = control;
    this.#buffer = host.allocate(BUFFER);
    const first = Channel.open(host, control, this.#buffer);
    const frame = first?.greet(pid, pid);
    if (first === undefined || frame === undefined) throw new NoServer('the program that is to serve the hooks does not answer');
    this.#channel = first;
    this.configuration = JSON.parse(Buffer.from(frame.bytes).toString()) as Configuration;
    this.numbers = frame.ints.map(Number);
  }

  afterFork(): void {
    this.#generation++;
    this.#close();
  }

  /** The other side sees the stream end. */
  end(): void {}

  serve(call: HookedCall, services: Services): Outcome {
    const { task, frame } = call;
    const channel = this.#connect(task.process.pid, task.tid);
    if (channel === undefined) return this.#lost();
    const ints = [BigInt(frame.nr), ...frame.i64.subarray(0, 6), BigInt(task.process.pid), BigInt(task.tid), BigInt(task.cpu.pc)];
    if (!channel.send(kind.call, ints)) return this.#lost();
    const generation = this.#generation;
    for (;;) {
      const question = channel.receive(() => this.#leave());
      if (question === undefined) return this.#lost();
      if (question.kind === kind.result) return question.ints[0] ?? 0n;
      if (question.kind === kind.untouched) return 'untouched';
      if (question.kind === kind.failed) return 'failed';
      let answered: boolean;
      try {
        const answer = perform(call, services, question);
        // A child that the hook's call has made: the hook goes on in the parent.
        if (generation !== this.#generation) return 'gone';
        answered = channel.send(answer.kind, answer.ints, answer.bytes);
      } catch (error) {
        // The call does not come back. What its hook asks from now on is not for the next one: a new stream for that.
        if (generation === this.#generation) this.#close();
        throw error;
      }
      if (!answered) return this.#lost();
    }
  }

  #connect(pid: number, tid: number): Channel | undefined {
    if (this.#channel !== undefined) return this.#channel;
    const channel = Channel.open(this.#host, this.#control, this.#buffer);
    if (channel?.greet(pid, tid) === undefined) {
      channel?.close();
      return undefined;
    }
    this.#channel = channel;
    return channel;
  }

  /** execve in another thread ends this one: the hook is left, and the guest code below it comes to its end. */
  #leave(): void {
    if (!this.#leaving()) return;
    this.#close();
    throw new Unwind('translation');
  }

  #close(): void {
    this.#channel?.close();
    this.#channel = undefined;
  }

  #lost(): Outcome {
    if (!this.#complained) this.#complain(`the program that serves the hooks is gone; on_error is "${this.configuration.onError}"`);
    this.#complained = true;
    this.#close();
    return 'failed';
  }
}
