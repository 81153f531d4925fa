// seccomp(2): the kernel's checks, programs at random against its interpreter, every action, who inherits filters.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define STMT(c, k) {(c), 0, 0, (k)}
#define JUMP(c, k, t, f) {(c), (t), (f), (k)}
#define NR offsetof(struct seccomp_data, nr)
#define ALLOW SECCOMP_RET_ALLOW
typedef struct sock_filter insn;

static int install(unsigned flags, const insn *code, int n) {
  struct sock_fprog p = {(unsigned short)n, (insn *)code};
  int r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
  return r < 0 ? -errno : r;
}
// The call `nr` gives `result`, others are as they were.
static int on(int nr, unsigned result, unsigned flags) {
  insn code[] = {STMT(BPF_LD | BPF_W | BPF_ABS, NR), JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), STMT(BPF_RET | BPF_K, result),
                 STMT(BPF_RET | BPF_K, ALLOW)};
  return install(flags, code, 4);
}
static void nnp(void) { prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

static void wait_for(const char *name, pid_t pid) {
  int status = -1;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status)) printf("%s: exited %d\n", name, WEXITSTATUS(status));
  else printf("%s: signal %d\n", name, WTERMSIG(status));
}
#define CHILD(name, ...)                  \
  do {                                    \
    fflush(stdout);                       \
    pid_t pid_ = fork();                  \
    if (pid_ == 0) {                      \
      __VA_ARGS__;                        \
      fflush(stdout);                     \
      _exit(0);                           \
    }                                     \
    wait_for(name, pid_);                 \
  } while (0)

static void checks(void) {
  unsigned known[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO, SECCOMP_RET_TRACE,
                      SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, 0x12345678};
  for (int k = 0; k < 8; k++) printf("available %x: %ld", known[k], syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &known[k])), printf(" %s\n", strerror(errno)), errno = 0;
