/*
** What is no plain value. The Lua side (lua/suitkaise/cerial/describe.lua)
** decides how it travels; this file writes what it says.
*/
#include <string.h>

#include "cerial_calls.h"
#include "cerial_encode.h"
#include "cerial_memory.h"

#if LUA_VERSION_NUM < 502
#define HAS_ENVIRONMENTS 1  /* of functions; later an upvalue, _ENV */
#else
#define HAS_ENVIRONMENTS 0
#endif

static void push_call (lua_State *L, encoder *e, int which) {
  if (lua_isnil(L, e->base + SLOT_CALLBACKS)) {
    cerial_push_calls(L);
    lua_replace(L, e->base + SLOT_CALLBACKS);
  }
  lua_rawgeti(L, e->base + SLOT_CALLBACKS, which);
}

/* Keep the value at `index` until the message ends: what was sent is known
** by its address, which must not be used again meanwhile. */
static void anchor (lua_State *L, encoder *e, int index) {
  lua_pushvalue(L, index);
  if (lua_isnil(L, e->base + SLOT_ANCHORS)) {
    lua_createtable(L, 4, 0);
    lua_replace(L, e->base + SLOT_ANCHORS);
  }
  lua_rawseti(L, e->base + SLOT_ANCHORS, (int)++e->anchors);
}

/* ---- the path to the value at work ---- */

static const char *push_table_part (lua_State *L, encoder *e,
                                    uint32_t depth) {
  const frame *f = &e->frames[depth];
  if (f->phase == PHASE_ITEMS && f->item == 0) {
    lua_pushnil(L);
    return "metatable";
  }
  if (f->phase == PHASE_ITEMS) lua_pushinteger(L, (lua_Integer)f->item);
  else if (f->kind == FRAME_DIRECT) direct_push_key(L, e, f);
  else encode_push_held(L, e, depth, 1);
  return f->phase == PHASE_VALUE ? "key" : "field";
}

static const char *push_function_part (lua_State *L, encoder *e,
                                       uint32_t depth) {
  const frame *f = &e->frames[depth];
  const char *name = NULL;
  if (f->item > 0) {
    encode_push_held(L, e, depth, 0);
    name = lua_getupvalue(L, -1, (int)f->item);
    lua_pop(L, name ? 2 : 1);
  }
  lua_pushstring(L, name);  /* NULL: nil */
  return name ? "upvalue" : "environment";
}

static const char *push_part (lua_State *L, encoder *e, uint32_t depth) {
  const frame *f = &e->frames[depth];
  if (f->kind == FRAME_FUNCTION) return push_function_part(L, e, depth);
  if (f->kind == FRAME_HOOK) {
    lua_pushnil(L);
    return f->phase == PHASE_STATE ? "class" : "state";
  }
  return push_table_part(L, e, depth);
}

int special_fail (lua_State *L, encoder *e) {
  uint32_t i;
  int reason = lua_gettop(L) - 1;
  luaL_checkstack(L, 12, "cerial");
  push_call(L, e, CALL_FAIL);
  lua_createtable(L, (int)e->depth * 2, 0);
  for (i = 0; i < e->depth; i++) {
    const char *what = push_part(L, e, i);
    lua_pushstring(L, what);
    lua_rawseti(L, -3, (int)i * 2 + 1);
    lua_rawseti(L, -2, (int)i * 2 + 2);
  }
  e->busy = 0;  /* whoever comes next may have it: this call is over */
  lua_pushinteger(L, (lua_Integer)e->depth);
  lua_pushvalue(L, reason);
  lua_pushvalue(L, reason + 1);
  lua_call(L, 4, 0);  /* raises */
  return 0;
}

/* ---- names ---- */

