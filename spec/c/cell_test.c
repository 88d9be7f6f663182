/*
** Cells: every operation, from many processes and threads, and the wait.
*/
#include "clean.h"
#include "step.h"

#include <sched.h>

enum { PROCESSES = 4, THREADS = 3 };

static sk_segment *segment;

/* A test with a segment of its own. */
#define CELL_TEST(name) CELL_DEFINE(name, CHECK_PASTE(cell_, __LINE__))
#define CELL_DEFINE(text, id) \
  static void id (void); \
  CLEAN_TEST(text) { \
    REQUIRE(sk_segment_create("cells", 1 << 20, &segment) == 0); \
    id(); \
    sk_segment_close(segment); \
  } \
  static void id (void)

static sk_cell *cell (int64_t value) {
  sk_cell *c = NULL;
  REQUIRE(sk_cell_create(segment, value, &c) == 0);
  return c;
}

/* ---- one process ---- */

CELL_TEST("a cell begins with the value it was given") {
  CHECK(sk_cell_load(cell(0)) == 0);
  CHECK(sk_cell_load(cell(-7)) == -7);
  CHECK(sk_cell_load(cell(INT64_MAX)) == INT64_MAX);
  CHECK(sk_cell_load(cell(INT64_MIN)) == INT64_MIN);
}

CELL_TEST("no two cells share a cache line") {
  sk_cell *a = cell(1), *b = cell(2);
  CHECK((uintptr_t)a % 128 == 0);
  CHECK((uintptr_t)b % 128 == 0);
  CHECK(a != b);
}

CELL_TEST("adding tells the new value") {
  sk_cell *c = cell(10);
  CHECK(sk_cell_add(c, 5) == 15);
  CHECK(sk_cell_add(c, -20) == -5);
  CHECK(sk_cell_add(c, 0) == -5);
  CHECK(sk_cell_load(c) == -5);
}

CELL_TEST("adding wraps round at either end") {
  sk_cell *c = cell(INT64_MAX);
  CHECK(sk_cell_add(c, 1) == INT64_MIN);
  CHECK(sk_cell_add(c, -1) == INT64_MAX);
  CHECK(sk_cell_add(c, INT64_MIN) == -1);
}

CELL_TEST("exchanging tells the old value") {
  sk_cell *c = cell(1);
  CHECK(sk_cell_exchange(c, 2) == 1);
  CHECK(sk_cell_exchange(c, 3) == 2);
  CHECK(sk_cell_load(c) == 3);
}

CELL_TEST("replacing does so only when the value is as it was seen") {
  sk_cell *c = cell(1);
  CHECK(!sk_cell_replace(c, 2, 9));
  CHECK(sk_cell_load(c) == 1);
  CHECK(sk_cell_replace(c, 1, 9));
  CHECK(sk_cell_load(c) == 9);
}

CELL_TEST("notes stand beside the value and beside each other") {
  sk_cell *c = cell(1);
  CHECK(sk_cell_note(c, 0) == 0 && sk_cell_note(c, 1) == 0);
  sk_cell_set_note(c, 0, INT64_MIN);
  sk_cell_set_note(c, 1, 77);
  CHECK(sk_cell_note(c, 0) == INT64_MIN);
  CHECK(sk_cell_note(c, 1) == 77);
  CHECK(sk_cell_load(c) == 1);
}

CELL_TEST("a note that does not exist is 0 and cannot be set") {
  sk_cell *c = cell(1), *next = cell(2);
  sk_cell_set_note(c, 2, 5);
  sk_cell_set_note(c, -1, 5);
  sk_cell_set_note(c, INT32_MAX, 5);
  CHECK(sk_cell_note(c, 2) == 0);
  CHECK(sk_cell_note(c, -1) == 0);
  CHECK(sk_cell_note(c, INT32_MIN) == 0);
  CHECK(sk_cell_load(c) == 1 && sk_cell_load(next) == 2);
}

CELL_TEST("a full segment gives no cell") {
  uint64_t off;
  sk_cell *c = (void *)&off;
  while (sk_segment_alloc(segment, 1000, 8, &off) == 0) {}
  while (sk_segment_alloc(segment, 8, 8, &off) == 0) {}
  CHECK(sk_cell_create(segment, 1, &c) == SKE_FULL);
  CHECK(c == (void *)&off);
}

