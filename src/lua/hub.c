/*
** The hub: one pollable bell per Lua state and process, and the wait for
** messages and the ends of children.
*/
#include "hub.h"
#include "link.h"
#include "process.h"

#define HUB "suitkaise.hub"

typedef struct {
  sk_bell *bell;
  uint64_t generation;
} hub_ud;

static void hub_forget (hub_ud *hub) {
  /* in a child the descriptor is the way to wake the parent: it stays */
  if (hub->bell && hub->generation == sk_generation())
    sk_bell_destroy(hub->bell);
  hub->bell = NULL;
}

static int hub_gc (lua_State *L) {
  hub_forget(luaL_checkudata(L, 1, HUB));
  return 0;
}

static hub_ud *hub_of (lua_State *L) {
  hub_ud *hub;
  lua_getfield(L, LUA_REGISTRYINDEX, HUB ".self");
  hub = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (hub) return hub;
  hub = lua_newuserdata(L, sizeof *hub);
  hub->bell = NULL;
  luaL_getmetatable(L, HUB);
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, HUB ".self");
  return hub;
}

int lsk_hub_bell (lua_State *L, sk_bell **out) {
  hub_ud *hub = hub_of(L);
  if (!hub->bell || hub->generation != sk_generation()) {
    sk_segment *root;
    int rc;
    hub_forget(hub);
    rc = sk_root(&root);
    if (!rc) rc = sk_bell_create(root, 1, &hub->bell);
    if (rc) return rc;
    hub->generation = sk_generation();
  }
  *out = hub->bell;
  return 0;
}

/* ---- wait(links, processes, how, timeout) ---- */

static size_t length (lua_State *L, int arg) {
  luaL_checktype(L, arg, LUA_TTABLE);
  return lua_rawlen(L, arg);
}

static sk_lane *const *lanes_of (lua_State *L, int arg, size_t n) {
  sk_lane **lanes = lua_newuserdata(L, (n + 1) * sizeof *lanes);
  size_t i;
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, arg, (int)i + 1);
    lanes[i] = lsk_link_inbox(L, -1);
    lua_pop(L, 1);
  }
  return lanes;
}

static sk_process *const *procs_of (lua_State *L, int arg, size_t n) {
  sk_process **procs = lua_newuserdata(L, (n + 1) * sizeof *procs);
  size_t i;
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, arg, (int)i + 1);
    procs[i] = lsk_checkprocess(L, -1);
    lua_pop(L, 1);
  }
  return procs;
}

/* wait({ link... }, { process... }, "lazy" | "eager", seconds)
** -> true when there may be something to do, else false. The order of a
** signal (EINTR) counts as something: Lua's own handlers want to run. */
static int core_wait (lua_State *L) {
  static const char *const depths[] = { "lazy", "eager", NULL };
  sk_wait w;
  int how = luaL_checkoption(L, 3, "eager", depths);
  int64_t timeout = lsk_optseconds(L, 4, INT64_MAX);
  int rc;
  w.n_lanes = length(L, 1);
  w.n_procs = length(L, 2);
  lsk_check(L, lsk_hub_bell(L, &w.bell), "wait");
  w.lanes = lanes_of(L, 1, w.n_lanes);
  w.procs = procs_of(L, 2, w.n_procs);
  rc = sk_wait_any(&w, how == 0 ? SK_LAZY : SK_EAGER, 0, timeout);
  if (rc != SKE_TIMEOUT && rc != SKE_INTR) lsk_check(L, rc, "wait");
  lua_pushboolean(L, rc != SKE_TIMEOUT);
  return 1;
}

static const luaL_Reg hub_methods[] = {
  { "__gc", hub_gc },
  { NULL, NULL }
};

static const luaL_Reg functions[] = {
  { "wait", core_wait },
  { NULL, NULL }
};

void lsk_open_hub (lua_State *L) {
  lsk_newclass(L, HUB, hub_methods);
  luaL_setfuncs(L, functions, 0);
}
