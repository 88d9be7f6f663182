/*
** Applying commands: what each kind does, its answer, and the commit that
** moves the lane on in the same instant.
*/
#include <string.h>

#include "os.h"
#include "share_coordinator.h"

enum { KEPT_ERRORS = 64, MOST_FAULTS = 2, MOST_KILLS = 10, MOST_TOLD = 4096 };

/* ---- answers ---- */

static void answer_number (sk_change *c, uint32_t kind, const void *number) {
  memcpy(&c->number, number, sizeof c->number);
  c->answer.kind = kind;
  c->answer.len = sizeof c->number;
  c->answer.data = &c->number;
}

static int answer_bytes (sk_change *c, uint32_t kind, const void *data,
                         size_t n) {
  int rc;
  c->answer_bytes.len = 0;
  if ((rc = bytes_need(&c->answer_bytes, n + 8))) return rc;
  memcpy(c->answer_bytes.data, data, n);
  c->answer_bytes.len = n;
  c->answer.kind = kind;
  c->answer.len = (uint32_t)n;
  c->answer.data = c->answer_bytes.data;
  return 0;
}

int sk_change_answer (sk_change *c, const sk_item *item) {
  if (item->kind == SK_INT || item->kind == SK_FLOAT) {
    if (item->len != 8) return SKE_INVAL;
    answer_number(c, item->kind, item->data);
    return 0;
  }
  if (item->kind < SK_BYTES) return SKE_INVAL;
  return answer_bytes(c, item->kind, item->data, item->len);
}

/* ---- the built-in commands ---- */

static int set (sk_change *c, const sk_path *path, const void *value,
                size_t n) {
  struct view v = { c->s, c, 0 };
  struct place p;
  int rc = view_find(&v, path, &p);
  if (!rc) rc = share_tree_set(c, &p, value, n);
  return v.bad ? SKE_CORRUPT : rc;
}

static int delete (sk_change *c, const sk_path *path) {
  struct view v = { c->s, c, 0 };
  struct place p;
  int rc = view_find(&v, path, &p);
  if (v.bad) return SKE_CORRUPT;
  if (rc) return rc;
  if (!path->depth) return SKE_INVAL;
  return slot_off(p.word) ? share_tree_delete(c, &p) : 0;
}

static int clear (sk_change *c, const sk_path *path) {
  struct view v = { c->s, c, 0 };
  struct place p;
  uint64_t table;
  int rc = view_place(&v, path, &p, &table);
  if (!rc && p.unit) rc = SKE_TYPE;  /* an object is replaced, not emptied */
  return rc ? rc : share_tree_clear(c, table);
}

/* The value at a path as it lies in the heap; a table's len is its count. */
static int look (sk_change *c, const sk_path *path, sk_item *out) {
  struct view v = { c->s, c, 0 };
  struct place p;
  struct block b;
  uint64_t off;
  int rc = view_find(&v, path, &p);
  if (rc) return rc;
  off = path->depth ? slot_off(p.word) : p.table;
  if (!off) return SKE_ABSENT;
  b = view_block(&v, off);
  out->kind = b.kind;
  out->len = b.len;
  out->data = c->s->base + off + sizeof b;
  if (is_table(b.kind))
    out->len = (uint32_t)view_word(&v, off + offsetof(struct table, count));
  return v.bad ? SKE_CORRUPT : 0;
}

static int to_number (const sk_item *item, double *f, uint64_t *i) {
  if (item->kind != SK_INT && item->kind != SK_FLOAT) return SKE_TYPE;
  memcpy(f, item->data, sizeof *f);
  memcpy(i, item->data, sizeof *i);
  if (item->kind == SK_INT) *f = (double)(int64_t)*i;
  return 0;
}

static int add (sk_change *c, const sk_command *cmd) {
  sk_item now, by, sum;
  double a, b;
  uint64_t i, k, bytes[2];
  int rc;
  if (sk_item_get(cmd->payload, cmd->len, &by) != cmd->len) return SKE_INVAL;
  rc = look(c, &cmd->path, &now);
  if (!rc) rc = to_number(&now, &a, &i);
  if (!rc) rc = to_number(&by, &b, &k);
  if (rc) return rc;
  a += b;
  i += k;
  if (now.kind == SK_INT && by.kind == SK_INT) answer_number(c, SK_INT, &i);
  else answer_number(c, SK_FLOAT, &a);
  sum = c->answer;
  return set(c, &cmd->path, bytes, sk_item_put(bytes, &sum));
}

