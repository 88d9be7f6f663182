/*
** What is no plain value in the bytes: functions, objects, hooks, names.
** The Lua side (lua/suitkaise/cerial/resolve.lua) says what a name is and
** whether it may be used.
*/
#include "cerial_calls.h"
#include "cerial_decode.h"

static void push_call (lua_State *L, decoder *d, int which) {
  if (lua_isnil(L, d->base + HAVE_CALLS)) {
    cerial_push_calls(L);
    lua_replace(L, d->base + HAVE_CALLS);
  }
  lua_rawgeti(L, d->base + HAVE_CALLS, which);
}

/* Raise with the message on top, and the cause below it or nil. */
static void refuse (lua_State *L, decoder *d) {
  d->busy = 0;
  push_call(L, d, CALL_REFUSE);
  lua_pushvalue(L, -2);
  lua_pushinteger(L, (lua_Integer)(d->at - d->start));
  lua_pushvalue(L, -5);
  lua_call(L, 3, 0);
}

/* ---- names ---- */

/* Replace the name on top by what it names. */
static void resolve (lua_State *L, decoder *d, int kind) {
  push_call(L, d, CALL_RESOLVE);
  lua_pushinteger(L, kind);
  lua_pushvalue(L, -3);
  lua_pushboolean(L, d->trusted);
  lua_call(L, 3, 2);
  if (lua_isnil(L, -2)) refuse(L, d);
  lua_pop(L, 1);
  lua_replace(L, -2);
}

static void read_name (lua_State *L, decoder *d, int kind, int shared) {
  uint32_t number = d->objects.next;
  if (kind == KIND_GLOBALS) lua_pushliteral(L, "_G");
  else decode_string(L, d);
  resolve(L, d, kind);
  decode_number(L, d, &d->objects, HAVE_REFS, shared);
  if (kind != KIND_CLASS) return;
  d->is_class = 1;
  if (shared) d->objects.slots[number] |= SLOT_IS_CLASS;
}

/* ---- cdata ---- */

/* Call CALL_BUILD with `n` values that are on top of the stack. */
static void build (lua_State *L, decoder *d, int n) {
  push_call(L, d, CALL_BUILD);
  lua_insert(L, -n - 1);
  lua_call(L, n, 2);
  if (lua_isnil(L, -2)) refuse(L, d);
  lua_pop(L, 1);
}

static void read_struct (lua_State *L, decoder *d, int shared) {
  lua_pushinteger(L, KIND_STRUCT);
  decode_string(L, d);
  decode_string(L, d);
  lua_pushboolean(L, d->trusted);
  build(L, d, 4);
  decode_number(L, d, &d->objects, HAVE_REFS, shared);
}

static void read_cnumber (lua_State *L, decoder *d, int tag) {
  size_t n = tag == TAG_CCOMPLEX ? 16 : 8;
  const uint8_t *p = decode_bytes(L, d, n);
  int kind = tag == TAG_CINT64 ? KIND_INT64
           : tag == TAG_CUINT64 ? KIND_UINT64 : KIND_COMPLEX;
  lua_pushinteger(L, kind);
  lua_pushlstring(L, (const char *)p, n);
  build(L, d, 2);
}

/* ---- functions ---- */

typedef struct chunk { const char *s; size_t len; } chunk;

static const char *read_chunk (lua_State *L, void *data, size_t *len) {
  chunk *c = data;
  const char *s = c->s;
  (void)L;
  *len = c->len;
  c->s = NULL;
  return s;
}

static int load_code (lua_State *L, chunk *c) {
#if LUA_VERSION_NUM >= 502
  return lua_load(L, read_chunk, c, "=cerial", "b");
#else
  return lua_load(L, read_chunk, c, "=cerial");
#endif
}

