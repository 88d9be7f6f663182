/*
** Segments: reservation, growth, allocation by many at once, limits.
*/
#include "clean.h"
#include "step.h"

#include "segment.h"

#include <sys/time.h>

#define KB 1024u
#define MB (1024u * KB)

static sk_segment *segment (size_t max) {
  sk_segment *s = NULL;
  REQUIRE(sk_segment_create("test", max, &s) == 0);
  return s;
}

static int is_zero (const uint8_t *p, size_t n) {
  size_t i;
  for (i = 0; i < n && p[i] == 0; i++) {}
  return i == n;
}

static int is_filled (const uint8_t *p, int with, size_t n) {
  size_t i;
  for (i = 0; i < n && p[i] == with; i++) {}
  return i == n;
}

/* ---- life ---- */

CLEAN_TEST("a segment has an id of its own") {
  sk_segment *a = segment(MB), *b = segment(MB);
  CHECK(sk_segment_id(a) != sk_segment_id(b));
  CHECK(sk_segment_by_id(sk_segment_id(a)) == a);
  CHECK(sk_segment_by_id(sk_segment_id(b)) == b);
  sk_segment_close(a);
  sk_segment_close(b);
}

CLEAN_TEST("a closed segment is known no more") {
  sk_segment *s = segment(MB);
  uint64_t id = sk_segment_id(s);
  const void *base = s->base;
  CHECK(sk_segment_of(base) == s);
  sk_segment_close(s);
  CHECK(!sk_segment_by_id(id));
  CHECK(!sk_segment_of(base));
}

CLEAN_TEST("a pointer belongs to the segment it points into, or to none") {
  sk_segment *a = segment(MB), *b = segment(MB);
  int local;
  CHECK(sk_segment_of(a->base + a->max - 1) == a);
  CHECK(sk_segment_of(b->base) == b);
  CHECK(!sk_segment_of(&local));
  sk_segment_close(a);
  sk_segment_close(b);
}

CLEAN_TEST("closing gives the mapping and the descriptor back") {
  int fds = open_descriptors(), maps = mappings_of("memfd:test");
  sk_segment *s = segment(64 * MB);
  CHECK(open_descriptors() == fds + 1);
  CHECK(mappings_of("memfd:test") == maps + 1);
  sk_segment_close(s);
  CHECK(open_descriptors() == fds);
  CHECK(mappings_of("memfd:test") == maps);
  sk_segment_close(NULL);
}

CLEAN_TEST("a new segment uses little of what it reserves") {
  sk_segment *s = segment((size_t)1 << 30);
  CHECK(sk_segment_size(s) <= 64 * KB);
  sk_segment_close(s);
}

CLEAN_TEST("a label that the system refuses is an error, and leaves nothing") {
  char label[512];
  sk_segment *s = (void *)label;
  memset(label, 'x', sizeof label - 1);
  label[sizeof label - 1] = 0;
  CHECK(sk_segment_create(label, MB, &s) == SKE_SYS);
  CHECK(s == (void *)label);
}

/* ---- allocation ---- */

CLEAN_TEST("space is aligned as asked") {
  static const size_t aligns[] = { 0, 1, 2, 8, 24, 128, 4096, 65536 };
  sk_segment *s = segment(4 * MB);
  size_t i;
  for (i = 0; i < COUNT(aligns); i++) {
    uint64_t off = 0;
    CHECK(sk_segment_alloc(s, 3, aligns[i], &off) == 0);
    CHECK(off >= sizeof(struct segment_header));
    if (aligns[i]) CHECK(off % aligns[i] == 0);
  }
  sk_segment_close(s);
}

CLEAN_TEST("space is zeroed and usable to its last byte") {
  sk_segment *s = segment(8 * MB);
  size_t bytes[] = { 1, 100, 4096, 70000, MB, 3 * MB }, i;
  for (i = 0; i < COUNT(bytes); i++) {
    uint64_t off;
    uint8_t *p;
    REQUIRE(sk_segment_alloc(s, bytes[i], 8, &off) == 0);
    REQUIRE(p = sk_segment_at(s, off, bytes[i]));
    CHECK(is_zero(p, bytes[i]));
    memset(p, 0xff, bytes[i]);
  }
  sk_segment_close(s);
}

