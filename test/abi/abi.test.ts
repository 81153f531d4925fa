import assert from 'node:assert/strict';
import { constants as osConstants } from 'node:os';
import { constants as fsConstants } from 'node:fs';
import { test } from 'node:test';
import { constantSets, flagSet, formatConstant } from '../../src/abi/constant-set.ts';
import { modeBits, openFlags } from '../../src/abi/constants/files.ts';
import { mapFlags, protFlags } from '../../src/abi/constants/memory.ts';
import { addressFamilies, socketTypes } from '../../src/abi/constants/net.ts';
import { errno } from '../../src/abi/errno.ts';
import { linuxConstants } from '../../src/abi/linux.ts';
import { defaultAction, signalName, signo } from '../../src/abi/signals.ts';
import { at, elementOf, structLayout, structLayouts } from '../../src/abi/structs.ts';

test('a name has one value, in whatever set it stands', () => {
  const seen = new Map<string, number>();
  for (const set of constantSets()) {
    const all = [set.values, ...set.fields.map((f) => f.values)].flatMap((v) => Object.entries(v));
    for (const [name, value] of all) {
      assert.equal(seen.get(name) ?? value, value, `${name} in ${set.name}`);
      seen.set(name, value);
    }
  }
  assert.ok(seen.size > 2000);
});

test('a set is declared once', () => {
  assert.throws(() => flagSet('open', { X: 1 }), /open is declared twice/);
});

test('numbers are those of the machine this runs on', () => {
  const linux = linuxConstants();
  for (const [name, value] of Object.entries(fsConstants)) {
    // Node's own UV_ names are not Linux constants; O_DSYNC and the rest are.
    if (name.startsWith('O_') || /^[RWX]_OK$/.test(name) || /^S_I[RWX]/.test(name)) assert.equal(linux[name], value, name);
  }
  for (const [name, value] of Object.entries(osConstants.errno)) assert.equal((errno as Record<string, number>)[name], value, name);
  for (const [name, value] of Object.entries(osConstants.signals)) assert.equal((signo as Record<string, number>)[name], value, name);
});

test('values are printed as strace prints them', () => {
  const cases: [string, string][] = [
    [formatConstant(openFlags, 0), 'O_RDONLY'],
    [formatConstant(openFlags, 0o4010001), 'O_WRONLY|O_SYNC'],
    [formatConstant(openFlags, 0o10002), 'O_RDWR|O_DSYNC'],
    [formatConstant(openFlags, 0o20200002), 'O_RDWR|O_TMPFILE'],
    [formatConstant(openFlags, 0x40000000), 'O_RDONLY|0x40000000'],
    [formatConstant(protFlags, 0), 'PROT_NONE'],
    [formatConstant(protFlags, 5), 'PROT_READ|PROT_EXEC'],
    [formatConstant(mapFlags, 0x22), 'MAP_PRIVATE|MAP_ANONYMOUS'],
    [formatConstant(addressFamilies, 99), '0x63 /* AF_??? */'],
    [formatConstant(socketTypes, 0o2000001), 'SOCK_STREAM|SOCK_CLOEXEC'],
    [formatConstant(modeBits, 0o100000), 'S_IFREG'],
  ];
  for (const [got, wanted] of cases) assert.equal(got, wanted);
});

test('structures have the size and the offsets of the kernel headers', () => {
  // sizeof and offsetof as a C compiler gives them for x86-64.
  const sizes: Record<string, number> = {
    timespec: 16, timex: 208, rusage: 144, rlimit: 16, sysinfo: 112, utsname: 390, sched_attr: 56, clone_args: 88, iovec: 16,
    msghdr: 56, mmsghdr: 64, cmsghdr: 16, ucred: 12, sock_fprog: 16, sock_filter: 8, pollfd: 8, signalfd_siginfo: 128,
    sigaction: 32, stack_t: 24, siginfo: 128, sigevent: 64, flock: 32, statx: 256, statfs: 120, open_how: 24, termios: 36,
    robust_list_head: 24, futex_waitv: 24, iocb: 64, io_event: 32, sembuf: 6, shmid_ds: 112, msqid_ds: 120, mq_attr: 64,
    stat: 144, epoll_event: 12, semid_ds: 104, fd_set: 128,
  };
  for (const [name, size] of Object.entries(sizes)) assert.equal(structLayout(name)?.size, size, name);
  const offset = (struct: string, field: string, isa?: string): number => at(structLayout(struct, isa) as never, field);
  assert.equal(offset('stat', 'st_mode'), 24);
  assert.equal(offset('stat', 'st_size'), 48);
  assert.equal(offset('stat', 'st_mode', 'aarch64'), 16);
  assert.equal(offset('msghdr', 'msg_control'), 32);
  assert.equal(offset('epoll_event', 'data'), 4);
  assert.equal(offset('epoll_event', 'data', 'aarch64'), 8);
  assert.equal(offset('sigevent', 'sigev_notify'), 12);
  assert.equal(offset('timex', 'time'), 72);
  assert.throws(() => offset('stat', 'nothing'), /struct stat has no field nothing/);
});

test('every field names an existing set and lies in its structure', () => {
  const sets = new Set(constantSets().map((s) => s.name));
  for (const isa of ['x86_64', 'aarch64']) {
    for (const layout of structLayouts(isa)) {
      for (const f of layout.fields) {
        assert.ok(f.offset + f.size * f.count <= layout.size, `${layout.name}.${f.name}`);
        if (f.set !== undefined) assert.ok(sets.has(f.set), `${layout.name}.${f.name}: ${f.set}`);
      }
    }
  }
  assert.deepEqual(elementOf('int[2]'), { name: 'int', count: 2 });
  assert.deepEqual(elementOf('timespec'), { name: 'timespec', count: 1 });
});

test('signals have names and default actions', () => {
  assert.equal(signalName(11), 'SIGSEGV');
  assert.equal(signalName(32), 'SIGRTMIN');
  assert.equal(signalName(34), 'SIGRT_2');
  assert.equal(signalName(99), '99');
  assert.equal(defaultAction(signo.SIGCHLD), 'ignore');
  assert.equal(defaultAction(signo.SIGTSTP), 'stop');
  assert.equal(defaultAction(40), 'terminate');
});
