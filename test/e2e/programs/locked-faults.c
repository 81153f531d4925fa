/*
 * LOCK-prefixed instructions on memory that cannot be written, aligned and not, within a page and across two: which signal,
 * at which address, and that nothing was changed; the same in loops that have run long, and counters that two processes share.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static unsigned char *pages; /* read-write, read-only, nothing, read-write */
static sigjmp_buf back;

static void on_signal(int signal, siginfo_t *info, void *context) {
  greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
  unsigned char *address = info->si_addr;
  printf("signal %d code %d", signal, info->si_code);
  if (address >= pages && address < pages + 0x4000) printf(" at %lx", (unsigned long)(address - pages));
  printf(", rax %llx rdx %llx rcx %llx\n", regs[REG_RAX], regs[REG_RDX], regs[REG_RCX]);
  siglongjmp(back, 1);
}

#define TRY(name, code, place)                                                                                        \
  do {                                                                                                                \
    unsigned char before[64], *at = pages + (place);                                                                  \
    for (int k = 0; k < 64; k++) before[k] = k;                                                                       \
    if (at < pages + 0x1000) memcpy(at, before, pages + 0x1000 - at < 64 ? pages + 0x1000 - at : 64);                 \
    printf("%s at %x: ", name, (unsigned)(place));                                                                    \
    fflush(stdout);                                                                                                   \
    if (sigsetjmp(back, 1) == 0) {                                                                                    \
      uint64_t rax = 0x1111, rdx = 0x2222, rcx = 0x3333;                                                              \
      __asm__ volatile(code : "+a"(rax), "+d"(rdx), "+c"(rcx) : "D"(at), "b"(0x4444) : "memory", "cc");                \
      printf("done, rax %lx rdx %lx rcx %lx\n", rax, rdx, rcx);                                                        \
    } else if (at < pages + 0x1000)                                                                                   \
      for (int k = 0; k < 64 && at + k < pages + 0x1000; k++)                                                         \
        if (at[k] != before[k]) printf("  byte %d was changed\n", k);                                                 \
  } while (0)

#define EVERYWHERE(name, code)                                                                                        \
  do {                                                                                                                \
    static const unsigned places[] = {0x100, 0x101, 0x10d, 0xff9, 0xffd, 0xfff, 0x1000, 0x1001, 0x100d, 0x1ffb, 0x1fff, 0x2000, 0x2ff5, 0x2fff, 0x2ff0}; \
    for (unsigned p = 0; p < sizeof places / sizeof *places; p++) TRY(name, code, places[p]);                         \
  } while (0)

/* Through read-write pages up to one that is not: by then the loop is translated for good. */
#define UNTIL_IT_FAULTS(code, step)                                                                                   \
  if (sigsetjmp(back, 1) == 0) {                                                                                      \
    uint64_t turns = 0, other = 0;                                                                                    \
    unsigned char *at = many;                                                                                         \
    printf("%s: ", code);                                                                                             \
    __asm__ volatile("1: addq $1, %0; leaq 7(%1), %1; " code "; addq $" step ", %2; jmp 1b"                            \
                     : "+c"(turns), "+d"(other), "+D"(at)::"rax", "rbx", "memory", "cc");                              \
  }
static void loops(void) {
  unsigned char *many = mmap(0, 0x41000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(many + 0x40000, 0x1000, PROT_READ);
  pages = many + 0x40000 - 0x1000;
  UNTIL_IT_FAULTS("movl $0, %%eax; lock incl (%%rdi)", "8");
  UNTIL_IT_FAULTS("movl $1, %%eax; lock xaddw %%ax, (%%rdi)", "6");
  UNTIL_IT_FAULTS("movl $2, %%eax; xchgb %%al, (%%rdi); movl $2, %%eax", "3");
  UNTIL_IT_FAULTS("movl $3, %%eax; lock cmpxchgq %%rdx, (%%rdi); movl $3, %%eax", "16");
  UNTIL_IT_FAULTS("movl $4, %%eax; lock orq %%rdx, (%%rdi)", "9");
  UNTIL_IT_FAULTS("movl $5, %%eax; lock negl (%%rdi)", "4");
  UNTIL_IT_FAULTS("movl $6, %%eax; lock btsl $3, (%%rdi)", "12");
}

static void share(void) {
  volatile unsigned char *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t child = fork();
  for (int k = 0; k < 30000; k++) {
    __asm__ volatile("lock incl %0" : "+m"(*(volatile int *)(shared + 0)));
    __asm__ volatile("lock incw %0" : "+m"(*(volatile short *)(shared + 65)));
    __asm__ volatile("lock addq $3, %0" : "+m"(*(volatile long *)(shared + 126)));
    uint64_t low = 0, high = 0;
    unsigned char done;
    do
      __asm__ volatile("lock cmpxchg16b %1; sete %0"
                       : "=q"(done), "+m"(*(volatile __int128 *)(shared + 256)), "+a"(low), "+d"(high)
                       : "b"(low + 1), "c"(high + 2)
                       : "cc");
    while (!done);
  }
  if (child == 0) _exit(0);
  waitpid(child, 0, 0);
  uint64_t wide[3];
  memcpy(&wide[0], (void *)(shared + 126), 8);
  memcpy(&wide[1], (void *)(shared + 256), 16);
  short word;
  memcpy(&word, (void *)(shared + 65), 2);
  printf("%d %d %lu %lu %lu\n", *(int *)shared, word, wide[0], wide[1], wide[2]);
}

int main(void) {
  pages = mmap(0, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(pages + 0x1000, 0x1000, PROT_READ);
  mprotect(pages + 0x2000, 0x1000, PROT_NONE);
  share();
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, 0);
  EVERYWHERE("lock inc word", "lock incw (%%rdi)");
  EVERYWHERE("lock neg dword", "lock negl (%%rdi)");
  EVERYWHERE("lock xadd qword", "lock xaddq %%rax, (%%rdi)");
  EVERYWHERE("xchg dword", "xchgl %%edx, (%%rdi)");
  EVERYWHERE("lock cmpxchg dword", "lock cmpxchgl %%edx, (%%rdi)");
  EVERYWHERE("lock cmpxchg8b", "lock cmpxchg8b (%%rdi)");
  EVERYWHERE("lock cmpxchg16b", "lock cmpxchg16b (%%rdi)");
  EVERYWHERE("cmpxchg16b", "cmpxchg16b (%%rdi)");
  EVERYWHERE("lock bts", "lock btsl $9, (%%rdi)");
  loops();
  return 0;
}