CLEAN_TEST("only handed-out space has an address") {
  sk_segment *s = segment(MB);
  uint64_t off;
  REQUIRE(sk_segment_alloc(s, 100, 8, &off) == 0);
  CHECK(sk_segment_at(s, off, 100) == s->base + off);
  CHECK(sk_segment_at(s, off + 100, 0));
  CHECK(!sk_segment_at(s, off, 101));
  CHECK(!sk_segment_at(s, off + 1, 100));
  CHECK(!sk_segment_at(s, off + 101, 0));
  CHECK(!sk_segment_at(s, 0, 1));
  CHECK(!sk_segment_at(s, sizeof(struct segment_header) - 1, 1));
  CHECK(!sk_segment_at(s, UINT64_MAX, 1));
  CHECK(!sk_segment_at(s, off, SIZE_MAX));
  CHECK(!sk_segment_at(s, UINT64_MAX - 10, 20));
  sk_segment_close(s);
}

CLEAN_TEST("what does not fit is refused, what fits afterwards is not") {
  sk_segment *s = segment(MB);
  uint64_t off = 77;
  CHECK(sk_segment_alloc(s, MB, 1, &off) == SKE_FULL);
  CHECK(off == 77);
  CHECK(sk_segment_alloc(s, MB - 64 * KB, 1, &off) == 0);
  CHECK(sk_segment_alloc(s, 64 * KB, 1, &off) == SKE_FULL);
  CHECK(sk_segment_alloc(s, 63 * KB, 1, &off) == 0);
  sk_segment_close(s);
}

CLEAN_TEST("absurd sizes and alignments are refused and change nothing") {
  static const struct { size_t bytes, align; } asked[] = {
    { SIZE_MAX, 1 }, { SIZE_MAX, SIZE_MAX }, { 8, SIZE_MAX },
    { 8, SIZE_MAX / 2 + 1 }, { SIZE_MAX - 4096, 4096 }, { 0, SIZE_MAX },
    { SIZE_MAX / 2, 8 }
  };
  sk_segment *s = segment(MB);
  uint64_t first, off, size = sk_segment_size(s);
  size_t i;
  REQUIRE(sk_segment_alloc(s, 8, 8, &first) == 0);
  for (i = 0; i < COUNT(asked); i++)
    CHECK(sk_segment_alloc(s, asked[i].bytes, asked[i].align, &off) ==
          SKE_FULL);
  CHECK(sk_segment_size(s) == size);
  REQUIRE(sk_segment_alloc(s, 8, 8, &off) == 0);
  CHECK(off == first + 8);
  sk_segment_close(s);
}

CLEAN_TEST("asking for all addresses there are gets as many as there are") {
  sk_segment *s = NULL;
  uint64_t off;
  int rc = sk_segment_create("test", SIZE_MAX, &s);
  CHECK(rc == 0);
  if (rc) return;
  CHECK(sk_segment_alloc(s, MB, 1, &off) == 0);
  sk_segment_close(s);
}

/* ---- growth ---- */

struct family {
  event parent_grew, child_grew;
  _Atomic uint64_t parents, childs;
  sk_segment *s;
};

static void check_parents_and_grow (void *arg) {
  struct family *f = arg;
  uint64_t off;
  uint8_t *p;
  CHECK(await(&f->parent_grew, 1));
  CHECK(p = sk_segment_at(f->s, atomic_load(&f->parents), 8 * MB));
  CHECK(is_filled(p, 0x5a, 8 * MB));
  CHECK(sk_segment_alloc(f->s, 16 * MB, 8, &off) == 0);
  CHECK(p = sk_segment_at(f->s, off, 16 * MB));
  memset(p, 0xa5, 16 * MB);
  atomic_store(&f->childs, off);
  tell(&f->child_grew);
}

CLEAN_TEST("growth is seen by processes forked before, both ways") {
  struct family *f = shared_memory(sizeof *f);
  uint64_t off;
  uint8_t *p;
  pid_t pid;
  f->s = segment(64 * MB);
  pid = child(check_parents_and_grow, f);
  CHECK(sk_segment_alloc(f->s, 8 * MB, 8, &off) == 0);
  memset(sk_segment_at(f->s, off, 8 * MB), 0x5a, 8 * MB);
  atomic_store(&f->parents, off);
  tell(&f->parent_grew);
  CHECK(await(&f->child_grew, 1));
  CHECK(p = sk_segment_at(f->s, atomic_load(&f->childs), 16 * MB));
  CHECK(is_filled(p, 0xa5, 16 * MB));
  CHECK(ended(pid) == 0);
  sk_segment_close(f->s);
  munmap(f, sizeof *f);
}

