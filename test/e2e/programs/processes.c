/* Making, watching and replacing processes: prints what happened, without anything that differs from run to run. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char **environment;
static void out(const char *format, ...) {
  char line[512];
  va_list list;
  __builtin_va_start(list, format);
  int n = vsnprintf(line, sizeof line, format, list);
  __builtin_va_end(list);
  if (write(1, line, n) != n) _exit(99);
}
static const char *name(int result) { return result < 0 ? strerrorname_np(errno) : "ok"; }
static int status_of(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR);
  return status;
}
static volatile int shared_by_vfork;
static volatile sig_atomic_t caught;
static void on_signal(int signal) { caught = signal; }

static long raw_clone(unsigned long flags, void *stack, int *parent, int *child, unsigned long tls) {
  return syscall(SYS_clone, flags, stack, parent, child, tls);
}

static void forks(void) {
  int value = 1;
  pid_t pid = fork();
  if (pid == 0) {
    value = 2;
    _exit(value == 2 && getppid() > 0 ? 40 : 41);
  }
  out("fork: %d, parent's value %d\n", WEXITSTATUS(status_of(pid)), value);
  pid = fork();
  if (pid == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    raise(SIGABRT);
  }
  int status = status_of(pid);
  out("killed: %d by %d\n", WIFSIGNALED(status), WTERMSIG(status));
  out("nobody left: %s\n", name(waitpid(-1, &status, WNOHANG)));

  int *common = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int *own = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int *wiped = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int *absent = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *common = *own = *wiped = *absent = 5;
  madvise(wiped, 4096, MADV_WIPEONFORK);
  madvise(absent, 4096, MADV_DONTFORK);
  alarm(1000);
  if ((pid = fork()) == 0) {
    unsigned char there;
    *common = 6;
    *own = 6;
    _exit(*wiped + 10 * (mincore(absent, 4096, &there) < 0) + (int)alarm(0));
  }
  status = status_of(pid);
  out("memory: %d %d, child %d, alarm kept %d\n", *common, *own, WEXITSTATUS(status), alarm(0) > 0);
}

static void vforks(void) {
  shared_by_vfork = 1;
  pid_t pid = vfork();
  if (pid == 0) {
    shared_by_vfork = 7;
    _exit(3);
  }
  out("vfork: %d, sees %d\n", WEXITSTATUS(status_of(pid)), shared_by_vfork);
  char *big = malloc(8 << 20);
  memset(big, 1, 8 << 20);
  pid = vfork();
  if (pid == 0) {
    for (int k = 0; k < 8 << 20; k += 4096) big[k + 17] = k >> 12;
    _exit(0);
  }
  status_of(pid);
  long sum = 0;
  for (int k = 0; k < 8 << 20; k += 4096) sum += (unsigned char)big[k + 17] + big[k];
  out("vfork wrote: %ld\n", sum);
  free(big);
  pid_t spawned;
  char *none[] = {"nothing", 0}, *yes[] = {"sh", "-c", "exit 9", 0};
  int error = posix_spawn(&spawned, "/nonexistent/program", 0, 0, none, environment);
  out("posix_spawn: %s\n", strerrorname_np(error));
  error = posix_spawn(&spawned, "/etc/passwd", 0, 0, none, environment);
  out("posix_spawn: %s\n", strerrorname_np(error));
  error = posix_spawn(&spawned, "/bin/sh", 0, 0, yes, environment);
  out("posix_spawn: %d %d\n", error, WEXITSTATUS(status_of(spawned)));
  int failed = system("exit 6");
  out("system: %d\n", WEXITSTATUS(failed));
  FILE *stream = popen("echo from the pipe; exit 2", "r");
  char line[64] = "";
  fgets(line, sizeof line, stream);
  out("popen: %s", line);
  out("pclose: %d\n", WEXITSTATUS(pclose(stream)));
}

static void clones(void) {
  int parent_tid = 0, child_tid = 0;
  long pid = raw_clone(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &parent_tid, &child_tid, 0);
  if (pid == 0) _exit(child_tid == syscall(SYS_gettid) && child_tid == getpid() ? 1 : 2);
  out("settid: child %d, parent %d %d\n", WEXITSTATUS(status_of(pid)), parent_tid == pid, child_tid);

  int pidfd = -1;
  pid = raw_clone(CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
  if (pid == 0) _exit(pidfd == -1 && fcntl(3, F_GETFD) < 0 ? 5 : 6);
  struct pollfd wait = {pidfd, POLLIN, 0};
  poll(&wait, 1, -1);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  int result = waitid(P_PIDFD, pidfd, &info, WEXITED);
  out("pidfd: %d, %s, code %d status %d, cloexec %d\n", pidfd, name(result), info.si_code, info.si_status, fcntl(pidfd, F_GETFD));
  close(pidfd);

  signal(SIGUSR1, on_signal);
  caught = 0;
  pid = raw_clone(SIGUSR1, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  int status;
  while (waitpid(pid, &status, __WCLONE) < 0 && errno == EINTR);
  out("exit signal: %d\n", caught);

  pid = raw_clone(0, 0, 0, 0, 0);
  if (pid == 0) _exit(4);
  out("no signal: wait %s", name(waitpid(pid, &status, 0)));
  out(", __WALL %d\n", WEXITSTATUS(status_of(pid)));

  pid = fork();
  if (pid == 0) {
    long sibling = raw_clone(CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (sibling == 0) _exit(20);
    _exit(waitpid(sibling, &status, 0) < 0 && errno == ECHILD ? 10 : 11);
  }
  int sum = 0;
  for (int k = 0; k < 2; k++) {
    wait4(-1, &status, 0, 0);
    sum += WEXITSTATUS(status);
  }
  out("CLONE_PARENT: %d\n", sum);

  unsigned long wrong[] = {CLONE_THREAD | SIGCHLD, CLONE_SIGHAND | SIGCHLD, CLONE_NEWNS | CLONE_FS | SIGCHLD, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD};
  for (unsigned k = 0; k < sizeof wrong / sizeof *wrong; k++) out("clone %u: %s\n", k, name(raw_clone(wrong[k], 0, &parent_tid, 0, 0)));

  struct clone_args args;
  struct { const char *what; uint64_t flags, exit_signal, stack, stack_size, set_tid, set_tid_size; size_t size; } cases[] = {
    {"short", 0, SIGCHLD, 0, 0, 0, 0, 60}, {"signal", 0, 65, 0, 0, 0, 0, 64}, {"big signal", 0, 300, 0, 0, 0, 0, 64},
    {"stack size", 0, SIGCHLD, 0, 4096, 0, 0, 64}, {"no size", 0, SIGCHLD, 4096, 0, 0, 0, 64}, {"tids", 0, SIGCHLD, 0, 0, 0, 1, 80},
    {"many tids", 0, SIGCHLD, 0, 0, 8, 33, 80}, {"detached", CLONE_DETACHED, SIGCHLD, 0, 0, 0, 0, 64}, {"unknown", 1ull << 40, SIGCHLD, 0, 0, 0, 0, 64},
    {"csignal", 1, SIGCHLD, 0, 0, 0, 0, 64}, {"thread signal", CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, SIGCHLD, 0, 0, 0, 0, 64},
    {"both", CLONE_SIGHAND | CLONE_VM | CLONE_CLEAR_SIGHAND, SIGCHLD, 0, 0, 0, 0, 64},
  };
  for (unsigned k = 0; k < sizeof cases / sizeof *cases; k++) {
    memset(&args, 0, sizeof args);
    args.flags = cases[k].flags, args.exit_signal = cases[k].exit_signal, args.stack = cases[k].stack;
    args.stack_size = cases[k].stack_size, args.set_tid = cases[k].set_tid, args.set_tid_size = cases[k].set_tid_size;
    out("clone3 %s: %s\n", cases[k].what, name(syscall(SYS_clone3, &args, cases[k].size)));
  }
  out("clone3 bad address: %s\n", name(syscall(SYS_clone3, 8, 64)));
  out("clone3 too big: %s\n", name(syscall(SYS_clone3, &args, 5000)));
  memset(&args, 0, sizeof args);
  args.flags = CLONE_CLEAR_SIGHAND | CLONE_PARENT_SETTID, args.exit_signal = SIGCHLD, args.parent_tid = (uint64_t)&parent_tid;
  pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) {
    struct sigaction now;
    sigaction(SIGUSR1, 0, &now);
    _exit(now.sa_handler == SIG_DFL ? 1 : 2);
  }
  out("clone3: cleared %d, tid %d\n", WEXITSTATUS(status_of(pid)), parent_tid == pid);
}

static void families(void) {
  int pipe_[2];
  pipe(pipe_);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_t pid = fork();
  if (pid == 0) {
    if (fork() == 0) {
      pid_t self = getpid();
      write(pipe_[1], &self, sizeof self);
      while (getppid() == 1) ;
      _exit(33);
    }
    _exit(0);
  }
  status_of(pid);
  pid_t orphan;
  read(pipe_[0], &orphan, sizeof orphan);
  out("subreaper: %d\n", WEXITSTATUS(status_of(orphan)));
  pid = fork();
  if (pid == 0) {
    pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      write(pipe_[1], "x", 1);
      for (;;) pause();
    }
    char c;
    read(pipe_[0], &c, 1);
    _exit(0);
  }
  status_of(pid);
  int status = 0;
  wait(&status);
  out("PDEATHSIG: %d\n", WTERMSIG(status));
  pid = fork();
  if (pid == 0) {
    int good = setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid();
    _exit(good && setpgid(0, 0) < 0 && errno == EPERM ? 1 : 0);
  }
  out("setsid: %d\n", WEXITSTATUS(status_of(pid)));
  pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    write(pipe_[1], "x", 1);
    for (;;) pause();
  }
  char c;
  read(pipe_[0], &c, 1);
  kill(pid, SIGSTOP);
  waitpid(-pid, &status, WUNTRACED);
  out("stopped: %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
  kill(-pid, SIGCONT);
  waitpid(pid, &status, WCONTINUED);
  out("continued: %d\n", WIFCONTINUED(status));
  kill(-pid, SIGTERM);
  waitpid(pid, &status, 0);
  out("group killed: %d\n", WTERMSIG(status));
}

/* Blocked signals stay for whoever waits for them, whatever other threads the process may have. */
static void waiting(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, 0);
  int got[65] = {0};
  for (int k = 0; k < 20; k++) {
    siginfo_t info;
    kill(getpid(), SIGTERM);
    got[sigwaitinfo(&set, &info)]++;
    pid_t pid = fork();
    if (pid == 0) _exit(k);
    got[sigwaitinfo(&set, &info)] += info.si_pid == pid && info.si_status == k;
    status_of(pid);
  }
  sigprocmask(SIG_UNBLOCK, &set, 0);
  out("waited for: %d SIGTERM, %d SIGCHLD\n", got[SIGTERM], got[SIGCHLD]);
}

