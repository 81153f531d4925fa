// getppid(2) is refused by a filter of the program's own; getuid(2) is not.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  struct sock_filter code[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_getppid},
                               {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | 77}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  struct sock_fprog program = {4, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return 1;
  for (int k = 0; k < 2; k++) {
    errno = 0;
    long result = syscall(k == 0 ? SYS_getppid : SYS_getuid);
    printf("%s %ld %d\n", k == 0 ? "getppid" : "getuid", result, errno);
  }
}
