/*
** suitkaise.core: the one C module. Its parts are in files of their own.
*/
#include "lsk.h"

SK_API int luaopen_suitkaise_core (lua_State *L);

int luaopen_suitkaise_core (lua_State *L) {
  lua_newtable(L);
  lsk_open_cell(L);
  lsk_open_terminal(L);
  lsk_open_cerial(L);
  lsk_open_process(L);
  lsk_open_hub(L);
  lsk_open_link(L);
  lsk_open_share(L);
  lsk_open_channel(L);
  lsk_open_pipe(L);
  return 1;
}
