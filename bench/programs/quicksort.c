/* libc's qsort with a callback: indirect calls and branches. */
#include <stdio.h>
#include <stdlib.h>
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(void) {
  int n = 3000000, *a = malloc(n * sizeof *a);
  unsigned s = 1;
  for (int i = 0; i < n; i++) a[i] = (s = s * 1103515245 + 12345) >> 8;
  qsort(a, n, sizeof *a, compare);
  printf("%d\n", a[n / 2]);
}
