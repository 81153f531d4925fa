/* Threads, as a program sees them. `threads NAME…` runs those cases; each prints lines that do not depend on timing. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

typedef void *(*body)(void *);
extern char **environ;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static atomic_int stage;
static __thread long own;

static pthread_t start(body f, void *a) {
  pthread_t t;
  int e = pthread_create(&t, 0, f, a);
  if (e) { printf("pthread_create: %s\n", strerror(e)); exit(1); }
  return t;
}
static long join(pthread_t t) { void *r; pthread_join(t, &r); return (long)r; }
static void await(int s) { while (stage < s) usleep(500); }
static int tid(void) { return syscall(SYS_gettid); }
static int listed(void) {
  int n = 0; struct dirent *e; DIR *d = opendir("/proc/self/task");
  while ((e = readdir(d))) if (e->d_name[0] != '.') n++;
  closedir(d);
  return n;
}

/* ---- locks ---- */
static long count;
static void *add(void *a) { for (int i = 0; i < 2000; i++) { pthread_mutex_lock(&mutex); count++; own++; pthread_mutex_unlock(&mutex); } return (void *)(own + (long)a); }
static int turn;
static void *pingpong(void *a) {
  for (int i = 0; i < 300; i++) {
    pthread_mutex_lock(&mutex);
    while (turn != (long)a) pthread_cond_wait(&changed, &mutex);
    turn = !turn; count++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
  }
  return 0;
}
static pthread_barrier_t barrier;
static atomic_int firsts;
static void *meet(void *a) { for (int i = 0; i < 50; i++) if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) firsts++; return 0; }
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static void *readwrite(void *a) { for (int i = 0; i < 300; i++) { if (i % 3) { pthread_rwlock_rdlock(&rw); (void)count; } else { pthread_rwlock_wrlock(&rw); count++; } pthread_rwlock_unlock(&rw); } return 0; }
static sem_t sem;
static void *post(void *a) { for (int i = 0; i < 100; i++) sem_post(&sem); return 0; }
static void locks(void) {
  pthread_t t[4]; long sum = 0;
  for (long i = 0; i < 4; i++) t[i] = start(add, (void *)i);
  for (int i = 0; i < 4; i++) sum += join(t[i]);
  printf("mutex %ld, thread-local %ld\n", count, sum);
  count = 0; t[0] = start(pingpong, (void *)0); t[1] = start(pingpong, (void *)1); join(t[0]); join(t[1]);
  printf("condition %ld\n", count);
  pthread_barrier_init(&barrier, 0, 3);
  for (int i = 0; i < 3; i++) t[i] = start(meet, 0);
  for (int i = 0; i < 3; i++) join(t[i]);
  printf("barrier %d\n", (int)firsts);
  count = 0;
  for (int i = 0; i < 3; i++) t[i] = start(readwrite, 0);
  for (int i = 0; i < 3; i++) join(t[i]);
  printf("rwlock %ld\n", count);
  sem_init(&sem, 0, 0); t[0] = start(post, 0);
  for (int i = 0; i < 100; i++) sem_wait(&sem);
  join(t[0]); int left; sem_getvalue(&sem, &left);
  struct timespec soon; clock_gettime(CLOCK_REALTIME, &soon); soon.tv_nsec += 20000000; if (soon.tv_nsec >= 1000000000) { soon.tv_sec++; soon.tv_nsec -= 1000000000; }
  printf("semaphore %d, %s\n", left, sem_timedwait(&sem, &soon) < 0 ? strerror(errno) : "0");
  pthread_mutex_lock(&mutex);
  printf("timed wait: %s\n", strerror(pthread_cond_timedwait(&changed, &mutex, &soon)));
  pthread_mutex_unlock(&mutex);
}

/* ---- robust and priority-inheriting mutexes ---- */
static pthread_mutex_t kept[3];
static void *die_holding(void *a) { for (int i = 0; i < 3; i++) pthread_mutex_lock(&kept[i]); return 0; }
static void *wait_for(void *a) { stage = 1; int e = pthread_mutex_lock(a); if (e == EOWNERDEAD) pthread_mutex_consistent(a); pthread_mutex_unlock(a); return (void *)(long)e; }
static void *hold_until(void *a) { pthread_mutex_lock(a); stage = 1; await(2); usleep(20000); return 0; }
static void robust(void) {
  pthread_mutexattr_t at; pthread_mutexattr_init(&at); pthread_mutexattr_setrobust(&at, PTHREAD_MUTEX_ROBUST);
  for (int i = 0; i < 3; i++) { if (i == 2) pthread_mutexattr_setprotocol(&at, PTHREAD_PRIO_INHERIT); pthread_mutex_init(&kept[i], &at); }
  join(start(die_holding, 0));
  for (int i = 0; i < 3; i++) {
    int e = pthread_mutex_lock(&kept[i]);
    printf("owner gone: %s", strerror(e));
    if (e == EOWNERDEAD) pthread_mutex_consistent(&kept[i]);
    printf(", unlock %d", pthread_mutex_unlock(&kept[i])); printf(", lock again %d\n", pthread_mutex_lock(&kept[i]));
    pthread_mutex_unlock(&kept[i]);
  }
  pthread_t h = start(hold_until, &kept[0]); await(1); stage = 0;
  pthread_t w = start(wait_for, &kept[0]); await(1); stage = 2; join(h);
  printf("waiter gets: %s\n", strerror(join(w)));
  pthread_mutex_t pi; pthread_mutexattr_setrobust(&at, PTHREAD_MUTEX_STALLED); pthread_mutex_init(&pi, &at);
  count = 0; mutex = pi; pthread_t t[3];
  for (long i = 0; i < 3; i++) t[i] = start(add, 0);
  for (int i = 0; i < 3; i++) join(t[i]);
  printf("inheriting %ld\n", count);
}

