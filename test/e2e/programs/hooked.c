/* A guest for the tests of hooks: does what its first argument says and prints what it saw. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* One answer a line of input: whoever asks decides when the next call is made. */
static int ask(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    printf("%ld\n", syscall(SYS_getpid));
    fflush(stdout);
  }
  return 0;
}

/* Append one byte at a time: a call made twice shows in the file. */
static int append(const char *file, int times) {
  int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
  for (int k = 0; k < times; k++) {
    char c = 'a' + k;
    long r = write(fd, &c, 1);
    printf("%ld/%d ", r, r < 0 ? errno : 0);
  }
  printf("\n");
  fflush(stdout);
  return 0;
}

/* Write a rule oneself, then make the call it is for. */
static int rewrite(const char *file) {
  for (int k = 1; k <= 5; k++) {
    FILE *f = fopen(file, "w");
    fprintf(f, "function do_syscall() return %d end\n", k * 111);
    fclose(f);
    printf("%ld\n", syscall(SYS_getppid));
  }
  unlink(file);
  printf("%s\n", syscall(SYS_getppid) == getppid() && getppid() > 1 ? "parent" : "?");
  return 0;
}

/* Nanoseconds a call, in a loop of `times`. */
static int spin(long times, long nr) {
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (long k = 0; k < times; k++) syscall(nr);
  clock_gettime(CLOCK_MONOTONIC, &b);
  printf("%.1f\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / times);
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "ask")) return ask();
  if (!strcmp(what, "append")) return append(argv[2], atoi(argv[3]));
  if (!strcmp(what, "rewrite")) return rewrite(argv[2]);
  if (!strcmp(what, "spin")) return spin(atol(argv[2]), atol(argv[3]));
  if (!strcmp(what, "close-stderr")) {
    int fd = open(argv[2], O_WRONLY | O_CREAT, 0600);
    dup2(fd, 2);
    long pid = syscall(SYS_getpid);
    write(2, "guest\n", 6);
    close(2);
    return pid == syscall(SYS_getpid) ? 0 : 1;
  }
  return 2;
}
