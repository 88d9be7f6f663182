/*
** What the tests of named shares have in common: a folder of the test's own,
** and creators that are other processes.
*/
#ifndef SPEC_NAME_H
#define SPEC_NAME_H

#include "share_helper.h"

#include <sys/stat.h>

#include "os.h"
#include "share.h"

static char runtime[64];  /* stands for $XDG_RUNTIME_DIR */
static char folder[96];   /* where the shares are */

/* A path in the folder; four at once. */
static inline const char *in_folder (const char *name) {
  static char paths[4][256];
  static int turn;
  char *path = paths[turn = (turn + 1) % 4];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static inline int exists (const char *name) {
  struct stat st;
  return !lstat(in_folder(name), &st);
}

/* Files in the folder, also those that have no name yet. */
static inline int files (void) {
  DIR *d = opendir(folder);
  int n = -2;
  if (!d) return 0;
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

static inline int vanishes (const char *name) {
  int64_t until = now_ns() + LONG;
  while (exists(name) && now_ns() < until) rest_ms(1);
  return !exists(name);
}

static inline void name_run (void (*test) (void)) {
  snprintf(runtime, sizeof runtime, "/dev/shm/suitkaise-test-XXXXXX");
  REQUIRE(mkdtemp(runtime) != NULL);
  snprintf(folder, sizeof folder, "%s/suitkaise", runtime);
  setenv("XDG_RUNTIME_DIR", runtime, 1);
  test();
  CHECK(files() == 0);
  rmdir(folder);
  CHECK(!rmdir(runtime));
  CHECK(mappings_of("/suitkaise/") == 0);
  unsetenv("XDG_RUNTIME_DIR");
}

/* A test that must also leave no name. */
#define NAME_TEST(name) NAME_DEFINE(name, CHECK_PASTE(name_, __LINE__))
#define NAME_DEFINE(text, id) \
  static void id (void); \
  CLEAN_TEST(text) { name_run(id); } \
  static void id (void)

static const sk_share_options small = {
  .name = "a", .max_users = 4, .lane_bytes = 4096, .max_bytes = 65536
};

/* A share for one test and its port. */
static inline void create (const sk_share_options *o) {
  REQUIRE(sk_share_create(o, &share) == 0);
  REQUIRE(sk_port_open(share, &port) == 0);
}

static inline void leave (void) {
  sk_port_close(port);
  sk_share_close(share);
}

/* ---- another process that has the share ---- */

struct other {
  event ready, go_on;
  _Atomic int rc;
  pid_t pid, servers[2];  /* keeper, coordinator */
  uint64_t id;
  int fd;
  int start;              /* the coordinator */
  int64_t value;          /* of "n" */
};

static inline pid_t await_holder (uint64_t lock) {
  int64_t until = now_ns() + LONG;
  pid_t pid;
  while (!(pid = os_lock_holder(share->segment->fd, lock, 1)) &&
         now_ns() < until)
    rest_ms(1);
  return pid;
}

static inline void create_and_wait (void *arg) {
  struct other *o = arg;
  CHECK(sk_share_create(&small, &share) == 0);
  CHECK(sk_port_open(share, &port) == 0);
  CHECK(sk_share_where(share, &o->pid, &o->fd, &o->id) == 0);
  if (o->start) {
    CHECK(sk_share_start(share) == 0);
    CHECK(put_int("n", o->value) == 0 && get_int("n") == o->value);
    o->servers[0] = await_holder(LOCK_KEEPER);
    o->servers[1] = await_holder(LOCK_COORDINATOR);
  }
  tell(&o->ready);
  CHECK(await(&o->go_on, 1));
  leave();
}

static inline struct other *new_other (int start) {
  struct other *o = shared_memory(sizeof *o);
  o->start = start;
  o->value = 7;
  return o;
}

static inline void free_other (struct other *o) {
  munmap(o, sizeof *o);
}

/* Another process has made the share "a"; -> its pid. */
static inline pid_t have_other (struct other *o) {
  pid_t pid = child(create_and_wait, o);
  CHECK(await(&o->ready, 1));
  return pid;
}

static inline void let_go (struct other *o, pid_t pid) {
  tell(&o->go_on);
  CHECK(ended(pid) == 0);
  free_other(o);
}

/* Its keeper and coordinator, too: all at once. */
static inline void kill_all (struct other *o, pid_t pid) {
  int i;
  for (i = 0; i < 2; i++)
    if (o->servers[i] > 0) kill(o->servers[i], SIGKILL);
  killed(pid);
}

static inline int is_there (pid_t pid) {
  char path[32], line[256] = "";
  FILE *f;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  f = fopen(path, "re");
  if (!f) return 0;
  if (!fgets(line, sizeof line, f)) line[0] = 0;
  fclose(f);
  return line[0] && !strstr(line, ") Z");
}

static inline int disappears (pid_t pid, int64_t within_ns) {
  int64_t until = now_ns() + within_ns;
  while (is_there(pid) && now_ns() < until) rest_ms(5);
  return !is_there(pid);
}

/* A file "a" that was a share until its user was killed. */
static inline void have_left_over (void) {
  struct other *o = new_other(0);
  kill_all(o, have_other(o));
  free_other(o);
}

/* Open "a" as a process that has not made it. */
static inline int open_a (void) {
  int rc = sk_share_open("a", NULL, &share);
  if (!rc) CHECK(sk_port_open(share, &port) == 0);
  return rc;
}

#endif
