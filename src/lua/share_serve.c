/*
** In the coordinator: calls that users' methods and functions are run for,
** and how what they change gets into the share.
*/
#include <string.h>

#include "share.h"

enum { SERVE = 1, NAMER, HANDLER_STACK = 40 };

/* ---- a call ---- */

void lsk_share_begin_arguments (lua_State *L, lsk_buffer *b) {
  if (lsk_buffer_need(b, sizeof(uint32_t))) luaL_error(L, "not enough memory");
  b->len += sizeof(uint32_t);
}

void lsk_share_end_arguments (lsk_buffer *b) {
  uint32_t len = (uint32_t)(b->len - sizeof len);
  memcpy(b->data, &len, sizeof len);
}

/* Push the call's arguments: what was encoded one after another. */
static int push_arguments (lua_State *L, lsk_share *h,
                           const sk_command *cmd) {
  const uint8_t *at = cmd->payload;
  uint32_t left;
  int n = 0;
  if (cmd->len < sizeof left) return luaL_error(L, "call without arguments");
  memcpy(&left, at, sizeof left);
  if (left > cmd->len - sizeof left) return luaL_error(L, "call is cut off");
  at += sizeof left;
  while (left) {
    size_t used;
    luaL_checkstack(L, HANDLER_STACK, "arguments");
    used = lsk_cerial_decode_from(L, at, left, h->reader);
    at += used;
    left -= (uint32_t)used;
    n++;
  }
  return n;
}

/* (share, command, serve) -> what serve returns */
static int protected_call (lua_State *L) {
  lsk_share *h = lua_touserdata(L, 1);
  const sk_command *cmd = lua_touserdata(L, 2);
  int dropped = h->dropped, n;
  h->dropped = 0;
  luaL_checkstack(L, HANDLER_STACK, "share");
  lua_replace(L, 1);
  lua_settop(L, 1);
  lua_pushlstring(L, cmd->path.data ? cmd->path.data : "", cmd->path.len);
  lua_pushinteger(L, (lua_Integer)(cmd->path.depth | cmd->path.root << 16));
  lua_pushboolean(L, cmd->is_answered);
  lua_pushboolean(L, dropped);
  n = push_arguments(L, h, cmd);
  lua_call(L, 4 + n, LUA_MULTRET);
  return lua_gettop(L);
}

/* (share, namer, ...): encode what follows, one after another */
static int encode_answer (lua_State *L) {
  lsk_share *h = lua_touserdata(L, 1);
  int top = lua_gettop(L), i;
  h->answer.len = 0;
  for (i = 3; i <= top; i++)
    lsk_cerial_encode_named(L, i, &h->answer, h->reader, 2);
  return 0;
}

/* The results lie from `first` to the top: answer with them. */
static int answer (lua_State *L, lsk_share *h, int first) {
  sk_item item = { LSK_CERIAL, 0, NULL };
  lua_pushcfunction(L, encode_answer);
  lua_insert(L, first);
  lua_pushlightuserdata(L, h);
  lua_insert(L, first + 1);
  lua_pushvalue(L, NAMER);
  lua_insert(L, first + 2);
  if (lua_pcall(L, lua_gettop(L) - first, 0, 0)) return SKE_RAISED;
  item.len = (uint32_t)h->answer.len;
  item.data = h->answer.data;
  return item.len ? sk_change_answer(h->change, &item) : 0;
}

/* An error's description is on top, or the error of describing one. */
static int answer_error (lua_State *L, lsk_share *h) {
  int first = lua_gettop(L);
  if (answer(L, h, first)) {
    /* the error cannot travel: its text does */
    lua_settop(L, first);
    if (!lua_tostring(L, -1)) {
      lua_pop(L, 1);
      lua_pushliteral(L, "error object that cannot be serialized");
    }
    answer(L, h, first);
  }
  return SKE_RAISED;
}

int lsk_share_serve (void *share, sk_change *c, const sk_command *cmd) {
  lsk_share *h = share;
  lua_State *L = h->run;
  int top = lua_gettop(L), rc;
  h->change = c;
  h->failed = 0;
  lua_pushcfunction(L, protected_call);
  lua_pushlightuserdata(L, h);
  lua_pushlightuserdata(L, (void *)(uintptr_t)cmd);
  lua_pushvalue(L, SERVE);
  rc = lua_pcall(L, 3, LUA_MULTRET, 0);
  if (h->failed) rc = h->failed;
  else if (rc) rc = answer_error(L, h);
  else if (!lua_toboolean(L, top + 1)) {
    lua_settop(L, top + 2);  /* false, description */
    rc = answer_error(L, h);
  }
  else if (cmd->is_answered && lua_gettop(L) > top + 1) {
    rc = answer(L, h, top + 2);
    if (rc) rc = answer_error(L, h);
  }
  lua_settop(L, top);
  h->change = NULL;
  if (rc) h->dropped = 1;
  return rc;
}

