/*
** Bytes to values: a loop over tags with an explicit stack of frames.
**
** Nothing that the bytes claim is believed: a count is checked against the
** bytes that are left, less what the open frames still need of them, before
** anything is allocated. So all tables together have at most as many slots
** as the message has bytes.
*/
#include <math.h>
#include <stdlib.h>

#include "cerial_calls.h"
#include "cerial_decode.h"
#include "cerial_memory.h"

#define SHALLOW 64  /* frames whose containers stay on the Lua stack */
#define STACK_ROOM (2 * SHALLOW + HAVES + 24)

/* The first size of a table of what is referred to later. */
#define BYTES_PER_REF 16
#define MAX_GUESS 4096

int decode_fail (lua_State *L, decoder *d, const char *reason) {
  luaL_checkstack(L, 8, "cerial");
  d->busy = 0;  /* whoever comes next may have it: this call is over */
  cerial_push_calls(L);
  lua_rawgeti(L, -1, CALL_REFUSE);
  lua_pushstring(L, reason);
  lua_pushinteger(L, (lua_Integer)(d->at - d->start));
  lua_call(L, 2, 0);  /* raises */
  return 0;
}

/* ---- bytes ---- */

uint64_t decode_varint (lua_State *L, decoder *d) {
  uint64_t v = 0;
  int shift;
  for (shift = 0; shift < 64; shift += 7) {
    uint8_t b = *decode_bytes(L, d, 1);
    v |= (uint64_t)(b & 0x7F) << shift;
    if (shift == 63 && b > 1) break;
    if (b < 0x80) return v;
  }
  decode_fail(L, d, "a number has too many bytes");
  return 0;
}

/* A count of things that take at least a byte each. */
uint32_t decode_count (lua_State *L, decoder *d) {
  uint64_t n = decode_varint(L, d);
  if (n > (uint64_t)(d->end - d->at) || n > INT32_MAX)
    decode_fail(L, d, "a count is larger than the bytes that are left");
  return (uint32_t)n;
}

/* The open frame will need so many bytes: are they there? */
static void owe (lua_State *L, decoder *d, size_t bytes) {
  size_t left = (size_t)(d->end - d->at);
  if (left < d->owed || bytes > left - d->owed)
    decode_fail(L, d, "a table is larger than the bytes that are left");
  d->owed += bytes;
}

/* ---- what is referred to ---- */

static void make_have (lua_State *L, decoder *d, int have) {
  size_t guess = (size_t)(d->end - d->at) / BYTES_PER_REF;
  lua_createtable(L, guess < MAX_GUESS ? (int)guess + 4 : MAX_GUESS, 0);
  lua_replace(L, d->base + have);
  d->made |= 1u << have;
}

void decode_keep (lua_State *L, decoder *d, int have, uint32_t n) {
  if (!(d->made & 1u << have)) make_have(L, d, have);
  lua_rawseti(L, d->base + have, (int)n);
}

static void more_slots (lua_State *L, slot_map *map) {
  uint32_t room = map->room ? map->room : 64;
  uint32_t *slots;
  while (room <= map->next) room *= 2;
  slots = realloc(map->slots, room * sizeof *slots);
  if (!slots) luaL_error(L, "not enough memory");
  memset(slots + map->room, 0, (room - map->room) * sizeof *slots);
  map->slots = slots;
  map->room = room;
}

uint32_t decode_slot (lua_State *L, slot_map *map, int shared) {
  uint32_t number = map->next;
  if (shared && number >= map->room) more_slots(L, map);
  if (number < map->room) map->slots[number] = shared ? ++map->used : 0;
  map->next++;
  return shared ? map->used : 0;
}

uint32_t decode_number (lua_State *L, decoder *d, slot_map *map, int have,
                        int shared) {
  uint32_t slot = decode_slot(L, map, shared);
  if (!slot) return 0;
  if (d->direct) quick_keep(L, map, slot);
  lua_pushvalue(L, -1);
  decode_keep(L, d, have, slot);
  return slot;
}

