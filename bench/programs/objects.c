/* Calls through tables of functions, as C++'s virtual calls. */
#include <stdio.h>
typedef struct Shape Shape;
struct Shape { long (*area)(const Shape *); void (*grow)(Shape *, long); long a, b; };
static long square(const Shape *s) { return s->a * s->a; }
static long box(const Shape *s) { return s->a * s->b; }
static long triangle(const Shape *s) { return s->a * s->b / 2; }
static void grow(Shape *s, long by) { s->a += by & 1; s->b ^= by; }
static void shrink(Shape *s, long by) { s->a ^= by & 3; s->b += by & 1; }
int main(void) {
  Shape shapes[7];
  for (int i = 0; i < 7; i++) shapes[i] = (Shape){i % 3 == 0 ? square : i % 3 == 1 ? box : triangle, i & 1 ? grow : shrink, i + 1, i + 3};
  long sum = 0;
  for (long i = 0; i < 80000000; i++) { Shape *s = &shapes[i % 7]; sum += s->area(s); if ((i & 3) == 0) s->grow(s, i); }
  printf("%ld\n", sum);
}
