/* Small functions called so often that a translator takes them into their callers, and what may be odd about them: they return
   elsewhere, return flags, fault, jump out, go on to other functions, are other ones now than before, or are written anew. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#define HOT 40000
#define APART __attribute__((noinline, noclone))
typedef long (*function)(long);

APART static long add(long a, long b) { return a + b; }
APART static long twice(long a) { return add(a, a) + 1; }
APART static long bits(long a) { long n = 0; for (; a; a &= a - 1) n++; return n; }
APART static long pick(long a) { switch (a & 7) { case 0: return 3; case 1: return a; case 2: return a * 5; case 3: return 9; case 4: return a ^ 77; case 5: return -a; default: return 1; } }
APART static long slow(long a) { static long t[64]; for (int k = 0; k < 64; k++) t[k] = t[(k * 7 + a) & 63] + k; return t[a & 63]; }
APART static long seldom(long a) { return (a & 1023) == 1023 ? slow(a) : a + 2; }
APART static long onward(long a) { return bits(a + 1); }
APART static long caller(long k) { return add(k, 3) + twice(k) + bits(k) + pick(k) + seldom(k) + onward(k) + labs(-k) + (long)strlen(&"abcdefgh"[k & 7]); }

APART static long square(long a) { return a * a; }
APART static long cube(long a) { return a * a * a; }
APART static long by(function f, long a) { return f(a) + 1; }

/* skips: returns one instruction further if its argument is odd; borrows: CF and ZF are the result */
long skips(long), swaps(long), borrows(long), equals(long);
__asm__(".text\nskips: mov %rdi, %rax; test $1, %dil; je 1f; addq $5, (%rsp); 1: ret\n"
        "after_skips: sub $8, %rsp; call skips; .byte 0x48, 0x83, 0xc0, 0x07, 0x90; add $100, %rax; add $8, %rsp; ret\n"
        "two: .byte 0xe8; .long skips - . - 4; xor $0x55, %eax; nop; nop; add $1, %rax; ret\n"
        "swaps: sub $24, %rsp; call 2f; add $24, %rsp; ret; 2: pop %rcx; mov %rdi, %rax; test $255, %dil; je 3f; push %rcx; ret; 3: add $5, %rax; jmp *%rcx\n"
        "less: cmp %rsi, %rdi; ret\n"
        "borrows: mov $1000, %esi; call less; sbb %rax, %rax; ret\n"
        "equals: mov $1001, %esi; call less; sete %al; setb %ah; movzwl %ax, %eax; ret\n");
long after_skips(long), two(long);

static sigjmp_buf back; static volatile long faults; static long *nowhere; extern char reader[], reader_end[];
long reads(long *); __asm__("reads: \nreader: mov (%rdi), %rax; reader_end: add $1, %rax; ret\n");
APART static long calls_reads(long *p) { return reads(p) + 1; }
static void on_fault(int s, siginfo_t *i, void *u) {
  ucontext_t *c = u;
  char *rip = (char *)c->uc_mcontext.gregs[REG_RIP];
  if (rip == reader && i->si_addr == nowhere && c->uc_mcontext.gregs[REG_RDI] == (long)nowhere) faults++;
  c->uc_mcontext.gregs[REG_RAX] = 41;
  c->uc_mcontext.gregs[REG_RIP] = (long)reader_end;
}
static jmp_buf out;
APART static long leaves(long a) { if (a % 1000 == 999) longjmp(out, 1); return a + 1; }
APART static long calls_leaves(long a) { return leaves(a) * 2; }

static unsigned char *written;
APART static long calls_written(long a) { return ((function)written)(a) + 1; }
static void write_function(int v) { unsigned char c[] = { 0x48, 0x8d, 0x47, v, 0xc3 }; memcpy(written, c, 5); } /* lea rax, [rdi + v]; ret */

int main(void) {
  long sum = 0;
  for (long k = 0; k < HOT; k++) sum = sum * 3 + caller(k);
  printf("called: %ld\n", sum);
  function f[] = { square, cube, bits, labs };
  sum = 0; for (long k = 0; k < 4 * HOT; k++) sum = sum * 3 + by(f[k / HOT], k);
  printf("one after the other: %ld\n", sum);
  sum = 0; for (long k = 0; k < HOT; k++) sum = sum * 3 + by(f[k % 4], k);
  printf("by turns: %ld\n", sum);
  sum = 0; for (long k = 0; k < HOT; k++) sum = sum * 3 + after_skips(k & ~1L) + two(k) + swaps(k);
  printf("elsewhere: %ld\n", sum);
  sum = 0; for (long k = 0; k < HOT; k++) sum = sum * 3 + borrows(k % 2000) + equals(k % 2003);
  printf("flags: %ld\n", sum);
  volatile long at; sum = 0;
  for (at = 0; at < HOT; at++) if (setjmp(out) == 0) sum = sum * 3 + calls_leaves(at); else sum += 12345;
  printf("out of it: %ld\n", sum);
  long value = 7; nowhere = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  sum = 0; for (long k = 0; k < HOT; k++) sum = sum * 3 + calls_reads(&value);
  struct sigaction a = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }; sigaction(SIGSEGV, &a, 0);
  for (long k = 0; k < HOT; k++) sum = sum * 3 + calls_reads(k % 97 == 96 ? nowhere : &value);
  printf("faults: %ld, %ld of them where they should be\n", sum, faults);
  for (int both = 0; both < 2; both++) {
    int prot = both ? PROT_READ | PROT_WRITE | PROT_EXEC : PROT_READ | PROT_EXEC;
    written = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); sum = 0;
    for (int v = 1; v < 6; v++) { mprotect(written, 4096, PROT_READ | PROT_WRITE); write_function(v); mprotect(written, 4096, prot); for (long k = 0; k < HOT / 2; k++) { if (both && k % 5000 == 4999) write_function(v + k / 5000); sum = sum * 3 + calls_written(k); } }
    printf("written anew: %ld\n", sum);
  }
  return 0;
}
