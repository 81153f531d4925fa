/* Double precision with square roots and divisions. */
#include <math.h>
#include <stdio.h>
typedef struct { double x, y, z, vx, vy, vz, m; } Body;
static Body b[5] = {{0, 0, 0, 0, 0, 0, 39}, {4.8, -1.1, -.1, .6, 2.8, -.02, .03}, {8.3, 4.1, -.4, -1, 1.8, .008, .01}, {12, -15, -.2, 1, .8, -.01, .001}, {15, -25, .1, .9, .5, -.03, .002}};
int main(void) {
  for (int s = 0; s < 1000000; s++) {
    for (int i = 0; i < 5; i++) for (int j = i + 1; j < 5; j++) {
      double dx = b[i].x - b[j].x, dy = b[i].y - b[j].y, dz = b[i].z - b[j].z, d = dx * dx + dy * dy + dz * dz, mag = .001 / (d * sqrt(d));
      b[i].vx -= dx * b[j].m * mag; b[i].vy -= dy * b[j].m * mag; b[i].vz -= dz * b[j].m * mag;
      b[j].vx += dx * b[i].m * mag; b[j].vy += dy * b[i].m * mag; b[j].vz += dz * b[i].m * mag;
    }
    for (int i = 0; i < 5; i++) { b[i].x += .001 * b[i].vx; b[i].y += .001 * b[i].vy; b[i].z += .001 * b[i].vz; }
  }
  printf("%f\n", b[0].x);
}
