/*
** Segments and shares found by a descriptor of another process, and what the
** processes that serve a share hold of their host's.
*/
#include "name.h"

#include <sys/prctl.h>
#include <sys/socket.h>

static const sk_share_options nameless = {
  .max_users = 4, .lane_bytes = 4096, .max_bytes = 65536
};

static int attach (const struct other *o) {
  int rc = sk_share_attach(o->pid, o->fd, o->id, NULL, &share);
  if (!rc) CHECK(sk_port_open(share, &port) == 0);
  return rc;
}

static void create_nameless (void *arg) {
  struct other *o = arg;
  CHECK(sk_share_create(&nameless, &share) == 0);
  CHECK(sk_port_open(share, &port) == 0);
  CHECK(sk_share_where(share, &o->pid, &o->fd, &o->id) == 0);
  CHECK(o->pid == getpid());
  if (o->start) {
    CHECK(sk_share_start(share) == 0);
    CHECK(put_int("n", o->value) == 0 && get_int("n") == o->value);
    o->servers[0] = await_holder(LOCK_KEEPER);
    o->servers[1] = await_holder(LOCK_COORDINATOR);
  }
  tell(&o->ready);
  CHECK(await(&o->go_on, 1));
  if (o->start) CHECK(get_int("n") == o->value);
  leave();
}

static pid_t have_nameless (struct other *o) {
  pid_t pid = child(create_nameless, o);
  CHECK(await(&o->ready, 1));
  return pid;
}

CLEAN_TEST("a process that is no descendant attaches, reads and writes") {
  struct other *o = new_other(1);
  pid_t pid = have_nameless(o);
  REQUIRE(attach(o) == 0);
  CHECK(get_int("n") == 7);
  CHECK(put_int("n", 8) == 0);
  o->value = 8;
  CHECK(get_int("n") == 8);
  leave();
  let_go(o, pid);
}

static void write_wildly (void *arg) {
  signal(SIGSEGV, SIG_DFL);
  *(volatile uint64_t *)arg = 1;
}

CLEAN_TEST("in an attached share a wild store faults, too") {
  struct other *o = new_other(1);
  pid_t pid = have_nameless(o);
  REQUIRE(attach(o) == 0);
  CHECK(ended(child(write_wildly, share->store)) != 0);
  CHECK(ended(child(write_wildly, share->base + share->heap_off)) != 0);
  CHECK(get_int("n") == 7);
  leave();
  let_go(o, pid);
}

/* What F_GETLK of another process sees; 0: nobody. */
struct probe { int fd; uint64_t lock; pid_t holder; };

static void look_for_holder (void *arg) {
  struct probe *p = arg;
  p->holder = os_lock_holder(p->fd, p->lock, 1);
}

static pid_t holder_of (uint64_t lock) {
  struct probe *p = shared_memory(sizeof *p);
  pid_t pid;
  p->fd = share->segment->fd;
  p->lock = lock;
  in_child(look_for_holder, p);
  pid = p->holder;
  munmap(p, sizeof *p);
  return pid;
}

CLEAN_TEST("attaching what the process has already drops none of its locks") {
  sk_share *again;
  sk_segment *segment;
  pid_t pid;
  int fd, before, i;
  uint64_t id;
  open_share(&nameless);
  CHECK(sk_port_flush(port, 0) == 0 && put_int("a", 1) == 0);
  CHECK(sk_share_where(share, &pid, &fd, &id) == 0);
  before = open_descriptors();
  for (i = 0; i < 3; i++) {
    CHECK(sk_share_attach(pid, i == 1 ? -1 : fd, id, NULL, &again) == 0);
    CHECK(again == share && open_descriptors() == before);
    CHECK(sk_segment_attach(pid, fd, id, &segment) == 0);
    CHECK(segment == sk_share_segment(share));
    sk_segment_close(segment);
    sk_share_close(again);
    CHECK(sk_segment_attach(pid, fd, id ^ 1, &segment) == SKE_UNKNOWN);
    CHECK(holder_of(LOCK_PRESENT) == getpid());
    CHECK(holder_of(LOCK_LANES) == getpid());
  }
  close_share();
}

