/*
** Channels: life, messages and syncs of an Skprocess.
*/
#include <stdlib.h>
#include <string.h>

#include "cerial.h"
#include "channel.h"
#include "hub.h"
#include "process.h"

#define CHANNEL "suitkaise.channel"

#define SPIN_NS 20000
#define MOST_CREDIT 1
#define REST 32
#define SLICE_NS 500000000  /* how often a waiting child looks for its parent */

enum kind { TELL = 1, RESULT, ERROR, TIMES };

static const char *const kinds[] = { "tell", "result", "error", "times" };

/* ---- life ---- */

static lsk_channel *tochannel (lua_State *L, int arg) {
  return luaL_checkudata(L, arg, CHANNEL);
}

lsk_channel *lsk_checkchannel (lua_State *L, int arg) {
  lsk_channel *c = tochannel(L, arg);
  luaL_argcheck(L, c->segment, arg, "channel is closed");
  return c;
}

lsk_channel *lsk_testchannel (lua_State *L, int arg) {
  void *c = lua_touserdata(L, arg);
  int same;
  if (!c || !lua_getmetatable(L, arg)) return NULL;
  luaL_getmetatable(L, CHANNEL);
  same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same ? lsk_checkchannel(L, arg) : NULL;
}

void lsk_channel_wake (life *f) {
  atomic_thread_fence(memory_order_seq_cst);  /* pairs with channel_hear */
  if (atomic_load(&f->listens) && atomic_exchange(&f->listens, 0))
    sk_cells_ring();
}

static void channel_free (lsk_channel *c) {
  /* what a child has not got it cannot give back */
  if (c->is_hidden && c->generation != sk_generation()) {
    memset(c, 0, sizeof *c);
    return;
  }
  lsk_buffer_free(&c->message);
  lsk_buffer_free(&c->times);
  sk_lane_free(c->down);
  sk_lane_free(c->up);
  sk_board_free(c->board);
  sk_segment_close(c->segment);
  memset(c, 0, sizeof *c);
}

static int channel_open (lua_State *L, lsk_channel *c, size_t bytes) {
  sk_bell *owner;
  sk_segment *s;
  uint64_t off;
  int rc = lsk_hub_bell(L, &owner);
  if (!rc) rc = sk_segment_create("suitkaise-channel", 65536, &c->segment);
  if (rc) return rc;
  s = c->segment;
  rc = sk_bell_create(s, 0, &c->child);
  if (!rc) rc = sk_lane_create_wide(s, bytes, c->child, owner, &c->down);
  if (!rc) rc = sk_lane_create_wide(s, bytes, owner, c->child, &c->up);
  if (!rc) rc = sk_board_create(s, bytes / 2, &c->board);
  if (!rc) rc = sk_segment_alloc(s, sizeof *c->life, 128, &off);
  if (rc) return rc;
  c->life = sk_segment_at(s, off, sizeof *c->life);
  sk_segment_seal(s);
  c->in = c->up;
  c->out = c->down;
  return 0;
}

#define LEAST_BYTES ((size_t)4 << 20)
#define MOST_BYTES ((size_t)1 << 30)

/* As many as may wait, and as many again for what comes at the end. */
static size_t ring_bytes (int64_t max_queued) {
  size_t bytes = LEAST_BYTES;
  while (bytes < MOST_BYTES && (int64_t)(bytes / 2) < max_queued) bytes *= 2;
  return bytes;
}

/* channel(max_queued) -> channel */
static int core_channel (lua_State *L) {
  int64_t max_queued = lsk_checkint(L, 1, 0, INT64_MAX);
  lsk_channel *c = lua_newuserdata(L, sizeof *c);
  int rc;
  memset(c, 0, sizeof *c);
  luaL_getmetatable(L, CHANNEL);
  lua_setmetatable(L, -2);
  c->generation = sk_generation();
  c->may_spin = sk_cpu_count() > 1;
  rc = channel_open(L, c, ring_bytes(max_queued));
  if (!rc) return 1;
  channel_free(c);
  return lsk_fail(L, rc, "cannot get shared memory");
}

static int channel_close (lua_State *L) {
  lsk_channel *c = tochannel(L, 1);
  if (c->segment && !c->encoding) channel_free(c);
  return 0;
}

/* hide(yes): shall children forked from now on not have what this process
** alone uses? Each of its mappings makes every fork longer. */
static int channel_hide (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  int hide = lua_toboolean(L, 2);
  if (hide != c->is_hidden) {
    sk_lane_inherit(c->down, !hide);
    sk_lane_inherit(c->up, !hide);
    sk_board_inherit(c->board, !hide);
    c->is_hidden = hide;
  }
  return 0;
}

