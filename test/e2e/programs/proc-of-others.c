// What /proc shows of another process: a child with threads, files, a heap; after exec; a zombie; its threads; and itself.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[1 << 20];
static char path[256];
static int child;
static const char *in(const char *name) {
  snprintf(path, sizeof path, "/proc/%d/%s", child, name);
  return path;
}
static int slurp(const char *name) {
  int fd = open(name, O_RDONLY);
  if (fd < 0) return -errno;
  int n = 0, k;
  while ((k = read(fd, buffer + n, sizeof buffer - 1 - n)) > 0) n += k;
  if (k < 0) n = -errno;
  else buffer[n] = 0;
  close(fd);
  return n;
}
// Lines of `name` that begin with one of `wanted`.
static void lines(const char *name, const char *wanted) {
  int n = slurp(name);
  if (n < 0) printf("  %s\n", strerror(-n));
  for (char *line = strtok(buffer, "\n"); n >= 0 && line; line = strtok(0, "\n")) {
    char head[64];
    sscanf(line, "%63[^:]", head);
    char *found = strstr(wanted, head);
    if (found && (found == wanted || found[-1] == ' ')) printf("  %s\n", line);
  }
}
// Until the child is in system call `nr`.
static void await(int nr) {
  for (int k = 0; k < 3000 && (slurp(in("syscall")), atoi(buffer) != nr || buffer[0] == 'r'); k++) usleep(10000);
}
static int by_number(const void *a, const void *b) { return atoi(*(char **)a) - atoi(*(char **)b); }
static void list(const char *name, int links, int hide) {
  DIR *d = opendir(name);
  if (!d) {
    printf("  %s\n", strerror(errno));
    return;
  }
  char *names[256];
  int n = 0;
  for (struct dirent *e; (e = readdir(d));)
    if (e->d_name[0] != '.') names[n++] = strdup(e->d_name);
  qsort(names, n, sizeof *names, by_number);
  struct stat st;
  fstat(dirfd(d), &st);
  printf("  %d entries", n);
  for (int k = 0; k < n; k++) {
    char target[256] = "";
    if (links) {
      int l = readlinkat(dirfd(d), names[k], target, 255);
      if (l < 0) strcpy(target, strerror(errno));
      if (atoi(names[k]) < 3) target[0] = 0;
      if (strstr(target, "pipe:")) strcpy(target, "pipe");
      if (strstr(target, "socket:")) strcpy(target, "socket");
    }
    if (!hide) printf(" %s %s", names[k], target);
  }
  printf("\n");
  closedir(d);
}

static volatile int stop, named;
static void *rest(void *name) {
  prctl(PR_SET_NAME, name);
  __atomic_add_fetch(&named, 1, __ATOMIC_SEQ_CST);
  while (!stop) usleep(1000);
  return 0;
}
static void handler(int s) {}

static void scene(int ready, int go) {
  // Descriptors of one's own: those of whoever runs this are not shown.
  for (int fd = 3; fd < 300; fd++) if (fd != ready && fd != go) close(fd);
  dup2(open("/dev/null", O_RDONLY), 0);
  dup2(ready, 20), close(ready);
  dup2(go, 21), close(go);
  for (int fd = 3; fd < 20; fd++) close(fd);
  open("/etc/passwd", O_RDONLY);
  open("/dev/zero", O_RDWR | O_CLOEXEC);
  dup2(3, 77);
  signal(SIGUSR1, handler);
  signal(SIGUSR2, SIG_IGN);
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGHUP), sigprocmask(SIG_BLOCK, &set, 0);
  struct rlimit limit = {200, 300};
  setrlimit(RLIMIT_NOFILE, &limit);
  chdir("/usr");
  prctl(PR_SET_NAME, "scene");
  char *m = mmap(0, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  strcpy(m + 4096, "found it");
  mprotect(m, 4096, PROT_NONE);
  mprotect(m + 3 * 4096, 4096, PROT_READ | PROT_EXEC);
  mprotect(m + 4 * 4096, 4096, PROT_NONE);
  mmap(0, 4096, PROT_READ, MAP_SHARED, 3, 0);
  pthread_t t;
  pthread_create(&t, 0, rest, "second");
  pthread_create(&t, 0, rest, "third");
  while (named < 2) usleep(1000);
  write(20, &m, sizeof m);
  char c;
  read(21, &c, 1);
  if (c == 'x') {
    close(20);
    execl("/usr/bin/sleep", "sleep", "100", (char *)0);
  }
  exit(0);
}

