/* Double precision in registers, a branch on each result. */
#include <stdio.h>
int main(void) {
  long inside = 0;
  for (int y = 0; y < 1000; y++) for (int x = 0; x < 400; x++) {
    double cr = x / 150.0 - 2, ci = y / 500.0 - 1, r = 0, i = 0;
    int n = 0;
    while (n < 150 && r * r + i * i < 4) { double t = r * r - i * i + cr; i = 2 * r * i + ci; r = t; n++; }
    inside += n;
  }
  printf("%ld\n", inside);
}
