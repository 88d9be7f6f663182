/*
** Open addressing with linear probing; entries of earlier messages count as
** free, so that a new message starts without clearing.
*/
#include <stdlib.h>
#include <string.h>

#include "cerial_seen.h"

#define FIRST_SLOTS 256u
#define MAX_KEPT (1u << 18)  /* slots that stay allocated between messages */
#define MAX_SLOTS (1u << 31)

void seen_free (seen_set *s) {
  free(s->slots);
  memset(s, 0, sizeof *s);
}

void seen_clear (seen_set *s) {
  if (s->mask >= MAX_KEPT) seen_free(s);
  s->count = 0;
  if (++s->round == 0) {  /* wrapped: old entries could look like new ones */
    if (s->slots) memset(s->slots, 0, ((size_t)s->mask + 1) * sizeof *s->slots);
    s->round = 1;
  }
}

static seen_entry *probe (const seen_set *s, const void *key) {
  uint32_t i = seen_slot(s, key);
  while (s->slots[i].round == s->round && s->slots[i].key != key)
    i = (i + 1) & s->mask;
  return &s->slots[i];
}

static int grow (seen_set *s) {
  seen_set bigger = *s;
  uint32_t i, slots = s->slots ? (s->mask + 1) * 2 : FIRST_SLOTS;
  if (slots >= MAX_SLOTS) return 0;
  bigger.slots = calloc(slots, sizeof *bigger.slots);
  if (!bigger.slots) return 0;
  bigger.mask = slots - 1;
  for (i = 0; s->slots && i <= s->mask; i++) {
    const seen_entry *old = &s->slots[i];
    if (old->round == s->round) *probe(&bigger, old->key) = *old;
  }
  free(s->slots);
  *s = bigger;
  return 1;
}

seen_entry *seen_put (seen_set *s, const void *key, int *fresh) {
  seen_entry *e;
  if (!s->slots || s->count > s->mask / 2) {
    if (!grow(s)) return NULL;
  }
  e = probe(s, key);
  *fresh = e->round != s->round;
  if (*fresh) {
    e->key = key;
    e->round = s->round;
    s->count++;
  }
  return e;
}

seen_entry *seen_find (const seen_set *s, const void *key) {
  seen_entry *e;
  if (!s->slots) return NULL;
  e = probe(s, key);
  return e->round == s->round ? e : NULL;
}