/* reset(): for a new process, when nobody else uses it any more */
static int channel_reset (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  sk_lane_reset(c->down);
  sk_lane_reset(c->up);
  sk_board_reset(c->board);
  memset(c->life, 0, sizeof *c->life);
  return 0;
}

/* adopt(): in a process just forked: be the child's end. In a monitor, which
** may speak for a dead child, too. */
static int channel_adopt (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  c->child_generation = sk_generation();
  c->in = c->down;
  c->out = c->up;
  sk_lane_adopt(c->in);
  sk_lane_adopt(c->out);
  return 0;
}

/* May this process use its end? Not one that a child forked by itself, nor one
** that the owner did. */
static int is_own (const lsk_channel *c) {
  uint64_t end = c->child_generation ? c->child_generation : c->generation;
  return end == sk_generation();
}

static lsk_channel *check_own (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  if (!is_own(c)) luaL_error(L, "it belongs to another process");
  return c;
}

static int channel_is_own (lua_State *L) {
  lua_pushboolean(L, is_own(lsk_checkchannel(L, 1)));
  return 1;
}

int64_t lsk_after (int64_t now, lua_State *L, int arg) {
  int64_t limit = lsk_optseconds(L, arg, 0);
  if (!limit && !lua_isnoneornil(L, arg)) limit = 1;  /* shorter than that */
  return limit && limit < INT64_MAX - now ? now + limit : 0;
}

/* ---- messages ---- */

static void abort_message (lsk_channel *c) {
  lsk_buffer_free(&c->message);
  c->encoding = 0;
}

static int encode_value (lua_State *L) {
  lsk_channel *c = lua_touserdata(L, 1);
  lsk_cerial_encode(L, 2, &c->message);
  return 0;
}

/* Encode the value at `arg` into the lane or, when it is long, a buffer.
** Returns only when it went well. */
static void encode (lua_State *L, lsk_channel *c, int arg) {
  size_t room;
  void *mem = sk_lane_reserve(c->out, 16, &room);
  if (c->encoding)
    luaL_error(L, "used again from within a serialization hook");
  if (mem) lsk_buffer_borrow(&c->message, mem, room);
  else lsk_buffer_init(&c->message);
  c->encoding = 1;
  lua_pushcfunction(L, encode_value);
  lua_pushlightuserdata(L, c);
  lua_pushvalue(L, arg);
  if (!lua_pcall(L, 2, 0, 0)) return;
  abort_message(c);
  lua_error(L);
}

static int publish (lsk_channel *c, uint32_t kind) {
  lsk_buffer *b = &c->message;
  if (!b->borrowed) {
    size_t room;
    void *mem = sk_lane_reserve(c->out, b->len, &room);
    if (!mem) return SKE_FULL;
    memcpy(mem, b->data, b->len);
  }
  sk_lane_publish(c->out, kind, b->len);
  return 0;
}

/* (value, max | nil) -> true, or false, how many bytes wait when with this one
** it would be more than max, or more than there is room for, and its own */
static int send (lua_State *L, enum kind kind) {
  lsk_channel *c = check_own(L);
  size_t waiting = sk_lane_pending(c->out), len;
  int rc;
  encode(L, c, 2);
  len = c->message.len;
  if (lua_isnoneornil(L, 3)) rc = publish(c, kind);
  else {
    lua_Number max = lua_tonumber(L, 3);
    int fits = (lua_Number)waiting + (lua_Number)c->message.len <= max;
    rc = fits ? publish(c, kind) : SKE_FULL;
  }
  abort_message(c);
  /* who waits for the end need not be woken by what is on the way */
  if (!rc) {
    sk_lane_ring(c->out, SK_EAGER);
    if (c->out == c->down) lsk_channel_wake(c->life);
  }
  lua_pushboolean(L, !rc);
  lua_pushinteger(L, (lua_Integer)waiting);
  lua_pushinteger(L, (lua_Integer)len);
  return 3;
}

static int channel_tell (lua_State *L) {
  return send(L, TELL);
}

static int channel_say_result (lua_State *L) {
  return send(L, RESULT);
}

static int channel_say_error (lua_State *L) {
  return send(L, ERROR);
}

/* Push an array of section numbers and one of seconds, in turn. */
static void push_times (lua_State *L, const void *data, size_t len) {
  size_t n = len / sizeof(timing), i;
  lua_createtable(L, (int)(2 * n), 0);
  for (i = 0; i < n; i++) {
    timing t;
    memcpy(&t, (const uint8_t *)data + i * sizeof t, sizeof t);
    lua_pushinteger(L, (lua_Integer)t.section);
    lua_rawseti(L, -2, (int)(2 * i + 1));
    lua_pushnumber(L, (lua_Number)t.seconds);
    lua_rawseti(L, -2, (int)(2 * i + 2));
  }
}

