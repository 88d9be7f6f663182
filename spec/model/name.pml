/* The life of a name (src/core/share_name.c): creators, openers and closers
 * that may be killed anywhere. A name stands for one complete share or none,
 * of several creators one wins, and who got in by the name was its user
 * before the name could go.
 *
 * Files are numbered; each has its "life" lock and counts its users. What
 * the kernel does at a kill is one step: all locks of the process are free.
 *
 *   RUN
 *   RUN -DOPENERS=2 -DCREATORS=1
 *   RUN -DKILLS=2
 *   BREAKS -DNO_LIFE
 *   BREAKS -DNO_SECOND_LOOK
 *   BREAKS -DNAME_FIRST
 *   BREAKS -DUSER_LATE
 *   BREAKS -DREPLACE
 */
#ifndef CREATORS
#define CREATORS 2
#endif
#ifndef OPENERS
#define OPENERS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define FILES 12
#define NONE 0

byte name;                 /* the file that it stands for */
byte made;                 /* files so far */
bool complete[FILES];
byte users[FILES];
bool life[FILES];          /* somebody decides */
bool removed[FILES];       /* its name was taken away by its last user */
byte in_use;               /* processes that may use a share by name */
byte creators;             /* of these, those that made or took it over */
byte kills = KILLS;

/* Of the process: the file, whether it is its user, whether it decides. */
#define MAY_DIE \
  if \
  :: atomic { kills > 0 -> kills--; \
       if :: user -> users[f]--; in_use = in_use - in; \
          creators = creators - won :: else fi; \
       if :: decides -> life[f] = 0 :: else fi; \
       user = 0; decides = 0; in = 0; won = 0 }; goto dead \
  :: skip \
  fi

#ifdef NO_LIFE
#define LOCK skip
#define UNLOCK skip
#else
#define LOCK atomic { !life[f] -> life[f] = 1; decides = 1 }
#define UNLOCK atomic { life[f] = 0; decides = 0 }
#endif

inline become_user() {
  atomic { users[f]++; user = 1 }
}

/* The promise: from here on it is a user of what others find, too. */
inline enter() {
  atomic { in = 1; in_use++; assert(complete[f]); assert(!removed[f]) }
}

inline leave() {
  atomic { in = 0; in_use--; creators = creators - won; won = 0 };
  LOCK; MAY_DIE;
  if
  :: users[f] == 1 ->
     MAY_DIE;
     atomic {
       if
       :: name == f -> name = NONE; removed[f] = 1
       :: else
       fi
     }
  :: else
  fi;
  MAY_DIE;
  atomic { users[f]--; user = 0 };
  MAY_DIE;
  UNLOCK
}

proctype creator() {
  byte f;
  bool user, decides, in, won;
again:
  f = name;
  if
  :: f == NONE ->
     atomic { made < FILES - 1 -> made++; f = made };
     MAY_DIE;
#ifndef USER_LATE
     become_user(); MAY_DIE;
#endif
#ifndef NAME_FIRST
     complete[f] = 1; MAY_DIE;
#endif
#ifdef REPLACE
     name = f;
#else
     atomic {
       if
       :: name == NONE -> name = f
       :: else -> if :: user -> users[f]--; user = 0 :: else fi; goto again
       fi
     };
#endif
     MAY_DIE;
#ifdef NAME_FIRST
     complete[f] = 1;
#endif
#ifdef USER_LATE
     become_user();
#endif
  :: else ->
     LOCK; MAY_DIE;
#ifndef NO_SECOND_LOOK
     if
     :: name != f -> UNLOCK; goto again
     :: else
     fi;
#endif
     if
     :: users[f] > 0 -> UNLOCK; goto done  /* busy */
     :: else
     fi;
     MAY_DIE;
     become_user(); MAY_DIE;
     UNLOCK
  fi;
  atomic { enter(); won = 1; creators++; assert(creators == 1) };
  MAY_DIE;
  leave();
done:
dead: skip
}

proctype opener() {
  byte f;
  bool user, decides, in, won;
again:
  f = name;
  if
  :: f == NONE -> goto done
  :: else
  fi;
  LOCK; MAY_DIE;
#ifndef NO_SECOND_LOOK
  if
  :: name != f -> UNLOCK; goto again
  :: else
  fi;
#endif
  MAY_DIE;
  become_user(); MAY_DIE;
  UNLOCK;
  enter(); MAY_DIE;
  leave();
done:
dead: skip
}

init {
  byte i;
  atomic {
    for (i : 1 .. CREATORS) { run creator() }
    for (i : 1 .. OPENERS) { run opener() }
  };
  /* when all are gone: what has a name is complete, and somebody was killed */
  (_nr_pr == 1);
  assert(name == NONE || (complete[name] && kills < KILLS));
  assert(in_use == 0)
}