static int read_value (sk_change *c, const sk_path *path) {
  sk_item item;
  uint64_t count;
  int rc = look(c, path, &item);
  if (rc) return rc;
  if (!is_table(item.kind)) return sk_change_answer(c, &item);
  count = item.len;
  return answer_bytes(c, item.kind, &count, sizeof count);
}

static int list (sk_change *c, const sk_path *path) {
  struct view v = { c->s, c, 0 };
  struct bytes *b = &c->answer_bytes;
  struct place p;
  uint64_t table, count;
  uint32_t n;
  int rc = view_place(&v, path, &p, &table);
  b->len = 0;
  if (!rc) rc = bytes_need(b, sizeof count);
  b->len = sizeof count;
  if (!rc) rc = view_list(&v, table, b, &n);
  if (rc) return rc;
  if (v.bad || b->len > UINT32_MAX / 2) return SKE_CORRUPT;
  count = n;
  memcpy(b->data, &count, sizeof count);
  c->answer.kind = SK_TABLE;
  c->answer.len = (uint32_t)b->len;
  c->answer.data = b->data;
  return 0;
}

/* ---- the handler ---- */

/* May the running handler touch that path? Only at or below its command's:
** that is what readers were told to wait for. What lies in the private root is
** only looked for by what leads there. */
static int allowed (const sk_change *c, const sk_path *path) {
  const sk_path *own = &c->cmd->path;
  if (!share_path_valid(path)) return 0;
  if (path->root == SK_PRIVATE_ROOT) return 1;
  return path->root == own->root &&
         path->depth >= own->depth && path->len >= own->len &&
         !memcmp(path->data, own->data, own->len);
}

int sk_change_get (sk_change *c, const sk_path *path, sk_item *out) {
  return share_path_valid(path) ? look(c, path, out) : SKE_INVAL;
}

int sk_change_list (sk_change *c, const sk_path *path, const void **data,
                    size_t *len, uint32_t *pairs) {
  struct view v = { c->s, c, 0 };
  struct bytes *b = &c->list_bytes;
  struct place p;
  uint64_t table;
  int rc = SKE_INVAL;
  if (share_path_valid(path)) rc = view_place(&v, path, &p, &table);
  b->len = 0;
  if (!rc) rc = view_list(&v, table, b, pairs);
  if (v.bad) return SKE_CORRUPT;
  if (rc) return rc;
  *data = b->data;
  *len = b->len;
  return 0;
}

uint64_t sk_change_version (sk_change *c, const sk_path *path) {
  struct view v = { c->s, c, 0 };
  struct place p;
  if (!share_path_valid(path) || view_find(&v, path, &p)) return 0;
  return slot_off(p.word) ? p.word : 0;
}

int sk_change_set (sk_change *c, const sk_path *path, const void *value,
                   size_t len) {
  int rc = allowed(c, path) ? set(c, path, value, len) : SKE_INVAL;
  if (rc) c->failed = rc;
  return rc;
}

int sk_change_delete (sk_change *c, const sk_path *path) {
  int rc = allowed(c, path) ? delete(c, path) : SKE_INVAL;
  if (rc) c->failed = rc;
  return rc;
}

/* Note what we are about to do, for the coordinator after us. */
static int is_poison (struct inflight *f, uint64_t lane, uint64_t pos) {
  if (atomic_load(&f->lane) != lane || atomic_load(&f->pos) != pos) {
    atomic_store(&f->active, 0);
    atomic_store(&f->faults, 0);
    atomic_store(&f->kills, 0);
    atomic_store(&f->lane, lane);
    atomic_store(&f->pos, pos);
  }
  return atomic_load(&f->faults) >= MOST_FAULTS ||
         atomic_load(&f->kills) >= MOST_KILLS;
}

