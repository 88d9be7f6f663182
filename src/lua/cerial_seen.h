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
} seen_set;

/* Forget everything: in no time, unless the set has become huge. */
void seen_clear (seen_set *s);
void seen_free (seen_set *s);
/* The entry of `key`. *fresh: it is new, and its `at` and `number` are the
** caller's to set. The entry is good until the next call. NULL: no memory. */
seen_entry *seen_put (seen_set *s, const void *key, int *fresh);
/* The entry of `key`, or NULL. */
seen_entry *seen_find (const seen_set *s, const void *key);

#endif