#define SHOW(...)                                                    \
  do {                                                               \
    errno = 0;                                                       \
    long r_ = syscall(__VA_ARGS__);                                  \
    printf("%s: %ld %s\n", #__VA_ARGS__, r_, r_ < 0 ? strerror(errno) : ""); \
  } while (0)
  SHOW(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, known);
  SHOW(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, 0);
  SHOW(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, 0);
  SHOW(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, known);
  SHOW(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 0);
  SHOW(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, 0);
  SHOW(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0x100, 0);
  SHOW(SYS_seccomp, 77, 0, 0);
  SHOW(SYS_prctl, PR_SET_SECCOMP, 0, 0, 0, 0);
  SHOW(SYS_prctl, PR_SET_SECCOMP, 3, 0, 0, 0);
  SHOW(SYS_prctl, PR_SET_SECCOMP, 2, 0, 0, 0);
  SHOW(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0);
  SHOW(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  insn one[] = {STMT(BPF_RET | BPF_K, ALLOW)};
  printf("length 0: %d, 4097: %d\n", install(0, one, 0), install(0, one, 4097));
  printf("no instructions: %d\n", install(0, 0, 1));
  printf("bad address: %d\n", install(0, (insn *)8, 1));
  insn huge[4096];
  for (int k = 0; k < 4096; k++) huge[k] = one[0];
  nnp();
  printf("prctl after: %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  int n = 0, r;
  CHILD("many kinds", insn code[] = {STMT(0x20, NR), JUMP(0x15, 5000, 1, 0), STMT(6, ALLOW), JUMP(0x45, 1 << 30, 0, 0), JUMP(0x45, 1 << 30, 0, 1),
        JUMP(0x45, 1 << 30, 1, 0), JUMP(0x35, 0x80000000, 1, 1), STMT(BPF_LDX | BPF_IMM, 3), STMT(BPF_ALU | BPF_DIV | BPF_X, 0), STMT(BPF_ST, 1),
        STMT(BPF_LD | BPF_LEN, 0), STMT(0x07, 0), JUMP(0x25, 70, 1, 0), STMT(BPF_LD | BPF_IMM, ALLOW), STMT(BPF_LD | BPF_IMM, ALLOW), STMT(0x16, 0)};
        int m = 0; while ((r = install(0, code, 16)) == 0) m++; printf("%d then %d\n", m, r));
  while ((r = install(0, huge, 4096)) == 0) n++;
  printf("filters of 4096: %d, then %d, mode %d\n", n, r, prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
  printf("strict after filter: %d\n", prctl(PR_SET_SECCOMP, 1, 0, 0, 0) < 0 ? errno : 0);
}

static uint32_t seed = 12345;
static uint32_t rnd(void) { return seed = seed * 1664525 + 1013904223, seed >> 8; }

// Programs at random: which of them are accepted.
static void random_checks(void) {
  static const unsigned short codes[] = {0x20, 0x80, 0x81, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03, 0x06, 0x16, 0x07, 0x87, 0x84, 0x05, 0x04, 0x0c, 0x14, 0x1c,
      0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0xa4, 0xac, 0x15, 0x1d, 0x35, 0x3d, 0x25, 0x2d, 0x45, 0x4d,
      0x28, 0x30, 0x40, 0xb1, 0x94, 0x9c, 0x48, 0x50, 0x0e, 0x85, 0x106, 0x8000};
  uint32_t hash = 0;
  int accepted = 0;
  for (int batch = 0; batch < 5; batch++) {
    int fd[2];
    pipe(fd);
    pid_t pid = fork();
    if (pid == 0) {
      seed = 99 + batch;
      unsigned char results[800];
      for (int k = 0; k < 800; k++) {
        insn code[8];
        int n = 1 + rnd() % 7;
        for (int j = 0; j < n; j++) {
          code[j].code = codes[rnd() % (sizeof codes / sizeof *codes - (rnd() % 4 ? 12 : 0))];
          code[j].jt = rnd() % 4, code[j].jf = rnd() % 4;
          code[j].k = rnd() % 3 ? rnd() % 20 : rnd() % 3 ? 4 * (rnd() % 17) : rnd();
          if ((code[j].code & 7) == BPF_RET && rnd() % 8) code[j].code = 6;
          if (code[j].code == 6) code[j].k = ALLOW;
        }
        if (rnd() % 8) code[n - 1] = (insn)STMT(6, ALLOW);
        // What is accepted must not be felt.
        for (int j = 0; j < n; j++) if (code[j].code == 0x16) code[j] = (insn)STMT(6, ALLOW);
        for (int j = 0; j < n; j++) if (code[j].code == 0x3c) code[j].code = 0x34; // division by x may be one by 0
        results[k] = -install(0, code, n);
      }
      write(fd[1], results, sizeof results);
      _exit(0);
    }
    unsigned char results[800] = {0};
    close(fd[1]);
    read(fd[0], results, sizeof results);
    close(fd[0]);
    waitpid(pid, 0, 0);
    for (int k = 0; k < 800; k++) hash = hash * 31 + results[k], accepted += results[k] == 0;
  }
  printf("random programs: %d accepted, hash %x\n", accepted, hash);
}

#define PROBE 500
// Programs at random: what they compute, seen as an errno.
static void random_runs(void) {
  uint32_t hash = 0;
  nnp();
  for (int k = 0; k < 300; k++) {
    insn code[40] = {STMT(BPF_LD | BPF_W | BPF_ABS, NR), JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE, 1, 0), STMT(BPF_RET | BPF_K, ALLOW)};
    int n = 3, body = 4 + rnd() % 16, end = n + 3 + body;
    code[n++] = (insn)STMT(BPF_ST, 0), code[n++] = (insn)STMT(BPF_ST, 1), code[n++] = (insn)STMT(BPF_LDX | BPF_IMM, rnd());
    while (n < end) {
      static const unsigned char ops[] = {0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0};
      static const unsigned char jumps[] = {0x10, 0x20, 0x30, 0x40};
      int left = end - n - 1, x = rnd() % 2 ? BPF_X : 0;
      insn i = {0};
      switch (rnd() % 8) {
        case 0: i.code = BPF_LD | BPF_W | BPF_ABS, i.k = 4 * (rnd() % 16); break;
        case 1: i.code = rnd() % 2 ? BPF_LD | BPF_MEM : BPF_LDX | BPF_MEM, i.k = rnd() % 2; break;
        case 2: i.code = rnd() % 2 ? BPF_ST : BPF_STX, i.k = rnd() % 2; break;
        case 3: i.code = rnd() % 2 ? BPF_MISC | BPF_TAX : BPF_MISC | BPF_TXA; break;
        case 4: i.code = rnd() % 3 ? BPF_ALU | BPF_NEG : rnd() % 2 ? BPF_LD | BPF_LEN : BPF_LDX | BPF_W | BPF_LEN; break;
        case 5:
          if (left == 0) continue;
          i.code = BPF_JMP | jumps[rnd() % 4] | x, i.jt = rnd() % left, i.jf = rnd() % left, i.k = rnd() % 2 ? rnd() : rnd() % 600;
          break;
        default:
          i.code = BPF_ALU | ops[rnd() % 9] | x, i.k = rnd() % 2 ? rnd() * 131 : rnd() % 32;
          if ((i.code & 0xf0) >= 0x60 && (i.code & 0xf0) <= 0x70) i.k %= 32;
          if ((i.code & 0xf0) == 0x30) i.code = BPF_ALU | BPF_DIV, i.k = 1 + rnd() % 1000;
      }
      code[n++] = i;
    }
    code[n++] = (insn)STMT(BPF_ALU | BPF_AND | BPF_K, 0x7ff);
    code[n++] = (insn)STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO);
    code[n++] = (insn)STMT(BPF_RET | BPF_A, 0);
    int r = install(0, code, n);
    // Not the instruction pointer: it differs from run to run.
    for (int j = 3; j < n && r == 0; j++) if (code[j].code == 0x20 && (code[j].k == 8 || code[j].k == 12)) r = 1;
    for (int j = 0; j < 4; j++) {
      uint64_t a = (uint64_t)rnd() << 32 | rnd() * 77, b = rnd(), c = -(long)rnd();
      errno = 0;
      long v = syscall(PROBE, a, b, c, 4L << 33, 5, -1L);
      if (r == 0) hash = hash * 31 + errno + (v & 1);
    }
    hash = hash * 31 + (r < 0 ? 7 : 0);
  }
  printf("random runs: hash %x\n", hash);
}

static void on_sys(int sig, siginfo_t *info, void *context) {
  ucontext_t *u = context;
  printf("SIGSYS code %d errno %d syscall %d arch %x at rip %d rax %lld\n", info->si_code, info->si_errno, info->si_syscall, info->si_arch,
         info->si_call_addr == (void *)u->uc_mcontext.gregs[REG_RIP], u->uc_mcontext.gregs[REG_RAX]);
  u->uc_mcontext.gregs[REG_RAX] = 4711;
}
static void catch_sys(void) {
  struct sigaction act = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &act, 0);
}

