/*
** Linux: memfd, futex, eventfd, pidfd, O_PATH.
*/
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os.h"
#include "suitkaise.h"

#define NS 1000000000LL
/* 0 to 2 are the host's even when it has closed them. */
static int first_fd = 3;

#define FOR_EVER (INT32_MAX * NS)  /* what every time_t can hold */

static struct timespec to_timespec (int64_t ns) {
  struct timespec t;
  if (ns < 0) ns = 0;
  if (ns > FOR_EVER) ns = FOR_EVER;
  t.tv_sec = (time_t)(ns / NS);
  t.tv_nsec = (long)(ns % NS);
  return t;
}

/* Move a fresh descriptor above those that are not ours to use. */
static int settle (int fd, int *out) {
  int moved;
  if (fd < 0) return SKE_SYS;
  if (fd < first_fd) {
    moved = fcntl(fd, F_DUPFD_CLOEXEC, first_fd);
    close(fd);
    if (moved < 0) return SKE_SYS;
    fd = moved;
  }
  *out = fd;
  return 0;
}

/* ---- memory ---- */

int os_memory_create (const char *label, int *out) {
  int fd = -1;
  int rc = settle(memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING), &fd);
  if (rc) return rc;
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)) {
    close(fd);
    return SKE_SYS;
  }
  *out = fd;
  return 0;
}

/* Over the host's limit on file sizes (EFBIG) the kernel also sends a signal
** that would end the process; the error says enough. */
static void forget_file_size_signal (const sigset_t *blocked) {
  struct timespec now = { 0, 0 };
  sigset_t set;
  if (sigismember(blocked, SIGXFSZ)) return;  /* the host takes care of it */
  sigemptyset(&set);
  sigaddset(&set, SIGXFSZ);
  sigtimedwait(&set, NULL, &now);
}

/* `from` is below 0 when no page is to be made real. */
static int change_size (int fd, off_t from, off_t to) {
  sigset_t every, before;
  int rc, err;
  /* a timer's signals could interrupt a long growth again and again */
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  rc = from < 0 ? ftruncate(fd, to) : fallocate(fd, 0, from, to - from);
  err = errno;
  if (rc && err == EFBIG) forget_file_size_signal(&before);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!rc) return 0;
  errno = err;
  return err == ENOSPC || err == ENOMEM ? SKE_NOMEM : SKE_SYS;
}

int os_memory_grow (int fd, uint64_t from, uint64_t to) {
  /* fallocate, not ftruncate: a full system says so here and not with
  ** SIGBUS at the first store */
  return change_size(fd, (off_t)from, (off_t)to);
}

int os_memory_stretch (int fd, uint64_t to) {
  return change_size(fd, -1, (off_t)to);
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* The whole pages that [*at, *at + *n) touches. */
static void to_pages (void **at, size_t *n) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)*at;
  size_t before = (size_t)(from & (page - 1));
  *at = (uint8_t *)*at - before;
  *n = (*n + before + page - 1) & ~(size_t)(page - 1);
}

int os_memory_populate (void *at, size_t n) {
  int rc;
  to_pages(&at, &n);
  do {
    rc = madvise(at, n, MADV_POPULATE_WRITE);
  } while (rc && (errno == EINTR || errno == EAGAIN));
  /* EINVAL: an older kernel; then the first store makes the page */
  return !rc || errno == EINVAL ? 0 : SKE_NOMEM;
}

void os_memory_discard (void *at, size_t n) {
  to_pages(&at, &n);
  if (madvise(at, n, MADV_REMOVE)) return;  /* they stay: no harm */
}

void os_memory_inherit (void *at, size_t n, int yes) {
  if (madvise(at, n, yes ? MADV_DOFORK : MADV_DONTFORK)) return;  /* it has */
}

int os_memory_protect (void *at, size_t n, int writable) {
  int how = PROT_READ | (writable ? PROT_WRITE : 0);
  return mprotect(at, n, how) ? SKE_SYS : 0;
}

int os_fork_mark (_Atomic uint64_t **out) {
  size_t n = (size_t)sysconf(_SC_PAGESIZE);
  void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);
  if (p == MAP_FAILED) return SKE_SYS;
  if (madvise(p, n, MADV_WIPEONFORK)) {
    munmap(p, n);
    return SKE_SYS;
  }
  *out = p;
  return 0;
}

