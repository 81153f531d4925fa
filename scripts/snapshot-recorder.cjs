/**
 * Runs the program that the snapshot will hold, and keeps the bytecode of the functions that were called. Arguments: bundle,
 * where the code goes, then what lunagate would be called with, its main script first.
 */
const { existsSync, readFileSync, statSync, writeFileSync } = require('node:fs');
const { Script } = require('node:vm');

const [, , bundle, code, ...rest] = process.argv;
const script = new Script(readFileSync(bundle, 'latin1'), { filename: 'lunagate' });
let start;
const snapshot = { namespace: { setDeserializeMainFunction: (main) => (start = main) } };
script.runInThisContext()((name) => (name === 'internal/v8/startup_snapshot' ? snapshot : require(name)));
process.argv.splice(1, process.argv.length, ...rest);
// Each process the run forks comes here at its end; the one that knows most is heard.
globalThis.lunagateRecord = () => {
  const data = script.createCachedData();
  if (!existsSync(code) || statSync(code).size < data.length) writeFileSync(code, data);
};
start();
