/*
** What a message has sent already: the number and place of each object and
** string, by address.
*/
#ifndef LSK_CERIAL_SEEN_H
#define LSK_CERIAL_SEEN_H

#include <stddef.h>
#include <stdint.h>

typedef struct seen_entry {
  const void *key;
  size_t at;       /* where its tag is in the message; SEEN_MARKED: shared */
  uint32_t number;
  uint32_t round;  /* the message this entry belongs to */
} seen_entry;

#define SEEN_MARKED ((size_t)-1)

typedef struct seen_set {
  seen_entry *slots;
  uint32_t mask, count, round;
  seen_entry *old;             /* the smaller array before, or NULL: */
  uint32_t old_mask, moved;    /* slots of it that are in `slots`, too */
} seen_set;

/* Forget everything: in no time, unless the set has become huge. */
void seen_clear (seen_set *s);
void seen_free (seen_set *s);
static inline uint32_t seen_slot (const seen_set *s, const void *key) {
  uint64_t h = (uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15);
  return (uint32_t)(h >> 32) & s->mask;
}

/* The entry of `key`, if it is the first one that is looked at: the quick
** way to what is there more often than not. */
static inline seen_entry *seen_hit (const seen_set *s, const void *key) {
  seen_entry *e;
  if (!s->slots) return 0;
  e = &s->slots[seen_slot(s, key)];
  return e->key == key && e->round == s->round ? e : 0;
}

/* The entry of `key`. *fresh: it is new, and its `at` and `number` are the
** caller's to set. The entry is good until the next call. NULL: no memory. */
seen_entry *seen_put (seen_set *s, const void *key, int *fresh);
/* The entry of `key`, or NULL. */
seen_entry *seen_find (const seen_set *s, const void *key);

#endif
