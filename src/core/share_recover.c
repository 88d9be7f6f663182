/*
** After a restart: what can be reached is in use, the rest is free.
*/
#include "share_change.h"

struct marker {
  struct heap *heap;
  struct view view;
  uint64_t stored;
};

static int mark (struct marker *m, uint64_t off, uint64_t bytes,
                 int counted) {
  int rc = heap_mark(m->heap, off, bytes);
  if (!rc && counted) m->stored += heap_bytes(bytes);
  return m->view.bad ? SKE_CORRUPT : rc;
}

static int mark_table (struct marker *m, uint64_t table);

static int mark_value (struct marker *m, uint64_t off) {
  struct block b = view_block(&m->view, off);
  int rc;
  if (!is_table(b.kind)) return mark(m, off, sizeof b + b.len, 1);
  rc = mark(m, off, sizeof(struct table), 1);
  return rc ? rc : mark_table(m, off);
}

static int mark_entry (struct marker *m, uint64_t entry) {
  uint64_t value = slot_off(view_word(&m->view, entry));
  struct block key = view_block(&m->view,
                                entry + offsetof(struct entry, kind));
  int rc = mark(m, entry, sizeof(struct entry) + key.len, 1);
  return rc || !value ? rc : mark_value(m, value);
}

static int mark_table (struct marker *m, uint64_t table) {
  uint64_t n, i, buckets = view_buckets(&m->view, table, &n);
  int rc = 0;
  if (m->view.bad) return SKE_CORRUPT;
  if (n) rc = mark(m, buckets - offsetof(struct array, buckets),
                   sizeof(struct array) + n * sizeof(uint64_t), 0);
  for (i = 0; i < n && !rc; i++) {
    uint64_t word = view_word(&m->view, buckets + i * sizeof word);
    if (word) rc = mark_entry(m, slot_off(word));
  }
  return rc;
}

/* Blocks that replies and half-sent commands hold. */
static int mark_lane (struct marker *m, const struct lane_state *l) {
  uint64_t off = slot_off(atomic_load(&l->loan));
  int k, rc = off ? mark(m, off, sizeof(struct block) +
                                 view_block(&m->view, off).len, 0) : 0;
  for (k = 0; k < REPLIES && !rc; k++) {
    uint32_t kind = (uint32_t)atomic_load(&l->replies[k].status);
    off = slot_off(atomic_load(&l->replies[k].value));
    if (kind >= SK_TABLE)
      rc = mark(m, off, sizeof(struct block) +
                        view_block(&m->view, off).len, 0);
  }
  return rc;
}

int share_recover (struct heap *h, uint64_t *stored) {
  struct marker m = { h, { h->s, NULL, 0 }, 0 };
  const sk_share *s = h->s;
  uint64_t roots = s->store_off + offsetof(struct store, roots);
  uint32_t i;
  int rc = 0;
  for (i = 0; i < SK_ROOTS && !rc; i++)
    rc = mark_table(&m, roots + i * sizeof(struct table));
  for (i = 0; i < s->max_lanes && !rc; i++)
    rc = mark_lane(&m, &s->store->lanes[i]);
  if (rc) return rc;
  heap_sweep(h);
  *stored = m.stored;
  return 0;
}
