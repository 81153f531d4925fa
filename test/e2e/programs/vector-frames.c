/* Vector registers across signals: the XSAVE area in the frame, what a handler starts with and may change, and the ways to
   save the same state in user mode. Prints what must not differ between processors. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define AVX __attribute__((target("avx,xsave,xsavec")))

static int act;
static unsigned start_mxcsr, start_control;
static int start_clear;

static void print(const char *what, const void *p) {
  const unsigned char *b = p;
  printf("%s ", what);
  for (int k = 0; k < 32; k++) printf("%02x", b[k]);
  puts("");
}
AVX static void handler(int s, siginfo_t *i, void *u) {
  unsigned char here[32];
  asm volatile("vmovups %%ymm7, %0" : "=m"(here));
  asm volatile("stmxcsr %0; fnstcw %1" : "=m"(start_mxcsr), "=m"(*(short *)&start_control));
  start_clear = 1;
  for (int k = 0; k < 32; k++) start_clear &= here[k] == 0;
  ucontext_t *uc = u;
  unsigned char *area = (unsigned char *)uc->uc_mcontext.fpregs;
  uint32_t magic1, extended, size, magic2;
  uint64_t features, present;
  memcpy(&magic1, area + 464, 4);
  memcpy(&extended, area + 468, 4);
  memcpy(&features, area + 472, 8);
  memcpy(&size, area + 480, 4);
  memcpy(&magic2, area + size, 4);
  memcpy(&present, area + 512, 8);
  printf("flags %lx aligned %d magic %x %x sizes %d features %lx present %lx xcomp %d\n", uc->uc_flags & 7, (int)((uintptr_t)area & 63), magic1, magic2,
         extended - size, (unsigned long)features & 7, (unsigned long)present & 7, area[520]);
  print("in frame: low", area + 160 + 16 * 7);
  print("in frame: high", area + 576 + 16 * 7);
  uint32_t zero = 0;
  uint64_t without_avx = present & ~4ull, wrong = 1ull << 60;
  switch (act) {
    case 1: area[160 + 16 * 7] = 0xaa, area[576 + 16 * 7] = 0xbb; break;
    case 2: memcpy(area + 464, &zero, 4); break;           /* no longer extended */
    case 3: memcpy(area + size, &zero, 4); break;          /* cut off */
    case 4: memcpy(area + 512, &without_avx, 8); break;    /* upper halves initial */
    case 5: uc->uc_mcontext.fpregs = 0; break;             /* nothing to restore */
    case 6: uc->uc_mcontext.fpregs->mxcsr = 0x3f80; break; /* round down */
  }
}
AVX static void round_trip(int what) {
  act = what;
  unsigned char in[32], out[32];
  unsigned mxcsr;
  long result = SYS_tgkill;
  for (int k = 0; k < 32; k++) in[k] = 0x40 + k;
  /* the signal comes at the return of the call, which leaves all vector registers alone */
  asm volatile("vmovups %2, %%ymm7\n\tsyscall\n\tvmovups %%ymm7, %0"
               : "=m"(out), "+a"(result)
               : "m"(in), "D"((long)getpid()), "S"((long)gettid()), "d"((long)SIGUSR1)
               : "memory", "rcx", "r11", "xmm7", "cc");
  asm volatile("stmxcsr %0" : "=m"(mxcsr));
  printf("act %d result %ld mxcsr %x handler started with %x %x clear %d\n", what, result, mxcsr, start_mxcsr, start_control & 0xffff, start_clear);
  print("after", out);
  mxcsr = 0x1f80;
  asm volatile("ldmxcsr %0\n\tfninit" ::"m"(mxcsr));
}

static unsigned char area[4096] __attribute__((aligned(64)));
AVX static void user_mode(void) {
  unsigned char in[32], out[32];
  for (int k = 0; k < 32; k++) in[k] = 0x80 + k;
  printf("xcr0 %x\n", (unsigned)_xgetbv(0) & 7);
  for (int compact = 0; compact < 2; compact++) {
    memset(area, 0, sizeof area);
    asm volatile("vmovups %0, %%ymm3" ::"m"(in) : "xmm3");
    if (compact) asm volatile("xsavec64 %0" : "=m"(area) : "a"(6), "d"(0) : "memory");
    else asm volatile("xsave64 %0" : "=m"(area) : "a"(6), "d"(0) : "memory");
    asm volatile("vzeroall" ::: "xmm3");
    asm volatile("xrstor64 %1\n\tvmovups %%ymm3, %0" : "=m"(out) : "m"(area), "a"(6), "d"(0) : "memory", "xmm3");
    printf("present %d format %x\n", area[512] & 7, area[520] | area[527] << 8);
    print("restored", out);
    area[512] &= ~4;
    asm volatile("xrstor64 %1\n\tvmovups %%ymm3, %0" : "=m"(out) : "m"(area), "a"(6), "d"(0) : "memory", "xmm3");
    print("without avx", out);
  }
  unsigned a, b, c, d;
  __cpuid_count(0xd, 0, a, b, c, d);
  printf("least signal stack %d\n", getauxval(AT_MINSIGSTKSZ) == (b + 936 + 15) / 16 * 16);
  __cpuid_count(0xd, 2, a, b, c, d);
  printf("avx state %u at %u\n", a, b);
  printf("fsgsbase %d\n", (int)(getauxval(AT_HWCAP2) >> 1) & 1);
}

int main(void) {
  struct sigaction a = {0};
  a.sa_sigaction = handler;
  a.sa_flags = SA_SIGINFO;
  sigaction(SIGUSR1, &a, 0);
  for (int k = 0; k < 7; k++) round_trip(k);
  user_mode();
  return 0;
}
