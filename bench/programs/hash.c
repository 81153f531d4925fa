/* A chain of 64-bit multiplications and rotations. */
#include <stdio.h>
int main(void) {
  unsigned long long h = 1469598103934665603ull;
  for (long i = 0; i < 300000000; i++) { h ^= i & 255; h *= 1099511628211ull; h = (h << 5) | (h >> 59); }
  printf("%llx\n", h);
}
