/*
** A change: the stores of one command, gathered until the commit, with the
** blocks that it made and those that nobody will need after it.
*/
#ifndef SK_SHARE_CHANGE_H
#define SK_SHARE_CHANGE_H

#include "share_heap.h"
#include "share_view.h"

struct sk_change {
  sk_share *s;
  struct heap *heap;
  struct op *ops;
  size_t n, room;
  uint32_t *map;         /* hash table: index of an op plus 1, or 0 */
  size_t map_size;
  struct extents fresh;  /* given back when it is dropped */
  struct extents old;    /* given back when it is committed */
  struct extents units;  /* slots of objects whose entries it changes */
  uint64_t added, gone;  /* bytes of stored values */
  int moves;             /* frees what a reader may be following */
  int direct;            /* > 0: what is built is not yet reachable */
  const sk_command *cmd; /* while a handler runs */
  int failed;            /* a store of the handler's did: keep nothing */
  sk_item answer;        /* kind 0: none */
  uint64_t number;       /* what a number's item points to */
  struct bytes answer_bytes;
  struct bytes list_bytes;
};

/* 1 and its value, if the change stores to that word. */
int share_change_sees (const sk_change *c, uint64_t off, uint64_t *value);
/* Store to a word: at the commit, or at once in what is being built. */
int share_change_store (sk_change *c, uint64_t off, uint64_t value);

/* The stores after this change entries of the object at that slot. */
int share_change_unit (sk_change *c, uint64_t slot);

/* A block of `bytes`; `counted`: as part of the stored values. */
int share_change_alloc (sk_change *c, uint64_t bytes, int counted,
                        uint64_t *off);
/* Nobody needs it after the commit. */
int share_change_retire (sk_change *c, uint64_t off, uint64_t bytes,
                         int counted);

/* share_commit.c: make it so. After SKE_FULL or SKE_NOMEM nothing happened
** and the change is still there. */
int share_commit (sk_change *c);
/* As if it had never been begun, the answer apart. */
void share_change_drop (sk_change *c);
void share_change_free (sk_change *c);
/* Finish a commit that was cut off: 1 when there was one. */
int share_redo (sk_share *s);

/* share_tree.c; `p` is from view_find on this change */
int share_tree_set (sk_change *c, struct place *p, const void *value,
                    size_t n);
int share_tree_delete (sk_change *c, const struct place *p);
int share_tree_clear (sk_change *c, uint64_t table);
int share_tree_block (sk_change *c, const sk_item *item, int counted,
                      uint64_t *off);

/* share_command.c; these answer: add, read and list */
int share_command_set (sk_change *c, const sk_path *path, const void *value,
                       size_t n);
int share_command_delete (sk_change *c, const sk_path *path);
int share_command_clear (sk_change *c, const sk_path *path);
int share_command_add (sk_change *c, const sk_command *cmd);
int share_command_read (sk_change *c, const sk_path *path);
int share_command_list (sk_change *c, const sk_path *path);
/* The value at a path as it lies in the heap; a table's len is its count. */
int share_command_look (sk_change *c, const sk_path *path, sk_item *out);

/* share_recover.c: mark all that can be reached, free the rest; *stored is
** the bytes of values. */
int share_recover (struct heap *h, uint64_t *stored);

#endif
