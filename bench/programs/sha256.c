/* SHA-256 in C: 32-bit rotations and additions. */
#include <stdio.h>
#include <string.h>
typedef unsigned int u32;
static u32 k[64];
static u32 ror(u32 x, int n) { return x >> n | x << (32 - n); }
static void block(u32 h[8], const unsigned char *p) {
  u32 w[64];
  for (int i = 0; i < 16; i++) w[i] = (u32)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
  for (int i = 16; i < 64; i++) w[i] = (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10) + w[i - 7] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 16];
  u32 a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], s = h[7];
  for (int i = 0; i < 64; i++) {
    u32 t = s + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
    u32 q = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    s = g; g = f; f = e; e = d + t; d = c; c = b; b = a; a = t + q;
  }
  h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += s;
}
int main(void) {
  static unsigned char data[1 << 16];
  u32 h[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (u32 i = 0, x = 1; i < 64; i++) k[i] = x = x * 1664525 + 1013904223;
  for (int i = 0; i < (int)sizeof data; i++) data[i] = i * 7;
  for (int r = 0; r < 1500; r++) for (int i = 0; i < (int)sizeof data; i += 64) block(h, data + i);
  printf("%08x%08x\n", h[0], h[7]);
}
