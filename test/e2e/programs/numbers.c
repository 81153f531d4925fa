#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static uint64_t state = 88172645463325252ull;
static uint64_t next(void) { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state; }
#define MIX(h, v) h = (h ^ (uint64_t)(v)) * 0x9e3779b97f4a7c15ull
static uint64_t bits(double d) { uint64_t u; if (isnan(d)) return 1; memcpy(&u, &d, 8); return u; }
static uint32_t fbits(float d) { uint32_t u; if (isnan(d)) return 1; memcpy(&u, &d, 4); return u; }
int main(void) {
  uint64_t h = 0;
  for (int i = 0; i < 30000; i++) {
    uint64_t a = next() >> (next() % 64), b = next() >> (next() % 64);
    int64_t s = a, t = b;
    int32_t x = a, y = b;
    int8_t c = a; int16_t w = b;
    MIX(h, a + b); MIX(h, a * b); MIX(h, ((unsigned __int128)a * b) >> 64); MIX(h, ((__int128)s * t) >> 64);
    if (b) { MIX(h, a / b); MIX(h, a % b); MIX(h, (((unsigned __int128)a << 32) + 7) / b); }
    if (t && t != -1) { MIX(h, s / t); MIX(h, s % t); }
    if (y && y != -1) { MIX(h, x / y); MIX(h, x % y); }
    MIX(h, a << (b & 63)); MIX(h, s >> (b & 63)); MIX(h, x >> (b & 31)); MIX(h, (uint32_t)x >> (b & 31));
    MIX(h, (a << (b & 63)) | (a >> (-b & 63))); MIX(h, s < t); MIX(h, a < b); MIX(h, x < y); MIX(h, c < (int8_t)b); MIX(h, w >= (int16_t)a);
    MIX(h, __builtin_popcountll(a)); if (a) { MIX(h, __builtin_clzll(a)); MIX(h, __builtin_ctzll(a)); } MIX(h, __builtin_bswap64(a)); MIX(h, __builtin_bswap32(x));
    long long r; MIX(h, __builtin_add_overflow(s, t, &r)); MIX(h, __builtin_mul_overflow(s, t, &r)); int ri; MIX(h, __builtin_sub_overflow(x, y, &ri));
    c += w; MIX(h, c); w *= c; MIX(h, w); c = -c; MIX(h, c); MIX(h, (uint8_t)(a) * (uint8_t)b); MIX(h, c % 7);
  }
  printf("integers %016llx\n", (unsigned long long)h);
  h = 0;
  for (int i = 0; i < 20000; i++) {
    double a = (double)(int64_t)next() / (double)(1 + (next() >> (next() % 64))), b = ldexp((double)next(), (int)(next() % 200) - 130);
    float f = a, g = b;
    MIX(h, bits(a + b)); MIX(h, bits(a - b)); MIX(h, bits(a * b)); MIX(h, bits(a / b)); MIX(h, bits(sqrt(fabs(a)))); MIX(h, bits(fmod(a, b)));
    MIX(h, fbits(f + g)); MIX(h, fbits(f * g)); MIX(h, fbits(f / g)); MIX(h, fbits(sqrtf(fabsf(g))));
    MIX(h, a < b); MIX(h, a <= b); MIX(h, a == b); MIX(h, isnan(f - g)); MIX(h, bits(floor(a))); MIX(h, bits(ceil(b))); MIX(h, bits(rint(a))); MIX(h, lrint(fmod(a, 1e9))); MIX(h, bits(trunc(a)));
    if (fabs(a) < 1e18) { MIX(h, (int64_t)a); } if (fabs(a) < 2e9) { MIX(h, (int32_t)a); } if (a >= 0 && a < 1.8e19) MIX(h, (uint64_t)a);
    MIX(h, bits((double)(uint64_t)next())); MIX(h, fbits((float)(int64_t)next())); MIX(h, fbits((float)(uint32_t)next())); MIX(h, bits(fmax(a, b))); MIX(h, bits(copysign(a, -b)));
    MIX(h, bits(sin(fmod(a, 100)))); MIX(h, bits(exp(fmod(a, 100)))); MIX(h, bits(log(fabs(a) + 1))); MIX(h, bits(pow(fabs(fmod(a, 50)), 1.7))); MIX(h, bits(atan2(a, b)));
  }
  printf("floats %016llx\n", (unsigned long long)h);
  double values[] = {0, -0.0, 1, -1.5, 1e308, 5e-324, INFINITY, NAN, 0.1, 123456789.987654321};
  for (int i = 0; i < 10; i++) printf("%g %a %.3e %d\n", values[i], fabs(values[i]), values[i], (int)lround(fmin(fmax(values[i], -1e9), 1e9)));
  /* loops gcc vectorises */
  static float fa[1000], fb[1000]; static int ia[1000]; static short sa[1000]; static unsigned char ca[1000];
  for (int i = 0; i < 1000; i++) { fa[i] = i * 0.5f; fb[i] = 1000 - i; ia[i] = i * i; sa[i] = i * 3; ca[i] = i; }
  float fs = 0; long is = 0; int ss = 0; unsigned cs = 0;
  for (int i = 0; i < 1000; i++) { fa[i] = fa[i] * fb[i] + 1; ia[i] = ia[i] * 3 - sa[i]; sa[i] = sa[i] > 500 ? sa[i] : -sa[i]; ca[i] = (ca[i] + ca[999 - i] + 1) / 2; }
  for (int i = 0; i < 1000; i++) { fs += fa[i]; is += ia[i]; ss += sa[i]; cs += ca[i]; }
  printf("vectors %f %ld %d %u\n", fs, is, ss, cs);
  char text[300];
  for (int i = 0; i < 299; i++) text[i] = 'a' + i % 26;
  text[299] = 0;
  printf("strings %zu %ld %ld %d %s\n", strlen(text), (long)(strchr(text + 5, 'z') - text), (long)(strstr(text, "xyzab") - text), strcmp(text, text + 26) > 0, strrchr(text, 'b'));
  return 0;
}
