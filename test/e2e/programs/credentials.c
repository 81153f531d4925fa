// What execve makes of user, groups and capabilities that the process has changed. As root it says more.
#define _GNU_SOURCE
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int caps(unsigned long effective, unsigned long permitted, unsigned long inheritable) {
  struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct d[2] = {{effective, permitted, inheritable}, {effective >> 32, permitted >> 32, inheritable >> 32}};
  return syscall(SYS_capset, &h, d);
}
static unsigned long all;
static void keep(void) { prctl(PR_SET_KEEPCAPS, 1), setresgid(65534, 65534, 65534), setresuid(65534, 65534, 65534), caps(all, all, 0); }
static void plain(void) { setresuid(65534, 65534, 65534); }
static void real_root(void) { setresuid(0, 65534, 65534); }
static void effective_root(void) { setresuid(65534, 0, 0); }
static void saved(void) { setresuid(-1, 65534, 0), setresgid(-1, 65533, 0); }
static void ambient(void) {
  prctl(PR_SET_KEEPCAPS, 1), setresuid(65534, 65534, 65534);
  caps(1 << CAP_KILL, 1 << CAP_KILL, 1 << CAP_KILL);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0);
}
static void bounded(void) { prctl(PR_CAPBSET_DROP, CAP_SYS_TIME), prctl(PR_CAPBSET_DROP, CAP_MKNOD); }
static void no_root(void) { prctl(PR_SET_SECUREBITS, 1 | 4); }
static void nothing(void) {}

static void show(const char *path) {
  char line[256];
  FILE *f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f))
    if (!strncmp(line, "Cap", 3) || !strncmp(line, "Uid", 3) || !strncmp(line, "Gid", 3)) printf("  %s", line);
  if (f) fclose(f);
}

int main(int argc, char **argv) {
  if (argc > 1) {
    show("/proc/self/status");
    printf("  keep %d dumpable %d shadow %d fd %d\n", prctl(PR_GET_KEEPCAPS), prctl(PR_GET_DUMPABLE), access("/etc/shadow", R_OK), access("/proc/self/fd", R_OK));
    return 0;
  }
  FILE *f = fopen("/proc/self/status", "r");
  char line[256];
  while (fgets(line, sizeof line, f)) sscanf(line, "CapPrm: %lx", &all);
  void (*changes[])(void) = {nothing, keep, plain, real_root, effective_root, saved, ambient, bounded, no_root};
  const char *names[] = {"nothing", "keep", "plain", "real root", "effective root", "saved", "ambient", "bounded", "no root"};
  for (int k = 0; k < 9; k++) {
    printf("%s\n", names[k]);
    fflush(stdout);
    if (fork() == 0) {
      changes[k]();
      execl("/proc/self/exe", "credentials", "show", (char *)0);
      _exit(1);
    }
    wait(0);
  }
}
