/*
** Shares: the userdata that lua/suitkaise/share holds one of per share, and
** what it does there. A path is a string of keys' items and a number: its
** depth, plus 65536 times its root.
**
** No function here sleeps for longer than it is told: Lua calls them again,
** so that signals and other coroutines get their turn.
*/
#include <stdio.h>
#include <string.h>

#include "share.h"

#define SEEN "suitkaise.seen"
#define PAYLOAD "suitkaise.payload"

enum { ENV_RUN = 1, ENV_PAYLOAD, ENV_DESCRIBE, ENV_NAMER };

#if LUA_VERSION_NUM < 502
#define push_env(L, i) lua_getfenv(L, (i))
#define set_env(L, i) lua_setfenv(L, (i))
#else
#define push_env(L, i) lua_getuservalue(L, (i))
#define set_env(L, i) lua_setuservalue(L, (i))
#endif

/* ---- life ---- */

lsk_share *lsk_checkshare (lua_State *L, int arg) {
  lsk_share *h = luaL_checkudata(L, arg, LSK_SHARE);
  luaL_argcheck(L, h->share, arg, "share is closed");
  return h;
}

static int share_close (lua_State *L) {
  lsk_share *h = luaL_checkudata(L, 1, LSK_SHARE);
  sk_share *s = h->share;
  if (!s) return 0;
  h->share = NULL;
  sk_port_close(h->port);
  sk_share_close(s);
  lsk_buffer_free(&h->path);
  lsk_buffer_free(&h->answer);
  return 0;
}

static int payload_free (lua_State *L) {
  lsk_payload *p = luaL_checkudata(L, 1, PAYLOAD);
  lsk_buffer_free(&p->b);
  return 0;
}

lsk_payload *lsk_share_payload (lua_State *L, int arg) {
  enum { KEPT = 1 << 20 };
  lsk_payload *p;
  luaL_checkstack(L, 4, "share");
  push_env(L, arg);
  lua_rawgeti(L, -1, ENV_PAYLOAD);
  p = lua_touserdata(L, -1);
  if (!p || p->busy) {
    lua_pop(L, 1);
    p = lua_newuserdata(L, sizeof *p);
    memset(p, 0, sizeof *p);
    luaL_getmetatable(L, PAYLOAD);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, ENV_PAYLOAD);
  }
  lua_remove(L, -2);
  if (p->b.cap > KEPT) lsk_buffer_free(&p->b);
  p->b.len = 0;
  p->busy = 1;
  return p;
}

static void push_from_env (lua_State *L, int what) {
  push_env(L, 1);
  lua_rawgeti(L, -1, what);
  lua_remove(L, -2);
}

void lsk_share_push_describe (lua_State *L) {
  push_from_env(L, ENV_DESCRIBE);
}

void lsk_share_encode (lua_State *L, lsk_share *h, int index, lsk_buffer *b) {
  luaL_checkstack(L, 4, "share");
  index = lua_absindex(L, index);
  push_from_env(L, ENV_NAMER);
  lsk_cerial_encode_named(L, index, b, h->reader, lua_gettop(L));
  lua_pop(L, 1);
}

static void make_run (lua_State *L, lsk_share *h, int ud, int serve) {
  lua_createtable(L, ENV_NAMER, 0);
  h->run = lua_newthread(L);
  lua_pushvalue(L, serve);
  lua_pushvalue(L, serve + 2);
  lua_xmove(L, h->run, 2);
  lua_rawseti(L, -2, ENV_RUN);
  lua_pushvalue(L, serve + 1);
  lua_rawseti(L, -2, ENV_DESCRIBE);
  lua_pushvalue(L, serve + 2);
  lua_rawseti(L, -2, ENV_NAMER);
  set_env(L, ud);
}

static size_t size_field (lua_State *L, int index, const char *name) {
  size_t n;
  lua_getfield(L, index, name);
  n = (size_t)lua_tonumber(L, -1);
  lua_pop(L, 1);
  return n;
}

/* Arguments: options, serve, describe, namer -> a share that is not open. */
static lsk_share *new_share (lua_State *L, sk_share_options *o) {
  lsk_share *h;
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  luaL_checktype(L, 4, LUA_TFUNCTION);
  lua_settop(L, 4);
  memset(o, 0, sizeof *o);
  lua_getfield(L, 1, "name");
  o->name = lua_tostring(L, -1);  /* the table holds it */
  lua_settop(L, 4);
  o->max_bytes = size_field(L, 1, "max_bytes");
  o->max_users = (uint32_t)size_field(L, 1, "max_processes");
  h = lua_newuserdata(L, sizeof *h);
  memset(h, 0, sizeof *h);
  luaL_getmetatable(L, LSK_SHARE);
  lua_setmetatable(L, -2);
  make_run(L, h, 5, 2);
  if (o->name) h->reader = LSK_OTHER_PROGRAM;
  o->handler = lsk_share_serve;
  o->dropped = lsk_share_dropped;
  o->arg = h;
  return h;
}

