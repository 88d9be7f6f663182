/*
** Work over links: the owner writes items, the child claims them one by one,
** calls a function with each and writes what comes of it. Which item goes
** where, and what an error means, is the Pool's business (lua/suitkaise).
*/
#include <string.h>

#include "cerial.h"
#include "link.h"

#define MAX_ELEMENTS 1000000  /* of an item that is unpacked */

/* Every item is preceded by its size, so that one that cannot be decoded can
** be stepped over. */
typedef uint32_t item_size;

static void check_begin (lua_State *L, int rc) {
  if (rc == SKE_BUSY)
    luaL_error(L, "used again from within a serialization hook");
  lsk_check(L, rc, "cannot send");
}

/* ---- owner ---- */

static void append (lua_State *L, lsk_buffer *b, const void *p, size_t n) {
  lsk_check(L, lsk_buffer_need(b, n), "cannot send");
  memcpy(b->data + b->len, p, n);
  b->len += n;
}

static void append_item (lua_State *L, lsk_buffer *b, int index) {
  item_size size = 0;
  size_t at = b->len;
  append(L, b, &size, sizeof size);
  lsk_cerial_encode(L, index, b);
  size = (item_size)(b->len - at - sizeof size);
  if (b->len - at - sizeof size > UINT32_MAX)
    luaL_error(L, "item of over 4 GiB");
  memcpy(b->data + at, &size, sizeof size);
}

/* Encode items[i..j] into the message that was begun, as many as fit in
** place; the first one goes whatever its size. Hooks may run meanwhile. */
static int encode_items (lua_State *L) {
  lsk_link *k = lua_touserdata(L, 1);
  int at = (int)lua_tointeger(L, 3), last = (int)lua_tointeger(L, 4);
  for (k->done = 0; at <= last; at++) {
    size_t good = k->message.len;
    lua_rawgeti(L, 2, at);
    k->in_hooks = 1;
    append_item(L, &k->message, -1);
    k->in_hooks = 0;
    lua_pop(L, 1);
    if (!k->message.borrowed && k->done > 0) {
      k->good = good;
      return 0;
    }
    k->done++;
    if (!k->message.borrowed) break;
  }
  k->good = k->message.len;
  return 0;
}

/* Publish what encode_items left; -> 0 or SKE_FULL, see lsk_link_end. */
static int end_work (lsk_link *k, uint32_t job, uint64_t index,
                     uint64_t *pos) {
  link_header h;
  h.index = index;
  h.job = job;
  h.n = k->done;
  sk_claim_init(&h.claim, h.n);
  if (k->good == k->message.len) return lsk_link_end(k, LINK_WORK, &h, pos);
  /* the last one was too much: without it, then */
  *pos = lsk_link_end_prefix(k, LINK_WORK, &h, k->good - sizeof h);
  return 0;
}

/* What a protected call raised, on top: an item's own error when it came out
** of its hooks; anything else (a host's Ctrl-C) goes on its way. */
static void check_hooks_error (lua_State *L, lsk_link *k) {
  int by_hook = k->in_hooks;
  k->in_hooks = 0;
  if (!by_hook) lua_error(L);
}

/* put_work(job, items, i, j) -> how many of items[i..j] were sent (0 when
** there is no room now), where the message is, or nil when link:flush has to
** send the rest of it. The child is not woken. When an item cannot be sent
** nothing was: nil, the error, the item's number. */
static int link_put_work (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  uint32_t job = (uint32_t)lsk_checkint(L, 2, 0, UINT32_MAX);
  int64_t i = lsk_checkint(L, 4, 1, INT32_MAX);
  int64_t j = lsk_checkint(L, 5, i, INT32_MAX);
  uint64_t pos = 0;
  int rc;
  luaL_checktype(L, 3, LUA_TTABLE);
  rc = lsk_link_begin(k);
  if (rc == SKE_FULL) {
    lua_pushinteger(L, 0);
    return 1;
  }
  check_begin(L, rc);
  lua_pushcfunction(L, encode_items);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 3);
  lua_pushinteger(L, (lua_Integer)i);
  lua_pushinteger(L, (lua_Integer)j);
  if (lua_pcall(L, 4, 0, 0)) {
    lsk_link_abort(k);
    check_hooks_error(L, k);
    lua_pushnil(L);
    lua_insert(L, -2);
    lua_pushinteger(L, (lua_Integer)(i + k->done));
    return 3;
  }
  rc = end_work(k, job, (uint64_t)i, &pos);
  lua_pushinteger(L, (lua_Integer)k->done);
  if (rc) lua_pushnil(L);
  else lua_pushnumber(L, (lua_Number)pos);
  return 2;
}

