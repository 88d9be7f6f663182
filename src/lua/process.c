/*
** Children from Lua: core.fork and the process object.
*/
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "lsk.h"
#include "process.h"

#define PROCESS "suitkaise.process"

typedef struct { sk_process *p; } process_ud;

/* ---- life of a child ---- */

static int exit_code (lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return 0;
  if (lua_isboolean(L, arg)) return lua_toboolean(L, arg) ? 0 : 1;
  return (int)lsk_checkint(L, arg, INT32_MIN, INT32_MAX);
}

/* exit(code): what os.exit is in a child */
static int core_exit (lua_State *L) {
  sk_process_exit(exit_code(L, 1));
  return 0;
}

static void replace_os_exit (lua_State *L) {
  lua_getglobal(L, "os");
  if (lua_istable(L, -1)) {
    lua_pushvalue(L, lua_upvalueindex(1));  /* made before: see core_fork */
    lua_setfield(L, -2, "exit");
  }
  lua_pop(L, 1);
}

/* ---- the event loop of a host ----
** A child must not change what its parent's libuv loop watches: the two share
** the descriptor of that. It gets an empty one in its place, and what is in
** the registry lets suitkaise.async make a fresh loop. */

#define CHILD_HOOK "suitkaise.child_hook"      /* a function */
#define FOREIGN_LOOP "suitkaise.foreign_loop"  /* luv as it was at the fork */

/* Push luv if it is loaded, else nil; -> its loop's descriptor or -1. */
static int push_luv (lua_State *L) {
  int fd = -1;
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  lua_getfield(L, -1, "luv");
  lua_remove(L, -2);
  if (!lua_istable(L, -1)) {
    lua_pop(L, 1);
    lua_pushnil(L);
    return fd;
  }
  lua_getfield(L, -1, "backend_fd");
  if (!lua_pcall(L, 0, 1, 0) && lua_isnumber(L, -1))
    fd = (int)lua_tonumber(L, -1);
  lua_pop(L, 1);
  return fd;
}

/* In the child, luv or nil on top: nothing of the parent's loop is used. */
static void leave_loop (lua_State *L) {
  if (!lua_isnil(L, -1)) lua_setfield(L, LUA_REGISTRYINDEX, FOREIGN_LOOP);
  else lua_pop(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, CHILD_HOOK);
  if (!lua_isfunction(L, -1) || lua_pcall(L, 0, 0, 0)) lua_pop(L, 1);
}

/* child_hook(fn): fn() is called first of all in forked children. */
static int core_child_hook (lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, CHILD_HOOK);
  return 0;
}

#define FAILED 1  /* exit code of a child whose body raised */

/* Call the function below its arguments and end the process, whatever
** happens: control never goes back into the host's loop. */
static void run_child (lua_State *L, int nargs) {
  replace_os_exit(L);
  if (!lua_pcall(L, nargs, 0, 0)) sk_process_exit(0);
  fprintf(stderr, "suitkaise: process %ld: %s\n", (long)getpid(),
          lua_isstring(L, -1) ? lua_tostring(L, -1) : luaL_typename(L, -1));
  sk_process_exit(FAILED);
}

/* fork(fn, ...) -> process; in the child fn(...) runs and the child ends. Its
** upvalue is core.exit: a child that does little should touch few pages. */
static int core_fork (lua_State *L) {
  process_ud *ud;
  int rc, nargs = lua_gettop(L) - 1, loop_fd;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  ud = lua_newuserdata(L, sizeof *ud);
  ud->p = NULL;
  luaL_getmetatable(L, PROCESS);
  lua_setmetatable(L, -2);
  loop_fd = push_luv(L);
  rc = sk_process_fork(&ud->p);
  if (rc == SK_CHILD) {
    if (loop_fd >= 0) sk_poller_renew(loop_fd);
    leave_loop(L);
    lua_pop(L, 1);
    run_child(L, nargs);
  }
  lua_pop(L, 1);
  return rc ? lsk_fail(L, rc, "cannot start a process") : 1;
}

/* ---- the process object ---- */

sk_process *lsk_checkprocess (lua_State *L, int arg) {
  process_ud *ud = luaL_checkudata(L, arg, PROCESS);
  luaL_argcheck(L, ud->p, arg, "process is closed");
  return ud->p;
}

static int process_pid (lua_State *L) {
  lua_pushinteger(L, sk_process_pid(lsk_checkprocess(L, 1)));
  return 1;
}

/* poll() -> nil while it runs, else exit code or nil, signal or nil.
** A third result is true. */
static int process_poll (lua_State *L) {
  sk_exit st;
  int rc = sk_process_poll(lsk_checkprocess(L, 1), &st);
  if (rc == SKE_BUSY) return 0;
  lsk_check(L, rc, "process");
  if (st.code >= 0) lua_pushinteger(L, st.code);
  else lua_pushnil(L);
  if (st.signal) lua_pushinteger(L, st.signal);
  else lua_pushnil(L);
  lua_pushboolean(L, 1);
  return 3;
}

static int process_kill (lua_State *L) {
  sk_process *p = lsk_checkprocess(L, 1);
  int sig = lua_isnoneornil(L, 2) ? SIGKILL : (int)lsk_checkint(L, 2, 0, 64);
  lsk_check(L, sk_process_kill(p, sig), "kill");
  return 0;
}

static int process_set_monitor (lua_State *L) {
  sk_process_set_monitor(lsk_checkprocess(L, 1));
  return 0;
}

