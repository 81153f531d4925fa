/* Segment registers and far transfers as a 64-bit program has them: what can be read, loaded, and what faults how. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static int armed;
static void on_signal(int signal, siginfo_t *info, void *context) {
  (void)context;
  printf("signal %d code %d\n", signal, info->si_code);
  if (!armed) _exit(1);
  siglongjmp(back, 1);
}

#define SHOW_SEGMENT(name)                                                                     \
  do {                                                                                         \
    uint64_t wide = ~0ull, middle = ~0ull, narrow = ~0ull, memory = ~0ull;                     \
    __asm__("movq %%" name ", %0; movl %%" name ", %k1; movw %%" name ", %w2; movw %%" name ", %3" \
            : "+r"(wide), "+r"(middle), "+r"(narrow), "+m"(memory));                           \
    printf(name ": %lx %lx %lx %lx\n", wide, middle, narrow, memory);                          \
  } while (0)

#define LOAD(name, selector)                                                                   \
  do {                                                                                         \
    printf("mov " name ", %x: ", selector);                                                    \
    fflush(stdout);                                                                            \
    armed = 1;                                                                                 \
    if (sigsetjmp(back, 1) == 0) {                                                             \
      uint64_t now = 0;                                                                        \
      __asm__ volatile("movl %k1, %%" name "; movl %%" name ", %k0" : "=&r"(now) : "r"(selector)); \
      printf("%lx\n", now);                                                                    \
    }                                                                                          \
    armed = 0;                                                                                 \
  } while (0)

#define FAR(name, code, ...)                                                                   \
  do {                                                                                         \
    printf(name ": ");                                                                         \
    fflush(stdout);                                                                            \
    armed = 1;                                                                                 \
    if (sigsetjmp(back, 1) == 0) {                                                             \
      uint64_t out = 0, kept = 0;                                                              \
      __asm__ volatile(code : "+&r"(out), "+&r"(kept) : __VA_ARGS__ : "memory", "cc", "rax", "rcx"); \
      printf("%lx %s\n", out, kept == 0 ? "ok" : "stack is off");                              \
    }                                                                                          \
    armed = 0;                                                                                 \
  } while (0)

int main(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  for (int k = 0; k < 4; k++) sigaction((int[]){SIGSEGV, SIGILL, SIGBUS, SIGFPE}[k], &action, 0);
  SHOW_SEGMENT("cs");
  SHOW_SEGMENT("ss");
  SHOW_SEGMENT("ds");
  SHOW_SEGMENT("es");
  SHOW_SEGMENT("fs");
  SHOW_SEGMENT("gs");
  const int selectors[] = {0, 3, 0x2b, 0x28, 0x33, 0x23, 0x7b, 0x10, 0x1b, 0x07, 0x1234, 0xfff8};
  for (unsigned k = 0; k < sizeof selectors / sizeof *selectors; k++) {
    LOAD("ds", selectors[k]);
    LOAD("es", selectors[k]);
    LOAD("gs", selectors[k]);
    LOAD("ss", selectors[k]);
  }
  LOAD("ds", 0);
  LOAD("es", 0);
  LOAD("gs", 0);

  uint64_t a, b;
  __asm__ volatile("pushq %%gs; popq %0; pushq $0x2b; popq %%gs; pushq %%gs; popq %1; pushq $0; popq %%gs" : "=r"(a), "=r"(b)::"memory");
  printf("push and pop gs: %lx %lx\n", a, b);
  __asm__ volatile("rdfsbase %%rcx; pushq %%fs; popq %0; pushq $0x2b; popq %%fs; rdfsbase %1; pushq $0; popq %%fs; wrfsbase %%rcx"
                   : "=r"(a), "=r"(b)::"rcx", "memory");
  printf("push and pop fs: %lx base %lx\n", a, b);

  /* far pointers: offset, then the selector (64-bit offsets are Intel's only) */
  struct __attribute__((packed)) { uint32_t offset; uint16_t selector; } far32 = {0x99aabbcc, 0x2b};
  __asm__ volatile("lgs %2, %k0; movl %%gs, %k1; pushq $0; popq %%gs" : "=&r"(a), "=&r"(b) : "m"(far32));
  printf("lgs 32: %lx %lx\n", a, b & 0xffff);
  __asm__ volatile("rdfsbase %%rcx; lfs %2, %k0; movl %%fs, %k1; pushq $0; popq %%fs; wrfsbase %%rcx" : "=&r"(a), "=&r"(b) : "m"(far32) : "rcx");
  printf("lfs 32: %lx %lx\n", a, b & 0xffff);
  __asm__ volatile("lss %2, %k0; movl %%ss, %k1" : "=&r"(a), "=&r"(b) : "m"(far32));
  printf("lss 32: %lx %lx\n", a, b & 0xffff);
  far32.selector = 0x1234;
  FAR("lgs of a bad selector", "lgs %2, %k0", "m"(far32));

#define STACK_SAFE "movq %%rsp, %1; leaq -512(%%rsp), %%rsp; "
#define STACK_BACK "leaq 512(%%rsp), %%rsp; subq %%rsp, %1"
  FAR("lret", STACK_SAFE "pushq %2; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; ud2; 1: movl $7, %k0; " STACK_BACK, "r"(0x33ull));
  FAR("lret to a bad selector", "pushq %2; pushq $0; lretq", "r"(0x1234ull));
  FAR("lret to the data segment", "pushq %2; pushq $0; lretq", "r"(0x2bull));
  FAR("iret", STACK_SAFE "movq %%rsp, %%rcx; pushq $0x2b; pushq %%rcx; pushq $0xad7; pushq %2; leaq 1f(%%rip), %%rax; pushq %%rax; iretq; ud2; 1: pushfq; popq %0; andl $0xcd5, %k0; " STACK_BACK, "r"(0x33ull));
  FAR("iret to a bad stack", "movq %%rsp, %%rcx; pushq $0; pushq %%rcx; pushq $0x202; pushq %2; pushq $0; iretq", "r"(0x33ull));
  far32.selector = 0x2b;
  FAR("ljmp to the data segment", "ljmp *%2", "m"(far32));
  far32.selector = 0;
  FAR("lcall to none", "lcall *%2", "m"(far32));
  return 0;
}
