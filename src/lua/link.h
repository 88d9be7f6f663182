/*
** A link: two lanes between an owner and one child, and what each end keeps
** for messages that are larger than a lane.
**
** The owner makes it and forks the child; each of the two then has its own
** copy of this struct and uses its own end of each lane.
*/
#ifndef LSK_LINK_H
#define LSK_LINK_H

#include <stdatomic.h>

#include "buffer.h"
#include "lsk.h"

enum link_kind {
  LINK_PART = 1,  /* a piece of the payload of a long message to come */
  LINK_JOB,       /* owner: here is a function */
  LINK_WORK,      /* owner: items for it, to be claimed one by one */
  LINK_DROP,      /* owner: forget a function */
  LINK_QUIT,      /* owner: no more work */
  LINK_DONE,      /* child: an item's result */
  LINK_FAIL,      /* child: an item's error */
  LINK_LONG = 0x100  /* flag: the payload came in parts */
};

/* In front of every payload. A claim word must come first. */
typedef struct link_header {
  uint64_t claim;  /* WORK */
  uint64_t index;  /* of the item, or of the first one */
  uint32_t job;
  uint32_t n;      /* WORK: items */
} link_header;

typedef struct link_stats link_stats;

typedef struct lsk_link {
  sk_segment *segment;
  sk_bell *child;        /* the child sleeps on it */
  sk_lane *down, *up;    /* owner -> child, child -> owner */
  sk_lane *in, *out;     /* the two as this process sees them */
  link_stats *stats;     /* in the segment: written by the child */
  uint64_t generation;   /* of the owner */
  /* reader */
  lsk_buffer parts;      /* a long payload being put together */
  sk_message current;    /* looked at, not yet taken, if has_current */
  int has_current;
  /* writer */
  enum { LINK_IDLE, LINK_ENCODING, LINK_SENDING } state;
  lsk_buffer message;    /* header and payload being encoded or sent */
  size_t sent;           /* of a long message, while LINK_SENDING */
  uint32_t kind;         /* of it */
  /* owner: put_work and collect */
  uint32_t done;         /* items encoded, results decoded */
  size_t good;           /* bytes of the message that fit in place */
  int in_hooks;          /* inside the encoding or decoding of a value */
  /* child: where link:run is in the items of the current message */
  uint64_t runner;       /* generation of the process that runs them */
  const uint8_t *at, *end;
  uint32_t item;
  /* a child of the child, that is forked for one claimed item */
  int is_for_one;
  int has_one;           /* and it is still to be done */
} lsk_link;

lsk_link *lsk_checklink (lua_State *L, int arg);
/* The lane that this process reads. */
sk_lane *lsk_link_inbox (lua_State *L, int arg);

/* ---- writer ---- */

/* Begin a message: append its payload to k->message. It is written in place
** when it fits. 0; SKE_FULL when there is no room now; SKE_BUSY when called
** while another one is being encoded. */
int lsk_link_begin (lsk_link *k);
/* Publish what was begun, with its header. What does not fit now stays for
** lsk_link_flush, and the result is SKE_FULL. */
int lsk_link_end (lsk_link *k, uint32_t kind, const link_header *h,
                  uint64_t *pos);
/* The same for the first `len` payload bytes of a message that began in
** place, whatever became of the rest. */
uint64_t lsk_link_end_prefix (lsk_link *k, uint32_t kind,
                              const link_header *h, size_t len);
/* Forget what was begun: an error came in between. */
void lsk_link_abort (lsk_link *k);
/* Send what is left of a long message: 0 done (also when there was none),
** SKE_FULL: no room now. */
int lsk_link_flush (lsk_link *k, uint64_t *pos);

/* ---- reader ---- */

/* Look at the next message, put together: 1, 0 when there is none, or an
** error. It is `current` until it is taken. */
int lsk_link_peek (lsk_link *k);
void lsk_link_take (lsk_link *k);
const uint8_t *lsk_link_payload (const lsk_link *k, size_t *len);

static inline const link_header *lsk_link_head (const lsk_link *k) {
  return k->current.data;
}

/* What the child tells of itself, for its owner to look at any time. */
struct link_stats {
  _Alignas(128) _Atomic uint64_t items;     /* finished */
  _Atomic uint64_t busy_ns;                 /* spent in them */
  _Atomic int64_t since_ns;                 /* start of a timed item, or 0 */
  _Atomic int32_t died;                     /* an item's own process, or 0 */
};

/* The methods of work.c: put_work, run, collect ... */
extern const luaL_Reg lsk_work_methods[];

#endif
