/*
** Values of Lua as items of a share, and back.
**
** Numbers, strings and booleans are items of their own kinds; a plain table
** is a table of the share; how objects and everything else travel is said by
** `describe` of lua/suitkaise/share/values.lua.
*/
#include <math.h>
#include <string.h>

#include "share.h"

#define TWO_63 9223372036854775808.0
#define EXACT_IN_DOUBLE 9007199254740992.0
#define MOST_KEYS 100  /* of a path: what is in a table is one further */

/* ---- items ---- */

static void put (lua_State *L, lsk_buffer *b, uint32_t kind, const void *data,
                 size_t len) {
  sk_item item = { kind, (uint32_t)len, data };
  if (len > UINT32_MAX / 2 || lsk_buffer_need(b, len + 16))
    luaL_error(L, "not enough memory");
  b->len += sk_item_put(b->data + b->len, &item);
}

static void put_number (lua_State *L, int index, lsk_buffer *b, int is_key) {
  double d;
  int64_t i;
#if LSK_INTEGERS
  if (lua_isinteger(L, index)) {
    i = (int64_t)lua_tointeger(L, index);
    put(L, b, SK_INT, &i, sizeof i);
    return;
  }
  d = (double)lua_tonumber(L, index);
  if (!is_key) {
    put(L, b, SK_FLOAT, &d, sizeof d);
    return;
  }
#else
  (void)is_key;
  d = (double)lua_tonumber(L, index);
#endif
  /* a whole number is an integer, for a Lua that tells them apart */
  if (d == floor(d) && fabs(d) <= EXACT_IN_DOUBLE &&
      !(d == 0 && signbit(d))) {
    i = (int64_t)d;
    put(L, b, SK_INT, &i, sizeof i);
  }
  else put(L, b, SK_FLOAT, &d, sizeof d);
}

static int put_scalar (lua_State *L, int index, lsk_buffer *b, int is_key) {
  size_t len;
  const char *s;
  uint8_t on;
  switch (lua_type(L, index)) {
    case LUA_TNUMBER: put_number(L, index, b, is_key); return 1;
    case LUA_TSTRING:
      s = lua_tolstring(L, index, &len);
      put(L, b, LSK_STRING, s, len);
      return 1;
    case LUA_TBOOLEAN:
      on = (uint8_t)lua_toboolean(L, index);
      put(L, b, LSK_BOOLEAN, &on, 1);
      return 1;
    default: return 0;
  }
}

int lsk_share_key (lua_State *L, int index, lsk_buffer *b) {
  if (lua_type(L, index) == LUA_TNUMBER) {
    lua_Number n = lua_tonumber(L, index);
    if (n != n) return 0;
    if (n == 0) {  /* -0 is 0, as it is in a table */
      int64_t zero = 0;
      put(L, b, SK_INT, &zero, sizeof zero);
      return 1;
    }
  }
  return put_scalar(L, index, b, 1);
}

sk_path lsk_share_path (lua_State *L, lsk_share *h, int arg) {
  size_t len;
  const char *s = luaL_checklstring(L, arg, &len);
  sk_path path = { NULL, 0, 0, 0 };
  lua_Integer depth = luaL_checkinteger(L, arg + 1);
  path.depth = (uint32_t)depth & 0xFFFFu;
  path.root = (uint32_t)depth >> 16;
  h->path.len = 0;
  if (lsk_buffer_need(&h->path, len)) luaL_error(L, "not enough memory");
  if (len) memcpy(h->path.data, s, len);
  h->path.len = len;
  if (!lua_isnoneornil(L, arg + 2)) {
    if (!lsk_share_key(L, arg + 2, &h->path)) luaL_argerror(L, arg + 2, "key");
    path.depth++;
  }
  path.data = h->path.data;
  path.len = (uint32_t)h->path.len;
  return path;
}

void lsk_share_leaf (lua_State *L, lsk_share *h, int index, lsk_buffer *b) {
  size_t at = b->len;
  uint32_t head[2] = { LSK_CERIAL, 0 };
  if (put_scalar(L, index, b, 0)) return;
  if (lsk_buffer_need(b, sizeof head)) luaL_error(L, "not enough memory");
  b->len += sizeof head;
  lsk_share_encode(L, h, index, b);
  head[1] = (uint32_t)(b->len - at - sizeof head);
  memcpy(b->data + at, head, sizeof head);
  if (lsk_buffer_need(b, 8)) luaL_error(L, "not enough memory");
  memset(b->data + b->len, 0, 8);
  b->len = (b->len + 7) & ~(size_t)7;
}

