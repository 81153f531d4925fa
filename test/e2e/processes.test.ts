/** Processes of real programs and of a compiled one: the native run is the expectation, standard error included. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, lunagate, native, work } from './harness.ts';

before(() => mkdirSync(work, { recursive: true }));
after(() => rmSync(work, { recursive: true, force: true }));

function same(name: string, command: readonly string[], input = ''): void {
  test(name, { timeout: 120_000 }, () => {
    const n = native(command, { input });
    const e = emulated(command, { input });
    assert.equal(e.stdout.toString(), n.stdout.toString(), e.stderr);
    assert.equal(e.stderr, n.stderr);
    assert.deepEqual({ status: e.status, signal: e.signal }, { status: n.status, signal: n.signal });
  });
}

/** Executes itself anew as often as the first argument says. */
const CHAIN = 'if [ $1 -gt 0 ]; then exec sh -c "$0" "$0" $(($1 - 1)); fi; echo end $$ | wc -w';

/** A script of several lines for `shell -c`. */
const script = (shell: string, text: string): string[] => [shell, '-c', text];

test('processes.c', { timeout: 120_000 }, () => {
  const program = compile('processes.c');
  const n = native([program]);
  const e = emulated([program], { timeout: 110_000 });
  assert.equal(n.status, 0, n.stderr);
  assert.equal(e.stdout.toString(), n.stdout.toString(), e.stderr);
  assert.deepEqual({ status: e.status, signal: e.signal }, { status: n.status, signal: n.signal }, e.stderr);
});

same(
  'other processes are seen with their command lines',
  script(
    'sh',
    `
  A=1 sleep 61.0437 & until [ "$(ps -o comm= -p $!)" = sleep ]; do sleep 0.05; done
  ps -o args= -p $!; tr '\\0' '\\n' </proc/$!/environ | grep ^A=; pgrep -f "^sleep 61.0437" | grep -c "^$!\\$"; pkill -f "^sleep 61.0437"; wait; echo $?`,
  ),
);

describe('shells', () => {
  for (const shell of ['bash', 'dash']) {
    same(
      `${shell}: pipes, subshells, substitution`,
      script(
        shell,
        `
      echo $(echo one | tr a-z A-Z) \`printf two\`; (exit 3); echo $?; (cd /; pwd); pwd | wc -l
      seq 5 | while read x; do echo $((x * x)); done | tail -2
      a=outer; (a=inner; echo $a); echo $a; false | true; echo $?; ! true; echo $?; nothing-of-that-name; echo $?`,
      ),
    );
    same(
      `${shell}: here-documents`,
      script(shell, `cat <<A; cat <<'B'\nexpanded $((40 + 2)) $(echo sub)\nA\nplain $HOME\nB`),
    );
    same(
      `${shell}: traps and kill`,
      script(
        shell,
        `
      trap 'echo term' TERM; kill -TERM $$; sleep 0.1 & wait; echo $?
      sh -c 'trap "exit 9" USR1; kill -USR1 $$; sleep 1'; echo $?
      trap 'echo bye' EXIT; (sh -c 'kill -KILL $$'; echo $?) 2>/dev/null; exit 4`,
      ),
    );
    same(
      `${shell}: background jobs`,
      script(
        shell,
        `(sleep 0.2; echo late) & (echo early) ; wait; sleep 0.1 & p=$!; wait $p; echo $?; exec echo replaced`,
      ),
    );
  }
  same(
    'bash: pipefail, coproc, process substitution',
    script(
      'bash',
      `
    set -o pipefail; false | true; echo $?; coproc cat; echo hi >&\${COPROC[1]}; read x <&\${COPROC[0]}; echo $x
    diff <(echo a) <(echo b); echo $?; mapfile -t l < <(seq 3); echo \${#l[@]}`,
    ),
  );
  same('bash: fifty substitutions', script('bash', 'for ((k = 0; k < 50; k++)); do s+=$(echo $k); done; echo $s'));
  same('a chain of 150 programs', ['sh', '-c', CHAIN, CHAIN, '150']);
  same('job control on a terminal', [
    'sh',
    '-c',
    `script -qec "bash -i -c 'tty >/dev/null && echo tty; set -m; sleep 0.2 & jobs; fg; echo end'" /dev/null </dev/null | sed 's/\\[1\\] [0-9]*/[1] N/'`,
  ]);
  same('exit by a signal', script('sh', 'kill -SEGV $$'));
});

