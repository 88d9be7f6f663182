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

static void more_values (lua_State *L, slot_map *map, uint32_t slot) {
  uint32_t room = map->values_room ? map->values_room : FIRST_VALUES;
  uint64_t *values;
  while (room <= slot) room *= 2;
  values = realloc(map->values, room * sizeof *values);
  if (!values) luaL_error(L, "not enough memory");
  map->values = values;
  map->values_room = room;
}

void quick_keep (lua_State *L, slot_map *map, uint32_t slot) {
  uint64_t value = 0;
  if (slot >= map->values_room) more_values(L, map, slot);
  switch (lua_type(L, -1)) {
    case LUA_TSTRING: value = memory_string(lua_tostring(L, -1)); break;
    case LUA_TTABLE:
      value = make_value(TYPE_TABLE, lua_topointer(L, -1));
      break;
    default: break;
  }
  map->values[slot] = value;
}

/* Bytes that must be left: a pair of numbers is shorter, so that nothing has
** to be checked byte by byte. The last bytes take the ordinary way. */
#define AHEAD 24

/* The slot of the string that is referred to at *at, which moves past it; 0:
** it is no such reference, or not a good one. */
static inline uint32_t string_slot (const decoder *d, const uint8_t **at) {
  const uint8_t *p = *at;
  uint32_t number = *p++;
  if (number >= TAG_STRING_REF && number < TAG_ARRAY)
    number -= TAG_STRING_REF;
  else if (number == TAG_LONG_STRING_REF && *p < 0x80)
    number = *p++ + SMALL_REF;
  else if (number == TAG_LONG_STRING_REF && p[1] < 0x80) {
    number = (p[0] & 0x7Fu) + ((uint32_t)p[1] << 7) + SMALL_REF;
    p += 2;
  }
  else return 0;
  if (number >= d->strings.next || number >= d->strings.room) return 0;
  number = d->strings.slots[number];
  if (number) *at = p;
  return number;
}

/* The value of the table that is referred to at *at, behind the tag; 0: it
** takes the ordinary way. */
static inline uint64_t table_ref (const decoder *d, const uint8_t **at) {
  const slot_map *map = &d->objects;
  const uint8_t *p = *at;
  uint32_t number = 0, shift = 0, slot;
  while (*p >= 0x80 && shift < 14) {
    number |= (*p++ & 0x7Fu) << shift;
    shift += 7;
  }
  if (*p >= 0x80) return 0;
  number |= (uint32_t)*p++ << shift;
  if (number >= map->next || number >= map->room) return 0;
  slot = map->slots[number];
  if (slot == 0 || slot & SLOT_IS_PENDING) return 0;
  *at = p;
  return map->values[slot & SLOT_BITS];
}

/* The value in memory of the number, boolean, or reference at *at, which
** moves past it. 0: it is something else. */
static inline int simple (const decoder *d, const uint8_t **at,
                          uint64_t *value) {
  const uint8_t *p = *at;
  uint32_t slot;
  int tag = *p++;
  int16_t i16;
  int32_t i32;
  float f;
  double n;
  if (tag < TAG_STRING) n = tag + INT_LEAST;
  else switch (tag) {
    case TAG_I8: n = (int8_t)*p++; break;
    case TAG_I16: memcpy(&i16, p, 2); n = i16; p += 2; break;
    case TAG_I32: memcpy(&i32, p, 4); n = i32; p += 4; break;
    case TAG_F32: memcpy(&f, p, 4); n = f; p += 4; break;
    case TAG_F64: memcpy(&n, p, 8); p += 8; break;
    case TAG_FALSE: *value = VALUE_FALSE; *at = p; return 1;
    case TAG_TRUE: *value = VALUE_TRUE; *at = p; return 1;
    case TAG_REF:
      *value = table_ref(d, &p);
      if (*value) *at = p;
      return *value != 0;
    default:
      slot = string_slot(d, at);
      if (slot) *value = d->strings.values[slot];
      return slot != 0;
  }
  *value = memory_number(n);
  *at = p;
  return 1;
}

static inline int is_string (int tag) {
  return (tag >= TAG_STRING && tag < TAG_MAP) || (tag & ~1) == TAG_LONG_STRING;
}

/* The string on top is the value of a key that was sent before. */
static void string_pair (lua_State *L, decoder *d, const dframe *f,
                         uint32_t slot) {
  uint64_t value = memory_string(lua_tostring(L, -1));
  if (memory_set_pair(f->raw, d->strings.values[slot], value)) {
    lua_pop(L, 1);
    return;
  }
  lua_rawgeti(L, d->base + HAVE_STRINGS, (int)slot);
  lua_insert(L, -2);
  lua_rawset(L, f->index);
}

/* 1: an item was read; 0: nothing was. */
static inline int quick_item (decoder *d, dframe *f) {
  const uint8_t *p = d->at;
  uint64_t value;
  if (!simple(d, &p, &value) ||
      !memory_set_item(f->raw, f->item + 1, value)) return 0;
  d->at = p;
  d->owed--;
  if (++f->item == f->items)
    f->phase = f->pairs ? EXPECT_KEY : EXPECT_NOTHING;
  return 1;
}

/* 1: a pair, or its key, was read; 0: nothing was. */
static inline int quick_pair (lua_State *L, decoder *d, dframe *f) {
  const uint8_t *p = d->at;
  uint32_t slot = string_slot(d, &p);
  uint64_t value;
  if (!slot) return 0;
  if (is_string(*p)) {
    d->at = p + 1;
    decode_string_tag(L, d, *p);
    string_pair(L, d, f, slot);
  }
  else if (!simple(d, &p, &value)) {  /* a table, most likely */
    d->at = p;
    d->owed--;
    f->key_slot = slot;
    f->phase = EXPECT_VALUE;
    return 1;
  }
  else if (memory_set_pair(f->raw, d->strings.values[slot], value)) d->at = p;
  else return 0;
  d->owed -= 2;
  if (--f->pairs == 0) f->phase = EXPECT_NOTHING;
  return 1;
}

void quick_take (lua_State *L, decoder *d, dframe *f) {
  uint32_t slot = f->key_slot;
  f->key_slot = 0;
  if (lua_istable(L, -1)) {
    uint64_t value = make_value(TYPE_TABLE, lua_topointer(L, -1));
    if (memory_set_pair(f->raw, d->strings.values[slot], value)) {
      lua_pop(L, 1);
      return;
    }
  }
  lua_rawgeti(L, d->base + HAVE_STRINGS, (int)slot);
  lua_insert(L, -2);
  lua_rawset(L, f->index);
}

int quick_step (lua_State *L, decoder *d, dframe *f) {
  int done = 0;
  while (d->end - d->at >= AHEAD) {
    if (f->phase == EXPECT_KEY && quick_pair(L, d, f)) done = 1;
    else if (f->phase == EXPECT_ITEM && quick_item(d, f)) done = 1;
    else break;
  }
  if (f->phase == EXPECT_NOTHING) return decode_close(L, d);
  return done && f->phase != EXPECT_VALUE ? 0 : -1;
}

#else

void quick_take (lua_State *L, decoder *d, dframe *f) {
  (void)d;
  lua_rawset(L, f->index);
}

void quick_keep (lua_State *L, slot_map *map, uint32_t slot) {
  (void)L, (void)map, (void)slot;
}

int quick_step (lua_State *L, decoder *d, dframe *f) {
  (void)L, (void)d, (void)f;
  return -1;
}

#endif
