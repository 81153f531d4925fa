/** Finding a program by name in PATH, as execvp(3) and the shells do. */

import { accessSync, constants, statSync } from 'node:fs';
import { type ByteString, toBytes, toText } from './invocation.ts';

/** What glibc searches where there is no PATH. */
const DEFAULT_PATH = '/bin:/usr/bin';

export class NotFound extends Error {
  override readonly name = 'NotFound';
  readonly exitStatus: 126 | 127;
  constructor(message: string, exitStatus: 126 | 127) {
    super(message);
    this.exitStatus = exitStatus;
  }
}

/**
 * The file that `name` means. A name with a slash means itself, whether there is such a file or not: the loader
 * says what is wrong with it. Throws NotFound.
 */
export function findProgram(name: ByteString, env: readonly ByteString[]): ByteString {
  if (name.includes('/')) return name;
  const path = env.find((e) => e.startsWith('PATH='))?.slice('PATH='.length) ?? DEFAULT_PATH;
  let refused: ByteString | undefined;
  for (const directory of path.split(':')) {
    const candidate = `${directory === '' ? '.' : directory}/${name}`;
    const state = executable(candidate);
    if (state === 'yes') return candidate;
    if (state === 'no') refused ??= candidate;
  }
  if (refused !== undefined)
    throw new NotFound(`${toText(refused)}: Permission denied (the file is not executable; chmod +x makes it so)`, 126);
  const here = executable(`./${name}`) === undefined ? '' : `; for the one in this directory write ./${toText(name)}`;
  throw new NotFound(`${toText(name)}: not found in PATH${here}`, 127);
}

/** 'no' for a regular file that may not be executed; undefined if there is no regular file. */
function executable(path: ByteString): 'yes' | 'no' | undefined {
  const name = Buffer.from(toBytes(path));
  try {
    if (!statSync(name).isFile()) return undefined;
  } catch {
    return undefined;
  }
  try {
    accessSync(name, constants.X_OK);
    return 'yes';
  } catch {
    return 'no';
  }
}
