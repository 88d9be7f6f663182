/*
** What the core's tests share: children that cannot hang, events between
** processes, and the check that a test left nothing behind. Include it first.
*/
#ifndef SPEC_CLEAN_H
#define SPEC_CLEAN_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "suitkaise.h"

#define MS 1000000LL             /* in nanoseconds */
#define SECOND (1000 * MS)
#define LONG (20 * SECOND)       /* nothing that works takes that long */
#define COUNT(a) (sizeof (a) / sizeof *(a))

/* gcc and clang tell of their sanitizers in different ways */
#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
#define THREAD_SANITIZED 1
#else
#define THREAD_SANITIZED 0
#endif

#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED THREAD_SANITIZED
#endif

/* Rounds of a loop: fewer where every access costs ten times as much. */
#define ROUNDS(n) (SANITIZED ? (n) / 5 : (n))

/* ---- nothing left behind ---- */

static inline int open_descriptors (void) {
  DIR *d = opendir("/proc/self/fd");
  int n = 0;
  if (!d) return -1;
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

/* Lines of /proc/self/maps that hold `what`. */
static inline int mappings_of (const char *what) {
  FILE *maps = fopen("/proc/self/maps", "re");
  char line[512];
  int n = 0;
  if (!maps) return -1;
  while (fgets(line, sizeof line, maps)) n += strstr(line, what) != NULL;
  fclose(maps);
  return n;
}

static inline int has_children (void) {
  siginfo_t info;
  return !waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
}

static inline void clean_run (void (*test) (void)) {
  sk_segment *root;
  int fds, maps;
  REQUIRE(sk_root(&root) == 0);  /* stays; everything else goes */
  fds = open_descriptors();
  maps = mappings_of("memfd:");
  test();
  CHECK(open_descriptors() == fds);
  CHECK(mappings_of("memfd:") == maps);
  CHECK(!has_children());
}

/* A test that must leave no child, descriptor or shared mapping. */
#define CLEAN_TEST(name) CLEAN_DEFINE(name, CHECK_PASTE(clean_, __LINE__))
#define CLEAN_DEFINE(text, id) \
  static void id (void); \
  TEST(text) { clean_run(id); } \
  static void id (void)

/* ---- time ---- */

static inline int64_t now_ns (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

/* For what cannot be waited for, such as another process's state. */
static inline void rest_ms (long ms) {
  struct timespec t = { ms / 1000, ms % 1000 * MS };
  nanosleep(&t, NULL);
}

/* ---- what several processes see ---- */

static inline void *shared_memory (size_t n) {
  void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
  REQUIRE(p != MAP_FAILED);
  return p;
}

typedef _Atomic uint32_t event;  /* counts up; in shared memory */

static inline void tell (event *e) {
  atomic_fetch_add(e, 1);
  syscall(SYS_futex, e, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Wait until an event has been told `times` times; 0 when it never is. */
static inline int await (event *e, uint32_t times) {
  int64_t until = now_ns() + LONG;
  struct timespec t = { 1, 0 };
  uint32_t seen;
  while ((seen = atomic_load(e)) < times) {
    if (now_ns() > until) return 0;
    syscall(SYS_futex, e, FUTEX_WAIT, seen, &t, NULL, 0);
  }
  return 1;
}

/* ---- children and threads of the test itself ---- */

#define CHILD_SECONDS 100

/* Run body(arg) in a child that ends when it returns, or is hung. */
static inline pid_t child (void (*body) (void *), void *arg) {
  pid_t pid;
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    alarm(CHILD_SECONDS);
    body(arg);
    fflush(NULL);
    _exit(0);
  }
  CHECK(pid > 0);
  return pid;
}

/* Reap it; -> its wait status. */
static inline int ended (pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  return status;
}

static inline int killed (pid_t pid) {
  kill(pid, SIGKILL);
  return ended(pid);
}

/* body(arg) in a child that must come to its end. */
static inline void in_child (void (*body) (void *), void *arg) {
  CHECK(ended(child(body, arg)) == 0);
}

enum { MANY = 16 };

/* n processes at once, each with its own element of an array of `size`. */
static inline void in_children (int n, void (*body) (void *), void *args,
                                size_t size) {
  pid_t pids[MANY];
  int i;
  for (i = 0; i < n; i++)
    pids[i] = child(body, (char *)args + (size_t)i * size);
  for (i = 0; i < n; i++) CHECK(ended(pids[i]) == 0);
}

struct thread_call { void (*body) (void *); void *arg; };

static inline void *thread_main (void *call) {
  struct thread_call *c = call;
  c->body(c->arg);
  return NULL;
}

/* The same with threads. */
static inline void in_threads (int n, void (*body) (void *), void *args,
                               size_t size) {
  struct thread_call calls[MANY];
  pthread_t threads[MANY];
  int i;
  for (i = 0; i < n; i++) {
    calls[i].body = body;
    calls[i].arg = (char *)args + (size_t)i * size;
    CHECK(!pthread_create(&threads[i], NULL, thread_main, &calls[i]));
  }
  for (i = 0; i < n; i++) pthread_join(threads[i], NULL);
}

/* A limit on what this process may have; only in a child. A macro, because C
** libraries do not agree on the type of `what`. */
#define limit(what, soft) do { \
  struct rlimit r_; \
  CHECK(!getrlimit(what, &r_)); \
  r_.rlim_cur = (soft); \
  CHECK(!setrlimit(what, &r_)); \
} while (0)

/* xorshift: the same numbers for the same seed, everywhere */
static inline uint32_t random_next (uint32_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

#endif