/* ---- signals ---- */
static atomic_int got[65]; static atomic_int got_in;
static void note(int s) { got[s]++; got_in = tid(); own++; }
static void *until_signal(void *a) { *(int *)a = tid(); stage = 1; while (!own) usleep(500); return 0; }
static void *open_to(void *a) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR2); pthread_sigmask(SIG_UNBLOCK, &s, 0); *(int *)a = tid(); stage = 1; while (!own) usleep(500); return 0; }
static void *wait_signal(void *a) { sigset_t s; int n; sigemptyset(&s); sigaddset(&s, SIGRTMIN); stage = 1; sigwait(&s, &n); return (void *)(long)(n - SIGRTMIN); }
static void *in_read(void *a) { char c; stage = 1; long n = read(*(int *)a, &c, 1); return (void *)(n < 0 ? (long)-errno : n); }
static void *run_free(void *a) { volatile int *stop = a; while (!*stop) ; return (void *)own; }
static void *altstack(void *a) { stack_t s; sigaltstack(0, &s); return (void *)(long)s.ss_flags; }
static void by_timer(union sigval v) { stage = v.sival_int; }
static void signals(void) {
  struct sigaction sa = { .sa_handler = note }; int id, p[2]; void *r;
  for (int s = 1; s < 65; s++) if (s != SIGKILL && s != SIGSTOP && (s < 32 || s > 33)) if (s == SIGUSR1 || s == SIGUSR2 || s == SIGRTMIN) sigaction(s, &sa, 0);
  pthread_t t = start(until_signal, &id); await(1); pthread_kill(t, SIGUSR1); join(t);
  printf("to a thread: %d, there %d\n", (int)got[SIGUSR1], got_in == id);
  printf("no such thread: %d\n", syscall(SYS_tgkill, getpid(), id, 0) < 0 && errno == ESRCH);
  sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR2); pthread_sigmask(SIG_BLOCK, &s, 0);
  stage = 0; t = start(open_to, &id); await(1); kill(getpid(), SIGUSR2); join(t);
  printf("to the process: %d, where it is open %d\n", (int)got[SIGUSR2], got_in == id);
  sigemptyset(&s); sigaddset(&s, SIGRTMIN); pthread_sigmask(SIG_BLOCK, &s, 0);
  stage = 0; t = start(wait_signal, 0); await(1); usleep(2000); kill(getpid(), SIGRTMIN); printf("sigwait: SIGRTMIN+%ld\n", join(t));
  pipe(p); stage = 0; own = 0; t = start(in_read, &p[0]); await(1);
  do { pthread_kill(t, SIGUSR1); usleep(2000); } while (pthread_tryjoin_np(t, &r)); printf("read broken: %s\n", strerror(-(long)r));
  int stop = 0; t = start(run_free, &stop); count = got[SIGUSR1]; pthread_kill(t, SIGUSR1); while (got[SIGUSR1] == count) usleep(500); stop = 1; printf("in a loop: %ld\n", join(t));
  char room[65536]; stack_t alt = { .ss_sp = room, .ss_size = sizeof room }; sigaltstack(&alt, 0);
  printf("new thread's alternate stack: %ld\n", join(start(altstack, 0)));
  stage = 0; t = start(in_read, &p[0]); usleep(10000); pthread_cancel(t); pthread_join(t, &r); printf("cancelled: %d\n", r == PTHREAD_CANCELED);
  timer_t timer; struct sigevent ev = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = by_timer, .sigev_value.sival_int = 7 };
  struct itimerspec when = { .it_value.tv_nsec = 1000000 }; stage = 0;
  timer_create(CLOCK_MONOTONIC, &ev, &timer); timer_settime(timer, 0, &when, 0); await(7); printf("timer thread: %d\n", (int)stage);
  timer_delete(timer);
}

