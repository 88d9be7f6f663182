/*
** What commands do to the tree: entries and tables made, replaced, removed.
**
** New blocks are written while nobody can reach them and become reachable by
** the commit's stores. An entry stays where it is until its table's buckets
** are made anew; without a value it has no block in its slot word.
*/
#include <string.h>

#include "share_change.h"

#define FIRST_LOG2 3

static struct view view_of (sk_change *c) {
  struct view v = { c->s, c->direct ? NULL : c, 0 };
  return v;
}

#define FIELD(at, name) ((at) + offsetof(struct table, name))

static uint64_t entry_bytes (uint32_t key_len) {
  return sizeof(struct entry) + key_len;
}

static uint64_t log2_of (uint64_t n) {
  return 63 - (uint64_t)__builtin_clzll(n);
}

/* ---- removing ---- */

static int retire_table (sk_change *c, uint64_t table);

static int retire_value (sk_change *c, uint64_t off) {
  struct view v = view_of(c);
  struct block b = view_block(&v, off);
  int rc;
  if (!is_table(b.kind))
    return share_change_retire(c, off, sizeof b + b.len, 1);
  rc = retire_table(c, off);
  if (!rc) rc = share_change_retire(c, off, sizeof(struct table), 1);
  return rc;
}

static int retire_entry (sk_change *c, uint64_t entry) {
  struct view v = view_of(c);
  struct block key = view_block(&v, entry + offsetof(struct entry, kind));
  return share_change_retire(c, entry, entry_bytes(key.len), 1);
}

/* All that a table holds: entries, values, buckets. */
static int retire_table (sk_change *c, uint64_t table) {
  struct view v = view_of(c);
  uint64_t n, i, buckets = view_buckets(&v, table, &n);
  c->moves = 1;
  for (i = 0; i < n; i++) {
    uint64_t word = view_word(&v, buckets + i * sizeof word), off;
    int rc;
    if (!word) continue;
    off = slot_off(view_word(&v, slot_off(word)));
    rc = off ? retire_value(c, off) : 0;
    if (!rc) rc = retire_entry(c, slot_off(word));
    if (rc) return rc;
  }
  if (v.bad) return SKE_CORRUPT;
  if (!n) return 0;
  return share_change_retire(c, buckets - offsetof(struct array, buckets),
                             array_bytes(log2_of(n)), 0);
}

static int store_and_add (sk_change *c, uint64_t off, uint64_t add) {
  struct view v = view_of(c);
  return share_change_store(c, off, view_word(&v, off) + add);
}

/* The object that an entry is in is another one now. Before the entry's own
** stores: those of a commit are done in this order. */
static int touch_unit (sk_change *c, const struct place *p) {
  return p->unit ? share_change_unit(c, p->unit) : 0;
}

int share_tree_delete (sk_change *c, const struct place *p) {
  uint64_t off = slot_off(p->word);
  int rc = retire_value(c, off);
  if (!rc) rc = touch_unit(c, p);
  if (!rc) rc = share_change_store(c, p->entry, slot_next(p->word, 0));
  if (!rc) rc = store_and_add(c, FIELD(p->table, count), UINT64_MAX);
  return rc;
}

int share_tree_clear (sk_change *c, uint64_t table) {
  struct view v = view_of(c);
  uint64_t word = view_word(&v, FIELD(table, array));
  int rc = retire_table(c, table);
  if (!rc) rc = share_change_store(c, FIELD(table, array),
                                   slot_word(0, word + 1));
  if (!rc) rc = share_change_store(c, FIELD(table, count), 0);
  if (!rc) rc = share_change_store(c, FIELD(table, used), 0);
  return rc;
}

/* ---- buckets ---- */

static int new_array (sk_change *c, uint64_t entries, uint64_t *off,
                      uint64_t *size_log2) {
  uint64_t lg = FIRST_LOG2;
  int rc;
  /* at most half full after this, up to five eighths later */
  while (entries * 2 > 1ull << lg) lg++;
  rc = share_change_alloc(c, array_bytes(lg), 0, off);
  if (rc) return rc;
  heap_zero(c->heap, *off, array_bytes(lg));
  heap_write_word(c->heap, *off, lg);
  *size_log2 = lg;
  return 0;
}

/* Into an array that nobody sees yet. */
static void put_bucket (sk_change *c, uint64_t array, uint64_t lg,
                        uint64_t entry, uint64_t hash) {
  uint64_t mask = (1ull << lg) - 1, i = hash & mask, at;
  for (;; i = (i + 1) & mask) {
    at = array + offsetof(struct array, buckets) + i * sizeof at;
    if (!atomic_load_explicit((_Atomic uint64_t *)(c->s->base + at),
                              memory_order_relaxed))
      break;
  }
  heap_write_word(c->heap, at, slot_word(entry, hash >>
                                                (64 - VERSION_BITS)));
}

/* Entries with a value go over, the others end here. */
static int move_entries (sk_change *c, struct view *v, uint64_t buckets,
                         uint64_t n, uint64_t array, uint64_t lg) {
  uint64_t i;
  for (i = 0; i < n; i++) {
    uint64_t word = view_word(v, buckets + i * sizeof word);
    uint64_t entry = slot_off(word);
    int rc = 0;
    if (!word) continue;
    if (!slot_off(view_word(v, entry))) rc = retire_entry(c, entry);
    else put_bucket(c, array, lg, entry,
                    view_word(v, entry + offsetof(struct entry, hash)));
    if (rc) return rc;
  }
  return v->bad ? SKE_CORRUPT : 0;
}

