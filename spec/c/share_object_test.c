/*
** Objects: tables whose entries are one unit. What they may hold, that a list
** of one is of one instant, what a handler sees of them, and which reads wait
** for which commands.
*/
#include "share_helper.h"

#include "share.h"

enum { ALL = SK_CALL, KEEP, VERSIONS, LISTS, REPLACE, FILL, SAME };
enum { FIELDS = 9 };

static uint64_t versions[6];
static int64_t listed;      /* the sum of what a handler found */
static _Atomic int drops, stop;

/* ---- objects in a line ---- */

/* { a = v, b = v, ... } with n fields of one letter */
static size_t object_item (void *space, uint32_t kind, uint32_t n,
                           int64_t v) {
  sk_item item = { kind, n, NULL };
  size_t size = sk_item_put(space, &item);
  uint32_t i;
  for (i = 0; i < n; i++) {
    char name = (char)('a' + i);
    item = (sk_item){ TEXT, 1, &name };
    size += sk_item_put((char *)space + size, &item);
    item = (sk_item){ SK_INT, 8, &v };
    size += sk_item_put((char *)space + size, &item);
  }
  return size;
}

static int put_object_by (sk_port *p, const char *path, int64_t v) {
  uint64_t space[64];
  sk_command cmd = { .kind = SK_SET, .path = *at(path), .payload = space };
  cmd.len = object_item(space, SK_OBJECT, FIELDS, v);
  return sk_port_send(p, &cmd, NULL, LONG);
}

static int put_object (const char *path, int64_t v) {
  return put_object_by(port, path, v);
}

static uint32_t kind_of (const char *path) {
  sk_item item;
  return sk_port_get(port, at(path), 0, LONG, &item, NULL) ? 0 : item.kind;
}

/* What the integers of a list add up to; *same: they are all equal. */
static int64_t sum_list (const uint8_t *p, size_t len, uint32_t pairs,
                         int *same) {
  int64_t sum = 0, v, first = 0;
  uint32_t i;
  for (i = 0; i < pairs; i++) {
    sk_item key, value;
    size_t part = sk_item_get(p, len, &key);
    p += part;
    len -= part;
    part = sk_item_get(p, len, &value);
    if (!part || value.kind != SK_INT) return NOTHING;
    memcpy(&v, value.data, sizeof v);
    if (!i) first = v;
    *same &= v == first;
    sum += v;
    p += part;
    len -= part;
  }
  return sum;
}

static int64_t sum_of (sk_port *p, const char *path, int *same) {
  const void *data;
  size_t len;
  uint32_t pairs;
  int rc = sk_port_list(p, at(path), LONG, &data, &len, &pairs, NULL);
  *same = 1;
  return rc ? NOTHING + rc : sum_list(data, len, pairs, same);
}

/* ---- the handler ---- */

static int set_int (sk_change *c, const char *path, int64_t v) {
  sk_item item = { SK_INT, 8, &v };
  uint64_t space[2];
  return sk_change_set(c, at(path), space, sk_item_put(space, &item));
}

static int set_fields (sk_change *c, int64_t v) {
  char path[] = "o.a";
  int i, rc = 0;
  for (i = 0; i < FIELDS && !rc; i++, path[2]++) rc = set_int(c, path, v);
  return rc;
}

static int look_at_versions (sk_change *c) {
  versions[0] = sk_change_version(c, at("o"));
  CHECK(set_int(c, "o.a", 41) == 0);
  versions[1] = sk_change_version(c, at("o"));
  CHECK(sk_change_delete(c, at("o.b")) == 0);
  versions[2] = sk_change_version(c, at("o"));
  versions[3] = sk_change_version(c, at("o.a"));
  versions[4] = sk_change_version(c, at("o.none"));
  versions[5] = sk_change_version(c, at("none"));
  return SKE_TYPE;
}

static int look_at_list (sk_change *c) {
  const void *data;
  size_t len;
  uint32_t pairs;
  int same = 1;
  CHECK(set_int(c, "o.a", 100) == 0);
  CHECK(sk_change_delete(c, at("o.b")) == 0);
  CHECK(sk_change_list(c, at("o"), &data, &len, &pairs) == 0);
  CHECK(pairs == FIELDS - 1);
  listed = sum_list(data, len, pairs, &same);
  CHECK(sk_change_list(c, at("o.a"), &data, &len, &pairs) == SKE_TYPE);
  CHECK(sk_change_list(c, at("o.b"), &data, &len, &pairs) == SKE_ABSENT);
  return 0;
}

