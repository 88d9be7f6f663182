/*
** Ends of pipes: one userdata each. What raises, waits and knows of modifiers
** is in lua/suitkaise/pipe.lua.
*/
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "cerial.h"
#include "lsk.h"

#define END "suitkaise.pipe"
#define KEEP_BYTES ((size_t)64 << 10)  /* of a buffer, for the next message */

typedef struct end {
  sk_pipe *pipe;
  enum sk_side side;
  lsk_buffer message;  /* encoded, being sent while sent < message.len */
  size_t sent;
  int is_sending;      /* a message waits for room to be sent on */
  int in_hooks;        /* inside the encoding or decoding of a value */
} end;

/* ---- life ---- */

static end *toend (lua_State *L, int arg) {
  end *e = luaL_checkudata(L, arg, END);
  luaL_argcheck(L, e->pipe, arg, "end was given up");
  return e;
}

static end *push_end (lua_State *L, enum sk_side side) {
  end *e = lua_newuserdata(L, sizeof *e);
  memset(e, 0, sizeof *e);
  e->side = side;
  luaL_getmetatable(L, END);
  lua_setmetatable(L, -2);
  return e;
}

static int end_gc (lua_State *L) {
  end *e = luaL_checkudata(L, 1, END);
  sk_pipe_free(e->pipe, e->side);
  lsk_buffer_free(&e->message);
  e->pipe = NULL;
  return 0;
}

/* pipe(one_way, bytes) -> anchor's end, point's end */
static int core_pipe (lua_State *L) {
  size_t bytes = (size_t)lsk_checkint(L, 2, 0, 1 << 30);
  end *anchor = push_end(L, SK_ANCHOR), *point = push_end(L, SK_POINT);
  int rc = sk_pipe_create(lua_toboolean(L, 1), bytes, &anchor->pipe);
  if (rc) return lsk_fail(L, rc, "cannot get shared memory");
  point->pipe = anchor->pipe;
  return 2;
}

/* Push true, or nil and the name of what is wrong. */
static int push_outcome (lua_State *L, int rc) {
  if (rc) return lsk_fail(L, rc, "pipe");
  lua_pushboolean(L, 1);
  return 1;
}

/* where() -> the point as it travels: a string */
static int end_where (lua_State *L) {
  end *e = toend(L, 1);
  char text[64];
  uint64_t id = 0;
  pid_t pid = 0;
  int fd = -1, rc = sk_pipe_travel(e->pipe);
  if (!rc) rc = sk_pipe_where(e->pipe, &pid, &fd, &id);
  if (rc) return push_outcome(L, rc);
  snprintf(text, sizeof text, "%016" PRIx64 ":%d:%d", id, (int)pid, fd);
  lua_pushstring(L, text);
  return 1;
}

/* pipe_attach(string, now) -> the point's end; `now`: it is this process's
** from now on, else from its first use on */
static int core_pipe_attach (lua_State *L) {
  const char *text = luaL_checkstring(L, 1);
  end *e = push_end(L, SK_POINT);
  uint64_t id;
  int pid, fd, rc;
  if (sscanf(text, "%16" SCNx64 ":%d:%d", &id, &pid, &fd) != 3)
    return push_outcome(L, SKE_CORRUPT);
  rc = sk_pipe_attach(pid, fd, id, SK_POINT, &e->pipe);
  if (!rc && lua_toboolean(L, 2)) rc = sk_pipe_receive(e->pipe);
  else if (!rc) sk_pipe_welcome(e->pipe);
  if (rc) return push_outcome(L, rc);
  return 1;
}

/* hand(pid): the point is that process's, if it is this one's */
static int end_hand (lua_State *L) {
  sk_pipe_hand(toend(L, 1)->pipe, (pid_t)lsk_checkint(L, 2, 1, INT32_MAX));
  return 0;
}

/* promise(pid): the point was told to that process */
static int end_promise (lua_State *L) {
  sk_pipe_promise(toend(L, 1)->pipe, (pid_t)lsk_checkint(L, 2, 1, INT32_MAX));
  return 0;
}

/* lock(on) */
static int end_lock (lua_State *L) {
  sk_pipe_lock(toend(L, 1)->pipe, lua_toboolean(L, 2));
  return 0;
}

static int end_is_locked (lua_State *L) {
  lua_pushboolean(L, sk_pipe_is_locked(toend(L, 1)->pipe));
  return 1;
}

static int end_own (lua_State *L) {
  end *e = toend(L, 1);
  return push_outcome(L, sk_pipe_own(e->pipe, e->side));
}

static int end_close (lua_State *L) {
  end *e = toend(L, 1);
  sk_pipe_close(e->pipe, e->side);
  return 0;
}

/* ---- sending ---- */

static int encode_value (lua_State *L) {
  end *e = lua_touserdata(L, 1);
  lsk_cerial_encode(L, 2, &e->message);
  return 0;
}

static void end_message (end *e) {
  e->is_sending = 0;
  e->message.len = 0;
  if (e->message.cap > KEEP_BYTES) lsk_buffer_free(&e->message);
}

/* Send what is left: -> true, false when there is no room, or nil and why. */
static int send_on (lua_State *L, end *e) {
  int rc = sk_pipe_put(e->pipe, e->side, e->message.data, e->message.len,
                       &e->sent);
  e->is_sending = rc == SKE_FULL;
  if (e->is_sending) {
    lua_pushboolean(L, 0);
    return 1;
  }
  end_message(e);
  return push_outcome(L, rc);
}