static int open_port (lua_State *L, lsk_share *h, int rc) {
  if (!rc) rc = sk_port_open(h->share, &h->port);
  return rc ? lsk_fail(L, rc, "share") : 1;
}

/* share_create(options, serve, describe, namer) -> share; or nil, message,
** code */
static int core_share_create (lua_State *L) {
  sk_share_options o;
  lsk_share *h = new_share(L, &o);
  return open_port(L, h, sk_share_create(&o, &h->share));
}

/* share_open(options, serve, describe, namer): the share of that name */
static int core_share_open (lua_State *L) {
  sk_share_options o;
  lsk_share *h = new_share(L, &o);
  return open_port(L, h, sk_share_open(o.name, &o, &h->share));
}

/* share_attach(options, serve, describe, namer): the share with options.id that
** the process options.pid has as descriptor options.fd */
static int core_share_attach (lua_State *L) {
  sk_share_options o;
  lsk_share *h = new_share(L, &o);
  int pid = (int)size_field(L, 1, "pid"), fd;
  unsigned long long id = 0;
  lua_getfield(L, 1, "fd");
  fd = (int)lua_tointeger(L, -1);
  lua_getfield(L, 1, "id");
  sscanf(luaL_checkstring(L, -1), "%16llx", &id);
  lua_pop(L, 2);
  return open_port(L, h, sk_share_attach(pid, fd, id, &o, &h->share));
}

/* ---- state ---- */

/* In the coordinator nobody can wait for it, and what is sent there would
** happen again when the call is run again. */
static int refuse_serving (lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, "the share's own call is running");
  lua_pushliteral(L, "SKE_SERVING");
  return 3;
}

static int result (lua_State *L, int rc) {
  if (rc) return lsk_fail(L, rc, "share");
  lua_pushboolean(L, 1);
  return 1;
}

static int share_start (lua_State *L) {
  return result(L, sk_share_start(lsk_checkshare(L, 1)->share));
}

static int share_stop (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  if (h->change) return refuse_serving(L);
  return result(L, sk_share_stop(h->share, lsk_optseconds(L, 2, -1)));
}

static int share_pid (lua_State *L) {
  pid_t pid = sk_share_pid(lsk_checkshare(L, 1)->share);
  if (pid > 0) lua_pushinteger(L, pid);
  else lua_pushnil(L);
  return 1;
}

static int share_state (lua_State *L) {
  static const char *const names[] = { "?", "running", "stopping", "stopped",
                                       "degraded" };
  lua_pushstring(L, names[sk_share_state(lsk_checkshare(L, 1)->share)]);
  return 1;
}

/* stats() -> published, consumed, stored, heap, commits, restarts */
static int share_stats (lua_State *L) {
  sk_share_stats s;
  sk_share_get_stats(lsk_checkshare(L, 1)->share, &s);
  lsk_pushint(L, (int64_t)s.published);
  lsk_pushint(L, (int64_t)s.consumed);
  lsk_pushint(L, (int64_t)s.stored);
  lsk_pushint(L, (int64_t)s.heap);
  lsk_pushint(L, (int64_t)s.commits);
  lsk_pushint(L, (int64_t)s.restarts);
  return 6;
}

static int share_flush (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  return result(L, sk_port_flush(h->port, lsk_optseconds(L, 2, -1)));
}

/* await(before, seconds) -> a number for the next call */
static int share_await (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  uint32_t before = (uint32_t)luaL_checknumber(L, 2);
  sk_port_await(h->port, &before, lsk_optseconds(L, 3, -1));
  lua_pushnumber(L, before);
  return 1;
}

/* is_serving() -> does this process run one of the share's calls? */
static int share_is_serving (lua_State *L) {
  lua_pushboolean(L, lsk_checkshare(L, 1)->change != NULL);
  return 1;
}

/* where() -> 16 digits that name it in all processes; this one's number and
** its descriptor */
static int share_where (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  char text[24];
  uint64_t id;
  pid_t pid;
  int fd, rc = sk_share_where(h->share, &pid, &fd, &id);
  if (rc) return lsk_fail(L, rc, "share");
  snprintf(text, sizeof text, "%016llx", (unsigned long long)id);
  lua_pushstring(L, text);
  lua_pushinteger(L, pid);
  lua_pushinteger(L, fd);
  return 3;
}

