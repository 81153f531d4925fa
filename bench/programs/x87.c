/* 80-bit arithmetic. */
#include <stdio.h>
int main(void) {
  volatile long double one = 1.0L;
  long double s = 0;
  for (int i = 1; i < 4000000; i++) s += one / i * (one + i);
  printf("%.12Lf\n", s);
}
