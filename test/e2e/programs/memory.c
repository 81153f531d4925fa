#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
  size_t gib = 1ul << 30;
  char *p = mmap(0, gib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) { perror("mmap"); return 1; }
  for (size_t i = 0; i < gib; i += gib / 64) p[i] = i / (gib / 64) + 1;
  long sum = 0;
  for (size_t i = 0; i < gib; i += gib / 64) sum += p[i];
  printf("1 GiB: %ld\n", sum);
  printf("munmap %d\n", munmap(p + gib / 2, gib / 2));
  char *q = mremap(p, gib / 2, gib, MREMAP_MAYMOVE);
  printf("mremap %d %d\n", q != MAP_FAILED, q[gib / 4]);
  munmap(q, gib);
  char *blocks[2000];
  unsigned s = 7;
  for (int i = 0; i < 2000; i++) { size_t n = (s = s * 1664525 + 1013904223) % 30000; blocks[i] = malloc(n + 1); memset(blocks[i], i, n + 1); }
  for (int i = 0; i < 2000; i += 2) free(blocks[i]);
  for (int i = 0; i < 2000; i += 2) blocks[i] = calloc(1, i * 7 + 1);
  long check = 0;
  for (int i = 0; i < 2000; i++) check += blocks[i][0];
  printf("heap %ld\n", check);
  blocks[5] = realloc(blocks[5], 3000000);
  printf("realloc %d\n", blocks[5][0]);
  void *fixed = mmap((void *)0x30000000, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf("fixed %p\n", fixed);
  printf("noreplace %d", mmap((void *)0x30000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
  printf(" %s\n", strerror(errno));
  char buf[64];
  mprotect(fixed, 4096, PROT_NONE);
  printf("write from PROT_NONE: %zd %s\n", write(1, fixed, 10), strerror(errno));
  printf("read into bad: %zd %s\n", read(0, (void *)1, 10), strerror(errno));
  FILE *maps = fopen("/proc/self/maps", "r");
  int stack = 0, heap = 0, lines = 0;
  char line[512];
  while (fgets(line, sizeof line, maps)) { lines++; stack += strstr(line, "[stack]") != 0; heap += strstr(line, "[heap]") != 0; if (strstr(line, "30001000-30002000")) printf("%.25s\n", line); }
  printf("maps: stack %d heap %d\n", stack, heap);
  ssize_t n = readlink("/proc/self/exe", line, sizeof line - 1);
  line[n] = 0;
  printf("exe %s\n", line);
  char *copy = strdup("self modifying? no: overlapping moves");
  memmove(copy + 5, copy, 20);
  puts(copy);
  return 0;
}
