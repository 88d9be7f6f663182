/*
** The hub: the one place where a Lua state sleeps until something happens.
*/
#ifndef LSK_HUB_H
#define LSK_HUB_H

#include "lsk.h"

/* The state's own bell; a new one in a forked child. */
int lsk_hub_bell (lua_State *L, sk_bell **out);

#endif
