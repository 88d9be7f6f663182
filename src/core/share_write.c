/*
** The writer's side: a lane of one's own, and how a command gets into it.
**
** A command happens with the store of `pub`: killed before, it never was;
** killed after, it will be applied. A lane's words are consistent whenever
** its owner dies, so the next owner goes on where it ended.
*/
#include <stdlib.h>
#include <string.h>

#include "family.h"
#include "os.h"
#include "share.h"

/* ---- claims ---- */

/* Claims of threads that a fork left behind are not this process's. */
static void forget_claims (sk_share *s) {
  if (s->generation == sk_generation()) return;
  memset(s->claimed, 0, s->max_lanes);
  s->generation = sk_generation();
}

static void raise_top (sk_share *s, uint32_t least) {
  uint32_t top = atomic_load(&s->words->lane_top);
  while (top < least &&
         !atomic_compare_exchange_weak(&s->words->lane_top, &top, least)) {}
}

static int prepare (sk_share *s, uint32_t lane) {
  struct lane_words *w = &s->lanes[lane];
  int rc;
  if (!atomic_load(&w->ready)) {
    rc = sk_segment_back(s->segment, s->ring_off + lane * s->lane_bytes,
                         s->lane_bytes);
    if (rc) return rc;
    atomic_store(&w->ready, 1);
  }
  SK_FAULT(FAULT_CLAIM_READY);
  raise_top(s, lane + 1);
  return 0;
}

static int claim_one (sk_port *p, uint32_t lane) {
  sk_share *s = p->share;
  int rc = os_lock(s->segment->fd, LOCK_LANES + lane);
  if (rc) return rc;
  SK_FAULT(FAULT_CLAIM_LOCKED);
  if ((rc = prepare(s, lane))) {
    os_unlock(s->segment->fd, LOCK_LANES + lane);
    return rc;
  }
  s->claimed[lane] = 1;
  p->lane = lane;
  p->words = &s->lanes[lane];
  p->state = &s->store->lanes[lane];
  p->ring = s->base + s->ring_off + lane * s->lane_bytes;
  p->head = atomic_load(&p->words->pub);
  os_random(&p->nonce, sizeof p->nonce);
  atomic_store(&p->words->nonce, p->nonce);
  memset(p->reply_end, 0, sizeof p->reply_end);
  p->held = 0;
  p->generation = s->generation;
  return 0;
}

int share_port_claim (sk_port *p) {
  sk_share *s = p->share;
  int rc = SKE_MANY;
  uint32_t i;
  if (p->generation == sk_generation()) return 0;
  sk_family_lock();
  forget_claims(s);
  for (i = 0; i < s->max_lanes; i++) {
    if (s->claimed[i]) continue;
    rc = claim_one(p, i);
    if (rc != SKE_BUSY) break;
    rc = SKE_MANY;
  }
  sk_family_unlock();
  if (rc) return rc;
  share_be_present(s);
  share_revive(s);
  return 0;
}

int sk_port_open (sk_share *s, sk_port **out) {
  sk_port *p = calloc(1, sizeof *p);
  if (!p) return SKE_NOMEM;
  p->share = s;
  p->wants = calloc(s->max_lanes, sizeof *p->wants);
  if (!p->wants) {
    free(p);
    return SKE_NOMEM;
  }
  *out = p;
  return 0;
}

void sk_port_close (sk_port *p) {
  if (!p) return;
  if (p->generation == sk_generation()) {
    sk_share *s = p->share;
    sk_family_lock();
    s->claimed[p->lane] = 0;
    os_unlock(s->segment->fd, LOCK_LANES + p->lane);
    sk_family_unlock();
  }
  free(p->wants);
  free(p->buffer);
  free(p);
}

/* ---- the ring ---- */

static void ring_put (const sk_port *p, uint64_t pos, const void *from,
                      size_t n) {
  uint64_t size = p->share->lane_bytes, at = pos % size;
  size_t first = n < size - at ? n : (size_t)(size - at);
  if (!n) return;
  memcpy(p->ring + at, from, first);
  memcpy(p->ring, (const uint8_t *)from + first, n - first);
}

void share_ring_get (const sk_share *s, const uint8_t *ring, uint64_t pos,
                     void *to, size_t n) {
  uint64_t size = s->lane_bytes, at = pos % size;
  size_t first = n < size - at ? n : (size_t)(size - at);
  memcpy(to, ring + at, first);
  memcpy((uint8_t *)to + first, ring, n - first);
}

static int has_room (sk_port *p, const void *len) {
  uint64_t applied = atomic_load_explicit(&p->state->applied,
                                          memory_order_acquire);
  return p->head + *(const uint64_t *)len - applied <= p->share->lane_bytes;
}