/* ---- identity ---- */
static void *who(void *a) { return (void *)(long)(getpid() != *(int *)a || tid() == getpid() || getppid() != ((int *)a)[1]); }
static void *named(void *a) { stage = 1; await(2); char n[16]; pthread_getname_np(pthread_self(), n, 16); return (void *)(long)strcmp(n, "other"); }
static void *nice_one(void *a) { setpriority(PRIO_PROCESS, tid(), 5); return (void *)(long)getpriority(PRIO_PROCESS, 0); }
static void *nice_now(void *a) { return (void *)(long)getpriority(PRIO_PROCESS, 0); }
static void *narrow(void *a) { cpu_set_t one; CPU_ZERO(&one); CPU_SET(0, &one); sched_setaffinity(0, sizeof one, &one); return (void *)(long)sched_getcpu(); }
static pthread_key_t key; static atomic_int destroyed;
static void destroy(void *v) { destroyed += (int)(long)v; }
static void *with_key(void *a) { pthread_setspecific(key, a); return 0; }
static int c11(void *a) { return 40 + *(int *)a; }
static void identity(void) {
  int ids[2] = { getpid(), getppid() }, two = 2, r; char n[16], path[64]; thrd_t c; cpu_set_t before, after;
  printf("ids %ld\n", join(start(who, ids)));
  pthread_t t = start(named, 0); await(1); pthread_setname_np(t, "other"); stage = 2; printf("named by another: %ld\n", join(t));
  pthread_getname_np(pthread_self(), n, 16); printf("own name %s, threads %d\n", n, listed());
  printf("nice %ld and %d\n", join(start(nice_one, 0)), getpriority(PRIO_PROCESS, 0));
  sched_getaffinity(0, sizeof before, &before); printf("cpu %ld\n", join(start(narrow, 0))); sched_getaffinity(0, sizeof after, &after);
  printf("own cpus the same: %d; a later thread's nice: %ld\n", CPU_EQUAL(&before, &after), join(start(nice_now, 0)));
  pthread_key_create(&key, destroy); join(start(with_key, (void *)5)); printf("destructor %d\n", (int)destroyed);
  thrd_create(&c, c11, &two); thrd_join(c, &r); printf("C11 %d\n", r);
  sprintf(path, "/proc/%d/task/%d/status", getpid(), getpid()); printf("status of the main thread: %d\n", access(path, R_OK));
}

/* ---- memory and code ---- */
static void *maps(void *a) {
  for (int i = 0; i < 100; i++) {
    char *p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return (void *)1;
    for (int k = 0; k < 16; k++) { if (p[k * 4096]) return (void *)2; p[k * 4096] = (long)a; }
    sched_yield();
    for (int k = 0; k < 16; k++) if (p[k * 4096] != (char)(long)a) return (void *)3;
    if (munmap(p, 65536)) return (void *)4;
  }
  return 0;
}
static unsigned char *code; static atomic_int version, seen;
static void *calls(void *a) {
  for (int v = 1; v <= 20; v++) { while (version < v) ; if (((int (*)(void))code)() != v) return (void *)(long)v; seen++; }
  return 0;
}
static void *allocates(void *a) { void *p[64] = { 0 }; unsigned s = (long)a; for (int i = 0; i < 5000; i++) { s = s * 1103515245 + 12345; int k = s >> 16 & 63; free(p[k]); p[k] = malloc(s >> 8 & 4095); if (p[k]) memset(p[k], k, 1); } for (int k = 0; k < 64; k++) { if (p[k] && malloc_usable_size(p[k]) > 0 && *(char *)p[k] != k) return (void *)1; free(p[k]); } return 0; }
static void memory(void) {
  pthread_t t[4]; long bad = 0;
  for (long i = 0; i < 4; i++) t[i] = start(maps, (void *)(i + 1));
  for (int i = 0; i < 4; i++) bad += join(t[i]);
  for (long i = 0; i < 4; i++) t[i] = start(allocates, (void *)(i + 1));
  for (int i = 0; i < 4; i++) bad += join(t[i]);
  printf("mappings %ld\n", bad);
  code = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  t[0] = start(calls, 0); t[1] = start(calls, 0);
  for (int v = 1; v <= 20; v++) {
    mprotect(code, 4096, PROT_READ | PROT_WRITE);
    memcpy(code, (unsigned char[]){ 0xb8, v, 0, 0, 0, 0xc3 }, 6); /* mov eax, v; ret */
    mprotect(code, 4096, PROT_READ | PROT_EXEC);
    version = v; while (seen < 2 * v) usleep(100);
  }
  printf("code rewritten %ld %ld\n", join(t[0]), join(t[1]));
}

