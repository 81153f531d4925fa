/** Entry of the bundle: wires the command line to this process. The engine is loaded only if there is a program to run. */

import { main, print } from './cli.ts';
import { readInvocation } from './invocation.ts';

const status = await main(readInvocation(), {
  run: async (options) => (await import('../emulator.ts')).run(options),
  syscallHelp: async () => {
    const [{ syscallHelp }, { syscalls }] = await Promise.all([
      import('./syscall-help.ts'),
      import('../syscalls/table.ts'),
    ]);
    return syscallHelp(syscalls, 'x86_64');
  },
  cpuHelp: async () => (await import('../emulator.ts')).cpuHelp(),
  rules: async (args, say) => (await import('../emulator.ts')).rulesCommand(args, say),
  print,
});
process.exit(status);
