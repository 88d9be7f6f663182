/*
** Looking into the store: for readers, who check afterwards that nothing
** moved, and for the coordinator, who also sees what it is about to change.
*/
#ifndef SK_SHARE_VIEW_H
#define SK_SHARE_VIEW_H

#include "share.h"

struct view {
  const sk_share *s;
  const sk_change *c;  /* coordinator: stores to come; NULL: none */
  int bad;             /* an offset led nowhere: look again */
};

/* Where an entry is, or would be. */
struct place {
  uint64_t table;   /* offset of the table that it is in */
  uint64_t entry;   /* offset; 0: no such key */
  uint64_t bucket;  /* offset of the word that leads to it, or would; 0: the
                    ** table has no buckets */
  uint64_t word;    /* its slot word; 0: no such key */
  uint64_t unit;    /* entry of the object that it is in, or 0 */
  uint64_t hash;
  sk_item key;
};

/* `n` bytes at `off` are in the heap or the store. */
int view_holds (const struct view *v, uint64_t off, uint64_t n);
uint64_t view_word (struct view *v, uint64_t off);
/* Copy whole words, as many as hold n bytes: `to` has room for them. */
void view_copy (struct view *v, uint64_t off, void *to, size_t n);
/* A block's first two numbers. */
struct block view_block (struct view *v, uint64_t off);
/* The buckets of a table: offset of the first, or 0; *n of them. */
uint64_t view_buckets (struct view *v, uint64_t table, uint64_t *n);

/* Look a key up in one table. */
void view_probe (struct view *v, uint64_t table, uint64_t hash,
                 const sk_item *key, struct place *out);
/* Look a path up: 0, also when only its last key is missing; SKE_ABSENT or
** SKE_TYPE on the way. Depth 0: only `table` is set. */
int view_find (struct view *v, const sk_path *path, struct place *out);
/* The table or object that a path leads to: 0, SKE_ABSENT or SKE_TYPE; *out
** is its own place. */
int view_place (struct view *v, const sk_path *path, struct place *out,
                uint64_t *table);

/* A growing piece of private memory. */
struct bytes {
  uint8_t *data;
  size_t len, room;
};

int bytes_need (struct bytes *b, size_t more);
/* The pairs of a table as items; *n of them. */
int view_list (struct view *v, uint64_t table, struct bytes *out,
               uint32_t *n);

#endif
