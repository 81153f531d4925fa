#include <stdio.h>
int main(void) { long s = 0;
#pragma omp parallel for reduction(+ : s)
  for (int k = 0; k < 100000; k++) s += k % 7; printf("%ld\n", s); return 0; }