static void grow_in_grandchild (void *arg) {
  in_child(check_parents_and_grow, arg);
}

CLEAN_TEST("growth reaches a grandchild, and back") {
  struct family *f = shared_memory(sizeof *f);
  uint64_t off;
  pid_t pid;
  f->s = segment(64 * MB);
  pid = child(grow_in_grandchild, f);
  CHECK(sk_segment_alloc(f->s, 8 * MB, 8, &off) == 0);
  memset(sk_segment_at(f->s, off, 8 * MB), 0x5a, 8 * MB);
  atomic_store(&f->parents, off);
  tell(&f->parent_grew);
  CHECK(ended(pid) == 0);
  CHECK(is_filled(sk_segment_at(f->s, atomic_load(&f->childs), 16 * MB),
                  0xa5, 16 * MB));
  sk_segment_close(f->s);
  munmap(f, sizeof *f);
}

CLEAN_TEST("a peer cannot shrink the file under a segment") {
  sk_segment *s = segment(MB);
  CHECK(ftruncate(s->fd, 0) < 0);
  CHECK(errno == EPERM);
  sk_segment_close(s);
}

static void grow_too_far (void *arg) {
  sk_segment *s = arg;
  uint64_t size = sk_segment_size(s), top, off = 5;
  signal(SIGXFSZ, SIG_IGN);
  CHECK(sk_segment_alloc(s, 1, 1, &top) == 0);
  limit(RLIMIT_FSIZE, (rlim_t)size);
  CHECK(sk_segment_alloc(s, MB, 1, &off) == SKE_SYS);
  CHECK(errno == EFBIG);
  CHECK(off == 5);
  CHECK(sk_segment_size(s) == size);
  CHECK(sk_segment_alloc(s, 1, 1, &off) == 0);
  CHECK(off == top + 1);
  limit(RLIMIT_FSIZE, RLIM_INFINITY);
  CHECK(sk_segment_alloc(s, MB, 1, &off) == 0);
  CHECK(off == top + 2);
}

CLEAN_TEST("a growth that fails is an error that changes nothing") {
  sk_segment *s = segment(8 * MB);
  in_child(grow_too_far, s);
  sk_segment_close(s);
}

static void grow_with_default_signal (void *arg) {
  uint64_t off;
  sigset_t pending;
  signal(SIGXFSZ, SIG_DFL);
  limit(RLIMIT_FSIZE, 128 * KB);
  CHECK(sk_segment_alloc(arg, MB, 1, &off) == SKE_SYS);
  CHECK(errno == EFBIG);
  CHECK(!sigpending(&pending) && !sigismember(&pending, SIGXFSZ));
}

CLEAN_TEST("a limit on file sizes is an error too, not a deadly signal") {
  sk_segment *s = segment(8 * MB);
  in_child(grow_with_default_signal, s);
  sk_segment_close(s);
}

static void ignore_signal (int signal) {
  (void)signal;
}

static void grow_under_fire (void *arg) {
  struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
  uint64_t off;
  signal(SIGALRM, ignore_signal);
  CHECK(!setitimer(ITIMER_REAL, &often, NULL));
  CHECK(sk_segment_alloc(arg, 128 * MB, 1, &off) == 0);
}

CLEAN_TEST("growth comes to an end under a steady rain of signals") {
  sk_segment *s = segment(512 * MB);
  pid_t pid = child(grow_under_fire, s);
  int64_t until = now_ns() + LONG;
  int status = -1;
  while (waitpid(pid, &status, WNOHANG) == 0 && now_ns() < until) rest_ms(1);
  if (status != 0) killed(pid);
  CHECK(status == 0);
  sk_segment_close(s);
}

/* ---- limits of the process ---- */