static int call (sk_coordinator *c, uint32_t lane, uint64_t pos,
                 const sk_command *cmd) {
  struct inflight *f = &c->s->words->inflight;
  int rc;
  if (!c->s->handler) return SKE_INVAL;
  if (is_poison(f, lane, pos)) return SKE_POISON;
  atomic_store(&f->since_ns, os_now_ns());
  atomic_store(&f->active, 1);
  SK_FAULT(FAULT_HANDLER);
  c->change.cmd = cmd;
  rc = c->s->handler(c->s->arg, &c->change, cmd);
  c->change.cmd = NULL;
  atomic_store(&f->active, 0);
  return rc ? rc : c->change.failed;
}

/* ---- long commands ---- */

static int drop_loan (sk_change *c, uint64_t state, uint64_t loan) {
  struct view v = { c->s, c, 0 };
  struct block b = view_block(&v, slot_off(loan));
  int rc = share_change_retire(c, slot_off(loan), sizeof b + b.len, 0);
  uint64_t at = state + offsetof(struct lane_state, loan);
  if (!rc) rc = share_change_store(c, at, slot_word(0, loan + 1));
  if (!rc) rc = share_change_store(c, state +
                                   offsetof(struct lane_state, loaned), 0);
  return rc;
}

static int new_loan (sk_change *c, uint64_t total, uint64_t *off) {
  struct block b = { SK_BYTES, (uint32_t)total };
  int rc = share_change_alloc(c, sizeof b + total, 0, off);
  if (!rc) heap_write(c->heap, *off, &b, sizeof b);
  return rc;
}

static uint64_t state_off (const sk_share *s, uint32_t lane) {
  return s->store_off + offsetof(struct store, lanes) +
         lane * sizeof(struct lane_state);
}

/* What a part says of itself; *n: bytes of it. */
static int read_part (const sk_share *s, const uint8_t *data, size_t *n,
                      struct part_head *part) {
  uint64_t left;
  if (*n < sizeof *part) return SKE_CORRUPT;
  memcpy(part, data, sizeof *part);
  *n -= sizeof *part;
  if (part->total > s->max_bytes || part->total > UINT32_MAX / 2)
    return SKE_FULL;
  if (part->at % 8 || part->at > part->total) return SKE_CORRUPT;
  left = part->total - part->at;
  if (*n <= left) return 0;
  if (*n - left >= 8) return SKE_CORRUPT;
  *n = (size_t)left;  /* the last one's record is padded */
  return 0;
}

/* A part of a long command goes into a block that the lane holds. */
static int take_part (sk_coordinator *c, uint32_t lane, const uint8_t *data,
                      size_t n) {
  sk_change *g = &c->change;
  struct lane_state *l = &c->s->store->lanes[lane];
  uint64_t state = state_off(c->s, lane), off;
  uint64_t loan = atomic_load(&l->loan), loaned = atomic_load(&l->loaned);
  struct part_head part;
  int rc = read_part(c->s, data, &n, &part);
  if (rc) return rc;
  if (part.at == 0) {
    if (slot_off(loan) && (rc = drop_loan(g, state, loan))) return rc;
    if ((rc = new_loan(g, part.total, &off))) return rc;
    rc = share_change_store(g, state + offsetof(struct lane_state, loan),
                            slot_word(off, loan + 1));
  }
  else {
    struct view v = { c->s, g, 0 };
    off = slot_off(loan);
    if (!off || loaned != part.at || view_block(&v, off).len != part.total)
      return SKE_FULL;  /* the first part found no room */
  }
  heap_write(c->change.heap, off + sizeof(struct block) + part.at,
             data + sizeof part, n);
  if (!rc)
    rc = share_change_store(g, state + offsetof(struct lane_state, loaned),
                            part.at + n);
  return rc;
}

