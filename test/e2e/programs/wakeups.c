/* A signal that arrives just before a blocking call must not be lost: its handler feeds the pipe the call waits for. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>
static int p[2];
static void feed(int s) { int e = errno; write(p[1], "x", 1); errno = e; }
int main(void) {
  pipe(p);
  struct sigaction sa = {.sa_handler = feed, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &sa, 0);
  int bad = 0;
  for (int i = 0; i < 4000; i++) {
    struct itimerval it = {{0, 0}, {0, 20 + i % 130}};
    setitimer(ITIMER_REAL, &it, 0);
    char c = 0;
    if (i & 1) {
      if (read(p[0], &c, 1) != 1 || c != 'x') bad++;
    } else {
      struct pollfd f = {p[0], POLLIN, 0};
      while (poll(&f, 1, -1) < 0 && errno == EINTR) ;
      if (read(p[0], &c, 1) != 1) bad++;
    }
  }
  printf("bad %d\n", bad);
  return 0;
}
