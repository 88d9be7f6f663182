/*
** The coordinator's allocator. All it knows is in its own memory: after a
** death the next one marks what is in use and begins anew.
*/
#ifndef SK_SHARE_HEAP_H
#define SK_SHARE_HEAP_H

#include "share.h"

struct extent {
  uint64_t off, bytes;
};

struct extents {
  struct extent *items;
  size_t n, room;
};

enum { HEAP_CLASSES = 192, QUARANTINE = 1024 };

struct heap {
  sk_share *s;
  uint64_t *used;      /* a bit for each unit */
  uint64_t size;       /* bytes that exist */
  uint64_t free;       /* bytes in the lists, fragments lost to them too */
  uint64_t returned;   /* bytes freed since the lists were made */
  struct extents lists[HEAP_CLASSES];
  uint64_t filled[HEAP_CLASSES / 64];   /* bit: that list has something */
  struct extent waiting[QUARANTINE];    /* freed a moment ago: readers may
                                        ** still be copying from there */
  size_t first, n_waiting;
  uint64_t waiting_bytes;
};

int extents_push (struct extents *e, uint64_t off, uint64_t bytes);

/* What a block of so many bytes really takes. */
uint64_t heap_bytes (uint64_t bytes);
int heap_open (struct heap *h, sk_share *s);
void heap_close (struct heap *h);
/* While marking: these bytes are in use. SKE_CORRUPT: they already were. */
int heap_mark (struct heap *h, uint64_t off, uint64_t bytes);
/* After marking: what is not in use is free. */
void heap_sweep (struct heap *h);
int heap_alloc (struct heap *h, uint64_t bytes, uint64_t *off);
/* Give back, after a commit that made it unreachable, or before one that
** would have made it reachable. */
void heap_free (struct heap *h, uint64_t off, uint64_t bytes);

/* Stores into a block that readers may still be copying from. */
void heap_write (const struct heap *h, uint64_t off, const void *from,
                 size_t n);
void heap_write_word (const struct heap *h, uint64_t off, uint64_t value);
void heap_zero (const struct heap *h, uint64_t off, uint64_t bytes);

#endif
