/*
** Pipes: two ends, each owned by one process at a time.
**
** An end's `word` is its epoch and flags. Who takes the end locks the byte of
** the next epoch and then moves the word on by compare-and-swap: whoever reads
** an epoch finds out by the lock whether its owner lives, and an owner finds
** out by the epoch that it is not one any more. Around each use of the lanes
** the owner sets BUSY, which nobody takes the end from but from a dead owner.
**
** A message that is longer than a piece goes in parts. FIRST drops whatever
** parts came before, and without a FIRST the rest of a message is dropped: so
** one that a process did not send or receive whole is never put together.
*/
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bell.h"
#include "family.h"
#include "os.h"

#define MAGIC "SKPIPE01"
#define KEEP_BYTES ((size_t)64 << 10)  /* of a buffer for messages */
#define SLICE_NS 50000000   /* how often a waiting end looks for the other */
#define LOOK_NS 20000       /* a sender looks no more often than that */
#define SPIN_NS 50000
#define MOST_CREDIT 4
#define REST 64
#define TAKE_NS 1000000000  /* that an owner may be in the midst of a use */
#define NAP_NS 100000

enum { BUSY = 1, PENDING = 2, SHIFT = 2 };  /* of a word */
enum { FIRST = 1, LAST = 2 };               /* kinds of records */

struct end_words {
  _Alignas(SK_LINE) _Atomic uint64_t word;   /* the owner; who takes it */
  _Alignas(SK_LINE) _Atomic uint32_t closed; /* the owner */
  _Atomic int32_t heir;       /* the owner, before PENDING: a process */
  _Atomic uint32_t listens;   /* the owner's event loop; 0: who rings it */
  _Atomic uint64_t promise;   /* the owner: its epoch and the process that is
                              ** to receive the end; 0: none known */
};

/* The first thing in the segment. */
struct pipe_words {
  char magic[8];              /* the creator, once, as all of these */
  uint64_t lanes[2];          /* what that side sends; 0: nothing */
  uint64_t bells[2];          /* on which that side sleeps */
  struct end_words ends[2];
};

/* What this process reads on one side. */
struct inbox {
  uint8_t *data;
  size_t len, room;
  int is_open;  /* a FIRST was seen */
};

struct sk_pipe {
  sk_segment *segment;
  struct pipe_words *words;
  sk_lane *lanes[2];
  sk_bell *bells[2];
  struct inbox in[2];
  uint64_t generation;
  uint64_t mine[2];       /* epoch in which the end was taken here, or 0 */
  uint64_t inherited;     /* epoch of the point when it was the parent's */
  int is_welcome;         /* the point was received: take it when it is used */
  int travels;            /* it may be on its way as bytes */
  int is_locked;          /* the point is not to be handed on */
  int has_promised;       /* the point: this process told it to another one */
  uint32_t users[2];
  int64_t looked_ns;      /* when a sender looked whether the other lives */
  int credit, rest;       /* see spin_time */
  sk_pipe *next;          /* all pipes of this process */
};

static sk_pipe *all;

/* ---- ownership ---- */

static uint64_t epoch_of (uint64_t word) {
  return word >> SHIFT;
}

static uint64_t lock_of (enum sk_side side, uint64_t epoch) {
  return 16 + (epoch & 0xffffff) * 2 + (uint64_t)side;
}

static enum sk_side other (enum sk_side side) {
  return side == SK_ANCHOR ? SK_POINT : SK_ANCHOR;
}

/* In a child that was just forked nothing is its own yet. */
static void renew (sk_pipe *p) {
  uint64_t now = sk_generation();
  if (p->generation == now) return;
  p->generation = now;
  if (p->mine[SK_POINT])
    p->inherited = p->is_locked ? 0 : p->mine[SK_POINT];
  p->mine[SK_ANCHOR] = p->mine[SK_POINT] = 0;
  p->travels = p->is_locked = p->has_promised = 0;
  p->in[0].is_open = p->in[1].is_open = 0;
}

static int is_closed (const sk_pipe *p, enum sk_side side) {
  return atomic_load_explicit(&p->words->ends[side].closed,
                              memory_order_acquire) != 0;
}

static int has_ended (pid_t pid) {
  int fd, ended;
  if (pid <= 0 || os_watch(pid, &fd)) return 1;
  ended = os_poll(&fd, 1, 0) == 0;
  close(fd);
  return ended;
}