/* post(value) -> true; false when flush is to send the rest; nil, a message
** and why; or "raised" and the error that came of encoding it */
static int end_post (lua_State *L) {
  end *e = toend(L, 1);
  int failed;
  luaL_argcheck(L, !e->is_sending && !e->in_hooks, 1, "end is in use");
  lua_settop(L, 2);
  e->message.len = e->sent = 0;
  e->in_hooks = 1;
  lua_pushcfunction(L, encode_value);
  lua_pushlightuserdata(L, e);
  lua_pushvalue(L, 2);
  failed = lua_pcall(L, 2, 0, 0);
  e->in_hooks = 0;
  if (!failed) return send_on(L, e);
  end_message(e);
  lua_pushliteral(L, "raised");
  lua_insert(L, -2);
  return 2;
}

static int end_flush (lua_State *L) {
  return send_on(L, toend(L, 1));
}

/* drop(): what is left of the message is not sent; then none of it was */
static int end_drop (lua_State *L) {
  end_message(toend(L, 1));
  return 0;
}

static int end_is_busy (lua_State *L) {
  end *e = toend(L, 1);
  lua_pushboolean(L, e->is_sending || e->in_hooks);
  return 1;
}

/* ---- receiving ---- */

struct received {
  void *data;
  size_t len;
};

static int decode_value (lua_State *L) {
  const struct received *r = lua_touserdata(L, 1);
  lsk_cerial_decode(L, r->data, r->len);
  return 1;
}

/* next() -> true and the value; false when there is none; nil, a message and
** why; or "raised" and the error that came of decoding it */
static int end_next (lua_State *L) {
  end *e = toend(L, 1);
  struct received r;
  int rc, failed;
  luaL_argcheck(L, !e->in_hooks, 1, "end is in use");
  rc = sk_pipe_next(e->pipe, e->side, &r.data, &r.len);
  if (rc < 0) return push_outcome(L, rc);
  lua_pushboolean(L, rc);
  if (!rc) return 1;
  e->in_hooks = 1;
  lua_pushcfunction(L, decode_value);
  lua_pushlightuserdata(L, &r);
  failed = lua_pcall(L, 1, 1, 0);
  e->in_hooks = 0;
  sk_pipe_done(e->pipe, e->side);
  if (!failed) return 2;
  lua_pushliteral(L, "raised");
  lua_replace(L, -3);
  return 2;
}

/* ---- waiting: tables for suitkaise.async.wait's waiter.cell ---- */

static size_t left (const end *e) {
  return e->message.len - e->sent;
}

/* Sleep once: -> is there something to look at? */
static int wait_for (lua_State *L, end *e, size_t need) {
  int64_t timeout = lsk_optseconds(L, 2, INT64_MAX);
  int rc = sk_pipe_wait(e->pipe, e->side, need, timeout);
  if ((rc == SKE_TIMEOUT || rc == SKE_INTR) && sk_process_orphaned())
    sk_process_exit(0);
  lua_pushboolean(L, rc != SKE_TIMEOUT && rc != SKE_INTR);
  if (rc == SKE_CLOSED) lua_pushliteral(L, "closed");
  return rc == SKE_CLOSED ? 2 : 1;
}

static int message_wait (lua_State *L) {
  return wait_for(L, toend(L, 1), 0);
}

static int room_wait (lua_State *L) {
  end *e = toend(L, 1);
  return wait_for(L, e, left(e));
}

static int message_look (lua_State *L) {
  end *e = toend(L, 1);
  lua_pushboolean(L, sk_pipe_look(e->pipe, e->side, 0));
  return 1;
}

static int room_look (lua_State *L) {
  end *e = toend(L, 1);
  lua_pushboolean(L, sk_pipe_look(e->pipe, e->side, left(e)));
  return 1;
}

static int message_listen (lua_State *L) {
  end *e = toend(L, 1);
  lua_pushboolean(L, sk_pipe_listen(e->pipe, e->side, 0));
  return 1;
}

static int room_listen (lua_State *L) {
  end *e = toend(L, 1);
  lua_pushboolean(L, sk_pipe_listen(e->pipe, e->side, left(e)));
  return 1;
}

#define NO_MORE { NULL, NULL }

static const luaL_Reg end_methods[] = {
  { "where", end_where }, { "hand", end_hand }, { "own", end_own },
  { "promise", end_promise },
  { "lock", end_lock }, { "is_locked", end_is_locked },
  { "close", end_close }, { "post", end_post }, { "flush", end_flush },
  { "drop", end_drop }, { "is_busy", end_is_busy }, { "next", end_next },
  { "__gc", end_gc }, NO_MORE
};

static const luaL_Reg for_message[] = {
  { "wait", message_wait }, { "listen", message_listen },
  { "look", message_look }, NO_MORE
};

static const luaL_Reg for_room[] = {
  { "wait", room_wait }, { "listen", room_listen },
  { "look", room_look }, NO_MORE
};

static const luaL_Reg functions[] = {
  { "pipe", core_pipe }, { "pipe_attach", core_pipe_attach }, NO_MORE
};

static void add_table (lua_State *L, const char *name, const luaL_Reg *reg) {
  lua_newtable(L);
  luaL_setfuncs(L, reg, 0);
  lua_setfield(L, -2, name);
}

void lsk_open_pipe (lua_State *L) {
  lsk_newclass(L, END, end_methods);
  luaL_setfuncs(L, functions, 0);
  add_table(L, "pipe_message", for_message);
  add_table(L, "pipe_room", for_room);
}
