#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile sig_atomic_t seen[65], alarms;
static sigjmp_buf env;
static void count(int s) { seen[s]++; }
static void info(int s, siginfo_t *i, void *c) { seen[s] += i->si_pid == getpid() ? 100 : 1; }
static void tick(int s) { alarms++; }
static void jump(int s) { siglongjmp(env, s); }
int main(void) {
  signal(SIGUSR1, count);
  raise(SIGUSR1); raise(SIGUSR1);
  printf("usr1 %d\n", seen[SIGUSR1]);
  struct sigaction sa = {.sa_sigaction = info, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR2, &sa, 0);
  kill(getpid(), SIGUSR2);
  printf("usr2 %d\n", seen[SIGUSR2]);
  sigset_t set, old, pend;
  sigemptyset(&set); sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &old);
  raise(SIGUSR1);
  sigpending(&pend);
  printf("blocked %d pending %d\n", seen[SIGUSR1], sigismember(&pend, SIGUSR1));
  sigprocmask(SIG_SETMASK, &old, 0);
  printf("unblocked %d\n", seen[SIGUSR1]);
  signal(SIGALRM, tick);
  struct itimerval it = {{0, 2000}, {0, 2000}};
  setitimer(ITIMER_REAL, &it, 0);
  while (alarms < 5) ;
  puts("five ticks in a busy loop");
  int r = pause();
  printf("pause %d %s\n", r, strerror(errno));
  memset(&it, 0, sizeof it);
  setitimer(ITIMER_REAL, &it, 0);
  signal(SIGSEGV, jump); signal(SIGFPE, jump); signal(SIGILL, jump);
  for (int k = 0; k < 3; k++) {
    int s = sigsetjmp(env, 1);
    if (s == 0) switch (k) {
      case 0: *(volatile int *)8 = 1; break;
      case 1: { volatile int x = 5, z = 0; z = x / z; break; }
      case 2: __builtin_trap();
    }
    printf("fault %d -> signal %d\n", k, s);
  }
  char *stack = (char[32768]){0};
  stack_t ss = {.ss_sp = stack, .ss_size = 32768};
  printf("altstack %d\n", sigaltstack(&ss, 0));
  struct timespec ts = {0, 1000000}, rem;
  printf("nanosleep %d\n", nanosleep(&ts, &rem));
  return 0;
}