/* Has this end an owner that is dead? */
static int is_dead (sk_pipe *p, enum sk_side side) {
  struct end_words *e = &p->words->ends[side];
  uint64_t word = atomic_load(&e->word);
  if (p->mine[side] == epoch_of(word)) return 0;
  if (word & PENDING) {
    if (!has_ended(atomic_load(&e->heir))) return 0;
  } else if (os_lock_holder(p->segment->fd, lock_of(side, epoch_of(word)), 1)) {
    return 0;
  }
  /* else it was taken just now */
  return epoch_of(atomic_load(&e->word)) == epoch_of(word);
}

static uint64_t promise_of (uint64_t epoch, pid_t pid) {
  return epoch << 32 | (uint32_t)pid;
}

/* Was it told to a process that has ended before it took it? Its owner, who
** may live, has not used it since. */
static int is_lost (sk_pipe *p, enum sk_side side) {
  struct end_words *e = &p->words->ends[side];
  uint64_t word = atomic_load(&e->word), promise = atomic_load(&e->promise);
  pid_t pid = (pid_t)(uint32_t)promise;
  if (!promise || (word & (BUSY | PENDING)) ||
      promise != promise_of(epoch_of(word), pid) || !has_ended(pid))
    return 0;
  return atomic_load(&e->word) == word && atomic_load(&e->promise) == promise;
}

/* Its owner uses the point after all, or tells it to somebody else. */
static void break_promise (sk_pipe *p) {
  p->has_promised = 0;
  atomic_store(&p->words->ends[SK_POINT].promise, 0);
}

/* Tell the event loop of this end, after its bell was rung: the fence of that
** pairs with sk_pipe_listen. */
static void tell_loop (sk_pipe *p, enum sk_side side) {
  struct end_words *e = &p->words->ends[side];
  if (atomic_load_explicit(&e->listens, memory_order_relaxed) &&
      atomic_exchange(&e->listens, 0))
    os_event_ring(sk_root_event());
}

/* Wake whoever waits at this end. */
static void wake (sk_pipe *p, enum sk_side side) {
  sk_bell_ring(p->bells[side], SK_EAGER);
  tell_loop(p, side);
}

static void took (sk_pipe *p, enum sk_side side, uint64_t epoch) {
  if (p->mine[side]) os_unlock(p->segment->fd, lock_of(side, p->mine[side]));
  p->mine[side] = epoch;
  if (p->lanes[SK_ANCHOR]) sk_lane_adopt(p->lanes[SK_ANCHOR]);
  if (p->lanes[SK_POINT]) sk_lane_adopt(p->lanes[SK_POINT]);
  p->in[side].is_open = 0;
  p->is_welcome = p->travels = 0;
  wake(p, SK_ANCHOR);
  wake(p, SK_POINT);
}

/* One try: 0 or SKE_BUSY. */
static int try_take (sk_pipe *p, enum sk_side side) {
  _Atomic uint64_t *at = &p->words->ends[side].word;
  uint64_t word = atomic_load(at), next = epoch_of(word) + 1;
  int rc;
  if ((word & BUSY) && !is_dead(p, side)) return SKE_BUSY;
  if ((rc = os_lock(p->segment->fd, lock_of(side, next)))) return rc;
  if (!atomic_compare_exchange_strong(at, &word, next << SHIFT)) {
    os_unlock(p->segment->fd, lock_of(side, next));
    return SKE_BUSY;
  }
  took(p, side, next);
  return 0;
}

static int take (sk_pipe *p, enum sk_side side) {
  int64_t until = os_now_ns() + TAKE_NS;
  int rc;
  while ((rc = try_take(p, side)) == SKE_BUSY && os_now_ns() < until)
    sk_sleep_ns(NAP_NS);
  return rc;
}

static int may_take (sk_pipe *p, uint64_t word) {
  pid_t heir = atomic_load(&p->words->ends[SK_POINT].heir);
  if (p->is_welcome || p->inherited == epoch_of(word)) return 1;
  /* the heir may be a monitor, whose child uses it */
  if ((word & PENDING) && (heir == getpid() || heir == getppid())) return 1;
  return is_dead(p, SK_POINT);
}

