const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
console.log(fib(22), 2n ** 200n % 97n, 0.1 + 0.2, (1e21).toString(), [3, 10, 2].sort(), JSON.stringify({ a: [1, null, 'ü'] }), 'héllo'.toUpperCase(), /(\d+)-(?<x>\w+)/.exec('a 12-bc').groups.x);
const words = new Map(); for (const w of require('fs').readFileSync('text', 'utf8').match(/\p{L}+/gu)) words.set(w, (words.get(w) ?? 0) + 1);
console.log([...words].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 8));
class A { #p = 1; get p() { return this.#p; } static s = 5; *[Symbol.iterator]() { yield* [1, 2, 3]; } } console.log(new A().p, A.s, [...new A()]);
const a = new Float64Array(1000).map((_, i) => Math.sin(i)); console.log(a.reduce((x, y) => x + y), Math.hypot(3, 4), Math.cbrt(2), Math.fround(0.1), new Uint8Array(new Float32Array([1.5]).buffer));
let h = 0; for (let i = 0; i < 2e6; i++) h = (Math.imul(h, 31) + i) | 0; console.log(h);
try { null.x; } catch (e) { console.log(e.message); } function deep() { return 1 + deep(); } try { deep(); } catch (e) { console.log(e.constructor.name); }
console.log(require('zlib').gunzipSync(require('zlib').gzipSync('x'.repeat(1000))).length, require('crypto').createHash('md5').update('x').digest('hex'), new Date(0).toISOString(), structuredClone({ d: [1] }));
Promise.all([1, 2, 3].map((x) => new Promise((r) => setTimeout(() => r(x * x), 5 * x)))).then((r) => { console.log(r); process.exitCode = 3; });
