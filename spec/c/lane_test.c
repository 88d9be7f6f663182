/*
** Lanes in one process: order, the ring's end, room, reset, damage.
*/
#include "lane.h"

/* ---- life ---- */

CLEAN_TEST("a ring is a power of two of whole pages") {
  static const size_t wrong[] = {
    0, 1, 8, RING / 2, RING - 1, RING + 1, 3 * RING, 5 * RING,
    (size_t)1 << 31, SIZE_MAX, SIZE_MAX / 2 + 1
  };
  struct fixture f = lane_open(RING, 0);
  sk_lane *l = (void *)&f;
  size_t i;
  for (i = 0; i < COUNT(wrong); i++)
    CHECK(sk_lane_create(f.s, wrong[i], f.reader, f.writer, &l) == SKE_INVAL);
  CHECK(l == (void *)&f);
  lane_close(&f);
}

CLEAN_TEST("a segment without room for the ring gives no lane") {
  struct fixture f = lane_open(RING, 0);
  sk_lane *l = (void *)&f;
  CHECK(sk_lane_create(f.s, 1 << 21, f.reader, f.writer, &l) == SKE_FULL);
  CHECK(l == (void *)&f);
  lane_close(&f);
}

CLEAN_TEST("a sealed segment gives no lane") {
  struct fixture f = lane_open(RING, 0);
  sk_lane *l = (void *)&f;
  sk_segment_seal(f.s);
  CHECK(sk_lane_create(f.s, RING, f.reader, f.writer, &l) == SKE_FULL);
  CHECK(l == (void *)&f);
  lane_close(&f);
}

static void create_without_addresses (void *arg) {
  struct fixture *f = arg;
  sk_lane *l = arg;
  int maps = mappings_of("memfd:");
  limit(RLIMIT_AS, 1 << 20);
  CHECK(sk_lane_create(f->s, 1 << 20, f->reader, f->writer, &l) == SKE_NOMEM);
  limit(RLIMIT_AS, RLIM_INFINITY);
  CHECK(l == arg);
  CHECK(mappings_of("memfd:") == maps);
}

CLEAN_TEST("without address space there is no lane, and nothing is left") {
  struct fixture f = lane_open(1 << 20, 0);
  in_child(create_without_addresses, &f);
  lane_close(&f);
}

CLEAN_TEST("a freed lane leaves no mapping") {
  struct fixture f = lane_open(RING, 0);
  int maps = mappings_of("memfd:lane");
  sk_lane *l;
  CHECK(sk_lane_create(f.s, RING, f.reader, f.writer, &l) == 0);
  CHECK(mappings_of("memfd:lane") > maps);
  sk_lane_free(l);
  CHECK(mappings_of("memfd:lane") == maps);
  sk_lane_free(NULL);
  lane_close(&f);
}

LANE_TEST("a new lane is empty") {
  expect_none(f->l);
  CHECK(!sk_lane_ready(f->l));
  CHECK(sk_lane_pending(f->l) == 0);
  CHECK(sk_lane_limit(f->l) == RING - 8);
}

/* ---- messages ---- */

LANE_TEST("messages come in order, whole, with their kinds") {
  uint32_t i;
  for (i = 0; i < 20; i++) CHECK(put(f->l, i, 10 * i));
  for (i = 0; i < 20; i++) expect(f->l, i, 10 * i);
  expect_none(f->l);
}

LANE_TEST("a message of no bytes is a message") {
  CHECK(put(f->l, 7, 0));
  CHECK(sk_lane_ready(f->l));
  expect(f->l, 7, 0);
  CHECK(!sk_lane_ready(f->l));
}

LANE_TEST("what is reserved and not published is not there") {
  size_t room;
  uint8_t *p = sk_lane_reserve(f->l, 100, &room);
  REQUIRE(p);
  memset(p, 0xff, room);
  expect_none(f->l);
  CHECK(sk_lane_pending(f->l) == 0);
  CHECK(put(f->l, 3, 50));
  expect(f->l, 3, 50);
  expect_none(f->l);
}

