/*
** The coordinator: takes commands from all lanes in the order of their
** tickets, has them applied, and sleeps when there is nothing to do.
*/
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "share_coordinator.h"

#define TICK_NS 1000000000ll   /* a writer may have died before it rang */
#define LEAST_SPIN_NS 2000
#define MOST_SPIN_NS 50000
#define COMMITS_PER_WAKE 16
#define LONG_CALL_NS 20000

/* ---- life ---- */

static int resume (sk_coordinator *c) {
  sk_share *s = c->s;
  uint64_t stored;
  uint32_t i;
  int rc = share_redo(s);
  if (rc < 0) return rc;
  c->cursor = calloc(s->max_lanes, sizeof *c->cursor);
  c->busy = calloc(s->max_lanes, sizeof *c->busy);
  c->scouts = calloc(s->max_lanes, sizeof *c->scouts);
  if (!c->cursor || !c->busy || !c->scouts) return SKE_NOMEM;
  if ((rc = heap_open(&c->heap, s))) return rc;
  if ((rc = share_recover(&c->heap, &stored))) return rc;
  atomic_store(&s->words->stored, stored);
  for (i = 0; i < s->max_lanes; i++)
    c->cursor[i] = atomic_load(&s->store->lanes[i].applied);
  SK_FAULT(FAULT_RECOVERED);
  return 0;
}

/* The store is written here and nowhere else. */
static int unlock_memory (sk_share *s) {
  int rc = os_memory_protect(s->store, share_store_bytes(s), 1);
  if (!rc)
    rc = os_memory_protect(s->base + s->heap_off, (size_t)s->heap_max, 1);
  return rc;
}

int share_coordinator_open (sk_share *s, int wait, sk_coordinator **out) {
  sk_coordinator *c = calloc(1, sizeof *c);
  int fd = s->segment->fd, rc;
  if (!c) return SKE_NOMEM;
  c->s = c->change.s = s;
  c->change.heap = &c->heap;
  c->spin_ns = s->cpus > 1 ? MOST_SPIN_NS : 0;
  /* a process cannot lock itself out */
  rc = atomic_exchange(&s->serving, 1) ? SKE_BUSY : 0;
  if (!rc) {
    rc = wait ? os_lock_wait(fd, LOCK_COORDINATOR)
              : os_lock(fd, LOCK_COORDINATOR);
    if (rc) atomic_store(&s->serving, 0);
  }
  if (rc) {
    free(c);
    return rc;
  }
  rc = unlock_memory(s);
  if (!rc) rc = resume(c);
  if (rc) sk_coordinator_close(c);
  else *out = c;
  return rc;
}

int sk_coordinator_open (sk_share *s, sk_coordinator **out) {
  uint32_t state = SK_STOPPED;
  int rc = share_coordinator_open(s, 0, out);
  if (!rc)
    atomic_compare_exchange_strong(&s->words->state, &state, SK_RUNNING);
  return rc;
}

void sk_coordinator_close (sk_coordinator *c) {
  if (!c) return;
  share_change_free(&c->change);
  heap_close(&c->heap);
  free(c->record.data);
  free(c->cursor);
  free(c->busy);
  free(c->scouts);
  os_unlock(c->s->segment->fd, LOCK_COORDINATOR);
  atomic_store(&c->s->serving, 0);
  free(c);
}

/* ---- batches ---- */

/* Look at the next command of a lane. What makes no sense takes the rest of
** the lane with it: nobody knows where a command begins in there. */
static void peek (sk_coordinator *c, struct busy_lane *b) {
  sk_share *s = c->s;
  uint64_t at = c->cursor[b->lane], left = b->end - at;
  struct record *r = &b->head;
  memset(r, 0, sizeof *r);
  b->broken = left > s->lane_bytes || left < sizeof *r;
  if (b->broken) return;
  share_ring_get(s, s->base + s->ring_off + b->lane * s->lane_bytes, at, r,
                 sizeof *r);
  b->broken = r->len < sizeof *r || r->len % 8 || r->len > left ||
              r->reply >= REPLIES;
  if (b->broken) r->ticket = 0;
}

static uint32_t find_busy (sk_coordinator *c, uint32_t top) {
  uint32_t n = 0, i;
  for (i = 0; i < top; i++) {
    uint64_t pub = atomic_load(&c->s->lanes[i].pub);
    SK_FAULT(FAULT_BATCH_LANE);
    if (pub == c->cursor[i]) continue;
    c->busy[n].lane = i;
    c->busy[n].end = pub;
    peek(c, &c->busy[n++]);
  }
  return n;
}

