/*
** The built-in commands: what each does to a change, and its answer.
*/
#include <string.h>

#include "share_change.h"

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

int share_command_set (sk_change *c, const sk_path *path, const void *value,
                size_t n) {
  struct view v = { c->s, c, 0 };
  struct place p;
  int rc = view_find(&v, path, &p);
  if (!rc) rc = share_tree_set(c, &p, value, n);
  return v.bad ? SKE_CORRUPT : rc;
}

int share_command_delete (sk_change *c, const sk_path *path) {
  struct view v = { c->s, c, 0 };
  struct place p;
  int rc = view_find(&v, path, &p);
  if (v.bad) return SKE_CORRUPT;
  if (rc) return rc;
  if (!path->depth) return SKE_INVAL;
  return slot_off(p.word) ? share_tree_delete(c, &p) : 0;
}

int share_command_clear (sk_change *c, const sk_path *path) {
  struct view v = { c->s, c, 0 };
  struct place p;
  uint64_t table;
  int rc = view_place(&v, path, &p, &table);
  if (!rc && p.unit) rc = SKE_TYPE;  /* an object is replaced, not emptied */
  return rc ? rc : share_tree_clear(c, table);
}

/* The value at a path as it lies in the heap; a table's len is its count. */
int share_command_look (sk_change *c, const sk_path *path, sk_item *out) {
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

int share_command_add (sk_change *c, const sk_command *cmd) {
  sk_item now, by, sum;
  double a, b;
  uint64_t i, k, bytes[2];
  int rc;
  if (sk_item_get(cmd->payload, cmd->len, &by) != cmd->len) return SKE_INVAL;
  rc = share_command_look(c, &cmd->path, &now);
  if (!rc) rc = to_number(&now, &a, &i);
  if (!rc) rc = to_number(&by, &b, &k);
  if (rc) return rc;
  a += b;
  i += k;
  if (now.kind == SK_INT && by.kind == SK_INT) answer_number(c, SK_INT, &i);
  else answer_number(c, SK_FLOAT, &a);
  sum = c->answer;
  return share_command_set(c, &cmd->path, bytes, sk_item_put(bytes, &sum));
}

int share_command_read (sk_change *c, const sk_path *path) {
  sk_item item;
  uint64_t count;
  int rc = share_command_look(c, path, &item);
  if (rc) return rc;
  if (!is_table(item.kind)) return sk_change_answer(c, &item);
  count = item.len;
  return answer_bytes(c, item.kind, &count, sizeof count);
}

int share_command_list (sk_change *c, const sk_path *path) {
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