static int fill (sk_change *c) {
  char *big = calloc(1, 70000);
  sk_item item = { TEXT, 60000, big + 8 };
  size_t n = sk_item_put(big, &item);
  CHECK(set_int(c, "o.a", 5) == 0);
  CHECK(sk_change_set(c, at("o.big"), big, n) == SKE_FULL);
  free(big);
  return 0;  /* it says that all is well */
}

static int handle (void *arg, sk_change *c, const sk_command *cmd) {
  uint64_t space[64];
  int64_t v = 0;
  (void)arg;
  if (cmd->len == 16) memcpy(&v, (const char *)cmd->payload + 8, 8);
  switch (cmd->kind) {
    case ALL: return set_fields(c, v);
    case KEEP: return 0;
    case VERSIONS: return look_at_versions(c);
    case LISTS: return look_at_list(c);
    case FILL: return fill(c);
    case REPLACE:
      if (sk_change_set(c, at("o"), space,
                        object_item(space, SK_OBJECT, FIELDS, v)))
        return SKE_INVAL;
      return set_int(c, "o.a", v + 1);
    default:
      versions[0] = sk_change_version(c, at("o"));
      return 0;
  }
}

static void note_drop (void *arg) {
  (void)arg;
  atomic_fetch_add(&drops, 1);
}

static void with_object (void (*test) (void)) {
  sk_share_options o = { .handler = handle, .dropped = note_drop,
                         .max_bytes = 65536, .lane_bytes = 4096 };
  open_share(&o);
  serve();
  drops = 0;
  CHECK(put_object("o", 1) == 0 && put_table("t") == 0);
  apply();
  test();
  close_share();
}

#define OBJECT_TEST(name) OBJECT_DEFINE(name, CHECK_PASTE(object_, __LINE__))
#define OBJECT_DEFINE(text, id) \
  static void id (void); \
  CLEAN_TEST(text) { with_object(id); } \
  static void id (void)

/* ---- what it is ---- */

OBJECT_TEST("an object is set whole, and read field by field or whole") {
  int same;
  sk_item item;
  CHECK(kind_of("o") == SK_OBJECT);
  CHECK(sk_port_get(port, at("o"), 0, LONG, &item, NULL) == 0);
  CHECK(item.len == FIELDS);
  CHECK(get_int("o.a") == 1 && get_int("o.i") == 1);
  CHECK(get_rc("o.z") == SKE_ABSENT && get_rc("o.a.b") == SKE_TYPE);
  CHECK(put_int("o.a", 5) == 0 && put_int("o.z", 6) == 0);
  CHECK(order("o.b", SK_DELETE) == 0);
  apply();
  CHECK(sum_of(port, "o", &same) == FIELDS - 2 + 5 + 6 && !same);
}

OBJECT_TEST("its fields count like others") {
  int64_t now;
  CHECK(add_int("o.a", 41, &now) == 0 && now == 42);
  CHECK(get_int("o.a") == 42);
}

OBJECT_TEST("no table and no object goes into it") {
  uint64_t space[64], nested[128];
  sk_item item = { SK_OBJECT, 1, NULL }, key = { TEXT, 1, "k" };
  sk_command cmd = { .kind = SK_SET, .path = *at("new"), .payload = nested };
  sk_answer a;
  sk_receipt r;
  size_t n;
  uint32_t kind;
  for (kind = SK_TABLE; kind <= SK_OBJECT; kind++) {
    sk_item empty = { kind, 0, NULL };
    CHECK(ask_item("o.a", SK_SET, &empty, &a) == SKE_INVAL);
    CHECK(ask_item("o.new", SK_SET, &empty, &a) == SKE_INVAL);
    n = sk_item_put(nested, &item);
    n += sk_item_put((char *)nested + n, &key);
    n += object_item(space, kind, 2, 1);
    memcpy((char *)nested + n - object_item(space, kind, 2, 1), space,
           object_item(space, kind, 2, 1));
    cmd.len = n;
    CHECK(sk_port_send(port, &cmd, &r, LONG) == 0);
    apply();
    CHECK(sk_port_wait(port, &r, LONG, &a) == 0 && a.rc == SKE_INVAL);
  }
  CHECK(get_int("o.a") == 1 && get_rc("o.new") == SKE_ABSENT);
  CHECK(get_rc("new") == SKE_ABSENT);
}

