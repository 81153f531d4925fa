/* Sockets, descriptors in messages, readiness, limits, shared memory, and the errors of calls gone wrong. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/signalfd.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <signal.h>
#include <poll.h>
#include <mqueue.h>
#include <netinet/in.h>
#define P(x) printf("%s = %ld %s\n", #x, (long)(x), errno?strerror(errno):""), errno=0
int main(void) {
  int sv[2];
  P(socketpair(AF_UNIX,SOCK_STREAM,0,sv));
  printf("%d %d\n",sv[0],sv[1]);
  struct msghdr m={0};
  struct iovec v={"abc",3};
  char c[64]={0};
  m.msg_iov=&v;
  m.msg_iovlen=1;
  m.msg_control=c;
  m.msg_controllen=CMSG_SPACE(8);
  struct cmsghdr*h=CMSG_FIRSTHDR(&m);
  h->cmsg_level=SOL_SOCKET;
  h->cmsg_type=SCM_RIGHTS;
  h->cmsg_len=CMSG_LEN(8);
  int*f=(int*)CMSG_DATA(h);
  f[0]=1;
  f[1]=sv[0];
  P(sendmsg(sv[0],&m,0));
  char b[16];
  v.iov_base=b;
  v.iov_len=16;
  char c2[128];
  m.msg_control=c2;
  m.msg_controllen=128;
  P(recvmsg(sv[1],&m,0));
  h=CMSG_FIRSTHDR(&m);
  f=(int*)CMSG_DATA(h);
  printf("ctl %zu %zu fds %d %d flags %x\n",m.msg_controllen,h->cmsg_len,f[0],f[1],m.msg_flags);
  int on=1;
  P(setsockopt(sv[1],SOL_SOCKET,SO_PASSCRED,&on,4));
  v.iov_base="x";
  v.iov_len=1;
  m.msg_control=0;
  m.msg_controllen=0;
  P(sendmsg(sv[0],&m,0));
  m.msg_control=c2;
  m.msg_controllen=20;
  v.iov_base=b;
  P(recvmsg(sv[1],&m,0));
  printf("ctl %zu flags %x\n",m.msg_controllen,m.msg_flags);
  int ep=epoll_create1(0), tf=timerfd_create(CLOCK_MONOTONIC,0), ef=eventfd(1,0);
  struct itimerspec it={{0,0},{0,1000000}};
  P(timerfd_settime(tf,0,&it,0));
  struct epoll_event e={EPOLLIN,{.u64=0x1122334455667788}};
  P(epoll_ctl(ep,EPOLL_CTL_ADD,tf,&e));
  e.data.u64=7;
  P(epoll_ctl(ep,EPOLL_CTL_ADD,ef,&e));
  P(epoll_ctl(ep,EPOLL_CTL_ADD,999,&e));
  struct epoll_event o[4];
  usleep(5000);
  P(epoll_wait(ep,o,4,1000));
  printf("%llx %llx\n",(long long)(o[0].data.u64+o[1].data.u64),(long long)o[0].events);
  fd_set r;
  FD_ZERO(&r);
  FD_SET(ef,&r);
  FD_SET(sv[1],&r);
  struct timeval tv={1,0};
  P(select(20,&r,0,0,&tv));
  printf("%d %d\n",!!FD_ISSET(ef,&r),!!FD_ISSET(sv[1],&r));
  FD_SET(19,&r);
  P(select(20,&r,0,0,&tv));
  sigset_t s;
  sigemptyset(&s);
  sigaddset(&s,SIGUSR1);
  sigaddset(&s,SIGCHLD);
  sigprocmask(SIG_BLOCK,&s,0);
  int sf=signalfd(-1,&s,0);
  raise(SIGUSR1);
  struct signalfd_siginfo si;
  P(read(sf,&si,128));
  printf("%d %d\n",si.ssi_signo,si.ssi_code);
  struct rlimit rl;
  P(getrlimit(RLIMIT_NOFILE,&rl));
  rl.rlim_cur=20;
  P(setrlimit(RLIMIT_NOFILE,&rl));
  int n=0;
  while(dup(1)>=0)n++;
  printf("dups %d %s\n",n,strerror(errno));
  errno=0;
  P(shmget(IPC_PRIVATE,100,0600)>=0);
  int id=shmget(IPC_PRIVATE,8192,0600);
  char*q=shmat(id,0,0);
  q[5000]=3;
  char*q2=shmat(id,0,SHM_RDONLY);
  printf("shm %d\n",q2[5000]);
  P(shmdt(q));
  P(shmdt(q2));
  P(shmctl(id,IPC_RMID,0));
  char nm[16];
  P(prctl(PR_SET_NAME,"abcdefghijklmnopqrst"));
  P(prctl(PR_GET_NAME,nm));
  puts(nm);
  P(munmap((void*)1,1));
  P(mremap((void*)0x7000000,4096,8192,0)==MAP_FAILED);
  P(madvise((void*)0x7000000,4096,MADV_WILLNEED));
  P(mprotect((void*)0x7000000,4096,1));
  unsigned char vec;
  P(mincore(nm-((long)nm&4095),4096,&vec));
  P(msync((void*)0x7000000,4096,MS_SYNC));
  P(brk(sbrk(0)));
  struct timespec ts={0,-1};
  P(nanosleep(&ts,0));
  P(clock_gettime(99,&ts));
  P(waitpid(-1,0,0));
  P(kill(999999,0));
  P(setpgid(0,0));
  P(getpriority(PRIO_PROCESS,0));
  P(sigaltstack((void*)1,0));
  struct sockaddr_un su={AF_UNIX,"\0lunagate-x"};
  int l=socket(AF_UNIX,SOCK_STREAM,0);
  P(l);
  return 0;
}