static void attach_inherited (void *arg) {
  struct other *o = arg;
  sk_share *own = share, *again;
  CHECK(sk_share_attach(o->pid, o->fd, o->id, NULL, &again) == 0);
  CHECK(again == own);
  CHECK(sk_share_attach(o->pid, o->fd, o->id + 1, NULL, &again) ==
        SKE_UNKNOWN);
  CHECK(put_int("n", 3) == 0);
  sk_share_close(again);
}

CLEAN_TEST("a forked child that attaches what it inherited has it once") {
  struct other *o = new_other(0);
  open_share(&nameless);
  serve();
  CHECK(sk_share_where(share, &o->pid, &o->fd, &o->id) == 0);
  in_child(attach_inherited, o);
  apply();
  CHECK(get_int("n") == 3);
  close_share();
  free_other(o);
}

struct at_once { const struct other *o; sk_share *got; };

static void attach_at_once (void *arg) {
  struct at_once *a = arg;
  CHECK(sk_share_attach(a->o->pid, a->o->fd, a->o->id, NULL, &a->got) == 0);
}

CLEAN_TEST("threads that attach at once get the same") {
  struct other *o = new_other(0);
  pid_t pid = have_nameless(o);
  struct at_once a[8];
  int round, i, before = open_descriptors();
  for (round = 0; round < 20; round++) {
    for (i = 0; i < 8; i++) a[i].o = o;
    in_threads(8, attach_at_once, a, sizeof *a);
    CHECK(open_descriptors() == before + 1);
    for (i = 0; i < 8; i++) CHECK(a[i].got == a[0].got);
    share = a[0].got;
    CHECK(holder_of(LOCK_PRESENT) > 0);
    for (i = 0; i < 8; i++) sk_share_close(a[i].got);
    CHECK(open_descriptors() == before);
  }
  let_go(o, pid);
}

CLEAN_TEST("what is not there cannot be attached, and nothing is left open") {
  struct other *o = new_other(0);
  pid_t pid = have_nameless(o);
  sk_share *s = (sk_share *)o;
  CHECK(sk_share_attach(pid, o->fd, o->id ^ 1, NULL, &s) == SKE_UNKNOWN);
  CHECK(sk_share_attach(pid, -1, o->id ^ 1, NULL, &s) == SKE_UNKNOWN);
  CHECK(sk_share_attach(pid, 0, o->id ^ 1, NULL, &s) == SKE_UNKNOWN);
  CHECK(sk_share_attach(pid, 1000, o->id ^ 1, NULL, &s) == SKE_UNKNOWN);
  CHECK(sk_share_attach(pid, o->fd, 0, NULL, &s) == SKE_INVAL);
  CHECK(sk_share_attach(0, o->fd, o->id, NULL, &s) == SKE_INVAL);
  CHECK(sk_share_attach(-1, o->fd, o->id, NULL, &s) == SKE_INVAL);
  CHECK(s == (sk_share *)o);  /* untouched */
  killed(pid);
  CHECK(sk_share_attach(pid, o->fd, o->id, NULL, &s) == SKE_UNKNOWN);
  free_other(o);
}

CLEAN_TEST("a wrong descriptor is no matter while the process has it") {
  struct other *o = new_other(0);
  pid_t pid = have_nameless(o);
  CHECK(sk_share_attach(pid, 0, o->id, NULL, &share) == 0);
  sk_share_close(share);
  CHECK(sk_share_attach(pid, -1, o->id, NULL, &share) == 0);
  sk_share_close(share);
  let_go(o, pid);
}

CLEAN_TEST("after the owner's death the coordinator has it, or the keeper") {
  int which;
  for (which = 0; which < 2; which++) {
    struct other *o = new_other(1);
    pid_t pid = have_nameless(o);
    killed(pid);
    CHECK(attach(o) == SKE_UNKNOWN);
    o->pid = o->servers[which];
    CHECK(attach(o) == 0);
    CHECK(get_int("n") == 7 && put_int("n", 8) == 0 && get_int("n") == 8);
    leave();
    CHECK(disappears(o->servers[0], 3500 * MS));
    CHECK(disappears(o->servers[1], 3500 * MS));
    free_other(o);
  }
}

