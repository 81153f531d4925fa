// Prints what it was started with; or exits, dies, or uses stack as asked.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

extern char **environ;

static int deep(int kilobytes) {
  volatile char page[1024];
  page[0] = (char)kilobytes;
  return kilobytes <= 0 ? page[0] : deep(kilobytes - 1) + page[0];
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "--exit")) exit(atoi(argv[2]));
  if (argc == 3 && !strcmp(argv[1], "--signal")) {
    kill(getpid(), atoi(argv[2]));
    for (;;) pause();
  }
  if (argc == 3 && !strcmp(argv[1], "--stack")) return deep(atoi(argv[2])) == 12345;
  if (argc == 2 && !strcmp(argv[1], "--addresses")) {
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
    int local;
    printf("at %p\nat %p\nat %p\nat %02x%02x%02x\n", (void *)&local, (void *)main, malloc(10), random[0], random[1], random[2]);
    return 0;
  }
  for (int i = 0; i < argc; i++) printf("arg %s\n", argv[i]);
  for (char **e = environ; *e; e++) printf("env %s\n", *e);
  return 0;
}
