/**
 * More code than a translator wants to keep: functions are made by a generator with a seed, put in memory and called.
 *
 *   much-code HOW KILOBYTES PASSES [HOT]
 *
 * HOW: `once`     all in one mapping; each pass calls every function
 *      `file`     the same, mapped from a file (its translations may be kept)
 *      `libraries` in pieces of 64 KiB, mapped from files and unmapped again, as dlopen and dlclose do; the same every pass
 *      `fresh`    in pieces of 64 KiB, each made anew at the same address, as a just-in-time compiler does that reuses memory
 *      `moving`   the same at new addresses
 * HOT: every function is called so often in each pass. Prints a checksum by pass.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIECE = 65536, MOST = 400 };

static uint32_t seed;
static uint32_t next(void) { return (seed = seed * 1664525u + 1013904223u) >> 8; }

/* uint64_t f(uint64_t x): straight code, branches either way, now and then a short loop or a call of an earlier function. */
static size_t function(uint8_t *at, const uint8_t *earlier) {
  uint8_t *p = at;
#define EMIT(...) do { const uint8_t b[] = {__VA_ARGS__}; memcpy(p, b, sizeof b); p += sizeof b; } while (0)
#define WORD(x) do { uint32_t w = (uint32_t)(x); memcpy(p, &w, 4); p += 4; } while (0)
  EMIT(0x48, 0x89, 0xf8); /* mov rax, rdi */
  int n = 4 + next() % 10;
  for (int k = 0; k < n; k++) {
    switch (next() % 8) {
      case 0: EMIT(0x48, 0x05); WORD(next()); break;             /* add rax, imm */
      case 1: EMIT(0x48, 0x35); WORD(next()); break;             /* xor rax, imm */
      case 2: EMIT(0x48, 0x69, 0xc0); WORD(next() | 1); break;   /* imul rax, rax, imm */
      case 3: EMIT(0x48, 0xc1, 0xc0, 1 + next() % 62); break;    /* rol rax, imm */
      case 4:                                                    /* test eax, imm; jz over; add rax, imm; rol rax, imm */
      case 5:
        EMIT(0xa9); WORD(1u << next() % 20);
        EMIT(0x74, 10);
        EMIT(0x48, 0x05); WORD(next());
        EMIT(0x48, 0xc1, 0xc0, 7);
        break;
      case 6:                                                    /* mov ecx, imm; l: lea rax, [rax+rcx*2+imm]; dec ecx; jnz l */
        EMIT(0xb9); WORD(2 + next() % 3);
        EMIT(0x48, 0x8d, 0x44, 0x48, next() & 0x7f);
        EMIT(0xff, 0xc9, 0x75, 0xf7);
        break;
      default:
        if (earlier == NULL || next() % 4 != 0) { EMIT(0x48, 0xf7, 0xd0); break; } /* not rax */
        EMIT(0x48, 0x89, 0xc7, 0xe8);                            /* mov rdi, rax; call earlier */
        WORD(earlier - (p + 4));
        earlier = NULL;
    }
  }
  EMIT(0xc3);
  return p - at;
}

/* Fills `bytes` at `at`; the places of the functions. A function calls the one before at most, which calls no other: no depth. */
static size_t fill(uint8_t *at, size_t bytes, uint32_t *places) {
  size_t count = 0, used = 0;
  while (used + MOST < bytes) {
    places[count] = used;
    const uint8_t *earlier = count % 2 == 1 ? at + places[count - 1] : NULL;
    used += function(at + used, earlier);
    used = (used + 15) & ~(size_t)15;
    count++;
  }
  return count;
}

static uint64_t sum;
static void call(const uint8_t *at, const uint32_t *places, size_t count, int hot) {
  for (size_t k = 0; k < count; k++) {
    uint64_t (*f)(uint64_t) = (uint64_t (*)(uint64_t))(at + places[k]);
    for (int h = 0; h < hot; h++) sum = f(sum);
  }
}

static int file_of(size_t bytes) {
  char name[] = "/tmp/much-code-XXXXXX";
  int fd = mkstemp(name);
  unlink(name);
  if (fd < 0 || ftruncate(fd, bytes) != 0) exit(2);
  return fd;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  const char *how = argv[1];
  size_t bytes = strtoul(argv[2], NULL, 0) << 10;
  int passes = atoi(argv[3]), hot = argc > 4 ? atoi(argv[4]) : 1;
  int whole = strcmp(how, "once") == 0 || strcmp(how, "file") == 0;
  size_t part = whole ? bytes : PIECE;
  size_t parts = bytes / part;
  uint32_t *places = malloc(part / 8 * sizeof *places);
  int *files = calloc(parts, sizeof *files);
  size_t *counts = calloc(parts, sizeof *counts);
  int from_file = strcmp(how, "file") == 0 || strcmp(how, "libraries") == 0;
  uint8_t *area = mmap(NULL, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole) {
    seed = 1;
    counts[0] = fill(area, part, places);
    if (from_file) {
      int fd = file_of(part);
      if (pwrite(fd, area, part, 0) != (ssize_t)part) return 3;
      munmap(area, part);
      area = mmap(NULL, part, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    } else mprotect(area, part, PROT_READ | PROT_EXEC);
  }
  for (int pass = 0; pass < passes; pass++) {
    if (whole) call(area, places, counts[0], hot);
    else for (size_t k = 0; k < parts; k++) {
      seed = 1 + k;
      if (strcmp(how, "libraries") == 0) {
        size_t count = fill(area, part, places);
        if (pass == 0) {
          files[k] = file_of(part);
          if (pwrite(files[k], area, part, 0) != (ssize_t)part) return 3;
        }
        uint8_t *library = mmap(NULL, part, PROT_READ | PROT_EXEC, MAP_PRIVATE, files[k], 0);
        call(library, places, count, hot);
        munmap(library, part);
      } else if (strcmp(how, "fresh") == 0) {
        mprotect(area, part, PROT_READ | PROT_WRITE);
        size_t count = fill(area, part, places);
        mprotect(area, part, PROT_READ | PROT_EXEC);
        call(area, places, count, hot);
      } else {
        uint8_t *there = mmap(NULL, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        size_t count = fill(there, part, places);
        mprotect(there, part, PROT_READ | PROT_EXEC);
        call(there, places, count, hot);
        if (k % 2 == 0) munmap(there, part);
      }
    }
    printf("%d %016llx\n", pass, (unsigned long long)sum);
    fflush(stdout);
  }
  return 0;
}
