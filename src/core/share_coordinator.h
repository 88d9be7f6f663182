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

struct sk_coordinator {
  sk_share *s;
  struct heap heap;
  sk_change change;
  uint64_t *cursor;         /* per lane: what was applied */
  struct busy_lane *busy;
  struct bytes record;      /* the command being applied */
  sk_path path;             /* its path, in there or in its parts */
  int64_t spin_ns;          /* how long to look for work before sleeping */
};

/* share_apply.c: apply the next command of a lane, exactly once. */
int share_apply (sk_coordinator *c, const struct busy_lane *b);

/* share_coordinator.c: as sk_coordinator_open, without making the share run;
** `wait` for the one before. */
int share_coordinator_open (sk_share *s, int wait, sk_coordinator **out);

#endif
