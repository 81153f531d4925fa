/**
 * Runs inside `node --build-snapshot`: loads the bundled program with the compiled code that a run of it left behind
 * (snapshot-recorder.cjs), so that the functions it needs are in the snapshot as bytecode. Arguments: bundle, code.
 */
const { existsSync, readFileSync } = require('node:fs');
const { Script } = require('node:vm');

const [, , bundle, code] = process.argv;
{
  const script = new Script(readFileSync(bundle, 'latin1'), {
    filename: 'lunagate',
    cachedData: existsSync(code) ? readFileSync(code) : undefined,
  });
  if (script.cachedDataRejected) throw new Error(`compiled code of another node or other flags: ${code}`);
  script.runInThisContext()(require);
}
