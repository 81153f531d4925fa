// Does a program notice when a system call fails? Runs it once to count its calls, then once for each of them with
// just that call failing, and tells how it ended.
//
//     node examples/api/fault-campaign.mjs write ENOSPC /bin/sh -c 'echo a; echo b'

import { errno, run } from 'lunagate';

const [syscall, error, program, ...args] = process.argv.slice(2);
if (program === undefined || !(error in errno)) {
  console.error('usage: fault-campaign.mjs SYSCALL ERROR PROGRAM [ARGUMENT…], such as: write ENOSPC /bin/echo hello');
  process.exit(2);
}

/** Run the program with its call number `victim` failing. */
async function attempt(victim) {
  let count = 0;
  const guest = run({
    program,
    args,
    hooks: {
      [syscall]: () => (++count === victim ? -errno[error] : undefined),
    },
  });
  const result = await guest.output();
  return { ...result, count };
}

const healthy = await attempt(0);
const ending = ({ status, signal }) => (signal === null ? `exit status ${status}` : `killed by ${signal}`);
console.log(`${healthy.count} calls of ${syscall}; without failure: ${ending(healthy)}`);
let unnoticed = 0;
for (let k = 1; k <= healthy.count; k++) {
  const r = await attempt(k);
  const said = r.stderr !== healthy.stderr;
  const noticed = said || r.signal !== null || r.status !== healthy.status;
  if (!noticed) unnoticed++;
  console.log(`${error} at call ${k}: ${ending(r)}${noticed ? (said ? ', and said so' : '') : ', UNNOTICED'}`);
}
process.exitCode = unnoticed === 0 ? 0 : 1;