static void show_status(const char *who, const char *path) {
  char line[256];
  FILE *f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f))
    if (!strncmp(line, "Seccomp", 7) || !strncmp(line, "NoNewPrivs", 10)) printf("%s %s", who, line);
  if (f) fclose(f);
}

static void actions(void) {
  nnp();
  CHILD("errno", on(SYS_getppid, SECCOMP_RET_ERRNO | 77, 0); errno = 0; printf("%ld %d\n", (long)syscall(SYS_getppid), errno));
  CHILD("errno 0", on(SYS_getppid, SECCOMP_RET_ERRNO, 0); printf("%ld\n", (long)syscall(SYS_getppid)));
  CHILD("errno large", on(SYS_getppid, SECCOMP_RET_ERRNO | 0xffff, 0); long r = syscall(SYS_getppid); printf("%ld %d\n", r, errno));
  CHILD("trace", on(SYS_getppid, SECCOMP_RET_TRACE | 5, 0); long r = syscall(SYS_getppid); printf("%ld %d\n", r, errno));
  CHILD("notif without listener", on(SYS_getppid, SECCOMP_RET_USER_NOTIF, 0); long r = syscall(SYS_getppid); printf("%ld %d\n", r, errno));
  CHILD("log", on(SYS_getppid, SECCOMP_RET_LOG, SECCOMP_FILTER_FLAG_LOG); printf("%d\n", syscall(SYS_getppid) > 0));
  CHILD("trap", catch_sys(); on(SYS_getppid, SECCOMP_RET_TRAP | 99, 0); printf("%ld\n", (long)syscall(SYS_getppid)));
  CHILD("trap default", on(SYS_getppid, SECCOMP_RET_TRAP, 0); syscall(SYS_getppid));
  CHILD("trap ignored", signal(SIGSYS, SIG_IGN); on(SYS_getppid, SECCOMP_RET_TRAP, 0); syscall(SYS_getppid));
  CHILD("trap blocked", catch_sys(); sigset_t s; sigfillset(&s); sigprocmask(SIG_BLOCK, &s, 0); on(SYS_getppid, SECCOMP_RET_TRAP, 0);
        syscall(SYS_getppid));
  CHILD("kill thread", catch_sys(); on(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0); syscall(SYS_getppid));
  CHILD("kill process", catch_sys(); on(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0); syscall(SYS_getppid));
  CHILD("unknown action", on(SYS_getppid, 0x12340000, 0); syscall(SYS_getppid));
  CHILD("division by zero", insn code[] = {STMT(0x20, NR), JUMP(0x15, SYS_getppid, 0, 3), STMT(BPF_LDX | BPF_IMM, 0),
        STMT(BPF_ALU | BPF_DIV | BPF_X, 0), STMT(6, ALLOW), STMT(6, ALLOW)}; printf("%d\n", install(0, code, 6)); fflush(stdout); syscall(SYS_getppid));
  CHILD("most severe of several", on(SYS_getppid, SECCOMP_RET_ERRNO | 1, 0); on(SYS_getppid, SECCOMP_RET_LOG, 0);
        on(SYS_getppid, SECCOMP_RET_ERRNO | 2, 0); on(SYS_getppid, SECCOMP_RET_TRACE, 0); syscall(SYS_getppid); printf("%d\n", errno);
        show_status("self", "/proc/self/status"));
  CHILD("an argument", insn code[] = {STMT(0x20, NR), JUMP(0x15, SYS_close, 0, 5), STMT(0x20, offsetof(struct seccomp_data, args[0])),
        JUMP(0x15, 1000, 0, 3), STMT(0x20, offsetof(struct seccomp_data, arch)), JUMP(0x15, AUDIT_ARCH_X86_64, 0, 1),
        STMT(6, SECCOMP_RET_ERRNO | 42), STMT(6, ALLOW)}; install(0, code, 8); close(1001); printf("%d ", errno); close(1000); printf("%d\n", errno));
  CHILD("unknown number", on(1234, SECCOMP_RET_ERRNO | 3, 0); syscall(1234); printf("%d ", errno); syscall(1235); printf("%d\n", errno));
  CHILD("strict", printf("%d\n", prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)); fflush(stdout); write(1, "write\n", 6); syscall(SYS_exit, 3));
  CHILD("strict kills", prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT); syscall(SYS_getppid));
  CHILD("strict by seccomp", syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0); _exit(0));
}

