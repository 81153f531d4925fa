/** System V shared memory in the address space: shmat and shmdt. */

import { protFlags } from '../abi/constants/memory.ts';
import { errno } from '../abi/errno.ts';
import { anonymousMapping, type Backing, misaligned, PAGE, sameBacking } from './mapping.ts';
import { MIN_ADDRESS } from './placement.ts';
import type { SpaceState } from './space-state.ts';

const { PROT_READ, PROT_WRITE, PROT_EXEC } = protFlags.values;

export function shmat(space: SpaceState, id: number, addr: number, flags: number): number {
  const SHM_RDONLY = 0o10000;
  const SHM_RND = 0o20000;
  const SHM_REMAP = 0o40000;
  const SHM_EXEC = 0o100000;
  const bytes = space.range.shmSize(id);
  if (bytes < 0) return bytes;
  let place = addr;
  if (addr !== 0) {
    if (misaligned(addr)) {
      if (!(flags & SHM_RND)) return -errno.EINVAL;
      place = Math.floor(addr / PAGE) * PAGE;
      if (place === 0 && flags & SHM_REMAP) return -errno.EINVAL;
    }
  } else if (flags & SHM_REMAP) return -errno.EINVAL;
  if (place !== 0) {
    if (place > space.size - bytes) return -errno.EINVAL;
    if (place < MIN_ADDRESS) return -errno.EPERM;
    if (!(flags & SHM_REMAP) && space.list.in(place, place + bytes).length > 0) return -errno.EINVAL;
    if (space.sealedIn(place, place + bytes)) return -errno.EPERM;
  } else {
    place = space.place(0, bytes, 0);
    if (place < 0) return place;
  }
  const result = space.range.attach(id, place, (flags & ~(SHM_RND | SHM_EXEC)) | SHM_REMAP);
  if (result < 0) return space.repair(place, bytes, result);
  space.codeGone(place, place + bytes);
  const prot = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
  const backing: Backing = { kind: 'sysv', path: `/SYSV (shmid ${id})`, dev: 0, inode: id, id: space.nextBacking(), writable: true };
  space.list.insert({ ...anonymousMapping(place, place + bytes, prot, ''), shared: true, backing });
  return place;
}

export function shmdt(space: SpaceState, addr: number): number {
  const first = space.list.at(addr);
  if (misaligned(addr) || first?.backing?.kind !== 'sysv' || first.start - first.offset !== addr) return -errno.EINVAL;
  const backing = first.backing;
  // All that is left of this attachment, which the guest may have cut or unmapped in part.
  for (const m of [...space.list.all]) {
    if (sameBacking(m.backing, backing) && m.start - m.offset === addr) space.unmap(m.start, m.end);
  }
  return 0;
}