static void push_ref (lua_State *L, decoder *d) {
  uint64_t number = decode_varint(L, d);
  uint32_t slot = decode_find(L, d, &d->objects, number);
  d->is_class = (slot & SLOT_IS_CLASS) != 0;
  if (slot & SLOT_IS_PENDING) revive_standin(L, d, (uint32_t)number);
  else lua_rawgeti(L, d->base + HAVE_REFS, (int)(slot & SLOT_BITS));
}

static inline void push_string_ref (lua_State *L, decoder *d,
                                    uint64_t number) {
  uint32_t slot = decode_find(L, d, &d->strings, number);
  lua_rawgeti(L, d->base + HAVE_STRINGS, (int)slot);
}

/* ---- strings ---- */

static inline void push_string (lua_State *L, decoder *d, size_t len,
                                int shared) {
  const uint8_t *p = decode_bytes(L, d, len);
  lua_pushlstring(L, (const char *)p, len);
  decode_number(L, d, &d->strings, HAVE_STRINGS, shared);
}

/* Push the string of this tag: 0 when it is none of a string's. */
static inline int read_string (lua_State *L, decoder *d, int tag) {
  if (tag >= TAG_STRING && tag < TAG_STRING_SHARED)
    push_string(L, d, (size_t)(tag - TAG_STRING), 0);
  else if (tag >= TAG_STRING_SHARED && tag < TAG_MAP)
    push_string(L, d, (size_t)(tag - TAG_STRING_SHARED), 1);
  else if (tag >= TAG_STRING_REF && tag < TAG_ARRAY)
    push_string_ref(L, d, (uint64_t)(tag - TAG_STRING_REF));
  else if ((tag & ~1) == TAG_LONG_STRING)
    push_string(L, d, decode_count(L, d), tag & 1);
  else if (tag == TAG_LONG_STRING_REF)
    push_string_ref(L, d, decode_varint(L, d) + SMALL_REF);
  else return 0;
  return 1;
}

int decode_string_tag (lua_State *L, decoder *d, int tag) {
  return read_string(L, d, tag);
}

void decode_string (lua_State *L, decoder *d) {
  int tag = *decode_bytes(L, d, 1);
  if (!read_string(L, d, tag)) decode_fail(L, d, "a string was expected");
}

/* ---- numbers ---- */

static void push_int (lua_State *L, decoder *d, int64_t i) {
#if LSK_INTEGERS
  (void)d;
  lua_pushinteger(L, (lua_Integer)i);
#else
  double n = (double)i;
  if (n < 9223372036854775808.0 && (int64_t)n == i) lua_pushnumber(L, n);
  else {  /* LuaJIT: an int64 cdata; 5.1 refuses */
    cerial_push_calls(L);
    lua_rawgeti(L, -1, CALL_BUILD);
    lua_remove(L, -2);
    lua_pushinteger(L, KIND_INT64);
    lua_pushlstring(L, (const char *)&i, 8);
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2)) decode_fail(L, d, lua_tostring(L, -1));
    lua_pop(L, 1);
  }
#endif
}

/* A double of a VM without integers. */
static void push_number (lua_State *L, double n) {
#if LSK_INTEGERS
  lua_Integer i;
  if (lua_numbertointeger(n, &i) && (lua_Number)i == n &&
      (i != 0 || !signbit(n))) {
    lua_pushinteger(L, i);
    return;
  }
#endif
  lua_pushnumber(L, n);
}

void decode_number_value (lua_State *L, decoder *d, int tag) {
  int8_t i8;
  int16_t i16;
  int32_t i32;
  int64_t i64;
  float f;
  double n;
#define READ(v) memcpy(&v, decode_bytes(L, d, sizeof v), sizeof v)
  switch (tag) {
    case TAG_I8: READ(i8); lua_pushinteger(L, i8); break;
    case TAG_I16: READ(i16); lua_pushinteger(L, i16); break;
    case TAG_I32: READ(i32); lua_pushinteger(L, i32); break;
    case TAG_I64: READ(i64); push_int(L, d, i64); break;
    case TAG_F32: READ(f); lua_pushnumber(L, (lua_Number)f); break;
    default: READ(n); lua_pushnumber(L, n);
  }
#undef READ
}

