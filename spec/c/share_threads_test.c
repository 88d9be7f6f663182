/*
** Coordinator, writers and readers as threads over one mapping: what a
** sanitizer for threads can see, and what readers promise under load.
*/
#include "share_helper.h"

#include "share.h"

enum { WRITERS = 3, TEXT_MAX = 600 };
/* so long that its block is reused soon, and copying it takes a while */
enum { LARGE_LEAST = 40000, LARGE_SPREAD = 20000 };

static _Atomic int stop;

static void serve_until_stopped (void *arg) {
  (void)arg;
  CHECK(sk_coordinator_run(coordinator) == 0);
}

/* Bytes that say whether they belong together. */
static size_t fill (uint8_t *data, uint32_t *seed) {
  size_t n = 1 + random_next(seed) % TEXT_MAX;
  memset(data, (int)(n % 251), n);
  return n;
}

static int is_whole (const sk_item *item) {
  const uint8_t *p = item->data;
  uint32_t i;
  for (i = 0; i < item->len; i++)
    if (p[i] != item->len % 251) return 0;
  return item->len > 0;
}

struct worker { int number; };

static void write_and_read (void *arg) {
  struct worker *w = arg;
  uint32_t seed = 77 + (uint32_t)w->number;
  uint8_t data[TEXT_MAX];
  int64_t one = 1, i;
  sk_port *own;
  char mine[16];
  CHECK(sk_port_open(share, &own) == 0);
  snprintf(mine, sizeof mine, "own.%d", w->number);
  for (i = 0; i < ROUNDS(20000); i++) {
    sk_item number = { SK_INT, 8, &i }, by = { SK_INT, 8, &one };
    sk_item text = { TEXT, (uint32_t)fill(data, &seed), data };
    CHECK(put_item(own, mine, SK_SET, &number, NULL) == 0);
    CHECK(put_item(own, "n", SK_ADD, &by, NULL) == 0);
    CHECK(put_item(own, "text", SK_SET, &text, NULL) == 0);
    if (i % 16 == 0) CHECK(get_int_by(own, mine) == i);
  }
  sk_port_close(own);
}

static void only_read (void *arg) {
  sk_port *own;
  int64_t last = 0, now;
  sk_item item;
  (void)arg;
  CHECK(sk_port_open(share, &own) == 0);
  while (!atomic_load(&stop)) {
    const void *data;
    size_t len;
    uint32_t pairs;
    now = get_int_by(own, "n");
    CHECK(now >= last);
    last = now;
    CHECK(sk_port_get(own, at("text"), 0, LONG, &item, NULL) == 0);
    CHECK(is_whole(&item));
    CHECK(sk_port_get(own, at("large"), 0, LONG, &item, NULL) == 0);
    CHECK(is_whole(&item));
    CHECK(sk_port_list(own, at("own"), LONG, &data, &len, &pairs, NULL) == 0);
    CHECK(pairs <= WRITERS);
  }
  sk_port_close(own);
}

/* Tables come and go under the readers' feet. */
static void move_things (void *arg) {
  sk_port *own;
  int64_t v = 1;
  sk_item empty = { SK_TABLE, 0, NULL }, number = { SK_INT, 8, &v }, item;
  sk_item large = { TEXT, 0, malloc(LARGE_LEAST + LARGE_SPREAD) };
  uint32_t seed = 5;
  (void)arg;
  CHECK(sk_port_open(share, &own) == 0);
  while (!atomic_load(&stop)) {
    CHECK(put_item(own, "moving", SK_SET, &empty, NULL) == 0);
    CHECK(put_item(own, "moving.a", SK_SET, &number, NULL) == 0);
    CHECK(sk_port_get(own, at("moving.a"), 0, LONG, &item, NULL) == 0);
    large.len = LARGE_LEAST + random_next(&seed) % LARGE_SPREAD;
    memset((void *)(uintptr_t)large.data, (int)(large.len % 251), large.len);
    CHECK(put_item(own, "large", SK_SET, &large, NULL) == 0);
  }
  free((void *)(uintptr_t)large.data);
  sk_port_close(own);
}

CLEAN_TEST("readers see whole values that never go back, and their writes") {
  struct worker w[WRITERS];
  struct thread_call calls[] = {
    { serve_until_stopped, NULL }, { only_read, NULL }, { move_things, NULL }
  };
  pthread_t threads[COUNT(calls)];
  uint8_t data[1] = { 1 };
  size_t i;
  open_share(NULL);
  serve();
  atomic_store(&stop, 0);
  CHECK(put_int("n", 0) == 0 && put_bytes("text", data, 1) == 0);
  CHECK(put_bytes("large", data, 1) == 0);
  CHECK(put_table("own") == 0);
  for (i = 0; i < WRITERS; i++) w[i].number = (int)i;
  apply();
  for (i = 0; i < COUNT(calls); i++)
    CHECK(!pthread_create(&threads[i], NULL, thread_main, &calls[i]));
  in_threads(WRITERS, write_and_read, w, sizeof *w);
  atomic_store(&stop, 1);
  for (i = 1; i < COUNT(calls); i++) pthread_join(threads[i], NULL);
  CHECK(get_int("n") == WRITERS * ROUNDS(20000));
  CHECK(sk_share_stop(share, LONG) == 0);
  pthread_join(threads[0], NULL);
  close_share();
}
