/*
** The reader's side, and answers.
**
** A read waits for what was published before it and touches its path, then
** copies out and looks again at the slot word and at `moves`: unchanged, the
** copy is one committed value. Readers write nothing, so a dead one is
** nothing.
*/
#include <stdlib.h>
#include <string.h>

#include "share_view.h"

enum { RETRIES = 64 };

/* Let the port's buffer hold n bytes, and what pads them to whole words. */
static int make_room (sk_port *p, size_t n) {
  struct bytes b = { p->buffer, 0, p->room };
  int rc = bytes_need(&b, n + 8);
  p->buffer = b.data;
  p->room = b.room;
  return rc;
}

/* ---- what to wait for ---- */

static int is_consumed (const sk_share *s) {
  uint64_t p = atomic_load_explicit(&s->words->published,
                                    memory_order_acquire);
  return atomic_load_explicit(&s->words->consumed,
                              memory_order_acquire) == p;
}

static uint64_t applied (const sk_share *s, uint32_t lane) {
  return atomic_load_explicit(&s->store->lanes[lane].applied,
                              memory_order_acquire);
}

enum { MOST_MARKS = DEPTH + 4 };

/* Which marks a reader of the path looks at: its own, its ancestors', and
** whether a call changed anything in the object that it is in; `how` adds
** what is in it, or each entry of it. */
static uint32_t marks_of (const sk_path *path, int how, uint8_t *marks) {
  uint64_t h = share_hash_root(path->root), parent = h;
  const uint8_t *at = path->data;
  size_t left = path->len;
  uint32_t n = 0, i;
  marks[n++] = share_mark(h, MARK_SELF);
  for (i = 0; i < path->depth; i++) {
    sk_item key;
    size_t size = sk_item_get(at, left, &key);
    parent = h;
    h = share_hash(h, &key);
    marks[n++] = share_mark(h, MARK_SELF);
    at += size;
    left -= size;
  }
  marks[n++] = share_mark(parent, MARK_INSIDE);
  if (how) marks[n++] = share_mark(h, MARK_INSIDE);
  if (how & SK_ENTRIES) marks[n++] = share_mark(h, MARK_CHILD);
  return n;
}

/* What of a lane must be applied first: a mark may be ahead of `pub` when its
** owner is about to publish, or died before it did. */
static uint64_t wanted (const struct lane_words *l, uint64_t pub,
                        const uint8_t *marks, uint32_t n) {
  uint64_t most = 0;
  uint32_t i;
  if (!n) return pub;
  for (i = 0; i < n; i++) {
    uint64_t mark = atomic_load_explicit(&l->marks[marks[i]],
                                         memory_order_acquire);
    if (mark > most) most = mark;
  }
  return most < pub ? most : pub;
}

/* n marks, none: everything. -> whether there is something to wait for */
static int collect (sk_port *p, const uint8_t *marks, uint32_t n) {
  sk_share *s = p->share;
  uint32_t top = atomic_load(&s->words->lane_top), i;
  int pending = 0;
  p->n_wants = top < s->max_lanes ? top : s->max_lanes;
  for (i = 0; i < p->n_wants; i++) {
    uint64_t pub = atomic_load(&s->lanes[i].pub);
    p->wants[i] = 0;
    if (pub <= applied(s, i)) continue;
    p->wants[i] = wanted(&s->lanes[i], pub, marks, n);
    pending |= p->wants[i] > applied(s, i);
  }
  return pending;
}

static int all_applied (sk_port *p, const void *arg) {
  const sk_share *s = p->share;
  uint32_t i;
  (void)arg;
  for (i = 0; i < p->n_wants; i++)
    if (p->wants[i] && applied(s, i) < p->wants[i]) return 0;
  return 1;
}

int sk_port_wants (sk_port *p, const sk_path *path, int how, uint64_t *wants,
                   uint32_t room, uint32_t *n) {
  uint8_t marks[MOST_MARKS];
  uint32_t n_marks = 0;
  int pending;
  if (path && !share_path_valid(path)) return SKE_INVAL;
  share_be_present(p->share);
  *n = 0;
  if (is_consumed(p->share)) return 0;
  if (path) n_marks = marks_of(path, how, marks);
  pending = collect(p, marks, n_marks);
  if (!pending) return 0;
  if (p->n_wants > room) return SKE_INVAL;
  memcpy(wants, p->wants, p->n_wants * sizeof *wants);
  *n = p->n_wants;
  return 0;
}

int sk_port_reached (sk_port *p, const uint64_t *wants, uint32_t n) {
  uint32_t i;
  int rc = share_hopeless(p->share);  /* before: what was last is seen */
  if (n > p->share->max_lanes) return SKE_INVAL;
  for (i = 0; i < n; i++)
    if (wants[i] && applied(p->share, i) < wants[i])
      return rc ? rc : SKE_TIMEOUT;
  return 0;
}

static int barrier (sk_port *p, const uint8_t *marks, uint32_t n,
                    int64_t timeout_ns) {
  struct share_wait w = { all_applied, NULL, 0, 0, 0 };
  if (!collect(p, marks, n)) return 0;
  w.until_ns = share_deadline(timeout_ns);
  return share_wait(p, &w);
}