/* ---- keys and paths ---- */

/* share_path(path, key) -> the longer path; or nil for what is no key */
static int core_share_path (lua_State *L) {
  size_t len;
  const char *s = luaL_checklstring(L, 1, &len);
  lsk_payload *p = lua_newuserdata(L, sizeof *p);
  memset(p, 0, sizeof *p);
  luaL_getmetatable(L, PAYLOAD);
  lua_setmetatable(L, -2);
  if (lsk_buffer_need(&p->b, len)) return luaL_error(L, "not enough memory");
  if (len) memcpy(p->b.data, s, len);
  p->b.len = len;
  if (!lsk_share_key(L, 2, &p->b)) return 0;
  lua_pushlstring(L, (const char *)p->b.data, p->b.len);
  return 1;
}

/* ---- writing: (path, depth, key, ..., seconds) -> true; or nil, message,
** code ---- */

static int send (lua_State *L, lsk_share *h, sk_command *cmd, int arg,
                 int64_t ns) {
  cmd->path = lsk_share_path(L, h, arg);
  return sk_port_send(h->port, cmd, NULL, ns);
}

/* set(path, depth, key, value, seconds): nil deletes. A value that cannot be
** shared: nil, where, why, "value". */
static int share_set (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  int64_t ns = lsk_optseconds(L, 6, -1);
  sk_command cmd = { .kind = SK_DELETE };
  lsk_payload *p;
  int rc;
  if (h->change) return refuse_serving(L);
  lua_settop(L, 6);
  p = lsk_share_payload(L, 1);
  if (!lua_isnil(L, 5)) {
    cmd.kind = SK_SET;
    if (lsk_share_value(L, h, 2, &p->b)) {
      p->busy = 0;
      lua_pushnil(L);
      lua_insert(L, -3);
      lua_pushliteral(L, "value");
      return 4;
    }
    cmd.payload = p->b.data;
    cmd.len = p->b.len;
  }
  rc = send(L, h, &cmd, 2, ns);
  p->busy = 0;
  return result(L, rc);
}

static int share_clear (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  sk_command cmd = { .kind = SK_CLEAR };
  if (h->change) return refuse_serving(L);
  return result(L, send(L, h, &cmd, 2, lsk_optseconds(L, 5, -1)));
}

static int push_receipt (lua_State *L, int rc, const sk_receipt *r) {
  if (rc) return lsk_fail(L, rc, "share");
  lua_pushnumber(L, (lua_Number)r->end);
  lua_pushinteger(L, (lua_Integer)r->reply);
  return 2;
}

/* add(path, depth, key, n, seconds) -> receipt: two numbers */
static int share_add (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  int64_t ns = lsk_optseconds(L, 6, -1);
  sk_command cmd = { .kind = SK_ADD };
  lsk_payload *p;
  sk_receipt r;
  int rc;
  if (h->change) return refuse_serving(L);
  lua_settop(L, 6);
  p = lsk_share_payload(L, 1);
  lsk_share_leaf(L, h, 5, &p->b);
  cmd.payload = p->b.data;
  cmd.len = p->b.len;
  cmd.path = lsk_share_path(L, h, 2);
  rc = sk_port_send(h->port, &cmd, &r, ns);
  p->busy = 0;
  return push_receipt(L, rc, &r);
}

/* call(path, depth, writes, inside, is_answered, seconds, what, ...): a call
** for serve.lua. `writes`: keys' items, or nil. -> receipt; or true */
static int share_call (lua_State *L) {
  enum { WHAT = 8 };
  lsk_share *h = lsk_checkshare(L, 1);
  int is_answered = lua_toboolean(L, 6), top = lua_gettop(L), i, rc;
  int64_t ns = lsk_optseconds(L, 7, -1);
  sk_command cmd = { .kind = SK_CALL };
  lsk_payload *p;
  size_t writes = 0;
  sk_receipt r;
  if (h->change) return refuse_serving(L);
  p = lsk_share_payload(L, 1);
  lsk_share_begin_arguments(L, &p->b);
  for (i = WHAT; i <= top; i++)
    lsk_share_encode(L, h, i, &p->b);
  lsk_share_end_arguments(&p->b);
  cmd.payload = p->b.data;
  cmd.len = p->b.len;
  cmd.writes = lua_tolstring(L, 4, &writes);
  cmd.writes_len = (uint32_t)writes;
  cmd.inside = lua_toboolean(L, 5);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  lua_pushnil(L);
  cmd.path = lsk_share_path(L, h, lua_gettop(L) - 2);
  rc = sk_port_send(h->port, &cmd, is_answered ? &r : NULL, ns);
  p->busy = 0;
  return is_answered ? push_receipt(L, rc, &r) : result(L, rc);
}

