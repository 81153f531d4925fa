/* A guest for the tests of the programming interface: one call or two, by the name of what is tested. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int caught;
static void on_signal(int sig) { caught = sig; }

static void *in_thread(void *from) {
  long sum = 0;
  for (int k = 0; k < 20; k++) sum += getppid();
  return (void *)sum;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "open")) {
    char buf[16] = "";
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    long at = lseek(fd, -5, SEEK_END);
    long n = read(fd, buf, 9);
    printf("%ld %ld %.9s\n%d\n", at, n, buf, getppid());
  } else if (!strcmp(what, "exact")) {
    printf("%ld %ld %ld %ld\n", syscall(SYS_getpid), syscall(SYS_getppid), syscall(SYS_getuid, -1L, 0x123456789abcdef0L), syscall(SYS_getgid));
  } else if (!strcmp(what, "bytes")) {
    unsigned char data[] = {0x80, 0xff, 1, 2, 3, 4, 5, 0xfe, 't', 'e', 'x', 't', 0, 'r', 'e', 's', 't'};
    write(1, data, sizeof data);
  } else if (!strcmp(what, "big")) {
    long size = atol(argv[2]);
    char *data = malloc(size);
    memset(data, 'x', size);
    printf("%ld\n", (long)write(open("big", O_CREAT | O_WRONLY, 0600), data, size));
  } else if (!strcmp(what, "mkdirat")) {
    chdir("/usr/lib");
    int d = open("/usr/bin", O_RDONLY);
    printf("%d\n", mkdirat(d, "../bin/new", 0777) < 0 ? errno : 0);
  } else if (!strcmp(what, "ids")) {
    printf("%d %d\n", getppid(), getpgrp());
  } else if (!strcmp(what, "mkdir")) {
    printf("%d %d\n", getppid(), mkdir("x", 0777) < 0 ? errno : 0);
  } else if (!strcmp(what, "signal")) {
    struct sigaction act = {.sa_handler = on_signal};
    char c;
    sigaction(SIGUSR1, &act, 0);
    long n = read(0, &c, 1);
    printf("%ld %d %d\n", n, n < 0 ? errno : 0, caught == SIGUSR1);
  } else if (!strcmp(what, "elsewhere")) {
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) || chroot("/usr") || setuid(65534)) perror("elsewhere");
    fflush(stderr);
    if (fork() == 0) {
      getppid();
      _exit(0);
    }
    wait(0);
    printf("%d\n", getppid());
  } else if (!strcmp(what, "threads")) {
    pthread_t t[4];
    long sum = 0;
    for (int k = 0; k < 4; k++) pthread_create(&t[k], 0, in_thread, 0);
    for (int k = 0; k < 4; k++) {
      void *part;
      pthread_join(t[k], &part);
      sum += (long)part;
    }
    printf("%ld\n", sum);
  } else if (!strcmp(what, "number")) {
    printf("%ld\n", syscall(atol(argv[2]), 5));
  } else if (!strcmp(what, "stretches")) {
    for (int k = 0; k < atoi(argv[2]); k++) {
      for (long n = atol(argv[3]); n > 0; n--) syscall(SYS_getppid);
      puts("so far");
      fflush(stdout);
      if (getchar() != '\n') return 1;
    }
  } else if (!strcmp(what, "exec-from-thread")) {
    pthread_t t;
    pthread_create(&t, 0, in_thread, 0); /* to be left in its hook */
    getchar();
    execl("/bin/echo", "echo", "another program", (char *)0);
  } else if (!strcmp(what, "ipc")) {
    char text[64];
    int fd = atoi(getenv("NODE_CHANNEL_FD"));
    long n = sprintf(text, "{\"hello\":%d}\n", fd);
    return write(fd, text, n) != n;
  } else if (!strcmp(what, "look")) {
    extern char **environ;
    for (char **e = environ; *e; e++) puts(*e);
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(d)) n++;
    printf("%d\n", n);
  } else if (!strcmp(what, "write")) {
    long n = write(1, "once\n", 5);
    dprintf(2, "%ld %d", n, n < 0 ? errno : 0);
  }
  return 0;
}
