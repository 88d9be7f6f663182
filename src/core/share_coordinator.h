/*
** The coordinator's own state: private, made anew by the next one.
*/
#ifndef SK_SHARE_COORDINATOR_H
#define SK_SHARE_COORDINATOR_H

#include "share_change.h"

/* A lane with commands in the running batch. */
struct busy_lane {
  uint32_t lane;
  int broken;          /* what comes next makes no sense */
  uint64_t end;        /* of what the batch may apply */
  struct record head;  /* of the next command */
};

enum { SCOUT_PATH = 256, SCOUT_KEPT = 8 };

/* What the scout of a lane knows; see share_scout.c. */
struct scout {
  uint64_t pos;             /* of the record that it looks at next */
  uint32_t n, applied;      /* records that it looked at; those applied since */
  uint32_t rest;            /* commands that it lets pass */
  uint64_t at[SCOUT_KEPT];  /* what it fetched last for the latest ones */
  uint64_t table, moves;    /* the table that `path` led to, and when */
  uint32_t len, depth, root;
  uint8_t path[SCOUT_PATH];
};

struct sk_coordinator {
  sk_share *s;
  struct heap heap;
  sk_change change;
  uint64_t *cursor;         /* per lane: what was applied */
  struct busy_lane *busy;
  struct scout *scouts;     /* per lane */
  struct bytes record;      /* the command being applied */
  sk_path path;             /* its path, in there or in its parts */
  int64_t spin_ns;          /* how long to look for work before sleeping */
};

/* Where the state of a lane lies. */
static inline uint64_t share_state_off (const sk_share *s, uint32_t lane) {
  return s->store_off + offsetof(struct store, lanes) +
         lane * sizeof(struct lane_state);
}

/* share_apply.c: apply the next command of a lane, exactly once. */
int share_apply (sk_coordinator *c, const struct busy_lane *b);

/* share_handler.c: have the handler do a command. SKE_POISON: it ended too many
** coordinators. */
int share_handler_call (sk_coordinator *c, uint32_t lane, uint64_t pos,
                        const sk_command *cmd);

/* share_part.c; a part of a long command goes into a block of the lane's */
int share_part_take (sk_coordinator *c, uint32_t lane, const uint8_t *data,
                     size_t n);
/* The bytes behind a command's header: from its record or from its parts. */
int share_part_body (sk_coordinator *c, const struct busy_lane *b,
                     const uint8_t **data, size_t *n);
/* The command is done: its parts are needed no more. */
int share_part_end (sk_coordinator *c, const struct busy_lane *b);

/* share_scout.c: look ahead in a lane that has more. */
void share_scout (sk_coordinator *c, const struct busy_lane *b);

/* share_coordinator.c: as sk_coordinator_open, without making the share run;
** `wait` for the one before. */
int share_coordinator_open (sk_share *s, int wait, sk_coordinator **out);

#endif
