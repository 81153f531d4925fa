#include <quadmath.h>
#include <stdio.h>
int main(void) {
  unsigned __int128 x = 1; for (int k = 1; k < 33; k++) x = x * (2 * k + 1) + k; __int128 y = -(__int128)(x >> 3) / 1000003; printf("%llx %llx %llx %llx\n", (long long)(x >> 64), (long long)x, (long long)(y >> 64), (long long)y);
  printf("%llx %llx\n", (long long)(x % 0xfedcba987654321ull), (long long)((x / 0xfedcba987ull) >> 40)); char b[64];
  __float128 q = 2; q = sqrtq(q) + expq(1) * sinq(q / 3); quadmath_snprintf(b, sizeof b, "%.33Qg", q); puts(b); printf("%.17g %d\n", (double)q, (int)(q * 1000)); double d = (double)x; float f = (float)y; printf("%a %a\n", d, f); return 0;
}
