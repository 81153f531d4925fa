/* Double precision, memory bound in one direction. */
#include <stdio.h>
static double a[300][300], b[300][300], c[300][300];
int main(void) {
  for (int i = 0; i < 300; i++) for (int j = 0; j < 300; j++) { a[i][j] = i + j; b[i][j] = i - j; }
  for (int r = 0; r < 8; r++) for (int i = 0; i < 300; i++) for (int j = 0; j < 300; j++) { double s = 0; for (int k = 0; k < 300; k++) s += a[i][k] * b[k][j]; c[i][j] += s; }
  printf("%f\n", c[10][20]);
}
