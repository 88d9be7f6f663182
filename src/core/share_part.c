/*
** Commands that are longer than a lane: their parts go, one after another, into
** a block that the lane holds until the last one was applied.
*/
#include <string.h>

#include "share_coordinator.h"

static int drop_loan (sk_change *c, uint64_t state, uint64_t loan) {
  struct view v = { c->s, c, 0 };
  struct block b = view_block(&v, slot_off(loan));
  int rc = share_change_retire(c, slot_off(loan), sizeof b + b.len, 0);
  uint64_t at = state + offsetof(struct lane_state, loan);
  if (!rc) rc = share_change_store(c, at, slot_word(0, loan + 1));
  if (!rc) rc = share_change_store(c, state +
                                   offsetof(struct lane_state, loaned), 0);
  return rc;
}

static int new_loan (sk_change *c, uint64_t total, uint64_t *off) {
  struct block b = { SK_BYTES, (uint32_t)total };
  int rc = share_change_alloc(c, sizeof b + total, 0, off);
  if (!rc) heap_write(c->heap, *off, &b, sizeof b);
  return rc;
}

/* What a part says of itself; *n: bytes of it. */
static int read_part (const sk_share *s, const uint8_t *data, size_t *n,
                      struct part_head *part) {
  uint64_t left;
  if (*n < sizeof *part) return SKE_CORRUPT;
  memcpy(part, data, sizeof *part);
  *n -= sizeof *part;
  if (part->total > s->max_bytes || part->total > UINT32_MAX / 2)
    return SKE_FULL;
  if (part->at % 8 || part->at > part->total) return SKE_CORRUPT;
  left = part->total - part->at;
  if (*n <= left) return 0;
  if (*n - left >= 8) return SKE_CORRUPT;
  *n = (size_t)left;  /* the last one's record is padded */
  return 0;
}

/* A part of a long command goes into a block that the lane holds. */
int share_part_take (sk_coordinator *c, uint32_t lane, const uint8_t *data,
                      size_t n) {
  sk_change *g = &c->change;
  struct lane_state *l = &c->s->store->lanes[lane];
  uint64_t state = share_state_off(c->s, lane), off;
  uint64_t loan = atomic_load(&l->loan), loaned = atomic_load(&l->loaned);
  struct part_head part;
  int rc = read_part(c->s, data, &n, &part);
  if (rc) return rc;
  if (part.at == 0) {
    if (slot_off(loan) && (rc = drop_loan(g, state, loan))) return rc;
    if ((rc = new_loan(g, part.total, &off))) return rc;
    rc = share_change_store(g, state + offsetof(struct lane_state, loan),
                            slot_word(off, loan + 1));
  }
  else {
    struct view v = { c->s, g, 0 };
    off = slot_off(loan);
    if (!off || loaned != part.at || view_block(&v, off).len != part.total)
      return SKE_FULL;  /* the first part found no room */
  }
  heap_write(c->change.heap, off + sizeof(struct block) + part.at,
             data + sizeof part, n);
  if (!rc)
    rc = share_change_store(g, state + offsetof(struct lane_state, loaned),
                            part.at + n);
  return rc;
}

/* The bytes behind a command's header: from its record or from its parts. */
int share_part_body (sk_coordinator *c, const struct busy_lane *b,
                      const uint8_t **data, size_t *n) {
  struct lane_state *l = &c->s->store->lanes[b->lane];
  struct view v = { c->s, NULL, 0 };
  uint64_t off = slot_off(atomic_load(&l->loan));
  struct block block;
  *data = c->record.data + sizeof b->head;
  *n = b->head.len - sizeof b->head;
  if (!(b->head.flags & IS_LONG)) return 0;
  if (!off) return SKE_FULL;
  block = view_block(&v, off);
  if (block.len != atomic_load(&l->loaned)) return SKE_FULL;
  *data = c->s->base + off + sizeof block;
  *n = block.len;
  return 0;
}

int share_part_end (sk_coordinator *c, const struct busy_lane *b) {
  uint64_t loan = atomic_load(&c->s->store->lanes[b->lane].loan);
  if (b->head.kind == PART && !b->broken) return 0;
  if (!slot_off(loan)) return 0;
  return drop_loan(&c->change, share_state_off(c->s, b->lane), loan);
}
