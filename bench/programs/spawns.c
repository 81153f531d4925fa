/* Programs started and waited for, as a shell or make does. */
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
extern char **environ;
int main(void) {
  int sum = 0;
  char *argv[] = {"sh", "-c", "exit 3", 0};
  for (int i = 0; i < 20; i++) { pid_t pid; int status; if (posix_spawn(&pid, "/bin/sh", 0, 0, argv, environ)) return 1; waitpid(pid, &status, 0); sum += WEXITSTATUS(status); }
  printf("%d\n", sum);
}
