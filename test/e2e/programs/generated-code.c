/* Code that a program writes and runs: on pages that are writable and executable, through a second mapping, by turns, from
   another thread, and in the middle of what runs. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
typedef int (*function)(int);
static void returns(unsigned char *at, int v) { unsigned char c[] = { 0xb8, v, v >> 8, v >> 16, v >> 24, 0xc3 }; memcpy(at, c, 6); } /* mov eax, v; ret */
static long calls(unsigned char *write, unsigned char *run, int n) { long sum = 0; for (int k = 0; k < n; k++) { if (k % 7 == 0) returns(write, k); sum += ((function)run)(0); } return sum; }

static void one_page(void) {
  unsigned char *p = mmap(0, 8192, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("writable: %ld\n", calls(p, p, 5000));
  printf("across pages: %ld\n", calls(p + 4093, p + 4093, 5000));
  for (int k = 0; k < 300; k++) returns(p + 16 * k, k);
  long sum = 0; for (int round = 0; round < 50; round++) { returns(p + 16 * (round * 5), round); for (int k = 0; k < 300; k++) sum += ((function)(p + 16 * k))(0); }
  printf("one of many: %ld\n", sum);
}
static void two_mappings(void) {
  int fd = memfd_create("code", 0); ftruncate(fd, 4096);
  unsigned char *w = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *x = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
  printf("two mappings: %ld\n", calls(w, x, 5000));
  returns(w, 77); char c[6]; pwrite(fd, "\xb8\x4e\x00\x00\x00\xc3", 6, 0); printf("by write(2): %d\n", ((function)x)(0));
}
static void by_turns(void) {
  unsigned char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); long sum = 0;
  for (int k = 0; k < 200; k++) { mprotect(p, 4096, PROT_READ | PROT_WRITE); returns(p, k); mprotect(p, 4096, PROT_READ | PROT_EXEC); for (int j = 0; j < 10; j++) sum += ((function)p)(0); }
  printf("by turns: %ld\n", sum);
}
/* A loop that changes its own instruction each time round: mov ecx, edi; xor eax, eax; L: add eax, 1; inc byte [rip + imm of the add]; dec ecx; jne L; ret */
static void itself(void) {
  unsigned char *p = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  unsigned char c[] = { 0x89, 0xf9, 0x31, 0xc0, /* L: */ 0x05, 1, 0, 0, 0, 0xfe, 0x05, 0xf6, 0xff, 0xff, 0xff, 0xff, 0xc9, 0x75, 0xf1, 0xc3 };
  memcpy(p, c, sizeof c);
  printf("itself: %d", ((function)p)(100)); printf(" %d\n", ((function)p)(50));
}
static unsigned char *shared; static atomic_int version, seen;
static void *runs(void *a) { long wrong = 0; for (int v = 1; v <= 200; v++) { while (version < v) ; if (((function)shared)(0) != v) wrong++; seen = v; } return (void *)wrong; }
static void by_threads(void) {
  pthread_t t; void *wrong; shared = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); returns(shared, 0);
  pthread_create(&t, 0, runs, 0);
  for (int v = 1; v <= 200; v++) { atomic_store((_Atomic int *)(shared + 1 + 0), v); version = v; while (seen < v) ; }
  pthread_join(t, &wrong); printf("from another thread: %ld wrong\n", (long)wrong);
}
static volatile long where; static unsigned char *bad;
static void on_fault(int s, siginfo_t *i, void *u) { where = (unsigned char *)i->si_addr - bad; returns(bad, 5); mprotect(bad, 4096, 7); }
/* mov eax, [0x40]; ret: the handler puts another function there */
static void faulting(void) {
  struct sigaction a = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }; sigaction(SIGILL, &a, 0);
  bad = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); memcpy(bad, "\x0f\x0b\xc3", 3);
  printf("handler repairs it: %d", ((function)bad)(0)); printf(" at %ld\n", where);
}
int main(void) { one_page(); two_mappings(); by_turns(); itself(); by_threads(); faulting(); return 0; }
