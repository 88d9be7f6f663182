/*
** Shares: what commands do to the tree, what readers see of it, that all of
** it is there after a restart, and that memory comes back.
*/
#include "share_helper.h"

#include "share.h"

/* ---- values ---- */

SHARE_TEST("a value that was set can be read, by its key only") {
  CHECK(put_int("a", 7) == 0);
  CHECK(put_text("b", "hello") == 0);
  apply();
  CHECK(get_int("a") == 7);
  CHECK(is_text("b", "hello"));
  CHECK(get_rc("c") == SKE_ABSENT);
  CHECK(get_rc("a.b") == SKE_TYPE);
  CHECK(get_rc("c.d") == SKE_ABSENT);
}

SHARE_TEST("setting again replaces, deleting removes, setting brings back") {
  int64_t i;
  for (i = 0; i < 100; i++) {
    CHECK(put_int("a", i) == 0);
    apply();
    CHECK(get_int("a") == i);
    CHECK(size_of("") == 1);
    CHECK(order("a", SK_DELETE) == 0);
    apply();
    CHECK(get_rc("a") == SKE_ABSENT);
    CHECK(size_of("") == 0);
  }
}

SHARE_TEST("values of any length come back as they were") {
  static const size_t sizes[] = { 0, 1, 7, 8, 9, 1000, 65535, 65536, 70001,
                                  262144, 1000003, 9999999 };
  uint8_t *data = malloc(10000000);
  uint32_t seed = 1;
  size_t i, k;
  for (i = 0; i < 10000000; i++) data[i] = (uint8_t)random_next(&seed);
  for (i = 0; i < COUNT(sizes); i++) {
    sk_item item;
    /* long ones go in parts: somebody must take them meanwhile */
    for (k = 0; k < 2; k++) {
      sk_coordinator_close(coordinator);
      coordinator = NULL;
      REQUIRE(sk_share_start(share) == 0);
      CHECK(put_bytes("a", data + k, sizes[i]) == 0);
      CHECK(sk_port_get(port, at("a"), 0, LONG, &item, NULL) == 0);
      CHECK(item.len == sizes[i] && !memcmp(item.data, data + k, sizes[i]));
      CHECK(sk_share_stop(share, LONG) == 0);
      serve();
    }
  }
  free(data);
}

SHARE_TEST("tables in tables: each entry is reached by its path") {
  CHECK(put_table("config") == 0);
  CHECK(put_table("config.tags") == 0);
  CHECK(put_text("config.tags.1", "ranked") == 0);
  CHECK(put_int("config.fps", 60) == 0);
  apply();
  CHECK(is_text("config.tags.1", "ranked"));
  CHECK(get_int("config.fps") == 60);
  CHECK(size_of("config") == 2);
  CHECK(put_int("config", 1) == 0);
  apply();
  CHECK(get_int("config") == 1);
  CHECK(get_rc("config.fps") == SKE_TYPE);
}

/* { x = 1, t = { 10, 20 } } as items */
static size_t sample (uint8_t *to) {
  static const int64_t one = 1, two = 2, ten = 10, twenty = 20;
  const sk_item items[] = {
    { SK_TABLE, 2, NULL }, { TEXT, 1, "x" }, { SK_INT, 8, &one },
    { TEXT, 1, "t" }, { SK_TABLE, 2, NULL },
    { SK_INT, 8, &one }, { SK_INT, 8, &ten },
    { SK_INT, 8, &two }, { SK_INT, 8, &twenty }
  };
  size_t i, n = 0;
  for (i = 0; i < COUNT(items); i++) n += sk_item_put(to + n, &items[i]);
  return n;
}

SHARE_TEST("a whole tree arrives with one command and replaces all of one") {
  uint64_t space[64];
  sk_command cmd = { .kind = SK_SET, .path = *at("c"),
                     .payload = space, .len = sample((uint8_t *)space) };
  CHECK(put_table("c") == 0 && put_int("c.old", 1) == 0);
  CHECK(sk_port_send(port, &cmd, NULL, LONG) == 0);
  apply();
  CHECK(get_int("c.x") == 1);
  CHECK(get_int("c.t.1") == 10 && get_int("c.t.2") == 20);
  CHECK(size_of("c") == 2 && size_of("c.t") == 2);
  CHECK(get_rc("c.old") == SKE_ABSENT);
}

