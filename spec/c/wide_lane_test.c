/*
** Wide lanes: as much memory as waits, no more; and users that take over from
** dead ones.
*/
#include "lane.h"

#define WIDE ((size_t)64 << 20)

static struct fixture wide_open (size_t bytes) {
  struct fixture f;
  memset(&f, 0, sizeof f);
  REQUIRE(sk_segment_create("wide", 1 << 20, &f.s) == 0);
  REQUIRE(sk_bell_create(f.s, 0, &f.reader) == 0);
  REQUIRE(sk_bell_create(f.s, 0, &f.writer) == 0);
  REQUIRE(sk_lane_create_wide(f.s, bytes, f.reader, f.writer, &f.l) == 0);
  f.published = (void *)(f.s->base + sizeof(struct segment_header) +
                         2 * SK_LINE);
  return f;
}

#define WIDE_TEST(name) WIDE_DEFINE(name, CHECK_PASTE(wide_, __LINE__))
#define WIDE_DEFINE(text, id) \
  static void id (struct fixture *f); \
  CLEAN_TEST(text) { \
    struct fixture fixture = wide_open(WIDE); \
    id(&fixture); \
    lane_close(&fixture); \
  } \
  static void id (struct fixture *f)

/* Kilobytes of the lanes' memory that exist. */
static long resident (void) {
  FILE *smaps = fopen("/proc/self/smaps", "re");
  char line[512];
  long sum = 0, kb;
  int ours = 0;
  REQUIRE(smaps);
  while (fgets(line, sizeof line, smaps)) {
    if (strchr(line, '-') && strstr(line, " r"))
      ours = strstr(line, "suitkaise-lane") != NULL;
    if (ours && sscanf(line, "Rss: %ld", &kb) == 1) sum += kb;
  }
  fclose(smaps);
  return sum;
}

CLEAN_TEST("a wide ring is a power of two of at least a megabyte") {
  struct fixture f = wide_open(WIDE);
  sk_lane *l = NULL;
  CHECK(sk_lane_create_wide(f.s, 4096, f.reader, f.writer, &l) == SKE_INVAL);
  CHECK(sk_lane_create_wide(f.s, 3 << 20, f.reader, f.writer, &l) ==
        SKE_INVAL);
  CHECK(l == NULL);
  lane_close(&f);
}