int sk_port_flush (sk_port *p, int64_t timeout_ns) {
  share_be_present(p->share);
  if (is_consumed(p->share)) return 0;
  return barrier(p, NULL, 0, timeout_ns);
}

static int has_changed (sk_port *p, const void *arg) {
  return (atomic_load(&p->share->words->epoch) & ~1u) !=
         *(const uint32_t *)arg;
}

int sk_port_await (sk_port *p, uint32_t *before, int64_t timeout_ns) {
  struct share_wait w = { has_changed, before, share_deadline(timeout_ns),
                          1, 0 };
  int rc;
  share_be_present(p->share);
  rc = share_wait(p, &w);
  *before = atomic_load(&p->share->words->epoch) & ~1u;
  return rc;
}

/* ---- answers ---- */

static int is_done (sk_port *p, const void *receipt) {
  return applied(p->share, p->lane) >= ((const sk_receipt *)receipt)->end;
}

/* The block stays until this port reuses the reply: no need to look twice. */
static int copy_answer (sk_port *p, uint64_t off, sk_answer *out) {
  struct view v = { p->share, NULL, 0 };
  struct block b = view_block(&v, off);
  int rc;
  if (v.bad) return SKE_CORRUPT;
  if ((rc = make_room(p, b.len))) return rc;
  view_copy(&v, off + sizeof b, p->buffer, b.len);
  if (v.bad) return SKE_CORRUPT;
  out->item.len = b.len;
  out->item.data = p->buffer;
  return 0;
}

int sk_port_wait (sk_port *p, const sk_receipt *r, int64_t timeout_ns,
                  sk_answer *out) {
  struct share_wait w = { is_done, r, 0, 0, 0 };
  const struct reply *reply;
  uint64_t status, value;
  int rc;
  if (p->generation != sk_generation() || r->reply >= REPLIES)
    return SKE_FOREIGN;
  if (!is_done(p, r)) {
    w.until_ns = share_deadline(timeout_ns);
    if ((rc = share_wait(p, &w))) return rc;
  }
  reply = &p->state->replies[r->reply];
  status = atomic_load_explicit(&reply->status, memory_order_acquire);
  value = atomic_load_explicit(&reply->value, memory_order_acquire);
  out->rc = -(int)(status >> 32);
  out->item.kind = (uint32_t)status;
  out->item.len = sizeof value;
  if (out->item.kind >= SK_TABLE) rc = copy_answer(p, slot_off(value), out);
  else {
    if ((rc = make_room(p, sizeof value))) return rc;
    memcpy(p->buffer, &value, sizeof value);
    out->item.data = p->buffer;
    rc = 0;
  }
  sk_port_forget(p, r);
  return rc;
}

void sk_port_forget (sk_port *p, const sk_receipt *r) {
  if (p->generation == sk_generation()) p->held &= ~(1ull << r->reply % 64);
}

/* Readers that never find a quiet moment: the coordinator has one. */
static int ask (sk_port *p, uint32_t kind, const sk_path *path,
                int64_t timeout_ns, sk_answer *out) {
  sk_command cmd = { .kind = kind, .path = *path, .payload = NULL, .len = 0 };
  sk_receipt r;
  int rc = sk_port_send(p, &cmd, &r, timeout_ns);
  if (rc) return rc;
  rc = sk_port_wait(p, &r, timeout_ns, out);
  if (rc) sk_port_forget(p, &r);
  return rc ? rc : out->rc;
}

/* ---- reading ---- */

int sk_share_fresh (const sk_share *s, const sk_seen *seen) {
  /* the slot before `moves`: while that is as it was, the slot is a slot */
  return is_consumed(s) && seen->off &&
         atomic_load_explicit((_Atomic uint64_t *)(s->base + seen->off),
                              memory_order_acquire) == seen->word &&
         atomic_load_explicit(&s->store->moves,
                              memory_order_acquire) == seen->moves;
}

/* Copy the value of a slot; 1 when it was replaced meanwhile. */
static int copy_value (sk_port *p, struct view *v, uint64_t slot,
                       uint64_t word, sk_item *out) {
  uint64_t off = slot_off(word);
  struct block b = view_block(v, off);
  int rc;
  out->kind = b.kind;
  out->len = b.len;
  out->data = p->buffer;
  if (is_table(b.kind))
    out->len = (uint32_t)view_word(v, off + offsetof(struct table, count));
  else {
    atomic_thread_fence(memory_order_acquire);
    if (view_word(v, slot) != word) return 1;  /* before believing `len` */
    if ((rc = make_room(p, b.len))) return rc;
    out->data = p->buffer;
    view_copy(v, off + sizeof b, p->buffer, b.len);
  }
  atomic_thread_fence(memory_order_acquire);  /* pairs with do_stores */
  return view_word(v, slot) != word;
}

