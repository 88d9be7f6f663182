/*
** Children whose parent ends: none outlives it, and none ends before it.
*/
#include "clean.h"

#include <sched.h>
#include <sys/prctl.h>

/* The test is the grandparent: it reaps what its dead child leaves behind. */
struct lineage {
  event ready;     /* the grandchild runs */
  event go_on;     /* the parent may do its next step */
  event thread_over;
  _Atomic pid_t grandchild;
  void (*life) (struct lineage *l);
};

#define LINEAGE_TEST(name) LINEAGE_DEFINE(name, CHECK_PASTE(line_, __LINE__))
#define LINEAGE_DEFINE(text, id) \
  static void id (struct lineage *l); \
  CLEAN_TEST(text) { \
    struct lineage *l = shared_memory(sizeof *l); \
    CHECK(!prctl(PR_SET_CHILD_SUBREAPER, 1)); \
    id(l); \
    CHECK(!prctl(PR_SET_CHILD_SUBREAPER, 0)); \
    munmap(l, sizeof *l); \
  } \
  static void id (struct lineage *l)

/* ---- lives of a grandchild ---- */

static void sleep_for_ever (struct lineage *l) {
  tell(&l->ready);
  for (;;) pause();
}

static void compute_for_ever (struct lineage *l) {
  volatile uint64_t n = 0;
  tell(&l->ready);
  for (;;) n++;
}

static void block_signals_and_sleep (struct lineage *l) {
  sigset_t every;
  sigfillset(&every);
  sigdelset(&every, SIGALRM);
  sigprocmask(SIG_SETMASK, &every, NULL);
  sleep_for_ever(l);
}

static void beget (struct lineage *l) {
  sk_process *p;
  int rc = sk_process_fork(&p);
  CHECK(rc >= 0);
  if (rc == SK_CHILD) {
    alarm(CHILD_SECONDS);
    atomic_store(&l->grandchild, getpid());
    l->life(l);
    sk_process_exit(0);
  }
}

/* ---- lives of a parent ---- */

static void parent (void *arg) {
  struct lineage *l = arg;
  beget(l);
  for (;;) pause();
}

static void *beget_in_thread (void *arg) {
  struct lineage *l = arg;
  beget(l);
  CHECK(await(&l->ready, 1));  /* it has asked to be told of our end */
  return NULL;
}

static void *beget_and_stay (void *arg) {
  beget(arg);
  while (pause()) {}
  return NULL;
}

/* Forks in a thread that ends at once, and lives on. */
static void parent_of_thread (void *arg) {
  struct lineage *l = arg;
  pthread_t thread;
  CHECK(!pthread_create(&thread, NULL, beget_in_thread, l));
  pthread_join(thread, NULL);
  tell(&l->thread_over);
  for (;;) pause();
}

static void parent_with_thread (void *arg) {
  pthread_t thread;
  CHECK(!pthread_create(&thread, NULL, beget_and_stay, arg));
  for (;;) pause();
}

/* ---- what the grandparent sees ---- */

/* Reap the grandchild, which has become ours; 1 when it has ended. */
static int ends (pid_t pid, int64_t within) {
  int64_t until = now_ns() + within;
  for (;;) {
    if (waitpid(pid, NULL, WNOHANG) == pid) return 1;
    if (now_ns() > until) return 0;
    rest_ms(1);
  }
}

static void check_ends (pid_t pid) {
  int gone = ends(pid, LONG);
  CHECK(gone);
  if (!gone) killed(pid);
}

static void check_ends_with_parent (struct lineage *l, void (*host) (void *),
                                    void (*life) (struct lineage *), int stop) {
  pid_t pid, grandchild;
  l->life = life;
  pid = child(host, l);
  CHECK(await(&l->ready, 1));
  grandchild = atomic_load(&l->grandchild);
  if (stop) kill(grandchild, SIGSTOP);
  killed(pid);
  check_ends(grandchild);
}

LINEAGE_TEST("a child that sleeps ends with its parent") {
  check_ends_with_parent(l, parent, sleep_for_ever, 0);
}

LINEAGE_TEST("a child that computes ends with its parent") {
  check_ends_with_parent(l, parent, compute_for_ever, 0);
}

LINEAGE_TEST("a child that blocks all signals ends with its parent") {
  check_ends_with_parent(l, parent, block_signals_and_sleep, 0);
}

LINEAGE_TEST("a child that is stopped ends with its parent") {
  check_ends_with_parent(l, parent, sleep_for_ever, 1);
}

/* In a child forked by a thread the thread sanitizer holds signals back. */