static void many(void) {
  enum { COUNT = 200 };
  pid_t pids[COUNT];
  int sum = 0, wrong = 0;
  for (int k = 0; k < COUNT; k++) {
    pids[k] = fork();
    if (pids[k] == 0) {
      char *block = malloc(1000 + k);
      memset(block, k, 1000 + k);
      _exit(block[999] == (char)k ? k % 100 : 255);
    }
    if (k >= 8) {
      int status = status_of(pids[k - 8]);
      if (!WIFEXITED(status) || WEXITSTATUS(status) != (k - 8) % 100) wrong++;
      sum++;
    }
  }
  for (int k = COUNT - 8; k < COUNT; k++, sum++) if (status_of(pids[k]) != (k % 100) << 8) wrong++;
  out("many: %d, wrong %d, left %s\n", sum, wrong, name(wait(0)));
}

/* Run again by exec: says what the new program was given. */
static int after_exec(int argc, char **argv) {
  struct sigaction usr1, usr2;
  sigset_t mask, pending;
  stack_t stack;
  sigaction(SIGUSR1, 0, &usr1);
  sigaction(SIGUSR2, 0, &usr2);
  sigprocmask(SIG_BLOCK, 0, &mask);
  sigpending(&pending);
  sigaltstack(0, &stack);
  out("exec: %d arguments, %s, %s, same pid %d\n", argc, argv[2], getenv("GIVEN"), atoi(argv[3]) == getpid());
  out("exec: USR1 %s, USR2 %s, HUP blocked %d pending %d, stack %d\n", usr1.sa_handler == SIG_DFL ? "default" : "kept",
      usr2.sa_handler == SIG_IGN ? "ignored" : "changed", sigismember(&mask, SIGHUP), sigismember(&pending, SIGHUP), stack.ss_flags);
  struct itimerspec timer;
  out("exec: descriptors %d %d, timer %s, alarm %d\n", fcntl(10, F_GETFD), fcntl(11, F_GETFD), name(syscall(SYS_timer_gettime, atoi(argv[4]), &timer)), alarm(0) > 0);
  char comm[16] = "";
  prctl(PR_GET_NAME, comm);
  out("exec: comm %s\n", comm);
  return 17;
}

