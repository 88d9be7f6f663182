/*
** Shares: the segment's layout, its life and its state.
**
** In this order: words of everybody, words of each lane, the store (journal,
** roots, what the coordinator says of each lane), rings, heap. Rings and heap
** are reserved, and exist as far as they are needed.
*/
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os.h"
#include "share.h"

#define MAX_BYTES (256u << 20)
#define LANE_BYTES (256u << 10)
#define LEAST_LANE 4096
#define LEAST_BYTES 65536
#define USERS 64
#define MOST_USERS 1024
#define HEAP_SLACK (32u << 20)

static uint64_t page_up (uint64_t n) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  return (n + page - 1) / page * page;
}

static int check_options (const sk_share_options *o) {
  if (o->max_users > MOST_USERS) return SKE_INVAL;
  if (o->lane_bytes > UINT32_MAX / 4 || o->max_bytes > SIZE_MAX / 8)
    return SKE_INVAL;
  return 0;
}

static void take_options (sk_share *s, const sk_share_options *o) {
  s->max_bytes = o->max_bytes ? o->max_bytes : MAX_BYTES;
  if (s->max_bytes < LEAST_BYTES) s->max_bytes = LEAST_BYTES;
  s->max_lanes = o->max_users ? o->max_users : USERS;
  s->lane_bytes = o->lane_bytes ? o->lane_bytes : LANE_BYTES;
  if (s->lane_bytes < LEAST_LANE) s->lane_bytes = LEAST_LANE;
  s->lane_bytes = page_up(s->lane_bytes);
  s->call_limit_ns = o->call_limit_ns;
  s->handler = o->handler;
  s->dropped = o->dropped;
  s->arg = o->arg;
}

static int alloc (sk_share *s, uint64_t bytes, uint64_t align,
                  uint64_t *off) {
  return sk_segment_alloc(s->segment, bytes, align, off);
}

static int lay_out (sk_share *s) {
  uint64_t page = page_up(1), words, lanes, rest, left, rings;
  uint64_t store = page_up(sizeof(struct store) +
                           s->max_lanes * sizeof(struct lane_state));
  int rc = sk_bell_create(s->segment, 0, &s->bell);
  if (!rc) rc = alloc(s, sizeof(struct share_words), SK_LINE, &words);
  if (!rc) rc = alloc(s, s->max_lanes * sizeof(struct lane_words), SK_LINE,
                      &lanes);
  if (!rc) rc = alloc(s, store, page, &s->store_off);
  if (!rc) rc = sk_segment_rest(s->segment, &rest, &left);
  if (rc) return rc;
  rings = s->max_lanes * s->lane_bytes;
  if (left < rings + LEAST_BYTES) return SKE_NOMEM;
  s->store_end = s->store_off + store;
  s->ring_off = rest;
  s->heap_off = rest + rings;
  s->heap_max = (left - rings) / page * page;
  s->base = s->segment->base;
  s->words = (struct share_words *)(s->base + words);
  s->lanes = (struct lane_words *)(s->base + lanes);
  s->store = (struct store *)(s->base + s->store_off);
  return 0;
}

static void init_words (sk_share *s) {
  int i;
  for (i = 0; i < SK_ROOTS; i++) s->store->roots[i].kind = SK_TABLE;
  atomic_store(&s->words->ticket, 1);
  atomic_store(&s->words->state, SK_STOPPED);
}

static int make (sk_share *s, const char *label) {
  uint64_t fixed = s->max_lanes * (sizeof(struct lane_words) +
                                   sizeof(struct lane_state) + s->lane_bytes);
  /* thrice the values: fragments, tables and what long commands bring along */
  uint64_t want = fixed + 3 * s->max_bytes + HEAP_SLACK;
  int rc;
  if (want > SIZE_MAX) return SKE_NOMEM;
  rc = sk_segment_create(label, (size_t)want, &s->segment);
  if (!rc) rc = lay_out(s);
  if (rc) return rc;
  init_words(s);
  /* only the coordinator writes there: a wild store elsewhere faults */
  rc = os_lock(s->segment->fd, LOCK_CREATOR);
  if (rc) return rc;
  rc = os_memory_protect(s->store, s->store_end - s->store_off, 0);
  if (!rc) rc = os_memory_protect(s->base + s->heap_off, s->heap_max, 0);
  return rc;
}

static void destroy (sk_share *s) {
  sk_segment_close(s->segment);
  free(s->claimed);
  free(s);
}

int sk_share_create (const sk_share_options *given, sk_share **out) {
  static const sk_share_options defaults;
  const sk_share_options *o = given ? given : &defaults;
  sk_share *s;
  int rc = check_options(o);
  if (rc) return rc;
  s = calloc(1, sizeof *s);
  if (!s) return SKE_NOMEM;
  take_options(s, o);
  s->creator = sk_generation();
  s->cpus = sk_cpu_count();
  s->claimed = calloc(s->max_lanes, 1);
  rc = SKE_NOMEM;
  if (s->claimed) rc = make(s, o->label ? o->label : "suitkaise-share");
  if (rc) {
    if (s->segment) sk_segment_close(s->segment);
    free(s->claimed);
    free(s);
    return rc;
  }
  *out = s;
  return 0;
}

void sk_share_close (sk_share *s) {
  enum { PATIENCE_S = 5 };
  if (!s) return;
  if (s->creator == sk_generation())
    sk_share_stop(s, PATIENCE_S * 1000000000ll);
  destroy(s);
}

sk_segment *sk_share_segment (sk_share *s) {
  return s->segment;
}

pid_t sk_share_pid (sk_share *s) {
  return os_lock_holder(s->segment->fd, LOCK_COORDINATOR, 1);
}

enum sk_share_state sk_share_state (const sk_share *s) {
  return (enum sk_share_state)atomic_load(&s->words->state);
}

void sk_share_get_stats (const sk_share *s, sk_share_stats *out) {
  out->published = atomic_load(&s->words->published);
  out->consumed = atomic_load(&s->words->consumed);
  out->stored = atomic_load(&s->words->stored);
  out->heap = atomic_load(&s->store->heap_size);
  out->commits = atomic_load(&s->words->commits);
  out->restarts = atomic_load(&s->words->restarts);
}
