/*
** A lane to test with: its segment, its bells and what lies behind it.
*/
#ifndef SPEC_LANE_H
#define SPEC_LANE_H

#include "clean.h"
#include "segment.h"

#define RING 4096u

struct fixture {
  sk_segment *s;
  sk_bell *reader, *writer;
  sk_lane *l;
  uint8_t *ring;               /* where the first message's record begins */
  _Atomic uint64_t *published; /* the words that the other side can damage */
  _Atomic uint64_t *released;
};

static inline struct fixture lane_open (size_t bytes, int pollable) {
  struct fixture f;
  size_t room;
  uint8_t *words;
  REQUIRE(sk_segment_create("lane", 2 * bytes + (1 << 20), &f.s) == 0);
  REQUIRE(sk_bell_create(f.s, pollable, &f.reader) == 0);
  REQUIRE(sk_bell_create(f.s, pollable, &f.writer) == 0);
  REQUIRE(sk_lane_create(f.s, bytes, f.reader, f.writer, &f.l) == 0);
  REQUIRE(f.ring = sk_lane_reserve(f.l, 0, &room));
  f.ring -= 8;
  words = f.s->base + sizeof(struct segment_header) + 2 * SK_LINE;
  f.published = (void *)words;
  f.released = (void *)(words + SK_LINE);
  return f;
}

static inline void lane_close (struct fixture *f) {
  sk_lane_free(f->l);
  sk_bell_destroy(f->reader);
  sk_bell_destroy(f->writer);
  sk_segment_close(f->s);
}

/* A test with a lane of one small ring. */
#define LANE_TEST(name) LANE_DEFINE(name, CHECK_PASTE(lane_, __LINE__))
#define LANE_DEFINE(text, id) \
  static void id (struct fixture *f); \
  CLEAN_TEST(text) { \
    struct fixture fixture = lane_open(RING, 0); \
    id(&fixture); \
    lane_close(&fixture); \
  } \
  static void id (struct fixture *f)

/* ---- messages that tell whether they are whole ---- */

static inline uint8_t byte_of (uint32_t number, size_t i) {
  return (uint8_t)(number * 31 + i * 7 + i / 256);
}

static inline void fill (uint8_t *p, uint32_t number, size_t len) {
  size_t i;
  for (i = 0; i < len; i++) p[i] = byte_of(number, i);
}

static inline int is_whole (const sk_message *m, uint32_t number, size_t len) {
  const uint8_t *p = m->data;
  size_t i;
  if (m->kind != number || m->len != len) return 0;
  for (i = 0; i < len && p[i] == byte_of(number, i); i++) {}
  return i == len;
}

/* Write message `number`, of kind `number`; 0 when there is no room. */
static inline int put (sk_lane *l, uint32_t number, size_t len) {
  size_t room = 0;
  uint8_t *p = sk_lane_reserve(l, len, &room);
  if (!p) return 0;
  CHECK(room >= len);
  fill(p, number, len);
  sk_lane_publish(l, number, len);
  return 1;
}

/* Take the next message, which must be that one. */
static inline void expect (sk_lane *l, uint32_t number, size_t len) {
  sk_message m;
  memset(&m, 0, sizeof m);
  CHECK(sk_lane_next(l, &m) == 1);
  CHECK(is_whole(&m, number, len));
}

static inline void expect_none (sk_lane *l) {
  sk_message m;
  CHECK(sk_lane_next(l, &m) == 0);
}

#endif
