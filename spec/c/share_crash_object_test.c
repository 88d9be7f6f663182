/*
** As share_crash_test.c, with objects: calls that say what they write, fields
** that come and go, an object that is replaced, and a table that grows.
*/
#include "share_crash.h"

enum { BOTH = SK_CALL, ENTRIES = 22, LAST = 3 };

/* What lane 0 had published, and what o.x and o.y were, before the victim. */
static uint64_t pub;
static int64_t before;
static int batch;  /* everything was queued before it */

static int set_in (sk_change *c, const char *path, int64_t v) {
  sk_item item = { SK_INT, 8, &v };
  uint64_t space[2];
  return sk_change_set(c, at(path), space, sk_item_put(space, &item));
}

/* Both fields, always of the same value. */
static int handle (void *arg, sk_change *c, const sk_command *cmd) {
  int64_t v;
  int rc;
  (void)arg;
  memcpy(&v, (const char *)cmd->payload + 8, sizeof v);
  rc = set_in(c, "o.x", v);
  return rc ? rc : set_in(c, "o.y", v);
}

/* ---- the checks ---- */

/* -> are x and y of the object the same? *v is x, *pairs all its fields. */
static int is_even (sk_port *p, int64_t timeout, int64_t *v,
                    uint32_t *pairs) {
  const void *data;
  const uint8_t *place;
  int64_t x = NOTHING, y = NOTHING;
  size_t len;
  uint32_t i;
  *pairs = 0;
  if (sk_port_list(p, at("o"), timeout, &data, &len, pairs, NULL)) return 1;
  for (i = 0, place = data; i < *pairs; i++) {
    sk_item key, value;
    place += sk_item_get(place, len, &key);
    place += sk_item_get(place, len, &value);
    if (*(const char *)key.data == 'x') memcpy(&x, value.data, sizeof x);
    if (*(const char *)key.data == 'y') memcpy(&y, value.data, sizeof y);
  }
  *v = x;
  return x == y;
}

/* One that looked at the marks before anything was sent. */
static void check_reader (void) {
  int64_t v;
  uint32_t pairs;
  sk_port *p;
  int i;
  for (i = 0; i < LANES; i++)
    memset((void *)copy->lanes[i].marks, 0, sizeof copy->lanes[i].marks);
  REQUIRE(sk_port_open(copy, &p) == 0);
  CHECK(is_even(p, 0, &v, &pairs));
  sk_port_close(p);
  transfer(copy, live);
}

static void check_values (sk_port *p) {
  int came = atomic_load(&copy->lanes[0].pub) != pub, i;
  int64_t v = NOTHING;
  uint32_t pairs;
  CHECK(is_even(p, LONG, &v, &pairs));
  CHECK(v == (batch ? LAST : before + came));
  if (!batch) return;
  CHECK(pairs == 3 && get_int_by(p, "o.z") == 6);
  for (i = 0; i < ENTRIES; i++) {
    char path[16];
    snprintf(path, sizeof path, "t.%d", i);
    CHECK(get_int_by(p, path) == i);
  }
}

/* ---- what is sent ---- */

static int call (sk_port *p, int64_t v) {
  sk_item item = { SK_INT, 8, &v };
  uint64_t space[2];
  const sk_path *keys = at("x.y");  /* two keys, one after another */
  sk_command cmd = { .kind = BOTH, .path = *at("o"), .payload = space,
                     .len = sk_item_put(space, &item),
                     .writes = keys->data, .writes_len = keys->len,
                     .inside = 1 };
  return sk_port_send(p, &cmd, NULL, 0);
}

static void put_object (sk_port *p) {
  static const int64_t nine = 9;
  const sk_item items[] = {
    { SK_OBJECT, 2, NULL }, { TEXT, 1, "x" }, { SK_INT, 8, &nine },
    { TEXT, 1, "y" }, { SK_INT, 8, &nine }
  };
  uint64_t space[16];
  sk_command cmd = { .kind = SK_SET, .path = *at("o"), .payload = space };
  sk_receipt r;
  size_t i;
  for (i = 0; i < COUNT(items); i++)
    cmd.len += sk_item_put((char *)space + cmd.len, &items[i]);
  CHECK(sk_port_send(p, &cmd, &r, 0) == 0);
  sk_port_forget(p, &r);
}

static void put_number (sk_port *p, const char *path, int64_t v) {
  sk_item item = { SK_INT, 8, &v };
  sk_receipt r;
  CHECK(put_item(p, path, SK_SET, &item, &r) == 0);
  sk_port_forget(p, &r);
}

static void fill_first (void *arg) {
  sk_item table = { SK_TABLE, 0, NULL };
  sk_receipt r;
  sk_port *p;
  (void)arg;
  CHECK(sk_port_open(live, &p) == 0);
  put_number(p, "n", 0);
  CHECK(put_item(p, "t", SK_SET, &table, &r) == 0);
  put_object(p);
  sk_port_close(p);
}

static void grow_table (sk_port *p) {
  char path[16];
  int i;
  for (i = 0; i < ENTRIES; i++) {
    snprintf(path, sizeof path, "t.%d", i);
    put_number(p, path, i);
  }
}

/* From two lanes, so that commits of the object and the table alternate. */
static void queue_all (void *arg) {
  sk_command drop = { .kind = SK_DELETE, .path = *at("o.z") };
  sk_port *p, *q;
  (void)arg;
  CHECK(sk_port_open(live, &p) == 0);
  CHECK(sk_port_open(live, &q) == 0);
  CHECK(share_port_claim(p) == 0 && share_port_claim(q) == 0);
  CHECK(call(p, 1) == 0);
  put_number(p, "o.z", 5);
  CHECK(sk_port_send(p, &drop, NULL, 0) == 0);
  put_object(p);
  CHECK(call(p, 2) == 0);
  grow_table(q);
  put_number(q, "o.z", 6);
  CHECK(call(q, LAST) == 0);
  sk_port_close(p);
  sk_port_close(q);
}

/* ---- the tests ---- */

static void ready (void) {
  begin_shares();
  in_child(fill_first, NULL);
  in_child(serve_live, NULL);
  pub = atomic_load(&live->lanes[0].pub);
  before = 9;
  batch = 0;
}

static void send_call (void *arg) {
  (void)arg;
  CHECK(call(victim, 10) == 0);
}

CLEAN_TEST("a caller may be killed after any instruction, named writes too") {
  ready();
  step_through(claim_lane, send_call, NULL);
  end("call", 8);
}

CLEAN_TEST("no death leaves an object half changed or a table half grown") {
  if (SANITIZED) return;
  ready();
  in_child(queue_all, NULL);
  batch = 1;
  crash_twice("objects", 500);
}
