/*
** The hub: one pollable bell per Lua state and process, and the wait for
** messages and the ends of children.
*/
#include <unistd.h>

#include "channel.h"
#include "hub.h"
#include "link.h"
#include "process.h"

#define HUB "suitkaise.hub"

typedef struct {
  sk_bell *bell;
  uint64_t generation;
  int listens;  /* an event loop waits for the bell: an sk_sleep, or 0 */
} hub_ud;

static void hub_forget (hub_ud *hub) {
  /* in a child the descriptor is the way to wake the parent: it stays */
  if (hub->bell && hub->generation == sk_generation())
    sk_bell_destroy(hub->bell);
  hub->bell = NULL;
  hub->listens = 0;
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
  hub->listens = 0;
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

static sk_lane *inbox (lua_State *L, int index) {
  lsk_channel *c = lsk_testchannel(L, index);
  return c ? c->in : lsk_link_inbox(L, index);
}

static sk_lane *const *lanes_of (lua_State *L, int arg, size_t n) {
  sk_lane **lanes = lua_newuserdata(L, (n + 1) * sizeof *lanes);
  size_t i;
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, arg, (int)i + 1);
    lanes[i] = inbox(L, lua_gettop(L));
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

/* An event loop that waits for the bell as well must look again: the ring may
** have been for it. */
static void give_back_bell (lua_State *L, sk_bell *bell) {
  hub_ud *hub = hub_of(L);
  if (!hub->listens) return;
  sk_bell_listen(bell, (enum sk_sleep)hub->listens);
  sk_bell_ring(bell, SK_LAZY);  /* wakes any sleeper */
}

/* wait({ link... }, { process... }, "lazy" | "eager", seconds)
** -> true when there may be something to do, else false. A signal that ends
** the wait (EINTR) counts as something: Lua's own handlers want to run. */
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
  give_back_bell(L, w.bell);
  if (rc != SKE_TIMEOUT && rc != SKE_INTR) lsk_check(L, rc, "wait");
  lua_pushboolean(L, rc != SKE_TIMEOUT);
  return 1;
}

/* ---- the same for an event loop: fd, listen, hush ---- */

/* bell_fd() -> descriptor that is readable after the bell was rung. */
static int core_bell_fd (lua_State *L) {
  sk_bell *bell;
  lsk_check(L, lsk_hub_bell(L, &bell), "wait");
  lua_pushinteger(L, sk_bell_fd(bell));
  return 1;
}

static int any_message (lua_State *L, int links) {
  size_t n = length(L, links), i;
  for (i = 1; i <= n; i++) {
    int is_ready;
    lua_rawgeti(L, links, (int)i);
    is_ready = sk_lane_ready(inbox(L, lua_gettop(L)));
    lua_pop(L, 1);
    if (is_ready) return 1;
  }
  return 0;
}

/* has_message({ link... }) -> is there one? */
static int core_has_message (lua_State *L) {
  lua_pushboolean(L, any_message(L, 1));
  return 1;
}

/* listen({ link... }, "lazy" | "eager") -> is there a message already? Until
** hush the bell rings for those who write to any of the state's links. */
static int core_listen (lua_State *L) {
  static const char *const depths[] = { "lazy", "eager", NULL };
  int how = luaL_checkoption(L, 2, "eager", depths) == 0 ? SK_LAZY : SK_EAGER;
  sk_bell *bell;
  hub_ud *hub = hub_of(L);
  lsk_check(L, lsk_hub_bell(L, &bell), "wait");
  if (how > hub->listens) hub->listens = how;
  sk_bell_listen(bell, (enum sk_sleep)hub->listens);
  lua_pushboolean(L, any_message(L, 1));
  return 1;
}

/* hush(): the bell was heard, or nobody waits for it any more. */
static int core_hush (lua_State *L) {
  sk_bell *bell;
  lsk_check(L, lsk_hub_bell(L, &bell), "wait");
  hub_of(L)->listens = 0;
  sk_bell_hush(bell);
  return 0;
}

/* ---- a watch: the ends of several processes as one descriptor ---- */

#define WATCH "suitkaise.watch"

static int watch_close (lua_State *L) {
  int *fd = luaL_checkudata(L, 1, WATCH);
  if (*fd >= 0) close(*fd);
  *fd = -1;
  return 0;
}

static int watch_fd (lua_State *L) {
  lua_pushinteger(L, *(int *)luaL_checkudata(L, 1, WATCH));
  return 1;
}

/* watch({ process... }) -> watch, or nil when one has ended already. */
static int core_watch (lua_State *L) {
  size_t n = length(L, 1);
  sk_process *const *procs = procs_of(L, 1, n);
  int *fd = lua_newuserdata(L, sizeof *fd), rc;
  *fd = -1;
  luaL_getmetatable(L, WATCH);
  lua_setmetatable(L, -2);
  rc = sk_process_watch(procs, n, fd);
  if (rc == SKE_LOST) return 0;
  lsk_check(L, rc, "wait");
  return 1;
}

/* cells_watch() -> watch of all cells that somebody listens to. */
static int core_cells_watch (lua_State *L) {
  int *fd = lua_newuserdata(L, sizeof *fd);
  *fd = -1;
  luaL_getmetatable(L, WATCH);
  lua_setmetatable(L, -2);
  lsk_check(L, sk_cells_watch(fd), "wait");
  return 1;
}

/* hush(): what a watch of cells told was heard. */
static int watch_hush (lua_State *L) {
  sk_cells_hush(*(int *)luaL_checkudata(L, 1, WATCH));
  return 0;
}

static const luaL_Reg watch_methods[] = {
  { "hush", watch_hush },
  { "fd", watch_fd },
  { "close", watch_close },
  { "__gc", watch_close },
  { NULL, NULL }
};

/* readable(fd) -> would an event loop find something there? */
static int core_readable (lua_State *L) {
  int fd = (int)lsk_checkint(L, 1, 0, INT32_MAX);
  lua_pushboolean(L, sk_readable(fd));
  return 1;
}

static const luaL_Reg hub_methods[] = {
  { "__gc", hub_gc },
  { NULL, NULL }
};

static const luaL_Reg functions[] = {
  { "wait", core_wait },
  { "bell_fd", core_bell_fd },
  { "has_message", core_has_message },
  { "listen", core_listen },
  { "hush", core_hush },
  { "watch", core_watch },
  { "cells_watch", core_cells_watch },
  { "readable", core_readable },
  { NULL, NULL }
};

void lsk_open_hub (lua_State *L) {
  lsk_newclass(L, HUB, hub_methods);
  lsk_newclass(L, WATCH, watch_methods);
  luaL_setfuncs(L, functions, 0);
}