/* The bytes behind a command's header: from its record or from its parts. */
static int find_body (sk_coordinator *c, const struct busy_lane *b,
                      const uint8_t **data, size_t *n) {
  struct lane_state *l = &c->s->store->lanes[b->lane];
  struct view v = { c->s, NULL, 0 };
  uint64_t off = slot_off(atomic_load(&l->loan));
  struct block block;
  *data = c->record.data + sizeof b->head;
  *n = b->head.len - sizeof b->head;
  if (!(b->head.flags & IS_LONG)) return 0;
  if (!off) return SKE_FULL;
  block = view_block(&v, off);
  if (block.len != atomic_load(&l->loaned)) return SKE_FULL;
  *data = c->s->base + off + sizeof block;
  *n = block.len;
  return 0;
}

/* ---- one command ---- */

static int execute (sk_coordinator *c, const struct busy_lane *b,
                    const sk_command *cmd) {
  sk_change *g = &c->change;
  switch (cmd->kind) {
    case SK_SET: return set(g, &cmd->path, cmd->payload, cmd->len);
    case SK_DELETE: return delete(g, &cmd->path);
    case SK_ADD: return add(g, cmd);
    case SK_CLEAR: return clear(g, &cmd->path);
    case SK_READ: return read_value(g, &cmd->path);
    case SK_LIST: return list(g, &cmd->path);
    case SK_SYNC: return 0;
    default: return call(c, b->lane, c->cursor[b->lane], cmd);
  }
}

static int run (sk_coordinator *c, const struct busy_lane *b) {
  const struct record *r = &b->head;
  const uint8_t *data;
  sk_command cmd;
  size_t n;
  int rc;
  memset(&c->path, 0, sizeof c->path);
  if (b->broken) return SKE_CORRUPT;
  if ((rc = find_body(c, b, &data, &n))) return rc;
  if (r->kind == PART) return take_part(c, b->lane, data, n);
  if (r->path_len > n) return SKE_CORRUPT;
  memset(&cmd, 0, sizeof cmd);
  cmd.kind = r->kind;
  cmd.is_answered = (r->flags & WANTS_REPLY) != 0;
  cmd.path.data = data;
  cmd.path.len = r->path_len;
  cmd.path.depth = r->depth;
  cmd.path.root = r->root;
  cmd.payload = data + r->path_len;
  cmd.len = n - r->path_len;
  if (!share_path_valid(&cmd.path)) return SKE_CORRUPT;
  c->path = cmd.path;
  return execute(c, b, &cmd);
}

/* ---- its end ---- */

static int put_reply (sk_change *c, const struct busy_lane *b, int failed) {
  const sk_item *a = &c->answer;
  struct reply *old = &c->s->store->lanes[b->lane].replies[b->head.reply];
  uint64_t at = state_off(c->s, b->lane) +
                offsetof(struct lane_state, replies) +
                b->head.reply * sizeof *old;
  uint64_t value = atomic_load(&old->value), status, off;
  struct view v = { c->s, c, 0 };
  int rc = 0;
  if ((uint32_t)atomic_load(&old->status) >= SK_TABLE) {
    struct block gone = view_block(&v, slot_off(value));
    rc = share_change_retire(c, slot_off(value), sizeof gone + gone.len, 0);
  }
  status = (uint64_t)(uint32_t)-failed << 32 | a->kind;
  value = 0;
  if (a->kind >= SK_TABLE) {
    if (!rc) rc = share_tree_block(c, a, 0, &off);
    if (!rc) value = slot_word(off, 0);
  }
  else if (a->kind) value = c->number;
  if (!rc) rc = share_change_store(c, at + offsetof(struct reply, value),
                                   value);
  if (!rc) rc = share_change_store(c, at + offsetof(struct reply, status),
                                   status);
  return rc;
}

static void error_path (uint64_t n, uint64_t key[2], sk_path *path) {
  sk_item item = { SK_INT, sizeof n, NULL };
  item.data = &n;
  path->len = (uint32_t)sk_item_put(key, &item);
  path->data = key;
  path->depth = 1;
  path->root = SK_ERRORS_ROOT;
}

