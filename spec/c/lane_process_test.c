/*
** Lanes between processes: streams, sleeping ends, and writers and readers
** that are killed at any moment.
*/
#include "lane.h"
#include "step.h"

/* ---- streams ---- */

struct stream {
  struct fixture *f;
  uint32_t messages, seed, longest;
  _Atomic uint32_t *started;  /* numbers of messages begun to be written ... */
  _Atomic uint32_t *acked;    /* ... and of those published */
};

/* The length that both sides know message `number` to have. */
static size_t length_of (const struct stream *s, uint32_t number) {
  uint32_t state = s->seed + number * 2654435761u;
  if (!state) state = 1;
  random_next(&state);
  return random_next(&state) % (s->longest + 1);
}

static void write_stream (void *arg) {
  struct stream *s = arg;
  uint32_t i;
  for (i = 0; i < s->messages; i++) {
    size_t len = length_of(s, i);
    while (!put(s->f->l, i, len))
      CHECK(sk_lane_wait_room(s->f->l, len, LONG) == 0);
    sk_lane_ring(s->f->l, SK_EAGER);
  }
}

static void sleep_for_message (struct fixture *f) {
  uint32_t seen = sk_bell_listen(f->reader, SK_EAGER);
  if (!sk_lane_ready(f->l)) CHECK(sk_bell_sleep(f->reader, seen, LONG) == 0);
  sk_bell_awake(f->reader);
}

static void read_stream (void *arg) {
  struct stream *s = arg;
  uint32_t i, seed = 5;
  for (i = 0; i < s->messages;) {
    sk_message m;
    int rc = sk_lane_next(s->f->l, &m);
    CHECK(rc == 0 || rc == 1);
    if (rc < 0) return;
    if (rc == 0) {
      sk_lane_release(s->f->l);
      sleep_for_message(s->f);
      continue;
    }
    CHECK(is_whole(&m, i, length_of(s, i)));
    i++;
    if (random_next(&seed) % 4 == 0) sk_lane_release(s->f->l);
  }
  sk_lane_release(s->f->l);
}

static void stream_through (size_t ring, uint32_t messages, uint32_t longest,
                            int pollable) {
  struct fixture f = lane_open(ring, pollable);
  struct stream s = { &f, messages, 17, longest, NULL, NULL };
  pid_t pid = child(write_stream, &s);
  read_stream(&s);
  CHECK(ended(pid) == 0);
  lane_close(&f);
}

CLEAN_TEST("a stream of small messages from a child arrives whole") {
  stream_through(RING, (uint32_t)ROUNDS(100000), 40, 0);
  stream_through(RING, (uint32_t)ROUNDS(50000), 40, 1);
}

CLEAN_TEST("a stream of messages near the ring's size arrives whole") {
  stream_through(RING, (uint32_t)ROUNDS(10000), RING - 8, 0);
  stream_through(RING, (uint32_t)ROUNDS(5000), RING - 8, 1);
}

CLEAN_TEST("a stream through a large ring arrives whole") {
  stream_through(1 << 18, (uint32_t)ROUNDS(2000), 60000, 0);
}

CLEAN_TEST("a stream to a child arrives whole") {
  struct fixture f = lane_open(RING, 0);
  struct stream s = { &f, (uint32_t)ROUNDS(50000), 3, 200, NULL, NULL };
  pid_t pid = child(read_stream, &s);
  write_stream(&s);
  CHECK(ended(pid) == 0);
  CHECK(sk_lane_pending(f.l) == 0);
  lane_close(&f);
}

struct end { void (*body) (void *); struct stream *s; };

static void run_end (void *arg) {
  struct end *e = arg;
  e->body(e->s);
}

CLEAN_TEST("a stream between threads arrives whole") {
  struct fixture f = lane_open(RING, 0);
  struct stream s = { &f, (uint32_t)ROUNDS(50000), 9, 200, NULL, NULL };
  struct end ends[2] = { { write_stream, &s }, { read_stream, &s } };
  in_threads(2, run_end, ends, sizeof *ends);
  lane_close(&f);
}