/* Woken for each command that makes room, a writer would queue one more and
** sleep again: it looks after a nap, when there is room for many. */
static int wait_room (sk_port *p, uint64_t len, int64_t until) {
  struct share_wait w = { has_room, &len, until, 1, 1 };
  if (has_room(p, &len)) return 0;
  return share_wait(p, &w);
}

struct outgoing {
  struct record head;
  const void *a, *b;     /* what follows it */
  size_t a_len, b_len;
  const sk_command *marked;  /* whose marks go with it, or NULL */
};

static int writes (uint32_t kind) {
  return kind != SK_READ && kind != SK_LIST && kind != SK_SYNC;
}

static void mark (sk_port *p, uint64_t hash, enum mark_of of, uint64_t end) {
  atomic_store_explicit(&p->words->marks[share_mark(hash, of)], end,
                        memory_order_release);
}

/* What the command will touch: `end` is where it ends in the lane. */
static void set_marks (sk_port *p, const sk_command *cmd, uint64_t end) {
  const uint8_t *at = cmd->writes;
  size_t left = cmd->writes_len, size;
  uint64_t parent, self = share_hash_path(&cmd->path, &parent);
  sk_item key;
  if (!at && !cmd->inside) {
    mark(p, self, MARK_SELF, end);
    mark(p, parent, MARK_CHILD, end);
    return;
  }
  mark(p, self, MARK_CHILD, end);
  if (!at) mark(p, self, MARK_INSIDE, end);
  for (; at && (size = sk_item_get(at, left, &key)); at += size, left -= size)
    mark(p, share_hash(self, &key), MARK_SELF, end);
}

/* Make it visible. There is room. */
static void publish (sk_port *p, struct outgoing *o) {
  sk_share *s = p->share;
  uint64_t end;
  o->head.len = (uint32_t)((sizeof o->head + o->a_len + o->b_len + 7) & ~7u);
  end = p->head + o->head.len;
  SK_FAULT(FAULT_SEND_BEGUN);
  /* before pub: who sees the command sees its mark */
  if (o->marked) set_marks(p, o->marked, end);
  SK_FAULT(FAULT_SEND_MARKED);
  /* before pub: what was published before this has a lower ticket */
  o->head.ticket = atomic_fetch_add(&s->words->ticket, 1);
  SK_FAULT(FAULT_SEND_TICKET);
  ring_put(p, p->head, &o->head, sizeof o->head);
  ring_put(p, p->head + sizeof o->head, o->a, o->a_len);
  ring_put(p, p->head + sizeof o->head + o->a_len, o->b, o->b_len);
  SK_FAULT(FAULT_SEND_COPIED);
  p->head = end;
  atomic_store(&p->words->pub, end);  /* it happens here */
  SK_FAULT(FAULT_SEND_PUBLISHED);
  if (o->head.kind != PART) atomic_fetch_add(&s->words->published, 1);
  SK_FAULT(FAULT_SEND_COUNTED);
  sk_bell_ring(s->bell, SK_EAGER);
}

/* ---- long commands: parts that the coordinator collects ---- */

static int send_part (sk_port *p, const struct part_head *where,
                      const void *data, size_t n, int64_t until) {
  struct outgoing o = { .a = where, .a_len = sizeof *where, .b = data,
                        .b_len = n };
  int rc = wait_room(p, sizeof o.head + sizeof *where + n + 8, until);
  if (!rc) publish(p, &o);
  return rc;
}

static int send_parts (sk_port *p, const void *data, size_t n,
                       struct part_head *where, int64_t until) {
  size_t most = (size_t)(p->share->lane_bytes / 4), at, part;
  int rc;
  for (at = 0; at < n; at += part) {
    part = n - at < most ? n - at : most;
    rc = send_part(p, where, (const uint8_t *)data + at, part, until);
    if (rc) return rc;
    where->at += part;
  }
  return 0;
}

static int send_long (sk_port *p, struct outgoing *o, int64_t until) {
  struct part_head where = { o->a_len + o->b_len, 0 };
  int rc = send_parts(p, o->a, o->a_len, &where, until);
  if (!rc) rc = send_parts(p, o->b, o->b_len, &where, until);
  if (!rc) rc = wait_room(p, sizeof o->head, until);
  if (rc) return rc;  /* the coordinator drops the parts at the next command */
  o->a_len = o->b_len = 0;
  o->head.flags |= IS_LONG;
  publish(p, o);
  return 0;
}

static int is_long (const sk_port *p, const struct outgoing *o) {
  return o->a_len + o->b_len > p->share->lane_bytes / 4;
}

