/*
** Shared types: userdata that point at a cell. Counter, Flag and Progress
** get their fast functions here; the rest of them is in Lua. Where LuaJIT
** compiles, FFI calls replace some of these (lua/suitkaise/shared/ffi.lua).
**
** A class is the metatable of its userdata and the first upvalue of every
** function, which so tells its own userdata from all others.
*/
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "lsk.h"

#define CLASS lua_upvalueindex(1)
#define FIELD lua_upvalueindex(2)  /* name of the field that is the value */
#define HOOKS lua_upvalueindex(3)  /* functions in Lua for what is rare */
#define UPVALUES 3

#define NS_PER_SECOND 1e9
#define MAX_SECONDS 9e9
#define TWO_32 4294967296
#define TWO_63 9223372036854775808.0
#define EXACT_IN_DOUBLE (INT64_C(1) << 53)
#define TYPE_CDATA 10  /* lua_type of LuaJIT's cdata */

/* What is noted beside a value. GOAL: waits end when the value is at least
** this. TIME, of a Progress: when it began; once complete, minus how long it
** took (both in nanoseconds, never 0). */
enum note { GOAL, TIME };

/* The userdata. ffi.lua knows this layout. */
typedef struct handle {
  sk_cell *cell;
  int64_t goal;     /* the note, which never changes */
  int32_t watched;  /* a bar shows it: hooks.redraw wants to know of changes */
} handle;

/* ---- to and from Lua ---- */

/* Raise an ArgumentError about the argument at `index`. */
static void refuse (lua_State *L, const char *function, const char *argument,
                    int index, const char *expected) {
  lua_settop(L, index);  /* a missing argument is nil */
  lua_getfield(L, HOOKS, "refuse");
  lua_pushstring(L, function);
  lua_pushstring(L, argument);
  lua_pushvalue(L, index);
  lua_pushstring(L, expected);
  lua_call(L, 4, 0);
}

static handle *check_at (lua_State *L, int index, const char *function) {
  if (lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
    int same = lua_rawequal(L, -1, CLASS);
    lua_pop(L, 1);
    if (same) return lua_touserdata(L, index);
  }
  refuse(L, function, "self", index, NULL);
  return NULL;  /* not reached */
}

static handle *check_self (lua_State *L, const char *function) {
  return check_at(L, 1, function);
}

/* int64 and uint64 of LuaJIT: hooks.split gives the halves, or nothing. */
static int split (lua_State *L, int index, int64_t *out) {
  int is_whole;
  if (lua_type(L, index) != TYPE_CDATA) return 0;
  lua_getfield(L, HOOKS, "split");
  lua_pushvalue(L, index);
  lua_call(L, 1, 2);
  is_whole = lua_type(L, -1) == LUA_TNUMBER;
  if (is_whole)
    *out = (int64_t)lua_tonumber(L, -2) * TWO_32 + (int64_t)lua_tonumber(L, -1);
  lua_pop(L, 2);
  return is_whole;
}

static int to_whole (lua_State *L, int index, int64_t *out) {
  lua_Number n;
  if (lua_type(L, index) != LUA_TNUMBER) return split(L, index, out);
#if LSK_INTEGERS
  if (lua_isinteger(L, index)) {
    *out = (int64_t)lua_tointeger(L, index);
    return 1;
  }
#endif
  n = lua_tonumber(L, index);
  if (!(n >= -TWO_63 && n < TWO_63) || n != floor(n)) return 0;
  *out = (int64_t)n;
  return 1;
}

static int64_t check_whole (lua_State *L, int index, const char *function,
                            const char *argument) {
  int64_t n = 0;
  if (!to_whole(L, index, &n))
    refuse(L, function, argument, index, "a whole number");
  return n;
}

/* The argument n of a method, 1 when there is none. */
static int64_t opt_step (lua_State *L, const char *function) {
  return lua_isnoneornil(L, 2) ? 1 : check_whole(L, 2, function, "n");
}

static int push_whole (lua_State *L, int64_t n) {
#if LSK_INTEGERS
  lua_pushinteger(L, (lua_Integer)n);
#else
  if (n <= EXACT_IN_DOUBLE && n >= -EXACT_IN_DOUBLE) {
    lua_pushnumber(L, (lua_Number)n);
  } else {
    int64_t low = (int64_t)((uint64_t)n & UINT32_MAX);
    lua_getfield(L, HOOKS, "join");
    lua_pushnumber(L, (lua_Number)((n - low) / TWO_32));
    lua_pushnumber(L, (lua_Number)low);
    lua_call(L, 2, 1);
  }
#endif
  return 1;
}

