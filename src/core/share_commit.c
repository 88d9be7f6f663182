/*
** Commits: all stores of a change, or none, whenever the coordinator dies.
**
** The stores are written down, `journal.state` = 1 says that they are to be
** done, then they are done, then it is 0 again. Who finds a 1 does them again:
** doing them twice is doing them once.
*/
#include <stdlib.h>
#include <string.h>

#include "share_change.h"

/* ---- the stores of a change ---- */

#define LEAST_MAP 64

static size_t map_at (const sk_change *c, uint64_t off) {
  size_t i = (size_t)(off / 8 * 0x9e3779b97f4a7c15u >> 20);
  for (;; i++) {
    uint32_t k = c->map[i &= c->map_size - 1];
    if (!k || c->ops[k - 1].off == off) return i;
  }
}

int share_change_sees (const sk_change *c, uint64_t off, uint64_t *value) {
  uint32_t k;
  if (!c->n) return 0;
  k = c->map[map_at(c, off)];
  if (!k) return 0;
  *value = c->ops[k - 1].value;
  return 1;
}

static int double_room (sk_change *c) {
  size_t size = c->map_size ? c->map_size * 2 : LEAST_MAP, i;
  struct op *ops = realloc(c->ops, size / 2 * sizeof *ops);
  uint32_t *map;
  if (!ops) return SKE_NOMEM;
  c->ops = ops;
  map = calloc(size, sizeof *map);
  if (!map) return SKE_NOMEM;
  free(c->map);
  c->map = map;
  c->map_size = size;
  c->room = size / 2;
  for (i = 0; i < c->n; i++) map[map_at(c, ops[i].off)] = (uint32_t)i + 1;
  return 0;
}

int share_change_store (sk_change *c, uint64_t off, uint64_t value) {
  size_t i;
  int rc;
  if (c->direct) {
    heap_write_word(c->heap, off, value);
    return 0;
  }
  if (c->n == c->room && (rc = double_room(c))) return rc;
  i = map_at(c, off);
  if (!c->map[i]) {
    c->ops[c->n].off = off;
    c->map[i] = (uint32_t)++c->n;
  }
  c->ops[c->map[i] - 1].value = value;
  return 0;
}

/* ---- objects: seen as of one instant ---- */

int share_change_unit (sk_change *c, uint64_t slot) {
  struct view v = { c->s, c, 0 };
  uint64_t word = view_word(&v, slot);
  int rc = share_change_store(c, slot, slot_next(word, slot_off(word)));
  if (rc || (c->units.n && c->units.items[c->units.n - 1].off == slot))
    return rc;
  return extents_push(&c->units, slot, 0);
}

/* Its slot says that it is busy from the store before those of its entries
** to one after them. */
static int enclose_units (sk_change *c) {
  size_t i, k;
  int rc;
  for (i = 0; i < c->units.n; i++) {
    if (c->n == c->room && (rc = double_room(c))) return rc;
    k = c->map[map_at(c, c->units.items[i].off)] - 1;
    if (c->ops[k].value & SLOT_BUSY) continue;  /* it was named twice */
    c->ops[c->n++] = c->ops[k];
    c->ops[k].value |= SLOT_BUSY;
  }
  return 0;
}

/* ---- its blocks ---- */

int share_change_alloc (sk_change *c, uint64_t bytes, int counted,
                        uint64_t *off) {
  uint64_t stored = atomic_load_explicit(&c->s->words->stored,
                                         memory_order_relaxed);
  int rc;
  if (counted && stored + c->added + heap_bytes(bytes) >
                 c->s->max_bytes + c->gone)
    return SKE_FULL;
  if ((rc = heap_alloc(c->heap, bytes, off))) return rc;
  if ((rc = extents_push(&c->fresh, *off, bytes))) {
    heap_free(c->heap, *off, bytes);
    return rc;
  }
  if (counted) c->added += heap_bytes(bytes);
  return 0;
}

int share_change_retire (sk_change *c, uint64_t off, uint64_t bytes,
                         int counted) {
  int rc = extents_push(&c->old, off, bytes);
  if (!rc && counted) c->gone += heap_bytes(bytes);
  return rc;
}

static void forget (sk_change *c) {
  size_t i;
  /* with units there are stores that the map does not know */
  if (c->n > c->map_size / 8 || c->units.n)
    memset(c->map, 0, c->map_size * sizeof *c->map);
  else
    /* last first: an op is found only past those that came before it */
    for (i = c->n; i > 0; i--) c->map[map_at(c, c->ops[i - 1].off)] = 0;
  c->n = c->fresh.n = c->old.n = c->units.n = 0;
  c->added = c->gone = 0;
  c->moves = 0;
}

static void free_all (struct heap *h, const struct extents *e) {
  size_t i;
  for (i = 0; i < e->n; i++) heap_free(h, e->items[i].off, e->items[i].bytes);
}

