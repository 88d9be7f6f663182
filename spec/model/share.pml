/* A share (src/core/share_*): two lanes with K commands each, one entry whose
 * value is three words (so that a torn copy shows), NB blocks that are reused.
 * The value counts the applied commands of each lane. Before any step the
 * coordinator or a writer may be killed, KILLS times in all; a killed writer's
 * lane gets a new owner, or none. spin explores sequentially consistent runs
 * only; the memory orders are argued in the code.
 *
 *   RUN -DK=1 -DKILLS=1
 *   RUN -DK=1 -DKILLS=0 -DREADS=2
 *   RUN -DK=2 -DKILLS=1 -DREADS=0
 *   RUN -DK=2 -DKILLS=0 -DREADS=0 -DORDER
 *   BREAKS -DK=1 -DKILLS=1 -DNO_JOURNAL
 *   BREAKS -DK=1 -DKILLS=0 -DEARLY_PUB
 *   BREAKS -DK=1 -DKILLS=0 -DREADS=0 -DORDER -DNO_LIMIT
 *   BREAKS -DK=2 -DKILLS=0 -DNO_RECHECK
 *   BREAKS -DK=1 -DKILLS=0 -DLATE_READ
 *   BREAKS -DK=1 -DKILLS=0 -DLATE_MARK
 */
#ifndef READS
#define READS 1
#endif
#define NB 2
#define AT(l, s) ((l) * K + (s) - 1)

byte ticket = 1, published, consumed;
byte pub[2], applied[2], mark[2], acked[2];
byte tickets[4];
bool written[4];               /* the record's bytes are there */
byte slot;                     /* block + NB * version */
byte v0[NB], v1[NB], sum[NB];  /* the value in each block */
byte j_state, j_lane, j_pos, j_slot;
byte kills = KILLS;
bool first_acked, ended[2];

/* what a reader of the entry need not wait for */
#define OTHER(l, s) ((l) == 1 && (s) == 2)

#define C(x) if :: x :: atomic { kills > 0 -> kills--; goto restart } fi
#define W(x) if :: x :: atomic { kills > 0 -> kills--; goto died } fi

active proctype coordinator() {
  byte m0, m1, limit, p, l, s, b, end0, end1;
restart: skip;
  d_step { m0 = 0; m1 = 0; limit = 0; p = 0; l = 0; s = 0; b = 0;
           end0 = 0; end1 = 0 };
  if
  :: j_state == 1 -> C(slot = j_slot); C(applied[j_lane] = j_pos);
     C(j_state = 0)
  :: else
  fi;
  d_step { m0 = v0[slot % NB]; m1 = v1[slot % NB] };
  do
  :: /* a batch */
#ifdef LATE_READ
     C(limit = ticket); C(end0 = pub[0]); C(end1 = pub[1]); C(p = published);
#else
     C(p = published); C(limit = ticket); C(end0 = pub[0]); C(end1 = pub[1]);
#endif
#ifdef NO_LIMIT
     limit = 255;
#endif
     do
     :: d_step {
          l = 9;
          if
          :: applied[0] < end0 && tickets[AT(0, applied[0] + 1)] < limit ->
             l = 0
          :: else
          fi;
          if
          :: applied[1] < end1 && tickets[AT(1, applied[1] + 1)] < limit &&
             (l == 9 || tickets[AT(1, applied[1] + 1)] <
                        tickets[AT(0, applied[0] + 1)]) -> l = 1
          :: else
          fi;
          if
          :: l != 9 ->
             s = applied[l] + 1;
             assert(written[AT(l, s)]);             /* I1 */
             assert(s == (l == 0 -> m0 : m1) + 1);  /* I2 */
#ifdef ORDER
             assert(!(l == 1 && s == 1 && m0 == 0 && first_acked)); /* I4 */
#endif
             if :: l == 0 -> m0 = s :: else -> m1 = s fi;
             b = (slot + 1) % NB
          :: else
          fi
        }
        if :: l == 9 -> break :: else fi;
        C(v0[b] = m0); C(v1[b] = m1); C(sum[b] = m0 + m1);
        C(d_step { j_lane = l; j_pos = s;
                   j_slot = (slot / NB + 1) * NB + b });
#ifndef NO_JOURNAL
        C(j_state = 1);
#endif
        C(slot = j_slot); C(applied[l] = s); C(j_state = 0)
     od;
     C(consumed = p);
     if
     :: ended[0] && ended[1] && pub[0] == applied[0] && pub[1] == applied[1]
        -> break
     :: else
     fi;
     atomic {
       (pub[0] != applied[0] || pub[1] != applied[1] ||
        published != consumed || (ended[0] && ended[1]));
       limit = 0; end0 = 0; end1 = 0; p = 0; l = 0; s = 0; b = 0
     }
  od
}

proctype writer(byte l) {
  byte s;
restart:
  do
  :: pub[l] < K ->
     d_step {
       s = pub[l] + 1;
       if
       :: l == 1 && s == 1 && acked[0] >= 1 -> first_acked = 1
       :: else
       fi
     };
#ifndef LATE_MARK
     if :: !OTHER(l, s) -> W(mark[l] = s) :: else fi;
#endif
     W(d_step { tickets[AT(l, s)] = ticket; ticket++ });
#ifdef EARLY_PUB
     W(pub[l] = s);
#endif
     W(written[AT(l, s)] = 1);
     W(pub[l] = s);                  /* it happens here */
     W(published++);
     W(acked[l] = s);
#ifdef LATE_MARK
     if :: !OTHER(l, s) -> W(mark[l] = s) :: else fi;
#endif
  :: else -> break
  od;
  goto end;
died:
  if :: s = 0; goto restart :: skip fi;
end:
  ended[l] = 1
}

active proctype reader() {
  byte n, a0, a1, w0, w1, p, seen, x0, x1, whole, last0;
  do
  :: n < READS ->
     n++;
     d_step { a0 = acked[0]; a1 = acked[1] };
     p = published;
     if
     :: consumed == p  /* nothing is queued */
     :: else ->
        w0 = pub[0]; if :: mark[0] < w0 -> w0 = mark[0] :: else fi;
        w1 = pub[1]; if :: mark[1] < w1 -> w1 = mark[1] :: else fi;
        (applied[0] >= w0); (applied[1] >= w1)
     fi;
again:
     seen = slot;
     x0 = v0[seen % NB]; x1 = v1[seen % NB]; whole = sum[seen % NB];
#ifndef NO_RECHECK
     if :: slot != seen -> goto again :: else fi;
#endif
     assert(x0 + x1 == whole);                  /* I5 */
     assert(x0 >= a0);                       /* I3 */
     assert(x1 >= a1 || OTHER(1, a1));       /* I3 */
     assert(x0 >= last0);                    /* I6 */
     last0 = x0;
     d_step { a0 = 0; a1 = 0; w0 = 0; w1 = 0; p = 0; seen = 0; x0 = 0;
              x1 = 0; whole = 0 }
  :: else -> break
  od
}

init { atomic { run writer(0); run writer(1) } }
