/** The flags that bin/lunagate gives to node. V8 takes compiled code only under the flags it was made with. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** With the usual stack. */
export function launcherFlags(): string[] {
  const launcher = join(dirname(dirname(fileURLToPath(import.meta.url))), 'bin/lunagate');
  const last = /exec "\$node" ([^]*)$/.exec(readFileSync(launcher, 'utf8'))?.[1] ?? '';
  const flags = last.split(/\s+/).filter((flag) => flag.startsWith('--'));
  return [...flags, '--stack-size=253952', '--disable-warning=ExperimentalWarning'];
}
