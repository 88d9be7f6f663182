/*
** What a progress bar asks about its terminal.
*/
#include <sys/ioctl.h>
#include <unistd.h>

#include "lsk.h"

/* core.terminal_columns(fd) -> nil when it is no terminal, 0 when the
** terminal does not say. */
static int core_terminal_columns (lua_State *L) {
  int fd = (int)lsk_checkint(L, 1, 0, INT32_MAX);
  struct winsize size;
  if (!isatty(fd)) return 0;
  if (ioctl(fd, TIOCGWINSZ, &size)) size.ws_col = 0;
  lua_pushinteger(L, size.ws_col);
  return 1;
}

void lsk_open_terminal (lua_State *L) {
  lua_pushcfunction(L, core_terminal_columns);
  lua_setfield(L, -2, "terminal_columns");
}
