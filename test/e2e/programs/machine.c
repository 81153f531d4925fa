/*
 * Instructions whose results are the machine's own (time, randomness, identity) or that enter the kernel: what holds of them
 * everywhere.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static int armed;
static long step;
static unsigned char *from;
static void on_signal(int signal, siginfo_t *info, void *context) {
  greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
  step = (unsigned char *)regs[REG_RIP] - from;
  printf("signal %d code %d", signal, info->si_code);
  if (!armed) _exit(1);
  siglongjmp(back, 1);
}
#define TRY(name, code, at)                                                                  \
  do {                                                                                       \
    printf("%s: ", name);                                                                    \
    fflush(stdout);                                                                          \
    armed = 1;                                                                               \
    if (sigsetjmp(back, 1) == 0) {                                                           \
      __asm__ volatile("leaq 1f(%%rip), %0; movq %0, from(%%rip); 1: " code : "=&r"(from)::"memory", "rax", "rcx", "rdx"); \
      printf("done");                                                                        \
    } else if (at)                                                                           \
      printf(" at +%ld", step);                                                              \
    printf("\n");                                                                            \
    armed = 0;                                                                               \
  } while (0)

static uint64_t tsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
}
static uint64_t tscp(uint32_t *cpu) {
  uint32_t low, high;
  __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(*cpu));
  return (uint64_t)high << 32 | low;
}

#define RANDOM(name, suffix, type)                                                            \
  do {                                                                                        \
    uint64_t values[4], flags = 0, same = 1;                                                  \
    for (int k = 0; k < 4; k++) {                                                             \
      uint64_t v, f;                                                                          \
      do __asm__ volatile("movq $-1, %0; " name " %" suffix "0; pushfq; popq %1" : "=&r"(v), "=&r"(f)::"cc"); \
      while (!(f & 1));                                                                       \
      values[k] = v;                                                                          \
      flags |= f & 0x8d5;                                                                     \
      if (k > 0 && values[k] != values[0]) same = 0;                                          \
    }                                                                                         \
    printf(name " " #type ": flags %lx, %s, upper bits %lx\n", flags, same ? "all the same" : "different", \
           sizeof(type) == 8 ? 0 : values[0] >> (8 * sizeof(type) % 64));                     \
  } while (0)

int main(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  for (int k = 0; k < 5; k++) sigaction((int[]){SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGTRAP}[k], &action, 0);

  uint64_t result = SYS_getpid, rcx, r11, here;
  __asm__ volatile("stc; std; leaq 1f(%%rip), %3; syscall; 1: cld; movq %%r11, %2" : "+a"(result), "=&c"(rcx), "=&r"(r11), "=&r"(here)::"r11", "memory", "cc");
  printf("syscall: %d, rcx is the next instruction: %d, r11 has CF and DF: %lx\n", result == (uint64_t)getpid(), rcx == here, r11 & 0x401);

  TRY("int3", "int3", 1);
  TRY("int 3", ".byte 0xcd, 3", 1);
  TRY("int 4", "int $4", 1);
  TRY("int 0", "int $0", 1);
  TRY("int 14", "int $14", 1);
  TRY("int 0x21", "int $0x21", 1);
  TRY("int 0xff", "int $0xff", 1);
  TRY("int1", ".byte 0xf1", 0); /* hypervisors disagree about the address */

  uint32_t cpu, cpu2;
  uint64_t t0 = tsc(), t1 = tscp(&cpu), t2 = tsc();
  usleep(2000);
  uint64_t t3 = tsc();
  printf("time goes on: %d %d %d\n", t0 <= t1, t1 <= t2, t2 < t3);
  uint32_t leaf = 7, sub = 0, features, other;
  __asm__ volatile("cpuid" : "+a"(leaf), "=b"(other), "+c"(sub), "=d"(features));
  uint64_t pid;
  do {
    tscp(&cpu);
    pid = cpu;
    if (sub >> 22 & 1) __asm__ volatile("rdpid %0" : "=r"(pid));
    tscp(&cpu2);
  } while (cpu != cpu2);
  printf("rdpid, if there is one, is what rdtscp says: %d\n", pid == cpu);

  cpu_set_t allowed, one;
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (int k = 0; k < CPU_SETSIZE; k++) {
    if (!CPU_ISSET(k, &allowed)) continue;
    CPU_ZERO(&one);
    CPU_SET(k, &one);
    sched_setaffinity(0, sizeof one, &one);
    tscp(&cpu);
    if (sub >> 22 & 1) __asm__ volatile("rdpid %0" : "=r"(pid));
    else pid = cpu;
    unsigned here_cpu, node;
    getcpu(&here_cpu, &node);
    printf("bound to processor %d: rdtscp %u, rdpid %lu, node %d\n", k, cpu & 0xfff, pid & 0xfff, node == cpu >> 12);
  }
  sched_setaffinity(0, sizeof allowed, &allowed);

  RANDOM("rdrand", "w", uint16_t);
  RANDOM("rdrand", "k", uint32_t);
  RANDOM("rdrand", "q", uint64_t);
  RANDOM("rdseed", "w", uint16_t);
  RANDOM("rdseed", "k", uint32_t);
  RANDOM("rdseed", "q", uint64_t);

  uint64_t fs, kernel, gs, narrow;
  syscall(SYS_arch_prctl, ARCH_GET_FS, &kernel);
  __asm__ volatile("rdfsbase %0" : "=r"(fs));
  printf("rdfsbase is the kernel's: %d\n", fs == kernel);
  static uint64_t words[4] = {11, 22, 33, 44};
  __asm__ volatile("wrgsbase %2; rdgsbase %0; movq %%gs:16, %1" : "=&r"(gs), "=&r"(narrow) : "r"(words));
  printf("wrgsbase: %d %lu\n", gs == (uint64_t)words, narrow);
  syscall(SYS_arch_prctl, ARCH_GET_GS, &kernel);
  printf("and the kernel knows: %d\n", kernel == (uint64_t)words);
  __asm__ volatile("wrgsbase %2; rdgsbase %0; wrgsbase %k3; rdgsbase %1" : "=&r"(gs), "=&r"(narrow) : "r"(0x7ffdeadbeef1), "r"(0xffffffff89abcdef));
  printf("64 and 32 bits: %lx %lx\n", gs, narrow);
  __asm__ volatile("rdfsbase %%rcx; wrfsbase %1; rdfsbase %0; wrfsbase %%rcx" : "=&r"(gs) : "r"(0x123456789) : "rcx");
  printf("wrfsbase: %lx\n", gs);
  TRY("wrgsbase of no address", "movabs $0x800000000000, %%rax; wrgsbase %%rax", 1);
  __asm__ volatile("wrgsbase %0" ::"r"(0ull));

  uint32_t eax, edx;
  __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  printf("x87 and SSE are on: %d\n", (eax & 3) == 3);
  TRY("xgetbv of none", "movl $5, %%ecx; xgetbv", 0);
  uint64_t a = ~0ull, b, c = ~0ull << 32, d;
  a = ~0ull << 32;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  printf("cpuid: at least 7 leaves: %d, 32 bits: %d\n", a >= 7, ((a | b | c | d) >> 32) == 0);
  return 0;
}
