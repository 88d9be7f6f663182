/*
** Items: how values, keys and paths are laid out, and the hash of a path.
*/
#include <string.h>

#include "share.h"

struct head {
  uint32_t kind, len;
};

static uint64_t padded (uint64_t n) {
  return (n + 7) & ~7ull;
}

size_t sk_item_size (const sk_item *item) {
  return sizeof(struct head) +
         (is_table(item->kind) ? 0 : (size_t)padded(item->len));
}

size_t sk_item_put (void *at, const sk_item *item) {
  struct head h = { item->kind, item->len };
  size_t size = sk_item_size(item);
  uint8_t *p = at;
  memcpy(p, &h, sizeof h);
  if (size > sizeof h) {
    memset(p + size - 8, 0, 8);  /* the same bytes for the same item */
    memcpy(p + sizeof h, item->data, item->len);
  }
  return size;
}

size_t sk_item_get (const void *at, size_t room, sk_item *item) {
  struct head h;
  if (room < sizeof h) return 0;
  memcpy(&h, at, sizeof h);
  item->kind = h.kind;
  item->len = h.len;
  item->data = (const uint8_t *)at + sizeof h;
  if (h.kind == 0 || (h.kind <= SK_FLOAT && h.len != 8)) return 0;
  if (is_table(h.kind)) return sizeof h;
  if (padded(h.len) > room - sizeof h) return 0;
  return sizeof h + (size_t)padded(h.len);
}

/* -> bytes of the value at `at`, or 0. */
static size_t value_size (const uint8_t *at, size_t room, int depth,
                          int in_object) {
  sk_item item;
  size_t size = sk_item_get(at, room, &item), part;
  uint32_t i;
  if (!size || !is_table(item.kind)) return size;
  if (depth == DEPTH || in_object) return 0;
  for (i = 0; i < item.len; i++) {
    sk_item key;
    part = sk_item_get(at + size, room - size, &key);
    if (!part || is_table(key.kind)) return 0;
    size += part;
    part = value_size(at + size, room - size, depth + 1,
                      item.kind == SK_OBJECT);
    if (!part) return 0;
    size += part;
  }
  return size;
}

int share_item_valid (const void *at, size_t n) {
  return n && value_size(at, n, 0, 0) == n;
}

int share_path_valid (const sk_path *path) {
  const uint8_t *at = path->data;
  size_t left = path->len;
  uint32_t i;
  if (path->root >= SK_ROOTS || path->depth > DEPTH) return 0;
  for (i = 0; i < path->depth; i++) {
    sk_item key;
    size_t size = sk_item_get(at, left, &key);
    if (!size || is_table(key.kind)) return 0;
    at += size;
    left -= size;
  }
  return left == 0;
}

static uint64_t mix (uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93u;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93u;
  return x ^ x >> 32;
}

uint64_t share_hash_root (uint32_t root) {
  return mix(root + 1);
}

uint64_t share_hash (uint64_t parent, const sk_item *key) {
  uint64_t h = parent + key->kind * 0x9e3779b97f4a7c15u, word;
  const uint8_t *at = key->data;
  size_t left = key->len;
  if (key->kind == SK_INT) {
    /* neighbours lie beside each other: eight in a cache line of buckets */
    memcpy(&word, at, sizeof word);
    return (mix(h ^ word >> 3) & ~7ull) | (word & 7);
  }
  h = mix(h ^ key->len);
  for (; left >= sizeof word; left -= sizeof word, at += sizeof word) {
    memcpy(&word, at, sizeof word);
    h = mix(h ^ word);
  }
  word = 0;
  memcpy(&word, at, left);
  return left ? mix(h ^ word) : h;
}

uint64_t share_hash_path (const sk_path *path, uint64_t *parent) {
  uint64_t h = share_hash_root(path->root);
  const uint8_t *at = path->data;
  size_t left = path->len;
  uint32_t i;
  *parent = h;
  for (i = 0; i < path->depth; i++) {
    sk_item key;
    size_t size = sk_item_get(at, left, &key);
    *parent = h;
    h = share_hash(h, &key);
    at += size;
    left -= size;
  }
  return h;
}