/* One number of a run. */
void decode_run_value (lua_State *L, decoder *d, int tag, const uint8_t *p) {
  int16_t i16;
  int32_t i32;
  int64_t i64;
  double n;
  switch (tag) {
    case TAG_RUN_I8: lua_pushinteger(L, (int8_t)*p); break;
    case TAG_RUN_I16: memcpy(&i16, p, 2); lua_pushinteger(L, i16); break;
    case TAG_RUN_I32: memcpy(&i32, p, 4); lua_pushinteger(L, i32); break;
    case TAG_RUN_I64: memcpy(&i64, p, 8); push_int(L, d, i64); break;
    case TAG_RUN_F64: memcpy(&n, p, 8); lua_pushnumber(L, n); break;
    default: memcpy(&n, p, 8); push_number(L, n);
  }
}

size_t decode_run_width (int tag) {
  return tag == TAG_RUN_I8 ? 1 : tag == TAG_RUN_I16 ? 2
       : tag == TAG_RUN_I32 ? 4 : 8;
}

static void read_run (lua_State *L, decoder *d, int tag) {
  dframe *f = &d->frames[d->depth - 1];
  size_t width = decode_run_width(tag);
  uint32_t i, n = decode_count(L, d);
  const uint8_t *p;
  if (f->phase != EXPECT_ITEM || n > f->items - f->item || n == 0)
    decode_fail(L, d, "a run of numbers outside an array");
  if (n > (size_t)(d->end - d->at) / width)
    decode_fail(L, d, "the bytes end too early");
  p = decode_bytes(L, d, n * width);
  d->owed -= n;
  if (d->direct && memory_fill(L, f->index, f->item, tag, p, n)) f->item += n;
  else for (i = 0; i < n; i++, p += width) {
    decode_run_value(L, d, tag, p);
    lua_rawseti(L, f->index, (int)++f->item);
  }
  if (f->item == f->items) f->phase = f->pairs ? EXPECT_KEY : EXPECT_NOTHING;
}

/* ---- frames ---- */

static void more_frames (lua_State *L, decoder *d) {
  uint32_t room = d->room ? d->room * 2 : 32;
  dframe *frames = realloc(d->frames, room * sizeof *frames);
  if (!frames) luaL_error(L, "not enough memory");
  d->frames = frames;
  d->room = room;
}

static int work_index (uint32_t depth, int which) {
  return (int)depth * 2 + 1 + which;
}

/* Deeper frames share one place on the stack: the outer frame's container is
** in HAVE_WORK already, its key goes there, and the new container takes the
** place. */
static int replace_container (lua_State *L, decoder *d) {
  const dframe *outer = &d->frames[d->depth - 1];
  if (outer->phase == EXPECT_VALUE && !outer->key_slot) {
    lua_pushvalue(L, outer->index + 1);
    decode_keep(L, d, HAVE_WORK, (uint32_t)work_index(d->depth - 1, 1));
  }
  lua_replace(L, outer->index);
  lua_settop(L, outer->index);
  return outer->index;
}

dframe *decode_push (lua_State *L, decoder *d, enum dframe_kind kind) {
  dframe *f;
  int index = lua_gettop(L);
  if (d->depth >= d->max_depth)
    decode_fail(L, d, "the value is nested deeper than max_depth");
  if (d->depth >= SHALLOW) {
    lua_pushvalue(L, -1);
    decode_keep(L, d, HAVE_WORK, (uint32_t)work_index(d->depth, 0));
    if (d->depth > SHALLOW) index = replace_container(L, d);
  }
  if (d->depth == d->room) more_frames(L, d);
  f = &d->frames[d->depth++];
  memset(f, 0, sizeof *f);
  f->kind = (uint8_t)kind;
  f->index = index;
  return f;
}