static size_t addresses_in_use (void) {
  FILE *statm = fopen("/proc/self/statm", "re");
  unsigned long pages = 0;
  CHECK(statm && fscanf(statm, "%lu", &pages) == 1);
  if (statm) fclose(statm);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void create_with_few_addresses (void *arg) {
  struct fixture f;
  (void)arg;
  limit(RLIMIT_AS, addresses_in_use() + ((size_t)64 << 20));
  f = wide_open((size_t)512 << 20);
  limit(RLIMIT_AS, RLIM_INFINITY);
  CHECK(sk_lane_limit(f.l) >= 1 << 19);
  CHECK(sk_lane_limit(f.l) < 64 << 20);
  CHECK(put(f.l, 1, 100));
  expect(f.l, 1, 100);
}

CLEAN_TEST("where addresses are few the ring is smaller") {
  if (!SANITIZED) in_child(create_with_few_addresses, NULL);
}

WIDE_TEST("messages of every size keep their order") {
  static const size_t sizes[] = { 0, 1, 8, 4095, 65536, 3000000, 17 };
  uint32_t round, i;
  for (round = 0; round < 3; round++) {
    for (i = 0; i < COUNT(sizes); i++) CHECK(put(f->l, i, sizes[i]));
    for (i = 0; i < COUNT(sizes); i++) expect(f->l, i, sizes[i]);
    expect_none(f->l);
    sk_lane_release(f->l);
  }
}

WIDE_TEST("it takes all that fits, and says when it is full") {
  uint32_t n = 0, i;
  while (put(f->l, n, 1000000)) n++;
  CHECK(n == WIDE / 1000008);
  CHECK(sk_lane_pending(f->l) == n * 1000008ull);
  CHECK(sk_lane_unread(f->l) == n * 1000008ull);
  for (i = 0; i < n; i++) expect(f->l, i, 1000000);
  CHECK(sk_lane_unread(f->l) == 0);
  CHECK(!put(f->l, 1, 1000000));
  sk_lane_release(f->l);
  CHECK(put(f->l, 1, 1000000));
}

WIDE_TEST("memory is given back once it was read") {
  uint32_t i;
  for (i = 0; i < 40; i++) CHECK(put(f->l, i, 1000000));
  CHECK(resident() > 30000);
  for (i = 0; i < 40; i++) expect(f->l, i, 1000000);
  sk_lane_release(f->l);
  CHECK(put(f->l, 1, 10));
  CHECK(resident() < 6000);
}

WIDE_TEST("a reader that keeps up stays in a few pages") {
  uint32_t i;
  for (i = 0; i < 100000; i++) {
    CHECK(put(f->l, i, 1000));
    expect(f->l, i, 1000);
    sk_lane_release(f->l);
  }
  CHECK(resident() < 1000);
}

WIDE_TEST("one that never quite keeps up does not use more and more") {
  uint32_t i;
  CHECK(put(f->l, 0, 1000));
  for (i = 1; i < ROUNDS(300000); i++) {
    CHECK(put(f->l, i, 1000));
    expect(f->l, i - 1, 1000);
    sk_lane_release(f->l);
    if (i % 50000 == 0) CHECK(resident() < 20000);
  }
}

WIDE_TEST("a full ring that is read and written in turns stays right") {
  uint32_t first = 0, last = 0, i;
  uint32_t seed = 7;
  for (i = 0; i < ROUNDS(30); i++) {
    while (put(f->l, last, 100000 + last % 7)) last++;
    for (; first < last && random_next(&seed) % 200; first++)
      expect(f->l, first, 100000 + first % 7);
    if (random_next(&seed) % 2) sk_lane_release(f->l);
  }
  for (; first < last; first++) expect(f->l, first, 100000 + first % 7);
}

WIDE_TEST("a reset leaves it empty and small") {
  uint32_t i;
  for (i = 0; i < 20; i++) CHECK(put(f->l, i, 1000000));
  sk_lane_reset(f->l);
  expect_none(f->l);
  CHECK(resident() < 3000);
  CHECK(put(f->l, 5, 5));
  expect(f->l, 5, 5);
}

/* ---- taking over ---- */

struct partners {
  struct fixture *f;
  event *ready;
};

static void write_for_ever (void *arg) {
  struct partners *p = arg;
  uint32_t i;
  sk_lane_adopt(p->f->l);
  for (i = 0;; i++) {
    while (!put(p->f->l, i, i % 5000)) rest_ms(1);
    if (i == 100) tell(p->ready);
  }
}

WIDE_TEST("a writer goes on after one that was killed") {
  struct partners p = { f, shared_memory(sizeof *p.ready) };
  uint32_t round, i;
  sk_message m;
  for (round = 1; round <= 20; round++) {
    pid_t pid = child(write_for_ever, &p);
    CHECK(await(p.ready, round));
    killed(pid);
    for (i = 0; sk_lane_next(f->l, &m) == 1; i++)
      CHECK(is_whole(&m, i, i % 5000));
    CHECK(i > 100);
    sk_lane_release(f->l);
  }
  munmap(p.ready, sizeof *p.ready);
}

static void read_some (void *arg) {
  struct partners *p = arg;
  sk_message m;
  sk_lane_adopt(p->f->l);
  CHECK(sk_lane_next(p->f->l, &m) == 1);
  CHECK(sk_lane_next(p->f->l, &m) == 1);
  sk_lane_release(p->f->l);
  CHECK(sk_lane_next(p->f->l, &m) == 1);
  tell(p->ready);
  for (;;) rest_ms(1000);
}

WIDE_TEST("a reader gets what the one that was killed had not given back") {
  struct partners p = { f, shared_memory(sizeof *p.ready) };
  pid_t pid;
  uint32_t i;
  for (i = 0; i < 5; i++) CHECK(put(f->l, i, 100));
  pid = child(read_some, &p);
  CHECK(await(p.ready, 1));
  killed(pid);
  sk_lane_adopt(f->l);
  for (i = 2; i < 5; i++) expect(f->l, i, 100);
  expect_none(f->l);
  munmap(p.ready, sizeof *p.ready);
}
