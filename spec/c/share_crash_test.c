/*
** A process killed after any one of its instructions: what is in memory then
** is recovered, checked and used on. Then the recovery is killed likewise.
**
** The victim runs on one share; after each instruction its memory, if it is
** as never before, is copied into a second share, where it is looked at.
** The recovery is killed in a few of those states, in many with SK_STRESS=1.
*/
#include "share_helper.h"
#include "step.h"

#include "os.h"
#include "share_coordinator.h"

enum { HEAP_SEEN = 48 << 10, LANES = 2, LANE = 4096, MANY_OPS = SK_CALL };
enum { FEW_KEYS = 8, MANY_KEYS = 70 };  /* many: more than a journal holds */
enum { FEW_AGAIN = 1, MANY_AGAIN = 40 };  /* states to die in twice */

static sk_share *live, *copy;
static long states, steps;
static int keys;  /* that the handler sets */

/* ---- images ---- */

struct part { size_t off, n; };

/* What of a share is compared and copied. */
static void parts_of (const sk_share *s, struct part p[3]) {
  size_t words = (size_t)((uint8_t *)s->words - s->base);
  p[0] = (struct part){ words, s->store_end - words };
  p[1] = (struct part){ s->ring_off, LANES * LANE };
  p[2] = (struct part){ s->heap_off,
                        atomic_load(&s->store->heap_size) ? HEAP_SEEN : 0 };
}

static uint64_t hash_of (const sk_share *s) {
  struct part p[3];
  uint64_t h = 1;
  size_t i, k;
  parts_of(s, p);
  for (i = 0; i < 3; i++) {
    const uint64_t *at = (const uint64_t *)(s->base + p[i].off);
    for (k = 0; k < p[i].n / 8; k++)
      h = (h ^ at[k]) * 0x9e3779b97f4a7c15u + (h >> 31);
  }
  return h;
}

static void transfer (sk_share *to, const sk_share *from) {
  struct part p[3];
  size_t i;
  parts_of(from, p);
  for (i = 0; i < 3; i++)
    memcpy(to->base + p[i].off, from->base + p[i].off, p[i].n);
}

#define IMAGE_BYTES (256u << 10)

static uint8_t *save (const sk_share *s) {
  uint8_t *image = malloc(IMAGE_BYTES), *at = image;
  struct part p[3];
  size_t i;
  parts_of(s, p);
  for (i = 0; i < 3; at += p[i++].n) memcpy(at, s->base + p[i].off, p[i].n);
  CHECK(at <= image + IMAGE_BYTES);
  return image;
}

static void load (sk_share *s, const uint8_t *image) {
  struct part p[3];
  size_t i;
  parts_of(s, p);
  for (i = 0; i < 3; i++) {
    if (i == 2) parts_of(s, p);  /* by now it says how large the heap is */
    memcpy(s->base + p[i].off, image, p[i].n);
    image += p[i].n;
  }
}

#define MOST_STATES (1u << 16)

static uint64_t *seen;

static int is_new (uint64_t h) {
  size_t i = h % MOST_STATES;
  h += !h;
  while (seen[i] && seen[i] != h) i = (i + 1) % MOST_STATES;
  if (seen[i]) return 0;
  REQUIRE(states < MOST_STATES / 2);
  seen[i] = h;
  states++;
  return 1;
}

/* ---- shares ---- */

static int handle (void *arg, sk_change *c, const sk_command *cmd) {
  int64_t i;
  (void)arg;
  (void)cmd;
  for (i = 0; i < keys; i++) {
    char path[16];
    uint64_t space[2];
    sk_item item = { SK_INT, 8, &i };
    int rc;
    snprintf(path, sizeof path, "o.%d", (int)i);
    rc = sk_change_set(c, at(path), space, sk_item_put(space, &item));
    if (rc) return rc;
  }
  return 0;
}

static sk_share *new_share (void) {
  sk_share_options o = { .max_users = LANES, .lane_bytes = LANE,
                         .max_bytes = 65536, .handler = handle };
  sk_share *s;
  REQUIRE(sk_share_create(&o, &s) == 0);
  REQUIRE(!os_memory_protect(s->store, s->store_end - s->store_off, 1));
  REQUIRE(!os_memory_protect(s->base + s->heap_off, s->heap_max, 1));
  REQUIRE(!sk_segment_back(s->segment, s->ring_off, LANES * LANE));
  REQUIRE(!sk_segment_back(s->segment, s->heap_off, HEAP_SEEN));
  return s;
}

