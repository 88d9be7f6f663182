/*
** Free lists by size, a bitmap of what is in use, and a short quarantine.
**
** Blocks are whole units. Small ones have a list per size, larger ones four
** per doubling. Neighbours are not joined as they come back: when too little
** fits although much is free, the lists are made anew from the bitmap.
*/
#include <stdlib.h>
#include <string.h>

#include "share_heap.h"

#define SMALL 64               /* units with a list of their own */
#define STEP (1u << 20)        /* grow by at least this much */

int extents_push (struct extents *e, uint64_t off, uint64_t bytes) {
  if (e->n == e->room) {
    size_t room = e->room ? e->room * 2 : 16;
    struct extent *items = realloc(e->items, room * sizeof *items);
    if (!items) return SKE_NOMEM;
    e->items = items;
    e->room = room;
  }
  e->items[e->n].off = off;
  e->items[e->n++].bytes = bytes;
  return 0;
}

/* ---- sizes ---- */

static uint32_t log2_of (uint64_t n) {
  return 63 - (uint32_t)__builtin_clzll(n);
}

/* The list whose blocks have at most so many units, but nearly. */
static uint32_t class_of (uint64_t units) {
  uint32_t lg;
  if (units <= SMALL) return (uint32_t)units - 1;
  lg = log2_of(units);
  return SMALL + (lg - 6) * 4 + (uint32_t)(units >> (lg - 2) & 3);
}

uint64_t heap_bytes (uint64_t bytes) {
  uint64_t units = (bytes + UNIT - 1) / UNIT, step;
  if (units <= SMALL) return (units ? units : 1) * UNIT;
  step = 1ull << (log2_of(units) - 2);
  return (units + step - 1) / step * step * UNIT;
}

/* ---- the bitmap ---- */

static uint64_t unit_of (const struct heap *h, uint64_t off) {
  return (off - h->s->heap_off) / UNIT;
}

/* Bits [*at, end) that lie in one word, as a mask; moves *at behind them. */
static uint64_t next_mask (uint64_t *at, uint64_t end, uint64_t *word) {
  uint64_t bit = *at % 64, n = 64 - bit;
  if (n > end - *at) n = end - *at;
  *word = *at / 64;
  *at += n;
  return (n == 64 ? UINT64_MAX : (1ull << n) - 1) << bit;
}

static void set_used (struct heap *h, uint64_t off, uint64_t bytes, int on) {
  uint64_t at = unit_of(h, off), end = at + bytes / UNIT, word;
  while (at < end) {
    uint64_t mask = next_mask(&at, end, &word);
    if (on) h->used[word] |= mask;
    else h->used[word] &= ~mask;
  }
}

int heap_mark (struct heap *h, uint64_t off, uint64_t bytes) {
  uint64_t at, end, word;
  bytes = heap_bytes(bytes);
  if (off < h->s->heap_off || off % UNIT) return SKE_CORRUPT;
  at = unit_of(h, off);
  end = at + bytes / UNIT;
  if (end > h->size / UNIT) return SKE_CORRUPT;
  while (at < end) {
    uint64_t mask = next_mask(&at, end, &word);
    if (h->used[word] & mask) return SKE_CORRUPT;
    h->used[word] |= mask;
  }
  return 0;
}

/* ---- the lists ---- */

/* Without memory for the list the extent is found at the next sweep. */
static void add_free (struct heap *h, uint64_t off, uint64_t bytes) {
  uint32_t c;
  if (!bytes) return;
  c = class_of(bytes / UNIT);
  h->free += bytes;
  if (!extents_push(&h->lists[c], off, bytes))
    h->filled[c / 64] |= 1ull << c % 64;
}

static int filled_from (const struct heap *h, uint32_t c) {
  uint32_t w = c / 64;
  uint64_t bits = h->filled[w] & UINT64_MAX << c % 64;
  while (!bits) {
    if (++w == HEAP_CLASSES / 64) return -1;
    bits = h->filled[w];
  }
  return (int)(w * 64) + __builtin_ctzll(bits);
}

static int take (struct heap *h, uint64_t bytes, uint64_t *off) {
  int c = filled_from(h, class_of(bytes / UNIT));
  struct extents *list;
  struct extent e;
  if (c < 0) return SKE_FULL;
  list = &h->lists[c];
  e = list->items[--list->n];
  if (!list->n) h->filled[c / 64] &= ~(1ull << c % 64);
  h->free -= e.bytes;
  add_free(h, e.off + bytes, e.bytes - bytes);
  set_used(h, e.off, bytes, 1);
  *off = e.off;
  return 0;
}