void os_random (void *buf, size_t n) {
  uint8_t *p = buf;
  while (n > 0) {
    ssize_t got = getrandom(p, n, 0);
    if (got < 0) continue;  /* only EINTR: small reads cannot fail */
    p += got;
    n -= (size_t)got;
  }
}

/* ---- locks ---- */

static struct flock byte_range (short type, uint64_t at, uint64_t n) {
  struct flock f;
  memset(&f, 0, sizeof f);
  f.l_type = type;
  f.l_whence = SEEK_SET;
  f.l_start = (off_t)at;
  f.l_len = (off_t)n;
  return f;
}

static int lock_byte (int fd, int how, short type, uint64_t at) {
  struct flock f = byte_range(type, at, 1);
  int rc;
  do {
    rc = fcntl(fd, how, &f);
  } while (rc && errno == EINTR);
  if (!rc) return 0;
  return errno == EAGAIN || errno == EACCES ? SKE_BUSY : SKE_SYS;
}

int os_lock (int fd, uint64_t at) {
  return lock_byte(fd, F_SETLK, F_WRLCK, at);
}

int os_lock_shared (int fd, uint64_t at) {
  return lock_byte(fd, F_SETLK, F_RDLCK, at);
}

int os_lock_wait (int fd, uint64_t at) {
  return lock_byte(fd, F_SETLKW, F_WRLCK, at);
}

void os_unlock (int fd, uint64_t at) {
  struct flock f = byte_range(F_UNLCK, at, 1);
  fcntl(fd, F_SETLK, &f);
}

pid_t os_lock_holder (int fd, uint64_t at, uint64_t n) {
  struct flock f = byte_range(F_WRLCK, at, n);
  if (fcntl(fd, F_GETLK, &f) || f.l_type == F_UNLCK) return 0;
  return f.l_pid > 0 ? f.l_pid : -1;  /* 0: of another pid namespace */
}

/* ---- files ---- */

static int file_error (void) {
  switch (errno) {
    case ENOENT: case ESRCH: return SKE_ABSENT;
    case EACCES: case EPERM: case ENOTDIR: case ELOOP: return SKE_FOREIGN;
    case EEXIST: return SKE_BUSY;
    case ENOSPC: return SKE_NOMEM;
    default: return SKE_SYS;
  }
}

static int settle_file (int fd, int *out) {
  return fd < 0 ? file_error() : settle(fd, out);
}

int os_file_look (int fd, struct os_file *out) {
  struct stat st;
  if (fstat(fd, &st)) return SKE_SYS;
  out->dev = st.st_dev;
  out->ino = st.st_ino;
  out->size = (uint64_t)st.st_size;
  out->links = (uint64_t)st.st_nlink;
  out->kind = S_ISREG(st.st_mode) ? OS_REGULAR
            : S_ISDIR(st.st_mode) ? OS_FOLDER : OS_OTHER;
  out->is_ours = st.st_uid == geteuid();
  out->is_private = !(st.st_mode & (S_IRWXG | S_IRWXO));
  return 0;
}

int os_file_peek (int folder, const char *name, int *peek) {
  return settle_file(openat(folder < 0 ? AT_FDCWD : folder, name,
                            O_PATH | O_NOFOLLOW | O_CLOEXEC), peek);
}

int os_file_peek_at (pid_t pid, int fd, int *peek) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)pid, fd);
  return settle_file(open(path, O_PATH | O_CLOEXEC), peek);
}

int os_file_is_memory (int peek) {
  char link[64], path[PATH_MAX];
  ssize_t n;
  snprintf(link, sizeof link, "/proc/self/fd/%d", peek);
  n = readlink(link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  return !strncmp(path, "/memfd:", 7) || strstr(path, "/suitkaise");
}

int os_file_open (int peek, int *fd) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", peek);
  return settle_file(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK), fd);
}

int os_file_create (int folder, const char *name, int *fd) {
  int how = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  return settle_file(openat(folder, name, how, 0600), fd);
}

