/*
** What the files of Share's binding share: share.c (the userdata and what
** user code calls), share_value.c (values to items and back), share_serve.c
** (in the coordinator), share_quick.c (for LuaJIT's compiler).
*/
#ifndef LSK_SHARE_H
#define LSK_SHARE_H

#include "buffer.h"
#include "cerial.h"
#include "lsk.h"

/* Kinds of items that only Lua understands. */
enum {
  LSK_STRING = SK_BYTES,
  LSK_BOOLEAN,  /* one byte */
  LSK_CERIAL,   /* any other value that is read as a whole */
  LSK_WHOLE     /* an object that is read as a whole, but called in place */
};

/* The field of an object that holds its class's token. */
#define LSK_CLASS_FIELD "\0class"

/* What share_quick's last read found. LuaJIT declares it too. */
typedef struct lsk_look {
  double number;
  const char *data;
  uint32_t kind, len;
  sk_seen seen;
} lsk_look;

typedef struct lsk_share {
  sk_share *share;     /* NULL: closed */
  lsk_look look;
  sk_port *port;
  lua_State *run;      /* where handlers run: `serve` is at its bottom */
  sk_change *change;   /* while a handler runs */
  enum lsk_reader reader;
  int dropped;         /* what the last handler changed was not kept */
  int failed;          /* why a change of the running one could not be made */
  lsk_buffer path, answer;
} lsk_share;

/* A buffer of which a call is the only user. It stays busy when the call ends
** in an error, and another one takes its place. */
typedef struct lsk_payload {
  lsk_buffer b;
  int busy;
} lsk_payload;

#define LSK_SHARE "suitkaise.share"

/* ---- share.c ---- */

/* The share at `arg`, which is open. */
lsk_share *lsk_checkshare (lua_State *L, int arg);
/* Push lua/suitkaise/share/values.lua's describe; the share is at 1. */
void lsk_share_push_describe (lua_State *L);
/* Append a value as cerial writes it, classes of the share by their tokens;
** the share is at 1. */
void lsk_share_encode (lua_State *L, lsk_share *h, int index, lsk_buffer *b);
/* Push an empty payload of the share at `arg`. */
lsk_payload *lsk_share_payload (lua_State *L, int arg);

/* ---- share_value.c ---- */

/* Arguments arg and arg + 1: a path and its depth; arg + 2: one more key, or
** nil. The path that they make lies in h->path. */
sk_path lsk_share_path (lua_State *L, lsk_share *h, int arg);
/* Append a key: 1, or 0 when it cannot be one. */
int lsk_share_key (lua_State *L, int index, lsk_buffer *b);
/* Arguments: a path, its depth and one more key or nil, and a value, which is
** appended, tables as tables; the share is at 1. 0, or 1 with where and why
** not pushed as two strings. */
int lsk_share_value (lua_State *L, lsk_share *h, int path, lsk_buffer *b);
/* Append it as one item, whatever it is. */
void lsk_share_leaf (lua_State *L, lsk_share *h, int index, lsk_buffer *b);
/* Push an item's value; of a table or object its size. */
void lsk_share_push (lua_State *L, lsk_share *h, const sk_item *item);
/* The same, but nil for what cerial would have to decode. */
void lsk_share_push_plain (lua_State *L, const sk_item *item);
/* Push three arrays: keys, values, and kinds of those that are no plain
** values. */
int lsk_share_push_list (lua_State *L, lsk_share *h, const void *data,
                         size_t len, uint32_t pairs);

/* ---- share_quick.c ---- */

SK_API int lsk_share_quick_fresh (const lsk_share *h, const sk_seen *seen);

/* ---- share_serve.c ---- */

/* Around the arguments of a call: the core pads a command, so they begin with
** how long they are. */
void lsk_share_begin_arguments (lua_State *L, lsk_buffer *b);
void lsk_share_end_arguments (lsk_buffer *b);

int lsk_share_serve (void *share, sk_change *c, const sk_command *cmd);
void lsk_share_dropped (void *share);
void lsk_open_share_serve (lua_State *L);  /* methods; the class is on top */

#endif