/* ring(): wake the child, after a round of put_work */
static int link_ring (lua_State *L) {
  sk_lane_ring(lsk_checklink(L, 1)->out, SK_LAZY);
  return 0;
}

/* put(kind, job, bytes) -> true, or false when there is no room now */
static int link_put (lua_State *L) {
  static const char *const names[] = { "job", "drop", "quit", NULL };
  static const uint32_t kinds[] = { LINK_JOB, LINK_DROP, LINK_QUIT };
  lsk_link *k = lsk_checklink(L, 1);
  uint32_t kind = kinds[luaL_checkoption(L, 2, NULL, names)];
  link_header h = { 0, 0, 0, 0 };
  size_t len;
  const char *bytes = luaL_optlstring(L, 4, "", &len);
  uint64_t pos;
  int rc;
  h.job = (uint32_t)lsk_checkint(L, 3, 0, UINT32_MAX);
  rc = lsk_link_begin(k);
  if (rc != SKE_FULL) {
    check_begin(L, rc);
    append(L, &k->message, bytes, len);
    lsk_link_end(k, kind, &h, &pos);  /* the rest goes with link:flush */
    sk_lane_ring(k->out, SK_LAZY);
  }
  lua_pushboolean(L, rc == 0);
  return 1;
}

/* flush() -> true and the message's place when nothing is left to be sent */
static int link_flush (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  int sending = k->state == LINK_SENDING;
  uint64_t pos;
  int rc = lsk_link_flush(k, &pos);
  if (sending) sk_lane_ring(k->out, SK_LAZY);
  lua_pushboolean(L, rc == 0);
  if (rc || !sending) return 1;
  lua_pushnumber(L, (lua_Number)pos);
  return 2;
}

static uint64_t check_pos (lua_State *L, int arg) {
  return (uint64_t)luaL_checknumber(L, arg);
}

/* revoke(pos, keep) -> number of items taken back, and which is the first of
** them (0 based); `keep` unbegun ones stay. Only while the message is not
** released, as with claimed. */
static int link_revoke (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  uint64_t pos = check_pos(L, 2);
  uint32_t keep = (uint32_t)lsk_checkint(L, 3, 0, UINT32_MAX), from = 0, n;
  n = sk_lane_released(k->out, pos) ? 0
                                    : sk_claim_revoke(k->out, pos, keep, &from);
  lua_pushinteger(L, (lua_Integer)n);
  lua_pushinteger(L, (lua_Integer)from);
  return 2;
}

/* claimed(pos) -> how many items of the message were begun, and how many are
** left in it in all; nil when it was released: all of them */
static int link_claimed (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  uint64_t pos = check_pos(L, 2);
  uint32_t taken, end;
  if (sk_lane_released(k->out, pos)) return 0;
  sk_claim_state(k->out, pos, &taken, &end);
  lua_pushinteger(L, (lua_Integer)taken);
  lua_pushinteger(L, (lua_Integer)end);
  return 2;
}

/* The body of collect; counts in k->done, and leaves the message that it
** could not decode as the current one. */
static int collect_results (lua_State *L) {
  lsk_link *k = lua_touserdata(L, 1);
  uint32_t job = (uint32_t)lua_tonumber(L, 2);
  int keyed = !lua_isnil(L, 4), at = (int)lua_tointeger(L, 5), rc;
  while ((rc = lsk_link_peek(k)) > 0) {
    const link_header *h = lsk_link_head(k);
    const uint8_t *data;
    size_t len;
    if ((k->current.kind & ~(uint32_t)LINK_LONG) != LINK_DONE ||
        h->job != job)
      break;
    data = lsk_link_payload(k, &len);
    k->in_hooks = 1;
    lsk_cerial_decode(L, data, len);
    k->in_hooks = 0;
    at++;
    if (keyed) {
      lsk_pushint(L, (int64_t)h->index);
      lua_rawseti(L, 4, at);
    }
    lua_rawseti(L, 3, keyed ? at : (int)h->index);
    lsk_link_take(k);
    k->done++;
  }
  lsk_check(L, rc, "results");
  return 0;
}

