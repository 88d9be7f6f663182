/*
** Encoding and decoding in slices: so many items at a time, and whatever else
** the program does in between.
**
** What a run of the encoder or decoder has on the Lua stack is kept between
** two slices on the stack of a thread that runs nothing: each slice is a
** protected call there that gets all of it as its arguments and returns all
** of it. LuaJIT's tables are not read in memory: they may change meanwhile.
*/
#include "cerial_calls.h"
#include "cerial_decode.h"
#include "cerial_encode.h"

#define SLICES "suitkaise.slices"

typedef struct slices {
  encoder e;
  decoder d;
  uint64_t items;      /* of the slice at work */
  uint8_t decodes;
  uint8_t has_begun;
  uint8_t is_running;  /* a hook may not ask for a slice of its own message */
  uint8_t is_over;     /* complete, or failed */
} slices;

#if LUA_VERSION_NUM < 502
#define push_env lua_getfenv
#define set_env lua_setfenv
#else
#define push_env lua_getuservalue
#define set_env lua_setuservalue
#endif

static int slices_free (lua_State *L) {
  slices *s = luaL_checkudata(L, 1, SLICES);
  encoder_free(&s->e);
  decoder_free(&s->d);
  s->is_over = 1;
  return 0;
}

/* Push a new one, whose thread holds the value at 1. */
static slices *new_slices (lua_State *L) {
  slices *s = lua_newuserdata(L, sizeof *s);
  lua_State *thread;
  memset(s, 0, sizeof *s);
  luaL_getmetatable(L, SLICES);
  lua_setmetatable(L, -2);
  lua_createtable(L, 1, 0);
  thread = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, thread, 1);
  lua_rawseti(L, -2, 1);
  set_env(L, -2);
  return s;
}

/* cerial_encode_slices(value, how, max_depth, max_bytes) -> slices */
static int encode_slices (lua_State *L) {
  slices *s;
  lua_settop(L, 4);
  s = new_slices(L);
  encode_options(L, &s->e);
  return 1;
}

/* cerial_decode_slices(bytes, trusted, max_depth) -> slices */
static int decode_slices (lua_State *L) {
  slices *s;
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_settop(L, 3);
  s = new_slices(L);
  s->decodes = 1;
  decode_options(L, &s->d);
  return 1;
}

static int read_slice (lua_State *L, slices *s, int is_first) {
  decoder *d = &s->d;
  size_t len;
  const uint8_t *data = (const uint8_t *)lua_tolstring(L, 1, &len);
  if (is_first) decode_header(L, d, data, len);
  if (!decode_slice(L, d, data + CERIAL_HEADER, len - CERIAL_HEADER, s->items,
                    is_first))
    return 0;
  if (d->at != d->end) decode_fail(L, d, "more bytes after the value");
  return 1;
}

/* Its arguments are the thread's stack, and so are its results. */
static int slice (lua_State *L) {
  slices *s = lua_touserdata(L, lua_upvalueindex(1));
  int is_first = !s->has_begun;
  s->has_begun = 1;
  s->is_over = (uint8_t)(s->decodes
    ? read_slice(L, s, is_first)
    : encode_slice(L, &s->e, s->items, is_first));
  return lua_gettop(L);
}

/* LuaJIT takes the thread of the last call for the one that runs; compiled code
** relies on that. A call makes it this one again. */
static int nothing (lua_State *L) {
  (void)L;
  return 0;
}

static void run_on (lua_State *L) {
  lua_pushcfunction(L, nothing);
  lua_call(L, 0, 0);
}

static lua_State *thread_of (lua_State *L, int index) {
  lua_State *thread;
  push_env(L, index);
  lua_rawgeti(L, -1, 1);
  thread = lua_tothread(L, -1);
  lua_pop(L, 2);
  return thread;
}

/* step(items) -> false when there is more to do; true and the bytes or the
** value */
static int slices_step (lua_State *L) {
  slices *s = luaL_checkudata(L, 1, SLICES);
  lua_State *thread = thread_of(L, 1);
  int failed;
  s->items = (uint64_t)lsk_checkint(L, 2, 1, INT32_MAX);
  luaL_argcheck(L, !s->is_over && !s->is_running, 1, "it is over, or at work");
  lua_pushlightuserdata(thread, s);
  lua_pushcclosure(thread, slice, 1);
  lua_insert(thread, 1);
  s->is_running = 1;
  failed = lua_pcall(thread, lua_gettop(thread) - 1, LUA_MULTRET, 0);
  s->is_running = 0;
  if (LSK_LUAJIT) run_on(L);
  if (failed) s->is_over = 1;
  lua_pushboolean(L, s->is_over);
  if (!s->is_over) return 1;
  if (s->decodes || failed) lua_xmove(thread, L, 1);
  else lua_pushlstring(L, (const char *)s->e.own.data, s->e.own.len);
  lua_settop(thread, 0);
  encoder_free(&s->e);
  decoder_free(&s->d);
  return failed ? lua_error(L) : 2;
}

static const luaL_Reg methods[] = {
  { "step", slices_step }, { "__gc", slices_free }, { NULL, NULL }
};

static const luaL_Reg functions[] = {
  { "cerial_encode_slices", encode_slices },
  { "cerial_decode_slices", decode_slices },
  { NULL, NULL }
};

void cerial_open_slices (lua_State *L) {
  lsk_newclass(L, SLICES, methods);
  luaL_setfuncs(L, functions, 0);
}