/* ---- making them ---- */

static handle *push_handle (lua_State *L) {
  handle *h = lua_newuserdata(L, sizeof *h);
  h->cell = NULL;
  h->goal = 0;
  h->watched = 0;
  return h;
}

/* The handle on top gets its class, now that its cell is not NULL. */
static int finish_handle (lua_State *L, handle *h) {
  h->goal = sk_cell_note(h->cell, GOAL);
  lua_pushvalue(L, CLASS);
  lua_setmetatable(L, -2);
  return 1;
}

static int push_cell (lua_State *L, int64_t value, int64_t goal,
                      int64_t time) {
  handle *h = push_handle(L);
  sk_segment *root;
  int rc = sk_root(&root);
  if (!rc) rc = sk_cell_create(root, value, &h->cell);
  if (rc) {
    lua_getfield(L, HOOKS, "fail");
    lsk_fail(L, rc, "shared memory");
    lua_call(L, 3, 0);  /* raises */
  }
  sk_cell_set_note(h->cell, GOAL, goal);
  sk_cell_set_note(h->cell, TIME, time);
  return finish_handle(L, h);
}

/* The class is called: it is the first argument. */
static int counter_new (lua_State *L) {
  int64_t initial =
    lua_isnoneornil(L, 2) ? 0 : check_whole(L, 2, NULL, "initial");
  return push_cell(L, initial, INT64_MAX, 0);
}

static int flag_new (lua_State *L) {
  if (!lua_isnoneornil(L, 2) && !lua_isboolean(L, 2))
    refuse(L, NULL, "initial", 2, "true or false");
  return push_cell(L, lua_toboolean(L, 2), 1, 0);
}

static int progress_new (lua_State *L) {
  int64_t total = 0;
  if (!to_whole(L, 2, &total) || total < 0)
    refuse(L, NULL, "total", 2, "a whole number of at least 0");
  return push_cell(L, 0, total, sk_now_ns());
}

/* ---- what all of them have ---- */

static int cell_same (lua_State *L) {
  handle *a = check_at(L, 1, "__eq"), *b = check_at(L, 2, "__eq");
  lua_pushboolean(L, a->cell == b->cell);
  return 1;
}

/* The handle as it travels: a string. A process that does not have the memory
** yet finds it through one that has. */
static int cell_serialize (lua_State *L) {
  handle *h = check_self(L, "__serialize");
  uint64_t id = 0, off = 0;
  char text[64];
  pid_t pid = 0;
  int fd = -1;
  lsk_check(L, sk_cell_where(h->cell, &id, &off), "shared type");
  lsk_check(L, sk_segment_where(sk_cell_segment(h->cell), &pid, &fd, &id),
            "shared type");
  snprintf(text, sizeof text, "%016" PRIx64 ":%" PRIx64 ":%d:%d", id, off,
           (int)pid, fd);
  lua_pushstring(L, text);
  return 1;
}

/* Segments that are attached for cells stay: nobody knows when their last
** handle is gone. */
static int find_cell (uint64_t id, uint64_t off, int pid, int fd,
                      sk_cell **out) {
  sk_segment *s;
  int rc = sk_cell_find(id, off, out);
  if (rc != SKE_UNKNOWN || pid <= 0) return rc;
  if ((rc = sk_segment_attach(pid, fd, id, &s))) return rc;
  return sk_cell_find(id, off, out);
}

/* raw.find(string) -> userdata, or nil when there is no such cell here. */
static int cell_find (lua_State *L) {
  const char *text = lua_tostring(L, 1);
  handle *h = push_handle(L);
  uint64_t id, off;
  int pid = 0, fd = -1;
  if (!text || sscanf(text, "%16" SCNx64 ":%16" SCNx64 ":%d:%d", &id, &off,
                      &pid, &fd) < 2 ||
      find_cell(id, off, pid, fd, &h->cell)) {
    lua_pushnil(L);
    return 1;
  }
  return finish_handle(L, h);
}

static int push_reached (lua_State *L, int64_t value, const handle *h) {
  lua_pushboolean(L, value >= h->goal);
  return 1;
}

