// The trap flag and the alignment-check flag: who is told, where, and with what.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define TF 0x100
#define AC 0x40000

static struct { uint64_t rip, addr, flags, rcx; int sig, code; } seen[4000];
static volatile int count;
static volatile int stop_after;
static volatile uint64_t skip_to;

static void trap(int sig, siginfo_t *info, void *context) {
  ucontext_t *u = context;
  uint64_t flags;
  __asm__ volatile("pushfq; popq %0" : "=r"(flags));
  if (flags & (TF)) write(1, "TF in the handler\n", 18);
  if (count < 4000) {
    seen[count].rip = u->uc_mcontext.gregs[REG_RIP];
    seen[count].addr = (uint64_t)info->si_addr;
    seen[count].flags = u->uc_mcontext.gregs[REG_EFL];
    seen[count].rcx = u->uc_mcontext.gregs[REG_RCX];
    seen[count].sig = sig;
    seen[count].code = info->si_code;
  }
  count++;
  if (count == stop_after) u->uc_mcontext.gregs[REG_EFL] &= ~(uint64_t)TF;
  if (sig == SIGBUS || sig == SIGSEGV || sig == SIGILL) {
    u->uc_mcontext.gregs[REG_EFL] &= ~(uint64_t)AC;
    if (skip_to) u->uc_mcontext.gregs[REG_RIP] = skip_to;
  }
}
static void usr(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)info;
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= TF;
}

static void report(const char *name, const char *base, size_t length) {
  printf("%s: %d\n", name, count);
  for (int k = 0; k < count && k < 60; k++) {
    uint64_t at = seen[k].rip - (uint64_t)base;
    if (at <= length) printf("  +%lu", (unsigned long)at);
    else printf("  elsewhere");
    printf(" sig %d code %d flags %lx", seen[k].sig, seen[k].code, (unsigned long)(seen[k].flags & (TF | AC | 0xcd5)));
    if (seen[k].addr < 4096) printf(" addr %lu\n", (unsigned long)seen[k].addr);
    else if (seen[k].addr == seen[k].rip) printf(" addr rip\n");
    else printf(" addr ?\n");
  }
  count = 0;
}