OBJECT_TEST("it may lie in tables, is replaced by one, and comes back") {
  int same, i;
  for (i = 0; i < 20; i++) {
    CHECK(put_object("t.o", i) == 0);
    apply();
    CHECK(kind_of("t.o") == SK_OBJECT && get_int("t.o.c") == i);
    CHECK(sum_of(port, "t.o", &same) == FIELDS * i && same);
    CHECK(put_table("t.o") == 0 && put_int("t.o.c", 7) == 0);
    CHECK(put_table("t.o.a") == 0);
    apply();
    CHECK(kind_of("t.o") == SK_TABLE && kind_of("t.o.a") == SK_TABLE);
    CHECK(get_int("t.o.c") == 7);
  }
}

OBJECT_TEST("it is replaced and not emptied; its table and the root are") {
  sk_answer a;
  CHECK(ask_item("o", SK_CLEAR, NULL, &a) == SKE_TYPE);
  CHECK(get_int("o.a") == 1);
  CHECK(put_object("t.o", 3) == 0);
  CHECK(order("t", SK_CLEAR) == 0);
  apply();
  CHECK(get_rc("t.o") == SKE_ABSENT && size_of("t") == 0);
  CHECK(order("", SK_CLEAR) == 0);
  apply();
  CHECK(get_rc("o") == SKE_ABSENT && get_rc("o.a") == SKE_ABSENT);
}

OBJECT_TEST("it is there after a restart, and its memory is counted the same") {
  sk_share_stats before, after;
  sk_answer a;
  int same, i;
  for (i = 0; i < 10; i++) {
    CHECK(put_object("t.o", i) == 0 && put_int("t.o.a", i + 1) == 0);
    CHECK(ask_item("o", ALL, NULL, &a) == 0);
    CHECK(order("t.o.b", SK_DELETE) == 0);
    apply();
    sk_share_get_stats(share, &before);
    serve_anew();
    sk_share_get_stats(share, &after);
    CHECK(before.stored == after.stored);
    CHECK(get_int("t.o.a") == i + 1 && get_rc("t.o.b") == SKE_ABSENT);
    CHECK(sum_of(port, "t.o", &same) == (FIELDS - 1) * i + 1);
    CHECK(kind_of("o") == SK_OBJECT && get_int("o.i") == 0);
  }
}

/* ---- in a handler ---- */

OBJECT_TEST("a handler sees a version that changes with each entry") {
  sk_answer a;
  int i, k;
  CHECK(ask_item("o", VERSIONS, NULL, &a) == SKE_TYPE);
  for (i = 0; i < 4; i++)
    for (k = 0; k < i; k++) CHECK(versions[i] != versions[k]);
  CHECK(versions[4] == 0 && versions[5] == 0);
}

OBJECT_TEST("a version stays when nothing changed, also in a failed call") {
  sk_answer a;
  uint64_t first;
  CHECK(ask_item("o", SAME, NULL, &a) == 0);
  first = versions[0];
  CHECK(ask_item("o", KEEP, NULL, &a) == 0);
  CHECK(ask_item("o", SAME, NULL, &a) == 0);
  CHECK(first && versions[0] == first);
  CHECK(ask_item("o", VERSIONS, NULL, &a) == SKE_TYPE);
  CHECK(ask_item("o", SAME, NULL, &a) == 0);
  CHECK(versions[0] == first);
  CHECK(put_int("o.a", 1) == 0);
  CHECK(ask_item("o", SAME, NULL, &a) == 0);
  CHECK(versions[0] != first);
}

OBJECT_TEST("a handler's list holds what it has changed itself") {
  sk_answer a;
  CHECK(ask_item("o", LISTS, NULL, &a) == 0);
  CHECK(listed == 100 + FIELDS - 2);
}

OBJECT_TEST("a handler may replace an object and go on changing it") {
  int64_t v = 8;
  sk_item item = { SK_INT, 8, &v };
  sk_answer a;
  int same;
  CHECK(ask_item("o", REPLACE, &item, &a) == 0);
  CHECK(sum_of(port, "o", &same) == FIELDS * 8 + 1);
  CHECK(get_int("o.a") == 9 && get_int("o.b") == 8);
}

OBJECT_TEST("who keeps what a call changed hears that it was not kept") {
  sk_answer a;
  CHECK(ask_item("o", ALL, NULL, &a) == 0);
  CHECK(drops == 0);
  CHECK(ask_item("o", FILL, NULL, &a) == SKE_FULL);
  CHECK(drops == 1);
  CHECK(get_int("o.a") == 0 && get_rc("o.big") == SKE_ABSENT);
  CHECK(ask_item("o", VERSIONS, NULL, &a) == SKE_TYPE);
  CHECK(drops == 2);
  CHECK(ask_item("none.x", SK_READ, NULL, &a) == SKE_ABSENT);
  CHECK(drops == 2);  /* no handler, nothing kept */
}