/* raw.wait(c, seconds): sleep once, that long at most, unless the goal is
** reached -> is it now? */
static int cell_wait (lua_State *L) {
  handle *h = check_self(L, "wait");
  lua_Number seconds = lua_tonumber(L, 2);
  int64_t seen = sk_cell_load(h->cell);
  if (seen < h->goal && seconds > 0) {
    if (seconds > MAX_SECONDS) seconds = MAX_SECONDS;
    sk_cell_wait(h->cell, seen, (int64_t)(seconds * NS_PER_SECOND));
    seen = sk_cell_load(h->cell);
  }
  return push_reached(L, seen, h);
}

/* raw.listen(c): is the goal reached? If not, the next change of it is heard
** by the event loops, see core.cells_watch. */
static int cell_listen (lua_State *L) {
  handle *h = check_self(L, "wait");
  int64_t seen = sk_cell_load(h->cell);
  while (seen < h->goal && sk_cell_listen(h->cell, seen))
    seen = sk_cell_load(h->cell);
  return push_reached(L, seen, h);
}

/* raw.watch(c, on): is a bar attached? */
static int cell_watch (lua_State *L) {
  check_self(L, "bar")->watched = lua_toboolean(L, 2);
  return 0;
}

/* Methods of the class; hooks.missing knows all other fields. */
static int push_method (lua_State *L) {
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  lua_rawget(L, CLASS);
  if (!lua_isnil(L, -1)) return 1;
  lua_getfield(L, HOOKS, "missing");
  lua_insert(L, 1);
  lua_settop(L, 3);
  lua_call(L, 2, 1);
  return 1;
}

/* ---- Counter ---- */

static int number_index (lua_State *L) {
  if (!lua_rawequal(L, 2, FIELD)) return push_method(L);
  return push_whole(L, sk_cell_load(check_self(L, "__index")->cell));
}

static int counter_increment (lua_State *L) {
  handle *h = check_self(L, "increment");
  return push_whole(L, sk_cell_add(h->cell, opt_step(L, "increment")));
}

static int counter_decrement (lua_State *L) {
  handle *h = check_self(L, "decrement");
  uint64_t n = (uint64_t)opt_step(L, "decrement");
  return push_whole(L, sk_cell_add(h->cell, (int64_t)(0 - n)));
}

static int counter_set (lua_State *L) {
  handle *h = check_self(L, "set");
  sk_cell_exchange(h->cell, check_whole(L, 2, "set", "n"));
  return 0;
}

/* raw.replace(c, seen, n) -> was it `seen`, and is it n now? */
static int counter_replace (lua_State *L) {
  handle *h = check_self(L, "replace");
  int64_t seen = check_whole(L, 2, "replace", "seen");
  int64_t n = check_whole(L, 3, "replace", "n");
  lua_pushboolean(L, sk_cell_replace(h->cell, seen, n));
  return 1;
}

static int counter_tostring (lua_State *L) {
  char text[24];
  snprintf(text, sizeof text, "%" PRId64,
           sk_cell_load(check_self(L, "__tostring")->cell));
  lua_pushstring(L, text);
  return 1;
}

/* ---- Flag ---- */

static int flag_index (lua_State *L) {
  if (!lua_rawequal(L, 2, FIELD)) return push_method(L);
  lua_pushboolean(L, sk_cell_load(check_self(L, "__index")->cell) != 0);
  return 1;
}

static int flag_set (lua_State *L) {
  handle *h = check_self(L, "set");
  if (!lua_isnoneornil(L, 2))
    refuse(L, "set", "argument 1", 2, "left out (clear lowers the flag)");
  sk_cell_exchange(h->cell, 1);
  sk_cell_wake(h->cell);
  return 0;
}

static int flag_clear (lua_State *L) {
  sk_cell_exchange(check_self(L, "clear")->cell, 0);
  return 0;
}

static int flag_toggle (lua_State *L) {
  handle *h = check_self(L, "toggle");
  int64_t seen;
  do seen = sk_cell_load(h->cell);
  while (!sk_cell_replace(h->cell, seen, !seen));
  if (!seen) sk_cell_wake(h->cell);
  lua_pushboolean(L, !seen);
  return 1;
}

/* ---- Progress ---- */