static int decode_value (lua_State *L) {
  const sk_message *m = lua_touserdata(L, 1);
  if (m->kind == TIMES) push_times(L, m->data, m->len);
  else lsk_cerial_decode(L, m->data, m->len);
  return 1;
}

/* next() -> kind, true and the value of the next message, or kind, false and
** the error that came of decoding it; nothing when there is none */
static int channel_next (lua_State *L) {
  lsk_channel *c = check_own(L);
  sk_message m;
  int rc = sk_lane_next(c->in, &m), failed;
  lsk_check(L, rc, "receive");
  if (!rc) return 0;
  if (m.kind < TELL || m.kind > TIMES) lua_pushliteral(L, "unknown");
  else lua_pushstring(L, kinds[m.kind - 1]);
  lua_pushcfunction(L, decode_value);
  lua_pushlightuserdata(L, &m);
  failed = lua_pcall(L, 1, 1, 0);
  sk_lane_release(c->in);
  lua_pushboolean(L, !failed);
  lua_insert(L, -2);
  return 3;
}

/* ---- times ---- */

#define MAX_TIMES_BYTES ((size_t)16 << 20)

void lsk_channel_record (lsk_channel *c, uint32_t section, int64_t ns) {
  timing t = { section, 0, (double)ns * 1e-9 };
  if (c->times.len >= MAX_TIMES_BYTES) c->times.len = c->sent = c->shown = 0;
  if (lsk_buffer_need(&c->times, sizeof t)) return;
  memcpy(c->times.data + c->times.len, &t, sizeof t);
  c->times.len += sizeof t;
}

/* record_run(begun): a whole run, since a time of core.now */
static int channel_record_run (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  int64_t begun = (int64_t)(luaL_checknumber(L, 2) * 1e9);
  lsk_channel_record(c, 0, sk_now_ns() - begun);
  return 0;
}

/* send_times(): what the owner has not been told */
static int channel_send_times (lua_State *L) {
  lsk_channel *c = check_own(L);
  size_t n = c->times.len - c->sent, room;
  void *mem = n && !c->encoding ? sk_lane_reserve(c->out, n, &room) : NULL;
  if (!mem) return 0;
  memcpy(mem, c->times.data + c->sent, n);
  sk_lane_publish(c->out, TIMES, n);
  c->sent = c->times.len;
  return 0;
}

/* take_times() -> what the child itself has not seen */
static int channel_take_times (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  push_times(L, c->times.data + c->shown, c->times.len - c->shown);
  c->shown = c->times.len;
  return 1;
}

/* pending() -> bytes sent that the other side has not read */
static int channel_pending (lua_State *L) {
  lsk_pushint(L, (int64_t)sk_lane_pending(lsk_checkchannel(L, 1)->out));
  return 1;
}

/* unread() -> bytes that wait for this side */
static int channel_unread (lua_State *L) {
  lsk_pushint(L, (int64_t)sk_lane_unread(lsk_checkchannel(L, 1)->in));
  return 1;
}

/* ---- syncs ---- */

/* sync(value) -> true, or false when it is too large */
static int channel_sync (lua_State *L) {
  lsk_channel *c = check_own(L);
  int rc;
  encode(L, c, 2);
  rc = sk_board_post(c->board, c->message.data, c->message.len);
  abort_message(c);
  lua_pushboolean(L, !rc);
  return 1;
}

/* synced(seen) -> number and value of the last sync, when its number is not
** `seen` */
static int channel_synced (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  uint64_t number = sk_board_number(c->board);
  sk_message m;
  void *data;
  size_t len;
  int rc;
  if (number == 0 || (lua_Number)number == lua_tonumber(L, 2)) return 0;
  lsk_check(L, sk_board_read(c->board, &number, &data, &len), "sync");
  m.data = data;
  m.len = (uint32_t)len;
  m.kind = TELL;
  lua_pushcfunction(L, decode_value);
  lua_pushlightuserdata(L, &m);
  rc = lua_pcall(L, 1, 1, 0);
  free(data);
  if (rc) lua_error(L);
  lua_pushnumber(L, (lua_Number)number);
  lua_insert(L, -2);
  return 2;
}

/* ---- waiting ---- */