/* ---- marks ---- */

enum { READS = 6, WAITS = SKE_TIMEOUT };

/* Which reads of o wait: as a string, x waits, - does not. In this order:
** a field, another field, the object, what is inside, any entry, the list. */
static const char *waiting (void) {
  static char text[READS + 1];
  static const struct { const char *path; int how; } reads[] = {
    { "o.a", 0 }, { "o.b", 0 }, { "o", 0 }, { "o", SK_INSIDE },
    { "o", SK_ENTRIES }
  };
  sk_item item;
  const void *data;
  size_t len, i;
  uint32_t pairs;
  int rc;
  for (i = 0; i < COUNT(reads); i++) {
    rc = sk_port_get(port, at(reads[i].path), reads[i].how, 0, &item, NULL);
    CHECK(rc == 0 || rc == WAITS);
    text[i] = rc ? 'x' : '-';
  }
  rc = sk_port_list(port, at("o"), 0, &data, &len, &pairs, NULL);
  text[i] = rc ? 'x' : '-';
  CHECK(get_int("t.b") == NOTHING + SKE_ABSENT);  /* nobody's business */
  return text;
}

static int is_waiting (const char *expected) {
  const char *found = waiting();
  if (!strcmp(found, expected)) return 1;
  printf("# reads that wait: %s instead of %s\n", found, expected);
  return 0;
}

static int call_with (uint32_t kind, const char *writes, int inside) {
  int64_t v = 2;
  sk_item item = { SK_INT, 8, &v };
  uint64_t space[2];
  const sk_path *keys = at(writes ? writes : "");
  sk_command cmd = { .kind = kind, .path = *at("o"), .payload = space,
                     .len = sk_item_put(space, &item), .inside = inside,
                     .writes = writes ? keys->data : NULL,
                     .writes_len = writes ? keys->len : 0 };
  return sk_port_send(port, &cmd, NULL, LONG);
}

OBJECT_TEST("nothing waits for a call elsewhere, or one that was applied") {
  sk_command cmd = { .kind = KEEP, .path = *at("t.x") };
  CHECK(sk_port_send(port, &cmd, NULL, LONG) == 0);
  CHECK(is_waiting("------"));
  apply();
  CHECK(call_with(ALL, NULL, 0) == 0);
  apply();
  CHECK(is_waiting("------"));
}

OBJECT_TEST("a write of a field: readers of it and of all entries wait") {
  CHECK(put_int("o.a", 2) == 0);
  CHECK(is_waiting("x---xx"));
  apply();
  CHECK(order("o.a", SK_DELETE) == 0);
  CHECK(is_waiting("x---xx"));
}

OBJECT_TEST("a call that says what it writes: readers of that wait") {
  CHECK(call_with(KEEP, "a", 1) == 0);
  CHECK(is_waiting("x---xx"));
  apply();
  CHECK(call_with(KEEP, "a.b", 1) == 0);  /* two keys, one after another */
  CHECK(is_waiting("xx--xx"));
}

OBJECT_TEST("a call that may write any field: readers of the object itself "
            "do not wait") {
  CHECK(call_with(ALL, NULL, 1) == 0);
  CHECK(is_waiting("xx-xxx"));
}

OBJECT_TEST("a call that may replace the object: all its readers wait") {
  CHECK(call_with(REPLACE, NULL, 0) == 0);
  CHECK(is_waiting("xxxxxx"));
  apply();
  CHECK(put_object("o", 3) == 0);
  CHECK(is_waiting("xxxxxx"));
}

OBJECT_TEST("who waits for a list sees all that was queued before") {
  int same;
  CHECK(call_with(ALL, NULL, 1) == 0);
  CHECK(put_int("o.a", 3) == 0);
  sk_coordinator_close(coordinator);
  coordinator = NULL;
  REQUIRE(sk_share_start(share) == 0);
  CHECK(sum_of(port, "o", &same) == 2 * (FIELDS - 1) + 3);
  CHECK(sk_share_stop(share, LONG) == 0);
  serve();
}

/* ---- sends that never sleep ---- */

