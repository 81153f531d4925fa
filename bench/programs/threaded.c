/* An interpreter with computed goto: indirect jumps. */
#include <stdio.h>
int main(void) {
  static void *labels[] = {&&add, &&sub, &&mul, &&xor, &&jmp, &&dec};
  unsigned char code[] = {0, 1, 2, 3, 0, 3, 5, 4};
  long a = 1, b = 7, n = 60000000;
  const unsigned char *pc = code;
#define NEXT goto *labels[*pc++]
  NEXT;
add: a += b; NEXT;
sub: b -= a; NEXT;
mul: a *= 3; NEXT;
xor: b ^= a; NEXT;
dec: if (--n == 0) { printf("%ld\n", a + b); return 0; } NEXT;
jmp: pc = code; NEXT;
}
