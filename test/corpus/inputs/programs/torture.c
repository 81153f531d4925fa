/* 1,000 forks, 1,000 short threads, 100,000 signals: nothing is lost, nothing left over. */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile long caught; static long queued; static atomic_int ran;
static void one(int s) { caught++; }
static void many(int s, siginfo_t *i, void *u) { queued += i->si_value.sival_int; }
static void *brief(void *a) { ran++; return a; }
static int entries(const char *p) { int n = 0; DIR *d = opendir(p); while (readdir(d)) n++; closedir(d); return n; }
int main(void) {
  int before = entries("/proc/self/fd"), right = 0, s; sigset_t block;
  for (int k = 0; k < 1000; k++) { pid_t p = fork(); if (p == 0) _exit(k & 127); if (waitpid(p, &s, 0) == p && WIFEXITED(s) && WEXITSTATUS(s) == (k & 127)) right++; }
  printf("forks %d\n", right);
  for (int k = 0; k < 1000; k++) { pthread_t t; void *r; if (pthread_create(&t, 0, brief, (void *)(long)k)) break; pthread_join(t, &r); if ((long)r != k) break; }
  printf("threads %d\n", (int)ran);
  struct sigaction a = { .sa_handler = one }; sigaction(SIGUSR1, &a, 0);
  for (int k = 0; k < 50000; k++) raise(SIGUSR1);
  a.sa_sigaction = many; a.sa_flags = SA_SIGINFO; sigaction(SIGRTMIN, &a, 0);
  sigemptyset(&block); sigaddset(&block, SIGRTMIN);
  for (int k = 0; k < 500; k++) { sigprocmask(SIG_BLOCK, &block, 0); for (int j = 0; j < 100; j++) { union sigval v = { .sival_int = j }; sigqueue(getpid(), SIGRTMIN, v); } sigprocmask(SIG_UNBLOCK, &block, 0); }
  printf("signals %ld %ld\n", caught, queued);
  printf("descriptors %+d, tasks %d\n", entries("/proc/self/fd") - before, entries("/proc/self/task") - 2);
}