static uint32_t lowest (const sk_coordinator *c, uint32_t n) {
  uint32_t best = 0, i;
  for (i = 1; i < n; i++)
    if (c->busy[i].head.ticket < c->busy[best].head.ticket) best = i;
  return best;
}

/* Whoever waits for a call that took its time waits no longer. */
static int was_long (const sk_coordinator *c, const struct busy_lane *b) {
  return b->head.kind >= SK_CALL &&
         os_now_ns() - atomic_load(&c->s->words->inflight.since_ns) >
         LONG_CALL_NS;
}

int sk_coordinator_batch (sk_coordinator *c) {
  struct share_words *w = c->s->words;
  /* in this order: what was acknowledged before `published` was read has a
  ** ticket below the limit, and what has one is seen in its lane */
  uint64_t published = atomic_load(&w->published);
  uint64_t limit = atomic_load(&w->ticket);
  uint32_t top = atomic_load(&w->lane_top), n;
  int done = 0, rc;
  SK_FAULT(FAULT_BATCH_BEGUN);
  n = find_busy(c, top < c->s->max_lanes ? top : c->s->max_lanes);
  while (n > 0) {
    uint32_t k = lowest(c, n);
    struct busy_lane *b = &c->busy[k];
    if (b->head.ticket >= limit) {  /* so have all others */
      if (b->head.ticket < atomic_load(&w->ticket)) break;
      b->broken = 1;  /* nobody drew that one */
    }
    if ((rc = share_apply(c, b))) return rc;
    SK_FAULT(FAULT_BATCH_APPLIED);
    if (++done % COMMITS_PER_WAKE == 0 || was_long(c, b))
      share_wake(c->s);
    if (c->cursor[b->lane] != b->end) {
      peek(c, b);
      share_scout(c, b);
    }
    else *b = c->busy[--n];
  }
  if (atomic_load(&w->consumed) != published)
    atomic_store(&w->consumed, published);
  SK_FAULT(FAULT_BATCH_CONSUMED);
  if (done) share_wake(c->s);
  return done;
}

/* ---- serving ---- */

static int has_work (sk_coordinator *c) {
  struct share_words *w = c->s->words;
  uint32_t top = atomic_load(&w->lane_top), i;
  if (atomic_load(&w->published) != atomic_load(&w->consumed)) return 1;
  if (atomic_load(&w->state) != SK_RUNNING) return 1;
  for (i = 0; i < top && i < c->s->max_lanes; i++)
    if (atomic_load(&c->s->lanes[i].pub) != c->cursor[i]) return 1;
  return 0;
}

/* Look for work for a while; longer when that paid the last time. */
static int spin (sk_coordinator *c) {
  struct share_words *w = c->s->words;
  int64_t until;
  int i;
  if (!c->spin_ns) return 0;
  until = os_now_ns() + c->spin_ns;
  do {
    for (i = 0; i < 32; i++) {
      if (atomic_load_explicit(&w->published, memory_order_relaxed) !=
          atomic_load_explicit(&w->consumed, memory_order_relaxed)) {
        c->spin_ns = MOST_SPIN_NS;
        return 1;
      }
      share_pause();
    }
  } while (os_now_ns() < until);
  if (c->spin_ns > LEAST_SPIN_NS) c->spin_ns /= 2;
  return 0;
}

/* Sleep until there may be work; 0 when nothing came for a whole tick. */
static int sleep_on (sk_coordinator *c) {
  uint32_t seen = sk_bell_listen(c->s->bell, SK_EAGER);
  int woken = 1;
  if (!has_work(c))
    woken = sk_bell_sleep(c->s->bell, seen, TICK_NS) != SKE_TIMEOUT;
  sk_bell_awake(c->s->bell);
  return woken;
}

int sk_coordinator_run (sk_coordinator *c) {
  _Atomic uint32_t *state = &c->s->words->state;
  int quiet = 0;
  for (;;) {
    uint32_t before = atomic_load(state);
    int n = sk_coordinator_batch(c);
    if (n < 0) return n;
    /* a batch begun after the stop holds all that came before it */
    if (before == SK_STOPPING &&
        atomic_compare_exchange_strong(state, &before, SK_STOPPED))
      share_wake(c->s);
    if (before == SK_STOPPED || before == SK_DEGRADED) return 0;
    if (n || spin(c) || sleep_on(c)) quiet = 0;
    else if (!share_is_alone(c->s)) quiet = 0;
    else if (++quiet >= 2 && share_name_end(c->s)) return 0;
  }
}