void heap_sweep (struct heap *h) {
  uint64_t end = h->size / UNIT, at = 0, from;
  uint32_t c;
  for (c = 0; c < HEAP_CLASSES; c++) h->lists[c].n = 0;
  memset(h->filled, 0, sizeof h->filled);
  h->free = h->returned = 0;
  while (at < end) {
    /* whole words at a time, for most of a heap is one or the other */
    while (at < end && h->used[at / 64] >> at % 64 & 1)
      at += at % 64 == 0 && h->used[at / 64] == UINT64_MAX ? 64 : 1;
    from = at;
    while (at < end && !(h->used[at / 64] >> at % 64 & 1))
      at += at % 64 == 0 && h->used[at / 64] == 0 ? 64 : 1;
    if (at > end) at = end;
    if (from < at)
      add_free(h, h->s->heap_off + from * UNIT, (at - from) * UNIT);
  }
}

/* ---- the quarantine ---- */

static void let_go_oldest (struct heap *h) {
  struct extent e = h->waiting[h->first];
  h->first = (h->first + 1) % QUARANTINE;
  h->n_waiting--;
  h->waiting_bytes -= e.bytes;
  h->returned += e.bytes;
  set_used(h, e.off, e.bytes, 0);
  add_free(h, e.off, e.bytes);
}

static void let_all_go (struct heap *h) {
  while (h->n_waiting) let_go_oldest(h);
}

void heap_free (struct heap *h, uint64_t off, uint64_t bytes) {
  struct extent *e;
  if (h->n_waiting == QUARANTINE) let_go_oldest(h);
  e = &h->waiting[(h->first + h->n_waiting++) % QUARANTINE];
  e->off = off;
  e->bytes = heap_bytes(bytes);
  h->waiting_bytes += e->bytes;
  while (h->waiting_bytes > h->size / 16) let_go_oldest(h);
}

/* ---- growth ---- */

static int fit_bitmap (struct heap *h, uint64_t size) {
  size_t now = (size_t)(h->size / UNIT / 64 * 8);
  size_t then = (size_t)((size / UNIT + 63) / 64 * 8);
  uint64_t *used = realloc(h->used, then);
  if (!used) return SKE_NOMEM;
  memset((uint8_t *)used + now, 0, then - now);
  h->used = used;
  return 0;
}

static int grow (struct heap *h, uint64_t bytes) {
  sk_share *s = h->s;
  uint64_t more = bytes > h->size / 8 ? bytes : h->size / 8, old = h->size;
  int rc;
  if (more < STEP) more = STEP;
  more = (more + STEP - 1) / STEP * STEP;
  if (more > s->heap_max - old) more = s->heap_max - old;
  more = more / 65536 * 65536;  /* whole pages, whole words of the bitmap */
  if (more < bytes) return SKE_FULL;
  if ((rc = fit_bitmap(h, old + more))) return rc;
  if ((rc = sk_segment_back(s->segment, s->heap_off + old, more))) return rc;
  SK_FAULT(FAULT_GROW_BACKED);
  /* the pages are there before anybody is told of them */
  atomic_store(&s->store->heap_size, old + more);
  SK_FAULT(FAULT_GROW_DONE);
  h->size = old + more;
  add_free(h, s->heap_off + old, more);
  return 0;
}

int heap_alloc (struct heap *h, uint64_t bytes, uint64_t *off) {
  if (bytes > h->s->heap_max) return SKE_FULL;
  bytes = heap_bytes(bytes);
  if (!take(h, bytes, off)) return 0;
  /* much was freed since, in pieces: join them before growing */
  if (h->returned > h->size / 4 && h->free > h->size / 4) {
    heap_sweep(h);
    if (!take(h, bytes, off)) return 0;
  }
  if (!grow(h, bytes)) return take(h, bytes, off);
  let_all_go(h);
  heap_sweep(h);
  return take(h, bytes, off);
}

/* ---- life ---- */

int heap_open (struct heap *h, sk_share *s) {
  uint64_t size = atomic_load(&s->store->heap_size);
  memset(h, 0, sizeof *h);
  h->s = s;
  if (size > s->heap_max || size % 65536) return SKE_CORRUPT;
  h->used = calloc(1, (size_t)(size / UNIT / 8) + 8);
  if (!h->used) return SKE_NOMEM;
  h->size = size;
  return 0;
}

void heap_close (struct heap *h) {
  uint32_t c;
  for (c = 0; c < HEAP_CLASSES; c++) free(h->lists[c].items);
  free(h->used);
}

/* ---- stores ---- */

void heap_write_word (const struct heap *h, uint64_t off, uint64_t value) {
  atomic_store_explicit((_Atomic uint64_t *)(h->s->base + off), value,
                        memory_order_relaxed);
}

void heap_write (const struct heap *h, uint64_t off, const void *from,
                 size_t n) {
  const uint8_t *at = from;
  for (; n >= 8; n -= 8, at += 8, off += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    heap_write_word(h, off, word);
  }
  if (n) {
    uint64_t word = 0;
    memcpy(&word, at, n);
    heap_write_word(h, off, word);
  }
}

void heap_zero (const struct heap *h, uint64_t off, uint64_t bytes) {
  for (; bytes; bytes -= 8, off += 8) heap_write_word(h, off, 0);
}
