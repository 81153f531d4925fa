/* Unpredictable branches and 64-bit additions. */
#include <stdio.h>
int main(void) {
  long best = 0, longest = 0;
  for (long n = 1; n < 2500000; n++) {
    long steps = 0;
    for (unsigned long x = n; x != 1; steps++) x = x & 1 ? 3 * x + 1 : x >> 1;
    if (steps > longest) { longest = steps; best = n; }
  }
  printf("%ld %ld\n", best, longest);
}