/* New buckets for a table, with room for `more` entries. */
static int rebuild (sk_change *c, uint64_t table, uint64_t more,
                    uint64_t *array, uint64_t *lg) {
  struct view v = view_of(c);
  uint64_t n, buckets = view_buckets(&v, table, &n);
  uint64_t count = view_word(&v, FIELD(table, count));
  uint64_t word = view_word(&v, FIELD(table, array));
  int rc = new_array(c, (count + more) * 2, array, lg);
  if (!rc) rc = move_entries(c, &v, buckets, n, *array, *lg);
  if (!rc && n)
    rc = share_change_retire(c, buckets - offsetof(struct array, buckets),
                             array_bytes(log2_of(n)), 0);
  if (!rc) rc = share_change_store(c, FIELD(table, array),
                                   slot_word(*array, word + 1));
  if (!rc) rc = share_change_store(c, FIELD(table, used), count);
  if (n) c->moves = 1;
  return rc;
}

static int link_entry (sk_change *c, const struct place *p, uint64_t entry) {
  struct view v = view_of(c);
  uint64_t n, array, lg;
  uint64_t used = view_word(&v, FIELD(p->table, used));
  int rc;
  view_buckets(&v, p->table, &n);
  if ((used + 1) * 8 > n * 5) {
    rc = rebuild(c, p->table, 1, &array, &lg);
    if (!rc) put_bucket(c, array, lg, entry, p->hash);
  }
  else rc = share_change_store(c, p->bucket,
                               slot_word(entry, p->hash >>
                                                (64 - VERSION_BITS)));
  if (!rc) rc = store_and_add(c, FIELD(p->table, used), 1);
  return rc;
}

static int new_entry (sk_change *c, const struct place *p, uint64_t value,
                      uint64_t *out) {
  struct block key = { p->key.kind, p->key.len };
  uint64_t off;
  int rc = share_change_alloc(c, entry_bytes(key.len), 1, &off);
  if (rc) return rc;
  heap_write_word(c->heap, off, slot_word(value, 1));
  heap_write_word(c->heap, off + offsetof(struct entry, hash), p->hash);
  heap_write(c->heap, off + offsetof(struct entry, kind), &key, sizeof key);
  heap_write(c->heap, off + sizeof(struct entry), p->key.data, key.len);
  *out = off;
  return 0;
}

/* ---- making ---- */

int share_tree_block (sk_change *c, const sk_item *item, int counted,
                      uint64_t *off) {
  struct block b = { item->kind, item->len };
  int rc = share_change_alloc(c, sizeof b + b.len, counted, off);
  if (rc) return rc;
  heap_write(c->heap, *off, &b, sizeof b);
  heap_write(c->heap, *off + sizeof b, item->data, b.len);
  return 0;
}

/* An entry's new value, or a new entry with it. */
static int assign (sk_change *c, const struct place *p, uint64_t off) {
  uint64_t entry;
  int rc;
  if (p->entry) {
    rc = share_change_store(c, p->entry, slot_next(p->word, off));
    if (slot_off(p->word)) return rc;
  }
  else {
    rc = new_entry(c, p, off, &entry);
    if (!rc) rc = link_entry(c, p, entry);
  }
  if (!rc) rc = store_and_add(c, FIELD(p->table, count), 1);
  return rc;
}

static int build (sk_change *c, uint64_t hash, const uint8_t **at,
                  uint64_t *off);

static int build_pairs (sk_change *c, uint64_t hash, uint64_t table,
                        uint32_t n, const uint8_t **at) {
  struct view v = view_of(c);
  uint32_t i;
  for (i = 0; i < n; i++) {
    struct place p;
    sk_item key;
    uint64_t value;
    int rc;
    *at += sk_item_get(*at, SIZE_MAX, &key);
    view_probe(&v, table, share_hash(hash, &key), &key, &p);
    if (p.entry) return SKE_INVAL;  /* the same key twice */
    if ((rc = build(c, p.hash, at, &value))) return rc;
    if ((rc = assign(c, &p, value))) return rc;
  }
  return 0;
}

static int build_table (sk_change *c, uint64_t hash, const sk_item *item,
                        const uint8_t **at, uint64_t *off) {
  struct block head = { item->kind, 0 };
  uint32_t n = item->len;
  uint64_t array = 0, lg;
  int rc = share_change_alloc(c, sizeof(struct table), 1, off);
  if (!rc && n) rc = new_array(c, (uint64_t)n * 2, &array, &lg);
  if (rc) return rc;
  heap_zero(c->heap, *off, sizeof(struct table));
  heap_write(c->heap, *off, &head, sizeof head);
  heap_write_word(c->heap, FIELD(*off, array), slot_word(array, 1));
  c->direct++;
  rc = build_pairs(c, hash, *off, n, at);
  c->direct--;
  return rc;
}

/* The value at *at, which was found valid; moves *at behind it. */
static int build (sk_change *c, uint64_t hash, const uint8_t **at,
                  uint64_t *off) {
  sk_item item;
  *at += sk_item_get(*at, SIZE_MAX, &item);
  if (is_table(item.kind)) return build_table(c, hash, &item, at, off);
  return share_tree_block(c, &item, 1, off);
}

int share_tree_set (sk_change *c, struct place *p, const void *value,
                    size_t n) {
  const uint8_t *at = value;
  uint64_t before = slot_off(p->word), off;
  int rc = 0;
  if (!p->key.kind || !share_item_valid(value, n)) return SKE_INVAL;
  if (p->unit && is_table(*(const uint32_t *)value)) return SKE_INVAL;
  if (before) rc = retire_value(c, before);  /* first: it makes room */
  if (!rc) rc = build(c, p->hash, &at, &off);
  if (!rc) rc = touch_unit(c, p);
  if (!rc) rc = assign(c, p, off);
  return rc;
}
