/** `lunagate rules check DIR…`: what can be said of rules without running anything. */

import type { Host } from '../../kernel/ports.ts';
import { syscallByName } from '../../syscalls/table.ts';
import type { SyscallNames } from '../api.ts';
import { luaSystem } from '../lua-system.ts';
import { sharedWords } from '../hook-lock.ts';
import { LuaVm } from '../lua-vm.ts';
import { nearestName } from '../near-name.ts';
import { successor } from '../relatives.ts';
import { RuleFileError, RulesDirectory } from '../rules-directory.ts';
import { readRulesToml } from '../rules-toml.ts';

export interface Finding {
  readonly kind: 'error' | 'warning';
  readonly text: string;
}

/** `return 0, x`: the original call; `return 1, x`: the result x. */
const FIRST_FORM = /\breturn\s+[01]\s*,/;

const mains: Readonly<Record<string, string>> = { entry: 'entry', finish: 'finish' };

export function checkRules(
  host: Host, directories: readonly string[], syscalls: SyscallNames, constants: () => Readonly<Record<string, number | bigint>>,
): { findings: Finding[]; scripts: number } {
  const findings: Finding[] = [];
  const add = (kind: Finding['kind'], text: string): void => void findings.push({ kind, text });
  let scripts = 0;
  try {
    const directory = new RulesDirectory(host, sharedWords());
    directory.open(directories, process.cwd());
    for (const { text, path, index } of directory.configurations()) {
      const { layers } = readRulesToml(text, path, syscalls, constants);
      directory.addLayers(layers.map((layer) => ({ ...layer, index, from: path })));
    }
    const compile = compiler(host);
    for (const file of directory.scan().values()) {
      scripts++;
      const { name, path } = file;
      let source: Buffer;
      try {
        source = directory.read(file);
      } catch (error) {
        if (!(error instanceof RuleFileError)) throw error;
        add('error', error.message);
        continue;
      }
      const failure = compile(source, path);
      if (failure !== undefined) add('error', failure);
      const main = mains[name] ?? 'do_syscall';
      const defines = new RegExp(`\\bfunction\\s+${main}\\b|\\b${main}\\s*=`).test(source.toString('latin1'));
      const declared = syscallByName(name);
      if (declared === undefined && !Object.hasOwn(mains, name)) {
        if (!defines || name.endsWith('_test')) continue; // a module for require, or a test
        const near = nearestName(name, syscalls.names());
        add('error', `${path}: there is no system call '${name}', so this script never runs${near === undefined ? '' : `; did you mean ${near}.lua?`}`);
        continue;
      }
      if (failure === undefined && !defines) add('error', `${path}: defines no global function ${main}`);
      if (main === 'do_syscall' && FIRST_FORM.test(source.toString('latin1')))
        add('warning', `${path}: returns two values (action, value), as rules of the first form did; only the first counts: see docs/coming-from.md`);
      const today = successor(name);
      if (today !== undefined) add('warning', `${path}: programs of today call ${today} instead; this fires only for old or static ones`);
      if (declared?.support.level === 'none') add('warning', `${path}: lunagate does not have ${name} (${declared.support.reason}); c_do_syscall gives -ENOSYS`);
    }
  } catch (error) {
    if (!(error instanceof RuleFileError)) throw error;
    add('error', error.message);
  }
  return { findings, scripts };
}

/** Compiles without running; the complaint if it cannot be compiled. */
function compiler(host: Host): (source: Uint8Array, path: string) => string | undefined {
  const never = (): never => {
    throw new Error('nothing is run here');
  };
  const vm = new LuaVm({
    system: (memory) => luaSystem(memory, { host, env: {}, stdio: [0, 1, 2], exit: never }),
    functions: {}, argument: never, original: never, tick: never, memoryLimit: 256 << 20,
  });
  vm.begin();
  return (source, path) => {
    const failure = vm.load(vm.L, source, `@${path}`, true);
    vm.x.lua_settop(vm.L, 0);
    return failure?.message;
  };
}
