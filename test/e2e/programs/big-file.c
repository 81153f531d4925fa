#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void) {
  char name[] = "/tmp/lunagate-big-XXXXXX";
  int fd = mkstemp(name);
  unlink(name);
  long long at = 5ll << 30;
  printf("%zd\n", pwrite(fd, "beyond", 6, at));
  printf("%lld\n", (long long)lseek(fd, 0, SEEK_END));
  struct stat st;
  fstat(fd, &st);
  printf("%lld\n", (long long)st.st_size);
  char buf[8] = {0};
  printf("%zd %s\n", pread(fd, buf, 6, at), buf);
  printf("%lld\n", (long long)lseek(fd, at - 10, SEEK_SET));
  printf("%zd\n", read(fd, buf, 8));
  char *p = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, at);
  printf("%.6s\n", p);
  printf("%d\n", ftruncate(fd, 6ll << 30));
  printf("%lld\n", (long long)lseek(fd, at + 4096, SEEK_HOLE));
  return 0;
}
