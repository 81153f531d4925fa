/* libc's string functions over long and short strings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  int n = 1 << 20;
  char *a = malloc(n), *b = malloc(n);
  memset(a, 'x', n);
  a[n - 1] = 0;
  long t = 0;
  for (int i = 0; i < 1500; i++) { t += strlen(a); memcpy(b, a, n); t += memcmp(a, b, n) == 0; t += memchr(a, 'y', n) != 0; a[i] = 'z'; }
  for (int i = 0; i < 10000000; i++) { char s[40]; strcpy(s, "hello world"); t += strlen(s) + strcmp(s, "hello worle"); }
  printf("%ld\n", t);
}
