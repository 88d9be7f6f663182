/*
** How cerial's C asks its Lua side, which sets the policy: what travels by
** name, which classes are known, what an error says.
*/
#ifndef LSK_CERIAL_CALLS_H
#define LSK_CERIAL_CALLS_H

#include "lsk.h"

/* Push the table that core.cerial_setup was given, indexed by CALL_* and
** THE_* of cerial_format.h; loads suitkaise.cerial when nobody has. */
void cerial_push_calls (lua_State *L);

#endif