/* ---- plain segments ---- */

struct counter {
  struct other o;
  uint64_t off;
};

static void make_counter (void *arg) {
  struct counter *c = arg;
  sk_segment *s;
  sk_cell *cell;
  CHECK(sk_segment_create("counters", 1 << 20, &s) == 0);
  CHECK(sk_cell_create(s, 5, &cell) == 0);
  CHECK(sk_cell_where(cell, &c->o.id, &c->off) == 0);
  CHECK(sk_segment_where(s, &c->o.pid, &c->o.fd, &c->o.id) == 0);
  tell(&c->o.ready);
  CHECK(await(&c->o.go_on, 1));
  CHECK(sk_cell_load(cell) == 6);
  sk_segment_close(s);
}

CLEAN_TEST("a counter is found in a segment that came later") {
  struct counter *c = shared_memory(sizeof *c);
  pid_t pid = child(make_counter, c);
  sk_segment *s;
  sk_cell *cell;
  CHECK(await(&c->o.ready, 1));
  CHECK(sk_cell_find(c->o.id, c->off, &cell) == SKE_UNKNOWN);
  REQUIRE(sk_segment_attach(c->o.pid, c->o.fd, c->o.id, &s) == 0);
  CHECK(sk_cell_find(c->o.id, c->off, &cell) == 0);
  CHECK(sk_cell_add(cell, 1) == 6);
  sk_segment_close(s);
  tell(&c->o.go_on);
  CHECK(ended(pid) == 0);
  munmap(c, sizeof *c);
}

CLEAN_TEST("an attached segment grows for all who have it") {
  struct counter *c = shared_memory(sizeof *c);
  pid_t pid = child(make_counter, c);
  sk_segment *s, *more;
  sk_cell *cell;
  uint64_t off;
  CHECK(await(&c->o.ready, 1));
  REQUIRE(sk_segment_attach(c->o.pid, c->o.fd, c->o.id, &s) == 0);
  CHECK(sk_segment_alloc(s, 400 << 10, 64, &off) == 0);
  memset(sk_segment_at(s, off, 400 << 10), 1, 400 << 10);
  CHECK(sk_segment_attach(c->o.pid, c->o.fd, c->o.id, &more) == 0);
  CHECK(more == s);
  sk_segment_close(more);
  CHECK(sk_cell_find(c->o.id, c->off, &cell) == 0 &&
        sk_cell_add(cell, 1) == 6);
  sk_segment_close(s);
  tell(&c->o.go_on);
  CHECK(ended(pid) == 0);
  munmap(c, sizeof *c);
}

CLEAN_TEST("a sealed segment says that it has no descriptor") {
  sk_segment *s;
  pid_t pid;
  uint64_t id;
  int fd;
  REQUIRE(sk_segment_create("sealed", 1 << 20, &s) == 0);
  sk_segment_seal(s);
  CHECK(sk_segment_where(s, &pid, &fd, &id) == SKE_UNKNOWN);
  sk_segment_close(s);
}

/* ---- files that only look like segments ---- */

/* A memfd with the given bytes, of this process. */
static int memory_of (const void *data, size_t n, size_t size) {
  int fd = memfd_create("test", MFD_CLOEXEC);
  REQUIRE(fd >= 0 && !ftruncate(fd, (off_t)size));
  REQUIRE(pwrite(fd, data, n, 0) == (ssize_t)n);
  return fd;
}

static void take_header (struct segment_header *h) {
  sk_segment *s;
  REQUIRE(sk_segment_create("test", 1 << 20, &s) == 0);
  memcpy(h, s->header, sizeof *h);
  sk_segment_close(s);
}

static int attach_image (const struct segment_header *h, size_t size) {
  int fd = memory_of(h, sizeof *h, size), rc;
  sk_segment *s;
  rc = sk_segment_attach(getpid(), fd, h->id, &s);
  if (!rc) sk_segment_close(s);
  close(fd);
  return rc;
}