static int push_answer (lua_State *L, lsk_share *h, const sk_item *item) {
  const uint8_t *at;
  size_t used = 0;
  int n = 0;
  void *copy;
  if (item->kind != LSK_CERIAL) {
    if (item->kind == 0) return 0;
    lsk_share_push(L, h, item);
    return 1;
  }
  copy = lua_newuserdata(L, item->len + 1);
  memcpy(copy, item->data, item->len);
  for (at = copy; used < item->len; n++) {
    luaL_checkstack(L, 8, "results");
    used += lsk_cerial_decode_from(L, at + used, item->len - used, h->reader);
  }
  lua_remove(L, -1 - n);
  return n;
}

/* answer(receipt, seconds) -> true, results...; or nil, message, code and
** what came with it */
static int share_answer (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  sk_receipt r = { (uint64_t)luaL_checknumber(L, 2),
                   (uint32_t)luaL_checkinteger(L, 3) };
  sk_answer a;
  int n = 1, rc = sk_port_wait(h->port, &r, lsk_optseconds(L, 4, -1), &a);
  if (rc) return lsk_fail(L, rc, "share");
  if (a.rc) n = lsk_fail(L, a.rc, "share");
  else lua_pushboolean(L, 1);
  return n + push_answer(L, h, &a.item);
}

static int share_forget (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  sk_receipt r = { 0, (uint32_t)luaL_checkinteger(L, 3) };
  sk_port_forget(h->port, &r);
  return 0;
}

/* ---- reading ---- */

/* share_proxy(metatable) -> a userdata that is nothing but its identity */
static int core_share_proxy (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_newuserdata(L, 1);
  lua_pushvalue(L, 1);
  lua_setmetatable(L, -2);
  return 1;
}

/* share_seen() -> a place for what a read saw */
static int core_share_seen (lua_State *L) {
  memset(lua_newuserdata(L, sizeof(sk_seen)), 0, sizeof(sk_seen));
  luaL_getmetatable(L, SEEN);
  lua_setmetatable(L, -2);
  return 1;
}

static int share_fresh (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  sk_seen *seen = luaL_checkudata(L, 2, SEEN);
  lua_pushboolean(L, sk_share_fresh(h->share, seen));
  return 1;
}

/* Where a read is to put what it saw: argument `arg`, or nowhere. */
static sk_seen *opt_seen (lua_State *L, int arg, sk_seen *nowhere) {
  memset(nowhere, 0, sizeof *nowhere);
  return lua_isnoneornil(L, arg) ? nowhere : luaL_checkudata(L, arg, SEEN);
}

/* wants(path, depth, key, how) -> what a read of that has to wait for, for
** reached; nil: nothing. wants(): the same for all that is queued */
static int share_wants (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  enum { MOST = 1024 };
  uint64_t wants[MOST];
  uint32_t n;
  sk_path path;
  int all = lua_isnoneornil(L, 2), how = (int)luaL_optinteger(L, 5, 0), rc;
  if (!all) path = lsk_share_path(L, h, 2);
  rc = sk_port_wants(h->port, all ? NULL : &path, how, wants, MOST, &n);
  if (rc) return lsk_fail(L, rc, "share");
  if (!n) return 0;
  lua_pushlstring(L, (const char *)wants, n * sizeof *wants);
  return 1;
}

/* reached(wants) -> true; or nil, message, code: SKE_TIMEOUT for not yet */
static int share_reached (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  size_t len;
  const char *s = luaL_checklstring(L, 2, &len);
  uint64_t wants[1024];
  luaL_argcheck(L, len <= sizeof wants && len % 8 == 0, 2, "wants");
  memcpy(wants, s, len);
  return result(L, sk_port_reached(h->port, wants, (uint32_t)(len / 8)));
}

/* listen(is_late): ring the event of core.cells_watch at the next change */
static int share_listen (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  sk_port_listen(h->port, lua_toboolean(L, 2));
  return 0;
}

/* get(path, depth, key, how, seconds, seen) -> kind, value, or 0 when there
** is none; or nil, message, code */
static int share_get (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  sk_path path = lsk_share_path(L, h, 2);
  int how = (int)luaL_checkinteger(L, 5);
  int64_t ns = lsk_optseconds(L, 6, -1);
  sk_seen own, *seen = opt_seen(L, 7, &own);
  sk_item item;
  int rc = sk_port_get(h->port, &path, how, ns, &item, seen);
  if (rc == SKE_ABSENT || rc == SKE_TYPE) {
    lua_pushinteger(L, 0);
    return 1;
  }
  if (rc) return lsk_fail(L, rc, "share");
  lua_pushinteger(L, (lua_Integer)item.kind);
  lsk_share_push(L, h, &item);
  return 2;
}

