/*
** A host whose loop is its own: epoll, with a tick of its own beside the
** tasks. drive(async, is_done, seconds) turns it until is_done() or the time
** is up; -> ticks, steps, waits. Compiled by async_host_spec.lua.
*/
#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <lua.h>
#include <lauxlib.h>

#define TICK_NS 5000000

typedef struct { int poller, ticker; long ticks, steps, waits; } host;

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void add (int poller, int fd) {
  struct epoll_event e;
  e.events = EPOLLIN;
  e.data.fd = fd;
  epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
}

static void open_host (host *h, int tasks) {
  struct itimerspec tick = { { 0, TICK_NS }, { 0, TICK_NS } };
  h->poller = epoll_create1(EPOLL_CLOEXEC);
  h->ticker = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  timerfd_settime(h->ticker, 0, &tick, NULL);
  add(h->poller, h->ticker);
  add(h->poller, tasks);
}

/* Call async.<name>(budget); leaves its result on the stack. */
static void call (lua_State *L, const char *name, double budget) {
  lua_getfield(L, 1, name);
  lua_pushnumber(L, budget);
  lua_call(L, 1, 1);
}

/* Milliseconds until the tasks want a step, at most 1000. */
static int patience (lua_State *L) {
  double left = 1.0;
  call(L, "next_deadline", 0);
  if (!lua_isnil(L, -1)) left = lua_tonumber(L, -1) - now();
  lua_pop(L, 1);
  if (left <= 0) return 0;
  return left >= 1.0 ? 1000 : (int)(left * 1000) + 1;
}

static int is_done (lua_State *L) {
  int done;
  lua_pushvalue(L, 2);
  lua_call(L, 0, 1);
  done = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return done;
}

static void turn (lua_State *L, host *h) {
  struct epoll_event e[4];
  int i, n = epoll_wait(h->poller, e, 4, patience(L));
  uint64_t ticks;
  h->waits++;
  for (i = 0; i < n; i++)
    if (e[i].data.fd == h->ticker &&
        read(h->ticker, &ticks, sizeof ticks) == (ssize_t)sizeof ticks)
      h->ticks += (long)ticks;
  call(L, "step", 0.002);
  lua_pop(L, 1);
  h->steps++;
}

static int drive (lua_State *L) {
  host h = { -1, -1, 0, 0, 0 };
  double end = now() + lua_tonumber(L, 3);
  call(L, "fd", 0);
  open_host(&h, (int)lua_tointeger(L, -1));
  lua_pop(L, 1);
  while (!is_done(L) && now() < end) turn(L, &h);
  close(h.poller);
  close(h.ticker);
  lua_pushinteger(L, h.ticks);
  lua_pushinteger(L, h.steps);
  lua_pushinteger(L, h.waits);
  return 3;
}

int luaopen_epoll_host (lua_State *L);
int luaopen_epoll_host (lua_State *L) {
  lua_pushcfunction(L, drive);
  return 1;
}