CLEAN_TEST("headers that make no sense are refused") {
  struct segment_header good, h;
  take_header(&good);
  CHECK(attach_image(&good, 65536) == 0);
  CHECK(attach_image(&good, 65535) == SKE_CORRUPT);
  CHECK(attach_image(&good, 256) == SKE_CORRUPT);
  h = good;
  h.magic[3] ^= 1;
  CHECK(attach_image(&h, 65536) == SKE_CORRUPT);
  h = good;
  h.version++;
  CHECK(attach_image(&h, 65536) == SKE_VERSION);
  h = good;
  h.pointer_bytes ^= 4 ^ 8;  /* of the other kind of machine */
  CHECK(attach_image(&h, 65536) == SKE_VERSION);
  h = good;
  h.max = UINT64_MAX;
  CHECK(attach_image(&h, 65536) == SKE_CORRUPT);
  h.max = 0;
  CHECK(attach_image(&h, 65536) == SKE_CORRUPT);
  h = good;
  atomic_store(&h.top, good.max + 1);
  CHECK(attach_image(&h, 65536) == SKE_CORRUPT);
  h = good;
  atomic_store(&h.size, 0);
  CHECK(attach_image(&h, 65536) == SKE_CORRUPT);
}

CLEAN_TEST("a plain segment is no share") {
  sk_segment *s;
  pid_t pid;
  uint64_t id;
  int fd;
  REQUIRE(sk_segment_create("plain", 1 << 20, &s) == 0);
  CHECK(sk_segment_where(s, &pid, &fd, &id) == 0);
  CHECK(sk_share_attach(pid, fd, id, NULL, &share) == SKE_CORRUPT);
  sk_segment_close(s);
}

static void own_lock_stays (void *arg) {
  struct flock f = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
  CHECK(!fcntl(*(int *)arg, F_GETLK, &f) && f.l_type == F_WRLCK);
}

CLEAN_TEST("a file of the host's is never opened, so its locks stay") {
  struct flock f = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
  char path[] = "/tmp/sk-locked-XXXXXX";
  int fd = mkstemp(path);
  sk_segment *s;
  REQUIRE(fd >= 0 && !unlink(path) && !ftruncate(fd, 1 << 20));
  CHECK(!fcntl(fd, F_SETLK, &f));
  CHECK(sk_segment_attach(getpid(), fd, 12345, &s) == SKE_UNKNOWN);
  CHECK(sk_segment_attach(getpid(), -1, 12345, &s) == SKE_UNKNOWN);
  in_child(own_lock_stays, &fd);
  close(fd);
}

/* ---- another user's ---- */

static void become_nobody_and_attach (void *arg) {
  struct other *o = arg;
  int rc;
  if (setgid(65534) || setuid(65534)) _exit(1);
  rc = sk_share_attach(o->pid, o->fd, o->id, NULL, &share);
  CHECK(rc == SKE_FOREIGN);
}

static void create_as_nobody (void *arg) {
  struct other *o = arg;
  if (setgid(65534) || setuid(65534)) _exit(1);
  create_nameless(o);
}

CLEAN_TEST("another user's share cannot be attached") {
  struct other *o = new_other(0);
  pid_t pid;
  if (geteuid() != 0) {  /* then at least init's descriptors are closed */
    CHECK(sk_share_attach(1, 3, 5, NULL, &share) == SKE_FOREIGN);
    free_other(o);
    return;
  }
  pid = have_nameless(o);
  in_child(become_nobody_and_attach, o);
  let_go(o, pid);
  o = new_other(0);
  pid = child(create_as_nobody, o);
  CHECK(await(&o->ready, 1));
  CHECK(attach(o) == SKE_FOREIGN);  /* not even by root */
  let_go(o, pid);
}

/* ---- limits ---- */

static void attach_with_few_descriptors (void *arg) {
  struct other *o = arg;
  rlim_t n;
  int rc = SKE_SYS, before = open_descriptors();
  for (n = 3; rc && n < 64; n++) {
    limit(RLIMIT_NOFILE, n);
    rc = sk_share_attach(o->pid, o->fd, o->id, NULL, &share);
    limit(RLIMIT_NOFILE, 256);
    CHECK(rc == 0 || rc == SKE_SYS);
    if (rc) CHECK(open_descriptors() == before);
  }
  CHECK(rc == 0);
  sk_share_close(share);
  CHECK(open_descriptors() == before);
}