int os_file_rename (int folder, const char *from, const char *to) {
  enum { NOREPLACE = 1 };
  return syscall(SYS_renameat2, folder, from, folder, to, NOREPLACE)
         ? file_error() : 0;
}

int os_file_remove (int folder, const char *name) {
  return unlinkat(folder, name, 0) ? file_error() : 0;
}

int os_folder_open (const char *path, int make, int *fd) {
  if (make && mkdir(path, 0700) && errno != EEXIST) return file_error();
  return settle_file(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
                                O_CLOEXEC), fd);
}

int os_folder_each (int folder, int (*each) (void *arg, const char *name),
                    void *arg) {
  int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *e;
  if (!d) {
    rc = file_error();
    if (fd >= 0) close(fd);
    return rc;
  }
  while (!rc && (e = readdir(d))) rc = each(arg, e->d_name);
  closedir(d);
  return rc;
}

int os_process_each (pid_t pid, int (*each) (void *arg, const char *fd),
                     void *arg) {
  char path[64];
  int fd = -1, rc;
  snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
  if ((rc = os_folder_open(path, 0, &fd))) return rc;
  rc = os_folder_each(fd, each, arg);
  close(fd);
  return rc;
}

int os_named_folder (char *path, size_t room) {
  const char *run = secure_getenv("XDG_RUNTIME_DIR");
  struct stat st;
  int n;
  /* another user's is what `sudo -E` leaves behind */
  if (run && run[0] == '/' && !stat(run, &st) && st.st_uid == geteuid())
    n = snprintf(path, room, "%s/suitkaise", run);
  else
    n = snprintf(path, room, "/dev/shm/suitkaise-%lu",
                 (unsigned long)geteuid());
  return n > 0 && (size_t)n < room ? 0 : SKE_INVAL;
}

void os_boot_id (uint8_t id[16]) {
  static const char hex[] = "0123456789abcdef";
  FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
  int c, n = 0;
  memset(id, 0, 16);
  if (!f) return;
  while (n < 32 && (c = getc(f)) != EOF) {
    const char *digit = c ? strchr(hex, c) : NULL;
    if (!digit) continue;  /* a minus */
    id[n / 2] = (uint8_t)(id[n / 2] << 4 | (digit - hex));
    n++;
  }
  fclose(f);
}

/* ---- a process that goes on without its parent's descriptors ---- */

static int higher (void *arg, const char *name) {
  int fd = atoi(name), *most = arg;
  if (fd > *most) *most = fd;
  return 0;
}

/* Both ends included. */
static void close_range_of (int from, int to) {
  if (from > to) return;
#ifdef SYS_close_range
  if (!syscall(SYS_close_range, from, to, 0)) return;
#endif
  for (; from <= to; from++) close(from);
}

static int by_number (const void *a, const void *b) {
  return *(const int *)a - *(const int *)b;
}

void os_close_others (int *keep, size_t n) {
  enum { SPARE = 64 };
  struct rlimit limit;
  int most = 2, from = 3, null;
  size_t i;
  if (os_process_each(getpid(), higher, &most)) most = 1023;
  qsort(keep, n, sizeof *keep, by_number);
  for (i = 0; i < n; i++) {
    if (keep[i] < from) continue;
    close_range_of(from, keep[i] - 1);
    from = keep[i] + 1;
  }
  close_range_of(from, most);
  /* somebody may still write to a number that was a file: let it fail */
  if (most >= first_fd && !getrlimit(RLIMIT_NOFILE, &limit) &&
      limit.rlim_cur > (rlim_t)most + SPARE)
    first_fd = most + 1;
  null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0) return;
  dup2(null, 0);
  if (null != 0) close(null);
}

/* ---- sleeping ---- */

/* The call that takes the C library's timespec: 32-bit systems may have two. */
static long futex_call (void) {
#ifdef SYS_futex_time64
  if (sizeof(time_t) > sizeof(long)) return SYS_futex_time64;
#endif
  return SYS_futex;
}

int os_park (_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ns) {
  struct timespec t = to_timespec(timeout_ns);
  if (!syscall(futex_call(), word, FUTEX_WAIT, seen, &t, NULL, 0)) return 0;
  if (errno == EAGAIN) return 0;
  return errno == EINTR ? SKE_INTR : SKE_TIMEOUT;
}