/* How long to look for a message before sleeping. Spinning saves two wake-ups
** where both sides have a processor; where others want it, it holds up the
** very process that it waits for. So it is tried, and tried again later. */
static int64_t spin_time (lsk_channel *c) {
  if (!c->may_spin) return 0;
  if (c->rest > 0) {
    c->rest--;
    return 0;
  }
  return SPIN_NS;
}

static void note_spin (lsk_channel *c, int64_t spin, int paid) {
  if (!spin) return;
  if (paid) {
    if (c->credit < MOST_CREDIT) c->credit++;
  } else if (--c->credit < 0) {
    c->credit = 0;
    c->rest = REST;
  }
}

/* Look for a message without a system call; -> is there one? */
static int look (lsk_channel *c, sk_bell *b, int64_t most) {
  sk_wait w = { b, (sk_lane *const *)&c->in, 1, NULL, 0 };
  int64_t spin = spin_time(c);
  int found;
  if (spin > most) spin = most;
  found = spin > 0 && !sk_wait_any(&w, SK_EAGER, spin, spin) &&
          sk_lane_ready(c->in);
  note_spin(c, spin, found);
  return found;
}

/* await(timeout) in the child: sleep until there is a message, the process is
** to stop, or the time is over. */
static int channel_await (lua_State *L) {
  lsk_channel *c = check_own(L);
  int64_t left = lsk_optseconds(L, 2, INT64_MAX), begun = sk_now_ns();
  int64_t until = left > INT64_MAX - begun ? INT64_MAX : begun + left;
  sk_wait w = { c->child, (sk_lane *const *)&c->in, 1, NULL, 0 };
  if (sk_lane_ready(c->in) || look(c, c->child, left)) return 0;
  while (!sk_lane_ready(c->in) && !atomic_load(&c->life->stop) && left > 0) {
    int64_t slice = left < SLICE_NS ? left : SLICE_NS;
    int rc = sk_wait_any(&w, SK_EAGER, 0, slice);
    if (rc == SKE_INTR) break;  /* a hook may want to run */
    if (rc && sk_process_orphaned()) sk_process_exit(0);
    left = until - sk_now_ns();
  }
  return 0;
}

/* hear() in the child, for its loop -> is there a message, or is the process to
** stop? If not, either makes the descriptor of core.cells_watch readable. */
static int channel_hear (lua_State *L) {
  lsk_channel *c = check_own(L);
  if (sk_process_orphaned()) sk_process_exit(0);
  atomic_store(&c->life->listens, 1);
  atomic_thread_fence(memory_order_seq_cst);  /* pairs with lsk_channel_wake */
  lua_pushboolean(L, sk_lane_ready(c->in) || atomic_load(&c->life->stop));
  return 1;
}

/* wait(process, timeout, for_messages, is_interruptible) in the owner: sleep
** until the process has ended or there is a message. -> how often Ctrl-C was
** pressed */
static int channel_wait (lua_State *L) {
  lsk_channel *c = check_own(L);
  sk_process *p = lsk_checkprocess(L, 2);
  int64_t timeout = lsk_optseconds(L, 3, INT64_MAX);
  int eager = lua_toboolean(L, 4), watched = 0, interrupts = 0, rc = 0;
  sk_wait w = { NULL, (sk_lane *const *)&c->in, (size_t)eager,
                (sk_process *const *)&p, 1 };
  lsk_check(L, lsk_hub_bell(L, &w.bell), "wait");
  if (!(eager && look(c, w.bell, timeout))) {
    if (lua_toboolean(L, 5)) watched = sk_interrupts_begin(w.bell);
    rc = sk_wait_any(&w, eager ? SK_EAGER : SK_LAZY, 0, timeout);
    if (watched) interrupts = sk_interrupts_end();
  }
  if (rc != SKE_TIMEOUT && rc != SKE_INTR) lsk_check(L, rc, "wait");
  lua_pushinteger(L, interrupts);
  return 1;
}

/* ---- what is known of the process ---- */

static int channel_stop (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  atomic_store(&c->life->stop, 1);
  sk_bell_ring(c->child, SK_LAZY);
  lsk_channel_wake(c->life);
  return 0;
}

/* stopping() -> is it to stop, or is its time over? */
static int channel_stopping (lua_State *L) {
  life *f = lsk_checkchannel(L, 1)->life;
  int64_t end = atomic_load(&f->end_ns);
  if (end && sk_now_ns() >= end) atomic_store(&f->stop, 1);
  lua_pushboolean(L, atomic_load(&f->stop) != 0);
  return 1;
}

static lua_Number seconds (int64_t ns) {
  return (lua_Number)ns * 1e-9;
}

