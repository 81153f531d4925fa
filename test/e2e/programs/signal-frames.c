/* Signals as handlers see them: siginfo, context, masks, stacks, restart, faults that are survived. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile int count;
static sigjmp_buf jump;

static void show(int s, siginfo_t *i, void *u) {
  ucontext_t *uc = u;
  count++;
  printf("signal %d code %d flags %llx mask %llx stack flags %d\n", s, i->si_code, (unsigned long long)uc->uc_flags & 6,
         *(unsigned long long *)&uc->uc_sigmask, uc->uc_stack.ss_flags);
}
static void leap(int s, siginfo_t *i, void *u) {
  int here;
  stack_t st;
  sigaltstack(0, &st);
  printf("fault %d code %d address %lx on stack %d\n", s, i->si_code, (long)i->si_addr & 0xfff, st.ss_flags & SS_ONSTACK);
  siglongjmp(jump, 1);
}
static void skip(int s, siginfo_t *i, void *u) {
  ucontext_t *uc = u;
  printf("fault %d code %d at rip %d rcx %lld\n", s, i->si_code, i->si_addr == (void *)uc->uc_mcontext.gregs[REG_RIP],
         uc->uc_mcontext.gregs[REG_RCX]);
  uc->uc_mcontext.gregs[REG_RIP] += 2;
  uc->uc_mcontext.gregs[REG_RAX] = 99;
  uc->uc_mcontext.fpregs->_xmm[3].element[0] = 0x3f800000;
}

int main(void) {
  struct sigaction a = {0};
  a.sa_sigaction = show;
  a.sa_flags = SA_SIGINFO;
  sigaction(SIGUSR1, &a, 0);
  raise(SIGUSR1);
  kill(getpid(), SIGUSR1);
  sigset_t s;
  sigemptyset(&s);
  sigaddset(&s, SIGUSR1);
  sigprocmask(SIG_BLOCK, &s, 0);
  raise(SIGUSR1);
  raise(SIGUSR1);
  printf("blocked: %d\n", count);
  sigprocmask(SIG_UNBLOCK, &s, 0);
  printf("unblocked: %d\n", count);

  a.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGALRM, &a, 0);
  struct itimerval it = {{0, 0}, {0, 20000}};
  int p[2];
  pipe(p);
  struct pollfd f = {p[0], POLLIN, 0};
  /* Blocked until ppoll waits: the signal cannot come before. */
  sigset_t alarm_only, none;
  sigemptyset(&alarm_only);
  sigaddset(&alarm_only, SIGALRM);
  sigemptyset(&none);
  sigprocmask(SIG_BLOCK, &alarm_only, 0);
  setitimer(ITIMER_REAL, &it, 0);
  printf("poll %d", ppoll(&f, 1, &(struct timespec){20, 0}, &none));
  sigprocmask(SIG_UNBLOCK, &alarm_only, 0);
  printf(" %s\n", strerror(errno));
  setitimer(ITIMER_REAL, &it, 0);
  for (volatile long k = 0; count < 5; k++);
  puts("loop left");

  stack_t st = {malloc(65536), 0, 65536};
  sigaltstack(&st, 0);
  a.sa_sigaction = leap;
  a.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &a, 0);
  if (!sigsetjmp(jump, 1)) *(volatile int *)0x10 = 1;
  if (!sigsetjmp(jump, 1)) *(volatile char *)((uintptr_t)main & ~4095L) = 1;
  volatile char *volatile nowhere = (volatile char *)0x10;
  for (int k = 0; k < 3; k++) if (!sigsetjmp(jump, 1)) (void)nowhere[k];

  a.sa_sigaction = skip;
  sigaction(SIGFPE, &a, 0);
  int q;
  float x;
  __asm__ volatile("xor %%edx,%%edx\n mov $1,%%eax\n xor %%ecx,%%ecx\n pxor %%xmm3,%%xmm3\n div %%ecx\n movss %%xmm3,%1\n mov %%eax,%0"
                   : "=r"(q), "=m"(x)::"eax", "ecx", "edx", "xmm3");
  printf("went on with %d %g\n", q, x);

  union sigval v = {.sival_int = 42};
  a.sa_sigaction = show;
  sigaction(SIGRTMIN + 1, &a, 0);
  sigqueue(getpid(), SIGRTMIN + 1, v);
  fflush(stdout);
  raise(SIGTERM);
  return 0;
}
