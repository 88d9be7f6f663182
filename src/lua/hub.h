/*
** The hub: the one place where a Lua state sleeps until something happens.
*/
#ifndef LSK_HUB_H
#define LSK_HUB_H

#include "lsk.h"

/* The state's own bell; a new one in a forked child. Raises when there is
** none to be had. */
sk_bell *lsk_hub_bell (lua_State *L);

#endif