/* Leave the innermost frame; its container, on top, is now a value of the
** frame around it. */
static void pop_frame (lua_State *L, decoder *d) {
  const dframe *outer;
  int index = d->frames[--d->depth].index;
  if (d->depth <= SHALLOW) return;
  outer = &d->frames[d->depth - 1];
  lua_rawgeti(L, d->base + HAVE_WORK, work_index(d->depth - 1, 0));
  lua_insert(L, index);
  if (outer->phase != EXPECT_VALUE || outer->key_slot) return;
  lua_rawgeti(L, d->base + HAVE_WORK, work_index(d->depth - 1, 1));
  lua_insert(L, index + 1);
}

/* ---- tables ---- */

/* 1: a frame was opened; 0: the table is complete. */
static int open_table (lua_State *L, decoder *d, uint32_t items,
                       uint32_t pairs, int shared, int with_meta) {
  dframe *f;
  if (with_meta) revive_want_class(L, d);
  owe(L, d, (size_t)items + 2 * (size_t)pairs + (with_meta ? 1 : 0));
  lua_createtable(L, (int)items, (int)pairs);
  decode_number(L, d, &d->objects, HAVE_REFS, shared);
  if (items + pairs == 0 && !with_meta) return 0;
  f = decode_push(L, d, DFRAME_TABLE);
  f->items = items;
  f->pairs = pairs;
  f->phase = with_meta ? EXPECT_META : items ? EXPECT_ITEM : EXPECT_KEY;
  if (d->direct) f->raw = (void *)(uintptr_t)lua_topointer(L, f->index);
  return 1;
}

static int read_table (lua_State *L, decoder *d, int tag) {
  uint32_t items = decode_count(L, d);
  uint32_t pairs = decode_count(L, d);
  return open_table(L, d, items, pairs, tag & 1,
                    (tag & ~1) == TAG_OBJECT);
}

/* ---- one value ---- */

static int read_other (lua_State *L, decoder *d, int tag) {
  switch (tag) {
    case TAG_NIL: lua_pushnil(L); return 0;
    case TAG_FALSE: lua_pushboolean(L, 0); return 0;
    case TAG_TRUE: lua_pushboolean(L, 1); return 0;
    case TAG_REF: push_ref(L, d); return 0;
    case TAG_TABLE: case TAG_TABLE + 1:
    case TAG_OBJECT: case TAG_OBJECT + 1:
      return read_table(L, d, tag);
    case TAG_I8: case TAG_I16: case TAG_I32: case TAG_I64:
    case TAG_F32: case TAG_F64:
      decode_number_value(L, d, tag);
      return 0;
    default: return revive_read(L, d, tag);
  }
}

int decode_value (lua_State *L, decoder *d, int tag) {
  d->is_class = 0;
  if (tag < TAG_STRING) {
    lua_pushinteger(L, tag + INT_LEAST);
    return 0;
  }
  if (read_string(L, d, tag)) return 0;
  if (tag < TAG_STRING_REF)
    return open_table(L, d, 0, (uint32_t)tag & 0xF, tag >= TAG_MAP_SHARED, 0);
  if (tag >= TAG_ARRAY && tag < TAG_TABLE)
    return open_table(L, d, (uint32_t)tag & 7, 0, tag >= TAG_ARRAY_SHARED, 0);
  return read_other(L, d, tag);
}

static void check_key (lua_State *L, decoder *d) {
  int type = lua_type(L, -1);
  if (type == LUA_TNIL) decode_fail(L, d, "nil as a key");
  if (type == LUA_TNUMBER) {
    lua_Number n = lua_tonumber(L, -1);
    if (n != n) decode_fail(L, d, "NaN as a key");
  }
}