int main(void) {
  int up[2], down[2];
  pipe(up), pipe(down);
  fflush(stdout);
  child = fork();
  if (child == 0) scene(up[1], down[0]);
  close(up[1]), close(down[0]);
  char *at;
  read(up[0], &at, sizeof at);
  await(SYS_read);
  printf("status:\n");
  lines(in("status"), "Name State Threads SigBlk SigIgn SigCgt NoNewPrivs Seccomp Seccomp_filters");
  printf("limits:\n");
  slurp(in("limits"));
  printf("  %.79s\n", strstr(buffer, "Max open files"));
  printf("fd:\n");
  list(in("fd"), 1, 0);
  struct stat st;
  stat(in("fd"), &st), printf("  size %ld\n", (long)st.st_size);
  stat(in("task"), &st), printf("  threads %ld\n", (long)st.st_nlink - 2);
  list(in("fdinfo"), 0, 0);
  lines(in("fdinfo/4"), "pos flags");
  printf("  %d\n", slurp(in("fdinfo/5")));
  printf("  %d\n", slurp(in("fd/3")) > 100 && strstr(buffer, "root:") != 0);
  printf("  %d %d\n", open(in("fd/150"), O_RDONLY) < 0, errno);
  printf("task:\n");
  list(in("task"), 0, 1);
  DIR *d = opendir(in("task"));
  int n = 0;
  for (struct dirent *e; (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    char file[256];
    snprintf(file, sizeof file, "/proc/%d/task/%s/comm", child, e->d_name);
    slurp(file);
    printf("  thread %d: %s", n++, buffer);
    snprintf(file, sizeof file, "/proc/%d/task/%s/status", child, e->d_name);
    lines(file, "Threads SigBlk");
    snprintf(file, sizeof file, "/proc/%s/comm", e->d_name);
    printf("  %d\n", slurp(file) > 0);
  }
  closedir(d);
  printf("links:\n");
  char target[256];
  for (int k = 0; k < 3; k++) {
    const char *names[] = {"cwd", "root", "exe"};
    int l = readlink(in(names[k]), target, 255);
    target[l < 0 ? 0 : l] = 0;
    char *base = strrchr(target, '/');
    printf("  %s %s\n", names[k], k == 2 ? (strstr(base, "proc-of-others") ? "this" : base) : target);
  }
  printf("  %d\n", access(in("cwd/bin/env"), X_OK));
  printf("  %d %d\n", slurp(in("exe")) > 1000, memcmp(buffer, "\177ELF", 4));
  printf("maps:\n");
  slurp(in("maps"));
  int near = 0, heap = 0, stack = 0, libc = 0, ordered = 1, wide = 0;
  unsigned long last = 0;
  for (char *line = strtok(buffer, "\n"); line; line = strtok(0, "\n")) {
    unsigned long start, end;
    char prot[8];
    sscanf(line, "%lx-%lx %7s", &start, &end, prot);
    ordered &= start >= last && end > start, last = end;
    heap += strstr(line, "[heap]") != 0, stack += strstr(line, "[stack]") != 0;
    libc += strstr(line, "libc.so") != 0 && !strcmp(prot, "r-xp");
    if (end - start > 1ul << 33) wide = 1;
    if (start >= (unsigned long)at && end <= (unsigned long)at + 5 * 4096) near++, printf("  +%lx %lx %s\n", start - (unsigned long)at, end - start, prot);
  }
  printf("  ordered %d heap %d stack %d libc %d near %d wide %d\n", ordered, heap, stack, libc, near, wide);
  printf("mem:\n");
  int mem = open(in("mem"), O_RDWR);
  memset(buffer, 0, 64);
  n = pread(mem, buffer, 9, (off_t)at + 4096), printf("  %d %s\n", n, buffer);
  n = pwrite(mem, "F", 1, (off_t)at + 4096), printf("  %d\n", n);
  n = pread(mem, buffer, 9, (off_t)at + 4096), printf("  %d %s\n", n, buffer);
  n = pread(mem, buffer, 9, 4096), printf("  %d %d\n", n, errno);
  close(mem);
  struct iovec local = {buffer, 9}, remote = {at + 4096, 9};
  n = process_vm_readv(child, &local, 1, &remote, 1, 0), printf("  %d %s\n", n, buffer);
  n = process_vm_writev(child, &local, 1, &remote, 1, 0), printf("  %d\n", n);
  remote.iov_base = (void *)4096;
  n = process_vm_readv(child, &local, 1, &remote, 1, 0), printf("  %d %d\n", n, errno);
  int pidfd = syscall(SYS_pidfd_open, child, 0), copy = syscall(SYS_pidfd_getfd, pidfd, 77, 0);
  n = pread(copy, buffer, 5, 0), printf("  %d %.5s\n", n, buffer);
  errno = 0, n = syscall(SYS_pidfd_getfd, pidfd, 150, 0), printf("  %d %d\n", n, errno);
  printf("  %ld %ld %ld\n", syscall(SYS_kcmp, getpid(), child, 0, copy, 77), syscall(SYS_kcmp, child, child, 0, 3, 77),
         syscall(SYS_kcmp, child, child, 0, 3, 150));
  printf("  %d %d\n", syscall(SYS_kcmp, getpid(), child, 0, copy, 4) > 0, syscall(SYS_kcmp, getpid(), child, 1, 0, 0) > 0);
  printf("others:\n");
  n = slurp(in("auxv"));
  printf("  auxv %d\n", n > 100 && n % 16 == 0 && ((long *)buffer)[n / 8 - 2] == 0);
  n = slurp(in("cmdline")), printf("  cmdline %d\n", strstr(buffer, "proc-of-others") != 0);
  n = slurp(in("statm"));
  long size, resident;
  sscanf(buffer, "%ld %ld", &size, &resident), printf("  statm %d\n", size < 1 << 20 && resident < 10000 && resident > 50);
  n = slurp(in("stat"));
  int threads;
  sscanf(strrchr(buffer, ')') + 2, "%*c %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %d", &threads);
  printf("  stat threads %d\n", threads);
  for (int k = 0; k < 7; k++) {
    const char *names[] = {"smaps", "smaps_rollup", "oom_score_adj", "wchan", "syscall", "mountinfo", "cgroup"};
    printf("  %s %d\n", names[k], slurp(in(names[k])) > 0);
  }
  await(SYS_read);
  unsigned long words[4] = {0};
  sscanf(buffer, "%lx %lx %lx %lx", words, words + 1, words + 2, words + 3);
  printf("  in read(2) of %ld byte, stack %d\n", words[3], words[2] > 1 << 20);
  int held = open(in("status"), O_RDONLY), directory = open(in("task"), O_RDONLY | O_DIRECTORY);
  write(down[1], "x", 1);
  read(up[0], target, 1);
  await(SYS_clock_nanosleep);
  printf("after exec:\n");
  lines(in("status"), "Name Threads SigBlk SigIgn SigCgt");
  list(in("fd"), 1, 0);
  list(in("task"), 0, 1);
  int l = readlink(in("exe"), target, 255);
  printf("  %.*s\n", l, target);
  n = slurp(in("maps")), printf("  %d\n", strstr(buffer, "/usr/bin/sleep") != 0 && strstr(buffer, "proc-of-others") == 0);
  n = slurp(in("environ")), printf("  %d\n", n > 0);
  kill(child, SIGKILL);
  siginfo_t info;
  waitid(P_PID, child, &info, WEXITED | WNOWAIT);
  printf("zombie:\n");
  lines(in("status"), "Name State Threads");
  list(in("task"), 0, 1);
  list(in("fd"), 0, 0);
  printf("  %d\n", slurp(in("maps")));
  printf("  %d\n", slurp(in("cmdline")));
  printf("  %d %d\n", (int)readlink(in("exe"), target, 255), errno);
  waitpid(child, 0, 0);
  printf("gone:\n");
  n = pread(held, target, 10, 0), printf("  %d %d\n", n, n < 0 ? errno : 0);
  printf("  %d\n", slurp(in("status")));
  close(held), close(directory);
}
