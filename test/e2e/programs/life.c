// Calls about processes, threads and signals that other programs here leave out: the native run is the expectation.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#define TRY(x)                                                              \
  do {                                                                      \
    errno = 0;                                                              \
    long r_ = (long)(x);                                                    \
    printf("%s: %ld %s\n", #x, r_, r_ < 0 ? strerrorname_np(errno) : "ok"); \
  } while (0)
static char directory[4096];
static pid_t start(void (*body)(void)) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    body();
    fflush(stdout);
    _exit(0);
  }
  return pid;
}
static void wait_for(pid_t pid) {
  int status = -1;
  if (waitpid(pid, &status, 0) < 0) printf("wait: %s\n", strerrorname_np(errno));
  else if (WIFEXITED(status)) printf("exited %d\n", WEXITSTATUS(status));
  else printf("signal %d\n", WTERMSIG(status));
}
static void make(const char *name, const char *text, int mode) {
  int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, mode);
  write(fd, text, strlen(text));
  fchmod(fd, mode);
  close(fd);
}
static void pausing(void) { for (;;) pause(); }
static void exits_7(void) { _exit(7); }
static void stops(void) { raise(SIGSTOP), pausing(); }

static void show(const char *what, int result, siginfo_t *i, pid_t pid) {
  printf("%s: %d %s signo %d code %d status %d pid %d\n", what, result, result < 0 ? strerrorname_np(errno) : "", i->si_signo, i->si_code, i->si_status,
         i->si_pid == pid);
}

static void waiting(void) {
  siginfo_t info = {0};
  pid_t pid = start(exits_7);
  show("WNOWAIT", waitid(P_PID, pid, &info, WEXITED | WNOWAIT), &info, pid);
  show("again", waitid(P_ALL, 0, &info, WEXITED), &info, pid);
  memset(&info, 0, sizeof info);
  show("none", waitid(P_PID, pid, &info, WEXITED), &info, pid);
  pid = start(stops);
  show("WSTOPPED", waitid(P_PID, pid, &info, WSTOPPED | WEXITED), &info, pid);
  memset(&info, 0, sizeof info);
  show("WNOHANG", waitid(P_PID, pid, &info, WEXITED | WNOHANG), &info, pid);
  kill(pid, SIGCONT);
  show("WCONTINUED", waitid(P_PID, pid, &info, WCONTINUED), &info, pid);
  kill(pid, SIGTERM);
  show("killed", waitid(P_PGID, 0, &info, WEXITED), &info, pid);
  TRY(waitid(P_ALL, 0, &info, 0));
  TRY(waitid(P_PID, -1, &info, WEXITED));
  TRY(waitid(99, 0, &info, WEXITED));
  TRY(waitid(P_PIDFD, 999, &info, WEXITED));
  TRY(wait4(-1, 0, 0x1000, 0));
  pid = syscall(SYS_clone, 0, 0, 0, 0, 0);
  if (pid == 0) _exit(5);
  int status;
  TRY(waitpid(-1, &status, 0));
  printf("%d\n", waitpid(pid, &status, __WCLONE) == pid);
  signal(SIGUSR1, SIG_IGN);
  pid = syscall(SYS_clone, SIGUSR1, 0, 0, 0, 0);
  if (pid == 0) _exit(5);
  struct rusage ru;
  printf("%d %d\n", wait4(-1, &status, __WALL, &ru) == pid, WEXITSTATUS(status));
  signal(SIGUSR1, SIG_DFL);
  struct rlimit core = {0, RLIM_INFINITY};
  setrlimit(RLIMIT_CORE, &core);
  pid = start(abort);
  waitpid(pid, &status, 0), printf("core bit %d signal %d\n", WCOREDUMP(status) != 0, WTERMSIG(status));
  signal(SIGCHLD, SIG_IGN);
  pid = start(exits_7);
  TRY(waitpid(pid, &status, 0));
  signal(SIGCHLD, SIG_DFL);
}

