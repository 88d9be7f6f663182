/*
** Claims: the reader takes items, the writer takes them back, and every item
** is had by exactly one of the two.
*/
#include "lane.h"
#include "step.h"

#include <sched.h>

enum { ITEMS = 64 };

/* Publish a message with n claims; -> its pos. */
static uint64_t publish (sk_lane *l, uint32_t n) {
  size_t room;
  void *p = sk_lane_reserve(l, 8 + n, &room);
  REQUIRE(p);
  sk_claim_init(p, n);
  return sk_lane_publish(l, 1, 8 + n);
}

/* The reader's view of the next message. */
static void *next_data (sk_lane *l) {
  sk_message m = { 0 };
  CHECK(sk_lane_next(l, &m) == 1);
  return (void *)(uintptr_t)m.data;
}

static void check_state (sk_lane *l, uint64_t pos, uint32_t is_taken,
                         uint32_t is_end) {
  uint32_t taken, end;
  sk_claim_state(l, pos, &taken, &end);
  CHECK(taken == is_taken);
  CHECK(end == is_end);
}

/* ---- one after the other ---- */

LANE_TEST("items are taken lowest first, each once, then none") {
  uint64_t pos = publish(f->l, 5);
  void *data = next_data(f->l);
  int64_t i;
  check_state(f->l, pos, 0, 5);
  for (i = 0; i < 5; i++) CHECK(sk_claim_take(data) == i);
  CHECK(sk_claim_take(data) == -1);
  CHECK(sk_claim_take(data) == -1);
  check_state(f->l, pos, 5, 5);
}

LANE_TEST("a message of no items has none to take") {
  uint64_t pos = publish(f->l, 0);
  uint32_t from = 77;
  CHECK(sk_claim_take(next_data(f->l)) == -1);
  CHECK(sk_claim_revoke(f->l, pos, 0, &from) == 0);
  CHECK(from == 77);
}

LANE_TEST("what is taken back is taken back from the end") {
  uint64_t pos = publish(f->l, 10);
  void *data = next_data(f->l);
  uint32_t from = 0;
  CHECK(sk_claim_take(data) == 0);
  CHECK(sk_claim_take(data) == 1);
  CHECK(sk_claim_revoke(f->l, pos, 3, &from) == 5);
  CHECK(from == 5);
  check_state(f->l, pos, 2, 5);
  CHECK(sk_claim_take(data) == 2);
  CHECK(sk_claim_take(data) == 3);
  CHECK(sk_claim_take(data) == 4);
  CHECK(sk_claim_take(data) == -1);
}

LANE_TEST("nothing is taken back that was begun, or that shall stay") {
  uint64_t pos = publish(f->l, 4);
  void *data = next_data(f->l);
  uint32_t from = 99;
  CHECK(sk_claim_revoke(f->l, pos, 4, &from) == 0);
  CHECK(sk_claim_revoke(f->l, pos, 1000, &from) == 0);
  CHECK(sk_claim_revoke(f->l, pos, UINT32_MAX, &from) == 0);
  while (sk_claim_take(data) >= 0) {}
  CHECK(sk_claim_revoke(f->l, pos, 0, &from) == 0);
  CHECK(from == 99);
}

LANE_TEST("everything can be taken back before it is begun") {
  uint64_t pos = publish(f->l, 4);
  uint32_t from = 99;
  CHECK(sk_claim_revoke(f->l, pos, 0, &from) == 4);
  CHECK(from == 0);
  CHECK(sk_claim_take(next_data(f->l)) == -1);
  CHECK(sk_claim_revoke(f->l, pos, 0, &from) == 0);
}

LANE_TEST("items can be taken back bit by bit") {
  uint64_t pos = publish(f->l, 10);
  uint32_t from, keep;
  for (keep = 9; keep < 10; keep--) {
    CHECK(sk_claim_revoke(f->l, pos, keep, &from) == 1);
    CHECK(from == keep);
  }
}

LANE_TEST("claims of one message leave those of another alone") {
  uint64_t first = publish(f->l, 3), second = publish(f->l, 3);
  uint32_t from;
  void *data = next_data(f->l);
  CHECK(sk_claim_take(data) == 0);
  CHECK(sk_claim_revoke(f->l, second, 0, &from) == 3);
  check_state(f->l, first, 1, 3);
  check_state(f->l, second, 0, 0);
  CHECK(sk_claim_take(data) == 1);
}

LANE_TEST("the largest number of items counts right") {
  size_t room;
  void *p = sk_lane_reserve(f->l, 8, &room);
  uint64_t pos;
  uint32_t from;
  REQUIRE(p);
  sk_claim_init(p, UINT32_MAX);
  pos = sk_lane_publish(f->l, 1, 8);
  CHECK(sk_claim_take(next_data(f->l)) == 0);
  CHECK(sk_claim_revoke(f->l, pos, UINT32_MAX - 2, &from) == 1);
  CHECK(from == UINT32_MAX - 1);
}

LANE_TEST("claims lie in the ring wherever it ends") {
  uint32_t i, from;
  for (i = 0; i < RING; i++) {
    uint64_t pos = publish(f->l, 3 + i % 11);
    void *data = next_data(f->l);
    CHECK(sk_claim_take(data) == 0);
    CHECK(sk_claim_revoke(f->l, pos, 1, &from) == 1 + i % 11);
    CHECK(sk_claim_take(data) == 1);
    CHECK(sk_claim_take(data) == -1);
    sk_lane_release(f->l);
  }
}

/* ---- both at once ---- */

