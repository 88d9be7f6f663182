/*
** Open addressing with linear probing; entries of earlier messages count as
** free, so that a new message starts without clearing.
**
** It grows a few entries a time: who encodes in slices is not held up by a
** large message's set. Until all are moved, an entry may be in the old array
** only, or in both; then the new one counts.
*/
#include <stdlib.h>
#include <string.h>

#include "cerial_seen.h"

#define FIRST_SLOTS 256u
#define MAX_KEPT (1u << 18)  /* slots that stay allocated between messages */
#define MAX_SLOTS (1u << 31)
#define MOVED_AT_ONCE 8u     /* slots, with each new entry */

static void drop_old (seen_set *s) {
  free(s->old);
  s->old = NULL;
  s->old_mask = s->moved = 0;
}

void seen_free (seen_set *s) {
  free(s->slots);
  free(s->old);
  memset(s, 0, sizeof *s);
}

void seen_clear (seen_set *s) {
  if (s->mask >= MAX_KEPT) seen_free(s);
  drop_old(s);
  s->count = 0;
  if (++s->round == 0) {  /* wrapped: old entries could look like new ones */
    if (s->slots) memset(s->slots, 0, ((size_t)s->mask + 1) * sizeof *s->slots);
    s->round = 1;
  }
}

/* Where `key` is in an array, or the free slot where it would be. */
static seen_entry *probe (const seen_set *s, seen_entry *slots, uint32_t mask,
                          const void *key) {
  uint32_t i = seen_slot(s, key) & mask;
  while (slots[i].round == s->round && slots[i].key != key)
    i = (i + 1) & mask;
  return &slots[i];
}

static void move (seen_set *s, uint32_t slots) {
  for (; slots > 0 && s->moved <= s->old_mask; slots--) {
    const seen_entry *old = &s->old[s->moved++];
    seen_entry *e;
    if (old->round != s->round) continue;
    e = probe(s, s->slots, s->mask, old->key);
    if (e->round != s->round) *e = *old;
  }
  if (s->moved > s->old_mask) drop_old(s);
}

static int grow (seen_set *s) {
  uint32_t slots = s->slots ? (s->mask + 1) * 2 : FIRST_SLOTS;
  seen_entry *bigger;
  if (slots >= MAX_SLOTS) return 0;
  bigger = calloc(slots, sizeof *bigger);
  if (!bigger) return 0;
  if (s->old) move(s, UINT32_MAX);
  s->old = s->slots;
  s->old_mask = s->mask;
  s->slots = bigger;
  s->mask = slots - 1;
  return 1;
}

seen_entry *seen_put (seen_set *s, const void *key, int *fresh) {
  seen_entry *e;
  if (!s->slots || s->count > s->mask / 2) {
    if (!grow(s)) return NULL;
  }
  e = probe(s, s->slots, s->mask, key);
  *fresh = e->round != s->round;
  if (!*fresh) return e;
  if (s->old) {
    const seen_entry *old = probe(s, s->old, s->old_mask, key);
    if (old->round == s->round) {
      *fresh = 0;
      *e = *old;
      return e;
    }
    move(s, MOVED_AT_ONCE);
    e = probe(s, s->slots, s->mask, key);
  }
  e->key = key;
  e->round = s->round;
  s->count++;
  return e;
}

seen_entry *seen_find (const seen_set *s, const void *key) {
  seen_entry *e;
  if (!s->slots) return NULL;
  e = probe(s, s->slots, s->mask, key);
  if (e->round != s->round && s->old)
    e = probe(s, s->old, s->old_mask, key);
  return e->round == s->round ? e : NULL;
}