/* ---- as they travel ---- */

CELL_TEST("a cell is found again by where it is") {
  sk_cell *c = cell(5), *found = NULL;
  uint64_t id, off;
  CHECK(sk_cell_where(c, &id, &off) == 0);
  CHECK(id == sk_segment_id(segment));
  CHECK(sk_cell_find(id, off, &found) == 0);
  CHECK(found == c);
}

CELL_TEST("what is no cell is not somewhere") {
  uint64_t local[16], id = 1, off = 2;
  CHECK(sk_cell_where((sk_cell *)(void *)local, &id, &off) == SKE_UNKNOWN);
  CHECK(id == 1 && off == 2);
}

CELL_TEST("in a segment that this process does not have nothing is found") {
  sk_cell *c = cell(5), *found;
  uint64_t id, off;
  CHECK(sk_cell_where(c, &id, &off) == 0);
  found = (void *)&id;
  CHECK(sk_cell_find(id + 1, off, &found) == SKE_UNKNOWN);
  CHECK(sk_cell_find(0, off, &found) == SKE_UNKNOWN);
  CHECK(found == (void *)&id);
}

CELL_TEST("where no cell can be none is found") {
  uint64_t id = sk_segment_id(segment), off, here;
  sk_cell *c = cell(5), *last = cell(6), *found = (void *)&id;
  CHECK(sk_cell_where(c, &here, &off) == 0);
  CHECK(sk_cell_find(id, 0, &found) == SKE_INVAL);
  CHECK(sk_cell_find(id, 128, &found) == SKE_INVAL);
  CHECK(sk_cell_find(id, off + 1, &found) == SKE_INVAL);
  CHECK(sk_cell_find(id, off + 64, &found) == SKE_INVAL);
  CHECK(sk_cell_where(last, &here, &off) == 0);
  CHECK(sk_cell_find(id, off + 128, &found) == SKE_INVAL);
  CHECK(sk_cell_find(id, 1 << 20, &found) == SKE_INVAL);
  CHECK(sk_cell_find(id, UINT64_MAX - 127, &found) == SKE_INVAL);
  CHECK(found == (void *)&id);
}

struct place { uint64_t id, off; };

static void add_there (void *arg) {
  struct place *p = arg;
  sk_cell *c = NULL;
  CHECK(sk_cell_find(p->id, p->off, &c) == 0);
  if (c) sk_cell_add(c, 1);
}

CELL_TEST("a child finds a cell by where it is in its parent") {
  sk_cell *c = cell(1);
  struct place p;
  CHECK(sk_cell_where(c, &p.id, &p.off) == 0);
  in_child(add_there, &p);
  CHECK(sk_cell_load(c) == 2);
}

/* ---- many at once ---- */

struct worker {
  sk_cell *c, *guard;
  int64_t plain;    /* shared, and protected by the guard alone */
  int64_t *shared;
  int number;
};

enum { ADDS = 20000 };

static void add_much (void *arg) {
  struct worker *w = arg;
  int i;
  for (i = 0; i < ROUNDS(ADDS); i++) {
    sk_cell_add(w->c, 3);
    sk_cell_add(w->c, -2);
  }
}

static void add_in_threads (void *arg) {
  struct worker w[THREADS];
  int i;
  for (i = 0; i < THREADS; i++) w[i] = *(struct worker *)arg;
  in_threads(THREADS, add_much, w, sizeof *w);
}

CELL_TEST("additions by threads of several processes are all counted") {
  struct worker w[PROCESSES];
  int i;
  memset(w, 0, sizeof w);
  w[0].c = cell(0);
  for (i = 1; i < PROCESSES; i++) w[i] = w[0];
  in_children(PROCESSES, add_in_threads, w, sizeof *w);
  CHECK(sk_cell_load(w[0].c) == PROCESSES * THREADS * ROUNDS(ADDS));
}

