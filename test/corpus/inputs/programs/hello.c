#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
  char *p = malloc(1000);
  strcpy(p, "hello");
  printf("%s %d %s %ld %05d\n", p, argc, argv[argc - 1], 1234567890123L, 42);
  free(p);
  return 5;
}