/* The value on top has arrived in frame f. */
static inline void take (lua_State *L, decoder *d, dframe *f) {
  switch (f->phase) {
    case EXPECT_ITEM:
      lua_rawseti(L, f->index, (int)++f->item);
      if (f->item == f->items)
        f->phase = f->pairs ? EXPECT_KEY : EXPECT_NOTHING;
      break;
    case EXPECT_KEY:
      check_key(L, d);
      f->phase = EXPECT_VALUE;
      break;
    case EXPECT_VALUE:
      if (f->key_slot) quick_take(L, d, f);
      else lua_rawset(L, f->index);
      f->phase = --f->pairs ? EXPECT_KEY : EXPECT_NOTHING;
      break;
    case EXPECT_META:
      revive_meta(L, d, f);
      f->phase = f->items ? EXPECT_ITEM
               : f->pairs ? EXPECT_KEY : EXPECT_NOTHING;
      break;
    default: revive_take(L, d, f);
  }
}

/* Every frame that is complete by this value becomes a value in turn. */
int decode_deliver (lua_State *L, decoder *d) {
  for (;;) {
    dframe *f;
    if (d->depth == 0) return 1;
    f = &d->frames[d->depth - 1];
    take(L, d, f);
    if (f->phase != EXPECT_NOTHING) return 0;
    d->is_class = 0;
    if (f->kind != DFRAME_TABLE) revive_end(L, d, f);
    pop_frame(L, d);
    if (f->known) revive_known(L, d, f->known);
  }
}

int decode_close (lua_State *L, decoder *d) {
  pop_frame(L, d);
  return decode_deliver(L, d);
}

static void reset (decoder *d) {
  d->owed = 0;
  d->depth = 0;
  d->objects.next = d->strings.next = d->cells.next = 0;
  d->objects.used = d->strings.used = d->cells.used = 0;
  d->metas = d->standins = d->known = 0;
  d->made = 0;
}

static inline int read_tag (lua_State *L, decoder *d) {
  if (d->at == d->end) decode_fail(L, d, "the bytes end too early");
  return *d->at++;
}

/* Read the next value and what it completes. 1: the root is on top. */
static inline int step (lua_State *L, decoder *d) {
  dframe *f = &d->frames[d->depth - 1];
  int tag;
  if (f->raw) {
    int done = quick_step(L, d, f);
    if (done >= 0) return done;
  }
  tag = read_tag(L, d);
  if (tag >= TAG_RUN_I8 && tag <= TAG_RUN_NUMBER) {
    read_run(L, d, tag);
    return f->phase == EXPECT_NOTHING ? decode_close(L, d) : 0;
  }
  if (f->kind == DFRAME_TABLE) d->owed--;
  if (f->phase == EXPECT_KEY && read_string(L, d, tag)) {
    f->phase = EXPECT_VALUE;
    return 0;
  }
  if (decode_value(L, d, tag)) return 0;
  return decode_deliver(L, d);
}

/* Begin a message. 1: the root is on top */
static int begin (lua_State *L, decoder *d, const uint8_t *data, size_t len) {
  d->start = d->at = data;
  d->end = data + len;
  d->base = lua_gettop(L);
  reset(d);
  lua_settop(L, d->base + HAVES);
  return !decode_value(L, d, read_tag(L, d));
}

static void finish (lua_State *L, decoder *d) {
  revive_finish(L, d);
  lua_replace(L, d->base + 1);
  lua_settop(L, d->base + 1);
}

void decode_message (lua_State *L, decoder *d, const uint8_t *data,
                     size_t len) {
  luaL_checkstack(L, STACK_ROOM, "cerial");
  if (!begin(L, d, data, len)) {
    while (!step(L, d)) { /* until the root is complete */ }
  }
  finish(L, d);
}

int decode_slice (lua_State *L, decoder *d, const uint8_t *data, size_t len,
                  uint64_t items, int is_first) {
  int done = 0;
  luaL_checkstack(L, STACK_ROOM, "cerial");
  if (is_first) done = begin(L, d, data, len);
  while (!done) {
    if (items-- == 0) return 0;
    done = step(L, d);
  }
  finish(L, d);
  return 1;
}
