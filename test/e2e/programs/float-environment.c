/* What a program sees of the floating-point environment. argv[1] chooses; output must be equal natively and emulated. */
#define _GNU_SOURCE
#include <fenv.h>
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#pragma STDC FENV_ACCESS ON

static volatile double one = 1, three = 3, zero = 0, big = DBL_MAX, tiny = DBL_MIN, two = 2, tenth = 0.1, fifth = 0.2;
static volatile float fone = 1, fthree = 3, fbig = FLT_MAX, ftiny = FLT_MIN;
static volatile long long large = (1ll << 53) + 1;
static volatile int odd = 16777217;

static const char *flags(void) {
  static char text[64];
  int f = fetestexcept(FE_ALL_EXCEPT);
  snprintf(text, sizeof text, "%s%s%s%s%s", f & FE_INVALID ? "I" : "", f & FE_DIVBYZERO ? "Z" : "", f & FE_OVERFLOW ? "O" : "", f & FE_UNDERFLOW ? "U" : "", f & FE_INEXACT ? "P" : "");
  return text;
}
static const struct { const char *name; int mode; } modes[] = {{"nearest", FE_TONEAREST}, {"down", FE_DOWNWARD}, {"up", FE_UPWARD}, {"zero", FE_TOWARDZERO}};

static void rounding(void) {
  for (int k = 0; k < 4; k++) {
    fesetround(modes[k].mode);
    printf("%s %d\n", modes[k].name, fegetround() == modes[k].mode);
    printf(" %a %a %a %a %a\n", one / three, -one / three, sqrt(two), tenth + fifth, tenth * three);
    printf(" %a %a %a\n", fone / fthree, (float)tenth, -(float)tenth);
    printf(" %ld %ld %ld %a %a\n", lrint(2.5 * one), lrint(-2.5 * one), lrint(3.5 * one), rint(-0.5 * one), nearbyint(1e15 + tenth));
    printf(" %a %a %a\n", (double)large, (float)odd, (float)large);
    printf(" %d %lld\n", (int)(-2.7 * one), (long long)(1e18 * three));
    printf(" %a %a\n", fma(tenth, tenth, -0.01), fmaf(0.1f * fone, 0.1f, -0.01f));
    printf(" %.3f %.0f %.2e %.5g\n", 2.0005 * one, 2.5 * one, 123456.0 * one, -0.123455 * one);
    printf(" %a %a\n", strtod("0.1", 0), strtod("1.7976931348623159e308", 0));
    printf(" %a %a\n", big * two, tiny * tenth);
    float in[16], out = 0;
    for (int i = 0; i < 16; i++) in[i] = fone / (i + fthree);
    for (int i = 0; i < 16; i++) out += in[i] * in[15 - i];
    printf(" %a\n", out);
    printf(" %a %a %a\n", sin(tenth), exp(fifth), pow(three, fifth));
    printf(" %La %La\n", (long double)one / 3, (long double)(one - one));
    printf(" %g %g\n", one - one, copysign(1, one - one));
  }
  fesetround(FE_TONEAREST);
}

#define FLAGS(text, expression) do { feclearexcept(FE_ALL_EXCEPT); volatile double r = (expression); printf("%-12s %a %s\n", text, r, flags()); } while (0)
static void sticky(void) {
  FLAGS("exact", one + two);
  FLAGS("inexact", one / three);
  FLAGS("1/0", one / zero);
  FLAGS("0/0", zero / zero);
  FLAGS("overflow", big * two);
  FLAGS("underflow", tiny / three);
  FLAGS("denormal", tiny / two);
  FLAGS("sqrt -1", sqrt(-one));
  FLAGS("to float", (float)tenth);
  FLAGS("float over", (float)big);
  FLAGS("float under", (float)tiny);
  FLAGS("int", (int)(one / three));
  FLAGS("int over", (int)(big));
  FLAGS("compare", zero / zero < one);
  FLAGS("is", isless(NAN * one, one));
  FLAGS("rint", rint(tenth));
  FLAGS("nearbyint", nearbyint(tenth));
  FLAGS("floor", floor(tenth));
  FLAGS("fma", fma(big, two, -big));
  FLAGS("log 0", log(zero));
  FLAGS("log -1", log(-one));
  FLAGS("exp", exp(1000 * one));
  FLAGS("pow", pow(-one, tenth));
  FLAGS("long", 1.0L / three);
  FLAGS("strtod", strtod("1e400", 0));
  FLAGS("strtod", strtod("1e-400", 0));
  fexcept_t saved;
  feclearexcept(FE_ALL_EXCEPT);
  one / zero;
  volatile double lost = one / zero;
  fegetexceptflag(&saved, FE_ALL_EXCEPT);
  feclearexcept(FE_ALL_EXCEPT);
  printf("cleared '%s'", flags());
  fesetexceptflag(&saved, FE_ALL_EXCEPT);
  printf(" set '%s'", flags());
  feraiseexcept(FE_OVERFLOW | FE_UNDERFLOW);
  printf(" raised '%s'\n", flags());
  fenv_t held;
  feholdexcept(&held);
  printf("held '%s'", flags());
  lost = one / three;
  feclearexcept(FE_INEXACT);
  lost = zero / zero;
  printf(" '%s'", flags());
  feupdateenv(&held);
  printf(" updated '%s'\n", flags());
  feclearexcept(FE_ALL_EXCEPT);
  long n = 0;
  for (int i = 1; i < 300000; i++) {
    volatile double x = i;
    n += x * x == (double)((long)i * i);
  }
  printf("loop %ld '%s'", n, flags());
  for (int i = 1; i < 300000; i++) lost = one / i;
  printf(" '%s'", flags());
  for (int i = 300000; i >= 0; i--) lost = one / i;
  printf(" '%s'\n", flags());
}

