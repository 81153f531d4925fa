/* Threads: work shared among four, a mutex in between, and many short ones. */
#include <pthread.h>
#include <stdio.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long total;
static void *work(void *arg) {
  long x = (long)arg, t = 0;
  for (int i = 0; i < 20000000; i++) { x = x * 6364136223846793005 + 1442695040888963407; t += x >> 60; if ((i & 0xfff) == 0) { pthread_mutex_lock(&lock); total += t & 1; pthread_mutex_unlock(&lock); } }
  pthread_mutex_lock(&lock);
  total += t;
  pthread_mutex_unlock(&lock);
  return 0;
}
static void *short_one(void *arg) { return arg; }
int main(void) {
  pthread_t t[4];
  for (long i = 0; i < 4; i++) if (pthread_create(&t[i], 0, work, (void *)i)) return 1;
  for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  for (int i = 0; i < 100; i++) { if (pthread_create(&t[0], 0, short_one, 0)) return 1; pthread_join(t[0], 0); }
  printf("%ld\n", total != 0);
}