static int64_t elapsed_ns (const handle *h) {
  int64_t time = sk_cell_note(h->cell, TIME);
  return time > 0 ? sk_now_ns() - time : -time;
}

/* raw.elapsed(c) -> seconds since it began, or that it took. */
static int progress_elapsed (lua_State *L) {
  handle *h = check_self(L, "elapsed");
  lua_pushnumber(L, (lua_Number)elapsed_ns(h) / NS_PER_SECOND);
  return 1;
}

static int progress_total (lua_State *L) {
  return push_whole(L, check_self(L, "total")->goal);
}

/* raw.finish(c): it is complete, perhaps since long. Killed before the note,
** we leave a rate that goes on falling; killed before the wake, waiters that
** notice at their next look. */
static void finish (handle *h) {
  int64_t took = elapsed_ns(h);
  sk_cell_set_note(h->cell, TIME, took > 0 ? -took : -1);
  sk_cell_wake(h->cell);
}

static int progress_finish (lua_State *L) {
  finish(check_self(L, "finish"));
  return 0;
}

static int progress_increment (lua_State *L) {
  handle *h = check_self(L, "increment");
  int64_t n = 1, now;
  if (!lua_isnoneornil(L, 2) && (!to_whole(L, 2, &n) || n < 0))
    refuse(L, "increment", "n", 2, "a whole number of at least 0");
  now = sk_cell_add(h->cell, n);
  if (now >= h->goal) finish(h);
  if (h->watched) {
    lua_getfield(L, HOOKS, "redraw");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 0);
  }
  return push_whole(L, now);
}

/* ---- classes ---- */

#define END { NULL, NULL }

static const luaL_Reg all_class[] = {
  { "__eq", cell_same }, { "__serialize", cell_serialize }, END
};

static const luaL_Reg all_raw[] = {
  { "find", cell_find }, { "wait", cell_wait }, { "listen", cell_listen },
  { "watch", cell_watch }, END
};

static const luaL_Reg counter_class[] = {
  { "increment", counter_increment }, { "decrement", counter_decrement },
  { "set", counter_set }, { "__index", number_index },
  { "__tostring", counter_tostring }, END
};

static const luaL_Reg counter_raw[] = {
  { "new", counter_new }, { "replace", counter_replace }, END
};

static const luaL_Reg flag_class[] = {
  { "set", flag_set }, { "clear", flag_clear }, { "toggle", flag_toggle },
  { "__index", flag_index }, END
};

static const luaL_Reg flag_raw[] = { { "new", flag_new }, END };

static const luaL_Reg progress_class[] = {
  { "increment", progress_increment }, { "__index", number_index }, END
};

static const luaL_Reg progress_raw[] = {
  { "new", progress_new }, { "elapsed", progress_elapsed },
  { "total", progress_total }, { "finish", progress_finish }, END
};

static const struct kind {
  const char *name, *field;
  const luaL_Reg *class;  /* fields of the class */
  const luaL_Reg *raw;    /* for what is written in Lua */
} kinds[] = {
  { "Counter", "value", counter_class, counter_raw },
  { "Flag", "value", flag_class, flag_raw },
  { "Progress", "completed", progress_class, progress_raw }
};

static void add (lua_State *L, const struct kind *k, const luaL_Reg *reg) {
  lua_pushvalue(L, 2);
  lua_pushstring(L, k->field);
  lua_pushvalue(L, 3);
  luaL_setfuncs(L, reg, UPVALUES);
}

/* core.cell_class(name, class, hooks) -> raw: adds the functions of that kind
** to the table `class`, the metatable to be; the others come in a table. */
static int core_cell_class (lua_State *L) {
  static const char *const names[] = { "Counter", "Flag", "Progress", NULL };
  const struct kind *k = &kinds[luaL_checkoption(L, 1, NULL, names)];
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  lua_pushvalue(L, 2);
  add(L, k, all_class);
  add(L, k, k->class);
  lua_newtable(L);
  add(L, k, all_raw);
  add(L, k, k->raw);
  return 1;
}

void lsk_open_cell (lua_State *L) {
  /* for ffi.lua: the one that it finds must be this one */
  lua_pushnumber(L, (lua_Number)(uintptr_t)sk_cell_add);
  lua_setfield(L, -2, "cell_add_address");
  lua_pushcfunction(L, core_cell_class);
  lua_setfield(L, -2, "cell_class");
}
