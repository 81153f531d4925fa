/* Accesses far from everything: signal, si_code and si_addr as the processor and Linux have them. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static sigjmp_buf back;
static char stack[65536];
static void handler(int s, siginfo_t *i, void *c) {
  printf(" signal %d code %d address %p\n", s, i->si_code, i->si_addr);
  siglongjmp(back, 1);
}
#define TRY(text, ...) do { printf("%s:", text); if (sigsetjmp(back, 1) == 0) { __asm__ volatile(__VA_ARGS__); puts(" nothing"); } } while (0)
int main(void) {
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, 0);
  struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGSEGV, &a, 0);
  sigaction(SIGBUS, &a, 0);
  uint64_t far = 0x700000001234, odd = 0xdead0000beef0000, kernel = 0xffffffffff700000, low = 16;
  TRY("low", "mov (%0), %%eax" ::"r"(low) : "rax");
  TRY("far", "mov (%0), %%eax" ::"r"(far) : "rax");
  TRY("far store", "movb $1, 7(%0)" ::"r"(far));
  TRY("far vector", "movups 8(%0,%1,8), %%xmm0" ::"r"(far), "r"(low) : "xmm0");
  TRY("kernel", "mov (%0), %%al" ::"r"(kernel) : "rax");
  TRY("not canonical", "mov (%0), %%eax" ::"r"(odd) : "rax");
  TRY("not canonical store", "mov %%eax, (%0)" ::"r"(odd));
  TRY("by rbp", "push %%rbp; mov %0, %%rbp; mov (%%rbp), %%eax; pop %%rbp" ::"r"(odd) : "rax");
  TRY("by rbp, ds", "push %%rbp; mov %0, %%rbp; mov %%fs:(%%rbp), %%eax; pop %%rbp" ::"r"(odd) : "rax");
  TRY("by rsp", "mov %0, %%rsp; mov 8(%%rsp), %%eax" ::"r"(odd) : "rax");
  TRY("push", "mov %0, %%rsp; push %%rax" ::"r"(odd));
  TRY("pop", "mov %0, %%rsp; pop %%rax" ::"r"(odd) : "rax");
  TRY("call", "mov %0, %%rsp; call 1f; 1:" ::"r"(odd));
  TRY("far push", "mov %0, %%rsp; push %%rax" ::"r"(far));
  TRY("movs", "rep movsb" ::"S"(far), "D"(stack), "c"(4) : "memory");
  TRY("stos", "rep stosb" ::"D"(odd), "c"(4), "a"(0) : "memory");
  TRY("lock", "lock addl $1, (%0)" ::"r"(far));
  TRY("x87", "fldl (%0)" ::"r"(far));
  // the kernel's own refusal in between changes nothing
  printf("%d\n", access((char *)16, F_OK));
  TRY("not canonical", "mov (%0), %%eax" ::"r"(odd) : "rax");
  return 0;
}