/* Add every table of the table on top to e->named, pop it; what was there,
** and where, goes into `stamp`. */
static uint32_t add_named (lua_State *L, encoder *e, int by_key,
                           uint32_t stamp) {
  int fresh;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    int at = by_key ? -2 : -1;
    if (lua_istable(L, at)) {
      const void *p = lua_topointer(L, at);
      if (!seen_put(&e->named, p, &fresh)) luaL_error(L, "not enough memory");
      stamp = (stamp ^ (uint32_t)((uintptr_t)p >> 3)) * 16777619u;
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return stamp;
}

/* Are the loaded modules and registered classes, on top, those that e->named
** was made from? Only where that is known faster than making it again. */
static int named_is_valid (lua_State *L, encoder *e) {
  uint32_t stamp;
  if (!e->direct) return 0;
  stamp = memory_stamp(lua_topointer(L, -1)) ^
          memory_stamp(lua_topointer(L, -2)) * 31u;
  if (stamp == e->direct_stamp) return 1;
  e->direct_stamp = stamp;
  return 0;
}

int special_begin (lua_State *L, encoder *e) {
  if (e->heavy) return 0;
  e->heavy = 1;
  lua_pushliteral(L, "__index");  /* a name of the VM's: it stays */
  e->index_key = memory_string(lua_tostring(L, -1));
  lua_pop(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  push_call(L, e, THE_REGISTERED);
  if (named_is_valid(L, e)) lua_pop(L, 2);
  else {
    seen_clear(&e->named);
    e->stamp = add_named(L, e, 1, 2166136261u);
    e->stamp = add_named(L, e, 0, e->stamp);
  }
  return e->depth > 0;
}

/* Could the table on top have a name? */
static int may_have_name (lua_State *L, encoder *e) {
  int is_class;
  if (seen_find(&e->named, lua_topointer(L, -1))) return 1;
  lua_pushliteral(L, "__index");
  lua_rawget(L, -2);
  is_class = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return is_class;
}

static void write_name (lua_State *L, encoder *e, int kind, int index) {
  size_t len;
  const char *s = lua_tolstring(L, index, &len);
  encode_tag(L, e, kind == KIND_CLASS ? TAG_CLASS
                 : kind == KIND_MODULE ? TAG_MODULE
                 : kind == KIND_GLOBALS ? TAG_GLOBALS : TAG_REFERENCE);
  if (kind != KIND_GLOBALS) encode_once(L, e, s, len);
}

/* Ask the namer about the metatable on top: -> is it a name now? */
static int ask_namer (lua_State *L, encoder *e) {
  lua_pushvalue(L, e->namer);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pop(L, 1);
    return 0;
  }
  write_name(L, e, KIND_CLASS, -1);
  lua_pop(L, 2);
  return 1;
}

/* The table on top, by value, is the class of the identity on top. */
static void write_identity (lua_State *L, encoder *e) {
  size_t len;
  const char *s = lua_tolstring(L, -1, &len);
  encode_tag(L, e, TAG_IDENTIFIED);
  encode_once(L, e, s, len);
}

int special_name (lua_State *L, encoder *e, int is_meta) {
  int kind;
  if (!is_meta && !may_have_name(L, e)) return 0;
  push_call(L, e, CALL_NAME);
  lua_pushvalue(L, -2);
  lua_pushinteger(L, (lua_Integer)e->stamp);
  lua_pushboolean(L, e->identify);
  lua_call(L, 3, 2);
  kind = (int)lua_tointeger(L, -2);
  if (kind) write_name(L, e, kind, -1);
  else if (e->identify) write_identity(L, e);
  lua_pop(L, kind ? 3 : 2);
  if (!kind && is_meta && e->namer) return ask_namer(L, e);
  return kind != 0;
}

/* ---- descriptions ---- */

/* Number the value at `index` as the object that is written next. */
static void number (lua_State *L, encoder *e, int index) {
  int fresh;
  seen_entry *entry = encode_seen(L, e, lua_topointer(L, index), &fresh);
  if (!fresh) return;  /* tables are numbered before they are described */
  entry->number = e->objects++;
  entry->at = encode_here(e);
}

/* Stack: value at v, kind, class, state. The frame takes the value's place. */
static void open_hook (lua_State *L, encoder *e, int v) {
  frame *f;
  int state;
  encode_tag(L, e, TAG_HOOKED);
  anchor(L, e, v + 3);
  state = (int)e->anchors;
  lua_settop(L, v + 2);
  lua_replace(L, v);
  lua_settop(L, v);
  f = encode_push(L, e, FRAME_HOOK);
  f->phase = PHASE_CLASS;
  f->holds_key = 1;
  lua_rawgeti(L, e->base + SLOT_ANCHORS, state);
}

static void open_function (lua_State *L, encoder *e, int fn, int code) {
  size_t len;
  const char *s;
  lua_Debug info;
  frame *f;
  encode_tag(L, e, TAG_FUNCTION);
  push_call(L, e, THE_VM);
  s = lua_tolstring(L, -1, &len);
  encode_string(L, e, s, len);
  lua_pop(L, 1);
  anchor(L, e, code);
  s = lua_tolstring(L, code, &len);
  encode_string(L, e, s, len);
  lua_pushvalue(L, fn);
  lua_getinfo(L, ">u", &info);
  encode_varint(L, e, (uint64_t)info.nups);
  lua_settop(L, fn);
  f = encode_push(L, e, FRAME_FUNCTION);
  f->phase = PHASE_ENV;
  f->items = (uint32_t)info.nups;
}

static void write_struct (lua_State *L, encoder *e, int name) {
  size_t len;
  const char *s = lua_tolstring(L, name, &len);
  encode_tag(L, e, TAG_STRUCT);
  anchor(L, e, name);
  encode_string(L, e, s, len);
  s = lua_tolstring(L, name + 1, &len);
  encode_once(L, e, s, len);
}

static void write_cnumber (lua_State *L, encoder *e, int kind, int bytes) {
  size_t len;
  const char *s = lua_tolstring(L, bytes, &len);
  int tag = kind == KIND_INT64 ? TAG_CINT64
          : kind == KIND_UINT64 ? TAG_CUINT64 : TAG_CCOMPLEX;
  encode_raw(L, e, tag, s, len);
}

/* The value at v is written as another one, which follows its description:
** both get the number that the other one takes. */
static enum outcome write_instead (lua_State *L, encoder *e, int v) {
  int fresh;
  seen_entry *entry = encode_seen(L, e, lua_topointer(L, v), &fresh);
  if (!fresh) e->objects--;
  entry->number = e->objects;
  entry->at = encode_here(e);
  anchor(L, e, v + 2);
  lua_pushvalue(L, v + 2);
  lua_replace(L, v);
  lua_settop(L, v);
  return encode_emit(L, e);
}

/* Write what the description at v + 1 (kind, and two more) says of the value
** at v; pops all but the value of a new frame. */
static enum outcome write_described (lua_State *L, encoder *e, int v) {
  int kind = (int)lua_tointeger(L, v + 1);
  if (kind == KIND_REPLACE) return write_instead(L, e, v);
  if (kind < KIND_INT64) number(L, e, v);
  switch (kind) {
    case KIND_HOOK:
      open_hook(L, e, v);
      return OPENED;
    case KIND_FULL:
      open_function(L, e, v, v + 2);
      return OPENED;
    case KIND_STRUCT: write_struct(L, e, v + 2); break;
    case KIND_INT64: case KIND_UINT64: case KIND_COMPLEX:
      write_cnumber(L, e, kind, v + 2);
      break;
    default: write_name(L, e, kind, v + 2);
  }
  lua_settop(L, v - 1);
  return EMITTED;
}

/* kind, a, b were returned above v; `false, reason` is an error. */
static enum outcome described (lua_State *L, encoder *e, int v) {
  if (lua_type(L, v + 1) == LUA_TNUMBER) return write_described(L, e, v);
  special_fail(L, e);  /* false, reason, cause */
  return EMITTED;
}

enum outcome special_object (lua_State *L, encoder *e) {
  int v = lua_gettop(L) - 1, fresh;
  /* an odd address is no object's: what is known of this metatable */
  const void *key = (const char *)lua_topointer(L, -1) + 1;
  seen_entry *entry = encode_seen(L, e, key, &fresh);
  if (fresh) entry->number = 0;
  if (entry->number == 0) {
    push_call(L, e, CALL_OBJECT);
    lua_pushvalue(L, v);
    lua_pushvalue(L, v + 1);
    lua_remove(L, v + 1);
    lua_call(L, 2, 3);
    if (!lua_isnil(L, v + 1)) return described(L, e, v);
    lua_settop(L, v);
    encode_seen(L, e, key, &fresh)->number = 1;
  }
  else lua_pop(L, 1);
  return encode_open(L, e, 1);
}

/* Push three results: how the value at v travels. */
static void ask (lua_State *L, encoder *e, int v, int with_stamp) {
  push_call(L, e, CALL_SPECIAL);
  lua_pushvalue(L, v);
  if (with_stamp) lua_pushinteger(L, (lua_Integer)e->stamp);
  else lua_pushnil(L);
  lua_pushinteger(L, e->how);
  lua_call(L, 3, 3);
}

enum outcome special_emit (lua_State *L, encoder *e) {
  int v = lua_gettop(L);
  const void *p = lua_topointer(L, v);
  seen_entry *known = p ? seen_find(&e->seen, p) : NULL;
  if (known) {
    encode_ref(L, e, known, TAG_REF);
    lua_pop(L, 1);
    return EMITTED;
  }
  if (e->depth == 0 && lua_isfunction(L, v)) {
    ask(L, e, v, 0);  /* one that goes by its name needs no more */
    if (lua_tointeger(L, v + 1) == KIND_REFERENCE) return described(L, e, v);
    lua_settop(L, v);
  }
  if (special_begin(L, e)) return RESTART;
  ask(L, e, v, 1);
  return described(L, e, v);
}

/* ---- the steps of functions and hooks ---- */

/* Put what is sent in its place for the function's environment on top. */
static void narrow_environment (lua_State *L, encoder *e, int fn) {
  if (!lua_istable(L, -1) || !lua_getmetatable(L, -1)) return;
  lua_pop(L, 1);
  push_call(L, e, CALL_ENVIRONMENT);
  lua_insert(L, -2);
  lua_pushvalue(L, fn);
  lua_insert(L, -2);
  lua_call(L, 2, 1);
  anchor(L, e, lua_gettop(L));
}

static enum outcome step_env (lua_State *L, encoder *e, frame *f) {
  f->phase = PHASE_CELLS;
#if HAS_ENVIRONMENTS
  lua_getfenv(L, f->index);
  narrow_environment(L, e, f->index);
#else
  lua_pushnil(L);
#endif
  return encode_emit(L, e);
}

/* Is upvalue n of the function one that was sent? Then refer to it. */
static int cell_sent (lua_State *L, encoder *e, const frame *f, int n) {
#if HAS_UPVALUE_IDS
  int fresh;
  const void *id = lua_upvalueid(L, f->index, n);
  seen_entry *entry = encode_seen(L, e, id, &fresh);
  if (!fresh) {
    encode_ref(L, e, entry, TAG_CELL_REF);
    return 1;
  }
  entry->number = e->cells;
  entry->at = encode_here(e);
#else
  (void)f, (void)n;
#endif
  e->cells++;
  encode_tag(L, e, TAG_CELL);
  return 0;
}

static enum outcome step_cells (lua_State *L, encoder *e, frame *f) {
  while (f->item < f->items) {
    enum outcome now;
    const char *name;
    int n = (int)++f->item;
    if (cell_sent(L, e, f, n)) continue;
    name = lua_getupvalue(L, f->index, n);
    if (!HAS_ENVIRONMENTS && name && !strcmp(name, "_ENV"))
      narrow_environment(L, e, f->index);
    now = encode_emit(L, e);
    if (now != EMITTED) return now;
  }
  encode_pop(L, e);
  return EMITTED;
}

static enum outcome step_hook (lua_State *L, encoder *e, frame *f) {
  switch (f->phase) {
    case PHASE_CLASS:
      f->phase = PHASE_STATE;
      lua_pushvalue(L, f->index);
      if (!lua_isstring(L, -1)) return encode_class(L, e);
      write_name(L, e, KIND_CLASS, -1);
      e->objects++;
      lua_pop(L, 1);
      return EMITTED;
    case PHASE_STATE:
      f->phase = PHASE_ITEMS;
      lua_pushvalue(L, f->index + 1);
      return encode_emit(L, e);
    default:
      encode_pop(L, e);
      return EMITTED;
  }
}

enum outcome special_step (lua_State *L, encoder *e, frame *f) {
  if (f->kind == FRAME_HOOK) return step_hook(L, e, f);
  return f->phase == PHASE_ENV ? step_env(L, e, f) : step_cells(L, e, f);
}
