/*
** All parts together: an owner and its workers with lanes, claims, bells and
** processes, while workers are killed, stopped and continued at random and
** kill themselves at the worst places. Whatever happens, each item has one
** result, and a death costs at most the item that was being worked on.
** SK_STRESS is for how many seconds; 1 when it is not set.
*/
#include "lane.h"

#include <sys/time.h>

enum {
  WORKERS = 4,
  AHEAD = 3,            /* chunks that a worker may have */
  CHUNK = 20,           /* items in one, at most */
  MOST_ITEMS = 1 << 20, /* in one round, which is short */
  GIVEN_BACK = 4096
};

enum { WORK = 1, QUIT = 2 };  /* kinds of messages; results have CHECKED */
#define CHECKED 7u

struct chunk { uint64_t pos; uint32_t first, n, received; };

struct worker {
  sk_process *p;
  sk_segment *s;
  sk_bell *bell;
  sk_lane *down, *up;
  struct chunk chunks[AHEAD];
  int n_chunks;
  int stopped;
};

static struct {
  struct worker workers[WORKERS];
  sk_segment *s;
  sk_bell *bell;            /* the owner's */
  _Atomic uint8_t *runs;    /* per item, shared: how often it was begun */
  uint8_t *results, *lost;  /* per item: results had, beginnings lost */
  uint32_t given_back[GIVEN_BACK];
  uint32_t n_given_back, next_item, unfinished;
  uint32_t deaths, stops, losses, taken_back;
  uint32_t seed;
  int64_t last_result;
} o;

static uint32_t chance (uint32_t n) {
  return random_next(&o.seed) % n == 0;
}

/* ---- messages ---- */

struct head { uint64_t claim; uint32_t first, n; };

static void write_tail (uint8_t *p, uint32_t number, size_t len) {
  fill(p, number, len);
}

static int tail_is_whole (const sk_message *m, size_t at, uint32_t number) {
  const uint8_t *p = (const uint8_t *)m->data + at;
  size_t i;
  for (i = 0; i < m->len - at; i++)
    if (p[i] != byte_of(number, i)) return 0;
  return 1;
}

/* ---- a worker ---- */

/* One of the places where a death hurts most. */
static void perhaps_die (void) {
  if (chance(3000)) kill(getpid(), SIGKILL);
}

static void send_result (struct worker *w, uint32_t item) {
  size_t len = random_next(&o.seed) % (chance(20) ? 2000 : 60), room;
  uint8_t *p;
  while (!(p = sk_lane_reserve(w->up, sizeof item + len, &room))) {
    sk_lane_ring(w->up, SK_LAZY);
    sk_lane_wait_room(w->up, sizeof item + len, 20 * MS);
    if (sk_process_orphaned()) sk_process_exit(1);
  }
  memcpy(p, &item, sizeof item);
  write_tail(p + sizeof item, item, len);
  perhaps_die();
  sk_lane_publish(w->up, CHECKED, sizeof item + len);
  perhaps_die();
  sk_lane_ring(w->up, chance(4) ? SK_EAGER : SK_LAZY);
}

static void do_work (struct worker *w, const sk_message *m) {
  const struct head *h = m->data;
  int64_t i;
  CHECK(tail_is_whole(m, sizeof *h, h->first));
  while ((i = sk_claim_take((void *)(uintptr_t)&h->claim)) >= 0) {
    CHECK(i < h->n);
    perhaps_die();
    atomic_fetch_add(&o.runs[h->first + (uint32_t)i], 1);
    perhaps_die();
    send_result(w, h->first + (uint32_t)i);
  }
}

static void serve (struct worker *w) {
  sk_wait wait = { w->bell, &w->down, 1, NULL, 0 };
  o.seed = (uint32_t)getpid() * 2654435761u | 1;
  for (;;) {
    sk_message m;
    int rc = sk_lane_next(w->down, &m);
    CHECK(rc >= 0);
    if (rc == 0) {
      sk_wait_any(&wait, SK_LAZY, chance(2) ? 5000 : 0, 20 * MS);
      if (sk_process_orphaned()) sk_process_exit(1);
      continue;
    }
    if (m.kind == QUIT) sk_process_exit(0);
    do_work(w, &m);
    perhaps_die();
    sk_lane_release(w->down);
  }
}

/* ---- the owner: life of a worker ---- */

static void start (struct worker *w) {
  int rc = sk_process_fork(&w->p);
  if (rc == SK_CHILD) serve(w);
  REQUIRE(rc == 0);
  w->n_chunks = 0;
  w->stopped = 0;
}

static void open_worker (struct worker *w) {
  REQUIRE(!sk_segment_create("stress", 1 << 20, &w->s));
  REQUIRE(!sk_bell_create(w->s, 0, &w->bell));
  REQUIRE(!sk_lane_create(w->s, RING, w->bell, o.bell, &w->down));
  REQUIRE(!sk_lane_create(w->s, RING, o.bell, w->bell, &w->up));
  start(w);
}

