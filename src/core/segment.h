/*
** A segment as the core's own files see it.
*/
#ifndef SK_SEGMENT_H
#define SK_SEGMENT_H

#include <stdatomic.h>

#include "suitkaise.h"

#define SK_LINE 128  /* two cache lines: the unit that processors prefetch */

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "atomics with a lock of the process's own cannot be shared");

/* At offset 0 of every segment. */
struct segment_header {
  char magic[8];
  uint32_t version;
  uint32_t pointer_bytes;
  uint64_t id;                           /* creator, once */
  uint64_t max;                          /* creator, once */
  _Alignas(SK_LINE) _Atomic uint64_t size; /* anyone: bytes that exist */
  _Atomic uint64_t top;                  /* anyone: bytes handed out */
};

_Static_assert(sizeof(struct segment_header) == 2 * SK_LINE,
               "layout is shared between processes");

struct sk_segment {
  uint8_t *base;
  struct segment_header *header;
  size_t max;              /* bytes reserved */
  int fd;
  struct sk_segment *next; /* all segments of this process */
};

/* The segment of this process that holds p, or NULL. */
sk_segment *sk_segment_of (const void *p);
sk_segment *sk_segment_by_id (uint64_t id);

/* Hand out all that is left of the reservation, from a page on. Nothing of it
** exists until sk_segment_back makes it so. */
int sk_segment_rest (sk_segment *s, uint64_t *off, uint64_t *bytes);
/* Make whole pages of it exist; no harm where they do. */
int sk_segment_back (sk_segment *s, uint64_t off, uint64_t bytes);

#endif
