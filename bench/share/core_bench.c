/*
** What the core of a share costs, without any Lua: prints nanoseconds.
** usage: core_bench   (a coordinator in this process, then in its own)
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suitkaise.h"

enum { ROUNDS = 200000, PER_BATCH = 200 };

static sk_share *share;
static sk_port *port;

static void must (int rc) {
  if (rc >= 0) return;
  fprintf(stderr, "core_bench: %s\n", sk_strerror(rc));
  exit(1);
}

static sk_path path_to (void *space, const char *name, int64_t number) {
  sk_item text = { SK_BYTES, (uint32_t)strlen(name), name };
  sk_item key = { SK_INT, sizeof number, &number };
  sk_path path = { space, 0, 1, 0 };
  path.len = (uint32_t)sk_item_put(space, &text);
  if (number < 0) return path;
  path.len += (uint32_t)sk_item_put((char *)space + path.len, &key);
  path.depth = 2;
  return path;
}

static void set (const sk_path *path, const sk_item *item) {
  uint64_t space[64];
  sk_command cmd = { .kind = SK_SET, .path = *path,
                     .payload = space, .len = sk_item_put(space, item) };
  must(sk_port_send(port, &cmd, NULL, SK_FOR_EVER));
}

static void report (const char *what, int64_t ns, int64_t times) {
  printf("%-44s %8.1f ns\n", what, (double)ns / (double)times);
}

/* Queue and apply apart, in one process. */
static void in_one (const char *what, const sk_item *item, int64_t keys) {
  uint64_t space[16];
  int64_t queueing = 0, applying = 0, at, i, k;
  sk_coordinator *c;
  char line[80];
  must(sk_coordinator_open(share, &c));
  for (i = 0; i < ROUNDS; i += PER_BATCH) {
    at = sk_now_ns();
    for (k = 0; k < PER_BATCH; k++) {
      sk_path path = path_to(space, "t", keys ? (i + k) * 7919 % keys : -1);
      set(&path, item);
    }
    queueing += sk_now_ns() - at;
    at = sk_now_ns();
    must(sk_coordinator_batch(c));
    applying += sk_now_ns() - at;
  }
  sk_coordinator_close(c);
  snprintf(line, sizeof line, "queue %s", what);
  report(line, queueing, ROUNDS);
  snprintf(line, sizeof line, "apply and commit %s", what);
  report(line, applying, ROUNDS);
}

static void reading (void) {
  uint64_t space[16];
  sk_path path = path_to(space, "n", -1);
  sk_item item;
  sk_seen seen;
  int64_t at, i, fresh = 0;
  at = sk_now_ns();
  for (i = 0; i < ROUNDS; i++)
    must(sk_port_get(port, &path, 0, SK_FOR_EVER, &item, &seen));
  report("read by path", sk_now_ns() - at, ROUNDS);
  at = sk_now_ns();
  for (i = 0; i < ROUNDS * 10; i++) fresh += sk_share_fresh(share, &seen);
  report("find that a cached value is fresh", sk_now_ns() - at, fresh);
}

static void across (void) {
  uint64_t space[16], text[32] = { 0 };
  sk_path path = path_to(space, "s", -1);
  sk_item item = { SK_BYTES, 200, text }, got;
  int64_t at, i;
  must(sk_share_start(share));
  set(&path, &item);
  must(sk_port_flush(port, SK_FOR_EVER));
  at = sk_now_ns();
  for (i = 0; i < ROUNDS; i++) set(&path, &item);
  must(sk_port_flush(port, SK_FOR_EVER));
  report("set 200 bytes, applied by another process", sk_now_ns() - at,
         ROUNDS);
  at = sk_now_ns();
  for (i = 0; i < ROUNDS / 10; i++) {
    set(&path, &item);
    must(sk_port_get(port, &path, 0, SK_FOR_EVER, &got, NULL));
  }
  report("set and read back across processes", sk_now_ns() - at,
         ROUNDS / 10);
  must(sk_share_stop(share, SK_FOR_EVER));
}

int main (void) {
  uint64_t space[16], text[32] = { 0 };
  int64_t one = 1;
  sk_item number = { SK_INT, 8, &one }, bytes = { SK_BYTES, 200, text };
  sk_item table = { SK_TABLE, 0, NULL };
  sk_path path = path_to(space, "n", -1);
  must(sk_share_create(NULL, &share));
  must(sk_port_open(share, &port));
  set(&path, &number);
  in_one("a number", &number, 0);
  in_one("200 bytes", &bytes, 0);
  path = path_to(space, "t", -1);
  set(&path, &table);
  in_one("a table's entry, 10 keys", &number, 10);
  in_one("a table's entry, 100000 keys", &number, 100000);
  reading();
  across();
  sk_port_close(port);
  sk_share_close(share);
  return 0;
}