/* ---- tables ---- */

static const char too_deep[] = ": is nested deeper than 99 tables in its "
                               "share, or contains itself";

/* `depth`: how many keys lead to the value. */
static int put_value (lua_State *L, lsk_share *h, int index, lsk_buffer *b,
                      int depth);

/* On top are the path below `key` and why it is refused: puts the key in
** front of the path. A long way loses its end. */
static int blame (lua_State *L, int key) {
  enum { MOST = 60 };
  int path = lua_gettop(L) - 1;
  const char *below = lua_tostring(L, path);
  if (lua_rawlen(L, path) > MOST) below = "...";
  lua_pushvalue(L, key);
  if (lua_type(L, key) == LUA_TSTRING)
    lua_pushfstring(L, ".%s%s", lua_tostring(L, -1), below);
  else if (lua_type(L, key) == LUA_TNUMBER)
    lua_pushfstring(L, "[%s]%s", lua_tostring(L, -1), below);
  else lua_pushfstring(L, "[%s]%s", luaL_typename(L, -1), below);
  lua_replace(L, path);
  lua_pop(L, 1);
  return 1;
}

static int refuse (lua_State *L, const char *why) {
  lua_pushliteral(L, "");
  lua_pushstring(L, why);
  return 1;
}

/* Room for a table's item, which is written when its pairs are counted. */
static size_t open_table (lua_State *L, lsk_buffer *b) {
  size_t at = b->len;
  if (lsk_buffer_need(b, 16)) luaL_error(L, "not enough memory");
  b->len += 8;
  return at;
}

static void close_table (lsk_buffer *b, size_t at, uint32_t kind,
                         uint32_t pairs) {
  sk_item item = { kind, pairs, NULL };
  sk_item_put(b->data + at, &item);
}

static int put_pair (lua_State *L, lsk_share *h, lsk_buffer *b, int depth) {
  int key = lua_gettop(L) - 1;
  if (!lsk_share_key(L, key, b))
    return refuse(L, ": a key of a shared table must be a string, a number "
                     "or a boolean") && blame(L, key);
  return put_value(L, h, -1, b, depth) && blame(L, key);
}

static int put_table (lua_State *L, lsk_share *h, int index, lsk_buffer *b,
                      int depth) {
  size_t at = open_table(L, b);
  uint32_t n = 0;
  index = lua_absindex(L, index);
  luaL_checkstack(L, 8, "shared table");
  if (depth >= MOST_KEYS) return refuse(L, too_deep);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1), n++)
    if (put_pair(L, h, b, depth + 1)) return 1;
  close_table(b, at, SK_TABLE, n);
  return 0;
}

/* The stack ends with a class's token and the table of the fields. */
static void put_object (lua_State *L, lsk_share *h, lsk_buffer *b) {
  size_t at = open_table(L, b);
  int fields = lua_gettop(L);
  uint32_t n = 1;
  put(L, b, LSK_STRING, LSK_CLASS_FIELD, sizeof LSK_CLASS_FIELD - 1);
  put_scalar(L, fields - 1, b, 0);
  for (lua_pushnil(L); lua_next(L, fields); lua_pop(L, 1), n++) {
    if (!lsk_share_key(L, -2, b)) luaL_error(L, "key of an object's field");
    lsk_share_leaf(L, h, -1, b);
  }
  close_table(b, at, SK_OBJECT, n);
}

static void put_whole (lua_State *L, lsk_share *h, int index, lsk_buffer *b) {
  size_t at = b->len;
  uint32_t kind = LSK_WHOLE;
  lsk_share_leaf(L, h, index, b);
  memcpy(b->data + at, &kind, sizeof kind);
}