SHARE_TEST("clear empties a table or the whole share") {
  CHECK(put_table("t") == 0 && put_int("t.a", 1) == 0 && put_int("b", 2) == 0);
  CHECK(order("t", SK_CLEAR) == 0);
  apply();
  CHECK(size_of("t") == 0 && get_int("b") == 2);
  CHECK(put_int("t.a", 3) == 0);
  apply();
  CHECK(get_int("t.a") == 3);
  CHECK(order("", SK_CLEAR) == 0);
  apply();
  CHECK(size_of("") == 0 && get_rc("t") == SKE_ABSENT);
}

SHARE_TEST("add counts integers exactly and mixes with floats") {
  int64_t now = 0;
  double half = 0.5, got;
  sk_item item = { SK_FLOAT, 8, &half };
  sk_answer a;
  CHECK(put_int("n", INT64_MAX - 1) == 0);
  CHECK(add_int("n", 1, &now) == 0 && now == INT64_MAX);
  CHECK(add_int("n", 1, &now) == 0 && now == INT64_MIN);
  CHECK(put_int("n", 1) == 0);
  CHECK(ask_item("n", SK_ADD, &item, &a) == 0 && a.item.kind == SK_FLOAT);
  memcpy(&got, a.item.data, sizeof got);
  CHECK(got == 1.5);
  CHECK(put_text("s", "x") == 0);
  CHECK(add_int("s", 1, NULL) == SKE_TYPE);
  CHECK(add_int("none", 1, NULL) == SKE_ABSENT);
}

SHARE_TEST("a table grows to any size and lists all that it holds") {
  enum { N = 20000 };
  char path[32], *seen = calloc(1, N);
  const void *data;
  const uint8_t *p;
  size_t len, part;
  uint32_t pairs, k;
  int i;
  CHECK(put_table("t") == 0);
  for (i = 0; i < N; i++) {
    snprintf(path, sizeof path, "t.%d", i);
    CHECK(put_int(path, i * 3) == 0);
    if (i % 100 == 0) apply();
  }
  apply();
  CHECK(size_of("t") == N);
  for (i = 0; i < N; i += 7) {
    snprintf(path, sizeof path, "t.%d", i);
    CHECK(get_int(path) == i * 3);
  }
  CHECK(sk_port_list(port, at("t"), LONG, &data, &len, &pairs, NULL) == 0);
  CHECK(pairs == N);
  for (p = data, k = 0; k < pairs; k++) {
    sk_item key, value;
    int64_t a, b;
    p += part = sk_item_get(p, len, &key);
    len -= part;
    p += part = sk_item_get(p, len, &value);
    len -= part;
    REQUIRE(part && key.kind == SK_INT && value.kind == SK_INT);
    memcpy(&a, key.data, 8);
    memcpy(&b, value.data, 8);
    CHECK(a >= 0 && a < N && b == a * 3 && !seen[a]);
    seen[a] = 1;
  }
  CHECK(len == 0);
  free(seen);
}

SHARE_TEST("a table survives endless insertion and deletion") {
  char path[32];
  sk_share_stats before, after;
  int i, round;
  CHECK(put_table("t") == 0);
  for (round = 0; round < 40; round++) {
    for (i = 0; i < 500; i++) {
      snprintf(path, sizeof path, "t.k%d", round * 500 + i);
      CHECK(put_int(path, i) == 0);
    }
    apply();
    CHECK(size_of("t") == 500);
    for (i = 0; i < 500; i++) {
      snprintf(path, sizeof path, "t.k%d", round * 500 + i);
      CHECK(order(path, SK_DELETE) == 0);
    }
    apply();
    if (round == 5) sk_share_get_stats(share, &before);
  }
  sk_share_get_stats(share, &after);
  CHECK(size_of("t") == 0);
  CHECK(after.heap <= before.heap);
}

/* ---- errors ---- */

static int64_t error_count (void) {
  sk_path root = { NULL, 0, 0, SK_ERRORS_ROOT };
  sk_item item;
  CHECK(sk_port_flush(port, LONG) == 0);
  CHECK(sk_port_get(port, &root, 0, LONG, &item, NULL) == 0);
  return item.len;
}

SHARE_TEST("errors that nobody waits for are kept, the last 64") {
  int i;
  CHECK(error_count() == 0);
  CHECK(put_int("a.b", 1) == 0);
  apply();
  CHECK(error_count() == 1);
  for (i = 0; i < 200; i++) CHECK(put_int("a.b", 1) == 0);
  apply();
  CHECK(error_count() == 64);
}

