/* Single precision loops that gcc makes vectors of (-O3). */
#include <stdio.h>
#define N 4096
static float a[N], b[N], c[N];
__attribute__((optimize("O3"))) static void step(float k) { for (int i = 0; i < N; i++) c[i] = c[i] * 0.5f + a[i] * k + b[i]; }
__attribute__((optimize("O3"))) static int clamp(const int *x, int n) { int m = 0; for (int i = 0; i < n; i++) m += x[i] > 1000 ? 1000 : x[i]; return m; }
int main(void) {
  static int x[N];
  for (int i = 0; i < N; i++) { a[i] = i; b[i] = N - i; x[i] = i * 3; }
  long t = 0;
  for (int r = 0; r < 60000; r++) { step(r * 0.001f); t += clamp(x, N); }
  printf("%ld %f\n", t, c[77]);
}