/* describe(value) -> "leaf", value; "table", plain table; "object", class's
** token, fields; or "whole", object. */
static int put_described (lua_State *L, lsk_share *h, int index,
                          lsk_buffer *b, int depth) {
  int top, bad = 0;
  const char *how;
  index = lua_absindex(L, index);
  top = lua_gettop(L);
  luaL_checkstack(L, 8, "shared value");
  lsk_share_push_describe(L);
  lua_pushvalue(L, index);
  lua_call(L, 1, 3);
  how = lua_tostring(L, top + 1);
  switch (how ? *how : 0) {
    case 'l': lsk_share_leaf(L, h, top + 2, b); break;
    case 't': bad = put_table(L, h, top + 2, b, depth); break;
    case 'o':
      if (depth >= MOST_KEYS) bad = refuse(L, too_deep);
      else put_object(L, h, b);
      break;
    case 'w': put_whole(L, h, top + 2, b); break;
    default: return luaL_error(L, "describe said %s", how);
  }
  if (!bad) lua_settop(L, top);
  return bad;
}

static int put_value (lua_State *L, lsk_share *h, int index, lsk_buffer *b,
                      int depth) {
  if (put_scalar(L, index, b, 0)) return 0;
  if (lua_type(L, index) == LUA_TTABLE) {
    if (!lua_getmetatable(L, index)) return put_table(L, h, index, b, depth);
    lua_pop(L, 1);
  }
  return put_described(L, h, index, b, depth);
}

int lsk_share_value (lua_State *L, lsk_share *h, int path, lsk_buffer *b) {
  int depth = (int)lua_tointeger(L, path + 1) & 0xFFFF;
  return put_value(L, h, path + 3, b, depth + !lua_isnil(L, path + 2));
}

/* ---- back ---- */

/* Is that item read without a kind? */
static int is_plain (uint32_t kind) {
  return kind != SK_TABLE && kind != SK_OBJECT && kind != LSK_WHOLE &&
         kind != LSK_CERIAL;
}

static void push_number (lua_State *L, const sk_item *item) {
  double d;
  int64_t i;
  if (item->kind == SK_FLOAT) {
    memcpy(&d, item->data, sizeof d);
    lua_pushnumber(L, (lua_Number)d);
    return;
  }
  memcpy(&i, item->data, sizeof i);
  lsk_pushint(L, i);
}

/* A hook may read the share, into the buffer that the item is in. */
static void push_decoded (lua_State *L, lsk_share *h, const sk_item *item) {
  void *copy;
  luaL_checkstack(L, 4, "shared value");
  copy = lua_newuserdata(L, item->len + 1);
  memcpy(copy, item->data, item->len);
  lsk_cerial_decode_from(L, copy, item->len, h->reader);
  lua_remove(L, -2);
}

void lsk_share_push_plain (lua_State *L, const sk_item *item) {
  switch (item->kind) {
    case SK_INT: case SK_FLOAT: push_number(L, item); break;
    case SK_TABLE: case SK_OBJECT:
      lua_pushinteger(L, (lua_Integer)item->len);
      break;
    case LSK_STRING: lua_pushlstring(L, item->data, item->len); break;
    case LSK_BOOLEAN:
      lua_pushboolean(L, item->len && *(const uint8_t *)item->data);
      break;
    default: lua_pushnil(L);
  }
}

void lsk_share_push (lua_State *L, lsk_share *h, const sk_item *item) {
  if (item->kind == LSK_CERIAL || item->kind == LSK_WHOLE)
    push_decoded(L, h, item);
  else lsk_share_push_plain(L, item);
}

int lsk_share_push_list (lua_State *L, lsk_share *h, const void *data,
                         size_t len, uint32_t pairs) {
  int keys, most = pairs > 1u << 24 ? 1 << 24 : (int)pairs;
  uint8_t *at = lua_newuserdata(L, len + 1), *end = at + len;
  uint32_t i;
  if (len) memcpy(at, data, len);  /* for the same reason */
  lua_createtable(L, most, 0);
  lua_createtable(L, most, 0);
  lua_newtable(L);
  keys = lua_gettop(L) - 2;
  for (i = 1; i <= pairs; i++) {
    sk_item key, value;
    at += sk_item_get(at, (size_t)(end - at), &key);
    at += sk_item_get(at, (size_t)(end - at), &value);
    lsk_share_push(L, h, &key);
    lua_rawseti(L, keys, (int)i);
    lsk_share_push(L, h, &value);
    lua_rawseti(L, keys + 1, (int)i);
    if (is_plain(value.kind)) continue;
    lua_pushinteger(L, (lua_Integer)value.kind);
    lua_rawseti(L, keys + 2, (int)i);
  }
  lua_remove(L, keys - 1);
  return 3;
}