int sk_pipe_own (sk_pipe *p, enum sk_side side) {
  uint64_t word = atomic_load(&p->words->ends[side].word);
  renew(p);
  if (p->mine[side] && p->mine[side] != epoch_of(word) && !p->is_welcome)
    return SKE_FOREIGN;
  if (p->mine[side] != epoch_of(word)) {
    int rc;
    if (side == SK_ANCHOR || !may_take(p, word)) return SKE_FOREIGN;
    if (is_closed(p, side)) return SKE_CLOSED;
    if ((rc = take(p, side))) return rc;
  }
  return is_closed(p, side) ? SKE_CLOSED : 0;
}

int sk_pipe_receive (sk_pipe *p) {
  renew(p);
  if (is_closed(p, SK_POINT)) return 0;  /* its use says so */
  return take(p, SK_POINT);
}

void sk_pipe_welcome (sk_pipe *p) {
  renew(p);
  p->is_welcome = 1;
}

void sk_pipe_lock (sk_pipe *p, int on) {
  p->is_locked = on;
}

int sk_pipe_is_locked (const sk_pipe *p) {
  return p->is_locked && p->generation == sk_generation();
}

int sk_pipe_travel (sk_pipe *p) {
  int rc = sk_pipe_own(p, SK_POINT);
  if (sk_pipe_is_locked(p)) return SKE_BUSY;
  if (rc == SKE_FOREIGN && is_dead(p, SK_POINT)) rc = 0;
  if (!rc) p->travels = 1;
  if (p->has_promised) break_promise(p);
  return rc == SKE_CLOSED ? 0 : rc;
}

void sk_pipe_promise (sk_pipe *p, pid_t to) {
  struct end_words *e = &p->words->ends[SK_POINT];
  renew(p);
  if (!p->mine[SK_POINT]) return;
  p->has_promised = 1;
  /* when it was taken meanwhile that is another epoch, and says nothing */
  atomic_store(&e->promise, promise_of(p->mine[SK_POINT], to));
}

void sk_pipe_hand (sk_pipe *p, pid_t heir) {
  struct end_words *e = &p->words->ends[SK_POINT];
  uint64_t word;
  renew(p);
  if (!p->mine[SK_POINT] || p->is_locked) return;
  word = p->mine[SK_POINT] << SHIFT;
  atomic_store(&e->heir, (int32_t)heir);
  atomic_compare_exchange_strong(&e->word, &word,
    (p->mine[SK_POINT] + 1) << SHIFT | PENDING);
}

/* ---- life ---- */

static void destroy (sk_pipe *p) {
  sk_pipe **at;
  sk_family_lock();
  for (at = &all; *at && *at != p; at = &(*at)->next) {}
  if (*at) *at = p->next;
  sk_family_unlock();
  sk_lane_free(p->lanes[SK_ANCHOR]);
  sk_lane_free(p->lanes[SK_POINT]);
  free(p->in[SK_ANCHOR].data);
  free(p->in[SK_POINT].data);
  sk_segment_close(p->segment);
  free(p);
}

/* Nobody here uses it any more, and no point of it is under way: who gets that
** reads what was sent, also when the anchor is closed by then. */
static int is_left (sk_pipe *p) {
  struct end_words *e = &p->words->ends[SK_POINT];
  if (p->users[SK_ANCHOR] || p->users[SK_POINT]) return 0;
  return !p->travels || p->mine[SK_POINT] != epoch_of(atomic_load(&e->word)) ||
         is_closed(p, SK_POINT) || is_lost(p, SK_POINT);
}

/* Forget those that travelled and have arrived. */
static void sweep (void) {
  sk_pipe *p = all, *next;
  for (; p; p = next) {
    next = p->next;
    if (is_left(p)) destroy(p);
  }
}

static void enlist (sk_pipe *p) {
  sk_family_lock();
  p->next = all;
  all = p;
  sk_family_unlock();
}

static void close_end (sk_pipe *p, enum sk_side side) {
  atomic_store(&p->words->ends[side].closed, 1);
  wake(p, SK_ANCHOR);
  wake(p, SK_POINT);
}

static int is_mine (sk_pipe *p, enum sk_side side) {
  uint64_t word = atomic_load(&p->words->ends[side].word);
  renew(p);
  return p->mine[side] == epoch_of(word);
}

