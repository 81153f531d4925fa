/**
 * Entry of the start-up snapshot: the same wiring as src/cli/main.ts, with every module loaded before the snapshot is
 * taken, so that starting reads a heap instead of running 800 KB of JavaScript.
 *
 * node:v8, whose `startupSnapshot` is the public way to do this, must not be loaded: it brings in Node's streams, and a
 * process whose snapshot holds those cannot start Workers. The build has Node's internal modules exposed.
 */

import { pathToFileURL } from 'node:url';
import { main, print } from '../src/cli/cli.ts';
import { readInvocation } from '../src/cli/invocation.ts';
import { syscallHelp } from '../src/cli/syscall-help.ts';
import { cpuHelp, prepareSnapshot, rulesCommand, run } from '../src/emulator.ts';
import { syscalls } from '../src/syscalls/table.ts';

declare const require: (name: string) => unknown;
const internal = require('internal/v8/startup_snapshot') as {
  namespace: { setDeserializeMainFunction(main: () => void): void };
};

declare global {
  /** Set by snapshot-recorder.cjs. */
  var lunagateRecord: (() => void) | undefined;
}

async function start(): Promise<void> {
  const status = await main(readInvocation(), { run: (options) => run(options, globalThis.lunagateRecord), syscallHelp: async () => syscallHelp(syscalls, 'x86_64'), cpuHelp: async () => cpuHelp(), rules: async (args, say) => rulesCommand(args, say), print });
  process.exit(status);
}

prepareSnapshot();
internal.namespace.setDeserializeMainFunction(() => {
  // The launcher names the bundle as the main script, so that files beside it are found.
  Object.assign(globalThis, { lunagateUrl: pathToFileURL(process.argv[1] as string).href });
  void start();
});