LANE_TEST("less than was reserved may be published") {
  size_t room;
  uint8_t *p = sk_lane_reserve(f->l, 1000, &room);
  REQUIRE(p);
  fill(p, 1, 3);
  sk_lane_publish(f->l, 1, 3);
  CHECK(put(f->l, 2, 5));
  expect(f->l, 1, 3);
  expect(f->l, 2, 5);
}

LANE_TEST("positions grow, and a message tells the one it was given") {
  uint64_t pos[10];
  sk_message m;
  size_t room;
  int i;
  for (i = 0; i < 10; i++) {
    REQUIRE(sk_lane_reserve(f->l, 100, &room));
    pos[i] = sk_lane_publish(f->l, 0, 100);
    CHECK(i == 0 || pos[i] > pos[i - 1]);
  }
  for (i = 0; i < 10; i++) {
    CHECK(sk_lane_next(f->l, &m) == 1);
    CHECK(m.pos == pos[i]);
  }
}

LANE_TEST("data begins where a 64-bit word may") {
  uint32_t i;
  for (i = 0; i < 500; i++) {
    sk_message m;
    CHECK(put(f->l, i, i % 97));
    CHECK(sk_lane_next(f->l, &m) == 1);
    CHECK((uintptr_t)m.data % 8 == 0);
    sk_lane_release(f->l);
  }
}

/* ---- the ring's end ---- */

LANE_TEST("messages of every size go over the ring's end whole") {
  size_t len, i;
  uint32_t n = 0;
  for (len = 0; len <= sk_lane_limit(f->l); len++) {
    for (i = 0; i < 3; i++) {
      CHECK(put(f->l, n, len));
      expect(f->l, n++, len);
      sk_lane_release(f->l);
    }
  }
  expect_none(f->l);
}

LANE_TEST("a message goes over the ring's end at every place of it") {
  size_t at;
  uint32_t n = 0;
  for (at = 0; at < RING / 8; at++) {
    size_t len = RING - 8 - 8 * (at % 3);
    CHECK(put(f->l, n, len));
    expect(f->l, n++, len);
    sk_lane_release(f->l);
    CHECK(put(f->l, n, at % 5));  /* shifts the next one */
    expect(f->l, n++, at % 5);
    sk_lane_release(f->l);
  }
}

LANE_TEST("both halves of the mapping are the same memory") {
  volatile uint8_t *ring = f->ring;  /* the compiler knows nothing of it */
  size_t i;
  for (i = 8; i < RING; i++) {
    ring[i] = (uint8_t)(i * 3);
    CHECK(ring[RING + i] == (uint8_t)(i * 3));
    ring[RING + i] = (uint8_t)i;
    CHECK(ring[i] == (uint8_t)i);
  }
}

LANE_TEST("random messages come out as they went in") {
  enum { AHEAD = 1024 };  /* more than the ring holds */
  static size_t lens[AHEAD];
  uint32_t in = 0, out = 0, seed = 4711;
  while (out < (uint32_t)ROUNDS(30000)) {
    size_t len = random_next(&seed) % (random_next(&seed) % 8 ? 100 : RING);
    if (random_next(&seed) % 2 && put(f->l, in, len)) {
      lens[in++ % AHEAD] = len;
    } else if (out < in) {
      expect(f->l, out, lens[out % AHEAD]);
      out++;
      if (random_next(&seed) % 2) sk_lane_release(f->l);
    } else {
      sk_lane_release(f->l);
    }
  }
}

/* ---- room ---- */