/* Nobody waits for what failed and nothing is known of it but where. */
static void say_where (sk_coordinator *c, const struct busy_lane *b,
                       int failed) {
  sk_change *g = &c->change;
  struct sk_report report = { failed, c->path.depth | c->path.root << 16 };
  struct bytes *out = &g->answer_bytes;
  if (g->answer.kind || !c->path.data || c->path.len > MOST_TOLD) return;
  if (b->broken || b->head.flags & WANTS_REPLY) return;
  out->len = 0;
  if (bytes_need(out, sizeof report + c->path.len + 8)) return;
  memcpy(out->data, &report, sizeof report);
  memcpy(out->data + sizeof report, c->path.data, c->path.len);
  out->len = sizeof report + c->path.len;
  g->answer.kind = SK_BYTES;
  g->answer.len = (uint32_t)out->len;
  g->answer.data = out->data;
}

/* Nobody waits for it: keep the last few for those who ask. */
static int log_error (sk_change *c, int failed) {
  uint64_t n = atomic_load(&c->s->store->errors), key[2];
  int64_t code = failed;
  sk_item item = { SK_INT, sizeof code, NULL };
  uint8_t number[16];
  sk_path path;
  int rc;
  item.data = &code;
  error_path(n, key, &path);
  if (c->answer.kind >= SK_BYTES) {
    struct bytes *b = &c->answer_bytes;
    uint8_t head[8];
    item.kind = c->answer.kind;
    item.len = c->answer.len;
    memcpy(head, &item, sizeof head);
    /* the item in place: its head in front, its padding behind */
    if ((rc = bytes_need(b, 16))) return rc;
    memmove(b->data + 8, b->data, b->len);
    memset(b->data + 8 + b->len, 0, 8);
    memcpy(b->data, head, sizeof head);
    rc = set(c, &path, b->data, sk_item_size(&item));
    c->answer.kind = 0;  /* used up */
  }
  else rc = set(c, &path, number, sk_item_put(number, &item));
  if (!rc) rc = share_change_store(c, c->s->store_off +
                                   offsetof(struct store, errors), n + 1);
  if (rc || n < KEPT_ERRORS) return rc;
  error_path(n - KEPT_ERRORS, key, &path);
  return delete(c, &path);
}

static int end_of_loan (sk_coordinator *c, const struct busy_lane *b) {
  uint64_t loan = atomic_load(&c->s->store->lanes[b->lane].loan);
  if (b->head.kind == PART && !b->broken) return 0;
  if (!slot_off(loan)) return 0;
  return drop_loan(&c->change, state_off(c->s, b->lane), loan);
}

/* `told`: somebody is to hear of it; without, only the lane moves on. */
static int finish (sk_coordinator *c, const struct busy_lane *b, int failed,
                   int told) {
  sk_change *g = &c->change;
  uint64_t end = b->broken ? b->end : c->cursor[b->lane] + b->head.len;
  int rc = end_of_loan(c, b);
  if (!rc && !b->broken && b->head.flags & WANTS_REPLY)
    rc = put_reply(g, b, failed);
  else if (!rc && failed && told && b->head.kind != PART)
    rc = log_error(g, failed);
  if (!rc) rc = share_change_store(g, state_off(c->s, b->lane) +
                                   offsetof(struct lane_state, applied), end);
  if (!rc) rc = share_commit(g);
  if (!rc) c->cursor[b->lane] = end;
  return rc;
}

int share_apply (sk_coordinator *c, const struct busy_lane *b) {
  sk_change *g = &c->change;
  int rc, failed;
  g->answer.kind = 0;
  g->failed = 0;
  if (!b->broken) {
    c->record.len = 0;
    if ((rc = bytes_need(&c->record, b->head.len))) return rc;
    share_ring_get(c->s, c->s->base + c->s->ring_off +
                         b->lane * c->s->lane_bytes,
                   c->cursor[b->lane], c->record.data, b->head.len);
    SK_FAULT(FAULT_BATCH_COPIED);
  }
  failed = run(c, b);
  if (!failed && !(failed = finish(c, b, 0, 1))) return 0;
  share_change_drop(g);
  if (b->head.kind >= SK_CALL && c->s->dropped) c->s->dropped(c->s->arg);
  say_where(c, b, failed);
  if (!finish(c, b, failed, 1)) return 0;
  share_change_drop(g);
  g->answer.kind = 0;
  return finish(c, b, failed, 0);
}