static sigjmp_buf back;
static volatile sig_atomic_t mask_and_return;
static void handler(int s, siginfo_t *info, void *context) {
  ucontext_t *u = context;
  printf("  signal %d code %d address %s mxcsr %x fsw %x here '%s'\n", s, info->si_code, (char *)info->si_addr == (char *)u->uc_mcontext.gregs[REG_RIP] ? "rip" : "?", u->uc_mcontext.fpregs->mxcsr, u->uc_mcontext.fpregs->swd & 0xff, flags());
  if (mask_and_return) {
    u->uc_mcontext.fpregs->mxcsr |= 0x1f80;
    return;
  }
  siglongjmp(back, 1);
}
#define TRAPS(text, which, expression) do { \
    feclearexcept(FE_ALL_EXCEPT); feenableexcept(which); printf("%s\n", text); \
    if (sigsetjmp(back, 1) == 0) { volatile double r = (expression); printf("  no signal %a\n", r); } \
    else printf("  after %x %x\n", _mm_getcsr(), fegetexcept()); \
    feclearexcept(FE_ALL_EXCEPT); fedisableexcept(FE_ALL_EXCEPT); \
  } while (0)
static void traps(void) {
  struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGFPE, &a, 0);
  TRAPS("1/0", FE_DIVBYZERO, one / zero);
  TRAPS("0/0", FE_INVALID, zero / zero);
  TRAPS("0/0 not enabled", FE_DIVBYZERO, zero / zero);
  TRAPS("overflow", FE_OVERFLOW, big * two);
  TRAPS("underflow", FE_UNDERFLOW, tiny / two);
  TRAPS("inexact", FE_INEXACT, one / three);
  TRAPS("float", FE_OVERFLOW | FE_INVALID, fbig * fbig);
  TRAPS("convert", FE_INVALID, (int)big);
  TRAPS("sqrt", FE_INVALID, _mm_cvtsd_f64(_mm_sqrt_sd(_mm_set_sd(0), _mm_set_sd(-one))));
  TRAPS("x87 1/0", FE_DIVBYZERO, (double)((long double)one / (long double)zero));
  TRAPS("x87 0/0", FE_INVALID, (double)((long double)zero / (long double)zero));
  TRAPS("x87 overflow", FE_OVERFLOW, (double)((long double)LDBL_MAX * (long double)two));
  TRAPS("raise", FE_ALL_EXCEPT, feraiseexcept(FE_DIVBYZERO));
  mask_and_return = 1;
  TRAPS("masked by the handler", FE_DIVBYZERO, one / zero);
  volatile double r = one / three;
  printf("%a %x\n", r, _mm_getcsr());
  fflush(stdout);
}
static void denormals(void) {
  static const unsigned controls[] = {0x1f80, 0x9f80, 0x1fc0, 0x9fc0, 0xffc0, 0x5f80, 0x1f80};
  for (unsigned k = 0; k < sizeof controls / sizeof *controls; k++) {
    _mm_setcsr(controls[k]);
    double x = tiny, d = tiny / 4;
    double a = d + d, b = d * two, c = x * tenth;
    float f = ftiny / fthree, g = f + f, h = (float)(tiny * one);
    int less = d < tiny, same = d == zero;
    unsigned after = _mm_getcsr();
    _mm_setcsr(0x1f80);
    printf("%x: %a %a %a %a %a %a %a %d %d -> %x\n", controls[k], d, a, b, c, f, g, h, less, same, after);
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "first")) { /* flags raised before anything touches the environment */
    volatile double x = one / zero;
    printf("%g %s\n", x, flags());
  } else if (!strcmp(what, "intrinsic")) {
    volatile double x = big * two;
    unsigned m = _mm_getcsr();
    printf("%g %x\n", x, m);
  } else if (!strcmp(what, "rounding")) rounding();
  else if (!strcmp(what, "sticky")) sticky();
  else if (!strcmp(what, "traps")) traps();
  else if (!strcmp(what, "denormals")) denormals();
  else if (!strcmp(what, "dies")) {
    feenableexcept(FE_DIVBYZERO);
    printf("%g\n", one / zero);
  } else if (!strcmp(what, "fast")) { /* with -ffast-math the start-up code sets FTZ and DAZ */
    unsigned start = _mm_getcsr();
    double s = 0, x = 1e-300;
    volatile double v;
    for (int i = 0; i < 40; i++) v = x *= tenth, s += v != 0;
    printf("%x %g %a\n", start & 0xffc0, s, (double)v);
  }
  return 0;
}
