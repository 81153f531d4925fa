// Performs a list of system calls as a test asks, so that strace(1) can be watched at it. Not part of the product.
//   replay SCRIPT OUTPUT
// SCRIPT holds records: nr, poke count (u32), six arguments (u64), then pokes: offset, length (u32), bytes. A number
// of 0xfffffff0 forks a child that exits with the first argument as status. OUTPUT gets, for each record, the result
// (i64) and the arena after the call. A call of number 1000 marks the beginning, 1001 the end.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 16384 };
static char *const arena = (char *)0x20000000;

static long raw(long n, const uint64_t *a) {
  register uint64_t r10 __asm__("r10") = a[3];
  register uint64_t r8 __asm__("r8") = a[4];
  register uint64_t r9 __asm__("r9") = a[5];
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int fd = open(argv[1], O_RDONLY);
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) return 2;
  char *script = malloc(st.st_size);
  if (read(fd, script, st.st_size) != st.st_size) return 2;
  close(fd);
  if (mmap(arena, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != arena) return 2;
  size_t capacity = 64u << 20;
  char *out = mmap(0, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *o = out;
  uint64_t none[6] = {1, 2, 3, 4, 5, 6};
  raw(1000, none);
  for (char *p = script; p < script + st.st_size;) {
    uint32_t head[2];
    uint64_t args[6];
    memcpy(head, p, 8);
    memcpy(args, p + 8, 48);
    p += 56;
    for (uint32_t i = 0; i < head[1]; i++) {
      uint32_t poke[2];
      memcpy(poke, p, 8);
      memcpy(arena + poke[0], p + 8, poke[1]);
      p += 8 + poke[1];
    }
    int64_t result;
    if (head[0] == 0xfffffff0u) {
      result = fork();
      if (result == 0) _exit((int)args[0]);
    } else result = raw(head[0], args);
    memcpy(o, &result, 8);
    memcpy(o + 8, arena, SIZE);
    o += 8 + SIZE;
  }
  raw(1001, none);
  int of = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
  for (char *w = out; w < o;) {
    ssize_t n = write(of, w, o - w);
    if (n <= 0) return 3;
    w += n;
  }
  return 0;
}
