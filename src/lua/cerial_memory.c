/*
** The self-test of cerial_memory.h, and the writes to tables that are built.
*/
#include "cerial_memory.h"

#if LSK_MEMORY

/* ---- reading ---- */

uint64_t memory_string (const char *s) {
  return make_value(TYPE_STRING, s - STRING_BYTES);
}

uint32_t memory_stamp (const void *table) {
  const gctab *t = table;
  uint64_t stamp = t->hmask;
  uint32_t i;
  for (i = 0; i <= t->hmask; i++) {
    const gcnode *n = &nodes_of(t)[i];
    if (n->value != VALUE_NIL)
      stamp = (stamp ^ n->key ^ n->value >> 3) * UINT64_C(0x100000001B3);
  }
  return (uint32_t)(stamp ^ stamp >> 32);
}

/* ---- writing ---- */

static int fill_doubles (uint64_t *item, const uint8_t *p, uint32_t n) {
  uint32_t i;
  for (i = 0; i < n; i++, p += 8) {
    double d;
    memcpy(&d, p, 8);
    item[i] = memory_number(d);
  }
  return 1;
}

static void fill_int (uint64_t *item, int32_t v) {
  double d = v;
  memcpy(item, &d, sizeof d);
}

int memory_fill (lua_State *L, int index, uint32_t from, int tag,
                 const uint8_t *p, uint32_t n) {
  const gctab *t = lua_topointer(L, index);
  uint64_t *item = (uint64_t *)(uintptr_t)t->array;
  uint32_t i;
  if (t->asize <= from + n) return 0;
  item += from + 1;
  switch (tag) {
    case TAG_RUN_F64: case TAG_RUN_NUMBER: return fill_doubles(item, p, n);
    case TAG_RUN_I8:
      for (i = 0; i < n; i++) fill_int(&item[i], (int8_t)p[i]);
      return 1;
    case TAG_RUN_I16:
      for (i = 0; i < n; i++, p += 2) {
        int16_t v;
        memcpy(&v, p, 2);
        fill_int(&item[i], v);
      }
      return 1;
    case TAG_RUN_I32:
      for (i = 0; i < n; i++, p += 4) {
        int32_t v;
        memcpy(&v, p, 4);
        fill_int(&item[i], v);
      }
      return 1;
    default: return 0;
  }
}

/* ---- the self-test ---- */

static int field_is (const gctab *t, uint64_t key, double value) {
  uint32_t i;
  for (i = 0; i <= t->hmask; i++)
    if (nodes_of(t)[i].key == key)
      return to_double(nodes_of(t)[i].value) == value;
  return 0;
}

/* Does node i come as number i when the API walks the table? */
static int same_order (lua_State *L, const gctab *t, int index) {
  uint32_t i = 0;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    uint64_t s;
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) continue;
    while (i <= t->hmask && nodes_of(t)[i].value == VALUE_NIL) i++;
    s = make_value(TYPE_STRING, lua_tostring(L, -1) - STRING_BYTES);
    if (i > t->hmask || nodes_of(t)[i++].key != s) {
      lua_pop(L, 1);
      return 0;
    }
  }
  return 1;
}

/* Stack: probe table, its metatable, its child, its string. */
static int probe_agrees (lua_State *L, int at) {
  const gctab *t = lua_topointer(L, at);
  const uint64_t *a;
  const char *s = lua_tostring(L, at + 3) - STRING_BYTES;
  uint64_t string = make_value(TYPE_STRING, s);
  size_t len;
  if (t->type != TABLE_OBJECT || t->asize != 8 || t->hmask != 3) return 0;
  if (!is_white(t)) return 0;  /* a new table */
  if (object_of(t->metatable) != lua_topointer(L, at + 1)) return 0;
  a = array_of(t);
  if (a[1] != string || to_double(a[2]) != 2.5 || to_double(a[3]) != 7)
    return 0;
  if (a[4] != VALUE_TRUE || a[5] != VALUE_FALSE) return 0;
  if (a[6] != make_value(TYPE_TABLE, lua_topointer(L, at + 2))) return 0;
  if (a[7] != VALUE_NIL) return 0;
  string_of(string, &len);
  if (len != 5 || type_of(a[2]) >= TYPE_NUMBERS) return 0;
  return field_is(t, string, -0.25) && same_order(L, t, at);
}

