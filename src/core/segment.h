/*
** A segment as the core's own files see it.
*/
#ifndef SK_SEGMENT_H
#define SK_SEGMENT_H

#include <stdatomic.h>

#include "suitkaise.h"

#define SK_SEGMENT_MAGIC "SKSEGM01"
#define SK_SEGMENT_VERSION 1
#define SK_SEGMENT_STEP (64u * 1024)     /* grow by at least this much */
#define SK_SEGMENT_LEAST (1024u * 1024)  /* smallest reservation */

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
  int fd;                  /* the only one of its file in this process: closing
                           ** any drops the locks that the process has on it */
  uint64_t dev, ino;       /* which file */
  /* under sk_family_lock */
  uint32_t users;          /* opened so often */
  sk_share *share;         /* that lies in it, as this process knows it */
  struct sk_segment *next; /* all segments of this process */
};

/* segment.c: a segment in an empty file, which it takes over also when it
** fails. */
int sk_segment_make (int fd, size_t max_bytes, sk_segment **out);
/* Under sk_family_lock. */
sk_segment *sk_segment_of_file (uint64_t dev, uint64_t ino);
sk_segment *sk_segment_of_id (uint64_t id);
void sk_segment_enlist (sk_segment *s);
/* The descriptors of all segments that have one: up to `room` of them; -> how
** many there are. */
size_t sk_segment_fds (int *fds, size_t room);

/* segment_attach.c: the segment in the file that a peek (os.h) stands for,
** `id` unless that is 0. */
int sk_segment_join (int peek, uint64_t id, sk_segment **out);
/* The same in a process's descriptor `fd`, or any other one of it. */
int sk_segment_join_at (pid_t pid, int fd, uint64_t id, sk_segment **out);

/* The segment of this process that holds p, or NULL. */
sk_segment *sk_segment_of (const void *p);
sk_segment *sk_segment_by_id (uint64_t id);

/* An event that all processes with this root hold, at the same descriptor;
** -1 when there is none. */
int sk_root_event (void);

/* Hand out all that is left of the reservation, from a page on. Nothing of it
** exists until sk_segment_back makes it so. */
int sk_segment_rest (sk_segment *s, uint64_t *off, uint64_t *bytes);
/* Make whole pages of it exist; no harm where they do. */
int sk_segment_back (sk_segment *s, uint64_t off, uint64_t bytes);

#endif