SHARE_TEST("a malformed command is refused by the sender") {
  static const uint32_t zero[4];
  sk_path bad = { zero, 4, 1, 0 };
  sk_path foreign = { NULL, 0, 0, 7 };
  sk_command cmd = { .kind = SK_SET, .path = bad };
  CHECK(sk_port_send(port, &cmd, NULL, LONG) == SKE_INVAL);
  cmd.path = foreign;
  CHECK(sk_port_send(port, &cmd, NULL, LONG) == SKE_INVAL);
  cmd.path = *at("a");
  cmd.kind = 0;
  CHECK(sk_port_send(port, &cmd, NULL, LONG) == SKE_INVAL);
}

SHARE_TEST("a malformed value is refused by the coordinator") {
  static const uint32_t bad[] = { SK_TABLE, 1000000000 };
  sk_command cmd = { .kind = SK_SET, .path = *at("a"),
                     .payload = bad, .len = sizeof bad };
  sk_receipt r;
  sk_answer a;
  CHECK(sk_port_send(port, &cmd, &r, LONG) == 0);
  apply();
  CHECK(sk_port_wait(port, &r, LONG, &a) == 0);
  CHECK(a.rc == SKE_INVAL);
  CHECK(get_rc("a") == SKE_ABSENT);
}

SHARE_TEST("64 answers may be outstanding, not one more") {
  sk_command cmd = { .kind = SK_SYNC, .path.depth = 0 };
  sk_receipt r[65];
  sk_answer a;
  int i, round;
  for (round = 0; round < 3; round++) {
    for (i = 0; i < 64; i++) CHECK(!sk_port_send(port, &cmd, &r[i], LONG));
    CHECK(sk_port_send(port, &cmd, &r[64], LONG) == SKE_BUSY);
    apply();
    for (i = 0; i < 64; i++) {
      if (round == 1) sk_port_forget(port, &r[i]);
      else CHECK(!sk_port_wait(port, &r[i], LONG, &a) && a.rc == 0);
    }
  }
}

/* ---- freshness ---- */

SHARE_TEST("fresh says so until a write is queued, and again after a look") {
  sk_seen seen;
  sk_item item;
  CHECK(put_int("a", 1) == 0 && put_int("b", 1) == 0);
  apply();
  CHECK(sk_port_get(port, at("a"), 0, LONG, &item, &seen) == 0);
  CHECK(sk_share_fresh(share, &seen));
  CHECK(put_int("b", 2) == 0);
  CHECK(!sk_share_fresh(share, &seen));
  apply();
  CHECK(sk_share_fresh(share, &seen));
  CHECK(put_int("a", 2) == 0);
  apply();
  CHECK(!sk_share_fresh(share, &seen));
}

SHARE_TEST("an entry seen in a table that was replaced is not fresh") {
  sk_seen seen;
  sk_item item;
  int i;
  for (i = 0; i < 20; i++) {
    CHECK(put_table("t") == 0 && put_int("t.a", 1) == 0);
    apply();
    CHECK(sk_port_get(port, at("t.a"), 0, LONG, &item, &seen) == 0);
    CHECK(put_table("t") == 0);
    if (i % 2) CHECK(put_int("t.a", 1) == 0);
    apply();
    CHECK(!sk_share_fresh(share, &seen));
  }
}

SHARE_TEST("a read waits for what it depends on, and only for that") {
  sk_item item;
  CHECK(put_table("t") == 0 && put_int("t.a", 1) == 0 && put_int("b", 1) == 0);
  apply();
  CHECK(put_int("t.a", 2) == 0);
  CHECK(sk_port_get(port, at("b"), 0, 0, &item, NULL) == 0);
  CHECK(sk_port_get(port, at("t"), 0, 0, &item, NULL) == 0);
  CHECK(sk_port_get(port, at("t.a"), 0, 0, &item, NULL) == SKE_TIMEOUT);
  apply();
  CHECK(put_int("t", 2) == 0);
  CHECK(sk_port_get(port, at("b"), 0, 0, &item, NULL) == 0);
  CHECK(sk_port_get(port, at("t.a"), 0, 0, &item, NULL) == SKE_TIMEOUT);
  apply();
  CHECK(order("", SK_CLEAR) == 0);
  CHECK(sk_port_get(port, at("b"), 0, 0, &item, NULL) == SKE_TIMEOUT);
  apply();
  CHECK(sk_port_get(port, at("b"), 0, 0, &item, NULL) == SKE_ABSENT);
}