/* list(path, depth, seconds, seen, is_applied) -> keys, values, kinds; or nil,
** message, code */
static int share_list (lua_State *L) {
  lsk_share *h = lsk_checkshare(L, 1);
  int64_t ns = lsk_optseconds(L, 4, -1);
  sk_seen own, *seen = opt_seen(L, 5, &own);
  const void *data;
  size_t len;
  uint32_t pairs;
  sk_path path;
  int rc, is_applied = lua_toboolean(L, 6);
  lua_settop(L, 6);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  lua_pushnil(L);
  path = lsk_share_path(L, h, 7);
  if (is_applied)
    rc = sk_port_list_applied(h->port, &path, ns, &data, &len, &pairs, seen);
  else rc = sk_port_list(h->port, &path, ns, &data, &len, &pairs, seen);
  if (rc) return lsk_fail(L, rc, "share");
  return lsk_share_push_list(L, h, data, len, pairs);
}

/* ---- registration ---- */

static const luaL_Reg methods[] = {
  { "close", share_close }, { "start", share_start }, { "stop", share_stop },
  { "pid", share_pid }, { "state", share_state },
  { "stats", share_stats }, { "flush", share_flush },
  { "await", share_await }, { "is_serving", share_is_serving },
  { "where", share_where }, { "set", share_set }, { "clear", share_clear },
  { "add", share_add }, { "call", share_call }, { "answer", share_answer },
  { "forget", share_forget }, { "fresh", share_fresh }, { "get", share_get },
  { "wants", share_wants }, { "reached", share_reached },
  { "listen", share_listen }, { "list", share_list },
  { "__gc", share_close }, { NULL, NULL }
};

/* Push an array of the keys at `at`. */
static void push_keys (lua_State *L, const uint8_t *at, size_t left) {
  size_t size, i;
  sk_item key;
  lua_newtable(L);
  for (i = 1; left && (size = sk_item_get(at, left, &key)); i++) {
    lsk_share_push_plain(L, &key);
    lua_rawseti(L, -2, (int)i);
    at += size;
    left -= size;
  }
}

/* share_keys(bytes) -> array of the keys that share_path put there */
static int core_share_keys (lua_State *L) {
  size_t len;
  const char *s = luaL_checklstring(L, 1, &len);
  uint8_t *at = lua_newuserdata(L, len + 1);  /* items are aligned */
  memcpy(at, s, len);
  push_keys(L, at, len);
  return 1;
}

/* share_report(bytes) -> nil, message, code, array of keys: an entry of the
** errors' root */
static int core_share_report (lua_State *L) {
  struct sk_report report;
  size_t left;
  const char *s = luaL_checklstring(L, 1, &left);
  uint8_t *at;
  luaL_argcheck(L, left >= sizeof report, 1, "report");
  memcpy(&report, s, sizeof report);
  left -= sizeof report;
  at = lua_newuserdata(L, left + 1);
  memcpy(at, s + sizeof report, left);
  lsk_fail(L, report.rc, "share");
  push_keys(L, at, left);
  return 4;
}

static const luaL_Reg functions[] = {
  { "share_create", core_share_create }, { "share_open", core_share_open },
  { "share_attach", core_share_attach }, { "share_path", core_share_path },
  { "share_seen", core_share_seen }, { "share_proxy", core_share_proxy },
  { "share_report", core_share_report }, { "share_keys", core_share_keys },
  { NULL, NULL }
};

static const luaL_Reg no_methods[] = { { NULL, NULL } };
static const luaL_Reg payload_methods[] = {
  { "__gc", payload_free }, { NULL, NULL }
};

void lsk_open_share (lua_State *L) {
  lsk_newclass(L, LSK_SHARE, methods);
  luaL_getmetatable(L, LSK_SHARE);
  lsk_open_share_serve(L);
  lua_pop(L, 1);
  lsk_newclass(L, SEEN, no_methods);
  lsk_newclass(L, PAYLOAD, payload_methods);
  luaL_setfuncs(L, functions, 0);
  /* for quick.lua: the one that it finds must be this one */
  lua_pushnumber(L, (lua_Number)(uintptr_t)lsk_share_quick_fresh);
  lua_setfield(L, -2, "share_quick_address");
}
