/*
** A process killed after any one of its instructions: what is in memory then
** is recovered, checked and used on. Then the recovery is killed likewise, in
** a few of those states, in many with SK_STRESS=1.
*/
#include "share_crash.h"

enum { MANY_OPS = SK_CALL };
enum { FEW_KEYS = 8, MANY_KEYS = 70 };  /* many: more than a journal holds */

static int keys;  /* that the handler sets */

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

/* ---- the check of one image ---- */

struct expectation {
  int64_t n;         /* before the operation, all that is queued applied */
  uint64_t pub;      /* of lane 0 then */
  int adds;          /* it sends one to add */
  int big;           /* it sends the long text */
  int batch;         /* everything was queued before it */
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
    CHECK(!finished || rc == 0);
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

/* ---- victims ---- */

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
  begin_shares();
  memset(&expect, 0, sizeof expect);
}

static void ready (void) {
  in_child(fill_first, NULL);
  in_child(serve_live, NULL);
  expect.pub = atomic_load(&live->lanes[0].pub);
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
  if (SANITIZED) return;  /* ten times the instructions, the same stores */
  keys = getenv("SK_STRESS") ? MANY_KEYS : FEW_KEYS;
  begin();
  ready();
  in_child(queue_all, NULL);
  expect.n = 2;
  expect.batch = 1;
  crash_twice("batch", 300);
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
