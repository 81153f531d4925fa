program numeric
  implicit none
  integer, parameter :: dp = kind(1d0)
  real(dp) :: a(40, 40), b(40, 40), c(40, 40), x(40)
  real :: s(100)
  complex(dp) :: z
  integer :: i, j, k, n
  character(20) :: text
  do j = 1, 40; do i = 1, 40; a(i, j) = mod(i * 7 + j * 3, 11) - 5; b(i, j) = 1d0 / (i + j); end do; end do
  c = matmul(a, b); print '(3f14.6)', sum(c), maxval(c), c(7, 9)
  x = [(real(i, dp) ** 0.5d0, i = 1, 40)]; print '(2f14.8)', dot_product(x, x), norm2(x)
  s = [(sin(real(i)), i = 1, 100)]; print '(f10.4, i5)', sum(s, mask = s > 0), count(s > 0.5)
  z = (1d0, 2d0); print '(2f12.6)', exp(z) * conjg(z)
  n = 0; do k = 2, 5000; if (all(mod(k, [(i, i = 2, int(sqrt(real(k))))]) /= 0)) n = n + 1; end do; print *, n
  write (text, '(es12.4)') 12345.678; print *, trim(text), index('hello', 'l'), huge(1), tiny(1d0), bit_size(1)
  print '(a, z16, o12, b20)', 'x', 255, 8, 1000; print *, ishft(1, 10), popcnt(255), 7 / 2, -7 / 2, modulo(-7, 3), nint(2.5)
  stop 3
end program