static void set_item (lua_State *L, int index, int i) {
  lua_rawseti(L, index, i);
}

static void make_probe (lua_State *L, int at) {
  lua_createtable(L, 7, 3);
  lua_createtable(L, 0, 0);
  lua_createtable(L, 0, 0);
  lua_pushliteral(L, "probe");
  lua_pushvalue(L, at + 1);
  lua_setmetatable(L, at);
  lua_pushvalue(L, at + 3); set_item(L, at, 1);
  lua_pushnumber(L, 2.5); set_item(L, at, 2);
  lua_pushnumber(L, 7); set_item(L, at, 3);
  lua_pushboolean(L, 1); set_item(L, at, 4);
  lua_pushboolean(L, 0); set_item(L, at, 5);
  lua_pushvalue(L, at + 2); set_item(L, at, 6);
  lua_pushvalue(L, at + 3);
  lua_pushnumber(L, -0.25);
  lua_rawset(L, at);
  lua_pushliteral(L, "another");
  lua_pushboolean(L, 1);
  lua_rawset(L, at);
}

/* Items that were written to memory, as the API reads them. */
static int filled_agrees (lua_State *L) {
  int16_t run[3] = { -1, 0, 300 };
  int i, ok;
  lua_createtable(L, 3, 0);
  ok = memory_fill(L, lua_gettop(L), 0, TAG_RUN_I16, (const uint8_t *)run, 3);
  for (i = 1; ok && i <= 3; i++) {
    lua_rawgeti(L, -1, i);
    ok = lua_type(L, -1) == LUA_TNUMBER &&
         lua_tonumber(L, -1) == (lua_Number)run[i - 1];
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return ok;
}

/* Pairs that were written to memory, as the API reads them; enough of them
** for nodes to be taken, and for the table to grow afterwards. */
static int pairs_agree (lua_State *L) {
  int t = lua_gettop(L) + 1, i, ok = 1;
  lua_createtable(L, 0, 8);
  for (i = 0; i < 12; i++) {
    uint64_t key;
    lua_pushfstring(L, "cerial probe %d", i);
    key = memory_string(lua_tostring(L, -1));
    if (i < 8 && memory_set_pair((void *)(uintptr_t)lua_topointer(L, t), key,
                                 memory_number(i)))
      lua_pop(L, 1);
    else {
      lua_pushnumber(L, i);
      lua_rawset(L, t);
    }
  }
  for (i = 0; ok && i < 12; i++) {
    lua_pushfstring(L, "cerial probe %d", i);
    lua_rawget(L, t);
    ok = lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) == i;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return ok;
}

int memory_known (lua_State *L) {
  int top = lua_gettop(L), works;
  luaL_checkstack(L, 16, "cerial");
  make_probe(L, top + 1);
  works = probe_agrees(L, top + 1) && filled_agrees(L) && pairs_agree(L);
  lua_settop(L, top);
  return works;
}

#else  /* no LuaJIT whose memory is known: everything through the API */

int memory_known (lua_State *L) {
  (void)L;
  return 0;
}

uint32_t memory_stamp (const void *table) {
  (void)table;
  return 0;
}

uint64_t memory_string (const char *s) {
  (void)s;
  return 0;
}

int memory_fill (lua_State *L, int index, uint32_t from, int tag,
                 const uint8_t *p, uint32_t n) {
  (void)L, (void)index, (void)from, (void)tag, (void)p, (void)n;
  return 0;
}

#endif