/* Every value put in comes out once: the sum of those put in, less the sum of
** those taken out, is what is left. */
static void exchange_much (void *arg) {
  struct worker *w = arg;
  int64_t put = 0, got = 0, i;
  for (i = 0; i < ROUNDS(ADDS); i++) {
    int64_t value = i * PROCESSES + w->number;
    put += value;
    got += sk_cell_exchange(w->c, value);
  }
  sk_cell_add(w->guard, put - got);
}

CELL_TEST("a value that is exchanged is seen by exactly one other") {
  struct worker w[PROCESSES];
  int i;
  memset(w, 0, sizeof w);
  w[0].c = cell(0);
  w[0].guard = cell(0);
  for (i = 0; i < PROCESSES; i++) {
    w[i] = w[0];
    w[i].number = i;
  }
  in_children(PROCESSES, exchange_much, w, sizeof *w);
  CHECK(sk_cell_load(w[0].guard) == sk_cell_load(w[0].c));
}

static void lock_and_count (void *arg) {
  struct worker *w = arg;
  int i;
  for (i = 0; i < ROUNDS(5000); i++) {
    while (!sk_cell_replace(w->guard, 0, 1)) sched_yield();
    ++*w->shared;
    CHECK(sk_cell_exchange(w->guard, 0) == 1);
  }
}

static void exclude_each_other (void (*run) (int, void (*) (void *), void *,
                                             size_t)) {
  struct worker w[PROCESSES];
  int64_t *shared = shared_memory(sizeof *shared);
  int i;
  memset(w, 0, sizeof w);
  w[0].guard = cell(0);
  w[0].shared = shared;
  for (i = 1; i < PROCESSES; i++) w[i] = w[0];
  run(PROCESSES, lock_and_count, w, sizeof *w);
  CHECK(*shared == PROCESSES * ROUNDS(5000));
  munmap(shared, sizeof *shared);
}

CELL_TEST("of many processes that replace a value one succeeds") {
  exclude_each_other(in_children);
}

CELL_TEST("of many threads that replace a value one succeeds, and sees all") {
  exclude_each_other(in_threads);
}

static void replace_one (void *arg) {
  struct worker *w = arg;
  sk_cell_add(w->guard, sk_cell_replace(w->c, 0, 1));
}

CELL_TEST("a value that changes in the middle of a replacing is not replaced") {
  struct worker w;
  int n, over = 0;
  memset(&w, 0, sizeof w);
  for (n = 1; !over; STEP_NEXT(n)) {
    pid_t pid;
    int mine;
    w.c = cell(0);
    w.guard = cell(0);
    pid = step_to(replace_one, &w, n, &over);
    mine = sk_cell_replace(w.c, 0, 2);
    CHECK(step_end(pid) == 0);
    CHECK(mine + sk_cell_load(w.guard) == 1);
    CHECK(sk_cell_load(w.c) == (mine ? 2 : 1));
  }
}

static void publish_notes (void *arg) {
  struct worker *w = arg;
  int64_t i;
  for (i = 1; i <= ROUNDS(ADDS); i++) {
    sk_cell_set_note(w->c, 0, i);
    sk_cell_add(w->c, 1);
  }
}

CELL_TEST("a note written before a change is seen with it") {
  struct worker w;
  int64_t n;
  pid_t pid;
  memset(&w, 0, sizeof w);
  w.c = cell(0);
  pid = child(publish_notes, &w);
  do {
    n = sk_cell_load(w.c);
    CHECK(sk_cell_note(w.c, 0) >= n);
  } while (n < ROUNDS(ADDS));
  CHECK(ended(pid) == 0);
}

/* ---- waiting ---- */

CELL_TEST("a wait for a value that has changed already ends at once") {
  sk_cell *c = cell(1);
  int64_t begun = now_ns();
  CHECK(sk_cell_wait(c, 0, LONG) == 0);
  CHECK(now_ns() - begun < SECOND);
}