/* ---- sending ---- */

/* Everything queued could fill what is left: then each write is answered. A
** block takes at most four times the bytes of its record. */
static int may_not_fit (const sk_port *p, const sk_command *cmd) {
  const sk_share *s = p->share;
  uint64_t stored = atomic_load_explicit(&s->words->stored,
                                         memory_order_relaxed);
  uint64_t lanes = atomic_load_explicit(&s->words->lane_top,
                                        memory_order_relaxed);
  uint64_t queued = 4 * lanes * s->lane_bytes;
  if (cmd->kind != SK_SET && cmd->kind != SK_ADD) return 0;
  return stored + queued > s->max_bytes || cmd->len > s->lane_bytes / 4;
}

static int take_reply (sk_port *p, uint32_t *out) {
  uint64_t applied = atomic_load_explicit(&p->state->applied,
                                          memory_order_acquire);
  uint32_t k;
  for (k = 0; k < REPLIES; k++) {
    if (p->held >> k & 1 || applied < p->reply_end[k]) continue;
    *out = k;
    return 0;
  }
  return SKE_BUSY;
}

static struct outgoing prepare_command (const sk_command *cmd) {
  struct outgoing o = { .a = cmd->path.data, .a_len = cmd->path.len,
                        .b = cmd->payload, .b_len = cmd->len,
                        .marked = writes(cmd->kind) ? cmd : NULL };
  o.head.kind = (uint16_t)cmd->kind;
  o.head.path_len = cmd->path.len;
  o.head.depth = (uint16_t)cmd->path.depth;
  o.head.root = (uint16_t)cmd->path.root;
  return o;
}

static int send (sk_port *p, const sk_command *cmd, sk_receipt *r,
                 int64_t until) {
  struct outgoing o = prepare_command(cmd);
  uint32_t k = 0;
  int rc = 0;
  if (r) {
    if ((rc = take_reply(p, &k))) return rc;
    o.head.flags = WANTS_REPLY;
    o.head.reply = (uint8_t)k;
  }
  if (is_long(p, &o)) rc = send_long(p, &o, until);
  else {
    rc = wait_room(p, sizeof o.head + o.a_len + o.b_len + 8, until);
    if (!rc) publish(p, &o);
  }
  if (rc || !r) return rc;
  p->held |= 1ull << k;
  p->reply_end[k] = p->head;
  r->reply = k;
  r->end = p->head;
  return 0;
}

/* Else the process closed our descriptors: the lane has another owner. */
static int is_mine (const sk_port *p) {
  return atomic_load_explicit(&p->words->nonce, memory_order_relaxed) ==
         p->nonce;
}

static int check (sk_port *p, const sk_command *cmd) {
  int rc;
  if (cmd->kind == PART || cmd->kind > KIND_MAX) return SKE_INVAL;
  if (cmd->len > UINT32_MAX / 2 || cmd->path.len > UINT32_MAX / 4)
    return SKE_INVAL;
  if (!share_path_valid(&cmd->path)) return SKE_INVAL;
  if ((rc = share_port_claim(p))) return rc;
  if (!is_mine(p)) {
    p->generation = 0;
    return share_port_claim(p);
  }
  return sk_share_state(p->share) == SK_DEGRADED ? SKE_DOWN : 0;
}

int sk_port_send (sk_port *p, const sk_command *cmd, sk_receipt *r,
                  int64_t timeout_ns) {
  int64_t until = timeout_ns < 0 ? -1 : share_deadline(timeout_ns);
  sk_receipt own;
  sk_answer answer;
  int rc = check(p, cmd);
  if (rc) return rc;
  if (r || !may_not_fit(p, cmd)) return send(p, cmd, r, until);
  rc = send(p, cmd, &own, until);
  if (rc) return rc;
  rc = sk_port_wait(p, &own, timeout_ns, &answer);
  if (!rc) return answer.rc;
  sk_port_forget(p, &own);  /* stopped or late: it is queued, as others are */
  return 0;
}

int sk_port_try (sk_port *p, const sk_command *cmd) {
  struct outgoing o = prepare_command(cmd);
  uint64_t len = sizeof o.head + o.a_len + o.b_len + 8;
  if (p->generation != sk_generation()) return SKE_BUSY;
  if (cmd->len > p->share->lane_bytes || is_long(p, &o)) return SKE_BUSY;
  if (may_not_fit(p, cmd) || !has_room(p, &len)) return SKE_BUSY;
  if (!is_mine(p) || check(p, cmd)) return SKE_BUSY;  /* let `send` say why */
  publish(p, &o);
  return 0;
}
