/* Loops that compilers vectorise, in every element type, with the reductions and branches of real code. */
#include <complex.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define N 1031
static double d[N], e[N]; static float f[N], g[N]; static int32_t i4[N]; static uint8_t u1[N], v1[N]; static int16_t i2[N]; static int64_t i8[N]; static uint32_t u4[N];
static uint64_t hash(const void *p, size_t n) { const uint8_t *b = p; uint64_t h = 1469598103934665603ull; for (size_t k = 0; k < n; k++) h = (h ^ b[k]) * 1099511628211ull; return h; }
#define SHOW(a) printf("%-4s %016llx\n", #a, (unsigned long long)hash(a, sizeof a))
int main(void) {
  uint32_t s = 7;
  for (int k = 0; k < N; k++) { s = s * 1664525u + 1013904223u; d[k] = (int32_t)s / 65536.0; f[k] = (float)(s >> 7) / 1024; i4[k] = (int32_t)s; u1[k] = s >> 24; i2[k] = s >> 13; i8[k] = (int64_t)s * -77777; u4[k] = s ^ 0x5a5a5a5a; }
  for (int k = 0; k < N; k++) e[k] = sqrt(fabs(d[k])) * 0.5 + floor(d[k]) - (d[k] > 0 ? 1 : -2); SHOW(e);
  for (int k = 0; k < N; k++) g[k] = f[k] * 1.25f - (float)i4[k] / 3.0f; SHOW(g);
  for (int k = 0; k < N; k++) v1[k] = u1[k] > 128 ? u1[k] - 100 : u1[k] / 3; SHOW(v1);
  for (int k = 0; k < N; k++) i2[k] = (int16_t)(i2[k] * i4[k] >> 3) < 0 ? -i2[k] : i2[k] ^ 77; SHOW(i2);
  for (int k = 0; k < N; k++) i8[k] = i8[k] / (i4[k] | 1) + (i8[k] >> 5) % 1000003; SHOW(i8);
  for (int k = 0; k < N; k++) u4[k] = (u4[k] << 7 | u4[k] >> 25) + __builtin_popcount(u4[k]) * __builtin_clz(u4[k] | 1); SHOW(u4);
  for (int k = 0; k < N; k++) i4[k] = (int32_t)lrint(d[k]) + (int32_t)f[k] + (d[k] != d[k]); SHOW(i4);
  long long total = 0; int top = -1, least = 255; for (int k = 0; k < N; k++) { total += u1[k] * i2[k]; if (u1[k] > top) top = u1[k]; if (v1[k] < least) least = v1[k]; } printf("%lld %d %d\n", total, top, least);
  double m[24][24], r[24][24]; for (int a = 0; a < 24; a++) for (int b = 0; b < 24; b++) m[a][b] = (a * 7 + b * 3) % 11 - 5; for (int a = 0; a < 24; a++) for (int b = 0; b < 24; b++) { double t = 0; for (int c = 0; c < 24; c++) t += m[a][c] * m[c][b]; r[a][b] = t; } SHOW(r);
  double complex z = 0.3 + 0.5 * I; int it = 0; while (cabs(z) < 1e6 && it < 100) { z = z * z + (0.4 - 0.1 * I); it++; } printf("%d %.6f %.6f\n", it, creal(z), cimag(z));
  printf("%.10g %.10g %.10g %.10g %.10g %.10g\n", sin(1e6), pow(1.0001, 12345), exp(-3.3), log1p(1e-9), atan2(-1, -2), tgamma(7.7));
  long double l = 1; for (int k = 1; k < 30; k++) l = l * k / 1.5L + sqrtl(k); printf("%.15Lg %La\n", l, l / 3); printf("%d %d %ld %lu\n", (int)-3.99, (short)70000, lround(2.5), (unsigned long)1.8e19);
  char text[400]; memset(text, 'a', 399); text[399] = 0; text[200] = 'b'; printf("%zu %d %s\n", strlen(text), (int)((char *)memchr(text, 'b', 400) - text), strrchr(text, 'b') == text + 200 ? "same" : "not"); return 11;
}