/* collect(job, values, keys | nil, at) -> number of results of that job that
** came next. With keys: values[at+1 ...] and keys[at+1 ...] are the results
** and their items' numbers; without: values[number] = result. The first one
** that cannot be decoded ends it: number, the error, that item's number. */
static int link_collect (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  uint64_t bad;
  int i;
  lsk_checkint(L, 2, 0, UINT32_MAX);
  luaL_checktype(L, 3, LUA_TTABLE);
  lsk_checkint(L, 5, 0, INT32_MAX);
  k->done = 0;
  lua_pushcfunction(L, collect_results);
  for (i = 1; i <= 5; i++) lua_pushvalue(L, i);
  if (!lua_pcall(L, 5, 0, 0)) {
    /* what was looked at and left is still to be read */
    if (k->done && !k->has_current) sk_lane_release(k->in);
    lua_pushinteger(L, (lua_Integer)k->done);
    return 1;
  }
  check_hooks_error(L, k);
  bad = lsk_link_head(k)->index;
  lsk_link_take(k);
  sk_lane_release(k->in);
  lua_pushinteger(L, (lua_Integer)k->done);
  lua_insert(L, -2);
  lsk_pushint(L, (int64_t)bad);
  return 3;
}

/* in_hooks() -> is a value being sent or taken in right now? Then whoever
** asks is called by one of its hooks. */
static int link_in_hooks (lua_State *L) {
  lua_pushboolean(L, lsk_checklink(L, 1)->in_hooks);
  return 1;
}

/* ---- either end ---- */

static const char *kind_name (uint32_t kind) {
  switch (kind & ~(uint32_t)LINK_LONG) {
    case LINK_JOB: return "job";
    case LINK_WORK: return "work";
    case LINK_DROP: return "drop";
    case LINK_QUIT: return "quit";
    case LINK_DONE: return "done";
    case LINK_FAIL: return "fail";
    default: return "unknown";
  }
}

/* peek() -> kind, job, index of the next message, or nothing */
static int link_peek (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  int rc = lsk_link_peek(k);
  lsk_check(L, rc, "receive");
  if (rc == 0) return 0;
  lua_pushstring(L, kind_name(k->current.kind));
  lsk_pushint(L, lsk_link_head(k)->job);
  lsk_pushint(L, (int64_t)lsk_link_head(k)->index);
  return 3;
}

/* take() -> the payload of the message that peek showed, as a string. */
static int link_take (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  const uint8_t *data;
  size_t len;
  luaL_argcheck(L, k->has_current, 1, "nothing to take");
  data = lsk_link_payload(k, &len);
  lua_pushlstring(L, len ? (const char *)data : "", len);
  lsk_link_take(k);
  sk_lane_release(k->in);
  return 1;
}

static int decode_payload (lua_State *L) {
  lsk_link *k = lua_touserdata(L, 1);
  const uint8_t *data;
  size_t len;
  data = lsk_link_payload(k, &len);
  k->in_hooks = 1;
  lsk_cerial_decode(L, data, len);
  k->in_hooks = 0;
  return 1;
}

/* take_value() -> true and the payload's value, or false and the error that
** came of decoding it. The message is taken in any case. */
static int link_take_value (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  int failed;
  luaL_argcheck(L, k->has_current, 1, "nothing to take");
  lua_pushcfunction(L, decode_payload);
  lua_pushvalue(L, 1);
  failed = lua_pcall(L, 1, 1, 0);
  if (failed) check_hooks_error(L, k);
  lsk_link_take(k);
  sk_lane_release(k->in);
  lua_pushboolean(L, !failed);
  lua_insert(L, -2);
  return 2;
}

/* ---- child ---- */

#define SLICE_NS 500000000  /* how often an idle child looks for its parent */
#define BUSY_SPIN_NS 0

/* await(): sleep until there is a message; ends the process when its owner
** is gone. */
static int link_await (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  sk_wait w = { k->child, (sk_lane *const *)&k->in, 1, NULL, 0 };
  while (!k->has_current &&
         sk_wait_any(&w, SK_LAZY, BUSY_SPIN_NS, SLICE_NS)) {
    if (sk_process_orphaned()) sk_process_exit(0);
  }
  return 0;
}

static void send_rest (lua_State *L, lsk_link *k) {
  uint64_t pos;
  int rc;
  while ((rc = lsk_link_flush(k, &pos)) == SKE_FULL) {
    size_t need = sk_lane_limit(k->out) / 2;
    sk_lane_ring(k->out, SK_LAZY);
    if (sk_lane_wait_room(k->out, need, SLICE_NS) && sk_process_orphaned())
      sk_process_exit(0);
  }
  lsk_check(L, rc, "cannot send");
}

static void wait_begin (lua_State *L, lsk_link *k) {
  int rc;
  while ((rc = lsk_link_begin(k)) == SKE_FULL) {
    size_t need = sk_lane_limit(k->out) / 4;
    sk_lane_ring(k->out, SK_LAZY);
    if (sk_lane_wait_room(k->out, need, SLICE_NS) && sk_process_orphaned())
      sk_process_exit(0);
  }
  check_begin(L, rc);
}