LANE_TEST("the largest message fits an empty ring, a larger one never") {
  size_t most = sk_lane_limit(f->l), room = 5;
  CHECK(!sk_lane_reserve(f->l, most + 1, &room));
  CHECK(!sk_lane_reserve(f->l, RING, &room));
  CHECK(!sk_lane_reserve(f->l, SIZE_MAX, &room));
  CHECK(!sk_lane_reserve(f->l, SIZE_MAX - 7, &room));
  CHECK(room == 5);
  CHECK(put(f->l, 1, most));
  CHECK(!put(f->l, 2, 0));
  expect(f->l, 1, most);
  sk_lane_release(f->l);
  CHECK(put(f->l, 2, most));
  expect(f->l, 2, most);
}

LANE_TEST("a full ring takes nothing until something is released") {
  uint32_t in = 0, out = 0;
  while (put(f->l, in, 56)) in++;
  CHECK(in == RING / 64);
  CHECK(sk_lane_pending(f->l) == RING);
  expect(f->l, out++, 56);
  CHECK(!put(f->l, in, 56));  /* taken, but not released */
  sk_lane_release(f->l);
  CHECK(put(f->l, in, 56));
  in++;
  CHECK(!put(f->l, in, 0));
  while (out < in) expect(f->l, out++, 56);
  sk_lane_release(f->l);
  CHECK(sk_lane_pending(f->l) == 0);
}

LANE_TEST("the room that is offered can be used, all of it") {
  uint32_t n, seed = 99;
  for (n = 0; n < 500; n++) {
    size_t room = 0, len = random_next(&seed) % 200;
    uint8_t *p;
    CHECK(put(f->l, n, len));
    p = sk_lane_reserve(f->l, 0, &room);
    CHECK(p && room == RING - 8 - ((8 + len + 7) & ~(size_t)7));
    if (!p) return;
    fill(p, n, room);
    sk_lane_publish(f->l, n, room);
    expect(f->l, n, len);
    expect(f->l, n, room);
    sk_lane_release(f->l);
  }
}

LANE_TEST("a writer knows what was released, and how much is pending") {
  uint64_t first, second;
  size_t room;
  REQUIRE(sk_lane_reserve(f->l, 8, &room));
  first = sk_lane_publish(f->l, 0, 8);
  REQUIRE(sk_lane_reserve(f->l, 8, &room));
  second = sk_lane_publish(f->l, 1, 8);
  CHECK(sk_lane_pending(f->l) == 32);
  CHECK(!sk_lane_released(f->l, first));
  sk_lane_next(f->l, &(sk_message){ 0 });
  CHECK(!sk_lane_released(f->l, first));
  sk_lane_release(f->l);
  CHECK(sk_lane_released(f->l, first));
  CHECK(!sk_lane_released(f->l, second));
  CHECK(sk_lane_pending(f->l) == 16);
}

LANE_TEST("taking further messages leaves those before in place") {
  const uint8_t *first;
  sk_message m;
  uint32_t i;
  for (i = 0; i < 10; i++) CHECK(put(f->l, i, 300));
  CHECK(sk_lane_next(f->l, &m) == 1);
  first = m.data;
  for (i = 1; i < 10; i++) expect(f->l, i, 300);
  CHECK(!put(f->l, 10, 2000));
  CHECK(first[0] == byte_of(0, 0) && first[299] == byte_of(0, 299));
  sk_lane_release(f->l);
  CHECK(put(f->l, 10, 2000));
}

LANE_TEST("a lane that was reset is as good as new") {
  int round;
  for (round = 0; round < 3; round++) {
    uint32_t i = 0;
    while (put(f->l, i, 100)) i++;
    expect(f->l, 0, 100);
    sk_lane_reset(f->l);
    expect_none(f->l);
    CHECK(sk_lane_pending(f->l) == 0);
    CHECK(put(f->l, 5, RING - 8));
    expect(f->l, 5, RING - 8);
    sk_lane_reset(f->l);
  }
}

/* ---- damage by the other side ---- */

