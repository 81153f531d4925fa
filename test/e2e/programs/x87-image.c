/* What FXSAVE, XSAVE and FXRSTOR do with the x87's last instruction, its selectors and its summary bits. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
static _Alignas(64) unsigned char a[1024];
static double d = 1.5, z = 0;
static unsigned char env[28];
static void show(const char *text) {
  uint64_t ip, dp;
  memcpy(&ip, a + 8, 8);
  memcpy(&dp, a + 16, 8);
  printf("%-16s status %04x opcode %04x ip %s %04x dp %s %04x\n", text, a[2] | a[3] << 8, a[6] | a[7] << 8, (uint32_t)ip ? "set" : "0", strstr(text, "64") ? 0 : (unsigned)(ip >> 32), (uint32_t)dp ? "set" : "0", strstr(text, "64") ? 0 : (unsigned)(dp >> 32));
}
static void showEnv(const char *text) {
  printf("%-16s", text);
  for (int i = 0; i < 28; i++) printf(" %02x", env[i]);
  puts("");
}
#define SAVE(text, what, before) do { memset(a, 0xaa, 1024); memset(a + 512, 0, 64); __asm__ volatile("fnclex; fninit; " before "; " what " %0; fnclex" : "+m"(a) : "m"(d), "m"(z), "m"(cw), "a"(7), "d"(0)); show(text); } while (0)
#define RESTORE(text, what) do { __asm__ volatile("fnclex; fninit; fxsave64 %0" : "+m"(a)); memcpy(a, &control, 2); memcpy(a + 2, &status, 2); memset(a + 6, 0x11, 2); memset(a + 8, 0x22, 4); memset(a + 12, 0, 4); a[12] = 0x44; memset(a + 16, 0x33, 4); memset(a + 20, 0, 4); a[20] = 0x55; __asm__ volatile("fldl %2; " what " %1; fnstenv %0; fnclex" : "=m"(env) : "m"(a), "m"(d)); showEnv(text); } while (0)
int main(void) {
  unsigned short cw = 0x37b;
  SAVE("fxsave", "fxsave", "fldl %1");
  SAVE("fxsave64", "fxsave64", "fldl %1");
  SAVE("xsave", "xsave", "fldl %1");
  SAVE("fxsave pending", "fxsave", "fldcw %3; fld1; fdivl %2");
  SAVE("fxsave64 pending", "fxsave64", "fldcw %3; fld1; fdivl %2");
  for (int k = 0; k < 4; k++) {
    unsigned short control = k & 1 ? 0x37b : 0x37f, status = k & 2 ? 0x8084 : 4;
    RESTORE("fxrstor", "fxrstor");
    RESTORE("fxrstor64", "fxrstor64");
  }
  return 0;
}
