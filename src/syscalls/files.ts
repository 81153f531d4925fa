/**
 * Reading, writing and positioning of open files.
 */

import { byteCount, bytesIn, bytesOut, fd, full, size, syscall } from './declare.ts';

export const fileSyscalls = [
  syscall({
    name: 'read', nr: { x86_64: 0, aarch64: 63 }, class: ['desc', 'blocks'],
    args: { fd, buf: bytesOut('count'), count: size }, ret: byteCount, support: full,
    run: (task, { fd, buf, count }) => {
      const length = task.room(buf, count);
      return task.call('read', task.hostFd(fd), task.pointer(buf, length), length);
    },
  }),
  syscall({
    name: 'write', nr: { x86_64: 1, aarch64: 64 }, class: ['desc', 'blocks'],
    args: { fd, buf: bytesIn('count'), count: size }, ret: byteCount, support: full,
    run: (task, { fd, buf, count }) => {
      const length = task.room(buf, count);
      return task.call('write', task.hostFd(fd), task.pointer(buf, length), length);
    },
  }),
];
