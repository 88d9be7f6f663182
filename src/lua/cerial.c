/*
** cerial's functions: what the module and the rest of the binding call, and
** the states of encoder and decoder that are kept between calls.
*/
#include <stdlib.h>

#include "cerial.h"
#include "cerial_calls.h"
#include "cerial_decode.h"
#include "cerial_encode.h"
#include "cerial_look.h"
#include "cerial_memory.h"
#include "cerial_scalar.h"

#define MAX_KEPT (4u << 20)        /* bytes of a buffer that is kept */
#define MAX_KEPT_FRAMES (1u << 14)
#define LONG_STRING 4096           /* bytes; one that is not copied twice */

/* Their addresses are keys of the registry. */
static const char encoder_key = 'e', decoder_key = 'd', calls_key = 'c',
                  direct_key = 't';

static void get_registry (lua_State *L, const char *key) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)key);
  lua_rawget(L, LUA_REGISTRYINDEX);
}

/* registry[key] = the value on top, which is popped. */
static void set_registry (lua_State *L, const char *key) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)key);
  lua_insert(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

void cerial_push_calls (lua_State *L) {
  get_registry(L, &calls_key);
  if (!lua_isnil(L, -1)) return;
  lua_pop(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "suitkaise.cerial");
  lua_call(L, 1, 0);
  get_registry(L, &calls_key);
}

/* ---- the states ---- */

void encoder_free (encoder *e) {
  lsk_buffer_free(&e->own);
  seen_free(&e->seen);
  seen_free(&e->named);
  free(e->frames);
  memset(e, 0, sizeof *e);
}

static int free_encoder (lua_State *L) {
  encoder_free(lua_touserdata(L, 1));
  return 0;
}

static void free_map (slot_map *map) {
  free(map->slots);
  free(map->values);
  memset(map, 0, sizeof *map);
}

void decoder_free (decoder *d) {
  free(d->frames);
  free_map(&d->objects);
  free_map(&d->strings);
  free_map(&d->cells);
  memset(d, 0, sizeof *d);
}

static int free_decoder (lua_State *L) {
  decoder_free(lua_touserdata(L, 1));
  return 0;
}

/* Push a new state, which the collector frees, and keep it. */
static void *new_state (lua_State *L, const char *key, size_t size,
                        lua_CFunction gc) {
  void *state = lua_newuserdata(L, size);
  memset(state, 0, size);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  set_registry(L, key);
  return state;
}

static int use_direct (lua_State *L) {
  int on;
  get_registry(L, &direct_key);
  on = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return on;
}

/* Push a free encoder. One whose call was left by an error stays busy and
** is dropped; one whose call is still running, likewise, for a hook that
** serializes. */
static encoder *take_encoder (lua_State *L) {
  encoder *e;
  luaL_checkstack(L, 8, "cerial");
  get_registry(L, &encoder_key);
  e = lua_touserdata(L, -1);
  if (!e || e->busy) {
    lua_pop(L, 1);
    e = new_state(L, &encoder_key, sizeof *e, free_encoder);
    e->direct = (uint8_t)use_direct(L);
  }
  e->busy = 1;
  e->how = 1;
  e->namer = 0;
  e->identify = 0;
  e->max_depth = UINT32_MAX;
  e->max_bytes = SIZE_MAX;
  return e;
}

static void leave_encoder (encoder *e) {
  if (e->own.cap > MAX_KEPT) lsk_buffer_free(&e->own);
  if (e->room > MAX_KEPT_FRAMES) {
    free(e->frames);
    e->frames = NULL;
    e->room = 0;
  }
  e->busy = 0;
}

static decoder *take_decoder (lua_State *L) {
  decoder *d;
  luaL_checkstack(L, 8, "cerial");
  get_registry(L, &decoder_key);
  d = lua_touserdata(L, -1);
  if (!d || d->busy) {
    lua_pop(L, 1);
    d = new_state(L, &decoder_key, sizeof *d, free_decoder);
    d->direct = (uint8_t)use_direct(L);
  }
  d->busy = 1;
  d->no_bytecode = 0;
  d->max_depth = UINT32_MAX;
  return d;
}

static void shrink_map (slot_map *map) {
  if (map->room > MAX_KEPT_FRAMES) free_map(map);
}

static void leave_decoder (decoder *d) {
  shrink_map(&d->objects);
  shrink_map(&d->strings);
  shrink_map(&d->cells);
  if (d->room > MAX_KEPT_FRAMES) {
    free(d->frames);
    d->frames = NULL;
    d->room = 0;
  }
  d->busy = 0;
}

/* ---- for the rest of the binding ---- */

void lsk_cerial_encode (lua_State *L, int index, lsk_buffer *b) {
  lsk_cerial_encode_named(L, index, b, LSK_SAME_PROGRAM, 0);
}

void lsk_cerial_encode_named (lua_State *L, int index, lsk_buffer *b,
                              enum lsk_reader reader, int namer) {
  enum { BY_REFERENCE = 2 };  /* of cerial.lua's option `functions` */
  encoder *e;
  if (scalar_encode(L, index, b)) return;
  index = lua_absindex(L, index);
  e = take_encoder(L);
  if (reader == LSK_OTHER_PROGRAM) e->how = BY_REFERENCE;
  e->namer = namer;
  e->identify = reader == LSK_SAME_PROGRAM && !namer;
  e->out = b;
  encode_message(L, e, index);
  leave_encoder(e);
  lua_pop(L, 1);
}

size_t lsk_cerial_decode (lua_State *L, const uint8_t *data, size_t len) {
  return lsk_cerial_decode_from(L, data, len, LSK_SAME_PROGRAM);
}

size_t lsk_cerial_decode_from (lua_State *L, const uint8_t *data, size_t len,
                               enum lsk_reader writer) {
  size_t used = scalar_decode(L, data, len);
  decoder *d;
  if (used) return used;
  d = take_decoder(L);
  d->trusted = 1;
  d->no_bytecode = writer == LSK_OTHER_PROGRAM;
  decode_message(L, d, data, len);
  used = (size_t)(d->at - d->start);
  leave_decoder(d);
  lua_remove(L, -2);
  return used;
}

/* ---- for lua/suitkaise/cerial.lua ---- */

static size_t opt_limit (lua_State *L, int arg, size_t most) {
  lua_Number n = luaL_optnumber(L, arg, -1);
  return n < 0 || n >= (lua_Number)most ? most : (size_t)n;
}

/* A long string by itself: PUC Lua concatenates with one copy, where the
** buffer would make a second. 0: the argument is something else. */
static int encode_long_string (lua_State *L) {
  uint8_t head[CERIAL_HEADER + 1 + MAX_VARINT], *p = head + CERIAL_HEADER;
  size_t len;
  if (LUA_VERSION_NUM < 502 || lua_type(L, 1) != LUA_TSTRING) return 0;
  lua_tolstring(L, 1, &len);
  if (len < LONG_STRING || opt_limit(L, 4, SIZE_MAX) != SIZE_MAX) return 0;
  memcpy(head, CERIAL_MAGIC, CERIAL_HEADER - 1);
  head[CERIAL_HEADER - 1] = CERIAL_VERSION;
  *p++ = TAG_LONG_STRING;
  p = put_varint(p, len);
  lua_pushlstring(L, (const char *)head, (size_t)(p - head));
  lua_pushvalue(L, 1);
  lua_concat(L, 2);
  return 1;
}

void encode_options (lua_State *L, encoder *e) {
  e->how = (int)luaL_optinteger(L, 2, 1);
  e->max_depth = (uint32_t)opt_limit(L, 3, UINT32_MAX);
  e->max_bytes = opt_limit(L, 4, SIZE_MAX);
  e->out = &e->own;
  e->own.len = 0;
  if (lsk_buffer_need(&e->own, CERIAL_HEADER))
    luaL_error(L, "not enough memory");
  memcpy(e->own.data, CERIAL_MAGIC, CERIAL_HEADER - 1);
  e->own.data[CERIAL_HEADER - 1] = CERIAL_VERSION;
  e->own.len = CERIAL_HEADER;
}

/* (value, how, max_depth, max_bytes, is_identified) -> bytes */
static int cerial_encode (lua_State *L) {
  encoder *e;
  lua_settop(L, 5);
  if (encode_long_string(L)) return 1;
  e = take_encoder(L);
  encode_options(L, e);
  e->identify = (uint8_t)lua_toboolean(L, 5);
  encode_message(L, e, 1);
  lua_pushlstring(L, (const char *)e->own.data, e->own.len);
  leave_encoder(e);
  return 1;
}

void decode_header (lua_State *L, decoder *d, const uint8_t *s, size_t len) {
  d->start = d->at = s;
  d->end = s + len;
  if (len < CERIAL_HEADER || memcmp(s, CERIAL_MAGIC, CERIAL_HEADER - 1) != 0)
    decode_fail(L, d, "these are not bytes of cerial");
  if (s[CERIAL_HEADER - 1] != CERIAL_VERSION) {
    lua_pushfstring(L, "the bytes have version %d, this reader knows %d",
                    (int)s[CERIAL_HEADER - 1], CERIAL_VERSION);
    decode_fail(L, d, lua_tostring(L, -1));
  }
}

void decode_options (lua_State *L, decoder *d) {
  d->trusted = lua_toboolean(L, 2);
  d->max_depth = (uint32_t)opt_limit(L, 3, UINT32_MAX);
}

/* (bytes, trusted, max_depth) -> value */
static int cerial_decode (lua_State *L) {
  size_t len;
  const uint8_t *s = (const uint8_t *)luaL_checklstring(L, 1, &len);
  decoder *d;
  lua_settop(L, 3);
  d = take_decoder(L);
  decode_options(L, d);
  decode_header(L, d, s, len);
  decode_message(L, d, s + CERIAL_HEADER, len - CERIAL_HEADER);
  if (d->at != d->end) decode_fail(L, d, "more bytes after the value");
  leave_decoder(d);
  return 1;
}

/* (calls): see CALL_* in cerial_format.h */
static int cerial_setup (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  set_registry(L, &calls_key);
  return 0;
}

/* (on) -> was: read LuaJIT's tables in memory, where that works. */
static int cerial_direct (lua_State *L) {
  int was = use_direct(L);
  lua_pushboolean(L, lua_toboolean(L, 1) && memory_known(L));
  set_registry(L, &direct_key);
  lua_pushnil(L);
  set_registry(L, &encoder_key);
  lua_pushnil(L);
  set_registry(L, &decoder_key);
  lua_pushboolean(L, was);
  return 1;
}

/* ---- what a class holds ---- */

static uint64_t mix (uint64_t h, const void *data, size_t n) {
  const uint8_t *p = data;
  while (n-- > 0) h = (h ^ *p++) * 0x100000001B3u;  /* FNV-1a */
  return h;
}

static uint64_t mix_value (lua_State *L, uint64_t h, int index) {
  int type = lua_type(L, index);
  const void *p = NULL;
  lua_Number n;
  size_t len;
  const char *s;
  h = mix(h, &type, sizeof type);
  switch (type) {
    case LUA_TNIL: return h;
    case LUA_TBOOLEAN:
      type = lua_toboolean(L, index);
      return mix(h, &type, sizeof type);
    case LUA_TNUMBER:
      n = lua_tonumber(L, index);
      return mix(h, &n, sizeof n);
    case LUA_TSTRING:
      s = lua_tolstring(L, index, &len);
      return mix(h, s, len);
    default:
      p = lua_topointer(L, index);
      return mix(h, &p, sizeof p);
  }
}

/* (table) -> a sum of its metatable, keys and values in any order: objects by
** their addresses. */
static int cerial_sum (lua_State *L) {
  const uint64_t start = 0xCBF29CE484222325u;
  uint64_t sum = 0;
  char text[17];
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  if (lua_getmetatable(L, 1)) {
    sum = mix_value(L, start, -1);
    lua_pop(L, 1);
  }
  lua_pushnil(L);
  while (lua_next(L, 1)) {
    sum += mix_value(L, mix_value(L, start, -2), -1);
    lua_pop(L, 1);
  }
  snprintf(text, sizeof text, "%016llx", (unsigned long long)sum);
  lua_pushstring(L, text);
  return 1;
}

static const luaL_Reg functions[] = {
  { "cerial_encode", cerial_encode },
  { "cerial_decode", cerial_decode },
  { "cerial_setup", cerial_setup },
  { "cerial_direct", cerial_direct },
  { "cerial_sum", cerial_sum },
  { "cerial_token", cerial_token },
  { "cerial_count", cerial_count },
  { "cerial_file", cerial_file },
  { NULL, NULL }
};

void lsk_open_cerial (lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  cerial_open_slices(L);
  lua_pushboolean(L, memory_known(L));
  set_registry(L, &direct_key);
}
