/* Integer arithmetic and byte stores: primes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  int n = 5000000, count = 0;
  char *s = malloc(n + 1);
  for (int r = 0; r < 32; r++) {
    memset(s, 1, n + 1);
    for (long i = 2; i * i <= n; i++) if (s[i]) for (long j = i * i; j <= n; j += i) s[j] = 0;
    for (int i = 2; i <= n; i++) count += s[i];
  }
  printf("%d\n", count);
}
