#include <alloca.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static jmp_buf env;
static int depth_reached;
__attribute__((noinline)) static int deep(int n) { volatile char pad[64]; pad[0] = n; return n == 0 ? pad[0] : 1 + deep(n - 1) + (pad[0] & 0); }
__attribute__((noinline)) static void jumper(int n) { if (n == 0) longjmp(env, 42); jumper(n - 1); depth_reached++; }
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
/* computed goto: a little bytecode machine */
static long machine(const unsigned char *code) {
  static void *labels[] = {&&op_push, &&op_add, &&op_mul, &&op_jnz, &&op_dec, &&op_halt, &&op_dup};
  long stack[16], *sp = stack, counter = 1000;
  const unsigned char *pc = code;
#define NEXT goto *labels[*pc++]
  NEXT;
op_push: *sp++ = *pc++; NEXT;
op_add: sp--; sp[-1] += sp[0]; NEXT;
op_mul: sp--; sp[-1] = (sp[-1] * sp[0]) % 1000003; NEXT;
op_jnz: if (counter) pc = code + *pc; else pc++; NEXT;
op_dec: counter--; NEXT;
op_dup: sp[0] = sp[-1]; sp++; NEXT;
op_halt: return sp[-1];
}
typedef int (*fn)(int);
static int twice(int x) { return 2 * x; }
static int square(int x) { return x * x; }
static int negate(int x) { return -x; }
static const char *name(int n) {
  switch (n) { case 0: return "zero"; case 1: return "one"; case 2: return "two"; case 3: return "three"; case 4: return "four"; case 5: return "five"; case 6: return "six"; case 7: return "seven"; case 100: return "hundred"; default: return "many"; }
}
int main(void) {
  printf("deep %d\n", deep(60000));
  int r = setjmp(env);
  if (r == 0) jumper(50); else printf("longjmp %d %d\n", r, depth_reached);
  for (volatile int k = 0; k < 1000; k++) if (setjmp(env) == 0) jumper(k % 30);
  char *p = alloca(5000);
  memset(p, 7, 5000);
  int sum = 0;
  for (int i = 0; i < 5000; i++) sum += p[i];
  printf("alloca %d\n", sum);
  unsigned char code[] = {0, 3, 6, 2, 0, 5, 1, 4, 3, 2, 5};
  printf("machine %ld\n", machine(code));
  fn table[] = {twice, square, negate};
  int x = 3;
  for (int i = 0; i < 300; i++) x = table[i % 3](x) % 10007;
  printf("pointers %d\n", x);
  for (int i = -1; i < 9; i++) printf("%s ", name(i));
  puts(name(100));
  int a[1000];
  unsigned s = 1;
  for (int i = 0; i < 1000; i++) a[i] = (s = s * 1103515245 + 12345) >> 16 & 0x7fff;
  qsort(a, 1000, sizeof *a, compare);
  printf("qsort %d %d %d\n", a[0], a[500], a[999]);
  return deep(200) & 0x7f;
}