/* The live share is never marked as running: nobody starts a keeper. */
static void serve_live (void *arg) {
  sk_coordinator *c;
  (void)arg;
  CHECK(share_coordinator_open(live, 0, &c) == 0);
  while (sk_coordinator_batch(c) > 0) {}
  sk_coordinator_close(c);
}

static void add_one (sk_port *p) {
  int64_t one = 1;
  sk_item item = { SK_INT, 8, &one };
  sk_receipt r;
  CHECK(put_item(p, "n", SK_ADD, &item, &r) == 0);
  sk_port_forget(p, &r);
}

static void put (sk_port *p, const char *path, const void *data, size_t n) {
  sk_item item = { TEXT, (uint32_t)n, data };
  sk_receipt r;
  CHECK(put_item(p, path, SK_SET, &item, &r) == 0);
  sk_port_forget(p, &r);
}

/* ---- the check of one image ---- */

struct expectation {
  int64_t n;         /* before the operation, all that is queued applied */
  uint64_t pub;      /* of lane 0 then */
  int adds;          /* it sends one to add */
  int big;           /* it sends the long text */
  int batch;         /* everything was queued before it */
  int finished;      /* the victim came to its end */
};

static struct expectation expect;
static char big[2500];

static void check_values (sk_port *p) {
  sk_item item;
  int came = atomic_load(&copy->lanes[0].pub) != expect.pub;
  int rc;
  CHECK(get_int_by(p, "n") == expect.n + (expect.adds && came));
  rc = sk_port_get(p, at("big"), 0, LONG, &item, NULL);
  if (expect.big) {
    CHECK(rc == SKE_ABSENT || rc == 0);
    CHECK(!expect.finished || rc == 0);
  }
  if (expect.batch) CHECK(rc == 0);
  if (rc == 0)
    CHECK(item.len == sizeof big && !memcmp(item.data, big, sizeof big));
  if (!expect.batch) return;
  CHECK(sk_port_get(p, at("gone"), 0, LONG, &item, NULL) == SKE_ABSENT);
  CHECK(get_int_by(p, "o.0") == 0 && get_int_by(p, "o.7") == 7);
  CHECK(get_int_by(p, "t.7") == 49 && get_int_by(p, "t.11") == 121);
  CHECK(sk_port_get(p, at("o"), 0, LONG, &item, NULL) == 0);
  CHECK(item.len == (uint32_t)keys);
}

/* A reader that comes before the recovery waits or sees something whole. */
static void check_reader (void) {
  sk_port *p;
  sk_item item;
  int64_t n;
  REQUIRE(sk_port_open(copy, &p) == 0);
  n = get_int_by(p, "n");
  CHECK(n == NOTHING + SKE_STOPPED ||
        (n >= expect.n - 2 && n <= expect.n + expect.adds));
  if (!sk_port_get(p, at("big"), 0, 0, &item, NULL))
    CHECK(item.len == sizeof big && !memcmp(item.data, big, sizeof big));
  sk_port_close(p);
}

static void check_image (void) {
  sk_share_stats before, after;
  sk_coordinator *c;
  sk_port *p;
  int i;
  transfer(copy, live);
  check_reader();
  REQUIRE(share_coordinator_open(copy, 0, &c) == 0);
  while (sk_coordinator_batch(c) > 0) {}
  CHECK(!atomic_load(&copy->store->journal.state));
  for (i = 0; i < LANES; i++)
    CHECK(atomic_load(&copy->lanes[i].pub) ==
          atomic_load(&copy->store->lanes[i].applied));
  REQUIRE(sk_port_open(copy, &p) == 0);
  check_values(p);
  /* it can be used on, and what is stored is what can be reached */
  add_one(p);
  put(p, "next", big, 100);
  CHECK(sk_coordinator_batch(c) == 2);
  CHECK(get_int_by(p, "n") >= expect.n + 1);
  sk_share_get_stats(copy, &before);
  sk_coordinator_close(c);
  REQUIRE(share_coordinator_open(copy, 0, &c) == 0);
  sk_share_get_stats(copy, &after);
  CHECK(before.stored == after.stored);
  sk_coordinator_close(c);
  sk_port_close(p);
}

/* ---- the victim ---- */

static sk_port *victim;