/* kill it and wait for its end, which poll tells */
static int process_end (lua_State *L) {
  sk_process_end(lsk_checkprocess(L, 1));
  return 0;
}

static int process_stopped (lua_State *L) {
  lua_pushboolean(L, sk_process_stopped(lsk_checkprocess(L, 1)));
  return 1;
}

static int process_close (lua_State *L) {
  process_ud *ud = luaL_checkudata(L, 1, PROCESS);
  sk_process_free(ud->p);
  ud->p = NULL;
  return 0;
}

static const luaL_Reg process_methods[] = {
  { "pid", process_pid },
  { "poll", process_poll },
  { "kill", process_kill },
  { "stopped", process_stopped },
  { "set_monitor", process_set_monitor },
  { "finish", process_end },
  { "close", process_close },
  { "__gc", process_close },
  { NULL, NULL }
};

/* ---- the process itself ---- */

static int core_getpid (lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static int core_cpu_count (lua_State *L) {
  lua_pushinteger(L, sk_cpu_count());
  return 1;
}

/* generation() -> a string that differs in every forked child */
static int core_generation (lua_State *L) {
  uint64_t g = sk_generation();
  lua_pushlstring(L, (const char *)&g, sizeof g);
  return 1;
}

static int core_now (lua_State *L) {
  lua_pushnumber(L, (lua_Number)sk_now_ns() * 1e-9);
  return 1;
}

static int core_time (lua_State *L) {
  lua_pushnumber(L, (lua_Number)sk_time_ns() * 1e-9);
  return 1;
}

/* sleep(seconds): once, that long at most; a signal ends it */
static int core_sleep (lua_State *L) {
  sk_sleep_ns(lsk_optseconds(L, 1, 0));
  return 0;
}

/* follow(code | nil, signal | nil): end as a process that ended so */
static int core_follow (lua_State *L) {
  sk_exit st;
  st.code = lua_isnoneornil(L, 1) ? -1 : (int)lsk_checkint(L, 1, 0, 255);
  st.signal = lua_isnoneornil(L, 2) ? 0 : (int)lsk_checkint(L, 2, 1, 64);
  sk_process_follow(&st);
  return 0;
}

static int core_orphaned (lua_State *L) {
  lua_pushboolean(L, sk_process_orphaned());
  return 1;
}

/* wait_end(process): sleep until it has ended */
static int core_wait_end (lua_State *L) {
  const sk_process *p = lsk_checkprocess(L, 1);
  while (sk_process_wait(p, INT64_MAX) == SKE_INTR) {}
  return 0;
}

/* monitor_begin(), monitor_follow(process | nil) -> shall it go on? */
static int core_monitor_begin (lua_State *L) {
  lsk_check(L, sk_monitor_begin(), "monitor");
  return 0;
}

static int core_monitor_follow (lua_State *L) {
  const sk_process *p =
    lua_isnoneornil(L, 1) ? NULL : lsk_checkprocess(L, 1);
  lua_pushboolean(L, sk_monitor_follow(p));
  return 1;
}

/* gone(pid) -> is there no such process any more? See sk_process_gone. */
static int core_gone (lua_State *L) {
  lua_pushboolean(L, sk_process_gone((pid_t)lsk_checkint(L, 1, 1, INT32_MAX)));
  return 1;
}

static const struct { int number; const char *name; } signals[] = {
  { SIGABRT, "SIGABRT" }, { SIGALRM, "SIGALRM" }, { SIGBUS, "SIGBUS" },
  { SIGFPE, "SIGFPE" }, { SIGHUP, "SIGHUP" }, { SIGILL, "SIGILL" },
  { SIGINT, "SIGINT" }, { SIGKILL, "SIGKILL" }, { SIGPIPE, "SIGPIPE" },
  { SIGQUIT, "SIGQUIT" }, { SIGSEGV, "SIGSEGV" }, { SIGSYS, "SIGSYS" },
  { SIGTERM, "SIGTERM" }, { SIGTRAP, "SIGTRAP" }, { SIGUSR1, "SIGUSR1" },
  { SIGUSR2, "SIGUSR2" }, { SIGXCPU, "SIGXCPU" }, { SIGXFSZ, "SIGXFSZ" }
};

/* signal_name(9) -> "SIGKILL"; "signal 40" for one without a common name */
static int core_signal_name (lua_State *L) {
  int64_t n = lsk_checkint(L, 1, 0, 1024);
  size_t i;
  for (i = 0; i < sizeof signals / sizeof *signals; i++) {
    if (signals[i].number == n) {
      lua_pushstring(L, signals[i].name);
      return 1;
    }
  }
  lua_pushfstring(L, "signal %d", (int)n);
  return 1;
}

static const luaL_Reg functions[] = {
  { "exit", core_exit },
  { "child_hook", core_child_hook },
  { "getpid", core_getpid },
  { "cpu_count", core_cpu_count },
  { "generation", core_generation },
  { "now", core_now },
  { "time", core_time },
  { "sleep", core_sleep },
  { "follow", core_follow },
  { "orphaned", core_orphaned },
  { "monitor_begin", core_monitor_begin },
  { "monitor_follow", core_monitor_follow },
  { "gone", core_gone },
  { "wait_end", core_wait_end },
  { "signal_name", core_signal_name },
  { NULL, NULL }
};

void lsk_open_process (lua_State *L) {
  lsk_newclass(L, PROCESS, process_methods);
  luaL_setfuncs(L, functions, 0);
  lua_pushcfunction(L, core_exit);
  lua_pushcclosure(L, core_fork, 1);
  lua_setfield(L, -2, "fork");
}