CLEAN_TEST("without descriptors left attaching fails and leaves none") {
  struct other *o = new_other(0);
  pid_t pid = have_nameless(o);
  in_child(attach_with_few_descriptors, o);
  let_go(o, pid);
}

static void attach_with_little_space (void *arg) {
  struct other *o = arg;
  int before = open_descriptors();
  limit(RLIMIT_AS, 16 << 20);
  CHECK(sk_share_attach(o->pid, o->fd, o->id, NULL, &share) == SKE_NOMEM);
  CHECK(open_descriptors() == before);
}

CLEAN_TEST("without address space attaching fails and leaves nothing") {
  struct other *o = new_other(0);
  pid_t pid;
  if (SANITIZED) {  /* they need all of it */
    free_other(o);
    return;
  }
  pid = have_nameless(o);
  in_child(attach_with_little_space, o);
  let_go(o, pid);
}

/* ---- what keeper and coordinator hold ---- */

struct host {
  pid_t servers[2];
  event ready, go_on;
  int keep;
};

static void be_host (void *arg) {
  struct host *h = arg;
  open_share(&nameless);
  if (h->keep >= 0) CHECK(sk_share_keep_fd(share, h->keep) == 0);
  CHECK(sk_share_start(share) == 0);
  CHECK(put_int("a", 1) == 0 && get_int("a") == 1);
  h->servers[0] = await_holder(LOCK_KEEPER);
  h->servers[1] = await_holder(LOCK_COORDINATOR);
  tell(&h->ready);
  CHECK(await(&h->go_on, 1));
  close_share();
}

/* How often a process has a file that a descriptor of ours is. */
static int has_file (pid_t pid, int fd) {
  char path[320], mine[64], ours[256], theirs[256];
  struct dirent *e;
  ssize_t n, m;
  int found = 0;
  DIR *d;
  snprintf(mine, sizeof mine, "/proc/self/fd/%d", fd);
  n = readlink(mine, ours, sizeof ours);
  snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  if (!(d = opendir(path))) return -1;
  while ((e = readdir(d))) {
    snprintf(path, sizeof path, "/proc/%d/fd/%s", (int)pid, e->d_name);
    m = readlink(path, theirs, sizeof theirs);
    found += m == n && n > 0 && !memcmp(ours, theirs, (size_t)n);
  }
  closedir(d);
  return found;
}

CLEAN_TEST("keeper and coordinator hold none of the host's files") {
  struct host *h = shared_memory(sizeof *h);
  int ends[2], listening = socket(AF_UNIX, SOCK_STREAM, 0), kept[2], i;
  pid_t pid;
  char byte;
  CHECK(!pipe(ends) && !pipe(kept) && listening >= 0);
  h->keep = kept[1];
  pid = child(be_host, h);
  CHECK(await(&h->ready, 1));
  for (i = 0; i < 2; i++) {
    CHECK(has_file(h->servers[i], ends[1]) == 0);
    CHECK(has_file(h->servers[i], listening) == 0);
    CHECK(has_file(h->servers[i], kept[1]) == 1);
  }
  /* so who waits for the host's end sees it, while they still run */
  CHECK(has_file(pid, ends[1]) > 0);
  close(ends[1]);
  killed(pid);
  CHECK(read(ends[0], &byte, 1) == 0);
  CHECK(is_there(h->servers[1]));
  for (i = 0; i < 2; i++) CHECK(disappears(h->servers[i], LONG));
  close(ends[0]);
  close(kept[0]);
  close(kept[1]);
  close(listening);
  munmap(h, sizeof *h);
}

CLEAN_TEST("only so many descriptors can be kept") {
  int i;
  open_share(&nameless);
  for (i = 0; i < KEPT; i++) CHECK(sk_share_keep_fd(share, 1) == 0);
  CHECK(sk_share_keep_fd(share, 1) == SKE_FULL);
  CHECK(sk_share_keep_fd(share, -1) == SKE_INVAL);
  close_share();
}
