/*
** Waiting for messages and ends of processes, whichever comes first.
*/
#include "lane.h"
#include "bell.h"
#include "step.h"

static struct fixture f;

/* A test with a lane, once with a bell that sleeps on a futex and once with
** one that sleeps on a descriptor. */
#define WAIT_TEST(name) WAIT_DEFINE(name, CHECK_PASTE(wait_, __LINE__))
#define WAIT_DEFINE(text, id) \
  static void id (int pollable); \
  CLEAN_TEST(text) { with_lane(id, 0); with_lane(id, 1); } \
  static void id (int pollable)

static void with_lane (void (*test) (int pollable), int pollable) {
  f = lane_open(RING, pollable);
  test(pollable);
  lane_close(&f);
}

static sk_wait for_message (void) {
  sk_wait w = { f.reader, &f.l, 1, NULL, 0 };
  return w;
}

/* Has the sleeper left its bell so that nobody rings it? */
static int is_awake (void) {
  return atomic_load(&f.reader->asleep) == SK_AWAKE;
}

/* ---- messages ---- */

WAIT_TEST("a message that is there ends a wait before it begins") {
  sk_wait w = for_message();
  (void)pollable;
  CHECK(put(f.l, 1, 8));
  CHECK(sk_wait_any(&w, SK_EAGER, 0, 0) == 0);
  CHECK(sk_wait_any(&w, SK_LAZY, LONG, LONG) == 0);
  CHECK(sk_wait_any(&w, SK_EAGER, 0, -1) == 0);
}

WAIT_TEST("a wait for nothing lasts as long as it may") {
  sk_wait w = for_message();
  int64_t begun = now_ns();
  (void)pollable;
  CHECK(sk_wait_any(&w, SK_EAGER, 0, 20 * MS) == SKE_TIMEOUT);
  CHECK(now_ns() - begun >= 20 * MS);
  CHECK(sk_wait_any(&w, SK_EAGER, 0, 0) == SKE_TIMEOUT);
  CHECK(sk_wait_any(&w, SK_EAGER, 0, -1) == SKE_TIMEOUT);
  CHECK(is_awake());
}

static void put_one (void *gate) {
  CHECK(await(gate, 1));
  CHECK(put(f.l, 1, 8));
  sk_lane_ring(f.l, SK_LAZY);
}

WAIT_TEST("a message of another process ends a wait") {
  event *gate = shared_memory(sizeof *gate);
  sk_wait w = for_message();
  pid_t pid = child(put_one, gate);
  (void)pollable;
  tell(gate);
  CHECK(sk_wait_any(&w, SK_LAZY, 0, LONG) == 0);
  CHECK(sk_lane_ready(f.l));
  CHECK(ended(pid) == 0);
  CHECK(is_awake());
  munmap(gate, sizeof *gate);
}

static void put_many (void *arg) {
  uint32_t i;
  (void)arg;
  for (i = 0; i < (uint32_t)ROUNDS(20000); i++) {
    while (!put(f.l, i, 16))
      CHECK(sk_lane_wait_room(f.l, 16, LONG) == 0);
    sk_lane_ring(f.l, i % 2 ? SK_LAZY : SK_EAGER);
  }
}

WAIT_TEST("no message is slept over") {
  sk_wait w = for_message();
  pid_t pid = child(put_many, NULL);
  uint32_t i;
  (void)pollable;
  for (i = 0; i < (uint32_t)ROUNDS(20000); i++) {
    int64_t spin = i % 3 == 0 ? 2000 : 0;
    while (!sk_lane_ready(f.l))
      CHECK(sk_wait_any(&w, SK_EAGER, spin, LONG) == 0);
    expect(f.l, i, 16);
    sk_lane_release(f.l);
  }
  CHECK(ended(pid) == 0);
}

static void put_lazily (void *gate) {
  CHECK(await(gate, 1));
  CHECK(put(f.l, 1, 8));
  sk_lane_ring(f.l, SK_EAGER);
  tell((event *)gate + 1);
  CHECK(await(gate, 2));
  sk_lane_ring(f.l, SK_LAZY);
}