LINEAGE_TEST("a child forked by a thread ends with its parent") {
  if (THREAD_SANITIZED) return;
  check_ends_with_parent(l, parent_with_thread, sleep_for_ever, 0);
}

LINEAGE_TEST("a child forked by a thread that has ended, too") {
  if (THREAD_SANITIZED) return;
  check_ends_with_parent(l, parent_of_thread, compute_for_ever, 0);
}

/* Says a second time that it lives, when told. */
static void live_on (struct lineage *l) {
  tell(&l->ready);
  CHECK(await(&l->go_on, 1));
  tell(&l->ready);
  for (;;) pause();
}

/* Until the thread is gone in the kernel, too, with the signals it sends. */
static void await_one_thread (pid_t pid) {
  int64_t until = now_ns() + LONG;
  int n;
  do {
    char path[64];
    DIR *d;
    snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    d = opendir(path);
    for (n = 0; d && readdir(d); n++) {}
    if (d) closedir(d);
  } while (n > 3 && now_ns() < until);  /* itself and the two dots */
}

LINEAGE_TEST("a child outlives the thread that forked it") {
  pid_t pid, grandchild;
  if (THREAD_SANITIZED) return;
  l->life = live_on;
  pid = child(parent_of_thread, l);
  CHECK(await(&l->ready, 1));
  CHECK(await(&l->thread_over, 1));
  grandchild = atomic_load(&l->grandchild);
  if (!SANITIZED) await_one_thread(pid);  /* sanitizers have their own */
  tell(&l->go_on);
  CHECK(await(&l->ready, 2));
  killed(pid);
  check_ends(grandchild);
}

/* ---- an end in the worst moment ---- */

static struct lineage *between;

/* Runs in the new child, before the core has asked to end with the parent. */
static void wait_for_orphanhood (void) {
  pid_t host = getppid();
  if (!between) return;
  atomic_store(&between->grandchild, getpid());
  tell(&between->ready);
  while (getppid() == host) rest_ms(1);
}

static void parent_that_dies_early (void *arg) {
  CHECK(!pthread_atfork(NULL, NULL, wait_for_orphanhood));
  between = arg;
  parent(arg);
}

static void must_not_live (struct lineage *l) {
  tell(&l->go_on);
  for (;;) pause();
}

LINEAGE_TEST("a child whose parent dies during the fork never begins") {
  check_ends_with_parent(l, parent_that_dies_early, must_not_live, 0);
  CHECK(atomic_load(&l->go_on) == 0);
}

/* ---- asking ---- */

static void ask_after_parent (struct lineage *l) {
  prctl(PR_SET_PDEATHSIG, 0);  /* as a change of user does */
  CHECK(!sk_process_orphaned());
  tell(&l->ready);
  while (!sk_process_orphaned()) rest_ms(1);
  sk_process_exit(0);
}

LINEAGE_TEST("a child can find out that its parent is gone") {
  check_ends_with_parent(l, parent, ask_after_parent, 0);
}

static void must_have_parent (void *arg) {
  (void)arg;
  CHECK(!sk_process_orphaned());
}

CLEAN_TEST("what is no child of the core is never an orphan") {
  CHECK(!sk_process_orphaned());
  in_child(must_have_parent, NULL);
}

static void orphan_of_child (struct lineage *l) {
  pid_t pid = fork();
  if (pid == 0) {
    atomic_store(&l->grandchild, getpid());
    tell(&l->ready);
    CHECK(await(&l->go_on, 1));
    CHECK(!sk_process_orphaned());
    _exit(0);
  }
  for (;;) pause();
}

LINEAGE_TEST("what a child forks by other means is no orphan either") {
  pid_t pid;
  l->life = orphan_of_child;
  pid = child(parent, l);
  CHECK(await(&l->ready, 1));
  killed(pid);
  tell(&l->go_on);
  while (waitpid(-1, NULL, 0) > 0) {}  /* both have become ours */
}

/* ---- a whole family ---- */

static void beget_further (struct lineage *l) {
  l->life = sleep_for_ever;
  beget(l);
  for (;;) pause();
}

LINEAGE_TEST("a grandchild ends when its grandparent does") {
  pid_t pid;
  int64_t until = now_ns() + LONG;
  l->life = beget_further;
  pid = child(parent, l);
  CHECK(await(&l->ready, 1));
  killed(pid);
  while (has_children() && now_ns() < until) {
    waitpid(-1, NULL, WNOHANG);
    rest_ms(1);
  }
  CHECK(!has_children());
  if (has_children()) killed(atomic_load(&l->grandchild));
}
