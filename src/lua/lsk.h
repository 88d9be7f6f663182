/*
** What the binding's files share: one Lua API for 5.1 to 5.4 and the way
** that errors of the core become errors of Lua.
*/
#ifndef LSK_H
#define LSK_H

#include <lua.h>
#include <lauxlib.h>

#include "suitkaise.h"

/* ---- one API: the names of 5.3, for 5.1 and LuaJIT too ---- */

#if LUA_VERSION_NUM < 502
#define lua_rawlen(L, i) lua_objlen(L, (i))
#define lua_absindex(L, i) \
  ((i) > 0 || (i) <= LUA_REGISTRYINDEX ? (i) : lua_gettop(L) + (i) + 1)
void lsk_setfuncs (lua_State *L, const luaL_Reg *reg, int nup);
#define luaL_setfuncs(L, r, n) lsk_setfuncs(L, (r), (n))
#endif

#if LUA_VERSION_NUM >= 503
#define LSK_INTEGERS 1  /* numbers have an integer subtype */
#else
#define LSK_INTEGERS 0
#endif

/* ---- errors and arguments (error.c) ---- */

/* Push nil, a message and the code's name; -> 3. */
int lsk_fail (lua_State *L, int rc, const char *what);
/* Raise "<what>: <reason>" at the caller's line when rc is an error. */
void lsk_check (lua_State *L, int rc, const char *what);
/* Push an integer: a Lua integer, or a double where there are none. */
void lsk_pushint (lua_State *L, int64_t v);
/* Argument that must be a whole number in [lo, hi]. */
int64_t lsk_checkint (lua_State *L, int arg, int64_t lo, int64_t hi);
/* Argument in seconds -> nanoseconds; nil or none -> `none`. */
int64_t lsk_optseconds (lua_State *L, int arg, int64_t none);

/* Register a userdata class: methods are found on its objects. Leaves the
** stack as it was. */
void lsk_newclass (lua_State *L, const char *name, const luaL_Reg *methods);

/* ---- the parts; each adds its functions to the table on top ---- */

void lsk_open_cell (lua_State *L);
void lsk_open_terminal (lua_State *L);
void lsk_open_cerial (lua_State *L);
void lsk_open_process (lua_State *L);
void lsk_open_hub (lua_State *L);
void lsk_open_link (lua_State *L);
void lsk_open_share (lua_State *L);
void lsk_open_channel (lua_State *L);
void lsk_open_pipe (lua_State *L);

#endif
