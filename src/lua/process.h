/*
** The process object, for the parts that wait for processes.
*/
#ifndef LSK_PROCESS_H
#define LSK_PROCESS_H

#include "lsk.h"

sk_process *lsk_checkprocess (lua_State *L, int arg);

#endif