CELL_TEST("a wait ends when its time is up, not before") {
  sk_cell *c = cell(1);
  int64_t begun = now_ns();
  int rc;
  do {
    rc = sk_cell_wait(c, 1, 30 * MS);
  } while (rc == 0);
  CHECK(rc == SKE_TIMEOUT);
  CHECK(now_ns() - begun >= 30 * MS);
  CHECK(sk_cell_wait(c, 1, 0) == SKE_TIMEOUT);
  CHECK(sk_cell_wait(c, 1, -5) == SKE_TIMEOUT);
  CHECK(sk_cell_wait(c, 1, INT64_MIN) == SKE_TIMEOUT);
}

struct wait_call {
  sk_cell *c;
  event *begun, *woken;
  int64_t seen, timeout;
  int rc;
};

/* What a caller does: again until the value is another one. */
static void wait_for_change (void *arg) {
  struct wait_call *w = arg;
  int64_t until = now_ns() + w->timeout;
  tell(w->begun);
  do {
    w->rc = sk_cell_wait(w->c, w->seen, until - now_ns());
  } while (w->rc == 0 && sk_cell_load(w->c) == w->seen);
  CHECK(w->rc == 0);
  CHECK(sk_cell_load(w->c) != w->seen);
  tell(w->woken);
}

static void prepare (struct wait_call *w, int n, sk_cell *c, event *events) {
  int i;
  memset(w, 0, (size_t)n * sizeof *w);
  for (i = 0; i < n; i++) {
    w[i].c = c;
    w[i].begun = &events[0];
    w[i].woken = &events[1];
    w[i].seen = sk_cell_load(c);
    w[i].timeout = LONG;
  }
}

CELL_TEST("one wake wakes every process that waits") {
  event *events = shared_memory(2 * sizeof *events);
  sk_cell *c = cell(1);
  struct wait_call w[8];
  pid_t pids[8];
  int i;
  prepare(w, 8, c, events);
  for (i = 0; i < 8; i++) pids[i] = child(wait_for_change, &w[i]);
  CHECK(await(w->begun, 8));
  rest_ms(20);  /* most of them sleep by now; it must do if none does */
  sk_cell_add(c, 1);
  sk_cell_wake(c);
  CHECK(await(w->woken, 8));
  for (i = 0; i < 8; i++) CHECK(ended(pids[i]) == 0);
  munmap(events, 2 * sizeof *events);
}

CELL_TEST("a wake without a change does no harm, nor one that nobody needs") {
  event *events = shared_memory(2 * sizeof *events);
  sk_cell *c = cell(1);
  struct wait_call w;
  pid_t pid;
  int i;
  sk_cell_wake(c);
  prepare(&w, 1, c, events);
  pid = child(wait_for_change, &w);
  CHECK(await(w.begun, 1));
  for (i = 0; i < 50; i++) {
    sk_cell_wake(c);
    sched_yield();
  }
  CHECK(atomic_load(w.woken) == 0);
  sk_cell_exchange(c, 2);
  sk_cell_wake(c);
  CHECK(ended(pid) == 0);
  munmap(events, 2 * sizeof *events);
}

CELL_TEST("a waiter that was killed costs nobody a wake-up") {
  event *events = shared_memory(2 * sizeof *events);
  sk_cell *c = cell(1);
  struct wait_call w;
  pid_t first, second;
  prepare(&w, 1, c, events);
  first = child(wait_for_change, &w);
  CHECK(await(w.begun, 1));
  rest_ms(10);
  killed(first);
  second = child(wait_for_change, &w);
  CHECK(await(w.begun, 2));
  sk_cell_add(c, 1);
  sk_cell_wake(c);
  CHECK(ended(second) == 0);
  munmap(events, 2 * sizeof *events);
}

#define NAP (10 * MS)

struct nap { sk_cell *c; int *rc; };

static void nap (void *arg) {
  struct nap *n = arg;
  *n->rc = sk_cell_wait(n->c, 1, NAP);
}

/* Is it over or asleep? A step in which it sleeps takes that long. */
static int step_until_asleep (pid_t pid, int n) {
  while (n-- > 0) {
    int64_t begun = now_ns();
    if (!step_on(pid) || now_ns() - begun > NAP / 2) return 1;
  }
  return 0;
}