SHARE_TEST("a stopped share answers what does not depend on the queue") {
  sk_item item;
  CHECK(put_int("a", 1) == 0);
  apply();
  sk_coordinator_close(coordinator);
  coordinator = NULL;
  CHECK(sk_share_start(share) == 0);
  CHECK(sk_share_stop(share, LONG) == 0);
  CHECK(get_int("a") == 1);
  CHECK(put_int("a", 2) == 0);
  CHECK(sk_port_get(port, at("a"), 0, LONG, &item, NULL) == SKE_STOPPED);
  CHECK(sk_share_start(share) == 0);
  CHECK(get_int("a") == 2);
}

/* ---- handlers ---- */

enum { BOTH = SK_CALL, HALF, ANSWER, OUTSIDE, TWICE };

static int set_int (sk_change *c, const char *path, int64_t v) {
  sk_item item = { SK_INT, 8, &v };
  uint64_t space[2];
  return sk_change_set(c, at(path), space, sk_item_put(space, &item));
}

static int handle (void *arg, sk_change *c, const sk_command *cmd) {
  sk_item seen;
  int i, rc;
  (void)arg;
  switch (cmd->kind) {
    case BOTH:
      rc = set_int(c, "o.a", 1);
      if (!rc) rc = set_int(c, "o.b", 2);
      return rc;
    case HALF:
      CHECK(set_int(c, "o.a", 100) == 0);
      CHECK(sk_change_get(c, at("o.a"), &seen) == 0);
      CHECK(*(const int64_t *)seen.data == 100);
      CHECK(sk_change_delete(c, at("o.b")) == 0);
      sk_change_answer(c, &(sk_item){ TEXT, 4, "why?" });
      return SKE_TYPE;
    case ANSWER:
      return sk_change_answer(c, &(sk_item){ TEXT, (uint32_t)cmd->len,
                                             cmd->payload });
    case OUTSIDE:
      set_int(c, "x", 1);
      return 0;
    default:
      for (i = 0; i < 300; i++) {  /* more stores than the journal holds */
        char path[32];
        snprintf(path, sizeof path, "o.n%d", i % 150);
        rc = set_int(c, path, i);
        if (rc) return rc;
      }
      return 0;
  }
}

static void with_handler (void (*test) (void)) {
  sk_share_options o = { .handler = handle };
  open_share(&o);
  serve();
  CHECK(put_table("o") == 0);
  apply();
  test();
  close_share();
}

#define CALL_TEST(name) CALL_DEFINE(name, CHECK_PASTE(call_, __LINE__))
#define CALL_DEFINE(text, id) \
  static void id (void); \
  CLEAN_TEST(text) { with_handler(id); } \
  static void id (void)

CALL_TEST("all that a handler changed is there, or nothing") {
  sk_answer a;
  CHECK(ask_item("o", BOTH, NULL, &a) == 0);
  CHECK(get_int("o.a") == 1 && get_int("o.b") == 2);
  CHECK(ask_item("o", HALF, NULL, &a) == SKE_TYPE);
  CHECK(a.item.len == 4 && !memcmp(a.item.data, "why?", 4));
  CHECK(get_int("o.a") == 1 && get_int("o.b") == 2);
  CHECK(ask_item("o", TWICE, NULL, &a) == 0);
  CHECK(get_int("o.n0") == 150 && get_int("o.n149") == 299);
  CHECK(size_of("o") == 152);
  serve_anew();
  CHECK(get_int("o.n149") == 299 && size_of("o") == 152);
}

CALL_TEST("a handler's answer comes back, of any length") {
  char *text = malloc(50000);
  sk_command cmd = { .kind = ANSWER, .path = *at("o"),
                     .payload = text, .len = 50000 };
  sk_receipt r;
  sk_answer a;
  memset(text, 'x', 50000);
  CHECK(sk_port_send(port, &cmd, &r, LONG) == 0);
  apply();
  CHECK(sk_port_wait(port, &r, LONG, &a) == 0 && a.rc == 0);
  CHECK(a.item.len == 50000 && !memcmp(a.item.data, text, 50000));
  free(text);
}

CALL_TEST("a handler changes nothing beside its own path") {
  sk_answer a;
  CHECK(ask_item("o", OUTSIDE, NULL, &a) == SKE_INVAL);
  CHECK(get_rc("x") == SKE_ABSENT);
}

