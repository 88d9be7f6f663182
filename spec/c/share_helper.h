/*
** What the tests of shares have in common: paths and values in a line, and a
** share with a coordinator in the test's own process.
*/
#ifndef SPEC_SHARE_HELPER_H
#define SPEC_SHARE_HELPER_H

#include "clean.h"

static sk_share *share;
static sk_port *port;
static sk_coordinator *coordinator;

/* ---- paths and values ---- */

enum { TEXT = SK_BYTES };

/* "a.b.7": keys that are digits are integers. Eight at once. */
static inline const sk_path *at (const char *text) {
  static _Thread_local uint64_t space[8][64];
  static _Thread_local sk_path paths[8];
  static _Thread_local int turn;
  uint8_t *p = (uint8_t *)space[turn = (turn + 1) % 8], *start = p;
  sk_path *path = &paths[turn];
  memset(path, 0, sizeof *path);
  path->data = start;
  while (*text) {
    size_t n = strcspn(text, ".");
    int64_t number = atoll(text);
    sk_item key = { TEXT, (uint32_t)n, text };
    if (*text >= '0' && *text <= '9')
      key = (sk_item){ SK_INT, sizeof number, &number };
    p += sk_item_put(p, &key);
    path->depth++;
    text += n + (text[n] == '.');
  }
  path->len = (uint32_t)(p - start);
  return path;
}

static inline int put_item (sk_port *p, const char *path, uint32_t kind,
                            const sk_item *item, sk_receipt *r) {
  size_t n = sk_item_size(item);
  void *bytes = malloc(n + 8);
  sk_command cmd = { .kind = kind, .path = *at(path),
                     .payload = bytes, .len = sk_item_put(bytes, item) };
  int rc = sk_port_send(p, &cmd, r, LONG);
  free(bytes);
  return rc;
}

static inline int put_int (const char *path, int64_t v) {
  sk_item item = { SK_INT, sizeof v, &v };
  return put_item(port, path, SK_SET, &item, NULL);
}

static inline int put_bytes (const char *path, const void *data, size_t n) {
  sk_item item = { TEXT, (uint32_t)n, data };
  return put_item(port, path, SK_SET, &item, NULL);
}

static inline int put_text (const char *path, const char *text) {
  return put_bytes(path, text, strlen(text));
}

static inline int put_table (const char *path) {
  sk_item item = { SK_TABLE, 0, NULL };
  return put_item(port, path, SK_SET, &item, NULL);
}

static inline int order (const char *path, uint32_t kind) {
  sk_command cmd = { .kind = kind, .path = *at(path),
                     .payload = NULL, .len = 0 };
  return sk_port_send(port, &cmd, NULL, LONG);
}

/* A command that is waited for. */
static inline int ask_item (const char *path, uint32_t kind,
                            const sk_item *item, sk_answer *a) {
  sk_receipt r;
  int rc;
  if (item) rc = put_item(port, path, kind, item, &r);
  else {
    sk_command cmd = { .kind = kind, .path = *at(path),
                       .payload = NULL, .len = 0 };
    rc = sk_port_send(port, &cmd, &r, LONG);
  }
  if (rc) return rc;
  if (coordinator && (rc = sk_coordinator_batch(coordinator)) < 0) return rc;
  rc = sk_port_wait(port, &r, LONG, a);
  return rc ? rc : a->rc;
}

static inline int add_int (const char *path, int64_t by, int64_t *now) {
  sk_item item = { SK_INT, sizeof by, &by };
  sk_answer a;
  int rc = ask_item(path, SK_ADD, &item, &a);
  if (!rc && now) memcpy(now, a.item.data, sizeof *now);
  return rc;
}

enum { NOTHING = -1000 };  /* no number: absent or something else */

static inline int64_t get_int_by (sk_port *p, const char *path) {
  sk_item item;
  int64_t v;
  int rc = sk_port_get(p, at(path), 0, LONG, &item, NULL);
  if (rc || item.kind != SK_INT) return NOTHING + rc;
  memcpy(&v, item.data, sizeof v);
  return v;
}

static inline int64_t get_int (const char *path) {
  return get_int_by(port, path);
}

static inline int is_text (const char *path, const char *text) {
  sk_item item;
  int rc = sk_port_get(port, at(path), 0, LONG, &item, NULL);
  return !rc && item.kind == TEXT && item.len == strlen(text) &&
         !memcmp(item.data, text, item.len);
}

static inline int get_rc (const char *path) {
  sk_item item;
  return sk_port_get(port, at(path), 0, LONG, &item, NULL);
}

/* Entries of a table, or an error. */
static inline int64_t size_of (const char *path) {
  sk_item item;
  int rc = sk_port_get(port, at(path), 0, LONG, &item, NULL);
  if (rc) return rc;
  return item.kind == SK_TABLE ? (int64_t)item.len : NOTHING;
}

/* ---- shares ---- */

/* Apply all; without a coordinator of the test's own, wait for it. */
static inline void apply (void) {
  if (coordinator) CHECK(sk_coordinator_batch(coordinator) >= 0);
  else CHECK(sk_port_flush(port, LONG) == 0);
}

static inline void serve (void) {
  REQUIRE(sk_coordinator_open(share, &coordinator) == 0);
}

/* As if the coordinator had died and another one took over. */
static inline void serve_anew (void) {
  sk_coordinator_close(coordinator);
  coordinator = NULL;
  serve();
}

static inline void open_share (const sk_share_options *o) {
  REQUIRE(sk_share_create(o, &share) == 0);
  REQUIRE(sk_port_open(share, &port) == 0);
}

static inline void close_share (void) {
  sk_coordinator_close(coordinator);
  coordinator = NULL;
  sk_port_close(port);
  sk_share_close(share);
}

static inline void with_share (void (*test) (void)) {
  open_share(NULL);
  serve();
  test();
  close_share();
}

/* A test with a coordinator in its own process. */
#define SHARE_TEST(name) SHARE_DEFINE(name, CHECK_PASTE(share_, __LINE__))
#define SHARE_DEFINE(text, id) \
  static void id (void); \
  CLEAN_TEST(text) { with_share(id); } \
  static void id (void)

#endif
