/*
** Cells: shared atomic words that anybody may change, and wait for.
*/
#include "os.h"
#include "segment.h"

enum { NOTES = 2 };

struct sk_cell {
  _Alignas(SK_LINE) _Atomic int64_t value;  /* anyone */
  _Atomic int64_t notes[NOTES];             /* anyone */
  _Atomic uint32_t changes;                 /* anyone: futex of the waiters */
  _Atomic uint32_t waited_for;              /* waiters set, a waker clears */
};

_Static_assert(sizeof(struct sk_cell) == SK_LINE, "one cell, one line");

int sk_cell_create (sk_segment *s, int64_t value, sk_cell **out) {
  uint64_t off;
  int rc = sk_segment_alloc(s, sizeof(sk_cell), SK_LINE, &off);
  sk_cell *c;
  if (rc) return rc;
  c = sk_segment_at(s, off, sizeof *c);
  atomic_store(&c->value, value);
  *out = c;
  return 0;
}

int sk_cell_find (uint64_t segment_id, uint64_t off, sk_cell **out) {
  sk_segment *s = sk_segment_by_id(segment_id);
  sk_cell *c;
  if (!s) return SKE_UNKNOWN;
  if (off % SK_LINE) return SKE_INVAL;
  c = sk_segment_at(s, off, sizeof *c);
  if (!c) return SKE_INVAL;
  *out = c;
  return 0;
}

int sk_cell_where (const sk_cell *c, uint64_t *segment_id, uint64_t *off) {
  sk_segment *s = sk_segment_of(c);
  if (!s) return SKE_UNKNOWN;
  *segment_id = sk_segment_id(s);
  *off = (uint64_t)((const uint8_t *)c - s->base);
  return 0;
}

sk_segment *sk_cell_segment (const sk_cell *c) {
  return sk_segment_of(c);
}

int64_t sk_cell_load (const sk_cell *c) {
  return atomic_load_explicit(&c->value, memory_order_acquire);
}

int64_t sk_cell_add (sk_cell *c, int64_t n) {
  /* unsigned, so that an overflow wraps instead of being undefined */
  return (int64_t)((uint64_t)atomic_fetch_add(&c->value, n) + (uint64_t)n);
}

int64_t sk_cell_exchange (sk_cell *c, int64_t v) {
  return atomic_exchange(&c->value, v);
}

int sk_cell_replace (sk_cell *c, int64_t seen, int64_t v) {
  return atomic_compare_exchange_strong(&c->value, &seen, v);
}

int64_t sk_cell_note (const sk_cell *c, int which) {
  if (which < 0 || which >= NOTES) return 0;
  return atomic_load_explicit(&c->notes[which], memory_order_acquire);
}

void sk_cell_set_note (sk_cell *c, int which, int64_t v) {
  if (which < 0 || which >= NOTES) return;
  atomic_store_explicit(&c->notes[which], v, memory_order_release);
}

/* Who waits for a change: sleepers on the futex, event loops. */
enum { SLEEPERS = 1, LOOPS = 2 };

int sk_cell_wait (sk_cell *c, int64_t seen, int64_t timeout_ns) {
  uint32_t before = atomic_load(&c->changes);
  atomic_fetch_or(&c->waited_for, SLEEPERS);
  /* pairs with the fence in sk_cell_wake: either it sees waited_for, or we
  ** see its change here */
  atomic_thread_fence(memory_order_seq_cst);
  if (sk_cell_load(c) != seen) return 0;
  return os_park(&c->changes, before, timeout_ns);
}

int sk_cell_listen (sk_cell *c, int64_t seen) {
  atomic_fetch_or(&c->waited_for, LOOPS);
  atomic_thread_fence(memory_order_seq_cst);  /* as in sk_cell_wait */
  return sk_cell_load(c) != seen;
}

void sk_cell_wake (sk_cell *c) {
  uint32_t who;
  atomic_thread_fence(memory_order_seq_cst);
  if (!atomic_load_explicit(&c->waited_for, memory_order_relaxed)) return;
  who = atomic_exchange(&c->waited_for, 0);
  if (who & SLEEPERS) {
    atomic_fetch_add(&c->changes, 1);
    os_unpark(&c->changes, INT32_MAX);
  }
  if (who & LOOPS) os_event_ring(sk_root_event());
}

/* Nobody reads the event, or others would miss it: each loop has a poller
** that notices each ring once. */
int sk_cells_watch (int *fd) {
  sk_segment *root;
  int event, rc = sk_root(&root);
  if (rc) return rc;
  event = sk_root_event();
  return event < 0 ? SKE_SYS : os_poller_create(&event, 1, 1, fd);
}

void sk_cells_hush (int fd) {
  os_poller_clear(fd);
}

void sk_cells_ring (void) {
  int event = sk_root_event();
  if (event >= 0) os_event_ring(event);
}
