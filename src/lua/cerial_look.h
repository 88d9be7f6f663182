/*
** Functions of core that look at bytes and files: cerial_token.c.
*/
#ifndef LSK_CERIAL_LOOK_H
#define LSK_CERIAL_LOOK_H

#include "lsk.h"

int cerial_token (lua_State *L);
int cerial_count (lua_State *L);
int cerial_file (lua_State *L);

#endif