static rlim_t address_space (void) {
  FILE *f = fopen("/proc/self/statm", "re");
  unsigned long pages = 0;
  CHECK(f && fscanf(f, "%lu", &pages) == 1);
  if (f) fclose(f);
  return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void reserve_what_is_allowed (void *arg) {
  sk_segment *s = NULL;
  uint64_t off;
  (void)arg;
  limit(RLIMIT_AS, address_space() + 200 * MB);
  CHECK(sk_segment_create("test", (size_t)1 << 30, &s) == 0);
  if (!s) return;
  CHECK(sk_segment_alloc(s, 60 * MB, 8, &off) == 0);
  CHECK(sk_segment_alloc(s, 200 * MB, 8, &off) == SKE_FULL);
  sk_segment_close(s);
}

CLEAN_TEST("a limited address space means a smaller segment") {
  in_child(reserve_what_is_allowed, NULL);
}

static void reserve_nothing (void *arg) {
  sk_segment *s = arg;
  int fds = open_descriptors();
  limit(RLIMIT_AS, address_space() + 600 * KB);
  CHECK(sk_segment_create("test", (size_t)1 << 30, &s) == SKE_NOMEM);
  CHECK(s == arg);
  limit(RLIMIT_AS, RLIM_INFINITY);
  CHECK(open_descriptors() == fds);
}

CLEAN_TEST("no address space at all is an error") {
  in_child(reserve_nothing, NULL);
}

static void open_nothing (void *arg) {
  sk_segment *s = arg;
  int maps = mappings_of("memfd:");
  limit(RLIMIT_NOFILE, 0);
  CHECK(sk_segment_create("test", MB, &s) == SKE_SYS);
  CHECK(errno == EMFILE);
  CHECK(s == arg);
  limit(RLIMIT_NOFILE, 100);
  CHECK(mappings_of("memfd:") == maps);
}

CLEAN_TEST("no descriptor left is an error") {
  in_child(open_nothing, NULL);
}

/* ---- sealed ---- */

static void use_sealed (void *arg) {
  sk_segment *s = arg;
  uint64_t off;
  CHECK(sk_segment_alloc(s, 1000, 8, &off) == 0);
  CHECK(sk_segment_alloc(s, 2 * MB, 8, &off) == SKE_FULL);
}

CLEAN_TEST("a sealed segment holds no descriptor and grows no more") {
  int fds = open_descriptors();
  sk_segment *s = segment(8 * MB);
  sk_segment_seal(s);
  sk_segment_seal(s);
  CHECK(open_descriptors() == fds);
  use_sealed(s);
  in_child(use_sealed, s);
  sk_segment_close(s);
}

static void grow_for_parent (void *arg) {
  struct family *f = arg;
  uint64_t off;
  CHECK(await(&f->parent_grew, 1));
  CHECK(sk_segment_alloc(f->s, 2 * MB, 8, &off) == 0);
  memset(sk_segment_at(f->s, off, 2 * MB), 9, 2 * MB);
  atomic_store(&f->childs, off);
}

CLEAN_TEST("sealing is of one process: its children's growth is still seen") {
  struct family *f = shared_memory(sizeof *f);
  pid_t pid;
  uint8_t *p;
  f->s = segment(8 * MB);
  pid = child(grow_for_parent, f);
  sk_segment_seal(f->s);
  tell(&f->parent_grew);
  CHECK(ended(pid) == 0);
  CHECK(p = sk_segment_at(f->s, atomic_load(&f->childs), 2 * MB));
  CHECK(p && is_filled(p, 9, 2 * MB));
  sk_segment_close(f->s);
  munmap(f, sizeof *f);
}

/* ---- many at once ---- */

enum { TAKERS = 4, PIECES = 400 };

struct piece { uint64_t off; uint32_t len; };

struct taker {
  sk_segment *s;
  uint8_t name;
  struct piece pieces[PIECES];
};

static void take_pieces (void *arg) {
  struct taker *t = arg;
  uint32_t seed = 12345u + t->name;
  int i;
  for (i = 0; i < PIECES; i++) {
    struct piece *piece = &t->pieces[i];
    size_t align = (size_t)1 << random_next(&seed) % 8;
    piece->len = 1 + random_next(&seed) % 9000;
    CHECK(sk_segment_alloc(t->s, piece->len, align, &piece->off) == 0);
    CHECK(piece->off % align == 0);
    memset(sk_segment_at(t->s, piece->off, piece->len), t->name, piece->len);
  }
}

static int by_offset (const void *a, const void *b) {
  const struct piece *x = a, *y = b;
  return (x->off > y->off) - (x->off < y->off);
}

static void check_pieces (struct taker *takers) {
  static struct piece every[TAKERS * PIECES];
  int i, k;
  for (i = 0; i < TAKERS; i++) {
    for (k = 0; k < PIECES; k++) {
      struct piece *p = &takers[i].pieces[k];
      CHECK(is_filled(sk_segment_at(takers[i].s, p->off, p->len),
                      takers[i].name, p->len));
      every[i * PIECES + k] = *p;
    }
  }
  qsort(every, TAKERS * PIECES, sizeof *every, by_offset);
  for (i = 1; i < TAKERS * PIECES; i++)
    CHECK(every[i - 1].off + every[i - 1].len <= every[i].off);
}

typedef void (*runner) (int n, void (*body) (void *), void *args, size_t size);

static void allocate_at_once (runner run) {
  struct taker *takers = shared_memory(TAKERS * sizeof *takers);
  sk_segment *s = segment(64 * MB);
  int i;
  for (i = 0; i < TAKERS; i++) {
    takers[i].s = s;
    takers[i].name = (uint8_t)(i + 1);
  }
  run(TAKERS, take_pieces, takers, sizeof *takers);
  check_pieces(takers);
  sk_segment_close(s);
  munmap(takers, TAKERS * sizeof *takers);
}

CLEAN_TEST("processes that allocate at once never get the same space") {
  allocate_at_once(in_children);
}

CLEAN_TEST("threads that allocate at once never get the same space") {
  allocate_at_once(in_threads);
}

static void take_some (void *arg) {
  uint64_t off;
  int rc = sk_segment_alloc(arg, 20 * KB, 1, &off);
  CHECK(rc == 0 || rc == SKE_FULL);
}

/* Another process takes all that is left in the middle of an allocation,
** wherever that middle is. */
CLEAN_TEST("a race for the last of the space ends with no room, no error") {
  int n, over = 0;
  for (n = 1; !over; STEP_NEXT(n)) {
    sk_segment *s = segment(MB);
    uint64_t off;
    pid_t pid;
    CHECK(sk_segment_alloc(s, 62 * KB, 1, &off) == 0);
    pid = step_to(take_some, s, n, &over);
    while (sk_segment_alloc(s, 40 * KB, 1, &off) == 0) {}
    CHECK(sk_segment_size(s) == MB);
    CHECK(step_end(pid) == 0);
    sk_segment_close(s);
  }
  CHECK(n > 50);
}

static void take_all (void *arg) {
  struct taker *t = arg;
  uint64_t off;
  int rc;
  while ((rc = sk_segment_alloc(t->s, 20 * KB, 1, &off)) == 0) {}
  CHECK(rc == SKE_FULL);
}

CLEAN_TEST("threads that use up the space all end with no room") {
  struct taker *takers = shared_memory(TAKERS * sizeof *takers);
  int round, i;
  for (round = 0; round < 50; round++) {
    sk_segment *s = segment(MB);
    for (i = 0; i < TAKERS; i++) takers[i].s = s;
    in_threads(TAKERS, take_all, takers, sizeof *takers);
    CHECK(sk_segment_size(s) == MB);
    sk_segment_close(s);
  }
  munmap(takers, TAKERS * sizeof *takers);
}

struct watcher {
  sk_segment *s;
  int role;
  _Atomic int *left;
};

static void grow_or_watch (void *arg) {
  struct watcher *w = arg;
  uint64_t size = 0, off;
  if (w->role == 0) {
    while (atomic_load(w->left) > 0) {
      uint64_t seen = sk_segment_size(w->s);
      CHECK(seen >= size && seen <= 32 * MB);
      size = seen;
    }
    return;
  }
  while (sk_segment_alloc(w->s, 10 * KB, 1, &off) == 0) {}
  atomic_fetch_sub(w->left, 1);
}

CLEAN_TEST("the size never falls while many make it grow") {
  _Atomic int left = TAKERS - 1;
  struct watcher w[TAKERS];
  sk_segment *s = segment(32 * MB);
  int i;
  for (i = 0; i < TAKERS; i++) {
    w[i].s = s;
    w[i].role = i;
    w[i].left = &left;
  }
  in_threads(TAKERS, grow_or_watch, w, sizeof *w);
  sk_segment_close(s);
}

/* ---- the root ---- */

static void check_same_root (void *arg) {
  uint64_t *id = arg;
  sk_segment *root = NULL;
  CHECK(sk_root(&root) == 0);
  CHECK(root && sk_segment_id(root) == *id);
}

CLEAN_TEST("the root is one, also in children") {
  sk_segment *first, *again;
  uint64_t id;
  REQUIRE(sk_root(&first) == 0);
  REQUIRE(sk_root(&again) == 0);
  CHECK(first == again);
  id = sk_segment_id(first);
  in_child(check_same_root, &id);
}
