/* Calls down to one getpid without frame pointers; prints what paths and registers it used, for comparison. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((noinline)) long innermost(int k) {
  char room[100 + 0 * k];
  memset(room, k, sizeof room);
  __asm__ volatile("" ::"r"(room) : "memory");
  return syscall(SYS_getpid, 11, 22, 33) + room[3] - k;
}
__attribute__((noinline)) long middle(int k) { return innermost(k + 1) + 1; }
__attribute__((noinline)) long outermost(int k) { return middle(k + 1) + 1; }
static volatile long sink;
static void handler(int s) { sink = outermost(s); }

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "signal")) {
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    return 0;
  }
  if (argc > 2) {
    int d = open(argv[1], O_RDONLY | O_DIRECTORY);
    for (int k = 2; k < argc; k++) syscall(SYS_faccessat, d, argv[k], R_OK);
    return 0;
  }
  long r = outermost(1);
  printf("%s\n", r > 0 ? "done" : "?");
  return 0;
}