void sk_pipe_free (sk_pipe *p, enum sk_side side) {
  if (!p) return;
  if (--p->users[side] == 0 && is_mine(p, side) &&
      !(side == SK_POINT && p->travels))
    close_end(p, side);
  if (is_left(p)) destroy(p);
}

void sk_pipe_close (sk_pipe *p, enum sk_side side) {
  if (!sk_pipe_own(p, side)) close_end(p, side);
}

/* The bells and lanes, as the words say. */
static int open_parts (sk_pipe *p) {
  int i, rc = 0;
  for (i = 0; i < 2; i++) {
    uint64_t off = p->words->bells[i];
    p->bells[i] = sk_segment_at(p->segment, off, sizeof *p->bells[i]);
    if (!p->bells[i] || off % SK_LINE) return SKE_CORRUPT;
  }
  for (i = 0; i < 2 && !rc; i++) {
    if (!p->words->lanes[i]) continue;
    rc = sk_lane_attach(p->segment, p->words->lanes[i], p->bells[!i],
                        p->bells[i], &p->lanes[i]);
  }
  return rc;
}

static int make_parts (sk_pipe *p, int one_way, size_t bytes) {
  sk_segment *s = p->segment;
  uint64_t off;
  int rc = sk_segment_alloc(s, sizeof *p->words, SK_LINE, &off), i;
  if (rc) return rc;
  p->words = sk_segment_at(s, off, sizeof *p->words);
  for (i = 0; i < 2; i++) {
    if ((rc = sk_bell_create(s, 0, &p->bells[i]))) return rc;
    p->words->bells[i] = (uint64_t)((uint8_t *)p->bells[i] - s->base);
  }
  for (i = 0; i < (one_way ? 1 : 2); i++) {
    rc = sk_lane_create(s, bytes, p->bells[!i], p->bells[i], &p->lanes[i]);
    if (rc) return rc;
    p->words->lanes[i] = sk_lane_offset(s, p->lanes[i]);
  }
  for (i = 0; i < 2; i++) {
    if ((rc = os_lock(s->fd, lock_of((enum sk_side)i, 1)))) return rc;
    atomic_store(&p->words->ends[i].word, (uint64_t)1 << SHIFT);
    p->mine[i] = p->users[i] = 1;
  }
  memcpy(p->words->magic, MAGIC, sizeof p->words->magic);
  return 0;
}

int sk_pipe_create (int one_way, size_t bytes, sk_pipe **out) {
  sk_pipe *p;
  sk_segment *root;
  int rc = sk_root(&root);  /* its event is what wakes event loops */
  sweep();
  if (rc) return rc;
  if (!(p = calloc(1, sizeof *p))) return SKE_NOMEM;
  p->generation = sk_generation();
  rc = sk_segment_create("suitkaise-pipe", 2 * bytes + ((size_t)1 << 18),
                         &p->segment);
  if (!rc) rc = make_parts(p, one_way, bytes);
  if (rc) {
    if (p->segment) destroy(p);
    else free(p);
    return rc;
  }
  enlist(p);
  *out = p;
  return 0;
}

static int attach_new (pid_t pid, int fd, uint64_t id, sk_pipe **out) {
  const size_t first = sizeof(struct segment_header);
  sk_pipe *p = calloc(1, sizeof *p);
  int rc;
  if (!p) return SKE_NOMEM;
  p->generation = sk_generation();
  if ((rc = sk_segment_attach(pid, fd, id, &p->segment))) {
    free(p);
    return rc;
  }
  p->words = sk_segment_at(p->segment, first, sizeof *p->words);
  if (!p->words || memcmp(p->words->magic, MAGIC, sizeof p->words->magic))
    rc = SKE_CORRUPT;
  if (!rc) rc = open_parts(p);
  if (rc) destroy(p);
  else *out = p;
  return rc;
}

int sk_pipe_attach (pid_t pid, int fd, uint64_t id, enum sk_side side,
                    sk_pipe **out) {
  sk_pipe *p = all;
  int rc = 0;
  while (p && sk_segment_id(p->segment) != id) p = p->next;
  if (!p && !(rc = attach_new(pid, fd, id, &p))) enlist(p);
  if (rc) return rc;
  p->users[side]++;
  *out = p;
  return 0;
}

int sk_pipe_where (sk_pipe *p, pid_t *pid, int *fd, uint64_t *id) {
  return sk_segment_where(p->segment, pid, fd, id);
}