CLEAN_TEST("two lanes carry a conversation") {
  struct fixture down = lane_open(RING, 0), up = lane_open(RING, 0);
  uint32_t i, rounds = (uint32_t)ROUNDS(5000);
  pid_t pid;
  fflush(NULL);
  pid = fork();
  for (i = 0; i < rounds; i++) {
    struct fixture *mine = pid ? &down : &up, *other = pid ? &up : &down;
    if (pid) {
      CHECK(put(mine->l, i, i % 100));
      sk_lane_ring(mine->l, SK_EAGER);
    }
    while (!sk_lane_ready(other->l)) sleep_for_message(other);
    expect(other->l, i, i % 100);
    sk_lane_release(other->l);
    if (!pid) {
      CHECK(put(mine->l, i, i % 100));
      sk_lane_ring(mine->l, SK_EAGER);
    }
  }
  if (!pid) _exit(0);
  CHECK(ended(pid) == 0);
  lane_close(&down);
  lane_close(&up);
}

static void free_lane (void *arg) {
  sk_lane_free(((struct fixture *)arg)->l);
}

CLEAN_TEST("a child that frees its end takes nothing from the other") {
  struct fixture f = lane_open(RING, 0);
  CHECK(put(f.l, 1, 100));
  in_child(free_lane, &f);
  expect(f.l, 1, 100);
  lane_close(&f);
}

/* ---- room ---- */

LANE_TEST("a wait for room that there is ends at once") {
  CHECK(sk_lane_wait_room(f->l, RING - 8, 0) == 0);
  CHECK(sk_lane_wait_room(f->l, 0, -1) == 0);
}

LANE_TEST("a wait for room that there will never be is refused") {
  CHECK(sk_lane_wait_room(f->l, RING - 7, LONG) == SKE_INVAL);
  CHECK(sk_lane_wait_room(f->l, SIZE_MAX, LONG) == SKE_INVAL);
  CHECK(sk_lane_wait_room(f->l, SIZE_MAX - 14, LONG) == SKE_INVAL);
}

LANE_TEST("a wait for room lasts as long as it may") {
  int64_t begun = now_ns();
  CHECK(put(f->l, 1, RING - 8));
  CHECK(sk_lane_wait_room(f->l, 8, 20 * MS) == SKE_TIMEOUT);
  CHECK(now_ns() - begun >= 20 * MS);
  CHECK(sk_lane_wait_room(f->l, 8, 0) == SKE_TIMEOUT);
  CHECK(sk_lane_wait_room(f->l, 8, INT64_MIN) == SKE_TIMEOUT);
}

struct waiting { struct fixture *f; event *begun, *over; int rc; };

static void wait_for_room (void *arg) {
  struct waiting *w = arg;
  tell(w->begun);
  CHECK(sk_lane_wait_room(w->f->l, 8, LONG) == w->rc);
  tell(w->over);
}

static struct waiting waiting_for (struct fixture *f, int rc) {
  struct waiting w = { f, shared_memory(2 * sizeof *w.begun), NULL, rc };
  w.over = w.begun + 1;
  return w;
}

LANE_TEST("a release ends the wait for room, other rings do not") {
  struct waiting w = waiting_for(f, 0);
  pid_t pid;
  int i;
  CHECK(put(f->l, 1, RING - 8));
  pid = child(wait_for_room, &w);
  CHECK(await(w.begun, 1));
  for (i = 0; i < 20; i++) {
    sk_bell_ring(f->writer, SK_EAGER);
    sk_lane_release(f->l);  /* of nothing */
    rest_ms(1);
  }
  CHECK(atomic_load(w.over) == 0);
  expect(f->l, 1, RING - 8);
  sk_lane_release(f->l);
  CHECK(ended(pid) == 0);
  munmap(w.begun, 2 * sizeof *w.begun);
}

static void ignore_signal (int signal) {
  (void)signal;
}

static void wait_until_signal (void *arg) {
  signal(SIGUSR2, ignore_signal);
  wait_for_room(arg);
}

LANE_TEST("a signal ends the wait for room, and says so") {
  struct waiting w = waiting_for(f, SKE_INTR);
  pid_t pid;
  CHECK(put(f->l, 1, RING - 8));
  pid = child(wait_until_signal, &w);
  CHECK(await(w.begun, 1));
  while (!atomic_load(w.over)) {
    kill(pid, SIGUSR2);
    rest_ms(1);
  }
  CHECK(ended(pid) == 0);
  munmap(w.begun, 2 * sizeof *w.begun);
}

/* ---- death ---- */

