/*
** Items and pairs that are simple, straight into LuaJIT's tables: most of a
** record, without a call of the Lua API. What is not simple is left to the
** decoder's ordinary way.
*/
#include <stdlib.h>

#include "cerial_decode.h"
#include "cerial_memory.h"

#if LSK_MEMORY

#define FIRST_VALUES 64u

void quick_keep (lua_State *L, decoder *d, uint32_t slot) {
  if (slot >= d->values_room) {
    uint32_t room = d->values_room ? d->values_room : FIRST_VALUES;
    uint64_t *values;
    while (room <= slot) room *= 2;
    values = realloc(d->values, room * sizeof *values);
    if (!values) luaL_error(L, "not enough memory");
    d->values = values;
    d->values_room = room;
  }
  d->values[slot] = memory_string(lua_tostring(L, -1));
}

/* Is this the tag of a string that was sent? Then its slot. */
static uint32_t string_slot (lua_State *L, decoder *d, int tag) {
  uint64_t number;
  if (tag >= TAG_STRING_REF && tag < TAG_ARRAY)
    number = (uint64_t)(tag - TAG_STRING_REF);
  else if (tag == TAG_LONG_STRING_REF)
    number = decode_varint(L, d) + SMALL_REF;
  else return 0;
  return decode_find(L, d, &d->strings, number);
}

/* The value of a number or boolean whose tag was read. 0: it is neither. */
static int scalar (lua_State *L, decoder *d, int tag, uint64_t *value) {
  int16_t i16;
  int32_t i32;
  float f;
  double n;
  switch (tag) {
    case TAG_I8: n = (int8_t)*decode_bytes(L, d, 1); break;
    case TAG_I16: memcpy(&i16, decode_bytes(L, d, 2), 2); n = i16; break;
    case TAG_I32: memcpy(&i32, decode_bytes(L, d, 4), 4); n = i32; break;
    case TAG_F32: memcpy(&f, decode_bytes(L, d, 4), 4); n = f; break;
    case TAG_F64: memcpy(&n, decode_bytes(L, d, 8), 8); break;
    case TAG_FALSE: *value = VALUE_FALSE; return 1;
    case TAG_TRUE: *value = VALUE_TRUE; return 1;
    default:
      if (tag >= TAG_STRING) return 0;
      n = tag + INT_LEAST;
  }
  *value = memory_number(n);
  return 1;
}

/* The value in memory of what has this tag, without the stack: 0: it takes
** the ordinary way. */
static int simple (lua_State *L, decoder *d, int tag, uint64_t *value) {
  uint32_t slot = string_slot(L, d, tag);
  if (!slot) return scalar(L, d, tag, value);
  *value = d->values[slot];
  return 1;
}

static int is_string (int tag) {
  return (tag >= TAG_STRING && tag < TAG_MAP) || (tag & ~1) == TAG_LONG_STRING;
}

/* A key that was sent before; its value is a string that comes here. */
static void string_pair (lua_State *L, decoder *d, const dframe *f,
                         uint32_t slot, int tag) {
  uint64_t value;
  decode_string_tag(L, d, tag);
  value = memory_string(lua_tostring(L, -1));
  if (memory_set_pair(f->raw, d->values[slot], value)) {
    lua_pop(L, 1);
    return;
  }
  lua_rawgeti(L, d->base + HAVE_STRINGS, (int)slot);
  lua_insert(L, -2);
  lua_rawset(L, f->index);
}

/* 1: an item was read; 0: nothing was. */
static int quick_item (lua_State *L, decoder *d, dframe *f) {
  const uint8_t *before = d->at;
  uint64_t value;
  if (!simple(L, d, *d->at++, &value) ||
      !memory_set_item(f->raw, f->item + 1, value)) {
    d->at = before;
    return 0;
  }
  d->owed--;
  if (++f->item == f->items)
    f->phase = f->pairs ? EXPECT_KEY : EXPECT_NOTHING;
  return 1;
}

/* 1: a pair, or its key, was read; 0: nothing was. */
static int quick_pair (lua_State *L, decoder *d, dframe *f) {
  const uint8_t *before = d->at;
  uint32_t slot = string_slot(L, d, *d->at++);
  uint64_t value;
  int tag;
  if (!slot || d->at == d->end) goto ordinary;
  tag = *d->at++;
  if (is_string(tag)) string_pair(L, d, f, slot, tag);
  else if (!simple(L, d, tag, &value)) {
    d->at--;
    d->owed--;
    lua_rawgeti(L, d->base + HAVE_STRINGS, (int)slot);
    f->phase = EXPECT_VALUE;
    return 1;
  }
  else if (!memory_set_pair(f->raw, d->values[slot], value)) goto ordinary;
  d->owed -= 2;
  if (--f->pairs == 0) f->phase = EXPECT_NOTHING;
  return 1;
ordinary:
  d->at = before;
  return 0;
}

int quick_step (lua_State *L, decoder *d, dframe *f) {
  int done = 0;
  while (d->at < d->end) {
    if (f->phase == EXPECT_ITEM && quick_item(L, d, f)) done = 1;
    else if (f->phase == EXPECT_KEY && quick_pair(L, d, f)) done = 1;
    else break;
  }
  if (f->phase == EXPECT_NOTHING) return decode_close(L, d);
  return done ? 0 : -1;
}

#else

void quick_keep (lua_State *L, decoder *d, uint32_t slot) {
  (void)L, (void)d, (void)slot;
}

int quick_step (lua_State *L, decoder *d, dframe *f) {
  (void)L, (void)d, (void)f;
  return -1;
}

#endif
