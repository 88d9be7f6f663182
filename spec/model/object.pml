/* An object of a share (src/core/share_*): entries a and b that are one unit,
 * one lane with K commands, the three kinds of marks, readers of one entry, of
 * the object itself and of all of it. `unit` is the object's slot word: it is
 * busy from the store before those of the entries to one after them. A command
 * is one of
 *   WRITE    sets a                          marks SELF a, CHILD o
 *   NAMED    a call that says it writes b    marks SELF b, CHILD o
 *   CALL     a call that writes a and b      marks INSIDE o, CHILD o
 *   REPLACE  sets o: another object          marks SELF o
 * and adds one to what it writes. The coordinator may be killed before any
 * step, KILLS times in all. What was so after the n-th command is noted: a
 * list must be of one such instant, not older than what was acknowledged when
 * it began.
 *
 *   RUN -DK=2 -DKILLS=1
 *   RUN -DK=1 -DKILLS=2 -DREADS=2
 *   RUN -DK=2 -DKILLS=0 -DREADS=2
 *   BREAKS -DK=2 -DKILLS=0 -DUNIT_FIRST
 *   BREAKS -DK=2 -DKILLS=0 -DUNIT_LAST
 *   BREAKS -DK=2 -DKILLS=0 -DNO_UNIT
 *   BREAKS -DK=2 -DKILLS=0 -DNO_BUSY
 *   BREAKS -DK=2 -DKILLS=0 -DNO_RECHECK
 *   BREAKS -DK=2 -DKILLS=1 -DNO_JOURNAL
 *   BREAKS -DK=2 -DKILLS=0 -DNO_CHILD_OF_WRITE
 *   BREAKS -DK=2 -DKILLS=0 -DNO_CHILD_OF_CALL
 *   BREAKS -DK=2 -DKILLS=0 -DNO_INSIDE
 *   BREAKS -DK=2 -DKILLS=0 -DNO_NAMES
 *   BREAKS -DK=2 -DKILLS=0 -DNO_LOOK_INSIDE
 *   BREAKS -DK=1 -DKILLS=0 -DLATE_MARK
 */
#ifndef READS
#define READS 1
#endif

#define WRITE 0
#define NAMED 1
#define CALL 2
#define REPLACE 3

byte kinds[5];                     /* of the commands sent, from 1 */
byte pub, published, applied, consumed, acked;
byte self_o, self_a, self_b, inside, child;  /* marks */
byte a, b, version;                /* what readers see */
bool busy;
byte was_a[5], was_b[5];           /* after n commands */
byte j_state, j_n, j_a, j_b, j_version, j_kind;
byte kills = KILLS;
bool sent;

#define C(x) if :: x :: atomic { kills > 0 -> kills--; goto restart } fi
#define MAX(x, y) ((x) > (y) -> (x) : (y))
#define MIN(x, y) ((x) < (y) -> (x) : (y))

active proctype coordinator() {
  byte p, end;
restart:
  p = 0; end = 0;
  if
  :: j_state == 1 -> goto stores
  :: else
  fi;
  do
  :: applied < end ->
     /* all that it will be, written down first */
     C(d_step {
       j_n = applied + 1;
       j_kind = kinds[j_n];
       j_a = a + (j_kind != NAMED -> 1 : 0);
       j_b = b + (j_kind != WRITE -> 1 : 0);
       j_version = version + 1;
       was_a[j_n] = was_a[j_n - 1] + (j_kind != NAMED -> 1 : 0);
       was_b[j_n] = was_b[j_n - 1] + (j_kind != WRITE -> 1 : 0);
       assert(j_a == was_a[j_n] && j_b == was_b[j_n])
     });
#ifndef NO_JOURNAL
     C(j_state = 1);
#endif
stores:
     if
     :: j_kind == REPLACE ->  /* other entries: one slot leads to them */
        C(d_step { a = j_a; b = j_b; version = j_version; busy = 0 })
     :: else ->
#ifdef UNIT_FIRST
        C(version = j_version);
#else
#ifndef NO_UNIT
#ifndef UNIT_LAST
        C(d_step { version = j_version; busy = 1 });
#endif
#endif
#endif
        C(a = j_a); C(b = j_b);
#ifdef UNIT_LAST
        C(version = j_version);
#else
        C(busy = 0);
#endif
     fi;
     C(applied = j_n);
     C(j_state = 0);
  :: applied >= end ->  /* the end of a batch, and a new one */
     if :: p > consumed -> consumed = p :: else fi;
     if :: sent && applied == pub && consumed == published -> break :: else fi;
     atomic { applied < pub || consumed != published || sent };
     p = published;
     end = pub
  od
}

active proctype writer() {
  byte s, kind;
  do
  :: s < K ->
     s++;
     if
     :: kind = WRITE :: kind = NAMED :: kind = CALL :: kind = REPLACE
     fi;
     kinds[s] = kind;
#ifdef LATE_MARK
     pub = s; published = s; acked = s;
#endif
     if
     :: kind == WRITE ->
        self_a = s;
#ifndef NO_CHILD_OF_WRITE
        child = s
#endif
     :: kind == NAMED ->
#ifndef NO_CHILD_OF_CALL
        child = s;
#endif
#ifndef NO_NAMES
        self_b = s
#endif
     :: kind == CALL ->
#ifndef NO_CHILD_OF_CALL
        child = s;
#endif
#ifndef NO_INSIDE
        inside = s
#endif
     :: kind == REPLACE -> self_o = s
     fi;
     pub = s;                       /* it happens here */
     published = s;
     acked = s
  :: else -> break
  od;
  sent = 1
}

#define WAIT(marks) if \
  :: consumed == published \
  :: else -> w = pub; m = marks; w = MIN(w, m); (applied >= w) \
  fi

active proctype reader() {
  byte n, s, w, m, x, y, v, k;
  bool found;
  do
  :: n < READS ->
     n++;
     s = acked;
     if
     :: true ->  /* the entry a */
#ifdef NO_LOOK_INSIDE
        WAIT(MAX(self_o, self_a));
#else
        WAIT(MAX(MAX(self_o, self_a), inside));
#endif
        x = a;
        assert(x >= was_a[s])
     :: true ->  /* the entry b */
        WAIT(MAX(MAX(self_o, self_b), inside));
        y = b;
        assert(y >= was_b[s])
     :: true ->  /* all of it */
        WAIT(MAX(MAX(self_o, inside), child));
again:
#ifdef NO_BUSY
        v = version;
#else
        atomic { !busy -> v = version };
#endif
        x = a; y = b;
#ifndef NO_RECHECK
        if :: version != v || busy -> goto again :: else fi;
#endif
        d_step {
          k = s; found = 0;
          do
          :: k <= K && !found -> found = (was_a[k] == x && was_b[k] == y); k++
          :: else -> break
          od
        }
        assert(found)
     fi;
     d_step { s = 0; w = 0; m = 0; x = 0; y = 0; v = 0; k = 0; found = 0 }
  :: else -> break
  od
}
