/*
 * Makes random system calls of the files domain with odd arguments (bad pointers, wrong descriptors, huge sizes) and
 * prints every result. Natively and under the emulator the output must be the same, byte for byte.
 *
 * Harmless: as root it becomes nobody first; every path is below the current directory (which it fills with rubbish)
 * or in its own /proc entry; its own standard descriptors are /dev/null while it runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned long state;
static unsigned next(void) {
  state = state * 6364136223846793005UL + 1442695040888963407UL;
  return state >> 33;
}

static char *const area = (char *)0x20000000; /* 64 KiB, then inaccessible memory */
#define AREA 65536
static char *const edge = (char *)0x20000000 + AREA - 8;
static char *const readonly = (char *)0x30000000;
#define LOG 500 /* the only descriptor that must survive */

static void fill(void) {
  static const char *const strings[] = {
    "a", "d", "l", "none/x", "d/f", "", "/proc/self/fd/4", "../w/a", "a/", "d/../a", "/proc/self/auxv", "user.x",
    "/proc/self/maps", "/proc/self/fd/99", "/dev/fd/3", "d/", "/proc/self/fd/99/x", "/proc/self/task",
  };
  for (unsigned k = 0; k < sizeof strings / sizeof *strings; k++) strcpy(area + 32 * k, strings[k]);
  unsigned long *vector = (unsigned long *)(area + 1024);
  unsigned long values[] = {
    (unsigned long)area + 0x1000, 16, (unsigned long)area + 0x2000, 5, 0xffffffffffff0000UL, 16, 1, -1, 0, 0,
  };
  memcpy(vector, values, sizeof values);
}

static long argument(void) {
  static const long flags[] = { 0, 1, 2, 0100, 0200, 01000, 02000, 04000, 0x1000, 0x100, 0x200, 0x400, 02000000, 010000000, 0755, 0644 };
  switch (next() % 16) {
    case 0: return -1;
    case 1: return 0;
    case 2: case 3: return 3 + next() % 8;
    case 4: case 5: case 6: return (long)area + 32 * (next() % 18);
    case 7: return -100;
    case 8: return (long)area + 1024 + 16 * (next() % 4);
    case 9: return 1L << next() % 63;
    case 10: return next() % 400;
    case 11: return (long)readonly;
    case 12: return (long)edge;
    case 13: return next() % 16;
    case 14: return flags[next() % 16];
    default: return 0xffff800000000000UL;
  }
}

