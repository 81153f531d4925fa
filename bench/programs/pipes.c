/* Two processes that wait for each other: pipes and context switches. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
  int to[2], from[2];
  char c = 0;
  if (pipe(to) || pipe(from)) return 1;
  if (fork() == 0) {
    close(to[1]);
    while (read(to[0], &c, 1) == 1) { c++; if (write(from[1], &c, 1) != 1) break; }
    _exit(0);
  }
  for (int i = 0; i < 5000; i++) { if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1) return 1; }
  close(to[1]);
  wait(0);
  printf("%d\n", c);
}
