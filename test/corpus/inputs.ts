/** The directory every case starts in: `inputs/` as it is in the repository and what is made here, alike each time. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A fixed time for every file, so that listings agree between runs. */
const WHEN = 1_600_000_000;

export function makeInputs(directory: string): void {
  cpSync(join(import.meta.dirname, 'inputs'), directory, { recursive: true });
  const put = (name: string, content: string | Buffer): void => writeFileSync(join(directory, name), content);
  let s = 12345;
  const random = Buffer.alloc(1 << 18);
  for (let k = 0; k < random.length; k++) {
    s = (Math.imul(s, 1103515245) + 12345) >>> 0;
    random[k] = s >>> 24;
  }
  put('random', random);
  const words = 'the quick brown fox jumps over a lazy dog while seven café owners naïvely drink über-strong tea'.split(' ');
  const lines = Array.from(
    { length: 4000 },
    (_, k) => `${(k * 7919) % 4001}\t${words[(random[k] as number) % words.length]} ${words[(random[k + 9] as number) % words.length]} line ${k} ${random.subarray(k, k + 6).toString('hex')}`,
  );
  put('text', `${lines.join('\n')}\n`);
  put('sorted', `${lines.map((l) => l.split('\t')[1]).sort().join('\n')}\n`);
  put('text2', `${lines.map((l, k) => (k % 97 === 5 ? `${l} changed` : l)).filter((_, k) => k % 301 !== 7).join('\n')}\n`);
  put('numbers', `${Array.from({ length: 3000 }, (_, k) => ((k * 7919) % 3001) * (k % 3 === 0 ? 0.37 : -1)).join('\n')}\n`);
  put('table.csv', `name,count,price\n${Array.from({ length: 300 }, (_, k) => `item ${k % 37},${k * 3},${(k / 7).toFixed(3)}`).join('\n')}\n`);
  put('data.json', JSON.stringify({ list: lines.slice(0, 200).map((l, k) => ({ k, l, odd: k % 2 === 1 })), x: 1.5e300, y: [null, true, 'ünï'] }));
  put('data.xml', `<?xml version="1.0"?>\n<!DOCTYPE r [<!ENTITY e "entity">]>\n<r xmlns:a="urn:a">${lines.slice(0, 200).map((l, k) => `<item id="${k}" a:x="&e;">${l.split('\t')[1]}</item>`).join('\n')}</r>\n`);
  mkdirSync(join(directory, 'tree/a/b'), { recursive: true });
  for (const f of ['tree/one', 'tree/a/two', 'tree/a/b/three']) put(f, `hello ${f}\nfoo bar\n`);
  symlinkSync('a/two', join(directory, 'tree/link'));
  symlinkSync('nowhere', join(directory, 'tree/dangling'));
  // Binary inputs by native programs.
  const sh = `
    convert -size 160x120 plasma:tomato-steelblue -seed 7 photo.png
    convert photo.png -quality 90 photo.jpg
    convert photo.png photo.ppm &&
    convert photo.png photo.gif
    convert photo.png photo.tiff
    convert -size 200x100 xc:white -fill black -draw 'circle 50,50 50,20' drawing.png
    sox -R -n -r 16000 -b 16 tone.wav synth 1 sine 440 synth 1 square mix 220
    gcc -O2 -g -c programs/sort.c -o object.o
    ar rcsD lib.a object.o
    gcc -shared -fPIC -o shared.so programs/sort.c
    tar --sort=name --owner=0 --group=0 --mtime=@${WHEN} -cf tree.tar tree
    gzip -nk tree.tar
    gzip -nkc text > text.gz
    xz -kc text > text.xz
    bzip2 -kc text > text.bz2
    zstd -qkc text > text.zst
    lz4 -qc text > text.lz4
    brotli -c text > text.br
    lzip -kc text > text.lz
    lzop -c text > text.lzo
    zip -qrX tree.zip tree
    7z a -bd text.7z text > 7z.log
    rm 7z.log
    openssl genrsa -out rsa.pem 2048 2>/dev/null
    openssl rsa -in rsa.pem -pubout -out rsa.pub 2>/dev/null
    openssl ecparam -genkey -name prime256v1 -out ec.pem
    openssl ec -in ec.pem -pubout -out ec.pub 2>/dev/null
    openssl req -x509 -key rsa.pem -subj /CN=corpus -days 3650 -out cert.pem
    openssl dgst -sha256 -sign rsa.pem -out rsa.sig text
    openssl dgst -sha256 -sign ec.pem -out ec.sig text
    ssh-keygen -q -t ed25519 -N '' -C corpus -f id_ed25519
    sqlite3 small.db 'create table t(a integer primary key, b text); with recursive n(i) as (select 1 union all select i+1 from n where i < 500) insert into t select i, hex(i*i) from n;'
    find . -exec touch -h -d @${WHEN} {} +`;
  execFileSync('sh', ['-ec', sh.replaceAll('\n    ', '\n')], { cwd: directory, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, TZ: 'UTC', LANG: 'C.UTF-8', HOME: directory } });
  utimesSync(directory, WHEN, WHEN);
}
