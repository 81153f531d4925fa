/** The command: from an invocation to an exit status. Prints help, version and the errors of starting a program. */

import { writeSync } from 'node:fs';
import { findProgram } from './find-program.ts';
import { type Invocation, toBytes } from './invocation.ts';
import { type Command, helpText, parseCommandLine, type RunOptions, UsageError } from './options.ts';
import { VERSION } from './version.ts';

/** As env(1), nice(1) and timeout(1) have it: the fault is in how the wrapper itself was called. */
const WRONG_USE = 125;

export interface Services {
  /** Runs the program and returns its exit status, or does not return. Throws an Error with an `exitStatus` if it cannot. */
  run(options: RunOptions): Promise<number>;
  syscallHelp(): Promise<string>;
  cpuHelp(): Promise<string>;
  /** `lunagate rules …`; the exit status. Absent where nothing but running is wanted. */
  rules?(args: readonly string[], print: Services['print']): Promise<number>;
  print(descriptor: 1 | 2, text: string): void;
}

export async function main(invocation: Invocation, services: Services): Promise<number> {
  const complain = (message: string): void => services.print(2, `lunagate: ${message}\n`);
  let command: Command;
  try {
    command = parseCommandLine(invocation);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    complain(error.message);
    return WRONG_USE;
  }
  if (command.kind === 'version') {
    services.print(1, `lunagate ${VERSION}\n`);
    return 0;
  }
  if (command.kind === 'help') {
    const text = { syscalls: services.syscallHelp, cpu: services.cpuHelp }[command.topic ?? ''];
    services.print(1, text === undefined ? helpText() : await text());
    return 0;
  }
  if (command.kind === 'rules') {
    return services.rules === undefined ? WRONG_USE : services.rules(command.args, services.print);
  }
  try {
    const program = findProgram(command.program, invocation.env);
    return await services.run({ ...command.options, program: toBytes(program) });
  } catch (error) {
    const status = statusOf(error);
    if (status === undefined) throw error;
    complain((error as Error).message);
    return status;
  }
}

/**
 * Errors meant for the user carry the exit status they call for (ExecError, NotFound, LogFileError, …); any other
 * is a fault of the engine and keeps its stack trace.
 */
function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error && 'exitStatus' in error)) return undefined;
  return typeof error.exitStatus === 'number' ? error.exitStatus : undefined;
}

/** All of `text` to a descriptor, whatever it is (a full pipe that does not block included). */
export function print(descriptor: 1 | 2, text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(descriptor, bytes, done);
    } catch (error) {
      if ((error as { code?: string }).code !== 'EAGAIN') return;
    }
  }
}
