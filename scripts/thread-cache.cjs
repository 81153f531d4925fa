/**
 * Preloaded into a process that starts from the start-up snapshot: writes V8's code cache for the script that Workers run,
 * with the bytecode of the functions that a run of a program called. V8 takes such code only under the flags it was made with
 * and over the read-only heap it was made over, which a Worker has from the snapshot its process started from. Arguments: script,
 * where the cache goes, program, its arguments.
 */
const { existsSync, readFileSync, statSync, writeFileSync } = require('node:fs');
const { resolve } = require('node:path');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');

const [, file, cache, program, ...args] = process.argv;
const script = new Script(readFileSync(file, 'latin1'), { filename: 'lunagate-thread.cjs' });
Object.assign(globalThis, { lunagateUrl: pathToFileURL(resolve(file)).href, require });
script.runInThisContext();
const bytes = (text) => Buffer.from(text);
globalThis.lunagateRun(
  {
    program: bytes(program),
    argv: [program, ...args].map(bytes),
    envp: [],
    rules: [],
    hooks: [],
    inject: [],
    paths: [],
    dumpRegions: [],
    quiet: true,
  },
  // Each process the run forks comes here at its end; the one that knows most is heard.
  () => {
    const data = script.createCachedData();
    if (!existsSync(cache) || statSync(cache).size < data.length) writeFileSync(cache, data);
  },
);