/* ---- processes ---- */
static void *forks(void *a) { pid_t p = fork(); if (p == 0) _exit(tid() == getpid() ? listed() : 9); int s; waitpid(p, &s, 0); return (void *)(long)WEXITSTATUS(s); }
static void *spawns(void *a) { pid_t p; char *argv[] = { "sh", "-c", "exit 6", 0 }; if (posix_spawn(&p, "/bin/sh", 0, 0, argv, environ)) return (void *)1; int s; waitpid(p, &s, 0); return (void *)(long)(posix_spawn(&p, "/nowhere", 0, 0, argv, environ) == ENOENT ? WEXITSTATUS(s) : 2); }
static void *busy(void *a) { volatile int *stop = a; unsigned long n = 0; while (!*stop) n += n * 3 + 1; return (void *)(long)(n == 1); }
static void processes(void) {
  int stop = 0, s; pthread_t b = start(busy, &stop), in; int p[2]; pipe(p); in = start(in_read, &p[0]);
  printf("fork in a thread %ld, spawn %ld\n", join(start(forks, 0)), join(start(spawns, 0)));
  pid_t child = fork();
  if (child == 0) { long r = join(start(forks, 0)); _exit(r == 1 && listed() == 1 ? 7 : 8); }
  waitpid(child, &s, 0); printf("thread in a forked child %d\n", WEXITSTATUS(s));
  pthread_t t[3]; for (int i = 0; i < 3; i++) t[i] = start(forks, 0); long sum = 0; for (int i = 0; i < 3; i++) sum += join(t[i]);
  printf("three at once %ld\n", sum);
  stop = 1; join(b); write(p[1], "x", 1); printf("reader %ld\n", join(in));
}

/* ---- many ---- */
static atomic_int ran;
static void *brief(void *a) { ran++; return 0; }
static void many(void) {
  for (int i = 0; i < 1000; i++) join(start(brief, 0));
  pthread_attr_t d; pthread_attr_init(&d); pthread_attr_setdetachstate(&d, PTHREAD_CREATE_DETACHED);
  for (int i = 0; i < 20; i++) { pthread_t t; while (pthread_create(&t, &d, brief, 0)) usleep(1000); }
  while (ran < 1020) usleep(500);
  for (int k = 0; listed() > 1 && k < 1000; k++) usleep(1000);
  printf("threads that ran %d, left %d\n", (int)ran, listed());
}

/* ---- ends ---- */
static void *sleeps(void *a) { for (;;) pause(); return 0; }
static void *execs(void *a) { execl("/bin/sh", "sh", "-c", "test $PPID = $0 -a $$ = $1 && echo executed, alone; while read name n; do test $name = Threads: && echo $n; done </proc/self/status; true", ((char **)a)[0], ((char **)a)[1], (char *)0); return 0; }
static void *exits(void *a) { await(1); exit(3); return 0; }
static void *last(void *a) { pthread_join(*(pthread_t *)a, 0); printf("main has ended\n"); fflush(stdout); return 0; }
static void *wild(void *a) { *(volatile int *)a = 1; return 0; }

int main(int argc, char **argv) {
  setvbuf(stdout, 0, _IOLBF, 0);
  for (int i = 1; i < argc; i++) {
    char *c = argv[i];
    stage = 0; count = 0;
    if (!strcmp(c, "locks")) locks();
    else if (!strcmp(c, "robust")) robust();
    else if (!strcmp(c, "signals")) signals();
    else if (!strcmp(c, "identity")) identity();
    else if (!strcmp(c, "memory")) memory();
    else if (!strcmp(c, "processes")) processes();
    else if (!strcmp(c, "many")) many();
    else if (!strcmp(c, "exec")) { char a[2][16]; char *v[] = { a[0], a[1] }; sprintf(a[0], "%d", getppid()); sprintf(a[1], "%d", getpid()); start(sleeps, 0); start(execs, v); for (;;) pause(); }
    else if (!strcmp(c, "exec-main")) { char a[2][16]; char *v[] = { a[0], a[1] }; sprintf(a[0], "%d", getppid()); sprintf(a[1], "%d", getpid()); int stop = 0; start(sleeps, 0); start(busy, &stop); usleep(5000); execs(v); }
    else if (!strcmp(c, "exit")) { start(sleeps, 0); start(exits, 0); stage = 1; for (;;) pause(); }
    else if (!strcmp(c, "main-ends")) { static pthread_t me; me = pthread_self(); start(last, &me); pthread_exit(0); }
    else if (!strcmp(c, "fatal")) { start(sleeps, 0); start(wild, (void *)16); for (;;) pause(); }
    else if (!strcmp(c, "killed")) { start(sleeps, 0); pthread_t t = start(sleeps, 0); usleep(5000); pthread_kill(t, SIGTERM); for (;;) pause(); }
    else { printf("no case %s\n", c); return 2; }
  }
  return 0;
}