static void close_worker (struct worker *w) {
  sk_process_free(w->p);
  sk_lane_free(w->down);
  sk_lane_free(w->up);
  sk_segment_close(w->s);
}

/* ---- items ---- */

static void give_back (uint32_t from, uint32_t to) {
  for (; from < to; from++) o.given_back[o.n_given_back++] = from;
  REQUIRE(o.n_given_back <= GIVEN_BACK - CHUNK);
}

/* Items for a chunk: one that came back, or several new ones. */
static int choose (struct chunk *c, int new_ones) {
  c->received = 0;
  c->n = 1;
  if (o.n_given_back) {
    c->first = o.given_back[--o.n_given_back];
    return 1;
  }
  if (!new_ones || o.next_item + CHUNK > MOST_ITEMS) return 0;
  c->first = o.next_item;
  c->n = 1 + random_next(&o.seed) % CHUNK;
  o.next_item += c->n;
  o.unfinished += c->n;
  return 1;
}

static void feed (struct worker *w, int new_ones) {
  while (w->n_chunks < AHEAD) {
    struct chunk *c = &w->chunks[w->n_chunks];
    struct head h;
    size_t len = random_next(&o.seed) % 900, room;
    uint8_t *p = sk_lane_reserve(w->down, sizeof h + len, &room);
    if (!p || !choose(c, new_ones)) return;
    h.first = c->first;
    h.n = c->n;
    sk_claim_init(&h.claim, c->n);
    memcpy(p, &h, sizeof h);
    write_tail(p + sizeof h, c->first, len);
    c->pos = sk_lane_publish(w->down, WORK, sizeof h + len);
    sk_lane_ring(w->down, SK_LAZY);
    w->n_chunks++;
  }
}

static void pop_chunk (struct worker *w) {
  w->n_chunks--;
  memmove(w->chunks, w->chunks + 1, (size_t)w->n_chunks * sizeof *w->chunks);
}

static void take_back (struct worker *w) {
  struct chunk *c;
  uint32_t from = 0, n;
  if (!w->n_chunks) return;
  c = &w->chunks[w->n_chunks - 1];
  if (sk_lane_released(w->down, c->pos)) return;
  n = sk_claim_revoke(w->down, c->pos, random_next(&o.seed) % 3, &from);
  if (!n) return;
  CHECK(from + n == c->n && from >= c->received);
  give_back(c->first + from, c->first + c->n);
  c->n = from;
  o.taken_back += n;
}

/* Results come in the order of items, for the worker's first chunk. */
static void collect (struct worker *w) {
  sk_message m;
  int rc;
  while ((rc = sk_lane_next(w->up, &m)) == 1) {
    struct chunk *c = &w->chunks[0];
    uint32_t item;
    while (w->n_chunks && c->received == c->n) pop_chunk(w);
    REQUIRE(w->n_chunks > 0 && m.kind == CHECKED);
    memcpy(&item, m.data, sizeof item);
    CHECK(item == c->first + c->received++);
    CHECK(tail_is_whole(&m, sizeof item, item));
    CHECK(++o.results[item] == 1);
    o.unfinished--;
    o.last_result = now_ns();
  }
  CHECK(rc == 0);
  while (w->n_chunks && w->chunks[0].received == w->chunks[0].n) pop_chunk(w);
  sk_lane_release(w->up);
}

/* ---- deaths ---- */

/* What a dead worker had: nothing but the item that it was at is lost. */
static void settle (struct worker *w) {
  int i;
  for (i = 0; i < w->n_chunks; i++) {
    struct chunk *c = &w->chunks[i];
    uint32_t taken, end;
    sk_claim_state(w->down, c->pos, &taken, &end);
    CHECK(end == c->n);
    CHECK(taken == c->received || taken == c->received + 1);
    if (taken > c->received) {
      CHECK(i == 0);
      o.lost[c->first + c->received]++;
      o.losses++;
    }
    give_back(c->first + c->received, c->first + c->n);
  }
}

static void bury (struct worker *w) {
  collect(w);
  settle(w);
  sk_process_free(w->p);
  sk_lane_reset(w->down);
  sk_lane_reset(w->up);
  o.deaths++;
  start(w);
}

static void disturb (struct worker *w) {
  switch (random_next(&o.seed) % 4) {
    case 0: CHECK(!sk_process_kill(w->p, SIGKILL)); break;
    case 1: CHECK(!sk_process_kill(w->p, SIGTERM)); break;
    default:
      CHECK(!sk_process_kill(w->p, w->stopped ? SIGCONT : SIGSTOP));
      w->stopped = !w->stopped;
      o.stops += (uint32_t)w->stopped;
  }
}