/* state() -> run, section, seconds in it, lives spent, processes started,
** seconds in sections */
static int channel_state (lua_State *L) {
  life *f = lsk_checkchannel(L, 1)->life;
  uint32_t section = atomic_load(&f->section);
  lsk_pushint(L, (int64_t)atomic_load(&f->run));
  lua_pushinteger(L, (lua_Integer)section);
  lua_pushnumber(L, section ? seconds(sk_now_ns() - atomic_load(&f->since_ns))
                            : 0);
  lua_pushinteger(L, (lua_Integer)atomic_load(&f->spent));
  lua_pushinteger(L, (lua_Integer)atomic_load(&f->starts));
  lua_pushnumber(L, seconds(atomic_load(&f->busy_ns)));
  return 6;
}

static int channel_run (lua_State *L) {
  lsk_pushint(L, (int64_t)atomic_load(&lsk_checkchannel(L, 1)->life->run));
  return 1;
}

static int channel_set_run (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  atomic_store(&c->life->run, (uint64_t)lsk_checkint(L, 2, 0, INT64_MAX));
  return 0;
}

static int channel_spent (lua_State *L) {
  lua_pushinteger(L,
    (lua_Integer)atomic_load(&lsk_checkchannel(L, 1)->life->spent));
  return 1;
}

static int channel_set_spent (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  atomic_store(&c->life->spent, (uint32_t)lsk_checkint(L, 2, 0, UINT32_MAX));
  return 0;
}

/* finish(): the last word is in the lane */
static int channel_finish (lua_State *L) {
  atomic_store(&lsk_checkchannel(L, 1)->life->has_finished, 1);
  return 0;
}

static int channel_has_finished (lua_State *L) {
  life *f = lsk_checkchannel(L, 1)->life;
  lua_pushboolean(L, atomic_load(&f->has_finished) != 0);
  return 1;
}

/* set_end(seconds): the time that the whole process may take from now on */
static int channel_set_end (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, 1);
  atomic_store(&c->life->end_ns, lsk_after(sk_now_ns(), L, 2));
  return 0;
}

/* started(pid): by the watcher */
static int channel_started (lua_State *L) {
  life *f = lsk_checkchannel(L, 1)->life;
  int32_t pid = (int32_t)lsk_checkint(L, 2, 1, INT32_MAX);
  atomic_store(&f->last_pid, pid);
  atomic_store(&f->pid, pid);
  atomic_fetch_add(&f->starts, 1);
  return 0;
}

/* ended(): by the watcher, before the process is reaped and its number may
** become another's. The section that it was in is over. */
static int channel_ended (lua_State *L) {
  life *f = lsk_checkchannel(L, 1)->life;
  atomic_store(&f->pid, 0);
  atomic_store(&f->deadline_ns, 0);
  atomic_store(&f->section, 0);
  return 0;
}

/* pid() -> of the process that runs, or 0; of the last one, or 0 */
static int channel_pid (lua_State *L) {
  life *f = lsk_checkchannel(L, 1)->life;
  lua_pushinteger(L, atomic_load(&f->pid));
  lua_pushinteger(L, atomic_load(&f->last_pid));
  return 2;
}

static const luaL_Reg channel_methods[] = {
  { "close", channel_close },
  { "reset", channel_reset },
  { "hide", channel_hide },
  { "adopt", channel_adopt },
  { "is_own", channel_is_own },
  { "tell", channel_tell },
  { "say_result", channel_say_result },
  { "say_error", channel_say_error },
  { "next", channel_next },
  { "pending", channel_pending },
  { "unread", channel_unread },
  { "record_run", channel_record_run },
  { "send_times", channel_send_times },
  { "take_times", channel_take_times },
  { "sync", channel_sync },
  { "synced", channel_synced },
  { "await", channel_await },
  { "wait", channel_wait },
  { "hear", channel_hear },
  { "stop", channel_stop },
  { "stopping", channel_stopping },
  { "state", channel_state },
  { "run", channel_run },
  { "set_run", channel_set_run },
  { "spent", channel_spent },
  { "set_spent", channel_set_spent },
  { "finish", channel_finish },
  { "has_finished", channel_has_finished },
  { "set_end", channel_set_end },
  { "started", channel_started },
  { "ended", channel_ended },
  { "pid", channel_pid },
  { "__gc", channel_close },
  { NULL, NULL }
};

static const luaL_Reg functions[] = {
  { "channel", core_channel },
  { NULL, NULL }
};

void lsk_open_channel (lua_State *L) {
  lsk_newclass(L, CHANNEL, channel_methods);
  luaL_getmetatable(L, CHANNEL);
  luaL_setfuncs(L, lsk_section_methods, 0);
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
