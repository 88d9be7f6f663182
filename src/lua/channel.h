/*
** A channel: what the owner of a process, the process itself and the monitor
** between them share: messages both ways, the last synced state, and a few
** words on where the process is in its life.
*/
#ifndef LSK_CHANNEL_H
#define LSK_CHANNEL_H

#include <stdatomic.h>

#include "buffer.h"
#include "lsk.h"

typedef struct life {
  /* owner; the child too, when it stops itself or its time is over */
  _Alignas(128) _Atomic uint32_t stop;
  _Atomic int64_t end_ns;       /* owner: when the time is over, or 0 */
  /* child */
  _Alignas(128) _Atomic uint64_t run;
  _Atomic uint32_t section;     /* its number, or 0 between two */
  _Atomic int64_t since_ns;     /* begin of the section */
  _Atomic int64_t deadline_ns;  /* when it must have ended, or 0 */
  _Atomic int64_t limit_ns;     /* which limit that is */
  _Atomic int64_t busy_ns;      /* spent in sections */
  _Atomic uint32_t has_finished; /* its last word is in the lane */
  _Atomic uint32_t listens;     /* its loop waits; who wakes it clears this */
  /* child or, after its death, the watcher */
  _Atomic uint32_t spent;       /* lives */
  /* watcher: the monitor, or the owner */
  _Alignas(128) _Atomic int32_t pid;
  _Atomic int32_t last_pid;     /* the same after its end */
  _Atomic uint32_t starts;      /* processes until now */
} life;

typedef struct lsk_channel {
  sk_segment *segment;
  sk_bell *child;        /* the child sleeps on it */
  sk_lane *down, *up;    /* owner -> child, child -> owner */
  sk_lane *in, *out;     /* the two as this process sees them */
  sk_board *board;       /* child: the last sync */
  life *life;
  uint64_t generation;   /* of the owner */
  uint64_t child_generation; /* in a child: its own */
  lsk_buffer message;    /* being encoded */
  int encoding;
  int is_hidden;         /* from children forked now */
  int may_spin;          /* there are processors for both sides */
  int credit;            /* spins that paid lately, less those that did not */
  int rest;              /* waits to come that do not spin */
  lsk_buffer times;      /* in a child: every section's, as timing records */
  size_t sent;           /* bytes of it that the owner was told */
  size_t shown;          /* bytes of it that the child itself has seen */
} lsk_channel;

/* How long a section took, or a whole run (section 0). */
typedef struct timing {
  uint32_t section, none;
  double seconds;
} timing;

/* Keep one; not worth an error. */
void lsk_channel_record (lsk_channel *c, uint32_t section, int64_t ns);

/* The time so many seconds after `now`; 0: none are given, or for ever. */
int64_t lsk_after (int64_t now, lua_State *L, int arg);

lsk_channel *lsk_checkchannel (lua_State *L, int arg);
/* The same, or NULL when it is none. */
lsk_channel *lsk_testchannel (lua_State *L, int arg);
/* Wake the child's loop, if it listens; may be called by signal handlers. */
void lsk_channel_wake (life *f);

/* section.c: running a hook under its limits. */
extern const luaL_Reg lsk_section_methods[];

#endif