static int look_for_death (struct worker *w) {
  sk_exit st;
  if (sk_process_poll(w->p, &st) == SKE_BUSY) return 0;
  CHECK(st.signal == SIGKILL || st.signal == SIGTERM);
  bury(w);
  return 1;
}

/* ---- the loop ---- */

static void wait_a_moment (void) {
  sk_lane *lanes[WORKERS];
  sk_process *procs[WORKERS];
  sk_wait w = { o.bell, lanes, WORKERS, procs, WORKERS };
  int i, rc;
  for (i = 0; i < WORKERS; i++) {
    lanes[i] = o.workers[i].up;
    procs[i] = o.workers[i].p;
  }
  rc = sk_wait_any(&w, chance(3) ? SK_EAGER : SK_LAZY,
                   chance(3) ? 20000 : 0, 5 * MS);
  CHECK(rc == 0 || rc == SKE_TIMEOUT || rc == SKE_INTR);
}

static void turn (int wild) {
  int i;
  for (i = 0; i < WORKERS; i++) {
    struct worker *w = &o.workers[i];
    collect(w);
    feed(w, wild);
    if (wild && chance(20)) take_back(w);
    if (wild && chance(400)) disturb(w);
    if (chance(8)) look_for_death(w);
  }
  wait_a_moment();
}

static void run (int64_t until) {
  int i;
  o.last_result = now_ns();
  while (now_ns() < until) turn(1);
  for (i = 0; i < WORKERS; i++) sk_process_kill(o.workers[i].p, SIGCONT);
  while (o.unfinished && now_ns() - o.last_result < LONG) turn(0);
  CHECK(o.unfinished == 0);
}

static int ends_well (struct worker *w) {
  int64_t until = now_ns() + LONG;
  size_t room;
  sk_exit st = { -1, -1 };
  while (!sk_lane_reserve(w->down, 0, &room) && now_ns() < until) rest_ms(1);
  sk_lane_publish(w->down, QUIT, 0);
  sk_lane_ring(w->down, SK_LAZY);
  while (sk_process_poll(w->p, &st) == SKE_BUSY && now_ns() < until)
    rest_ms(1);
  return st.code == 0 || st.signal == SIGKILL;  /* by itself, at its last */
}

static void check_items (void) {
  uint32_t i;
  for (i = 0; i < o.next_item; i++) {
    CHECK(o.results[i] == 1);
    CHECK(o.runs[i] >= 1 && o.runs[i] <= 1 + o.lost[i]);
  }
}

static void on_alarm (int signal) {
  (void)signal;
}

/* Interrupts the owner's waits; its children inherit no timer. */
static void interrupt_every (long us) {
  struct itimerval t = { { 0, us }, { 0, us } };
  signal(SIGALRM, us ? on_alarm : SIG_DFL);
  CHECK(!setitimer(ITIMER_REAL, &t, NULL));
}

static void open_owner (void) {
  int i;
  o.runs = shared_memory(MOST_ITEMS);
  REQUIRE(o.results = calloc(1, MOST_ITEMS));
  REQUIRE(o.lost = calloc(1, MOST_ITEMS));
  REQUIRE(!sk_segment_create("owner", 1 << 20, &o.s));
  REQUIRE(!sk_bell_create(o.s, 1, &o.bell));
  for (i = 0; i < WORKERS; i++) open_worker(&o.workers[i]);
}

static void close_owner (void) {
  int i;
  for (i = 0; i < WORKERS; i++) close_worker(&o.workers[i]);
  sk_bell_destroy(o.bell);
  sk_segment_close(o.s);
  munmap((void *)o.runs, MOST_ITEMS);
  free(o.results);
  free(o.lost);
}

static void one_round (uint32_t seed, int64_t until) {
  int i;
  memset(&o, 0, sizeof o);
  o.seed = seed;
  open_owner();
  interrupt_every(3000);
  run(until);
  interrupt_every(0);
  for (i = 0; i < WORKERS; i++) CHECK(ends_well(&o.workers[i]));
  check_items();
  printf("# seed %u: %u items, %u deaths, %u stops, %u begun in vain, "
         "%u taken back\n", seed, o.next_item, o.deaths, o.stops, o.losses,
         o.taken_back);
  close_owner();
}

static int64_t stress_ns (void) {
  const char *seconds = getenv("SK_STRESS");
  return seconds ? (int64_t)(atof(seconds) * 1e9) : SECOND;
}

CLEAN_TEST("no death, stop or signal loses, doubles or damages an item") {
  int64_t until = now_ns() + stress_ns();
  do {
    int64_t end = now_ns() + SECOND;
    one_round((uint32_t)now_ns() | 1, end < until ? end : until);
  } while (now_ns() < until && !atomic_load((_Atomic int *)check_failures));
}