void os_unpark (_Atomic uint32_t *word, int count) {
  syscall(futex_call(), word, FUTEX_WAKE, count, NULL, NULL, 0);
}

int os_event_create (int *fd) {
  return settle(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), fd);
}

/* A process may have closed its descriptors and opened others: never touch
** what a file, a pipe or a socket holds. Anonymous inodes have no type. */
static int is_event (int fd) {
  struct stat st;
  return !fstat(fd, &st) && !(st.st_mode & S_IFMT);
}

void os_event_ring (int fd) {
  uint64_t one = 1;
  if (!is_event(fd)) return;
  if (write(fd, &one, sizeof one) < 0) return;  /* full: readable anyway */
}

void os_event_clear (int fd) {
  uint64_t n;
  if (!is_event(fd)) return;
  if (read(fd, &n, sizeof n) < 0) return;  /* nothing to clear */
}

int os_poll (const int *fds, size_t n, int64_t timeout_ns) {
  enum { FEW = 72 };
  struct pollfd few[FEW], *p = few;
  struct timespec t = to_timespec(timeout_ns);
  size_t i;
  int rc, closed = 0;
  if (n > FEW && !(p = malloc(n * sizeof *p))) return SKE_NOMEM;
  for (i = 0; i < n; i++) {
    p[i].fd = fds[i];
    p[i].events = POLLIN;
    p[i].revents = 0;
  }
  rc = ppoll(p, (nfds_t)n, &t, NULL);
  for (i = 0; rc > 0 && i < n; i++) closed |= p[i].revents & POLLNVAL;
  if (p != few) free(p);
  if (closed) errno = EBADF;  /* else its owner would never sleep again */
  if (rc > 0) return closed ? SKE_SYS : 0;
  if (rc == 0) return SKE_TIMEOUT;
  return errno == EINTR ? SKE_INTR : SKE_SYS;
}

int os_poller_create (const int *fds, size_t n, int once, int *fd) {
  uint32_t events = once ? EPOLLIN | EPOLLET : EPOLLIN;
  int poller, rc;
  size_t i;
  if ((rc = settle(epoll_create1(EPOLL_CLOEXEC), &poller))) return rc;
  for (i = 0; i < n; i++) {
    struct epoll_event e = { .events = events };
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &e)) {
      int err = errno;
      close(poller);
      errno = err;
      return SKE_SYS;
    }
  }
  *fd = poller;
  return 0;
}

void os_poller_clear (int fd) {
  struct epoll_event e;
  if (epoll_wait(fd, &e, 1, 0) < 0) return;  /* nothing to clear */
}

int os_poller_renew (int fd) {
  int fresh = epoll_create1(EPOLL_CLOEXEC), rc;
  if (fresh < 0) return SKE_SYS;
  rc = dup3(fresh, fd, O_CLOEXEC) < 0 ? SKE_SYS : 0;
  close(fresh);
  return rc;
}

/* ---- processes ---- */

int os_watch (pid_t pid, int *fd) {
  int rc = settle((int)syscall(SYS_pidfd_open, pid, 0), fd);
  /* EINVAL: the number is still in use, as that of a group or session */
  return rc && (errno == ESRCH || errno == EINVAL) ? SKE_LOST : rc;
}

int os_watch_kill (int fd, pid_t pid, int signal) {
  if (!syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0)) return 0;
  /* the host may have closed the descriptor */
  return errno == EBADF && !kill(pid, signal) ? 0 : SKE_SYS;
}

#define BY_PIDFD ((idtype_t)3)  /* P_PIDFD, which older headers lack */

static int wait_for (idtype_t what, id_t id, int how, siginfo_t *info) {
  int rc;
  info->si_pid = 0;
  do {
    rc = waitid(what, id, info, how);
  } while (rc && errno == EINTR);
  return rc;
}

/* Newer kernels tell a descriptor's holder how the process ended, also when
** somebody else reaped it. */
struct process_info {
  uint64_t mask, cgroup;
  uint32_t ids[11];
  int32_t status;
};

#define GET_INFO _IOWR(0xff, 11, struct process_info)
#define INFO_EXIT (UINT64_C(1) << 3)

