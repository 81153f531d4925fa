/** `lunagate rules …`: the tools for who writes rules. Needs no program to run. */

import { statSync } from 'node:fs';
import { errno } from '../abi/errno.ts';
import { linuxConstants } from '../abi/linux.ts';
import { createMachine } from '../host/machine.ts';
import { checkRules } from '../hooks/commands/check.ts';
import { newRule } from '../hooks/commands/new.ts';
import { testRules } from '../hooks/commands/test.ts';
import { declaredSyscalls } from '../hooks/declared.ts';
import { nearestName } from '../hooks/near-name.ts';
import { Process } from '../kernel/process.ts';
import { syscallByName } from '../syscalls/table.ts';
import { describeCall } from '../trace/describe.ts';

export const rulesUsage = `usage: lunagate rules check DIR…   say what is wrong with rules, without running them
       lunagate rules new NAME     print a script for system call NAME to start from
       lunagate rules test DIR…    run the *_test.lua beside rules, without a program
(to run a program called rules: lunagate ./rules, or lunagate -- rules)
`;

/** Less than a program needs: only what tests put there. */
const PAGES = 0x1000;
const WRONG_USE = 125;

export function rulesCommand(args: readonly string[], print: (descriptor: 1 | 2, text: string) => void): number {
  const [what = '', ...rest] = args;
  const wrong = (message: string): number => {
    print(2, `lunagate: ${message}\n`);
    return WRONG_USE;
  };
  if (what === 'help' || what === '--help' || what === '-h') {
    print(1, rulesUsage);
    return 0;
  }
  if (!['check', 'new', 'test'].includes(what) || rest.length === 0 || (what === 'new' && rest.length > 1)) {
    print(2, rulesUsage);
    return WRONG_USE;
  }
  if (what === 'new') {
    const [name = ''] = rest;
    const call = syscallByName(name.replace(/\.lua$/, ''));
    if (call === undefined) {
      const near = nearestName(name, declaredSyscalls.names());
      return wrong(`rules new ${name}: there is no system call of this name${near === undefined ? '; lunagate --help syscalls lists them' : `; did you mean ${near}?`}`);
    }
    print(1, newRule(call));
    return 0;
  }
  if (what === 'check') {
    const { host } = createMachine({ pages: PAGES });
    const { findings, scripts } = checkRules(host, rest, declaredSyscalls, linuxConstants);
    for (const { kind, text } of findings) print(1, `${kind}: ${text}\n`);
    const count = (kind: string): number => findings.filter((f) => f.kind === kind).length;
    const plural = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
    print(1, `${plural(scripts, 'script')} checked: ${plural(count('error'), 'error')}, ${plural(count('warning'), 'warning')}\n`);
    return count('error') > 0 ? 1 : 0;
  }
  for (const directory of rest) {
    try {
      if (!statSync(directory).isDirectory()) return wrong(`rules test ${directory}: not a directory`);
    } catch {
      return wrong(`rules test ${directory}: no such directory`);
    }
  }
  const { ran, failed } = testRules(testHost(), rest, (line) => print(1, `${line}\n`));
  if (ran + failed === 0) return wrong(`rules test: there is no *_test.lua in ${rest.join(', ')}`);
  print(1, `${ran} run, ${failed} failed\n`);
  return failed > 0 ? 1 : 0;
}

function testHost() {
  const { host, guestMemory, space } = createMachine({ pages: PAGES });
  const memory = (bytes: number): number => space.mmap(0, bytes, 3, 0x22);
  // No registers, no descriptors: what a test does not make up is not there.
  const cpu = {
    registerNames: [], getRegister: () => undefined, setRegister: () => false, pc: 0, sp: 0, tls: 0n,
    loadSyscall: () => undefined, setSyscallResult: () => undefined,
  };
  const process = new Process(host, guestMemory, space, { descriptors: new Map() });
  process.image = { ...process.image, path: '/test', argv: [Buffer.from('test')] };
  const task = process.createTask(cpu);
  return {
    task,
    memory,
    options: {
      host,
      syscalls: declaredSyscalls,
      mapGuest: memory,
      unmapGuest: (addr: number, bytes: number) => void space.munmap(addr, bytes),
      constants: { linux: linuxConstants, errno: () => errno },
      describe: describeCall,
    },
  };
}
