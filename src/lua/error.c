/*
** Errors of the core as Lua errors, and the checks of arguments.
*/
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lsk.h"

#define NS_PER_SECOND 1e9
#define MAX_SECONDS 9.0e9  /* nanoseconds of more do not fit 63 bits */

static const char *code_name (int rc) {
  switch (rc) {
#define SK_ERROR_NAME(name, code, text) case name: return #name;
    SK_ERRORS(SK_ERROR_NAME)
#undef SK_ERROR_NAME
    default: return "SKE_?";
  }
}

static const char *reason (int rc, int err) {
  return rc == SKE_SYS ? strerror(err) : sk_strerror(rc);
}

int lsk_fail (lua_State *L, int rc, const char *what) {
  int err = errno;
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", what, reason(rc, err));
  lua_pushstring(L, code_name(rc));
  return 3;
}

void lsk_check (lua_State *L, int rc, const char *what) {
  int err = errno;
  if (rc < 0) luaL_error(L, "%s: %s", what, reason(rc, err));
}

void lsk_pushint (lua_State *L, int64_t v) {
#if LSK_INTEGERS
  lua_pushinteger(L, (lua_Integer)v);
#else
  lua_pushnumber(L, (lua_Number)v);
#endif
}

int64_t lsk_checkint (lua_State *L, int arg, int64_t lo, int64_t hi) {
  lua_Number n;
#if LSK_INTEGERS
  if (lua_isinteger(L, arg)) {
    int64_t i = (int64_t)lua_tointeger(L, arg);
    luaL_argcheck(L, i >= lo && i <= hi, arg, "out of range");
    return i;
  }
#endif
  luaL_checktype(L, arg, LUA_TNUMBER);
  n = lua_tonumber(L, arg);
  luaL_argcheck(L, n == floor(n) && n >= (lua_Number)lo &&
                n <= (lua_Number)hi, arg, "whole number expected");
  return n >= 9223372036854775807.0 ? INT64_MAX : (int64_t)n;
}

int64_t lsk_optseconds (lua_State *L, int arg, int64_t none) {
  lua_Number n;
  if (lua_isnoneornil(L, arg)) return none;
  luaL_checktype(L, arg, LUA_TNUMBER);
  n = lua_tonumber(L, arg);
  luaL_argcheck(L, n >= 0, arg, "seconds must not be negative");
  if (n > MAX_SECONDS) return INT64_MAX;
  return (int64_t)(n * NS_PER_SECOND);
}

void lsk_newclass (lua_State *L, const char *name, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

#if LUA_VERSION_NUM < 502
void lsk_setfuncs (lua_State *L, const luaL_Reg *reg, int nup) {
  for (; reg->name; reg++) {
    int i;
    for (i = 0; i < nup; i++) lua_pushvalue(L, -nup);
    lua_pushcclosure(L, reg->func, nup);
    lua_setfield(L, -(nup + 2), reg->name);
  }
  lua_pop(L, nup);
}
#endif