void share_change_drop (sk_change *c) {
  free_all(c->heap, &c->fresh);
  forget(c);
}

void share_change_free (sk_change *c) {
  free(c->ops);
  free(c->map);
  free(c->fresh.items);
  free(c->old.items);
  free(c->units.items);
  free(c->answer_bytes.data);
  free(c->list_bytes.data);
}

/* ---- the journal ---- */

static uint64_t sum_of (const struct op *ops, uint64_t n) {
  uint64_t sum = n, i;
  for (i = 0; i < n; i++) {
    sum = (sum ^ ops[i].off) * 0x9e3779b97f4a7c15u;
    sum = (sum ^ sum >> 29 ^ ops[i].value) * 0xd6e8feb86659fd93u;
  }
  return sum;
}

static void do_stores (sk_share *s, const struct op *ops, uint64_t n) {
  uint64_t i;
  for (i = 0; i < n; i++) {
    /* release: what it leads to is there before; pairs with view_word */
    atomic_store_explicit((_Atomic uint64_t *)(s->base + ops[i].off),
                          ops[i].value, memory_order_release);
    SK_FAULT(FAULT_COMMIT_STORED);
  }
  atomic_store_explicit(&s->store->journal.state, 0, memory_order_release);
  /* neither the next journal nor a store into a freed block comes before */
  atomic_thread_fence(memory_order_release);
}

/* Where the ops go: into the journal, or into a block that it names. */
static int write_down (sk_change *c) {
  struct journal *j = &c->s->store->journal;
  uint64_t bytes = c->n * sizeof *c->ops, off = 0;
  if (c->n > OPS) {
    int rc = heap_alloc(c->heap, bytes, &off);
    if (rc) return rc;
    heap_write(c->heap, off, c->ops, (size_t)bytes);
    SK_FAULT(FAULT_COMMIT_BLOCK);
  }
  else memcpy(j->ops, c->ops, (size_t)bytes);
  j->block = off;
  j->n = c->n;
  j->sum = sum_of(c->ops, c->n);
  return 0;
}

static int count_moves (sk_change *c) {
  _Atomic uint64_t *moves = &c->s->store->moves;
  if (!c->moves) return 0;
  return share_change_store(c, c->s->store_off + offsetof(struct store,
                                                          moves),
                            atomic_load(moves) + 1);
}

int share_commit (sk_change *c) {
  sk_share *s = c->s;
  struct journal *j = &s->store->journal;
  uint64_t stored = atomic_load(&s->words->stored);
  int rc = count_moves(c);
  if (!rc) rc = enclose_units(c);
  if (!rc) rc = write_down(c);
  if (rc) return rc;
  SK_FAULT(FAULT_COMMIT_FILLED);
  atomic_store_explicit(&j->state, 1, memory_order_release);  /* it happens */
  SK_FAULT(FAULT_COMMIT_POINT);
  do_stores(s, c->ops, c->n);
  SK_FAULT(FAULT_COMMIT_DONE);
  if (j->block) heap_free(c->heap, j->block, c->n * sizeof *c->ops);
  free_all(c->heap, &c->old);
  atomic_store(&s->words->stored, stored + c->added - c->gone);
  atomic_store(&s->words->commits, atomic_load(&s->words->commits) + 1);
  forget(c);
  return 0;
}

/* ---- redo ---- */

static int is_target (const sk_share *s, uint64_t off) {
  uint64_t first = s->store_off + offsetof(struct store, moves);
  uint64_t end = s->heap_off + atomic_load(&s->store->heap_size);
  if (off % 8) return 0;
  if (off >= first && off < s->store_end) return 1;
  return off >= s->heap_off && off < end;
}

static int valid (const sk_share *s, const struct op *ops, uint64_t n) {
  uint64_t i;
  if (sum_of(ops, n) != s->store->journal.sum) return 0;
  for (i = 0; i < n; i++)
    if (!is_target(s, ops[i].off)) return 0;
  return 1;
}

int share_redo (sk_share *s) {
  struct journal *j = &s->store->journal;
  uint64_t size = atomic_load(&s->store->heap_size);
  const struct op *ops = j->ops;
  SK_FAULT(FAULT_REDO_BEGUN);
  if (atomic_load(&j->state) != 1) return 0;
  if (j->block) {
    if (j->block < s->heap_off || j->block - s->heap_off > size ||
        j->n > (size - (j->block - s->heap_off)) / sizeof *ops)
      return SKE_CORRUPT;
    ops = (const struct op *)(s->base + j->block);
  }
  else if (j->n > OPS) return SKE_CORRUPT;
  if (!valid(s, ops, j->n)) return SKE_CORRUPT;
  do_stores(s, ops, j->n);
  SK_FAULT(FAULT_REDO_DONE);
  return 1;
}

#ifdef SK_FAULTS
void (*share_fault_hook) (int id);
#endif
