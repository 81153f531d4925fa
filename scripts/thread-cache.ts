/**
 * Writes V8's code cache for the script that Workers run: thread-cache.ts SCRIPT CACHE. To be run by the pinned node with the
 * flags of bin/lunagate, or V8 does not take the cache.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { Script } from 'node:vm';

const [script, cache] = process.argv.slice(2) as [string, string];
writeFileSync(cache, new Script(readFileSync(script, 'latin1'), { filename: 'lunagate-thread.cjs' }).createCachedData());