CELL_TEST("a change at any moment before the sleep is not slept over") {
  int *rc = shared_memory(sizeof *rc), n, asleep = 0;
  struct nap call = { cell(1), rc };
  for (n = 1; !asleep; STEP_NEXT(n)) {
    pid_t pid = step_begin(nap, &call);
    asleep = step_until_asleep(pid, n);
    sk_cell_exchange(call.c, 2);
    sk_cell_wake(call.c);
    CHECK(step_end(pid) == 0);
    CHECK(*rc == 0 || asleep);
    sk_cell_exchange(call.c, 1);
  }
  munmap(rc, sizeof *rc);
}

static void ignore_signal (int signal) {
  (void)signal;
}

static void wait_once (void *arg) {
  struct wait_call *w = arg;
  struct sigaction act;
  memset(&act, 0, sizeof act);
  act.sa_handler = ignore_signal;
  act.sa_flags = SA_RESTART;
  sigaction(SIGUSR2, &act, NULL);
  tell(w->begun);
  CHECK(sk_cell_wait(w->c, w->seen, w->timeout) == SKE_INTR);
  tell(w->woken);
}

CELL_TEST("a signal ends a wait, and says so") {
  event *events = shared_memory(2 * sizeof *events);
  struct wait_call w;
  pid_t pid;
  prepare(&w, 1, cell(1), events);
  pid = child(wait_once, &w);
  CHECK(await(w.begun, 1));
  while (!atomic_load(w.woken)) {  /* it may not have begun to sleep yet */
    kill(pid, SIGUSR2);
    rest_ms(1);
  }
  CHECK(ended(pid) == 0);
  munmap(events, 2 * sizeof *events);
}

/* Two take turns; a wake-up that is lost shows as a timeout. */
struct turns { sk_cell *c; int64_t mine; };

static void take_turns (void *arg) {
  struct turns *t = arg;
  int64_t turn;
  for (turn = t->mine; turn < ROUNDS(20000); turn += 2) {
    int64_t now;
    while ((now = sk_cell_load(t->c)) != turn)
      CHECK(sk_cell_wait(t->c, now, LONG) == 0);
    sk_cell_add(t->c, 1);
    sk_cell_wake(t->c);
  }
}

CELL_TEST("no wake-up is lost between processes") {
  sk_cell *c = cell(0);
  struct turns t[2] = { { c, 0 }, { c, 1 } };
  in_children(2, take_turns, t, sizeof *t);
  CHECK(sk_cell_load(c) == ROUNDS(20000));
}

CELL_TEST("no wake-up is lost between threads") {
  sk_cell *c = cell(0);
  struct turns t[2] = { { c, 0 }, { c, 1 } };
  in_threads(2, take_turns, t, sizeof *t);
  CHECK(sk_cell_load(c) == ROUNDS(20000));
}

/* Several wait for every step of one who goes on when all have seen it. */
enum { FOLLOWERS = 3, STEPS = 1500 };

struct follower { sk_cell *lead, *seen; };

static void follow (void *arg) {
  struct follower *f = arg;
  int64_t step;
  for (step = 1; step <= ROUNDS(STEPS); step++) {
    int64_t now;
    while ((now = sk_cell_load(f->lead)) < step)
      CHECK(sk_cell_wait(f->lead, now, LONG) == 0);
    sk_cell_add(f->seen, 1);
    sk_cell_wake(f->seen);
  }
}

CELL_TEST("no wake-up is lost when several wait and several wake") {
  struct follower f[FOLLOWERS];
  pid_t pids[FOLLOWERS];
  int64_t step, now;
  int i;
  f[0].lead = cell(0);
  f[0].seen = cell(0);
  for (i = 1; i < FOLLOWERS; i++) f[i] = f[0];
  for (i = 0; i < FOLLOWERS; i++) pids[i] = child(follow, &f[i]);
  for (step = 1; step <= ROUNDS(STEPS); step++) {
    sk_cell_add(f->lead, 1);
    sk_cell_wake(f->lead);
    while ((now = sk_cell_load(f->seen)) < step * FOLLOWERS)
      CHECK(sk_cell_wait(f->seen, now, LONG) == 0);
  }
  for (i = 0; i < FOLLOWERS; i++) CHECK(ended(pids[i]) == 0);
}