/* One look: 0, an error, or 1 when things changed under it. */
static int look (sk_port *p, const sk_path *path, sk_item *out,
                 sk_seen *seen) {
  _Atomic uint64_t *moves = &p->share->store->moves;
  struct view v = { p->share, NULL, 0 };
  struct place place;
  int rc;
  seen->moves = atomic_load_explicit(moves, memory_order_acquire);
  rc = view_find(&v, path, &place);
  seen->off = place.entry;
  seen->word = place.word;
  if (!rc && !path->depth) {
    out->kind = SK_TABLE;
    out->len = (uint32_t)view_word(&v, place.table +
                                       offsetof(struct table, count));
  }
  else if (!rc && !slot_off(place.word)) rc = SKE_ABSENT;
  else if (!rc) rc = copy_value(p, &v, place.entry, place.word, out);
  atomic_thread_fence(memory_order_acquire);
  if (v.bad || atomic_load_explicit(moves, memory_order_acquire) !=
               seen->moves)
    return 1;
  return rc;
}

static int ask_value (sk_port *p, const sk_path *path, int64_t timeout_ns,
                      sk_item *out, sk_seen *seen) {
  sk_answer a;
  int rc = ask(p, SK_READ, path, timeout_ns, &a);
  memset(seen, 0, sizeof *seen);
  if (rc) return rc;
  *out = a.item;
  if (is_table(out->kind)) {
    uint64_t count;
    memcpy(&count, p->buffer, sizeof count);
    out->len = (uint32_t)count;
  }
  return 0;
}

/* Wait for what a read of the path has to see. */
static int begin_read (sk_port *p, const sk_path *path, int how,
                       int64_t timeout_ns) {
  uint8_t marks[MOST_MARKS];
  if (!share_path_valid(path)) return SKE_INVAL;
  share_be_present(p->share);
  if (how & SK_APPLIED || is_consumed(p->share)) return 0;
  return barrier(p, marks, marks_of(path, how, marks), timeout_ns);
}

int sk_port_get (sk_port *p, const sk_path *path, int how,
                 int64_t timeout_ns, sk_item *out, sk_seen *seen) {
  sk_seen own;
  int rc, i;
  if (!seen) seen = &own;
  if ((rc = begin_read(p, path, how, timeout_ns))) return rc;
  for (i = 0; i < RETRIES; i++) {
    rc = look(p, path, out, seen);
    if (rc <= 0) return rc;
  }
  if (timeout_ns == 0) return SKE_TIMEOUT;
  return ask_value(p, path, timeout_ns, out, seen);
}

static int look_list (sk_port *p, const sk_path *path, size_t *len,
                      uint32_t *pairs, sk_seen *seen) {
  _Atomic uint64_t *moves = &p->share->store->moves;
  struct bytes b = { p->buffer, 0, p->room };
  struct view v = { p->share, NULL, 0 };
  struct place place;
  uint64_t table = 0;
  int rc, changed = 0;
  seen->moves = atomic_load_explicit(moves, memory_order_acquire);
  rc = view_place(&v, path, &place, &table);
  seen->off = place.entry;
  seen->word = place.word;
  if (!rc) rc = view_list(&v, table, &b, pairs);
  p->buffer = b.data;
  p->room = b.room;
  *len = b.len;
  atomic_thread_fence(memory_order_acquire);  /* pairs with do_stores */
  /* an object's slot word changes before and after its entries do */
  if (!rc && place.entry)
    changed = place.word & SLOT_BUSY ||
              view_word(&v, place.entry) != place.word;
  if (v.bad || changed ||
      atomic_load_explicit(moves, memory_order_acquire) != seen->moves)
    return 1;
  return rc;
}

static int list (sk_port *p, const sk_path *path, int how, int64_t timeout_ns,
                 const void **data, size_t *len, uint32_t *pairs,
                 sk_seen *seen) {
  uint64_t count;
  sk_answer a;
  sk_seen own;
  int rc, i;
  if (!seen) seen = &own;
  if ((rc = begin_read(p, path, how, timeout_ns))) return rc;
  for (i = 0; i < RETRIES; i++) {
    rc = look_list(p, path, len, pairs, seen);
    *data = p->buffer;
    if (rc <= 0) return rc;
  }
  if (timeout_ns == 0) return SKE_TIMEOUT;
  memset(seen, 0, sizeof *seen);
  if ((rc = ask(p, SK_LIST, path, timeout_ns, &a))) return rc;
  memcpy(&count, p->buffer, sizeof count);
  *pairs = (uint32_t)count;
  *data = p->buffer + sizeof count;
  *len = a.item.len - sizeof count;
  return 0;
}

int sk_port_list (sk_port *p, const sk_path *path, int64_t timeout_ns,
                  const void **data, size_t *len, uint32_t *pairs,
                  sk_seen *seen) {
  return list(p, path, SK_ENTRIES, timeout_ns, data, len, pairs, seen);
}

int sk_port_list_applied (sk_port *p, const sk_path *path, int64_t timeout_ns,
                          const void **data, size_t *len, uint32_t *pairs,
                          sk_seen *seen) {
  return list(p, path, SK_APPLIED, timeout_ns, data, len, pairs, seen);
}
