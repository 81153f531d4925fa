/* Memory: a linked list in random order, and blocks copied and moved about. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  int n = 1 << 18;
  int *next = malloc(n * sizeof *next), *order = malloc(n * sizeof *order);
  for (int i = 0; i < n; i++) order[i] = i;
  unsigned s = 1;
  for (int i = n - 1; i > 0; i--) { s = s * 1103515245 + 12345; int j = (s >> 4) % (i + 1), t = order[i]; order[i] = order[j]; order[j] = t; }
  for (int i = 0; i < n; i++) next[order[i]] = order[(i + 1) % n];
  long t = 0;
  for (int r = 0, at = 0; r < 100 * n; r++) { at = next[at]; t += at & 1; }
  char *block = calloc(1, 1 << 16);
  for (int r = 0; r < 2000000; r++) { s = s * 1103515245 + 12345; unsigned from = s >> 20, size = s >> 8 & 1023; memmove(block + 20000 + (s & 255), block + 20000 + from, size); block[from] += r; t += block[20300]; }
  printf("%ld\n", t);
}