static int ready[2];
static void dies_with_parent(void) {
  prctl(PR_SET_PDEATHSIG, SIGUSR2);
  write(ready[1], "", 1);
  for (;;) pause();
}
static void grandparent(void) {
  pipe(ready);
  pid_t child = start(dies_with_parent);
  char c;
  read(ready[0], &c, 1);
  write(9, &child, 4);
}
static void orphan(void) {
  pid_t child = start(exits_7);
  if (child > 0) write(9, &child, 4);
}
static void families(void) {
  int p[2];
  pipe(p), dup2(p[1], 9);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  int set = 0;
  prctl(PR_GET_CHILD_SUBREAPER, &set), printf("subreaper %d\n", set);
  pid_t pid = start(orphan), child;
  read(p[0], &child, 4);
  wait_for(pid);
  wait_for(child);
  pid = start(grandparent);
  read(p[0], &child, 4);
  wait_for(pid);
  wait_for(child);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  close(9), close(p[0]), close(p[1]);
}

static void pidfds(void) {
  pid_t pid = start(pausing);
  int fd = syscall(SYS_pidfd_open, pid, 0);
  printf("pidfd %d cloexec %d\n", fd >= 0, fcntl(fd, F_GETFD));
  TRY(syscall(SYS_pidfd_open, -1, 0));
  TRY(syscall(SYS_pidfd_open, pid, 0x10));
  struct pollfd poller = {fd, POLLIN, 0};
  TRY(poll(&poller, 1, 0));
  TRY(syscall(SYS_pidfd_send_signal, fd, 0, 0, 0));
  TRY(syscall(SYS_pidfd_send_signal, fd, 99, 0, 0));
  TRY(syscall(SYS_pidfd_send_signal, fd, SIGTERM, 0, 0));
  TRY(poll(&poller, 1, 5000));
  siginfo_t info;
  show("P_PIDFD", waitid(P_PIDFD, fd, &info, WEXITED), &info, pid);
  TRY(syscall(SYS_pidfd_send_signal, fd, 0, 0, 0));
  TRY(syscall(SYS_pidfd_getfd, fd, 0, 0));
  close(fd);
  TRY(syscall(SYS_pidfd_send_signal, 0, 0, 0, 0));
  TRY(syscall(SYS_pidfd_send_signal, 999, 0, 0, 0));
}

static char *const no_environment[] = {"X=1", 0};
static void attempt(const char *what, const char *path) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    char *argv[] = {"name", "arg", 0};
    execve(path, argv, no_environment);
    printf("%s: %s\n", what, strerrorname_np(errno));
    fflush(stdout);
    _exit(3);
  }
  wait_for(pid);
}
static void execs(void) {
  chdir(directory);
  make("text", "no program\n", 0755);
  make("plain", "#!/bin/echo\n", 0644);
  make("script", "#!/bin/echo one two\n", 0755);
  make("empty", "", 0755);
  make("nowhere", "#!/no/such/interpreter\n", 0755);
  make("broken", "\177ELF\2\1\1", 0755);
  attempt("text", "./text"), attempt("plain", "./plain"), attempt("script", "./script"), attempt("empty", "./empty");
  attempt("nowhere", "./nowhere"), attempt("broken", "./broken"), attempt("directory", "."), attempt("missing", "./missing"), attempt("below", "./text/x");
  for (int k = 0; k < 8; k++) {
    char name[20], text[4096];
    sprintf(name, "chain%d", k);
    if (k == 0) strcpy(text, "#!/bin/echo\n");
    else sprintf(text, "#!%s/chain%d\n", directory, k - 1);
    make(name, text, 0755);
    attempt(name, name);
  }
  make("loop", "", 0755);
  char text[4096];
  sprintf(text, "#!%s/loop\n", directory);
  make("loop", text, 0755), attempt("loop", "./loop");
  int busy = open("script", O_WRONLY);
  attempt("busy", "./script");
  close(busy);
  system("cp /bin/true copy");
  int in = open("/bin/sleep", O_RDONLY), out = open("sleeper", O_WRONLY | O_CREAT, 0755), n;
  char block[65536];
  while ((n = read(in, block, sizeof block)) > 0) write(out, block, n);
  close(in), close(out);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) execl("./sleeper", "sleeper", "50", (char *)0);
  for (int k = 0; k < 200; k++) {
    char comm[32] = "", path[40];
    sprintf(path, "/proc/%d/comm", pid);
    int fd = open(path, O_RDONLY);
    read(fd, comm, 31), close(fd);
    if (!strcmp(comm, "sleeper\n")) break;
    usleep(20000);
  }
  kill(pid, SIGKILL), wait_for(pid);
  out = open("sleeper", O_WRONLY);
  printf("to be written again %d\n", out > 0), close(out);
  // Too much.
  size_t large = 200000;
  char *big = malloc(large + 1);
  memset(big, 'a', large), big[large] = 0;
  char *argv[] = {"true", big, 0}, **many = malloc(sizeof *many * 400);
  fflush(stdout);
  if (fork() == 0) {
    TRY(execve("/bin/true", argv, no_environment));
    fflush(stdout), _exit(1);
  }
  wait(0);
  big[100000] = 0;
  for (int k = 0; k < 399; k++) many[k] = big;
  many[399] = 0;
  fflush(stdout);
  if (fork() == 0) {
    TRY(execve("/bin/true", many, no_environment));
    fflush(stdout), _exit(1);
  }
  wait(0);
  fflush(stdout);
  if (fork() == 0) execve("/bin/true", 0, 0), printf("no argv: %s\n", strerrorname_np(errno)), fflush(stdout), _exit(1);
  int status;
  wait(&status), printf("no argv: %d\n", WEXITSTATUS(status));
  // execveat
  int at = open(directory, O_PATH | O_DIRECTORY), file = open("/bin/echo", O_RDONLY | O_CLOEXEC), script = open("script", O_RDONLY | O_CLOEXEC),
      kept = open("script", O_RDONLY);
  char *words[] = {"echo", "by descriptor", 0};