/* ---- messages ---- */

/* Begin a use of the lanes, if the end is the caller's. */
static int enter (sk_pipe *p, enum sk_side side) {
  _Atomic uint64_t *at = &p->words->ends[side].word;
  uint64_t word = p->mine[side] << SHIFT;
  int rc;
  if (p->has_promised && side == SK_POINT && p->generation == sk_generation())
    break_promise(p);
  if (p->generation == sk_generation() && p->mine[side] &&
      !is_closed(p, side) &&
      atomic_compare_exchange_strong(at, &word, word | BUSY))
    return 0;
  if ((rc = sk_pipe_own(p, side))) return rc;
  word = p->mine[side] << SHIFT;
  return atomic_compare_exchange_strong(at, &word, word | BUSY) ? 0
                                                                : SKE_FOREIGN;
}

static void leave (sk_pipe *p, enum sk_side side) {
  atomic_store_explicit(&p->words->ends[side].word, p->mine[side] << SHIFT,
                        memory_order_release);
}

/* How many bytes the next record of a message holds. */
static size_t piece_of (const sk_lane *l, size_t left, int is_first) {
  size_t limit = sk_lane_limit(l);
  if (is_first && left <= limit / 2) return left;
  return left < limit / 4 ? left : limit / 4;
}

/* -> how many bytes of it were sent, 0 when there is no room */
static size_t put_piece (sk_lane *l, const uint8_t *bytes, size_t len,
                         int is_first) {
  size_t n = piece_of(l, len, is_first), room;
  void *mem = sk_lane_reserve(l, n, &room);
  if (!mem) return 0;
  memcpy(mem, bytes, n);
  sk_lane_publish(l, (is_first ? FIRST : 0) | (n == len ? LAST : 0), n);
  return n;
}

/* Is it known that nobody will read it? A look at the lock is a system call, so
** that quick senders take the last one's word for it. */
static int is_gone (sk_pipe *p, enum sk_side side) {
  int64_t now;
  if (is_closed(p, side)) return 1;
  now = os_now_ns();
  if (now - p->looked_ns < LOOK_NS) return 0;
  p->looked_ns = now;
  if (!is_dead(p, side) && !is_lost(p, side)) return 0;
  p->looked_ns = 0;
  return 1;
}

int sk_pipe_put (sk_pipe *p, enum sk_side side, const void *bytes, size_t len,
                 size_t *sent) {
  sk_lane *l = p->lanes[side];
  int rc = l && len ? enter(p, side) : SKE_INVAL;
  if (rc) return rc;
  if (is_gone(p, other(side))) rc = SKE_CLOSED;
  while (!rc && *sent < len) {
    size_t n = put_piece(l, (const uint8_t *)bytes + *sent, len - *sent,
                         *sent == 0);
    if (!n) rc = SKE_FULL;
    *sent += n;
  }
  leave(p, side);
  wake(p, other(side));
  return rc;
}

static int add (struct inbox *in, const sk_message *m) {
  if (m->len > in->room - in->len) {
    size_t room = 2 * in->room + m->len;
    uint8_t *data = realloc(in->data, room);
    if (!data) return SKE_NOMEM;
    in->data = data;
    in->room = room;
  }
  memcpy(in->data + in->len, m->data, m->len);
  in->len += m->len;
  return 0;
}

/* One record into the inbox: 1 when a message is whole, 0, or an error. */
static int accept (struct inbox *in, const sk_message *m) {
  int rc;
  if (m->kind & FIRST) {
    in->len = 0;
    in->is_open = 1;
  }
  if (!in->is_open) return 0;
  rc = add(in, m);
  if (rc || (m->kind & LAST)) in->is_open = 0;
  return rc ? rc : (m->kind & LAST) != 0;
}

int sk_pipe_next (sk_pipe *p, enum sk_side side, void **data, size_t *len) {
  sk_lane *l = p->lanes[other(side)];
  struct inbox *in = &p->in[side];
  sk_message m;
  int rc = l ? enter(p, side) : SKE_INVAL, got = 0;
  if (rc) return rc;
  while (!got && (rc = sk_lane_next(l, &m)) > 0) {
    got = accept(in, &m);
    sk_lane_release(l);  /* rings */
    tell_loop(p, other(side));
  }
  leave(p, side);
  if (got <= 0) return got ? got : rc;
  *data = in->data;
  *len = in->len;
  return 1;
}