static int ask_how_it_ended (int fd, int *code, int *signal) {
  struct process_info info;
  memset(&info, 0, sizeof info);
  info.mask = INFO_EXIT;
  if (ioctl(fd, GET_INFO, &info) || !(info.mask & INFO_EXIT))
    return SKE_LOST;
  *code = WIFEXITED(info.status) ? WEXITSTATUS(info.status) : -1;
  *signal = WIFSIGNALED(info.status) ? WTERMSIG(info.status) : 0;
  return 0;
}

int os_reap (int fd, pid_t pid, int block, int *code, int *signal) {
  int how = WEXITED | (block ? 0 : WNOHANG);
  siginfo_t info;
  /* by descriptor: when somebody else reaped the child, its number may be
  ** that of another one by now */
  int rc = wait_for(BY_PIDFD, (id_t)fd, how, &info);
  if (rc && errno != ECHILD) rc = wait_for(P_PID, (id_t)pid, how, &info);
  if (rc) return ask_how_it_ended(fd, code, signal);
  if (info.si_pid == 0) return SKE_BUSY;
  *code = info.si_code == CLD_EXITED ? info.si_status : -1;
  *signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
  return 0;
}

int os_stopped (pid_t pid) {
  char path[64], line[512], *end;
  FILE *f;
  size_t n;
  snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
  f = fopen(path, "re");
  if (!f) return 0;
  n = fread(line, 1, sizeof line - 1, f);
  fclose(f);
  line[n] = 0;
  end = strrchr(line, ')');  /* the name may hold anything, even ") T" */
  return end && (end[2] == 'T' || end[2] == 't');
}

static pid_t parent_pid;

static void on_parent_signal (int signal) {
  (void)signal;
  if (getppid() != parent_pid) _exit(128 + SIGHUP);
}

int os_die_with_parent (pid_t parent, int by_main) {
  int sig = SIGKILL;
  parent_pid = parent;
  if (!by_main) {
    /* The kernel sends it when the forking thread ends; the process may live
    ** on, so this one looks before it believes. */
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_parent_signal;
    act.sa_flags = SA_RESTART;
    sig = SIGRTMAX;
    if (sigaction(sig, &act, NULL)) return SKE_SYS;
  }
  return prctl(PR_SET_PDEATHSIG, sig) ? SKE_SYS : 0;
}

/* ---- interruptions ---- */

static timer_t alarm_timer;
static pid_t alarm_owner;  /* timers are not inherited */

static int create_alarm (void (*handler) (int)) {
  struct sigaction act;
  struct sigevent event;
  memset(&act, 0, sizeof act);
  act.sa_handler = handler;
  act.sa_flags = SA_RESTART;
  if (sigaction(SIGRTMAX - 1, &act, NULL)) return SKE_SYS;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMAX - 1;
  if (timer_create(CLOCK_MONOTONIC, &event, &alarm_timer)) return SKE_SYS;
  alarm_owner = getpid();
  return 0;
}

int os_alarm_set (int64_t at_ns, void (*handler) (int)) {
  struct itimerspec when;
  int rc;
  if (alarm_owner != getpid()) {
    if (!at_ns) return 0;
    if ((rc = create_alarm(handler))) return rc;
  }
  memset(&when, 0, sizeof when);
  when.it_value = to_timespec(at_ns);
  rc = timer_settime(alarm_timer, TIMER_ABSTIME, &when, NULL);
  return rc ? SKE_SYS : 0;
}

int os_is_interpreters (void (*handler) (int)) {
  static const char start[] = "lua";
  char path[512], *name;
  Dl_info info;
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n <= 0 || !dladdr((void *)(uintptr_t)handler, &info)) return 0;
  path[n] = 0;
  name = strrchr(path, '/');
  if (!name || strncmp(name + 1, start, sizeof start - 1)) return 0;
  return !strstr(info.dli_fname, ".so");
}

int os_is_main_thread (void) {
  return syscall(SYS_gettid) == getpid();
}

int os_cpu_count (void) {
  cpu_set_t set;
  if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
  return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int64_t os_time_ns (void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * NS + t.tv_nsec;
}

int64_t os_now_ns (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * NS + t.tv_nsec;
}