/* Replace the VM's name and the bytecode on top by the function. */
static void load_function (lua_State *L, decoder *d) {
  chunk c;
  push_call(L, d, THE_VM);
  if (!lua_rawequal(L, -1, -3)) {
    lua_pushnil(L);
    lua_pushfstring(L, "bytecode of %s cannot be loaded by %s",
                    lua_tostring(L, -4), lua_tostring(L, -2));
    refuse(L, d);
  }
  lua_pop(L, 1);
  c.s = lua_tolstring(L, -1, &c.len);
  if (c.len == 0 || c.s[0] != LUA_SIGNATURE[0])
    decode_fail(L, d, "this is no bytecode");
  if (load_code(L, &c)) {
    lua_pushnil(L);
    lua_insert(L, -2);
    refuse(L, d);
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

static int open_function (lua_State *L, decoder *d, int shared) {
  lua_Debug info;
  uint32_t cells;
  dframe *f;
  if (!d->trusted)
    decode_fail(L, d, "a function in bytes that are not trusted: "
                      "use { trusted = true }");
  if (d->no_bytecode)
    decode_fail(L, d, "a function by value from another program");
  decode_string(L, d);
  decode_string(L, d);
  load_function(L, d);
  cells = decode_count(L, d);
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">u", &info);
  if ((uint32_t)info.nups != cells)
    decode_fail(L, d, "the bytecode has other upvalues");
  decode_number(L, d, &d->objects, HAVE_REFS, shared);
  f = decode_push(L, d, DFRAME_FUNCTION);
  f->items = cells;
  f->phase = EXPECT_ENV;
  return 1;
}

/* Upvalue n of the function is the one that was sent as `number`. */
static void join_cell (lua_State *L, decoder *d, int fn, int n,
                       uint64_t number) {
  int owner = (int)decode_find(L, d, &d->cells, number) * 2 - 1;
  lua_rawgeti(L, d->base + HAVE_CELLS, owner);
  lua_rawgeti(L, d->base + HAVE_CELLS, owner + 1);
#if HAS_UPVALUE_IDS
  lua_upvaluejoin(L, fn, n, -2, (int)lua_tointeger(L, -1));
  lua_pop(L, 2);
#else
  if (!lua_getupvalue(L, -2, (int)lua_tointeger(L, -1))) lua_pushnil(L);
  if (!lua_setupvalue(L, fn, n)) lua_pop(L, 1);
  lua_pop(L, 2);
#endif
}

/* Upvalue n of the function is new; `shared`: others will refer to it. */
static void number_cell (lua_State *L, decoder *d, int fn, int n,
                         int shared) {
  uint32_t slot = decode_slot(L, &d->cells, shared);
  if (!slot) return;
  lua_pushvalue(L, fn);
  decode_keep(L, d, HAVE_CELLS, slot * 2 - 1);
  lua_pushinteger(L, n);
  decode_keep(L, d, HAVE_CELLS, slot * 2);
}

/* Read on to the next upvalue that has a value of its own. */
static void next_cell (lua_State *L, decoder *d, dframe *f) {
  f->phase = EXPECT_CELL;
  while (f->item < f->items) {
    int tag = *decode_bytes(L, d, 1);
    int n = (int)++f->item;
    if (tag == TAG_CELL_REF) join_cell(L, d, f->index, n, decode_varint(L, d));
    else if ((tag & ~1) == TAG_CELL) {
      number_cell(L, d, f->index, n, tag & 1);
      return;
    }
    else decode_fail(L, d, "an upvalue was expected");
  }
  f->phase = EXPECT_NOTHING;
}

static void take_environment (lua_State *L, decoder *d, dframe *f) {
#if LUA_VERSION_NUM < 502
  if (lua_istable(L, -1)) lua_setfenv(L, f->index);
  else lua_pop(L, 1);
#else
  lua_pop(L, 1);
#endif
  next_cell(L, d, f);
}

static void take_cell (lua_State *L, decoder *d, dframe *f) {
  if (!lua_setupvalue(L, f->index, (int)f->item)) lua_pop(L, 1);
  next_cell(L, d, f);
}

/* ---- objects ---- */

void revive_meta (lua_State *L, decoder *d, dframe *f) {
  if (!lua_istable(L, -1)) decode_fail(L, d, "a metatable was expected");
  if (!d->trusted && !d->is_class)
    decode_fail(L, d, "a metatable that is no class");
#if LUA_VERSION_NUM >= 502
  if (!d->is_class) {  /* its __gc may arrive later: see revive_finish */
    lua_pushvalue(L, f->index);
    decode_keep(L, d, HAVE_METAS, ++d->metas);
    lua_pushvalue(L, -1);
    decode_keep(L, d, HAVE_METAS, ++d->metas);
  }
#endif
  lua_setmetatable(L, f->index);
}

void revive_want_class (lua_State *L, decoder *d) {
  if (d->trusted) return;
  if (d->at < d->end && ((*d->at & ~1) == TAG_CLASS || *d->at == TAG_REF))
    return;
  decode_fail(L, d, "a class by value in bytes that are not trusted: use "
                    "{ trusted = true }, or cerial.register the class");
}

/* The record of a hooked object: class, state, stand-in, 3 when it has one. */
static int open_hook (lua_State *L, decoder *d, int shared) {
  uint32_t number = d->objects.next, slot;
  dframe *f;
  revive_want_class(L, d);
  lua_createtable(L, 3, 0);
  slot = decode_number(L, d, &d->objects, HAVE_REFS, shared);
  if (slot) d->objects.slots[number] |= SLOT_IS_PENDING;
  f = decode_push(L, d, DFRAME_HOOK);
  f->slot = slot;
  f->number = number;
  f->phase = EXPECT_CLASS;
  return 1;
}

static void take_class (lua_State *L, decoder *d, dframe *f) {
  if (!lua_istable(L, -1)) decode_fail(L, d, "a class was expected");
  if (!d->trusted && !d->is_class)
    decode_fail(L, d, "a metatable that is no class");
  lua_rawseti(L, f->index, 1);
  f->phase = EXPECT_STATE;
}

void revive_standin (lua_State *L, decoder *d, uint32_t number) {
  push_call(L, d, CALL_STAND_IN);
  lua_rawgeti(L, d->base + HAVE_REFS,
              (int)(d->objects.slots[number] & SLOT_BITS));
  lua_call(L, 1, 1);
}

/* Replace the record on top by its object. */
static void end_hook (lua_State *L, decoder *d, const dframe *f) {
  uint32_t slot = f->slot, number = f->number;
  int record = lua_gettop(L);
  push_call(L, d, CALL_REVIVE);
  lua_pushvalue(L, record);
  lua_pushboolean(L, d->trusted);
  lua_call(L, 2, 3);  /* object, stand-in; or nil, reason, cause */
  if (lua_isnil(L, -3)) {
    lua_insert(L, -2);
    refuse(L, d);
  }
  lua_pop(L, 1);
  if (!lua_isnil(L, -1)) {
    lua_pushvalue(L, -1);
    decode_keep(L, d, HAVE_STANDINS, ++d->standins);
    lua_pushvalue(L, -2);
    decode_keep(L, d, HAVE_STANDINS, ++d->standins);
  }
  lua_pop(L, 1);
  lua_replace(L, record);
  if (!slot) return;
  d->objects.slots[number] = slot;
  if (d->direct) quick_keep(L, &d->objects, slot);
  lua_pushvalue(L, record);
  lua_rawseti(L, d->base + HAVE_REFS, (int)slot);
}

/* ---- classes with an identity ---- */

/* The table that was just begun is on top, with this number: from here on it
** is the known class to whoever refers to it. */
static void take_known (lua_State *L, decoder *d, uint32_t number) {
  uint32_t slot = number < d->objects.room ? d->objects.slots[number] : 0;
  lua_pushvalue(L, -1);
  decode_keep(L, d, HAVE_KNOWN, ++d->known);
  if (!slot) return;
  if (d->direct) quick_keep(L, &d->objects, slot);
  lua_pushvalue(L, -1);
  lua_rawseti(L, d->base + HAVE_REFS, (int)slot);
}

static int is_table_tag (int tag) {
  return (tag >= TAG_MAP && tag < TAG_STRING_REF) ||
         (tag >= TAG_ARRAY && tag < TAG_HOOKED);
}

/* The class itself may travel by a hook: then it has no use for it. */
static int read_identified (lua_State *L, decoder *d, int shared) {
  uint32_t number = d->objects.next;
  int tag, opened;
  if (!d->trusted)
    decode_fail(L, d, "a class by value in bytes that are not trusted");
  decode_string(L, d);
  lua_replace(L, d->base + HAVE_IDENTITY);
  tag = *decode_bytes(L, d, 1);
  opened = decode_value(L, d, shared ? shared_twin((uint8_t)tag) : tag);
  if (!is_table_tag(tag)) return opened;
  push_call(L, d, CALL_KNOWN);
  lua_pushvalue(L, d->base + HAVE_IDENTITY);
  lua_pushvalue(L, -3);
  lua_call(L, 2, 1);
  if (lua_rawequal(L, -1, -2)) lua_pop(L, 1);
  else {
    take_known(L, d, number);
    if (opened) {
      d->frames[d->depth - 1].known = d->known;
      lua_pop(L, 1);
    }
    else lua_replace(L, -2);
  }
  return opened;
}

void revive_known (lua_State *L, decoder *d, uint32_t known) {
  lua_pop(L, 1);
  lua_rawgeti(L, d->base + HAVE_KNOWN, (int)known);
}

/* ---- the decoder's calls ---- */

int revive_read (lua_State *L, decoder *d, int tag) {
  int shared = tag & 1;
  switch (tag & ~1) {
    case TAG_HOOKED: return open_hook(L, d, shared);
    case TAG_FUNCTION: return open_function(L, d, shared);
    case TAG_REFERENCE: read_name(L, d, KIND_REFERENCE, shared); return 0;
    case TAG_CLASS: read_name(L, d, KIND_CLASS, shared); return 0;
    case TAG_MODULE: read_name(L, d, KIND_MODULE, shared); return 0;
    case TAG_GLOBALS: read_name(L, d, KIND_GLOBALS, shared); return 0;
    case TAG_STRUCT: read_struct(L, d, shared); return 0;
    case TAG_IDENTIFIED: return read_identified(L, d, shared);
    default: break;
  }
  if (tag >= TAG_CINT64 && tag <= TAG_CCOMPLEX) read_cnumber(L, d, tag);
  else decode_fail(L, d, "an unknown tag");
  return 0;
}

void revive_take (lua_State *L, decoder *d, dframe *f) {
  switch (f->phase) {
    case EXPECT_ENV: take_environment(L, d, f); break;
    case EXPECT_CELL: take_cell(L, d, f); break;
    case EXPECT_CLASS: take_class(L, d, f); break;
    default:
      lua_rawseti(L, f->index, 2);
      f->phase = EXPECT_NOTHING;
  }
}

void revive_end (lua_State *L, decoder *d, dframe *f) {
  if (f->kind == DFRAME_HOOK) end_hook(L, d, f);
}

/* Set metatables again that were incomplete when their objects came: only
** then does a finalizer in them count. */
static void set_metatables (lua_State *L, decoder *d) {
  uint32_t i;
  for (i = 1; i < d->metas; i += 2) {
    lua_rawgeti(L, d->base + HAVE_METAS, (int)i);
    lua_rawgeti(L, d->base + HAVE_METAS, (int)i + 1);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
  }
}

void revive_finish (lua_State *L, decoder *d) {
  set_metatables(L, d);
  if (d->standins == 0) return;
  push_call(L, d, CALL_REPLACE);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, d->base + HAVE_STANDINS);
  lua_call(L, 2, 1);
  lua_replace(L, -2);
}