void sk_pipe_done (sk_pipe *p, enum sk_side side) {
  struct inbox *in = &p->in[side];
  in->len = 0;
  if (in->room <= KEEP_BYTES) return;
  free(in->data);
  in->data = NULL;
  in->room = 0;
}

/* ---- waiting ---- */

static int has_room (sk_lane *l, size_t need) {
  size_t room;
  return sk_lane_reserve(l, piece_of(l, need, 1), &room) != NULL;
}

/* Is there what the end waits for, whatever the other one does? */
static int is_ready (sk_pipe *p, enum sk_side side, size_t need) {
  if (need) return has_room(p->lanes[side], need);
  return sk_lane_ready(p->lanes[other(side)]);
}

/* 0, SKE_CLOSED when there is nobody to wait for, SKE_FOREIGN ... */
static int check_ends (sk_pipe *p, enum sk_side side, size_t need) {
  int rc = sk_pipe_own(p, side);
  if (rc) return rc;
  if (!is_closed(p, other(side)) && !is_dead(p, other(side)) &&
      !is_lost(p, other(side)))
    return 0;
  /* what it sent before that comes first */
  return !need && is_ready(p, side, need) ? 0 : SKE_CLOSED;
}

/* How long to look before sleeping: where spinning does not pay it is left for
** a while, because it holds up the very process that is waited for. */
static int64_t spin_time (sk_pipe *p) {
  if (p->rest > 0) {
    p->rest--;
    return 0;
  }
  return sk_cpu_count() > 1 ? SPIN_NS : 0;
}

static void note_spin (sk_pipe *p, int64_t spin, int paid) {
  if (!spin) return;
  if (paid) {
    if (p->credit < MOST_CREDIT) p->credit++;
  } else if (--p->credit < 0) {
    p->credit = 0;
    p->rest = REST;
  }
}

static int sleep_once (sk_pipe *p, enum sk_side side, size_t need,
                       int64_t slice) {
  sk_lane *in = p->lanes[other(side)];
  sk_wait w = { p->bells[side], &in, 1, NULL, 0 };
  if (need)
    return sk_lane_wait_room(p->lanes[side],
                             piece_of(p->lanes[side], need, 1), slice);
  return sk_wait_any(&w, SK_EAGER, 0, slice);
}

static int look (sk_pipe *p, enum sk_side side, int64_t most) {
  sk_lane *in = p->lanes[other(side)];
  sk_wait w = { p->bells[side], &in, 1, NULL, 0 };
  int64_t spin = spin_time(p);
  int found;
  if (spin > most) spin = most;
  found = spin > 0 && !sk_wait_any(&w, SK_EAGER, spin, spin) &&
          sk_lane_ready(in);
  note_spin(p, spin, found);
  return found;
}

int sk_pipe_wait (sk_pipe *p, enum sk_side side, size_t need,
                  int64_t timeout_ns) {
  int64_t begun = os_now_ns(), left = timeout_ns;
  if (!p->lanes[need ? side : other(side)]) return SKE_INVAL;
  if (!need && look(p, side, left)) return 0;
  while (!is_ready(p, side, need)) {
    int64_t slice = left < SLICE_NS ? left : SLICE_NS;
    int rc = check_ends(p, side, need);
    if (rc) return rc;
    if (left <= 0) return SKE_TIMEOUT;
    rc = sleep_once(p, side, need, slice);
    if (rc && rc != SKE_TIMEOUT) return rc;
    left = timeout_ns - (os_now_ns() - begun);
  }
  return need ? check_ends(p, side, need) : 0;
}

int sk_pipe_look (sk_pipe *p, enum sk_side side, size_t need) {
  if (!p->lanes[need ? side : other(side)]) return 1;
  return is_ready(p, side, need) || is_closed(p, other(side));
}

int sk_pipe_listen (sk_pipe *p, enum sk_side side, size_t need) {
  if (!p->lanes[need ? side : other(side)]) return 1;
  atomic_store(&p->words->ends[side].listens, 1);
  /* pairs with wake: either it sees that, or we see its change here */
  atomic_thread_fence(memory_order_seq_cst);
  return is_ready(p, side, need) || check_ends(p, side, need);
}
