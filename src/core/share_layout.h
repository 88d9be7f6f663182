/*
** What a process must know to use a share that another one made: it lies in
** the segment, right behind the segment's own header.
*/
#ifndef SK_SHARE_LAYOUT_H
#define SK_SHARE_LAYOUT_H

#include "share.h"

/* Written once, before anybody else sees it. */
struct layout {
  char magic[8];
  uint32_t version, endian;
  uint64_t shape;          /* hash of the size and members of all structs */
  uint32_t pointer_bytes, page_bytes;
  uint32_t max_lanes, has_calls;
  uint64_t lane_bytes, max_bytes;
  int64_t call_limit_ns;
  /* offsets, all of which follow from the above and `max` */
  uint64_t max;            /* bytes of the reservation */
  uint64_t bell, words, lanes, store, store_end, rings, heap, heap_max;
  /* who made it, when and where */
  uint64_t segment_id;
  uint8_t uuid[16], boot[16];
  int64_t created_ns;      /* since 1970 */
  uint32_t uid, pid;
  char name[NAME_ROOM], folder[FOLDER_ROOM];
  uint64_t sum;            /* of all before it */
};

_Static_assert(sizeof(struct layout) == 456, "no holes: all is summed");

/* The offsets that follow from the limits in it; SKE_NOMEM when max is too
** small. */
int layout_plan (struct layout *l);
/* Write the rest and sum it up. */
void layout_seal (struct layout *l, const sk_segment *s);
/* A copy of the one in a segment, checked: what it says can be relied on.
** SKE_CORRUPT, SKE_VERSION, SKE_FOREIGN. */
int layout_read (const sk_segment *s, struct layout *out);

#endif
