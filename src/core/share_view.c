/*
** Finding things in the store. A reader may follow an offset into memory that
** has become something else: every step is checked, and nothing is believed
** before the reader has found that nothing moved meanwhile.
*/
#include <stdlib.h>
#include <string.h>

#include "share_change.h"
#include "share_view.h"

#define TAG(hash) ((hash) >> (64 - VERSION_BITS))

int view_holds (const struct view *v, uint64_t off, uint64_t n) {
  const sk_share *s = v->s;
  uint64_t from = s->heap_off, to;
  if (off < from) {
    from = s->store_off;
    to = s->store_end;
  }
  else to = from + atomic_load_explicit(&s->store->heap_size,
                                        memory_order_acquire);
  return off >= from && off <= to && n <= to - off && off % 8 == 0;
}

uint64_t view_word (struct view *v, uint64_t off) {
  uint64_t value;
  if (!view_holds(v, off, sizeof value)) {
    v->bad = 1;
    return 0;
  }
  if (v->c && share_change_sees(v->c, off, &value)) return value;
  return atomic_load_explicit((_Atomic uint64_t *)(v->s->base + off),
                              memory_order_acquire);
}

void view_copy (struct view *v, uint64_t off, void *to, size_t n) {
  const _Atomic uint64_t *from;
  uint64_t *words = to;
  size_t i, count = (n + 7) / 8;
  if (!view_holds(v, off, count * 8)) {
    v->bad = 1;
    memset(to, 0, count * 8);
    return;
  }
  from = (const _Atomic uint64_t *)(v->s->base + off);
  for (i = 0; i < count; i++)
    words[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
}

struct block view_block (struct view *v, uint64_t off) {
  struct block b;
  view_copy(v, off, &b, sizeof b);
  return b;
}

uint64_t view_buckets (struct view *v, uint64_t table, uint64_t *n) {
  uint64_t array = slot_off(view_word(v, table +
                                         offsetof(struct table, array)));
  uint64_t log2;
  *n = 0;
  if (!array) return 0;
  log2 = view_word(v, array);
  if (log2 > 40 || !view_holds(v, array, array_bytes(log2))) {
    v->bad = 1;
    return 0;
  }
  *n = 1ull << log2;
  return array + offsetof(struct array, buckets);
}

static int same_key (struct view *v, uint64_t entry, uint64_t hash,
                     const sk_item *key) {
  const uint8_t *at = key->data;
  uint64_t off = entry + sizeof(struct entry), i;
  struct block head;
  if (view_word(v, entry + offsetof(struct entry, hash)) != hash) return 0;
  head = view_block(v, entry + offsetof(struct entry, kind));
  if (head.kind != key->kind || head.len != key->len) return 0;
  for (i = 0; i < key->len; i += 8) {
    uint64_t word = view_word(v, off + i);
    size_t n = key->len - i < 8 ? (size_t)(key->len - i) : 8;
    if (memcmp(&word, at + i, n)) return 0;
  }
  return !v->bad;
}

void view_probe (struct view *v, uint64_t table, uint64_t hash,
                 const sk_item *key, struct place *out) {
  uint64_t n, i, at, buckets = view_buckets(v, table, &n);
  out->table = table;
  out->hash = hash;
  out->key = *key;
  out->entry = out->bucket = out->word = 0;
  for (i = 0; i < n; i++) {
    uint64_t word, entry;
    at = buckets + ((hash + i) & (n - 1)) * sizeof word;
    word = view_word(v, at);
    if (!word) {
      out->bucket = at;
      return;
    }
    if ((word & VERSION_MASK) != TAG(hash)) continue;
    entry = slot_off(word);
    if (!same_key(v, entry, hash, key)) continue;
    out->bucket = at;
    out->entry = entry;
    out->word = view_word(v, entry);
    return;
  }
}

static int enter (struct view *v, struct place *p, uint64_t *table) {
  uint64_t off = slot_off(p->word);
  uint32_t kind;
  if (!off) return SKE_ABSENT;
  kind = view_block(v, off).kind;
  if (!is_table(kind)) return SKE_TYPE;
  if (kind == SK_OBJECT) p->unit = p->entry;
  *table = off;
  return 0;
}

int view_find (struct view *v, const sk_path *path, struct place *out) {
  uint64_t hash = share_hash_root(path->root);
  const uint8_t *at = path->data;
  size_t left = path->len;
  uint32_t i;
  memset(out, 0, sizeof *out);
  out->table = v->s->store_off + offsetof(struct store, roots) +
               path->root * sizeof(struct table);
  for (i = 0; i < path->depth; i++) {
    uint64_t table = out->table;
    sk_item key;
    size_t size = sk_item_get(at, left, &key);
    int rc = i ? enter(v, out, &table) : 0;
    if (rc) return rc;
    hash = share_hash(hash, &key);
    view_probe(v, table, hash, &key, out);
    at += size;
    left -= size;
  }
  return 0;
}

int view_place (struct view *v, const sk_path *path, struct place *out,
                uint64_t *table) {
  int rc = view_find(v, path, out);
  if (rc) return rc;
  if (path->depth) return enter(v, out, table);
  *table = out->table;
  return 0;
}

/* ---- lists ---- */

int bytes_need (struct bytes *b, size_t more) {
  size_t room = b->room ? b->room : 256;
  uint8_t *data;
  if (more <= b->room - b->len) return 0;
  while (room - b->len < more) {
    if (room > SIZE_MAX / 2) return SKE_NOMEM;
    room *= 2;
  }
  data = realloc(b->data, room);
  if (!data) return SKE_NOMEM;
  b->data = data;
  b->room = room;
  return 0;
}

/* Append the item whose kind and length are at `off`, its bytes at `data`. */
static int add_item (struct view *v, struct block head, uint64_t data,
                     struct bytes *out) {
  uint64_t padded = is_table(head.kind) ? 0 : (head.len + 7ull) & ~7ull;
  size_t bytes = (size_t)padded;
  int rc;
  if (v->bad || (padded && !view_holds(v, data, padded))) {
    v->bad = 1;
    return 0;
  }
  if ((rc = bytes_need(out, sizeof head + bytes))) return rc;
  memcpy(out->data + out->len, &head, sizeof head);
  out->len += sizeof head;
  if (bytes) view_copy(v, data, out->data + out->len, bytes);
  out->len += bytes;
  return 0;
}

static int add_value (struct view *v, uint64_t off, struct bytes *out) {
  struct block head = view_block(v, off);
  if (is_table(head.kind))
    head.len = (uint32_t)view_word(v, off + offsetof(struct table, count));
  return add_item(v, head, off + sizeof head, out);
}

/* Append one pair, if it has a value; look again while it changes. */
static int add_pair (struct view *v, uint64_t entry, struct bytes *out,
                     uint32_t *n) {
  size_t before = out->len;
  uint64_t word, seen = view_word(v, entry);
  do {
    uint64_t key = entry + offsetof(struct entry, kind);
    int rc;
    word = seen;
    out->len = before;
    if (!slot_off(word)) return 0;
    rc = add_item(v, view_block(v, key), key + sizeof(struct block), out);
    if (!rc) rc = add_value(v, slot_off(word), out);
    if (rc) return rc;
    atomic_thread_fence(memory_order_acquire);
    seen = view_word(v, entry);
    if (seen != word) v->bad = 0;  /* of a block that was replaced */
  } while (seen != word);
  ++*n;
  return 0;
}

int view_list (struct view *v, uint64_t table, struct bytes *out,
               uint32_t *n) {
  uint64_t count, i, buckets = view_buckets(v, table, &count);
  *n = 0;
  for (i = 0; i < count && !v->bad; i++) {
    uint64_t word = view_word(v, buckets + i * sizeof word);
    int rc = word ? add_pair(v, slot_off(word), out, n) : 0;
    if (rc) return rc;
  }
  return 0;
}