static int try_bytes (sk_port *p, const char *path, size_t n) {
  char *space = calloc(1, n + 16);
  sk_item item = { TEXT, (uint32_t)n, space + 8 };
  sk_command cmd = { .kind = SK_SET, .path = *at(path), .payload = space };
  int rc;
  memmove(space + 8, space, n);
  cmd.len = sk_item_put(space, &item);
  rc = sk_port_try(p, &cmd);
  free(space);
  return rc;
}

static sk_port *roomy (void) {
  sk_share_options o = { .lane_bytes = 8192, .max_users = 1,
                         .max_bytes = 1 << 20 };
  close_share();
  open_share(&o);
  return port;
}

OBJECT_TEST("a try without a lane leaves the claim to a send") {
  sk_port *p = roomy();
  CHECK(try_bytes(p, "x", 10) == SKE_BUSY);
  CHECK(share_port_claim(p) == 0);
  CHECK(try_bytes(p, "x", 10) == 0);
  serve();
  apply();
  CHECK(get_rc("x") == 0);
}

OBJECT_TEST("a try in a full lane, or of what needs parts, is refused") {
  sk_port *p = roomy();
  int n = 0;
  CHECK(share_port_claim(p) == 0);
  CHECK(try_bytes(p, "x", 3000) == SKE_BUSY);
  while (n < 100 && try_bytes(p, "x", 500) == 0) n++;
  CHECK(n >= 12 && n <= 16);
  CHECK(try_bytes(p, "x", 500) == SKE_BUSY);
  serve();
  apply();
  CHECK(try_bytes(p, "x", 500) == 0);
}

OBJECT_TEST("a try that may not fit is left to a send, which waits") {
  sk_port *p = roomy();
  int i;
  serve();
  CHECK(share_port_claim(p) == 0);
  for (i = 0; try_bytes(p, "x", 1) == 0; i++) {
    char path[16];
    snprintf(path, sizeof path, "k%d", i);
    REQUIRE(i < 2000);
    CHECK(try_bytes(p, path, 1500) == 0);
    apply();
  }
  CHECK(i > 500);
  CHECK(order("k0", SK_DELETE) == 0);
}

OBJECT_TEST("a try of what makes no sense is left to a send to refuse") {
  sk_command cmd = { .kind = 0, .path = *at("x") };
  CHECK(sk_port_try(port, &cmd) == SKE_BUSY);
  CHECK(sk_port_send(port, &cmd, NULL, 0) == SKE_INVAL);
  cmd.kind = SK_DELETE;
  cmd.path.depth = 7;
  CHECK(sk_port_try(port, &cmd) == SKE_BUSY);
  CHECK(sk_port_send(port, &cmd, NULL, 0) == SKE_INVAL);
}

/* ---- one instant ---- */

static void serve_until_stopped (void *arg) {
  (void)arg;
  CHECK(sk_coordinator_run(coordinator) == 0);
}

static void list_until_stopped (void *arg) {
  sk_port *own;
  int64_t last = 0, sum;
  int same;
  (void)arg;
  CHECK(sk_port_open(share, &own) == 0);
  while (!atomic_load(&stop)) {
    sum = sum_of(own, "o", &same);
    CHECK(same);
    CHECK(sum >= last);
    last = sum;
  }
  sk_port_close(own);
}

static void change_all (void *arg) {
  int64_t v;
  sk_item item = { SK_INT, 8, &v };
  sk_port *own;
  (void)arg;
  CHECK(sk_port_open(share, &own) == 0);
  for (v = 2; v < ROUNDS(100000); v++)
    if (v % 100) CHECK(put_item(own, "o", ALL, &item, NULL) == 0);
    else CHECK(put_object_by(own, "o", v) == 0);
  sk_port_close(own);
}

OBJECT_TEST("a list of an object is of one instant, whoever changes it") {
  struct thread_call calls[] = {
    { serve_until_stopped, NULL }, { list_until_stopped, NULL },
    { list_until_stopped, NULL }
  };
  struct thread_call writer = { change_all, NULL };
  pthread_t threads[COUNT(calls)], writing;
  size_t i;
  atomic_store(&stop, 0);
  for (i = 0; i < COUNT(calls); i++)
    CHECK(!pthread_create(&threads[i], NULL, thread_main, &calls[i]));
  CHECK(!pthread_create(&writing, NULL, thread_main, &writer));
  pthread_join(writing, NULL);
  atomic_store(&stop, 1);
  for (i = 1; i < COUNT(calls); i++) pthread_join(threads[i], NULL);
  CHECK(sk_share_stop(share, LONG) == 0);
  pthread_join(threads[0], NULL);
}