describe('programs that start others', () => {
  same('xargs -P', script('sh', 'seq 20 | xargs -P 3 -n 4 echo | sort'));
  same('env', ['env', '-i', 'A=b', 'sh', '-c', 'echo $A; env']);
  same('nohup', ['nohup', 'sh', '-c', 'kill -HUP $$; echo still here']);
  same('timeout', ['timeout', '0.3', 'sleep', '5']);
  same('timeout -s KILL', ['timeout', '-s', 'KILL', '0.3', 'sleep', '5']);
  same('nice and setsid', ['nice', '-n', '5', 'setsid', '-w', 'sh', '-c', 'nice; exit 3']);
  same('find -exec', script('sh', 'find /etc -maxdepth 1 -name "h*" -exec basename {} \\; | sort'));
  same('tar with gzip', script('sh', 'tar czf - -C /etc hosts passwd | tar tzf -'));
  same('sort of what another sorted', script('sh', 'seq 50000 | sort -R | sort -n | cksum'));
  same('perl', [
    'perl',
    '-e',
    `
    my $p = fork(); if (!$p) { exit 7 } waitpid($p, 0); print $? >> 8, "\\n"; print \`echo back\`; system("exit 5"); print $? >> 8, "\\n";
    open(P, "-|", "echo piped"); print <P>; close P; pipe(R, W); if (fork() == 0) { print W "w\\n"; exit 0 } close W; print <R>; wait; print "$?\\n"`,
  ]);
  same('python3 subprocess', [
    '/usr/bin/python3',
    '-c',
    `
import os, subprocess
print(subprocess.run(["tr", "a-z", "A-Z"], input=b"text", capture_output=True))
try: subprocess.run(["/nonexistent"])
except FileNotFoundError as error: print(error)
print(subprocess.run("exit 3", shell=True, preexec_fn=os.setsid).returncode, subprocess.Popen(["kill", "-9", "0"], start_new_session=True).wait())
r, w = os.pipe()
if os.fork() == 0: os.write(w, b"child"); os._exit(3)
print(os.read(r, 9), os.wait()[1] >> 8, os.popen("echo p").read(), os.system("exit 3"), os.posix_spawn("/bin/true", ["true"], {}) > 0)`,
  ]);
  same('python3 multiprocessing', [
    '/usr/bin/python3',
    '-c',
    `
import multiprocessing as m, os
def f(q, x): q.send(x * x)
m.set_start_method("fork")
a, b = m.Pipe()
p = [m.Process(target=f, args=(b, i)) for i in range(4)]
[x.start() for x in p]; [x.join() for x in p]
print(sorted(a.recv() for _ in p), [x.exitcode for x in p])`,
  ]);
  same(
    'make -j2',
    script(
      'sh',
      `
    d=$(mktemp -d); cd $d; for i in 1 2 3; do echo "int f$i(int x) { return x + $i; }" > f$i.c; done
    echo 'int f1(int), f2(int), f3(int), printf(const char *, ...); int main() { printf("%d\\n", f1(f2(f3(1)))); return 0; }' > main.c
    printf 'prog: main.o f1.o f2.o f3.o\\n\\tgcc -o $@ $^\\nclean:\\n\\trm -f *.o prog\\n' > Makefile
    make -s -j2 && ./prog && make -s clean && ls; rm -rf $d`,
    ),
  );
  same(
    'git',
    script(
      'sh',
      `
    d=$(mktemp -d); cd $d; export HOME=$d GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    export GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z
    git init -q -b main . && echo hello > f && git add f && git commit -qm first && echo more >> f && git commit -qam second
    git log --stat | cat; git -c pack.threads=1 -c gc.auto=0 repack -adq; git fsck --full 2>&1; git status -s; rm -rf $d`,
    ),
  );
});

describe('hooks and the log follow', () => {
  const rules = join(work, 'rules');
  const forwarding = join(work, 'forwarding');
  before(() => {
    mkdirSync(rules, { recursive: true });
    mkdirSync(forwarding, { recursive: true });
    writeFileSync(join(rules, 'getuid.lua'), 'local n = 0\nfunction do_syscall(...) n = n + 1 return 4000 + n end\n');
    for (const name of ['execve', 'clone', 'clone3', 'vfork', 'fork', 'exit_group', 'wait4', 'rt_sigreturn']) {
      writeFileSync(join(forwarding, `${name}.lua`), 'function do_syscall(...) return c_do_syscall(...) end\n');
    }
  });
  test('children have a copy of the state, programs a fresh one', () => {
    const program = compile('hooked-processes.c');
    const e = emulated([program], { options: ['--quiet', '--rules', rules] });
    assert.equal(e.stderr, '');
    assert.equal(
      e.stdout.toString(),
      'parent 4001\nchild 4002\nchild 4003\nparent 4002\nexeced 4001\nexeced 4002\n7\n',
    );
    assert.equal(e.status, 0);
  });
  test('a shell under forwarding hooks', () => {
    const command = script(
      'bash',
      'trap "echo usr1" USR1; kill -USR1 $$; echo $(echo a | cat); (exit 5); echo $?; exec sh -c "exit 6"',
    );
    const n = native(command);
    const e = emulated(command, { options: ['--quiet', '--rules', forwarding] });
    assert.equal(e.stderr, '');
    assert.equal(e.stdout.toString(), n.stdout.toString());
    assert.equal(e.status, n.status);
  });
  test('a process that has given up being root forks on', { skip: process.getuid?.() !== 0 }, () => {
    const command = [
      '/usr/bin/python3',
      '-c',
      `
import os, subprocess
os.setgroups([]); os.setgid(65534); os.setuid(65534)
if os.fork() == 0: os._exit(3)
print(os.wait()[1] >> 8, subprocess.run(["id", "-u"], capture_output=True).stdout, os.popen("echo on").read())`,
    ];
    const n = native(command);
    const e = emulated(command);
    assert.equal(e.stdout.toString(), n.stdout.toString(), e.stderr);
    assert.equal(e.status, 0);
  });
  test('-strace shows each process', () => {
    const e = emulated(script('sh', '/bin/true; exit 3'), { options: ['-strace'] });
    assert.match(
      e.stderr,
      /\[pid +\d+\] execve\("\/bin\/true", \["\/bin\/true"\], 0x[0-9a-f]+ \/\* \d+ vars \*\/\) = 0\n/,
    );
    assert.equal(e.stderr.match(/\+\+\+ exited with/g)?.length, 2);
    assert.equal(e.status, 3);
  });
});

/** Process ids whose environment names `mark`. */
function alive(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark);
      } catch {
        return false;
      }
    });
}

test('kill -9 of lunagate leaves nothing of it', { timeout: 60_000 }, async () => {
  const mark = `mark-${process.pid}`;
  const child = spawn(lunagate, ['/bin/sh', '-c', '(echo up; read x)'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, MARK: mark },
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  assert.notEqual(alive(mark).length, 0);
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
  // The guest's own child reads the end of its input and goes, as it would natively.
  child.stdin.destroy();
  while (alive(mark).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
});