/* Send the value on top of the stack as what became of item `index`. A
** process that the function forked and let return here has no say: it ends. */
static void send_outcome (lua_State *L, lsk_link *k, uint32_t kind,
                          uint64_t index, uint32_t job) {
  link_header h = { 0, 0, 0, 0 };
  uint64_t pos;
  if (sk_generation() != k->runner) sk_process_exit(0);
  h.index = index;
  h.job = job;
  wait_begin(L, k);
  lsk_cerial_encode(L, -1, &k->message);
  if (lsk_link_end(k, kind, &h, &pos)) send_rest(L, k);
}

/* How many elements the item on top has: its n, or what # says. */
static int item_length (lua_State *L) {
  lua_Number n;
  lua_getfield(L, -1, "n");
  n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1)
                                     : (lua_Number)lua_rawlen(L, -2);
  if (!(n >= 0 && n <= MAX_ELEMENTS))
    return luaL_error(L, "star: item has %f elements", n);
  lua_pop(L, 1);
  return (int)n;
}

/* Replace the table on top by its elements; -> how many. */
static int unpack_item (lua_State *L) {
  int i, n;
  if (!lua_istable(L, -1))
    return luaL_error(L, "star: item must be a table, got %s",
                      luaL_typename(L, -1));
  n = item_length(L);
  luaL_checkstack(L, n, "star: item has too many elements");
  for (i = 1; i <= n; i++) lua_rawgeti(L, -i, i);
  lua_remove(L, -n - 1);
  return n;
}

static int next_item (lsk_link *k, item_size *size) {
  if ((size_t)(k->end - k->at) < sizeof *size) return 0;
  memcpy(size, k->at, sizeof *size);
  k->at += sizeof *size;
  return *size <= (size_t)(k->end - k->at);
}

/* Claimed items that are answered count as work done. Nobody else writes
** the count, so that it needs no atomic addition. */
static void count_item (lsk_link *k) {
  uint64_t n = atomic_load_explicit(&k->stats->items, memory_order_relaxed);
  atomic_store_explicit(&k->stats->items, n + 1, memory_order_relaxed);
  sk_lane_ring(k->out, SK_EAGER);
}

enum { ARG_LINK = 1, ARG_FN, ARG_STAR, ARG_TIMED };

/* The next item's number and bytes (k->at is at its end): 1, or 0 when none is
** left for this process. */
static int claim_item (lua_State *L, lsk_link *k, item_size *size) {
  link_header *h = (link_header *)(uintptr_t)lsk_link_head(k);
  if (!k->is_for_one) {
    int64_t i = sk_claim_take(&h->claim);
    if (i < 0) return 0;
    k->item = (uint32_t)i;
  } else if (!k->has_one) {
    return 0;
  }
  k->has_one = 0;
  if (!next_item(k, size)) return luaL_error(L, "damaged message");
  k->at += *size;
  return 1;
}

/* Claim and do items until none is left. An error leaves k->item as the one
** that raised it, and everything ready to go on with the next. */
static int run_items (lua_State *L) {
  lsk_link *k = lua_touserdata(L, ARG_LINK);
  const link_header *h = lsk_link_head(k);
  int star = lua_toboolean(L, ARG_STAR), timed = lua_toboolean(L, ARG_TIMED);
  item_size size = 0;
  while (claim_item(L, k, &size)) {
    if (timed) atomic_store(&k->stats->since_ns, sk_now_ns());
    lua_pushvalue(L, ARG_FN);
    lsk_cerial_decode(L, k->at - size, size);
    lua_call(L, star ? unpack_item(L) : 1, 1);
    send_outcome(L, k, LINK_DONE, h->index + k->item, h->job);
    lua_pop(L, 1);
    count_item(k);
  }
  return 0;
}

static int send_failure (lua_State *L) {
  lsk_link *k = lua_touserdata(L, 1);
  const link_header *h = lsk_link_head(k);
  send_outcome(L, k, LINK_FAIL, h->index + k->item, h->job);
  return 0;
}

enum { ARG_DESCRIBE = ARG_TIMED + 1, ARG_REDUCE };