LANE_TEST("a length beyond what was published is damage") {
  static const uint32_t lengths[] = {
    17, 24, RING, RING * 2, 0x7fffffff, 0xfffffff0, 0xfffffff8, 0xffffffff
  };
  sk_message m = { 0 };
  size_t i;
  for (i = 0; i < COUNT(lengths); i++) {
    CHECK(put(f->l, 1, 16));
    memcpy(f->ring, &lengths[i], sizeof lengths[i]);
    CHECK(sk_lane_next(f->l, &m) == SKE_CORRUPT);
    CHECK(sk_lane_next(f->l, &m) == SKE_CORRUPT);
    sk_lane_reset(f->l);
  }
  CHECK(!m.data && !m.len);
}

LANE_TEST("a published position that cannot be is damage") {
  static const uint64_t positions[] = {
    1, 7, RING + 1, RING + 8, RING * 2, (uint64_t)1 << 40, UINT64_MAX,
    UINT64_MAX - 7, (uint64_t)1 << 63
  };
  sk_message m = { 0 };
  size_t i;
  for (i = 0; i < COUNT(positions); i++) {
    memset(f->ring, 0, 8);
    atomic_store(f->published, positions[i]);
    CHECK(sk_lane_next(f->l, &m) == SKE_CORRUPT);
    CHECK(sk_lane_next(f->l, &m) == SKE_CORRUPT);
    sk_lane_reset(f->l);
  }
  CHECK(!m.data);
}

LANE_TEST("a published position that goes back is damage") {
  sk_message m;
  CHECK(put(f->l, 1, 100));
  expect(f->l, 1, 100);
  atomic_store(f->published, 8);
  CHECK(sk_lane_next(f->l, &m) == SKE_CORRUPT);
}

LANE_TEST("a released position that cannot be offers no room") {
  static const uint64_t positions[] = {
    RING + 8, RING + 16, RING * 3, UINT64_MAX, (uint64_t)1 << 63
  };
  size_t i, room = 0;
  for (i = 0; i < COUNT(positions); i++) {
    CHECK(put(f->l, 1, RING - 8));
    atomic_store(f->released, positions[i]);
    CHECK(!sk_lane_reserve(f->l, 0, &room));
    CHECK(!sk_lane_reserve(f->l, RING - 8, &room));
    CHECK(sk_lane_wait_room(f->l, 8, LONG) == SKE_CORRUPT);
    CHECK(sk_lane_pending(f->l) <= RING);
    sk_lane_reset(f->l);
  }
  CHECK(room == 0);
}

static void check_inside (const struct fixture *f, const sk_message *m) {
  const uint8_t *p = m->data;
  CHECK(p >= f->ring && p <= f->ring + RING + 8);
  CHECK(m->len <= RING - 8);
  CHECK(p + m->len <= f->ring + 2 * RING);
}

LANE_TEST("random damage never leads a reader or a writer out of the ring") {
  uint32_t seed = 20260, round;
  for (round = 0; round < (uint32_t)ROUNDS(20000); round++) {
    sk_message m;
    int rc, n = 0;
    size_t room, need = random_next(&seed) % RING, i;
    uint8_t *p;
    for (i = 0; i < RING; i += 1 + random_next(&seed) % 64)
      f->ring[i] = (uint8_t)(random_next(&seed) % 4 ? 0 : random_next(&seed));
    atomic_store(f->published, random_next(&seed) % (3 * RING) & ~7u);
    while ((rc = sk_lane_next(f->l, &m)) == 1 && n++ < 600)
      check_inside(f, &m);
    CHECK(rc == 0 || rc == SKE_CORRUPT);
    atomic_store(f->released, random_next(&seed) % (3 * RING));
    if ((p = sk_lane_reserve(f->l, need, &room))) {
      CHECK(room >= need && room <= RING - 8);
      CHECK(p >= f->ring && p + room <= f->ring + 2 * RING);
      sk_lane_publish(f->l, 0, need);
    }
    if (random_next(&seed) % 4 == 0) sk_lane_reset(f->l);
  }
}
