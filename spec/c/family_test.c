/*
** Fork generations and the root segment, from the first call on. This program
** itself never calls the core: each test runs in a child where nothing has
** happened yet.
*/
#include "clean.h"

#include "family.h"

enum { CALLERS = 4, CHILDREN = 8 };

struct caller {
  event *gate;
  uint64_t generation;
  sk_segment *root;
};

/* body for CALLERS threads that begin at the same moment */
static void all_at_once (void (*body) (void *), struct caller *callers) {
  event gate = 0;
  int i;
  memset(callers, 0, CALLERS * sizeof *callers);
  for (i = 0; i < CALLERS; i++) callers[i].gate = &gate;
  in_threads(CALLERS, body, callers, sizeof *callers);
}

static void meet (struct caller *c) {
  tell(c->gate);
  while (atomic_load(c->gate) < CALLERS) {}
}

/* Each of these few rounds has a fresh process of its own. */
static void in_fresh_children (int rounds, void (*body) (void *)) {
  while (rounds-- > 0) in_child(body, NULL);
}

/* ---- generations ---- */

static void check_steady (void *arg) {
  uint64_t g = sk_generation();
  (void)arg;
  CHECK(g != 0);
  CHECK(sk_generation() == g);
}

TEST("a process keeps its generation") {
  in_child(check_steady, NULL);
}

static void ask_generation (void *arg) {
  struct caller *c = arg;
  meet(c);
  c->generation = sk_generation();
}

static void check_threads_agree (void *arg) {
  struct caller callers[CALLERS];
  int i;
  (void)arg;
  all_at_once(ask_generation, callers);
  for (i = 0; i < CALLERS; i++)
    CHECK(callers[i].generation == sk_generation());
}

TEST("threads that ask first at the same moment hear the same generation") {
  in_fresh_children(ROUNDS(100), check_threads_agree);
}

typedef pid_t (*forker) (void);

/* What the C library does not notice, as some runtimes fork. */
static pid_t fork_by_system_call (void) {
  return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

struct told { uint64_t generations[CHILDREN]; };

static void check_children_differ (forker how) {
  struct told *t = shared_memory(sizeof *t);
  uint64_t own = sk_generation();
  int i, k;
  for (i = 0; i < CHILDREN; i++) {
    pid_t pid = how();
    if (pid == 0) {
      t->generations[i] = sk_generation();
      _exit(sk_generation() != t->generations[i]);
    }
    CHECK(ended(pid) == 0);
  }
  for (i = 0; i < CHILDREN; i++) {
    CHECK(t->generations[i] != 0 && t->generations[i] != own);
    for (k = 0; k < i; k++) CHECK(t->generations[i] != t->generations[k]);
  }
  CHECK(sk_generation() == own);
}

static void check_forked (void *arg) {
  (void)arg;
  check_children_differ(fork);
}

TEST("children differ from their parent and from each other") {
  in_child(check_forked, NULL);
}

static void check_cloned (void *arg) {
  (void)arg;
  check_children_differ(fork_by_system_call);
}

TEST("so do children that the C library did not fork") {
  in_child(check_cloned, NULL);
}

static void check_unused_in_parent (void *arg) {
  uint64_t *seen = shared_memory(sizeof *seen);
  pid_t pid = fork();
  (void)arg;
  if (pid == 0) {
    *seen = sk_generation();
    _exit(0);
  }
  CHECK(ended(pid) == 0);
  CHECK(*seen != 0 && sk_generation() != *seen);
}

TEST("a child that asks before its parent does differs from it") {
  in_child(check_unused_in_parent, NULL);
}

static void check_grandchild (void *arg) {
  uint64_t *above = arg;
  uint64_t own = sk_generation();
  CHECK(own != above[0] && own != above[1]);
}

static void check_middle (void *arg) {
  uint64_t above[2];
  above[0] = *(uint64_t *)arg;
  above[1] = sk_generation();
  in_child(check_grandchild, above);
}

static void check_fresh (void *arg) {
  uint64_t own = sk_generation();
  (void)arg;
  in_child(check_middle, &own);
}

TEST("a grandchild differs from both above it") {
  in_child(check_fresh, NULL);
}

/* The system's, on a kernel that does not know how to wipe a page. */
static int old_kernel;

int madvise (void *at, size_t n, int advice) {
  if (!old_kernel || advice != MADV_WIPEONFORK)
    return (int)syscall(SYS_madvise, at, n, advice);
  errno = EINVAL;
  return -1;
}

static void check_on_old_kernel (void *arg) {
  (void)arg;
  old_kernel = 1;
  check_children_differ(fork);
}

TEST("children differ on a kernel that cannot mark forks") {
  in_child(check_on_old_kernel, NULL);
}

/* ---- the root ---- */

static void ask_root (void *arg) {
  struct caller *c = arg;
  meet(c);
  CHECK(sk_root(&c->root) == 0);
}

static void check_one_root (void *arg) {
  struct caller callers[CALLERS];
  int i, fds = open_descriptors();
  (void)arg;
  all_at_once(ask_root, callers);
  for (i = 0; i < CALLERS; i++) CHECK(callers[i].root == callers[0].root);
  CHECK(mappings_of("memfd:suitkaise") == 1);
  CHECK(open_descriptors() == fds + 2);  /* its file and its event */
}

TEST("threads that ask first at the same moment get one root") {
  in_fresh_children(ROUNDS(100), check_one_root);
}

static void check_roots_apart (void *arg) {
  uint64_t *ids = shared_memory(2 * sizeof *ids);
  sk_segment *root;
  pid_t pid;
  int i;
  (void)arg;
  for (i = 0; i < 2; i++) {
    pid = fork();
    if (pid == 0) {
      if (!sk_root(&root)) ids[i] = sk_segment_id(root);
      _exit(0);
    }
    CHECK(ended(pid) == 0);
  }
  CHECK(ids[0] && ids[1] && ids[0] != ids[1]);
}

TEST("children forked before there is a root get one of their own") {
  in_child(check_roots_apart, NULL);
}

static void check_root_refused (void *arg) {
  sk_segment *root = arg;
  (void)arg;
  limit(RLIMIT_NOFILE, 0);
  CHECK(sk_root(&root) == SKE_SYS);
  CHECK(root == arg);
  limit(RLIMIT_NOFILE, 100);
  CHECK(sk_root(&root) == 0);
}

TEST("a root that cannot be had now can be had later") {
  in_child(check_root_refused, NULL);
}

/* ---- the lock ---- */

/* Hold the lock nearly all the time, until told to stop. */
static void *hold_lock (void *stop) {
  while (!atomic_load((event *)stop)) {
    volatile int i;
    sk_family_lock();
    for (i = 0; i < 1000; i++) {}
    sk_family_unlock();
  }
  return NULL;
}

static void check_lock_in_child (void *arg) {
  event stop = 0;
  pthread_t thread;
  int i;
  (void)arg;
  sk_generation();
  CHECK(!pthread_create(&thread, NULL, hold_lock, &stop));
  for (i = 0; i < ROUNDS(200); i++) {
    pid_t pid = fork();
    if (pid == 0) {
      alarm(10);
      sk_family_lock();  /* of a thread that is not here, it would hang */
      sk_family_unlock();
      _exit(0);
    }
    CHECK(ended(pid) == 0);
  }
  tell(&stop);
  pthread_join(thread, NULL);
}

TEST("a child forked by the host finds the core's lock open") {
  in_child(check_lock_in_child, NULL);
}
