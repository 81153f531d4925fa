#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
  puts("about to");
  fflush(stdout);
  const char *how = argv[1];
  if (!strcmp(how, "abort")) abort();
  if (!strcmp(how, "segv")) *(volatile int *)16 = 1;
  if (!strcmp(how, "fpe")) { volatile int z = 0; z = 5 / z; }
  if (!strcmp(how, "ill")) __asm__("ud2");
  if (!strcmp(how, "kill")) kill(getpid(), SIGKILL);
  if (!strcmp(how, "term")) raise(SIGTERM);
  if (!strcmp(how, "pipe")) { int p[2]; pipe(p); close(p[0]); write(p[1], "x", 1); }
  if (!strcmp(how, "exit")) _exit(99);
  return 1;
}