#define AT(...)                                                                                                                    \
  fflush(stdout);                                                                                                                  \
  if (fork() == 0) syscall(SYS_execveat, __VA_ARGS__), printf("%s: %s\n", #__VA_ARGS__, strerrorname_np(errno)), fflush(stdout), _exit(1); \
  wait(&status), printf("%d\n", WEXITSTATUS(status));
  AT(file, "", words, no_environment, AT_EMPTY_PATH)
  AT(file, "", words, no_environment, 0)
  AT(at, "copy", words, no_environment, 0)
  AT(at, "missing", words, no_environment, 0)
  AT(script, "", words, no_environment, AT_EMPTY_PATH)
  AT(kept, "", words, no_environment, AT_EMPTY_PATH)
  AT(at, "", words, no_environment, AT_EMPTY_PATH)
  symlink("copy", "link");
  AT(at, "link", words, no_environment, AT_SYMLINK_NOFOLLOW)
  AT(at, "link", words, no_environment, 0)
  AT(999, "copy", words, no_environment, 0)
  AT(at, "copy", words, no_environment, 0x8000)
  close(at), close(file), close(script), close(kept);
  chdir("/");
}

static volatile sig_atomic_t handled, last_code, last_value, last_tid;
static void count(int sig, siginfo_t *info, void *u) { handled++, last_code = info->si_code, last_value = info->si_value.sival_int, last_tid = syscall(SYS_gettid); }
static void catch(int sig, int flags) {
  struct sigaction act = {.sa_sigaction = count, .sa_flags = SA_SIGINFO | flags};
  sigaction(sig, &act, 0);
}
static volatile pid_t helper_tid;
static volatile int helper_stop;
static void *helper(void *unused) {
  helper_tid = syscall(SYS_gettid);
  while (!helper_stop) usleep(1000);
  return 0;
}
static volatile int threaded;
static void by_thread(union sigval v) { threaded = v.sival_int; }

