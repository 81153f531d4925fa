#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
int main(void) {
  volatile long double a = 1.0L, b = 3.0L;
  printf("%.21Lf %.25Le %Lg %La\n", a / b, a / b, a / b, a / b);
  printf("%Lf %Lg %Lg\n", 123456789.123456789L, LDBL_MAX, LDBL_MIN);
  volatile double d = 0.1;
  volatile float f = 0.1f;
  printf("%.20Lf %.20f %.20f\n", (long double)d, d, (double)f);
  for (int i = -5; i < 6; i++) printf("%.18Lf %.18Lf %d %lld\n", sqrtl(i * i + 0.5L), (long double)i / 7, (int)(i * 1.7L), (long long)(i * 1e15L));
  printf("%.18Lg %.18Lg %.18Lg\n", strtold("3.14159265358979323846264338327950288", 0), strtold("1e4000", 0), strtold("0x1.8p-3", 0));
  printf("%Lg %Lg %Lg %d\n", a / 0, -a / 0, (a - a) / 0, isnan((a - a) / 0));
  printf("%.18Lg %.18Lg %.18Lg %.18Lg\n", floorl(-2.5L), ceill(2.5L), rintl(3.5L), truncl(-7.9L));
  unsigned long long u = 18446744073709551615ull;
  volatile long double v = u;
  printf("%Lf %llu %d\n", v, (unsigned long long)v, v > 1e19L);
  printf("%.18Lg %.18Lg\n", fmodl(1e18L, 7.3L), ldexpl(0.75L, 100));
  return 0;
}