/* Step body in a child that has prepared itself; check every new state. The
** images of new states go into `kept`, if there is one. */
struct images { uint8_t **items; size_t n; };

static void step_through (void (*prepare) (void), void (*body) (void *),
                          struct images *kept) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    if (prepare) prepare();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(99);
    raise(SIGSTOP);
    body(NULL);
    raise(STEP_OVER);
    _exit(0);
  }
  REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
  expect.finished = 0;
  while (step_on(pid)) {
    steps++;
    if (!is_new(hash_of(live))) continue;
    if (kept) {
      kept->items = realloc(kept->items, (kept->n + 1) * sizeof(uint8_t *));
      kept->items[kept->n++] = save(live);
    }
    check_image();
  }
  expect.finished = 1;
  check_image();
  CHECK(step_end(pid) == 0);
}

static void claim_lane (void) {
  CHECK(sk_port_open(live, &victim) == 0);
  CHECK(share_port_claim(victim) == 0);
}

static void send_add (void *arg) {
  (void)arg;
  add_one(victim);
}

static void send_big (void *arg) {
  (void)arg;
  put(victim, "big", big, sizeof big);
}

static void claim_and_send (void *arg) {
  (void)arg;
  claim_lane();
  add_one(victim);
}

static void send_to_full (void *arg) {
  int64_t one = 1;
  sk_item item = { SK_INT, 8, &one };
  uint64_t space[2];
  sk_command cmd = { .kind = SK_ADD, .path = *at("n"),
                     .payload = space, .len = sk_item_put(space, &item) };
  sk_receipt r;
  (void)arg;
  CHECK(sk_port_send(victim, &cmd, &r, 0) == SKE_TIMEOUT);
}

/* ---- what was there before ---- */

static void fill_first (void *arg) {
  sk_port *p;
  int64_t zero = 0;
  sk_item number = { SK_INT, 8, &zero }, table = { SK_TABLE, 0, NULL };
  sk_receipt r[5];
  int i;
  (void)arg;
  CHECK(sk_port_open(live, &p) == 0);
  CHECK(put_item(p, "n", SK_SET, &number, &r[0]) == 0);
  CHECK(put_item(p, "o", SK_SET, &table, &r[1]) == 0);
  CHECK(put_item(p, "t", SK_SET, &table, &r[2]) == 0);
  put(p, "gone", big, 200);
  for (i = 0; i < 5; i++) {
    char path[16];
    int64_t v = i * i;
    sk_item item = { SK_INT, 8, &v };
    snprintf(path, sizeof path, "t.%d", i);
    CHECK(put_item(p, path, SK_SET, &item, &r[3]) == 0);
    sk_port_forget(p, &r[3]);
  }
  sk_port_close(p);
}

/* Move the lane's end to `place` bytes before the end of the ring. */
static void advance (void *place) {
  sk_port *p;
  int64_t rest;
  CHECK(sk_port_open(live, &p) == 0);
  CHECK(share_port_claim(p) == 0);
  for (;;) {
    rest = LANE - (int64_t)(p->head % LANE) - (int64_t)(intptr_t)place;
    if (rest >= 0 && rest < 72) break;
    rest = rest < 0 ? rest + LANE : rest;
    put(p, "pad", big, rest > 400 ? 300 : 8);
    in_child(serve_live, NULL);
  }
  sk_port_close(p);
}

static void fill_lane (void *arg) {
  sk_port *p;
  (void)arg;
  CHECK(sk_port_open(live, &p) == 0);
  CHECK(share_port_claim(p) == 0);
  while (p->head - atomic_load(&p->state->applied) < LANE - 80)
    put(p, "pad", big,
        p->head - atomic_load(&p->state->applied) < LANE - 400 ? 200 : 8);
  sk_port_close(p);
}

