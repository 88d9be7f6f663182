/* How a sleeper and its ringers agree (src/core/bell.c): a wake-up is never
 * lost while both live, and a ringer that is killed costs one bounded wait.
 * spin explores sequentially consistent runs only: a missing fence is modelled
 * as the two accesses of that side in the other order.
 *
 *   RUN
 *   RUN -DRINGERS=3
 *   RUN -DEVENT
 *   RUN -DDIE -DTICK
 *   RUN -DDIE -DTICK -DEVENT
 *   BREAKS -DDIE
 *   BREAKS -DLOOK_FIRST
 *   BREAKS -DASK_FIRST
 *   BREAKS -DSEEN_LATE
 */
#ifndef RINGERS
#define RINGERS 2
#endif

byte published;  /* messages of all ringers */
byte taken;      /* by the sleeper */
byte rings;      /* the futex word */
bool asleep, parked, event;

proctype ringer() {
  bool was;
#ifdef ASK_FIRST
  was = asleep;
  published++;
#else
  published++;
#ifdef DIE
  if :: goto done :: skip fi;  /* killed before it rings */
#endif
  was = asleep;
#endif
  if
  :: !was -> goto done
  :: else -> atomic { was = asleep; asleep = 0 };  /* compare and exchange */
     if :: was -> rings++ :: else -> goto done fi
  fi;
#ifdef DIE
  if :: goto done :: skip fi;  /* killed before it wakes */
#endif
#ifdef EVENT
  event = 1;
#else
  parked = 0;
#endif
done: skip
}

active proctype sleeper() {
  byte seen;
  byte i;
  for (i : 1 .. RINGERS) { run ringer() }
  do
  :: published != taken -> taken = published
  :: published == taken && taken == RINGERS -> break
  :: published == taken && taken != RINGERS ->
#ifndef SEEN_LATE
     seen = rings;
#endif
#ifdef LOOK_FIRST
     if :: published != taken -> goto awake :: else fi;
     asleep = 1;
#else
     asleep = 1;
     if :: published != taken -> goto awake :: else fi;
#endif
#ifdef SEEN_LATE
     seen = rings;
#endif
#ifdef EVENT
     if
     :: rings != seen -> event = 0  /* does not wait, clears what is there */
     :: rings == seen ->
        if
        :: event -> event = 0
#ifdef TICK
        :: timeout -> skip
#endif
        fi
     fi;
#else
     atomic { parked = (rings == seen) };  /* what a futex wait checks */
     if
     :: !parked -> skip
#ifdef TICK
     :: timeout -> parked = 0
#endif
     fi;
#endif
awake: asleep = 0
  od
}