struct race {
  struct fixture *f;
  uint32_t rounds;
  _Atomic uint8_t *had;    /* per round and item: how often */
  uint32_t by_writer;
};

static _Atomic uint8_t *had (struct race *r, uint32_t round) {
  return r->had + (size_t)round * ITEMS;
}

static void take_items (void *arg) {
  struct race *r = arg;
  uint32_t i, seed = 3;
  for (i = 0; i < r->rounds; i++) {
    sk_message m;
    int64_t item;
    while (!sk_lane_next(r->f->l, &m)) sched_yield();
    while ((item = sk_claim_take((void *)(uintptr_t)m.data)) >= 0) {
      atomic_fetch_add(had(r, i) + item, 1);
      if (random_next(&seed) % 16 == 0) sched_yield();
    }
    sk_lane_release(r->f->l);
  }
}

static void take_back_items (void *arg) {
  struct race *r = arg;
  uint32_t i, seed = 8;
  for (i = 0; i < r->rounds; i++) {
    uint64_t pos = publish(r->f->l, ITEMS);
    while (!sk_lane_released(r->f->l, pos)) {
      uint32_t from = 0, keep = random_next(&seed) % 4, n, k;
      n = sk_claim_revoke(r->f->l, pos, keep, &from);
      for (k = from; k < from + n; k++) atomic_fetch_add(had(r, i) + k, 1);
      r->by_writer += n;
      sched_yield();
    }
  }
}

static void race (int threads) {
  struct fixture f = lane_open(RING, 0);
  uint32_t rounds = (uint32_t)ROUNDS(3000), i;
  size_t bytes = (size_t)rounds * ITEMS;
  struct race r = { &f, rounds, shared_memory(bytes), 0 };
  pthread_t thread;
  pid_t pid = 0;
  struct thread_call call = { take_items, &r };
  if (threads) pthread_create(&thread, NULL, thread_main, &call);
  else pid = child(take_items, &r);
  take_back_items(&r);
  if (threads) pthread_join(thread, NULL);
  else CHECK(ended(pid) == 0);
  for (i = 0; i < bytes; i++) CHECK(r.had[i] == 1);
  CHECK(r.by_writer > 0 && r.by_writer < bytes);
  munmap((void *)r.had, bytes);
  lane_close(&f);
}

CLEAN_TEST("a process that takes and one that takes back share every item") {
  race(0);
}

CLEAN_TEST("a thread that takes and one that takes back share every item") {
  race(1);
}

/* ---- death ---- */

static void take_two (void *data) {
  CHECK(sk_claim_take(data) == 0);
  CHECK(sk_claim_take(data) == 1);
}

CLEAN_TEST("of a reader killed after any instruction it is known what it had") {
  struct fixture f = lane_open(RING, 0);
  int n, over = 0;
  uint32_t before = 0;
  for (n = 1; !over; STEP_NEXT(n)) {
    uint64_t pos = publish(f.l, 5);
    void *data = next_data(f.l);
    uint32_t taken, end, from = 0;
    killed(step_to(take_two, data, n, &over));
    sk_claim_state(f.l, pos, &taken, &end);
    CHECK(end == 5 && taken <= 2);
    CHECK(taken >= before || SANITIZED);
    CHECK(sk_claim_revoke(f.l, pos, 0, &from) == 5 - taken);
    CHECK(from == taken);
    before = taken;
    sk_lane_release(f.l);
  }
  CHECK(before == 2 && n > 20);
  lane_close(&f);
}

struct take_call { void *data; int64_t *taken; };

static void take_one (void *arg) {
  struct take_call *call = arg;
  *call->taken = sk_claim_take(call->data);
}

CLEAN_TEST("a writer may take all back in the middle of a taking") {
  struct fixture f = lane_open(RING, 0);
  int64_t *taken = shared_memory(sizeof *taken);
  int n, over = 0;
  for (n = 1; !over; STEP_NEXT(n)) {
    uint64_t pos = publish(f.l, 5);
    struct take_call call = { next_data(f.l), taken };
    uint32_t from = 99, back;
    pid_t pid = step_to(take_one, &call, n, &over);
    back = sk_claim_revoke(f.l, pos, 0, &from);
    CHECK(step_end(pid) == 0);
    CHECK(back + from == 5);
    CHECK(*taken == (from == 1 ? 0 : -1));
    check_state(f.l, pos, from, from);
    sk_lane_release(f.l);
  }
  munmap(taken, sizeof *taken);
  lane_close(&f);
}

struct revoke_call { sk_lane *l; uint64_t pos; };

static void take_back_some (void *arg) {
  struct revoke_call *call = arg;
  uint32_t from = 0, n = sk_claim_revoke(call->l, call->pos, 1, &from);
  CHECK(n == 0 ? from == 0 : from + n == 5);
}

CLEAN_TEST("a reader may take all there is in the middle of a taking back") {
  struct fixture f = lane_open(RING, 0);
  int n, over = 0;
  for (n = 1; !over; STEP_NEXT(n)) {
    struct revoke_call call = { f.l, publish(f.l, 5) };
    void *data = next_data(f.l);
    uint32_t taken, end;
    int64_t i, last = -1;
    pid_t pid = step_to(take_back_some, &call, n, &over);
    while ((i = sk_claim_take(data)) >= 0) {
      CHECK(i == last + 1);
      last = i;
    }
    CHECK(step_end(pid) == 0);
    sk_claim_state(f.l, call.pos, &taken, &end);
    CHECK(taken == end && taken == (uint32_t)(last + 1));
    CHECK(taken == 5 || taken == 1);
    sk_lane_release(f.l);
  }
  lane_close(&f);
}
