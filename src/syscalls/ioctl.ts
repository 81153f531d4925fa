/**
 * ioctl(2). A request says what its argument is: a plain value, a structure of a size, or one that carries
 * descriptors or pointers and is translated here. Requests of the _IO/_IOR/_IOW/_IOWR form carry their size; the
 * older ones are listed.
 *
 * Invariant: a guest address never reaches the kernel untranslated: an unlisted request whose argument could be an
 * address is given as one.
 */

import { errno } from '../abi/errno.ts';
import type { Arg, GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { choiceUnsigned, fd, long, partial, pointer, syscall } from './declare.ts';

const O_CLOEXEC = 0o2000000;
/** Below this the guest has no memory (mmap_min_addr): such an argument is a value. */
const LOWEST_ADDRESS = 0x10000;

const FIONCLEX = 0x5450;
const FIOCLEX = 0x5451;
const TIOCGPTPEER = 0x5441;
const FICLONE = 0x40049409;
const FICLONERANGE = 0x4020940d;
const FIDEDUPERANGE = 0xc0189436;
const FS_IOC_FIEMAP = 0xc020660b;
const SIOCGIFCONF = 0x8912;
const SIOCADDRT = 0x890b;
const SIOCDELRT = 0x890c;
const SIOCETHTOOL = 0x8946;
const LOOP_SET_FD = 0x4c00;
const LOOP_CHANGE_FD = 0x4c06;
const LOOP_CONFIGURE = 0x4c0a;
const PERF_EVENT_IOC_SET_OUTPUT = 0x2405;
const PIDFD_GET_INFO_TYPE = 0xff;

/** Requests whose argument is a value or is not looked at. */
const values = new Set([
  // terminals: TCSBRK TCXONC TCFLSH TIOCEXCL TIOCNXCL TIOCSCTTY TIOCCONS TIOCNOTTY TCSBRKP TIOCSBRK TIOCCBRK TIOCVHANGUP
  0x5409, 0x540a, 0x540b, 0x540c, 0x540d, 0x540e, 0x541d, 0x5422, 0x5425, 0x5427, 0x5428, 0x5437,
  0x545c, // TIOCMIWAIT
  // block devices: BLKRRPART BLKFLSBUF BLKRASET BLKFRASET BLKTRACESTART BLKTRACESTOP BLKTRACETEARDOWN
  0x125f, 0x1261, 0x1262, 0x1264, 0x1274, 0x1275, 0x1276,
  // consoles: KIOCSOUND KDMKTONE KDSETLED KDADDIO KDDELIO KDENABIO KDDISABIO KDSETMODE KDMAPDISP KDUNMAPDISP KDSKBMODE
  0x4b2f, 0x4b30, 0x4b32, 0x4b34, 0x4b35, 0x4b36, 0x4b37, 0x4b3a, 0x4b3c, 0x4b3d, 0x4b45,
  0x4b4e, 0x4b63, 0x4b65, // KDSIGACCEPT KDSKBMETA KDSKBLED
  // VT_SENDSIG VT_RELDISP VT_ACTIVATE VT_WAITACTIVE VT_DISALLOCATE VT_LOCKSWITCH VT_UNLOCKSWITCH
  0x5604, 0x5605, 0x5606, 0x5607, 0x5608, 0x560b, 0x560c,
  0x4c01, 0x4c07, 0x4c08, 0x4c09, 0x4c80, 0x4c81, 0x4c82, // LOOP_CLR_FD, SET_CAPACITY, SET_DIRECT_IO, SET_BLOCK_SIZE, CTL_*
  0x2400, 0x2401, 0x2402, 0x2403, // PERF_EVENT_IOC_ENABLE DISABLE REFRESH RESET
  0x5204, 0x5206, 0x5207, // RNDCLEARPOOL …
]);

/** Requests outside the _IOC scheme whose argument is a pointer, with the bytes it reaches over. */
const sizes: Readonly<Record<number, number>> = {
  // struct termios / termio / winsize, int
  0x5401: 36, 0x5402: 36, 0x5403: 36, 0x5404: 36, 0x5405: 18, 0x5406: 18, 0x5407: 18, 0x5408: 18, 0x540f: 4, 0x5410: 4,
  0x5411: 4, 0x5412: 1, 0x5413: 8, 0x5414: 8, 0x5415: 4, 0x5416: 4, 0x5417: 4, 0x5418: 4, 0x5419: 4, 0x541a: 4,
  0x541b: 4, 0x541c: 16, 0x541e: 72, 0x541f: 72, 0x5420: 4, 0x5421: 4, 0x5423: 4, 0x5424: 4, 0x5429: 4, 0x542e: 32,
  0x542f: 32, 0x5432: 24, 0x5433: 24, 0x5434: 24, 0x5435: 24, 0x5452: 4, 0x5456: 36, 0x5457: 36, 0x545d: 80, 0x5460: 8,
  // FIBMAP FIGETBSZ HDIO_GETGEO BLKROSET BLKROGET BLKGETSIZE BLKRAGET BLKFRAGET BLKSECTGET BLKSSZGET …
  0x0001: 4, 0x0002: 4, 0x0301: 16, 0x030d: 512, 0x125d: 4, 0x125e: 4, 0x1260: 8, 0x1263: 8, 0x1265: 8, 0x1267: 4,
  0x1268: 4, 0x1277: 16, 0x1278: 4, 0x1279: 4, 0x127a: 4, 0x127b: 4, 0x127c: 4, 0x127d: 16, 0x127e: 2, 0x127f: 16,
  // LOOP_SET_STATUS GET_STATUS SET_STATUS64 GET_STATUS64
  0x4c02: 168, 0x4c03: 168, 0x4c04: 232, 0x4c05: 232,
};
/** struct ifreq and everything else of the socket family that has no size of its own. */
const SOCKET_SIZE = 40;
const socketSizes: Readonly<Record<number, number>> = {
  0x8901: 4, 0x8902: 4, 0x8903: 4, 0x8904: 4, 0x8905: 4, 0x8906: 16, 0x8907: 16, // FIOSETOWN … SIOCATMARK, SIOCGSTAMP
  0x8953: 68, 0x8954: 68, 0x8955: 68, // ARP
};

/** Families whose structures hold pointers or that make descriptors the engine cannot follow: answered ENOTTY. */
const refused: Readonly<Record<number, string>> = {
  0x22: 'SCSI generic (pointers inside)',
  0x3b: 'VFIO',
  0x62: 'binder',
  0x64: 'DRM (pointers inside)',
  0xae: 'KVM',
};

/** What to pass on for a request that is not translated by hand. */
function plain(task: Task, request: number, raw: Arg, address: GuestAddr): Arg {
  if (values.has(request)) return raw;
  const known = sizes[request];
  if (known !== undefined) return task.pointer(address, known);
  const type = (request >>> 8) & 0xff;
  const size = (request >>> 16) & 0x3fff;
  const direction = request >>> 30;
  if (type === 0x89 && direction === 0) return task.pointer(address, socketSizes[request] ?? SOCKET_SIZE);
  if (direction !== 0 && size > 0) return task.pointer(address, size);
  return address < LOWEST_ADDRESS || address >= 2 ** 47 ? raw : task.pointer(address, 1);
}

/** Private copy of a structure, for changing descriptors or pointers in it. */
function privateCopy(task: Task, address: GuestAddr, bytes: number): { view: DataView; host: number } {
  const copy = task.memory.read(address, bytes);
  const { at, address: host } = task.scratch(bytes);
  const { scratch } = task.host;
  scratch.bytes.set(copy, at);
  return { view: new DataView(scratch.bytes.buffer, scratch.bytes.byteOffset + at, bytes), host };
}

function back(task: Task, address: GuestAddr, view: DataView): void {
  task.memory.write(address, new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
}

/** struct file_dedupe_range: 24 bytes, then dest_count infos of 32 bytes whose first field is a descriptor. */
function dedupe(task: Task, hostFd: number, address: GuestAddr): number {
  const count = task.memory.u16(address + 16);
  const { view, host } = privateCopy(task, address, 24 + 32 * count);
  const named: bigint[] = [];
  for (let k = 0; k < count; k++) {
    const at = 24 + 32 * k;
    named.push(view.getBigInt64(at, true));
    view.setBigInt64(at, BigInt(task.hostFd(Number(BigInt.asIntN(32, named[k] as bigint)))), true);
  }
  const result = task.call('ioctl', hostFd, FIDEDUPERANGE, host);
  named.forEach((fd, k) => view.setBigInt64(24 + 32 * k, fd, true));
  if (result >= 0) back(task, address, view);
  return result;
}

/** struct ifconf { int ifc_len; char *ifc_buf; } */
function interfaces(task: Task, hostFd: number, address: GuestAddr): number {
  const { view, host } = privateCopy(task, address, 16);
  const buffer = Number(view.getBigUint64(8, true));
  view.setBigUint64(8, BigInt(task.pointer(buffer, Math.max(0, view.getInt32(0, true)))), true);
  const result = task.call('ioctl', hostFd, SIOCGIFCONF, host);
  if (result >= 0) task.memory.setU32(address, view.getUint32(0, true));
  return result;
}

/** A structure with one pointer in it at `at`; written back as the guest had it but for that pointer. */
function onePointer(task: Task, hostFd: number, request: number, address: GuestAddr, bytes: number, at: number): number {
  const { view, host } = privateCopy(task, address, bytes);
  const inner = view.getBigUint64(at, true);
  view.setBigUint64(at, BigInt(task.pointer(Number(inner), 1)), true);
  const result = task.call('ioctl', hostFd, request, host);
  view.setBigUint64(at, inner, true);
  if (result >= 0) back(task, address, view);
  return result;
}

/** A structure with one descriptor in it at `at` (32 bits), read by the kernel only. */
function oneDescriptor(task: Task, hostFd: number, request: number, address: GuestAddr, bytes: number, at: number): number {
  const { view, host } = privateCopy(task, address, bytes);
  view.setInt32(at, task.hostFd(view.getInt32(at, true)), true);
  return task.call('ioctl', hostFd, request, host);
}

function makesDescriptor(request: number): boolean {
  // NS_GET_USERNS, NS_GET_PARENT, and the namespace requests of a pidfd (PIDFD_GET_CGROUP_NAMESPACE … UTS_NAMESPACE).
  if (request === 0xb701 || request === 0xb702) return true;
  return request >>> 8 === PIDFD_GET_INFO_TYPE && (request & 0xff) >= 1 && (request & 0xff) <= 10;
}

function ioctl(task: Task, guestFd: number, request: number, raw: Arg, address: GuestAddr): number {
  if (!task.fds.has(guestFd)) return -errno.EBADF;
  const hostFd = task.hostFd(guestFd);
  const asFd = () => task.hostFd(Number(BigInt.asIntN(32, BigInt(raw))));
  switch (request) {
    case FIOCLEX:
    case FIONCLEX:
      task.fds.setCloexec(guestFd, request === FIOCLEX);
      return 0;
    case TIOCGPTPEER:
      return task.fds.open(
        () => task.call('ioctl', hostFd, request, BigInt(raw) | BigInt(O_CLOEXEC)),
        (BigInt(raw) & BigInt(O_CLOEXEC)) !== 0n,
      );
    case FICLONE:
    case LOOP_SET_FD:
    case LOOP_CHANGE_FD:
    case PERF_EVENT_IOC_SET_OUTPUT:
      return task.call('ioctl', hostFd, request, asFd());
    case FICLONERANGE:
      // struct file_clone_range { s64 src_fd; … }
      return oneDescriptor(task, hostFd, request, address, 32, 0);
    case LOOP_CONFIGURE:
      // struct loop_config { u32 fd; u32 block_size; struct loop_info64; u64 reserved[8]; }
      return oneDescriptor(task, hostFd, request, address, 304, 0);
    case FIDEDUPERANGE:
      return dedupe(task, hostFd, address);
    case FS_IOC_FIEMAP: {
      // struct fiemap: 32 bytes, then fm_extent_count extents of 56 bytes.
      const extents = task.memory.u32(address + 24);
      return task.call('ioctl', hostFd, request, task.pointer(address, 32 + 56 * extents));
    }
    case SIOCGIFCONF:
      return interfaces(task, hostFd, address);
    case SIOCETHTOOL:
      return onePointer(task, hostFd, request, address, 40, 16);
    case SIOCADDRT:
    case SIOCDELRT:
      // struct rtentry.rt_dev
      return onePointer(task, hostFd, request, address, 120, 88);
    default:
      break;
  }
  if (makesDescriptor(request)) return task.fds.open(() => task.call('ioctl', hostFd, request, 0), true);
  const type = (request >>> 8) & 0xff;
  if (type in refused) return -errno.ENOTTY;
  return task.call('ioctl', hostFd, request, plain(task, request, raw, address));
}

export const ioctlSyscalls = [
  syscall({
    name: 'ioctl', nr: { x86_64: 16, aarch64: 29 }, class: ['desc', 'blocks'],
    args: { fd, request: choiceUnsigned('ioctl'), arg: pointer }, ret: long,
    support: partial(
      `terminals, files, block and loop devices, sockets and every request that states its size; not ${Object.values(refused).join(', ')}`,
    ),
    run: (task, { fd, request, arg }, frame) => ioctl(task, fd, request, exact(frame.signed(2), frame.i64[2] as bigint), arg),
  }),
];

function exact(n: number, wide: bigint): Arg {
  return Number.isSafeInteger(n) ? n : wide;
}
