/*
** Applying a command: whose it is to do, its reply, and the commit that moves
** the lane on in the same instant.
*/
#include <string.h>

#include "share_coordinator.h"

enum { KEPT_ERRORS = 64, MOST_TOLD = 4096 };

/* ---- one command ---- */

static int execute (sk_coordinator *c, const struct busy_lane *b,
                    const sk_command *cmd) {
  sk_change *g = &c->change;
  const sk_path *at = &cmd->path;
  switch (cmd->kind) {
    case SK_SET: return share_command_set(g, at, cmd->payload, cmd->len);
    case SK_DELETE: return share_command_delete(g, at);
    case SK_ADD: return share_command_add(g, cmd);
    case SK_CLEAR: return share_command_clear(g, at);
    case SK_READ: return share_command_read(g, at);
    case SK_LIST: return share_command_list(g, at);
    case SK_SYNC: return 0;
    default: return share_handler_call(c, b->lane, c->cursor[b->lane], cmd);
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
  if ((rc = share_part_body(c, b, &data, &n))) return rc;
  if (r->kind == PART) return share_part_take(c, b->lane, data, n);
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
  uint64_t at = share_state_off(c->s, b->lane) +
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
    rc = share_command_set(c, &path, b->data, sk_item_size(&item));
    c->answer.kind = 0;  /* used up */
  }
  else rc = share_command_set(c, &path, number, sk_item_put(number, &item));
  if (!rc) rc = share_change_store(c, c->s->store_off +
                                   offsetof(struct store, errors), n + 1);
  if (rc || n < KEPT_ERRORS) return rc;
  error_path(n - KEPT_ERRORS, key, &path);
  return share_command_delete(c, &path);
}

/* `told`: somebody is to hear of it; without, only the lane moves on. */
static int finish (sk_coordinator *c, const struct busy_lane *b, int failed,
                   int told) {
  sk_change *g = &c->change;
  uint64_t end = b->broken ? b->end : c->cursor[b->lane] + b->head.len;
  int rc = share_part_end(c, b);
  if (!rc && !b->broken && b->head.flags & WANTS_REPLY)
    rc = put_reply(g, b, failed);
  else if (!rc && failed && told && b->head.kind != PART)
    rc = log_error(g, failed);
  if (!rc) rc = share_change_store(g, share_state_off(c->s, b->lane) +
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
