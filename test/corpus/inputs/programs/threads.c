#include <pthread.h>
#include <stdio.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; static long total;
static void *work(void *a) { for (int k = 0; k < 1000; k++) { pthread_mutex_lock(&lock); total += (long)a; pthread_mutex_unlock(&lock); } return a; }
int main(void) { pthread_t t[4]; for (long k = 0; k < 4; k++) pthread_create(&t[k], 0, work, (void *)k); long r = 0; for (int k = 0; k < 4; k++) { void *v; pthread_join(t[k], &v); r += (long)v; } printf("%ld %ld\n", total, r); return 0; }
