/* What a system call costs: hooked CALL TIMES [THREADS]; prints nanoseconds of CPU (the engine's included) a call.
   CALL: getppid, or access of a path. With times given twice, the second stretch follows a line on standard input. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long times;
static int by_path;

static void *loop(void *unused) {
  for (long k = 0; k < times; k++) {
    if (by_path) syscall(SYS_access, "/", F_OK);
    else syscall(SYS_getppid);
  }
  return 0;
}
static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  int threads = argc > 3 ? atoi(argv[3]) : 1;
  by_path = !strcmp(argv[1], "access");
  if (argc > 4) { /* memory over time: two stretches, each told */
    for (int k = 2; k <= 4; k += 2) {
      times = atol(argv[k]);
      loop(0);
      puts("done");
      fflush(stdout);
      if (getchar() < 0) return 1;
    }
    return 0;
  }
  times = atol(argv[2]) / 50;
  loop(0); /* what is met for the first time is not counted */
  times = atol(argv[2]) / threads;
  double start = seconds();
  if (threads == 1) loop(0);
  else {
    pthread_t t[64];
    for (int k = 0; k < threads; k++) pthread_create(&t[k], 0, loop, 0);
    for (int k = 0; k < threads; k++) pthread_join(t[k], 0);
  }
  printf("%.1f\n", (seconds() - start) * 1e9 / (times * threads));
  return 0;
}