/* A command of each kind, in two lanes. */
static void queue_all (void *arg) {
  sk_port *p, *q;
  sk_command call = { .kind = MANY_OPS, .path = *at("o") };
  sk_command drop = { .kind = SK_DELETE, .path = *at("gone") };
  int64_t i;
  (void)arg;
  CHECK(sk_port_open(live, &p) == 0);
  CHECK(sk_port_open(live, &q) == 0);
  CHECK(share_port_claim(p) == 0 && share_port_claim(q) == 0);
  add_one(p);
  CHECK(sk_port_send(p, &call, NULL, 0) == 0);
  put(q, "big", big, sizeof big);
  CHECK(sk_port_send(q, &drop, NULL, 0) == 0);
  for (i = 5; i < 12; i++) {
    char path[16];
    int64_t v = i * i;
    sk_item item = { SK_INT, 8, &v };
    sk_receipt r;
    snprintf(path, sizeof path, "t.%d", (int)i);
    CHECK(put_item(p, path, SK_SET, &item, &r) == 0);
    sk_port_forget(p, &r);
  }
  put(q, "none.x", big, 10);  /* an error that is answered */
  drop.path = *at("none.x");
  CHECK(sk_port_send(q, &drop, NULL, 0) == 0);  /* and one that is kept */
  add_one(q);
  sk_port_close(p);
  sk_port_close(q);
}

/* ---- the tests ---- */

static void begin (void) {
  size_t i;
  for (i = 0; i < sizeof big; i++) big[i] = (char)(i * 7);
  live = new_share();
  copy = new_share();
  seen = calloc(MOST_STATES, sizeof *seen);
  states = steps = 0;
  memset(&expect, 0, sizeof expect);
}

static void ready (void) {
  in_child(fill_first, NULL);
  in_child(serve_live, NULL);
  expect.pub = atomic_load(&live->lanes[0].pub);
}

static void end (const char *what, long least) {
  printf("# %s: %ld instructions, %ld states\n", what, steps, states);
  CHECK(states >= least);
  sk_share_close(live);
  sk_share_close(copy);
  free(seen);
}

CLEAN_TEST("a writer may be killed after any instruction of a send") {
  begin();
  ready();
  expect.adds = 1;
  step_through(claim_lane, send_add, NULL);
  end("send", 6);
}

CLEAN_TEST("so it may when the command wraps around the ring's end") {
  begin();
  ready();
  in_child(advance, (void *)(intptr_t)30);
  expect.pub = atomic_load(&live->lanes[0].pub);
  expect.adds = 1;
  step_through(claim_lane, send_add, NULL);
  end("wrapping send", 6);
}

CLEAN_TEST("so it may when the lane is full") {
  begin();
  ready();
  in_child(fill_lane, NULL);
  expect.pub = atomic_load(&live->lanes[0].pub);
  step_through(claim_lane, send_to_full, NULL);
  end("send to a full lane", 1);
}

CLEAN_TEST("so it may in the middle of a long command") {
  begin();
  ready();
  expect.big = 1;
  step_through(claim_lane, send_big, NULL);
  end("long send", 50);
}

CLEAN_TEST("so it may while it claims its lane") {
  begin();
  ready();
  expect.adds = 1;
  step_through(NULL, claim_and_send, NULL);
  end("claim", 6);
}

CLEAN_TEST("a coordinator may be killed after any instruction of a batch, "
           "and the next one after any of its recovery") {
  struct images kept = { NULL, 0 };
  int stress = getenv("SK_STRESS") != NULL;
  size_t again = stress ? MANY_AGAIN : FEW_AGAIN, i;
  long first;
  if (SANITIZED) return;  /* ten times the instructions, the same stores */
  keys = stress ? MANY_KEYS : FEW_KEYS;
  begin();
  ready();
  in_child(queue_all, NULL);
  expect.n = 2;
  expect.batch = 1;
  step_through(NULL, serve_live, &kept);
  first = states;
  printf("# batch: %ld instructions, %ld states\n", steps, first);
  CHECK(first >= 300);
  for (i = 1; i <= again; i++) {
    load(live, kept.items[kept.n * i / (again + 1)]);
    step_through(NULL, serve_live, NULL);
  }
  for (i = 0; i < kept.n; i++) free(kept.items[i]);
  free(kept.items);
  end("second crashes", first + 10);
}

static void first_value (void *arg) {
  sk_port *p;
  int64_t zero = 0;
  sk_item number = { SK_INT, 8, &zero };
  sk_receipt r;
  (void)arg;
  CHECK(sk_port_open(live, &p) == 0);
  CHECK(put_item(p, "n", SK_SET, &number, &r) == 0);
  sk_port_close(p);
}

CLEAN_TEST("so it may while the heap grows") {
  if (SANITIZED) return;
  begin();
  in_child(first_value, NULL);
  expect.pub = atomic_load(&live->lanes[0].pub);
  step_through(NULL, serve_live, NULL);
  end("growth", 20);
}