#define SNIPPET(name, text) \
  extern char name[], name##_end[]; \
  __asm__(".text\n" #name ":\n" text "\n" #name "_end:\n ret\n")

#define SET "cmpl %eax, %eax\n pushfq\n orq $0x100, (%rsp)\n popfq\n"
#define CLEAR "pushfq\n andq $~0x100, (%rsp)\n popfq\n"
#define SETAC "cmpl %eax, %eax\n pushfq\n orq $0x40000, (%rsp)\n popfq\n"
#define CLEARAC "pushfq\n andq $~0x40000, (%rsp)\n popfq\n"

SNIPPET(plain, SET "nop\n movl $5, %eax\n 1: decl %eax\n jnz 1b\n call 2f\n jmp 3f\n 2: ret\n 3: addq $1, %rax\n" CLEAR);
SNIPPET(string, "subq $64, %rsp\n movq %rsp, %rdi\n movl $4, %ecx\n xorl %eax, %eax\n" SET "rep stosb\n nop\n" CLEAR "addq $64, %rsp\n");
SNIPPET(calls, SET "movl $39, %eax\n syscall\n nop\n movl $39, %eax\n syscall\n syscall\n" CLEAR);
SNIPPET(flags, SET "pushfq\n popq %rdx\n andl $0x100, %edx\n" CLEAR);
SNIPPET(twice, SET "pushfq\n popfq\n nop\n" CLEAR);

SNIPPET(vectors, "subq $64, %rsp\n" SET "pxor %xmm0, %xmm0\n movups %xmm0, (%rsp)\n fld1\n fstpt 8(%rsp)\n lock incl (%rsp)\n lock cmpxchgl %ecx, (%rsp)\n lock xaddq %rcx, 8(%rsp)\n cpuid\n" CLEAR "addq $64, %rsp\n");
SNIPPET(until, SET "nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop\n");

SNIPPET(bytes, "movl $8, %ecx\n 1: pushq %rcx\n loop 1b\n movl $7, %ecx\n" SET "lock incb (%rsp)\n lock decb 1(%rsp)\n movb $3, %al\n lock cmpxchgb %cl, (%rsp)\n lock xaddb %al, 3(%rsp)\n xchgb %al, 4(%rsp)\n lock orw $5, 7(%rsp)\n lock orl $5, 54(%rsp)\n" CLEAR "addq $64, %rsp\n");
SNIPPET(compare, "leaq .Lone(%rip), %rsi\n leaq .Lother(%rip), %rdi\n movl $8, %ecx\n" SET "repe cmpsb\n" CLEAR "jmp .Lafter\n .Lone: .ascii \"abcdefgh\"\n .Lother: .ascii \"abcxefgh\"\n .Lafter:\n");
SNIPPET(interrupt, "movq %rsp, %rax\n movl %ss, %ecx\n pushq %rcx\n pushq %rax\n cmpl %ecx, %ecx\n pushfq\n orq $0x100, (%rsp)\n movl %cs, %ecx\n pushq %rcx\n leaq .Lback(%rip), %rcx\n pushq %rcx\n iretq\n .Lback: nop\n" CLEAR);
SNIPPET(faults, SET "movl $16, %eax\n movl (%rax), %eax\n .globl faults_on\n faults_on: movl $1, %eax\n" CLEAR);
SNIPPET(beyond, SET "movabsq $0x7000000000001000, %rax\n orl $3, (%rax)\n .globl beyond_on\n beyond_on: movl $1, %eax\n" CLEAR);
extern char faults_on[], beyond_on[];

static void run(const char *name, char *code, char *end) {
  __asm__ volatile("subq $128, %%rsp\n xorl %%eax, %%eax\n xorl %%ecx, %%ecx\n call *%0\n addq $128, %%rsp" : : "r"(code) : "rax", "rbx", "rcx", "rdx", "rdi", "rsi", "r11", "xmm0", "memory", "cc");
  report(name, code, end - code);
}

// one unaligned access each; where the handler goes on
#define ACCESS(name, text) SNIPPET(name, "movq %rsp, %rbx\n" SETAC text "\n" #name "_on:\n movq %rbx, %rsp\n" CLEARAC); extern char name##_on[]
ACCESS(load2, "movw 1(%rdi), %ax");
ACCESS(load4, "movl 2(%rdi), %eax");
ACCESS(load8, "movq 4(%rdi), %rax");
ACCESS(store4, "movl %eax, 6(%rdi)");
ACCESS(add4, "addl %eax, 1(%rdi)");
ACCESS(fine, "movl 4(%rdi), %eax\n movb 1(%rdi), %al\n movw 2(%rdi), %ax\n movq 8(%rdi), %rax");
ACCESS(movups, "movups 4(%rdi), %xmm0");
ACCESS(movups8, "movups 8(%rdi), %xmm0");
ACCESS(movsd, "movsd 4(%rdi), %xmm0");
ACCESS(x87, "fldl 4(%rdi)\n fstp %st(0)");
ACCESS(x87t, "fldt 4(%rdi)\n fstp %st(0)");
ACCESS(x87t8, "fldt 8(%rdi)\n fstp %st(0)");
ACCESS(push, "pushq %rax\n leaq -1(%rsp), %rsp\n movq %rsp, %rsi\n leaq 1(%rsp), %rsp\n popq %rax\n pushq 1(%rdi)\n popq %rax");
ACCESS(locked, "lock incl 1(%rdi)");
ACCESS(movs, "leaq 1(%rdi), %rsi\n addq $32, %rdi\n movsl");
ACCESS(bt, "btl $3, 1(%rdi)");
ACCESS(lddqu, "lddqu 1(%rdi), %xmm0");
ACCESS(vmovups, "vmovups 8(%rdi), %ymm0\n vzeroupper");
ACCESS(vmovups1, "vmovups 1(%rdi), %ymm0\n vzeroupper");
ACCESS(vmovups16, "vmovups 16(%rdi), %ymm0\n vzeroupper");
ACCESS(vextract, "vextractf128 $1, %ymm0, 16(%rdi)\n vzeroupper");
ACCESS(vcvt, "vcvtps2pd 16(%rdi), %ymm0\n vzeroupper");
ACCESS(vpaddd, "vpaddd 16(%rdi), %ymm0, %ymm0\n vzeroupper");
ACCESS(vmaskmov, "vpcmpeqd %ymm1, %ymm1, %ymm1\n vmaskmovps 4(%rdi), %ymm1, %ymm0\n vzeroupper");
ACCESS(gather, "vpcmpeqd %xmm1, %xmm1, %xmm1\n vpxor %xmm2, %xmm2, %xmm2\n vpgatherdd %xmm1, 2(%rdi,%xmm2,4), %xmm0");
ACCESS(movhps, "movhps 4(%rdi), %xmm0");
ACCESS(pinsrw, "pinsrw $0, 1(%rdi), %xmm0");
ACCESS(stmxcsr, "stmxcsr 2(%rdi)");
ACCESS(fnstcw, "fnstcw 1(%rdi)");
ACCESS(fnstenv, "fnstenv 2(%rdi)\n fldenv 2(%rdi)");
ACCESS(popm, "pushq $0\n popq 1(%rdi)");
ACCESS(cmpxchg8b, "cmpxchg8b 4(%rdi)");
ACCESS(movaps, "movaps 8(%rdi), %xmm0");
ACCESS(paddd, "paddd 8(%rdi), %xmm0");
ACCESS(cmpxchg16b, "cmpxchg16b 8(%rdi)");

static void touch(const char *name, char *code, char *end, char *on) {
  static char area[256] __attribute__((aligned(64)));
  skip_to = (uint64_t)on;
  __asm__ volatile("subq $128, %%rsp\n movq %1, %%rdi\n call *%0\n addq $128, %%rsp" : : "r"(code), "r"(area) : "rax", "rbx", "rcx", "rdx", "rdi", "rsi", "r11", "xmm0", "memory", "cc");
  report(name, code, end - code);
  skip_to = 0;
}

#define ACCESSED(name) touch(#name, name, name##_end, name##_on)

int main(void) {
  struct sigaction a = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO};
  sigaction(SIGTRAP, &a, 0);
  sigaction(SIGBUS, &a, 0);
  sigaction(SIGILL, &a, 0);
  sigaction(SIGSEGV, &a, 0);
  a.sa_sigaction = usr;
  sigaction(SIGUSR1, &a, 0);

  run("plain", plain, plain_end);
  run("string", string, string_end);
  run("system", calls, calls_end);
  run("flags", flags, flags_end);
  run("twice", twice, twice_end);
  run("vectors", vectors, vectors_end);
  run("bytes", bytes, bytes_end);
  run("compare", compare, compare_end);
  run("interrupt", interrupt, interrupt_end);
  skip_to = (uint64_t)faults_on;
  run("faults", faults, faults_end);
  skip_to = (uint64_t)beyond_on;
  run("beyond", beyond, beyond_end);
  skip_to = 0;
  stop_after = 4;
  run("until", until, until_end);
  stop_after = 7;
  raise(SIGUSR1);
  printf("by a handler: %d\n", count);
  count = 0;
  stop_after = 0;
  ACCESSED(load2);
  ACCESSED(load4);
  ACCESSED(load8);
  ACCESSED(store4);
  ACCESSED(add4);
  ACCESSED(fine);
  ACCESSED(movups);
  ACCESSED(movups8);
  ACCESSED(movsd);
  ACCESSED(x87);
  ACCESSED(x87t);
  ACCESSED(x87t8);
  ACCESSED(push);
  ACCESSED(locked);
  ACCESSED(movs);
  ACCESSED(bt);
  ACCESSED(lddqu);
  ACCESSED(vmovups);
  ACCESSED(vmovups1);
  ACCESSED(vmovups16);
  ACCESSED(vextract);
  ACCESSED(vcvt);
  ACCESSED(vpaddd);
  ACCESSED(vmaskmov);
  ACCESSED(gather);
  ACCESSED(movhps);
  ACCESSED(pinsrw);
  ACCESSED(stmxcsr);
  ACCESSED(fnstcw);
  ACCESSED(fnstenv);
  ACCESSED(popm);
  ACCESSED(cmpxchg8b);
  ACCESSED(movaps);
  ACCESSED(paddd);
  ACCESSED(cmpxchg16b);
  return 0;
}