static void timers(void) {
  catch(SIGUSR1, 0);
  pthread_t t;
  pthread_create(&t, 0, helper, 0);
  while (!helper_tid) usleep(1000);
  struct itimerspec once = {{0, 0}, {0, 20000000}}, none = {0}, left;
  timer_t id;
  struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 41};
  e._sigev_un._tid = helper_tid;
  TRY(timer_create(CLOCK_MONOTONIC, &e, &id));
  timer_settime(id, 0, &once, 0);
  while (!handled) usleep(1000);
  printf("to the thread %d code %d value %d\n", last_tid == helper_tid, last_code, last_value);
  timer_delete(id);
  e._sigev_un._tid = 1;
  TRY(timer_create(CLOCK_MONOTONIC, &e, &id));
  helper_stop = 1, pthread_join(t, 0);
  e = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
  handled = 0;
  TRY(timer_create(CLOCK_REALTIME, &e, &id));
  timer_settime(id, 0, &once, 0);
  while (!handled) usleep(1000);
  printf("code %d value %d\n", last_code, last_value);
  timer_delete(id);
  handled = 0;
  e = (struct sigevent){.sigev_notify = SIGEV_NONE};
  TRY(timer_create(CLOCK_MONOTONIC, &e, &id));
  struct itimerspec hour = {{0, 0}, {3600, 0}};
  timer_settime(id, 0, &hour, 0);
  TRY(timer_gettime(id, &left));
  printf("left %d handled %d\n", left.it_value.tv_sec >= 3590, handled);
  TRY(timer_settime(id, TIMER_ABSTIME, &none, &left));
  TRY(timer_getoverrun(id));
  timer_delete(id);
  TRY(timer_delete(id));
  e = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_notify_function = by_thread, .sigev_value.sival_int = 43};
  TRY(timer_create(CLOCK_MONOTONIC, &e, &id));
  timer_settime(id, 0, &once, 0);
  while (!threaded) usleep(1000);
  printf("in a thread %d\n", threaded);
  timer_delete(id);
  sigset_t set, old;
  sigemptyset(&set), sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &old);
  struct itimerspec often = {{0, 1000000}, {0, 1000000}};
  e = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  TRY(timer_create(CLOCK_MONOTONIC, &e, &id));
  timer_settime(id, 0, &often, 0);
  usleep(50000);
  siginfo_t info;
  int got = sigwaitinfo(&set, &info);
  printf("got %d code %d overrun %d\n", got == SIGUSR1, info.si_code, info.si_overrun > 5);
  timer_delete(id);
  struct timespec zero = {0, 0};
  while (sigtimedwait(&set, 0, &zero) > 0);
  TRY(timer_create(CLOCK_MONOTONIC, &(struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99}, &id));
  TRY(timer_create(99, 0, &id));
  sigprocmask(SIG_SETMASK, &old, 0);
}

static void remaining(void) {
  // Stopped and continued, nanosleep and poll go on with what is left of their time; a handler ends them.
  catch(SIGUSR1, SA_RESTART);
  for (int k = 0; k < 3; k++) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
      struct timespec a, b, time = {0, 400000000}, rest = {0};
      clock_gettime(CLOCK_MONOTONIC, &a);
      errno = 0;
      int r = k == 0 ? nanosleep(&time, &rest) : k == 1 ? poll(0, 0, 400) : syscall(SYS_futex, &(int){5}, FUTEX_WAIT, 5, &time, 0, 0);
      int e = errno;
      clock_gettime(CLOCK_MONOTONIC, &b);
      long ms = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
      printf("%d: %d %s enough %d\n", k, r, r < 0 ? strerrorname_np(e) : "", ms >= 399);
      fflush(stdout);
      _exit(0);
    }
    usleep(150000);
    kill(pid, SIGSTOP), usleep(20000), kill(pid, SIGCONT);
    wait_for(pid);
  }
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    struct timespec time = {5, 0}, rest = {0};
    int r = nanosleep(&time, &rest);
    printf("interrupted: %d %s rest %d\n", r, strerrorname_np(errno), rest.tv_sec < 5);
    r = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &rest);
    printf("interrupted: %s rest %d\n", strerrorname_np(r), rest.tv_sec < 5);
    fflush(stdout);
    _exit(0);
  }
  // The first ones may come before it sleeps.
  for (int status; waitpid(pid, &status, WNOHANG) == 0;) usleep(300000), kill(pid, SIGUSR1);
}

static void accepting(void) {
  sigset_t set, old;
  sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN), sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, &old);
  int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  struct signalfd_siginfo s;
  TRY(read(fd, &s, sizeof s));
  TRY(read(fd, &s, 10));
  union sigval value = {.sival_int = 5};
  sigqueue(getpid(), SIGRTMIN, value), value.sival_int = 6, sigqueue(getpid(), SIGRTMIN, value), kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR1);
  struct pollfd p = {fd, POLLIN, 0};
  TRY(poll(&p, 1, 0));
  while (read(fd, &s, sizeof s) == sizeof s) printf("signalfd %d code %d value %d own %d\n", s.ssi_signo, s.ssi_code, s.ssi_int, s.ssi_pid == getpid());
  pid_t pid = start(exits_7);
  p.revents = 0;
  poll(&p, 1, 5000), read(fd, &s, sizeof s), printf("child %d code %d status %d pid %d\n", s.ssi_signo, s.ssi_code, s.ssi_status, s.ssi_pid == pid);
  wait_for(pid);
  struct timespec zero = {0, 0}, little = {0, 30000000};
  siginfo_t info;
  TRY(sigtimedwait(&set, &info, &zero));
  TRY(sigtimedwait(&set, &info, &little));
  TRY(sigtimedwait(&set, &info, &(struct timespec){0, -1}));
  value.sival_int = 7, sigqueue(getpid(), SIGRTMIN, value);
  int got = sigtimedwait(&set, &info, &zero);
  printf("got %d code %d value %d\n", got, info.si_code, info.si_value.sival_int);
  info.si_code = SI_QUEUE, info.si_value.sival_int = 8;
  TRY(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info));
  TRY(syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGRTMIN, &info));
  got = sigwaitinfo(&set, &info), printf("got %d value %d\n", got, info.si_value.sival_int);
  got = sigwaitinfo(&set, &info), printf("got %d value %d\n", got, info.si_value.sival_int);
  sigprocmask(SIG_SETMASK, &old, 0);
  close(fd);
}