WAIT_TEST("who waits lazily sleeps through what is for the eager") {
  event *gate = shared_memory(2 * sizeof *gate);
  sk_wait w = { f.reader, NULL, 0, NULL, 0 };
  pid_t pid = child(put_lazily, gate);
  int64_t begun;
  int rc;
  (void)pollable;
  tell(gate);
  begun = now_ns();
  rc = sk_wait_any(&w, SK_LAZY, 0, 30 * MS);
  CHECK(rc == SKE_TIMEOUT && now_ns() - begun >= 30 * MS);
  CHECK(await(gate + 1, 1));
  tell(gate);
  CHECK(ended(pid) == 0);
  munmap(gate, 2 * sizeof *gate);
}

static void wait_quietly (void *arg) {
  sk_wait w = for_message();
  (void)arg;
  CHECK(sk_wait_any(&w, SK_EAGER, 0, SECOND) == 0);
}

WAIT_TEST("a message at any moment before the sleep is not slept over") {
  int n, over, asleep = 0;
  (void)pollable;
  for (n = 1; !asleep; STEP_NEXT(n)) {
    pid_t pid = step_to(wait_quietly, NULL, n, &over);
    asleep = !is_awake();
    CHECK(put(f.l, 1, 8));
    sk_lane_ring(f.l, SK_EAGER);
    CHECK(step_end(pid) == 0);
    sk_lane_reset(f.l);
  }
}

CLEAN_TEST("a message in any of many lanes ends a wait") {
  enum { LANES = 20 };
  sk_lane *lanes[LANES];
  sk_wait w;
  int i;
  f = lane_open(RING, 1);
  for (i = 0; i < LANES; i++)
    CHECK(!sk_lane_create(f.s, RING, f.reader, f.writer, &lanes[i]));
  w = (sk_wait){ f.reader, lanes, LANES, NULL, 0 };
  for (i = 0; i < LANES; i++) {
    CHECK(sk_wait_any(&w, SK_EAGER, 0, 0) == SKE_TIMEOUT);
    CHECK(put(lanes[i], 1, 8));
    CHECK(sk_wait_any(&w, SK_EAGER, 0, LONG) == 0);
    expect(lanes[i], 1, 8);
  }
  for (i = 0; i < LANES; i++) sk_lane_free(lanes[i]);
  lane_close(&f);
}

/* ---- spinning ---- */

static void put_silently (void *gate) {
  CHECK(await(gate, 1));
  CHECK(put(f.l, 1, 8));
}

WAIT_TEST("who spins sees a message that nobody rings for") {
  event *gate = shared_memory(sizeof *gate);
  sk_wait w = for_message();
  pid_t pid = child(put_silently, gate);
  (void)pollable;
  tell(gate);
  CHECK(sk_wait_any(&w, SK_EAGER, LONG, LONG) == 0);
  CHECK(ended(pid) == 0);
  munmap(gate, sizeof *gate);
}

WAIT_TEST("spinning is part of the time that a wait may last") {
  sk_wait w = for_message();
  int64_t begun = now_ns();
  (void)pollable;
  CHECK(sk_wait_any(&w, SK_EAGER, LONG, 10 * MS) == SKE_TIMEOUT);
  CHECK(now_ns() - begun >= 10 * MS);
  CHECK(now_ns() - begun < LONG);
}

WAIT_TEST("the longest times are no problem, nor are negative ones") {
  event *gate = shared_memory(sizeof *gate);
  sk_wait w = for_message();
  pid_t pid = child(put_one, gate);
  (void)pollable;
  CHECK(sk_wait_any(&w, SK_EAGER, INT64_MIN, 0) == SKE_TIMEOUT);
  CHECK(sk_wait_any(&w, SK_EAGER, INT64_MIN, INT64_MIN) == SKE_TIMEOUT);
  CHECK(sk_wait_any(&w, SK_EAGER, INT64_MAX, 0) == SKE_TIMEOUT);
  tell(gate);
  CHECK(sk_wait_any(&w, SK_LAZY, -1, INT64_MAX) == 0);
  CHECK(sk_wait_any(&w, SK_LAZY, INT64_MAX, INT64_MAX) == 0);
  CHECK(ended(pid) == 0);
  munmap(gate, sizeof *gate);
}

/* ---- signals ---- */

static void ignore_signal (int signal) {
  (void)signal;
}

static void wait_for_signal (void *arg) {
  event *events = arg;
  sk_wait w = for_message();
  signal(SIGUSR2, ignore_signal);
  tell(&events[0]);
  CHECK(sk_wait_any(&w, SK_EAGER, 0, LONG) == SKE_INTR);
  CHECK(is_awake());
  tell(&events[1]);
}