/* Send what `describe` made of an error. When that cannot travel, or there
** was no room to describe anything, send what `reduce` leaves of it. */
static void fail_item (lua_State *L, lsk_link *k) {
  int description = lua_gettop(L);
  if (k->state == LINK_ENCODING) lsk_link_abort(k);
  lua_pushcfunction(L, send_failure);
  lua_pushvalue(L, ARG_LINK);
  lua_pushvalue(L, description);
  if (lua_istable(L, description) && !lua_pcall(L, 2, 0, 0)) return;
  lua_settop(L, description);
  lsk_link_abort(k);
  lua_pushcfunction(L, send_failure);
  lua_pushvalue(L, ARG_LINK);
  lua_pushvalue(L, ARG_REDUCE);
  lua_pushvalue(L, description);
  lua_call(L, 1, 1);
  lua_call(L, 2, 0);
}

static void begin_items (lsk_link *k) {
  size_t len;
  k->runner = sk_generation();
  k->at = lsk_link_payload(k, &len);
  k->end = k->at + len;
  if (!sk_lane_ready(k->in)) sk_lane_ring(k->out, SK_LAZY);
}

/* The message's items are done, but for those that were taken back. */
static void end_items (lsk_link *k) {
  lsk_link_take(k);
  sk_lane_release(k->in);
  if (!sk_lane_ready(k->in)) sk_lane_ring(k->out, SK_LAZY);
}

/* run(fn, star, timed, describe, reduce): do the current message's items, or
** the one that this process was forked for. */
static int link_run (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  int64_t begun = sk_now_ns();
  luaL_argcheck(L, k->has_current, 1, "nothing to run");
  lua_settop(L, ARG_REDUCE);
  if (k->is_for_one) k->runner = sk_generation();
  else begin_items(k);
  for (;;) {
    int i;
    lua_pushcfunction(L, run_items);
    for (i = ARG_LINK; i <= ARG_TIMED; i++) lua_pushvalue(L, i);
    if (!lua_pcall(L, ARG_TIMED, 0, ARG_DESCRIBE)) break;
    fail_item(L, k);
    lua_settop(L, ARG_REDUCE);
    count_item(k);
  }
  atomic_store(&k->stats->since_ns, 0);
  atomic_fetch_add_explicit(&k->stats->busy_ns,
                            (uint64_t)(sk_now_ns() - begun),
                            memory_order_relaxed);
  if (!k->is_for_one) end_items(k);
  return 0;
}

/* ---- child: one process for each item ---- */

/* each_begin(): begin with the current message */
static int link_each_begin (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  luaL_argcheck(L, k->has_current, 1, "nothing to run");
  begin_items(k);
  return 0;
}

/* each_claim() -> is there an item left, which now is ours to do? In the fork
** that is to do it, link:run does. */
static int link_each_claim (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  link_header *h = (link_header *)(uintptr_t)lsk_link_head(k);
  int64_t i = sk_claim_take(&h->claim);
  if (i >= 0) k->item = (uint32_t)i;
  lua_pushboolean(L, i >= 0);
  return 1;
}

/* each_is(on): this process is to do just that one, by link:run */
static int link_each_is (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  k->is_for_one = k->has_one = lua_toboolean(L, 2);
  return 0;
}

/* each_next(): the fork has answered and ended; on to the next item */
static int link_each_next (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  item_size size;
  if (!next_item(k, &size)) return luaL_error(L, "damaged message");
  k->at += size;
  sk_lane_adopt(k->out);
  return 0;
}

/* each_died(pid): the fork ended without an answer, and we follow it */
static int link_each_died (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  atomic_store(&k->stats->died, (int32_t)lsk_checkint(L, 2, 1, INT32_MAX));
  return 0;
}

/* dead_item() -> the process of an item that took the worker along, or nil */
static int link_dead_item (lua_State *L) {
  int32_t pid = atomic_load(&lsk_checklink(L, 1)->stats->died);
  if (!pid) return 0;
  lua_pushinteger(L, pid);
  return 1;
}

static int link_each_end (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  atomic_store(&k->stats->since_ns, 0);
  end_items(k);
  return 0;
}

const luaL_Reg lsk_work_methods[] = {
  { "put_work", link_put_work },
  { "ring", link_ring },
  { "put", link_put },
  { "flush", link_flush },
  { "revoke", link_revoke },
  { "claimed", link_claimed },
  { "collect", link_collect },
  { "in_hooks", link_in_hooks },
  { "peek", link_peek },
  { "take", link_take },
  { "take_value", link_take_value },
  { "await", link_await },
  { "run", link_run },
  { "each_begin", link_each_begin },
  { "each_claim", link_each_claim },
  { "each_is", link_each_is },
  { "each_next", link_each_next },
  { "each_died", link_each_died },
  { "dead_item", link_dead_item },
  { "each_end", link_each_end },
  { NULL, NULL }
};