static void *reader(void *arg) {
  errno = 0;
  long r = syscall(SYS_getppid);
  *(int *)arg = r < 0 ? errno : 0;
  return 0;
}
static volatile int go, seen;
static void *spinner(void *arg) {
  go = 1;
  while (!seen) if (syscall(SYS_getppid) < 0) seen = errno;
  char path[64];
  sprintf(path, "/proc/self/task/%d/status", (int)syscall(SYS_gettid));
  show_status("thread", path);
  return 0;
}
static void *killed(void *arg) {
  on(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
  syscall(SYS_getppid);
  printf("not reached\n");
  return 0;
}
static void *diverge(void *arg) {
  printf("own: %d\n", on(SYS_getpgrp, SECCOMP_RET_ERRNO | 9, 0));
  go = 1;
  while (!seen) usleep(1000);
  return 0;
}

static void inheritance(const char *self) {
  CHILD("threads inherit", nnp(); on(SYS_getppid, SECCOMP_RET_ERRNO | 11, 0); pthread_t t; int e = -1; pthread_create(&t, 0, reader, &e);
        pthread_join(t, 0); printf("%d\n", e));
  CHILD("others do not", pthread_t t; go = seen = 0; pthread_create(&t, 0, diverge, 0); while (!go) usleep(1000); errno = 0;
        printf("%d\n", getpgrp() > 0); pthread_t me = pthread_self();
        int r = on(SYS_getppid, SECCOMP_RET_ERRNO | 12, SECCOMP_FILTER_FLAG_TSYNC); printf("thread id: %d\n", r > 0 && r != getpid());
        printf("%d\n", on(SYS_getppid, SECCOMP_RET_ERRNO | 12, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH)); seen = 1;
        pthread_join(t, 0));
  CHILD("tsync", nnp(); pthread_t t; go = seen = 0; pthread_create(&t, 0, spinner, 0); while (!go) usleep(1000);
        printf("%d\n", on(SYS_getppid, SECCOMP_RET_ERRNO | 12, SECCOMP_FILTER_FLAG_TSYNC)); pthread_join(t, 0); printf("%d\n", seen));
  CHILD("a thread is killed", pthread_t t; pthread_create(&t, 0, killed, 0); while (1) {
        char path[64]; usleep(1000); int n = 0; FILE *f = fopen("/proc/self/status", "r"); char line[256];
        while (fgets(line, sizeof line, f)) sscanf(line, "Threads: %d", &n); fclose(f); if (n == 1) break; } printf("alone\n"));
  CHILD("exec keeps them", nnp(); on(SYS_getppid, SECCOMP_RET_ERRNO | 13, 0); fflush(stdout); execl(self, self, "again", (char *)0));
  CHILD("fork keeps them", nnp(); on(SYS_getppid, SECCOMP_RET_ERRNO | 14, 0);
        CHILD("inner", syscall(SYS_getppid); printf("%d\n", errno); show_status("child", "/proc/self/status")); );
}

int main(int argc, char **argv) {
  if (argc > 1) {
    errno = 0;
    syscall(SYS_getppid);
    printf("after exec %d\n", errno);
    show_status("exec", "/proc/self/status");
    return 0;
  }
  show_status("start", "/proc/self/status");
  CHILD("checks", checks());
  nnp();
  random_checks();
  CHILD("runs", random_runs());
  actions();
  inheritance(argv[0]);
  return 0;
}
