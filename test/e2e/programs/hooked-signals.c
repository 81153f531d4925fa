/* A signal breaks a read that the caller's hook, if there is one, has made: with SA_RESTART it goes on, without it
   fails. The child sends it when the kernel has the parent in read; then it writes a byte, if that is waited for. Also: exit(2) of the only thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int caught;
static void on_signal(int sig) { caught++; }

/* Until the process is in read(2), which is call 0. */
static void await_read(int pid) {
  char name[64], text[8];
  sprintf(name, "/proc/%d/syscall", pid);
  for (;;) {
    FILE *f = fopen(name, "r");
    size_t n = f ? fread(text, 1, 2, f) : 0;
    if (f) fclose(f);
    if (n == 2 && !memcmp(text, "0 ", 2)) return;
    usleep(2000);
  }
}

static void interrupted(int flags) {
  int p[2];
  pipe(p);
  struct sigaction act = {.sa_handler = on_signal, .sa_flags = flags};
  sigaction(SIGUSR1, &act, 0);
  caught = 0;
  int parent = getpid();
  int child = fork();
  if (child == 0) {
    await_read(parent);
    kill(parent, SIGUSR1);
    if (flags & SA_RESTART) write(p[1], "x", 1);
    pause(); /* the pipe's other end stays open: the read ends by the signal or by the byte */
  }
  char c;
  long n = read(p[0], &c, 1);
  printf("%s: %ld %d, %d handled\n", flags & SA_RESTART ? "restarted" : "broken", n, n < 0 ? errno : 0, caught);
  fflush(stdout);
  kill(child, SIGKILL);
  waitpid(child, 0, 0);
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "fork")) {
    int pid = fork();
    printf("%s\n", pid == 0 ? "child" : pid > 0 ? "parent" : "failed");
    fflush(stdout);
    while (wait(0) > 0);
    return 0;
  }
  interrupted(0);
  interrupted(SA_RESTART);
  syscall(SYS_exit, 7);
}
