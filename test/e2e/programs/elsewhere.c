/* Many small functions, run nowhere (no argument), in the only thread ("here") or in another one ("thread"). */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static volatile unsigned value = 1;
#define F(n) __attribute__((noinline)) static void f##n(void) { if (value % (n + 3) == 0) value += n; else value = value * 3 + n; }
#define TEN(t) F(t##0) F(t##1) F(t##2) F(t##3) F(t##4) F(t##5) F(t##6) F(t##7) F(t##8) F(t##9)
TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6)
#define C(n) f##n();
#define CALL(t) C(t##0) C(t##1) C(t##2) C(t##3) C(t##4) C(t##5) C(t##6) C(t##7) C(t##8) C(t##9)

__attribute__((noinline, noclone)) static void *all(void *argument) {
  CALL(1) CALL(2) CALL(3) CALL(4) CALL(5) CALL(6)
  return argument;
}

static void *nothing(void *argument) { return argument; }

int main(int argc, char **argv) {
  pthread_t thread;
  int other = argc > 1 && strcmp(argv[1], "thread") == 0;
  if (argc > 1 && !other) all(0);
  if (pthread_create(&thread, 0, other ? all : nothing, 0)) return 1;
  pthread_join(thread, 0);
  printf("%u\n", value);
  return 0;
}
