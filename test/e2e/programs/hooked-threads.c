// Threads under rules (hooked-threads.test.ts): the rules decide what getppid and getpgrp give.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int loops, pipes[2];
static atomic_int go;
static const char *directory;

static void *repeat(void *sum) {
  for (int i = 0; i < loops; i++) *(long *)sum += syscall(SYS_getppid);
  return 0;
}
static void count(int threads) {
  pthread_t t[16];
  long sums[16] = {0}, total = 0;
  for (int i = 0; i < threads; i++) pthread_create(t + i, 0, repeat, sums + i);
  for (int i = 0; i < threads; i++) pthread_join(t[i], 0), total += sums[i];
  printf("%ld %ld\n", total, syscall(SYS_getppid));
}

static void *wait_for_byte(void *unused) {
  char c = 0;
  long n = read(pipes[0], &c, 1);
  printf("read %ld '%c'\n", n, c);
  return 0;
}
/* Were hooks held up by the read, nobody would ever write. */
static void blocked(void) {
  pthread_t reader;
  pipe(pipes);
  pthread_create(&reader, 0, wait_for_byte, 0);
  while (syscall(SYS_getppid) == 0); /* until its hook is under way */
  count(4);
  write(pipes[1], "x", 1);
  pthread_join(reader, 0);
}

static void *identity(void *wrong) {
  for (int i = 0; i < loops; i++) *(long *)wrong += syscall(SYS_getppid) != syscall(SYS_gettid);
  return 0;
}
static void identities(int threads) {
  pthread_t t[16];
  long wrong[16] = {0}, total = 0;
  for (int i = 0; i < threads; i++) pthread_create(t + i, 0, identity, wrong + i);
  for (int i = 0; i < threads; i++) pthread_join(t[i], 0), total += wrong[i];
  printf("%ld wrong\n", total);
}

/* Children made while other threads are in hooks. */
static void children(void) {
  pthread_t t[3];
  long sums[3];
  int bad = 0, status;
  for (int i = 0; i < 3; i++) pthread_create(t + i, 0, repeat, sums + i);
  for (int k = 0; k < 20; k++) {
    pid_t pid = fork();
    if (pid == 0) {
      long a = syscall(SYS_getppid), b = syscall(SYS_getppid);
      _exit(b == a + 1 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    bad += status != 0;
  }
  for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
  printf("%d bad, %ld\n", bad, syscall(SYS_getppid));
}

static void *wait_and_ask(void *answer) {
  for (int k = 1; k <= 10; k++) {
    while (atomic_load(&go) < 2 * k - 1) sched_yield();
    *(long *)answer = syscall(SYS_getpgrp);
    atomic_store(&go, 2 * k);
  }
  return 0;
}
/* A script that one thread writes counts for the next call of another. */
static void edits(void) {
  pthread_t asker;
  char path[4096], text[100];
  long answer = 0;
  snprintf(path, sizeof path, "%s/getpgrp.lua", directory);
  pthread_create(&asker, 0, wait_and_ask, &answer);
  for (int k = 1; k <= 10; k++) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    write(fd, text, snprintf(text, sizeof text, "function do_syscall() return %d end", 1000 + k));
    close(fd);
    atomic_store(&go, 2 * k - 1);
    while (atomic_load(&go) < 2 * k) sched_yield();
    printf("%ld\n", answer);
  }
  pthread_join(asker, 0);
}

static void *nothing(void *unused) { return syscall(SYS_getppid) ? 0 : (void *)1; }
static void short_ones(void) {
  for (int k = 0; k < 100; k++) {
    pthread_t t[4];
    for (int i = 0; i < 4; i++) pthread_create(t + i, 0, nothing, 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  }
  printf("%ld\n", syscall(SYS_getppid));
}

int main(int argc, char **argv) {
  loops = argc > 2 ? atoi(argv[2]) : 0;
  directory = argc > 3 ? argv[3] : 0;
  setvbuf(stdout, 0, _IOLBF, 0);
  if (!strcmp(argv[1], "count")) count(8);
  if (!strcmp(argv[1], "blocked")) blocked();
  if (!strcmp(argv[1], "identities")) identities(4);
  if (!strcmp(argv[1], "children")) children();
  if (!strcmp(argv[1], "edits")) edits();
  if (!strcmp(argv[1], "short")) short_ones();
  if (!strcmp(argv[1], "exec")) {
    count(4);
    execl(argv[0], argv[0], "count", argv[2], (char *)0);
  }
  return 0;
}