static void write_until_killed (void *arg) {
  struct stream *s = arg;
  uint32_t i;
  for (i = 0; ; i++) {
    size_t len = length_of(s, i);
    atomic_store(s->started, i + 1);
    while (!put(s->f->l, i, len)) sk_lane_wait_room(s->f->l, len, MS);
    atomic_store(s->acked, i + 1);
    sk_lane_ring(s->f->l, SK_EAGER);
  }
}

/* Read what there is; -> how many messages have come until now. */
static uint32_t read_some (struct stream *s, uint32_t n) {
  sk_message m;
  int rc;
  while ((rc = sk_lane_next(s->f->l, &m)) == 1) {
    CHECK(is_whole(&m, n, length_of(s, n)));
    n++;
  }
  CHECK(rc == 0);
  sk_lane_release(s->f->l);
  return n;
}

CLEAN_TEST("a writer killed at random leaves all it published, whole") {
  struct fixture f = lane_open(RING, 0);
  _Atomic uint32_t *counts = shared_memory(2 * sizeof *counts);
  struct stream s = { &f, 0, 1, 600, counts, counts + 1 };
  int round;
  uint32_t seed = 77;
  for (round = 0; round < ROUNDS(300); round++) {
    int64_t until = now_ns() + random_next(&seed) % (2 * MS);
    uint32_t n = 0;
    pid_t pid;
    s.seed = random_next(&seed);
    atomic_store(s.started, 0);
    atomic_store(s.acked, 0);
    pid = child(write_until_killed, &s);
    while (now_ns() < until) n = read_some(&s, n);
    killed(pid);
    n = read_some(&s, n);
    CHECK(n >= atomic_load(s.acked) && n <= atomic_load(s.started));
    sk_lane_reset(f.l);
  }
  munmap(counts, 2 * sizeof *counts);
  lane_close(&f);
}

struct one_message { struct fixture *f; _Atomic uint32_t *acked; };

static void write_one (void *arg) {
  struct one_message *one = arg;
  CHECK(put(one->f->l, 3, 40));
  atomic_store(one->acked, 1);
  sk_lane_ring(one->f->l, SK_EAGER);
}

/* The ring has a message in it, and its end is near: the next one goes over
** the end. */
static void go_near_end (sk_lane *l) {
  sk_lane_reset(l);
  CHECK(put(l, 1, RING - 200));
  expect(l, 1, RING - 200);
  sk_lane_release(l);
  CHECK(put(l, 2, 150));
}

CLEAN_TEST("a writer killed after any instruction leaves whole messages") {
  struct fixture f = lane_open(RING, 0);
  _Atomic uint32_t *acked = shared_memory(sizeof *acked);
  struct one_message one = { &f, acked };
  int n, over = 0, there = 0;
  for (n = 1; !over; STEP_NEXT(n)) {
    sk_message m;
    int rc;
    go_near_end(f.l);
    atomic_store(acked, 0);
    sk_bell_listen(f.reader, SK_EAGER);
    killed(step_to(write_one, &one, n, &over));
    expect(f.l, 2, 150);
    rc = sk_lane_next(f.l, &m);
    CHECK(rc == 0 || (rc == 1 && is_whole(&m, 3, 40)));
    CHECK(rc >= (int)atomic_load(acked));
    CHECK(rc >= there || SANITIZED);
    there = rc;  /* once it is there it is there at every later moment */
  }
  CHECK(there == 1 && n > 100);
  munmap(acked, sizeof *acked);
  lane_close(&f);
}

static void read_one (void *arg) {
  struct fixture *f = arg;
  expect(f->l, 1, 8);
  sk_lane_release(f->l);
}

CLEAN_TEST("a reader killed after any instruction leaves a writer that works") {
  struct fixture f = lane_open(RING, 0);
  int n, over = 0, freed = 0;
  for (n = 1; !over; STEP_NEXT(n)) {
    size_t pending;
    sk_lane_reset(f.l);
    CHECK(put(f.l, 1, 8));
    CHECK(put(f.l, 2, 8));
    sk_bell_listen(f.writer, SK_EAGER);
    killed(step_to(read_one, &f, n, &over));
    pending = sk_lane_pending(f.l);
    CHECK(pending == 32 || pending == 16);
    CHECK(pending == 16 || !freed || SANITIZED);  /* free for ever */
    freed = pending == 16;
    CHECK(put(f.l, 3, RING - 8 - pending));
    CHECK(!put(f.l, 4, 0));
  }
  CHECK(freed);
  lane_close(&f);
}
