/*
** Values that need no state of an encoder or decoder: numbers, booleans, nil
** and short strings by themselves, as most items and results of a Pool are.
** The bytes are those that the general way would understand, too.
*/
#include <string.h>

#include "cerial_decode.h"
#include "cerial_encode.h"
#include "cerial_scalar.h"

static void encode_any_number (lua_State *L, encoder *e, int index) {
#if LSK_INTEGERS
  if (lua_isinteger(L, index))
    encode_int(L, e, (int64_t)lua_tointeger(L, index));
  else {
    double d = (double)lua_tonumber(L, index);
    encode_raw(L, e, TAG_F64, &d, sizeof d);
  }
#else
  encode_number(L, e, lua_tonumber(L, index));
#endif
}

static int encode_short (lua_State *L, encoder *e, int index) {
  size_t len;
  const char *s = lua_tolstring(L, index, &len);
  if (len > SHORT_STRING) return 0;
  encode_raw(L, e, TAG_STRING + (int)len, s, len);
  return 1;
}

int scalar_encode (lua_State *L, int index, lsk_buffer *b) {
  encoder e;  /* only what writing bytes needs is set */
  e.out = b;
  e.start = b->len;
  e.max_bytes = SIZE_MAX;
  switch (lua_type(L, index)) {
    case LUA_TNUMBER: encode_any_number(L, &e, index); return 1;
    case LUA_TSTRING: return encode_short(L, &e, index);
    case LUA_TNIL: encode_tag(L, &e, TAG_NIL); return 1;
    case LUA_TBOOLEAN:
      encode_tag(L, &e, lua_toboolean(L, index) ? TAG_TRUE : TAG_FALSE);
      return 1;
    default: return 0;
  }
}

/* Bytes after a number's tag; 0 for other tags, and for I64, which may need
** more than a push. */
static size_t number_bytes (int tag) {
  switch (tag) {
    case TAG_I8: return 1;
    case TAG_I16: return 2;
    case TAG_I32: case TAG_F32: return 4;
    case TAG_F64: return 8;
    default: return 0;
  }
}

static size_t decode_a_number (lua_State *L, const uint8_t *data,
                               size_t len) {
  size_t n = number_bytes(*data);
  decoder d;
  if (n == 0 || len <= n) return 0;
  memset(&d, 0, sizeof d);
  d.start = data;
  d.at = data + 1;
  d.end = data + len;
  decode_number_value(L, &d, *data);
  return n + 1;
}

size_t scalar_decode (lua_State *L, const uint8_t *data, size_t len) {
  int tag = len ? *data : -1;
  if (tag < 0) return 0;
  if (tag < TAG_STRING) {
    lua_pushinteger(L, tag + INT_LEAST);
    return 1;
  }
  if (tag < TAG_STRING_SHARED) {
    size_t n = (size_t)(tag - TAG_STRING);
    if (len <= n) return 0;
    lua_pushlstring(L, (const char *)data + 1, n);
    return n + 1;
  }
  if (tag == TAG_NIL) lua_pushnil(L);
  else if (tag == TAG_FALSE || tag == TAG_TRUE)
    lua_pushboolean(L, tag == TAG_TRUE);
  else return decode_a_number(L, data, len);
  return 1;
}
