/*
** How cerial's C asks its Lua side, which sets the policy: what travels by
** name, which classes are known, what an error says.
*/
#ifndef LSK_CERIAL_CALLS_H
#define LSK_CERIAL_CALLS_H

#include "lsk.h"

/* LuaJIT 2.1 has what 5.1 has not, and no macro of its own in lua.h. */
#if LUA_VERSION_NUM == 501 && defined(LUA_GCISRUNNING)
#define LSK_LUAJIT 1
#else
#define LSK_LUAJIT 0
#endif

/* Do upvalues have an identity? In 5.1 shared ones are copied. */
#define HAS_UPVALUE_IDS (LUA_VERSION_NUM >= 502 || LSK_LUAJIT)

/* Push the table that core.cerial_setup was given, indexed by CALL_* and
** THE_* of cerial_format.h; loads suitkaise.cerial when nobody has. */
void cerial_push_calls (lua_State *L);

/* cerial_slice.c: add its functions to the table on top. */
void cerial_open_slices (lua_State *L);

#endif