static int *word;
static void *locker(void *unused) {
  long r = syscall(SYS_futex, word, FUTEX_LOCK_PI, 0, 0, 0, 0);
  word[1] = r == 0 && (*word & FUTEX_TID_MASK) == syscall(SYS_gettid);
  syscall(SYS_futex, word, FUTEX_UNLOCK_PI, 0, 0, 0, 0);
  return 0;
}
static void *waiter(void *at) {
  long r = syscall(SYS_futex, at, FUTEX_WAIT, 0, 0, 0, 0);
  __atomic_add_fetch(&word[9], r == 0, __ATOMIC_SEQ_CST);
  return 0;
}
struct waitv { uint64_t val, uaddr; uint32_t flags, reserved; };
static void *waking(void *unused) {
  for (int k = 0; k < 4000 && syscall(SYS_futex, &word[21], FUTEX_WAKE, 1, 0, 0, 0) != 1; k++) usleep(5000);
  word[21] = 1;
  return 0;
}
static void *pi_waiter(void *unused) {
  long r = syscall(SYS_futex, &word[30], FUTEX_WAIT_REQUEUE_PI, 0, 0, &word[31], 0);
  word[32] = r == 0 && (word[31] & FUTEX_TID_MASK) == syscall(SYS_gettid);
  syscall(SYS_futex, &word[31], FUTEX_UNLOCK_PI, 0, 0, 0, 0);
  return 0;
}
static void futexes(void) {
  word = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  TRY(syscall(SYS_futex, word, FUTEX_LOCK_PI, 0, 0, 0, 0));
  printf("owner %d\n", (*word & FUTEX_TID_MASK) == syscall(SYS_gettid));
  TRY(syscall(SYS_futex, word, FUTEX_LOCK_PI, 0, 0, 0, 0));
  TRY(syscall(SYS_futex, word, FUTEX_TRYLOCK_PI, 0, 0, 0, 0));
  pthread_t t, u[3];
  pthread_create(&t, 0, locker, 0);
  while (!(*word & FUTEX_WAITERS)) usleep(1000);
  TRY(syscall(SYS_futex, word, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
  pthread_join(t, 0), printf("handed over %d\n", word[1]);
  TRY(syscall(SYS_futex, word, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
  for (int k = 0; k < 3; k++) pthread_create(&u[k], 0, waiter, &word[8]);
  int moved = 0, woken = 0;
  while (moved + woken < 3) {
    int r = syscall(SYS_futex, &word[8], FUTEX_CMP_REQUEUE, woken ? 0 : 1, 100, &word[10], 0);
    if (r > 0) { if (!woken) woken = 1, moved += r - 1; else moved += r; }
    usleep(1000);
  }
  printf("woken %d moved %d\n", woken, moved);
  TRY(syscall(SYS_futex, &word[8], FUTEX_CMP_REQUEUE, 1, 1, &word[10], 77));
  TRY(syscall(SYS_futex, &word[10], FUTEX_WAKE, 100, 0, 0, 0));
  for (int k = 0; k < 3; k++) pthread_join(u[k], 0);
  printf("all %d\n", word[9]);
  TRY(syscall(SYS_futex, &word[11], FUTEX_WAKE_OP, 1, 1, &word[12], FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0)));
  printf("op %d\n", word[12]);
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  TRY(syscall(SYS_futex, &word[13], FUTEX_WAIT_BITSET, 0, &end, 0, 1));
  TRY(syscall(SYS_futex, &word[13], FUTEX_WAIT_BITSET, 0, &end, 0, 0));
  struct waitv v[3] = {{0, (uint64_t)&word[20], 2, 0}, {0, (uint64_t)&word[21], 2, 0}, {0, (uint64_t)&word[22], 2, 0}};
  pthread_create(&t, 0, waking, 0);
  TRY(syscall(SYS_futex + 247, v, 3, 0, 0, CLOCK_MONOTONIC));
  pthread_join(t, 0);
  TRY(syscall(SYS_futex + 247, v, 3, 0, 0, CLOCK_MONOTONIC));
  v[1].val = 1;
  TRY(syscall(SYS_futex + 247, v, 3, 0, &end, CLOCK_MONOTONIC));
  v[2].uaddr = 8;
  TRY(syscall(SYS_futex + 247, v, 3, 0, &end, CLOCK_MONOTONIC));
  TRY(syscall(SYS_futex + 247, v, 0, 0, 0, CLOCK_MONOTONIC));
  pthread_create(&t, 0, pi_waiter, 0);
  int r;
  do r = syscall(SYS_futex, &word[30], FUTEX_CMP_REQUEUE_PI, 1, 0, &word[31], 0); while (r == 0 && (usleep(1000), 1));
  printf("requeue pi %d\n", r);
  pthread_join(t, 0), printf("owned %d\n", word[32]);
}

static void scheduling(void) {
  long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  printf("membarrier %d\n", (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0);
  TRY(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
  TRY(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
  TRY(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
  TRY(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
  TRY(syscall(SYS_membarrier, 0x7000, 0, 0));
  struct sched_param param = {0};
  TRY(sched_getscheduler(0));
  TRY(sched_setscheduler(0, SCHED_BATCH, &param));
  TRY(sched_getscheduler(0));
  TRY(sched_setscheduler(0, 77, &param));
  TRY(sched_get_priority_max(SCHED_RR));
  TRY(sched_get_priority_min(SCHED_FIFO));
  TRY(sched_get_priority_max(55));
  cpu_set_t cpus, one;
  TRY(sched_getaffinity(0, sizeof cpus, &cpus) >= 0);
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  TRY(sched_setaffinity(0, sizeof one, &one));
  sched_getaffinity(0, sizeof one, &one), printf("cpus %d\n", CPU_COUNT(&one));
  CPU_ZERO(&one);
  TRY(sched_setaffinity(0, sizeof one, &one));
  TRY(sched_setaffinity(0, sizeof cpus, &cpus));
  TRY(syscall(SYS_sched_getaffinity, 0, 1, &cpus));
  TRY(setpriority(PRIO_PROCESS, 0, 3));
  TRY(getpriority(PRIO_PROCESS, 0));
  struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; } attr = {0};
  TRY(syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0));
  printf("policy %d nice %d\n", attr.policy, attr.nice);
  TRY(sched_yield());
  struct timespec slice;
  TRY(sched_rr_get_interval(0, &slice));
  TRY(syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0));
  TRY(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 0, 999));
  TRY(syscall(SYS_kcmp, getpid(), 0x7ffffff, KCMP_VM, 0, 0));
  TRY(syscall(SYS_kcmp, getpid(), getpid(), 99, 0, 0));
  int fd = dup(1);
  TRY(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 1, fd));
  pid_t pid = start(pausing);
  printf("vm differs %d\n", syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0) > 0);
  TRY(syscall(SYS_kcmp, getpid(), pid, KCMP_FILE, 1, 1));
  kill(pid, SIGKILL), wait_for(pid);
}

int main(int argc, char **argv) {
  setvbuf(stdout, 0, _IOFBF, 1 << 16);
  getcwd(directory, 4000), strcat(directory, "/life");
  mkdir(directory, 0777);
  char *names[] = {"waiting", "families", "pidfds", "execs", "timers", "remaining", "accepting", "futexes", "scheduling"};
  void (*parts[])(void) = {waiting, families, pidfds, execs, timers, remaining, accepting, futexes, scheduling};
  for (int k = 0; k < 9; k++) {
    if (argc > 1 && strcmp(argv[1], names[k])) continue;
    printf("-- %s\n", names[k]);
    pid_t pid = start(parts[k]);
    wait_for(pid);
  }
  system("rm -r life");
}