int main(int argc, char **argv) {
  static const int numbers[] = {
    SYS_read, SYS_write, SYS_open, SYS_close, SYS_stat, SYS_fstat, SYS_lstat, SYS_lseek, SYS_ioctl, SYS_pread64,
    SYS_pwrite64, SYS_readv, SYS_writev, SYS_access, SYS_dup, SYS_dup2, SYS_sendfile, SYS_fcntl, SYS_flock, SYS_fsync,
    SYS_truncate, SYS_ftruncate, SYS_getcwd, SYS_rename, SYS_mkdir, SYS_rmdir, SYS_creat, SYS_link, SYS_unlink,
    SYS_symlink, SYS_readlink, SYS_chmod, SYS_fchmod, SYS_chown, SYS_umask, SYS_utime, SYS_statfs, SYS_fstatfs,
    SYS_readahead, SYS_setxattr, SYS_getxattr, SYS_listxattr, SYS_removexattr, SYS_fsetxattr, SYS_fgetxattr,
    SYS_flistxattr, SYS_fremovexattr, SYS_getdents64, SYS_getdents, SYS_fadvise64, SYS_utimes, SYS_openat, SYS_mkdirat,
    SYS_fchownat, SYS_futimesat, SYS_newfstatat, SYS_unlinkat, SYS_renameat, SYS_linkat, SYS_symlinkat, SYS_readlinkat,
    SYS_fchmodat, SYS_faccessat, SYS_splice, SYS_tee, SYS_sync_file_range, SYS_utimensat, SYS_fallocate, SYS_dup3,
    SYS_pipe2, SYS_inotify_init1, SYS_inotify_init, SYS_inotify_add_watch, SYS_inotify_rm_watch, SYS_preadv, SYS_pwritev,
    SYS_name_to_handle_at, SYS_renameat2, SYS_memfd_create, SYS_copy_file_range, SYS_preadv2, SYS_pwritev2, SYS_statx,
    SYS_close_range, SYS_openat2, SYS_faccessat2,
  };
  state = argc > 1 ? strtoul(argv[1], 0, 0) : 1;
  int count = argc > 2 ? atoi(argv[2]) : 1000;
  struct rlimit limit = { 1024, 1024 };
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  if (getuid() == 0 && (mkdir("w", 0777), chown("w", 65534, 65534), setresgid(65534, 65534, 65534), setresuid(65534, 65534, 65534))) return 1;
  mkdir("w", 0777);
  if (chdir("w") != 0 || getuid() == 0) return 1;
  mmap(area, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  mmap(area + AREA, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  mmap(readonly, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  FILE *log = fdopen(fcntl(1, F_DUPFD, LOG), "w");
  if (log == 0) return 1;
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  close_range(3, LOG - 1, 0);
  close_range(LOG + 1, ~0U, 0);

  /* 3 … 9: file, append-only file, directory, pipe, path descriptor, /proc/self/fd */
  int pair[2];
  if (ftruncate(open("a", O_RDWR | O_CREAT, 0644), 1000) != 0) return 1;
  mkdir("d", 0755);
  if (symlink("a", "l") != 0) return 1;
  open("d/f", O_RDWR | O_CREAT | O_APPEND, 0600);
  open("d", O_RDONLY | O_DIRECTORY);
  if (pipe2(pair, O_NONBLOCK) != 0) return 1;
  open("a", O_PATH);
  open("/proc/self/fd", O_DIRECTORY);

  for (int i = 0; i < count; i++) {
    long a[6];
    long nr = numbers[next() % (sizeof numbers / sizeof *numbers)];
    for (int k = 0; k < 6; k++) a[k] = argument();
    int low = (int)a[0], second = (int)a[1];
    /* Keep the log, the standard descriptors, the ability to go on, and what is sure to return at once. */
    if (nr == SYS_close && low < 10) continue;
    if ((nr == SYS_dup2 || nr == SYS_dup3) && (second < 10 || second >= LOG)) continue;
    if (nr == SYS_close_range && ((unsigned)a[0] < 10 || (unsigned)a[1] >= LOG)) continue;
    if (nr == SYS_fcntl && (second == F_SETLKW || second == F_OFD_SETLKW || (second >= F_SETOWN && second <= 17))) continue;
    if (nr == SYS_ioctl && a[1] > 0x20000) continue;
    if (nr == SYS_flock) a[1] |= 4;
    if (nr == SYS_chmod || nr == SYS_fchmod || nr == SYS_fchmodat || nr == SYS_mkdir || nr == SYS_mkdirat) {
      for (int k = 0; k < 6; k++) if ((a[k] & ~07777) == 0) a[k] |= 0700;
    }
    if (nr == SYS_umask) a[0] &= 077;
    fill();
    errno = 0;
    long result = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    fprintf(log, "%d: %ld(%lx, %lx, %lx, %lx, %lx, %lx) = %ld %s [%lx]\n", i, nr, a[0], a[1], a[2], a[3], a[4], a[5], result,
            result < 0 ? strerrorname_np(errno) : "", nr == SYS_stat || nr == SYS_lstat || nr == SYS_fstat || nr == SYS_newfstatat || nr == SYS_statx || nr == SYS_statfs || nr == SYS_fstatfs || nr == SYS_getdents || nr == SYS_getdents64 ? 0 : *(long *)edge);
    close_range(10, 30, 0);
    if (nr == SYS_stat || nr == SYS_lstat || nr == SYS_fstat || nr == SYS_newfstatat || nr == SYS_statx || nr == SYS_statfs || nr == SYS_fstatfs || nr == SYS_getdents || nr == SYS_getdents64) memset(edge, 0, 8);
  }
  return fclose(log) == 0 ? 0 : 1;
}
