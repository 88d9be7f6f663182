/*
** The scout: looks at the commands that come next and has the memory that
** they will touch brought into the cache. In a large table a random key costs
** three misses, each of which waits for the one before: bucket, entry, value.
** With several commands under way they overlap (software pipelining, as in
** S. Chen, A. Ailamaki, P. B. Gibbons, T. C. Mowry, "Improving Hash Join
** Performance through Prefetching", ICDE 2004).
**
** It only looks. What it reads may be changed by the commands in between, or
** be rubbish: then it fetched for nothing.
*/
#include <string.h>

#include "share_coordinator.h"

enum {
  AHEAD = 6,        /* commands between the one that is applied and the one
                    ** whose bucket is fetched */
  TO_ENTRY = 2,     /* commands later, its entry */
  TO_VALUE = 4,     /* and its value */
  WIDE = 1 << 14,   /* buckets: what has fewer stays in the cache anyway */
  REST = 256        /* commands between two looks at tables that do not */
};

static void fetch (const struct view *v, uint64_t off) {
  __builtin_prefetch(v->s->base + off, 1);
}

/* The table that holds the path's last key; keys before it are often the same
** as of the command before. */
static uint64_t find_table (struct scout *t, struct view *v,
                            const sk_path *path) {
  uint64_t moves = atomic_load_explicit(&v->s->store->moves,
                                        memory_order_relaxed);
  struct place p;
  if (t->table && t->moves == moves && t->root == path->root &&
      t->depth == path->depth && t->len == path->len &&
      !memcmp(t->path, path->data, path->len))
    return t->table;
  t->table = 0;
  if (view_place(v, path, &p, &t->table) || v->bad) return 0;
  memcpy(t->path, path->data, path->len);
  t->len = path->len;
  t->depth = path->depth;
  t->root = path->root;
  t->moves = moves;
  return t->table;
}

/* Split off the last key; 0: there is none. */
static int split (sk_path *path, sk_item *key) {
  const uint8_t *at = path->data;
  size_t left = path->len, size = 0;
  uint32_t i;
  if (!path->depth || !share_path_valid(path)) return 0;
  for (i = 0; i < path->depth; i++) {
    at += size;
    left -= size;
    size = sk_item_get(at, left, key);
  }
  path->len -= (uint32_t)size;
  path->depth--;
  return 1;
}

/* Where the search for a path's last key begins; 0 when it need not be
** fetched. */
static uint64_t find_bucket (struct scout *t, struct view *v, sk_path *path) {
  uint64_t hash, parent, table, buckets, n;
  sk_path whole = *path;
  sk_item key;
  if (!split(path, &key)) return 0;
  table = find_table(t, v, path);
  buckets = table ? view_buckets(v, table, &n) : 0;
  if (!buckets || n < WIDE) {
    t->rest = REST;
    return 0;
  }
  hash = share_hash_path(&whole, &parent);
  return buckets + (hash & (n - 1)) * sizeof(uint64_t);
}

/* The next record: -> its bucket, or 0. */
static uint64_t read_ahead (struct scout *t, struct view *v, uint32_t lane,
                            uint64_t end) {
  const uint8_t *ring = v->s->base + v->s->ring_off + lane * v->s->lane_bytes;
  uint64_t data[SCOUT_PATH / 8], left = end - t->pos;
  struct record r;
  sk_path path = { data, 0, 0, 0 };
  share_ring_get(v->s, ring, t->pos, &r, sizeof r);
  if (r.len < sizeof r || r.len % 8 || r.len > left) {
    t->pos = end;
    return 0;
  }
  if (r.path_len <= sizeof data && r.path_len <= r.len - sizeof r &&
      r.kind != PART && !(r.flags & IS_LONG) && r.root < SK_ROOTS) {
    share_ring_get(v->s, ring, t->pos + sizeof r, data, r.path_len);
    path.len = r.path_len;
    path.depth = r.depth;
    path.root = r.root;
  }
  t->pos += r.len;
  return find_bucket(t, v, &path);
}

/* From what was fetched before: what a word there leads to. */
static void follow (struct view *v, uint64_t *at) {
  uint64_t off = *at ? slot_off(view_word(v, *at)) : 0;
  if (off && view_holds(v, off, UNIT)) fetch(v, off);
  else off = 0;
  *at = off;
}

static void step (struct scout *t, struct view *v, uint32_t lane,
                  uint64_t end) {
  uint32_t k = t->n++;
  uint64_t bucket = read_ahead(t, v, lane, end);
  follow(v, &t->at[(k - TO_VALUE) % SCOUT_KEPT]);
  follow(v, &t->at[(k - TO_ENTRY) % SCOUT_KEPT]);
  if (bucket) fetch(v, bucket);
  t->at[k % SCOUT_KEPT] = bucket;
}

void share_scout (sk_coordinator *c, const struct busy_lane *b) {
  struct scout *t = &c->scouts[b->lane];
  struct view v = { c->s, NULL, 0 };
  int i;
  if (t->rest) {
    t->rest--;
    return;
  }
  t->applied++;
  if (t->pos < c->cursor[b->lane] || t->pos > b->end) {
    t->pos = c->cursor[b->lane];
    t->n = t->applied = 0;
    memset(t->at, 0, sizeof t->at);
  }
  for (i = 0; i < 2 && t->n - t->applied < AHEAD && t->pos != b->end; i++)
    step(t, &v, b->lane, b->end);
}
