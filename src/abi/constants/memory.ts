/** Constants of the memory calls: mmap(2), mprotect(2), madvise(2), NUMA policies, memfd. */

import { flagSet, valueSet } from '../constant-set.ts';

export const protFlags = flagSet('prot', {
  PROT_NONE: 0, PROT_READ: 1, PROT_WRITE: 2, PROT_EXEC: 4, PROT_SEM: 8, PROT_GROWSDOWN: 0x1000000,
  PROT_GROWSUP: 0x2000000,
});

export const mapFlags = flagSet('mmap', {
  MAP_FIXED: 0x10, MAP_ANONYMOUS: 0x20, MAP_32BIT: 0x40, MAP_GROWSDOWN: 0x100, MAP_DENYWRITE: 0x800,
  MAP_EXECUTABLE: 0x1000, MAP_LOCKED: 0x2000, MAP_NORESERVE: 0x4000, MAP_POPULATE: 0x8000, MAP_NONBLOCK: 0x10000,
  MAP_STACK: 0x20000, MAP_HUGETLB: 0x40000, MAP_SYNC: 0x80000, MAP_FIXED_NOREPLACE: 0x100000,
}, [
  { mask: 0xf, values: { MAP_SHARED: 1, MAP_PRIVATE: 2, MAP_SHARED_VALIDATE: 3 } },
]);

export const mremapFlags = flagSet('mremap', {
  MREMAP_MAYMOVE: 1, MREMAP_FIXED: 2, MREMAP_DONTUNMAP: 4,
});

export const madviseAdvice = valueSet('madvise', {
  MADV_NORMAL: 0, MADV_RANDOM: 1, MADV_SEQUENTIAL: 2, MADV_WILLNEED: 3, MADV_DONTNEED: 4, MADV_FREE: 8,
  MADV_REMOVE: 9, MADV_DONTFORK: 10, MADV_DOFORK: 11, MADV_MERGEABLE: 12, MADV_UNMERGEABLE: 13, MADV_HUGEPAGE: 14,
  MADV_NOHUGEPAGE: 15, MADV_DONTDUMP: 16, MADV_DODUMP: 17, MADV_WIPEONFORK: 18, MADV_KEEPONFORK: 19, MADV_COLD: 20,
  MADV_PAGEOUT: 21, MADV_POPULATE_READ: 22, MADV_POPULATE_WRITE: 23, MADV_DONTNEED_LOCKED: 24, MADV_COLLAPSE: 25,
  MADV_HWPOISON: 100, MADV_GUARD_INSTALL: 102, MADV_GUARD_REMOVE: 103,
});

export const msyncFlags = flagSet('msync', {
  MS_ASYNC: 1, MS_INVALIDATE: 2, MS_SYNC: 4,
});

export const mlockFlags = flagSet('mlock2', {
  MLOCK_ONFAULT: 1,
});

export const mlockallFlags = flagSet('mlockall', {
  MCL_CURRENT: 1, MCL_FUTURE: 2, MCL_ONFAULT: 4,
});

export const pkeyRights = flagSet('pkey', {
  PKEY_DISABLE_ACCESS: 1, PKEY_DISABLE_WRITE: 2,
});

export const numaModes = valueSet('mempolicy', {
  MPOL_DEFAULT: 0, MPOL_PREFERRED: 1, MPOL_BIND: 2, MPOL_INTERLEAVE: 3, MPOL_LOCAL: 4, MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
});

export const numaModeFlags = flagSet('mempolicy_flags', {
  MPOL_F_NUMA_BALANCING: 0x2000, MPOL_F_RELATIVE_NODES: 0x4000, MPOL_F_STATIC_NODES: 0x8000,
});

export const getMempolicyFlags = flagSet('get_mempolicy', {
  MPOL_F_NODE: 1, MPOL_F_ADDR: 2, MPOL_F_MEMS_ALLOWED: 4,
});

export const mbindFlags = flagSet('mbind', {
  MPOL_MF_STRICT: 1, MPOL_MF_MOVE: 2, MPOL_MF_MOVE_ALL: 4,
});

export const membarrierCommands = valueSet('membarrier', {
  MEMBARRIER_CMD_QUERY: 0, MEMBARRIER_CMD_GLOBAL: 1, MEMBARRIER_CMD_SHARED: 1, MEMBARRIER_CMD_GLOBAL_EXPEDITED: 2,
  MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED: 4, MEMBARRIER_CMD_PRIVATE_EXPEDITED: 8,
  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: 0x10, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE: 0x20,
  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: 0x40, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ: 0x80,
  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ: 0x100,
});

export const membarrierFlags = flagSet('membarrier_flags', {
  MEMBARRIER_CMD_FLAG_CPU: 1,
});

export const userfaultfdFlags = flagSet('userfaultfd', {
  UFFD_USER_MODE_ONLY: 1,
});
