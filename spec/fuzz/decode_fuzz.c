/*
** libFuzzer: any bytes into the untrusted decoder of a real Lua. What comes
** back is encoded again, which must work, and looked at with to_json. Built
** against any of the Luas; see mk/cerial.mk.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lualib.h>

#include "lsk.h"

#define COLLECT_EVERY 4096

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
int LLVMFuzzerInitialize (int *argc, char ***argv);

static lua_State *L;
static unsigned long runs;

static const char setup[] =
  "local cerial = require 'suitkaise.cerial'\n"
  "local errors = require 'suitkaise.errors'\n"
  "local C = { __index = {} }\n"
  "cerial.register('C', C)\n"
  "local H = { __serialize = function(o) return { o.s } end }\n"
  "H.__deserialize = function(s)\n"
  "  if type(s) ~= 'table' then error 'no state' end\n"
  "  return setmetatable({ s = s[1] }, H)\n"
  "end\n"
  "cerial.register('H', H)\n"
  "local function check(ok, err)\n"
  "  if not ok and not errors.is(err, 'DeserializationError') then\n"
  "    error('not a DeserializationError: ' .. tostring(err))\n"
  "  end\n"
  "  return ok\n"
  "end\n"
  "return function(bytes)\n"
  "  local ok, value = pcall(cerial.deserialize, bytes)\n"
  "  check(ok, value)\n"
  "  if ok then cerial.deserialize(cerial.serialize(value)) end\n"
  "  if #bytes % 16 == 0 then check(pcall(cerial.to_json, bytes)) end\n"
  "end\n";

/* Every block from malloc, so that the sanitizer sees its ends. */
static void *allocate (void *ud, void *p, size_t old, size_t size) {
  (void)ud, (void)old;
  if (size) return realloc(p, size);
  free(p);
  return NULL;
}

static int open_core (lua_State *S) {
  lua_newtable(S);
  lsk_open_cerial(S);
  return 1;
}

const char *sk_strerror (int rc) {
  (void)rc;
  return "error";
}

static void fail (const char *what) {
  fprintf(stderr, "%s: %s\n", what, lua_tostring(L, -1));
  abort();
}

int LLVMFuzzerInitialize (int *argc, char ***argv) {
  (void)argc, (void)argv;
#if LUA_VERSION_NUM >= 505
  L = lua_newstate(allocate, NULL, 1);
#else
  L = lua_newstate(allocate, NULL);
#endif
  if (!L) abort();
  luaL_openlibs(L);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  lua_pushcfunction(L, open_core);
  lua_setfield(L, -2, "suitkaise.core");
  lua_settop(L, 0);
  if (luaL_loadstring(L, setup) || lua_pcall(L, 0, 1, 0)) fail("setup");
  return 0;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size) {
  lua_pushvalue(L, 1);
  /* the header is right, so that no run is spent on finding it */
  lua_pushliteral(L, "\xA7SK\x01");
  lua_pushlstring(L, (const char *)data, size);
  lua_concat(L, 2);
  if (lua_pcall(L, 1, 0, 0)) fail("finding");
  if (++runs % COLLECT_EVERY == 0) lua_gc(L, LUA_GCCOLLECT, 0);
  return 0;
}