void lsk_share_dropped (void *share) {
  ((lsk_share *)share)->dropped = 1;
}

/* ---- what serve.lua does to the change ---- */

static lsk_share *check_change (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  luaL_argcheck(L, h->change, 1, "no call is running");
  return h;
}

static int fail_change (lua_State *L, lsk_share *h, int rc) {
  h->failed = rc;
  luaL_error(L, "%s", sk_strerror(rc));
  return 0;
}

/* change_version(path, depth, key) -> 8 bytes, or nil */
static int change_version (lua_State *L) {
  lsk_share *h = check_change(L);
  sk_path path = lsk_share_path(L, h, 2);
  uint64_t version = sk_change_version(h->change, &path);
  if (!version) return 0;
  lua_pushlstring(L, (const char *)&version, sizeof version);
  return 1;
}

/* change_get(path, depth, key) -> kind, value; or 0 */
static int change_get (lua_State *L) {
  lsk_share *h = check_change(L);
  sk_path path = lsk_share_path(L, h, 2);
  sk_item item;
  int rc = sk_change_get(h->change, &path, &item);
  if (rc == SKE_ABSENT || rc == SKE_TYPE) {
    lua_pushinteger(L, 0);
    return 1;
  }
  if (rc) return fail_change(L, h, rc);
  lua_pushinteger(L, (lua_Integer)item.kind);
  lsk_share_push(L, h, &item);
  return 2;
}

/* change_list(path, depth) -> keys, values, kinds */
static int change_list (lua_State *L) {
  lsk_share *h = check_change(L);
  const void *data;
  size_t len;
  uint32_t pairs;
  sk_path path;
  int rc;
  lua_settop(L, 3);
  lua_pushnil(L);
  path = lsk_share_path(L, h, 2);
  rc = sk_change_list(h->change, &path, &data, &len, &pairs);
  if (rc) return fail_change(L, h, rc);
  return lsk_share_push_list(L, h, data, len, pairs);
}

static int set_change (lua_State *L, lsk_share *h, const lsk_payload *p) {
  sk_path path = lsk_share_path(L, h, 2);
  int rc = sk_change_set(h->change, &path, p->b.data, p->b.len);
  return rc ? fail_change(L, h, rc) : 0;
}

/* change_set(path, depth, key, value): tables as tables; nil deletes */
static int change_set (lua_State *L) {
  lsk_share *h = check_change(L);
  lsk_payload *p;
  sk_path path;
  int rc;
  lua_settop(L, 5);
  if (lua_isnil(L, 5)) {
    path = lsk_share_path(L, h, 2);
    rc = sk_change_delete(h->change, &path);
    return rc && rc != SKE_ABSENT ? fail_change(L, h, rc) : 0;
  }
  p = lsk_share_payload(L, 1);
  if (lsk_share_value(L, h, 2, &p->b)) {
    p->busy = 0;
    lua_concat(L, 2);
    return luaL_error(L, "value%s", lua_tostring(L, -1));
  }
  set_change(L, h, p);
  p->busy = 0;
  return 0;
}

/* Is that the value that is there already? */
static int is_stored (lua_State *L, lsk_share *h, const lsk_payload *p) {
  sk_path path = lsk_share_path(L, h, 2);
  sk_item now, then;
  sk_item_get(p->b.data, p->b.len, &then);
  return sk_change_get(h->change, &path, &now) == 0 &&
         now.kind == then.kind && now.len == then.len &&
         memcmp(now.data, then.data, now.len) == 0;
}

/* change_save(path, depth, key, value, kind): as one item, if it is another
** one than before; `kind` instead of its own, or nil */
static int change_save (lua_State *L) {
  lsk_share *h = check_change(L);
  lsk_payload *p;
  lua_settop(L, 6);
  p = lsk_share_payload(L, 1);
  lsk_share_leaf(L, h, 5, &p->b);
  if (!lua_isnoneornil(L, 6)) {
    uint32_t kind = (uint32_t)luaL_checkinteger(L, 6);
    memcpy(p->b.data, &kind, sizeof kind);
  }
  if (!is_stored(L, h, p)) set_change(L, h, p);
  p->busy = 0;
  return 0;
}

static const luaL_Reg methods[] = {
  { "change_version", change_version }, { "change_get", change_get },
  { "change_list", change_list }, { "change_set", change_set },
  { "change_save", change_save }, { NULL, NULL }
};

void lsk_open_share_serve (lua_State *L) {
  luaL_setfuncs(L, methods, 0);
}
