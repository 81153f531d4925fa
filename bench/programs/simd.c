/* SSE2 integer vectors. */
#include <emmintrin.h>
#include <stdio.h>
int main(void) {
  __m128i a = _mm_set1_epi32(0x1234567), b = _mm_set1_epi16(777), s = _mm_setzero_si128();
  for (long i = 0; i < 60000000; i++) {
    a = _mm_add_epi32(a, _mm_slli_epi32(a, 5));
    b = _mm_mullo_epi16(b, _mm_xor_si128(b, a));
    s = _mm_add_epi64(s, _mm_sad_epu8(a, _mm_shuffle_epi32(b, 0x1b)));
  }
  long long v[2];
  _mm_storeu_si128((__m128i *)v, s);
  printf("%lld\n", v[0] + v[1]);
}