static void execs(const char *self) {
  pid_t pid = fork();
  if (pid == 0) {
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, 0);
    raise(SIGHUP);
    static char space[65536];
    stack_t stack = {space, 0, sizeof space};
    sigaltstack(&stack, 0);
    dup2(1, 10);
    dup3(1, 11, O_CLOEXEC);
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    int timer;
    syscall(SYS_timer_create, CLOCK_MONOTONIC, &none, &timer);
    alarm(1000);
    char own[16], id[16];
    sprintf(own, "%d", getpid());
    sprintf(id, "%d", timer);
    char *args[] = {"again", "exec", "third", own, id, 0}, *env[] = {"GIVEN=given", 0};
    execve(self, args, env);
    _exit(98);
  }
  out("exec: %d\n", WEXITSTATUS(status_of(pid)));

  char script[] = "/tmp/lunagate-exec-XXXXXX";
  int fd = mkstemp(script);
  write(fd, "#!/bin/sh -e\necho script $#\nfalse\necho not reached\n", 49);
  fchmod(fd, 0755);
  char *args[] = {script, "a", "b c", 0};
  out("exec of a file being written: %s\n", name(execve(script, args, environment)));
  close(fd);
  if ((pid = fork()) == 0) {
    execve(script, args, environment);
    _exit(98);
  }
  out("script: %d\n", WEXITSTATUS(status_of(pid)));
  if ((pid = fork()) == 0) {
    fd = open(script, O_RDONLY | O_CLOEXEC);
    int failed = fexecve(fd, args, environment) < 0 ? errno : 0;
    fcntl(fd, F_SETFD, 0);
    out("script by a descriptor that closes: %s\n", strerrorname_np(failed));
    fexecve(fd, args, environment);
    _exit(98);
  }
  out("script by descriptor: %d\n", WEXITSTATUS(status_of(pid)));
  chmod(script, 0644);
  fd = open(script, O_RDWR | O_TRUNC);
  write(fd, "not a program\n", 14);
  close(fd);
  chmod(script, 0755);
  out("text: %s\n", name(execve(script, args, environment)));
  fd = open(script, O_RDWR | O_TRUNC);
  dprintf(fd, "#!%s\n", script);
  close(fd);
  out("its own interpreter: %s\n", name(execve(script, args, environment)));
  truncate(script, 0);
  fd = open(script, O_RDWR);
  write(fd, "#!/nonexistent/shell\n", 21);
  close(fd);
  out("no interpreter: %s\n", name(execve(script, args, environment)));
  unlink(script);
  out("gone: %s\n", name(execve(script, args, environment)));
  out("directory: %s\n", name(execve("/tmp", args, environment)));
  out("empty: %s\n", name(execve("", args, environment)));
  out("bad path: %s\n", name(execve((char *)8, args, environment)));
  out("bad list: %s\n", name(execve("/bin/true", (char **)8, environment)));
  char *hole[] = {"true", (char *)8, 0};
  out("bad string: %s\n", name(execve("/bin/true", hole, environment)));
  char *huge = malloc(200001);
  memset(huge, 'x', 200000);
  huge[200000] = 0;
  char *long_one[] = {"true", huge, 0};
  out("long string: %s\n", name(execve("/bin/true", long_one, environment)));
  huge[100000] = 0;
  char *lots[101];
  for (int k = 0; k < 100; k++) lots[k] = huge;
  lots[100] = 0;
  out("many strings: %s\n", name(execve("/bin/true", lots, environment)));
  char *true_[] = {"true", 0};
  out("flags: %s\n", name(syscall(SYS_execveat, AT_FDCWD, "/bin/true", true_, environment, 4)));
  out("no descriptor: %s\n", name(syscall(SYS_execveat, 77, "", true_, environment, AT_EMPTY_PATH)));
  out("link: %s\n", name(syscall(SYS_execveat, AT_FDCWD, "/proc/self/exe", true_, environment, AT_SYMLINK_NOFOLLOW)));
  if ((pid = fork()) == 0) {
    int dir = open("/bin", O_PATH);
    char *sh[] = {"sh", "-c", "exit 21", 0};
    syscall(SYS_execveat, dir, "sh", sh, environment, 0);
    _exit(98);
  }
  out("relative to a directory: %d\n", WEXITSTATUS(status_of(pid)));
  if ((pid = fork()) == 0) {
    execve("/proc/self/exe", (char *[]){"again", "echo", "own", 0}, environment);
    _exit(98);
  }
  out("/proc/self/exe: %d\n", WEXITSTATUS(status_of(pid)));
  if ((pid = vfork()) == 0) {
    execve(self, (char *[]){"again", "echo", "after vfork", 0}, environment);
    _exit(98);
  }
  out("vfork and exec: %d\n", WEXITSTATUS(status_of(pid)));
}

int main(int argc, char **argv, char **envp) {
  environment = envp;
  if (argc > 4 && strcmp(argv[1], "exec") == 0) return after_exec(argc, argv);
  if (argc > 2 && strcmp(argv[1], "echo") == 0) return out("%s\n", argv[2]), 5;
  forks();
  vforks();
  clones();
  families();
  waiting();
  execs(argv[0]);
  many();
  return 0;
}