WAIT_TEST("a signal ends a wait, and says so") {
  event *events = shared_memory(2 * sizeof *events);
  pid_t pid = child(wait_for_signal, events);
  (void)pollable;
  CHECK(await(&events[0], 1));
  while (!atomic_load(&events[1])) {
    kill(pid, SIGUSR2);
    rest_ms(1);
  }
  CHECK(ended(pid) == 0);
  munmap(events, 2 * sizeof *events);
}

/* ---- processes ---- */

static sk_process *start (event *go) {
  sk_process *p = NULL;
  int rc = sk_process_fork(&p);
  if (rc == SK_CHILD) {
    alarm(CHILD_SECONDS);
    if (go) CHECK(await(go, 1));
    sk_process_exit(0);
  }
  REQUIRE(rc == 0);
  return p;
}

CLEAN_TEST("the end of a process ends a wait") {
  event *go = shared_memory(sizeof *go);
  sk_process *p = start(go);
  sk_wait w;
  sk_exit st;
  f = lane_open(RING, 1);
  w = (sk_wait){ f.reader, &f.l, 1, &p, 1 };
  CHECK(sk_wait_any(&w, SK_EAGER, 0, 10 * MS) == SKE_TIMEOUT);
  tell(go);
  CHECK(sk_wait_any(&w, SK_LAZY, 0, LONG) == 0);
  CHECK(sk_process_poll(p, &st) == 0 && st.code == 0);
  CHECK(sk_wait_any(&w, SK_EAGER, 0, LONG) == 0);  /* has ended still */
  sk_process_free(p);
  lane_close(&f);
  munmap(go, sizeof *go);
}

CLEAN_TEST("one end among a hundred processes ends a wait") {
  enum { N = 100 };
  sk_process *p[N];
  event *go = shared_memory(2 * sizeof *go);
  sk_wait w;
  int i;
  f = lane_open(RING, 1);
  for (i = 0; i < N; i++) p[i] = start(i == N - 1 ? &go[1] : &go[0]);
  w = (sk_wait){ f.reader, &f.l, 1, p, N };
  CHECK(sk_wait_any(&w, SK_EAGER, 0, 5 * MS) == SKE_TIMEOUT);
  tell(&go[1]);
  CHECK(sk_wait_any(&w, SK_EAGER, 0, LONG) == 0);
  for (i = 0; i < N; i++) sk_process_free(p[i]);
  lane_close(&f);
  munmap(go, 2 * sizeof *go);
}

CLEAN_TEST("a message comes through while processes are watched") {
  event *go = shared_memory(2 * sizeof *go);
  sk_process *p = start(&go[0]);
  sk_wait w;
  pid_t pid;
  f = lane_open(RING, 1);
  w = (sk_wait){ f.reader, &f.l, 1, &p, 1 };
  pid = child(put_one, &go[1]);
  tell(&go[1]);
  CHECK(sk_wait_any(&w, SK_LAZY, 0, LONG) == 0);
  expect(f.l, 1, 8);
  CHECK(ended(pid) == 0);
  if (sk_wait_any(&w, SK_LAZY, 0, 5 * MS) == 0)  /* rung late, for that one */
    CHECK(sk_wait_any(&w, SK_LAZY, 0, 5 * MS) == SKE_TIMEOUT);
  sk_process_free(p);
  lane_close(&f);
  munmap(go, 2 * sizeof *go);
}

CLEAN_TEST("a bell without a descriptor cannot wait for processes") {
  sk_process *p = start(NULL);
  sk_wait w;
  f = lane_open(RING, 0);
  w = (sk_wait){ f.reader, &f.l, 1, &p, 1 };
  CHECK(put(f.l, 1, 8));
  CHECK(sk_wait_any(&w, SK_EAGER, 0, LONG) == SKE_INVAL);
  w.n_procs = 0;
  CHECK(sk_wait_any(&w, SK_EAGER, 0, LONG) == 0);
  sk_process_free(p);
  lane_close(&f);
}

static void wait_on_closed (void *arg) {
  sk_wait w = for_message();
  (void)arg;
  close(sk_bell_fd(f.reader));
  CHECK(sk_wait_any(&w, SK_EAGER, 0, LONG) == SKE_SYS);
  CHECK(errno == EBADF);
  CHECK(is_awake());
}

CLEAN_TEST("a descriptor that the host closed is an error, not a busy wait") {
  f = lane_open(RING, 1);
  in_child(wait_on_closed, NULL);
  lane_close(&f);
}
