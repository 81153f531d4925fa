#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>
#include <time.h>
#include <sys/auxv.h>
extern char **environ;
static int static_init = 7;
static char bss[100000];
static int before;
__attribute__((constructor)) static void early(void) { before = 1; }
static void late(void) { puts("atexit ran"); }
int main(int argc, char **argv) {
  atexit(late);
  printf("argc=%d init=%d bss=%d constructed=%d\n", argc, static_init, bss[99999], before);
  for (int i = 1; i < argc; i++) printf("arg %s\n", argv[i]);
  for (char **e = environ; *e; e++) printf("env %s\n", *e);
  printf("%5.3f|%-8s|%08x|%e|%g\n", 3.14159, "left", 0xbeef, 12345.678, 1e-7);
  printf("pagesz %lu clktck %lu secure %lu platform %s\n", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK), getauxval(AT_SECURE), (char *)getauxval(AT_PLATFORM));
  char *end;
  long number = strtol("-12x", &end, 10);
  printf("%ld %g %c\n", number, strtod("1.5e10", 0), end[0]);
  errno = 0;
  close(77);
  printf("errno %d %s\n", errno, strerror(errno));
  time_t t = 1000000000;
  struct tm tm;
  gmtime_r(&t, &tm);
  char buf[64];
  strftime(buf, sizeof buf, "%Y-%m-%d %H:%M:%S", &tm);
  puts(buf);
  fprintf(stderr, "to stderr\n");
  return 42;
}
