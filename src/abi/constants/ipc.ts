/** Constants of System V and POSIX message queues: shmget(2), semctl(2), msgctl(2), mq_open(3). */

import { flagSet, valueSet } from '../constant-set.ts';

export const ipcGetFlags = flagSet('ipc_get', {
  IPC_CREAT: 0o1000, IPC_EXCL: 0o2000, IPC_NOWAIT: 0o4000,
});

export const ipcPrivate = valueSet('ipc_key', {
  IPC_PRIVATE: 0,
});

export const shmctlCommands = valueSet('shmctl', {
  IPC_RMID: 0, IPC_SET: 1, IPC_STAT: 2, IPC_INFO: 3, SHM_LOCK: 11, SHM_UNLOCK: 12, SHM_STAT: 13, SHM_INFO: 14,
  SHM_STAT_ANY: 15,
});

export const semctlCommands = valueSet('semctl', {
  IPC_RMID: 0, IPC_SET: 1, IPC_STAT: 2, IPC_INFO: 3, GETPID: 11, GETVAL: 12, GETALL: 13, GETNCNT: 14, GETZCNT: 15,
  SETVAL: 16, SETALL: 17, SEM_STAT: 18, SEM_INFO: 19, SEM_STAT_ANY: 20,
});

export const msgctlCommands = valueSet('msgctl', {
  IPC_RMID: 0, IPC_SET: 1, IPC_STAT: 2, IPC_INFO: 3, MSG_STAT: 11, MSG_INFO: 12, MSG_STAT_ANY: 13,
});

export const shmgetFlags = flagSet('shmget', {
  IPC_CREAT: 0o1000, IPC_EXCL: 0o2000, SHM_HUGETLB: 0o4000, SHM_NORESERVE: 0o10000,
});

export const shmatFlags = flagSet('shmat', {
  SHM_RDONLY: 0o10000, SHM_RND: 0o20000, SHM_REMAP: 0o40000, SHM_EXEC: 0o100000,
});

export const semopFlags = flagSet('semop', {
  IPC_NOWAIT: 0o4000, SEM_UNDO: 0o10000,
});

export const msgFlags = flagSet('msgrcv', {
  IPC_NOWAIT: 0o4000, MSG_NOERROR: 0o10000, MSG_EXCEPT: 0o20000, MSG_COPY: 0o40000,
});