CALL_TEST("what a failed call said is kept when nobody waits") {
  sk_path root = { NULL, 0, 0, SK_ERRORS_ROOT };
  const void *data;
  const uint8_t *p;
  size_t len;
  uint32_t n;
  sk_item item;
  CHECK(order("o", HALF) == 0);
  apply();
  CHECK(sk_port_list(port, &root, LONG, &data, &len, &n, NULL) == 0 && n == 1);
  p = data;
  p += sk_item_get(p, len, &item);
  sk_item_get(p, len, &item);
  CHECK(item.kind == TEXT && item.len == 4 && !memcmp(item.data, "why?", 4));
}

/* ---- memory ---- */

CLEAN_TEST("a full share says so to the write that does not fit") {
  enum { EACH = 100000, TOO_MUCH = 1 << 21 };
  static char data[TOO_MUCH];
  char path[16];
  int i, rc = 0, n;
  open_share(&(sk_share_options){ .max_bytes = 1 << 20 });
  REQUIRE(sk_share_start(share) == 0);
  for (n = 0; n < 100 && !rc; n++) {
    memset(data, n, EACH);
    snprintf(path, sizeof path, "k%d", n);
    rc = put_bytes(path, data, EACH);
  }
  CHECK(rc == SKE_FULL);
  CHECK(n >= 9 && n <= 11);
  for (i = 0; i < n - 1; i++) {
    sk_item item;
    snprintf(path, sizeof path, "k%d", i);
    CHECK(sk_port_get(port, at(path), 0, LONG, &item, NULL) == 0);
    CHECK(item.len == EACH && *(const char *)item.data == i);
  }
  CHECK(order("k0", SK_DELETE) == 0);
  CHECK(put_bytes("again", data, EACH) == 0);
  CHECK(put_bytes("k1", data, EACH) == 0);  /* makes its own room */
  CHECK(put_bytes("k1", data, TOO_MUCH) == SKE_FULL);
  CHECK(size_of("") == n - 1);
  close_share();
}

SHARE_TEST("memory stays as it is over overwrites of varying size") {
  static char data[4000];
  sk_share_stats before, after;
  uint32_t seed = 3;
  char path[16];
  int i;
  for (i = 0; i < ROUNDS(200000); i++) {
    snprintf(path, sizeof path, "k%u", random_next(&seed) % 50);
    CHECK(put_bytes(path, data, random_next(&seed) % sizeof data) == 0);
    if (i % 20 == 0) apply();
    if (i == ROUNDS(50000)) sk_share_get_stats(share, &before);
  }
  apply();
  sk_share_get_stats(share, &after);
  CHECK(after.heap == before.heap);
}

static const char *data_of (int i) {
  static char data[1000];
  memset(data, i, sizeof data);
  return data;
}

SHARE_TEST("stored bytes are the same counted and recounted") {
  sk_share_stats before, after;
  char path[16];
  uint32_t seed = 5;
  int i;
  CHECK(put_table("t") == 0);
  for (i = 0; i < 3000; i++) {
    snprintf(path, sizeof path, "t.%u", random_next(&seed) % 300);
    switch (random_next(&seed) % 4) {
      case 0: CHECK(put_int(path, i) == 0); break;
      case 1: CHECK(put_bytes(path, data_of(i), (size_t)i % 900) == 0); break;
      case 2: CHECK(put_table(path) == 0); break;
      default: CHECK(order(path, SK_DELETE) == 0);
    }
    if (i % 50) continue;
    apply();
    sk_share_get_stats(share, &before);
    serve_anew();
    sk_share_get_stats(share, &after);
    CHECK(before.stored == after.stored);
  }
  CHECK(order("", SK_CLEAR) == 0);
  apply();
  sk_share_get_stats(share, &after);
  CHECK(after.stored == 0);
}

/* ---- hostile lanes ---- */

/* Overwrite the length of the last command in the first lane. */
static void scribble (void) {
  struct lane_words *l = &share->lanes[0];
  uint64_t applied = atomic_load(&share->store->lanes[0].applied);
  uint32_t *len = (uint32_t *)(share->base + share->ring_off + applied);
  CHECK(atomic_load(&l->pub) > applied);
  *len = 0xfffffff0;
}

SHARE_TEST("a lane full of nonsense ends, the share does not") {
  CHECK(put_int("a", 1) == 0);
  apply();
  CHECK(put_int("a", 2) == 0);
  scribble();
  apply();
  CHECK(sk_coordinator_batch(coordinator) == 0);
  CHECK(put_int("a", 3) == 0);
  apply();
  CHECK(get_int("a") == 3);
}
