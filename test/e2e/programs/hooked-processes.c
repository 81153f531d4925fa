/* Counts getuid() calls as a hook numbers them, across fork and exec. */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *who) {
  char line[64];
  int n = sprintf(line, "%s %ld\n", who, syscall(SYS_getuid));
  write(1, line, n);
}

int main(int argc, char **argv) {
  if (argc > 1) {
    say("execed");
    say("execed");
    return 7;
  }
  say("parent");
  int pid = fork(), status;
  if (pid == 0) {
    say("child");
    say("child");
    _exit(0);
  }
  waitpid(pid, &status, 0);
  say("parent");
  if ((pid = vfork()) == 0) {
    execl(argv[0], argv[0], "again", (char *)0);
    _exit(9);
  }
  waitpid(pid, &status, 0);
  char line[16];
  write(1, line, sprintf(line, "%d\n", WEXITSTATUS(status)));
  return 0;
}
