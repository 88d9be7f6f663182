/*
** Links: messages of any size between an owner and one child.
*/
#include <string.h>

#include "hub.h"
#include "link.h"
#include "process.h"

#define LINK "suitkaise.link"

/* A message of up to half a lane goes as it is; a longer one in parts, so
** that writer and reader work at the same time and nobody needs a lane as
** large as the largest value. */
#define WHOLE(l) (sk_lane_limit(l) / 2)
#define PIECE(l) (sk_lane_limit(l) / 4)

/* ---- life ---- */

static lsk_link *tolink (lua_State *L, int arg) {
  return luaL_checkudata(L, arg, LINK);
}

/* Which end this process is depends on who made the link. */
static void take_side (lsk_link *k) {
  int owner = k->generation == sk_generation();
  k->in = owner ? k->up : k->down;
  k->out = owner ? k->down : k->up;
}

lsk_link *lsk_checklink (lua_State *L, int arg) {
  lsk_link *k = tolink(L, arg);
  luaL_argcheck(L, k->segment, arg, "link is closed");
  take_side(k);
  return k;
}

sk_lane *lsk_link_inbox (lua_State *L, int arg) {
  return lsk_checklink(L, arg)->in;
}

static void link_free (lsk_link *k) {
  lsk_buffer_free(&k->parts);
  lsk_buffer_free(&k->message);
  sk_lane_free(k->down);
  sk_lane_free(k->up);
  sk_segment_close(k->segment);
  memset(k, 0, sizeof *k);
}

static int link_open (lua_State *L, lsk_link *k, size_t down, size_t up) {
  /* the lanes, and room for their words and the alignment of both */
  size_t bytes = down + up + 4 * 65536;
  sk_bell *owner;
  uint64_t off;
  int rc = lsk_hub_bell(L, &owner);
  if (!rc) rc = sk_segment_create("suitkaise-link", bytes, &k->segment);
  if (rc) return rc;
  if ((rc = sk_bell_create(k->segment, 0, &k->child))) return rc;
  rc = sk_lane_create(k->segment, down, k->child, owner, &k->down);
  if (rc) return rc;
  rc = sk_lane_create(k->segment, up, owner, k->child, &k->up);
  if (rc) return rc;
  rc = sk_segment_alloc(k->segment, sizeof *k->stats, 128, &off);
  if (rc) return rc;
  k->stats = sk_segment_at(k->segment, off, sizeof *k->stats);
  sk_segment_seal(k->segment);
  return 0;
}

#define MAX_LANE (1 << 30)

/* link(down_bytes, up_bytes) -> link */
static int core_link (lua_State *L) {
  size_t down = (size_t)lsk_checkint(L, 1, 0, MAX_LANE);
  size_t up = (size_t)lsk_checkint(L, 2, 0, MAX_LANE);
  lsk_link *k = lua_newuserdata(L, sizeof *k);
  int rc;
  memset(k, 0, sizeof *k);
  luaL_getmetatable(L, LINK);
  lua_setmetatable(L, -2);
  k->generation = sk_generation();
  rc = link_open(L, k, down, up);
  if (!rc) return 1;
  link_free(k);
  return lsk_fail(L, rc, "cannot get shared memory");
}

static int link_close (lua_State *L) {
  lsk_link *k = tolink(L, 1);
  luaL_argcheck(L, !k->in_hooks, 1, "link is in use");
  if (k->segment) link_free(k);
  return 0;
}

/* reset(): for a new child, after the old one has been reaped */
static int link_reset (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  lsk_link_abort(k);
  lsk_buffer_free(&k->parts);
  k->has_current = 0;
  sk_lane_reset(k->down);
  sk_lane_reset(k->up);
  atomic_store(&k->stats->since_ns, 0);
  atomic_store(&k->stats->died, 0);
  return 0;
}

/* ---- writer ---- */

int lsk_link_begin (lsk_link *k) {
  size_t room;
  void *mem;
  if (k->state != LINK_IDLE)
    return k->state == LINK_SENDING ? SKE_FULL : SKE_BUSY;
  mem = sk_lane_reserve(k->out, 2 * sizeof(link_header), &room);
  if (!mem) return SKE_FULL;
  lsk_buffer_borrow(&k->message, mem, room);
  k->message.len = sizeof(link_header);
  k->state = LINK_ENCODING;
  return 0;
}

void lsk_link_abort (lsk_link *k) {
  lsk_buffer_free(&k->message);
  k->state = LINK_IDLE;
}

int lsk_link_end (lsk_link *k, uint32_t kind, const link_header *h,
                  uint64_t *pos) {
  memcpy(k->message.data, h, sizeof *h);
  if (k->message.borrowed) {
    *pos = sk_lane_publish(k->out, kind, k->message.len);
    lsk_link_abort(k);
    return 0;
  }
  k->state = LINK_SENDING;
  k->kind = kind;
  k->sent = sizeof *h;
  return lsk_link_flush(k, pos);
}

uint64_t lsk_link_end_prefix (lsk_link *k, uint32_t kind,
                              const link_header *h, size_t len) {
  size_t room;
  uint8_t *mem = sk_lane_reserve(k->out, sizeof *h + len, &room);
  memcpy(mem, h, sizeof *h);
  lsk_link_abort(k);
  return sk_lane_publish(k->out, kind, sizeof *h + len);
}

static int publish_bytes (lsk_link *k, uint32_t kind, const uint8_t *data,
                          size_t len, uint64_t *pos) {
  size_t room;
  void *mem = sk_lane_reserve(k->out, len, &room);
  if (!mem) return SKE_FULL;
  memcpy(mem, data, len);
  *pos = sk_lane_publish(k->out, kind, len);
  return 0;
}

static int flush_parts (lsk_link *k) {
  lsk_buffer *b = &k->message;
  while (k->sent < b->len) {
    size_t n = b->len - k->sent;
    uint64_t pos;
    int rc;
    if (n > PIECE(k->out)) n = PIECE(k->out);
    rc = publish_bytes(k, LINK_PART, b->data + k->sent, n, &pos);
    if (rc) return rc;
    k->sent += n;
    sk_lane_ring(k->out, SK_LAZY);
  }
  return 0;
}

int lsk_link_flush (lsk_link *k, uint64_t *pos) {
  lsk_buffer *b = &k->message;
  int rc;
  if (k->state != LINK_SENDING) return 0;
  if (b->len <= WHOLE(k->out))
    rc = publish_bytes(k, k->kind, b->data, b->len, pos);
  else {
    rc = flush_parts(k);
    if (!rc) rc = publish_bytes(k, k->kind | LINK_LONG, b->data,
                                sizeof(link_header), pos);
  }
  if (rc) return rc;
  lsk_link_abort(k);
  return 0;
}

/* ---- reader ---- */

/* Keep a piece of a long payload and give its space back at once. */
static int add_part (lsk_link *k, const sk_message *m) {
  int rc = lsk_buffer_need(&k->parts, m->len);
  if (rc) return rc;
  memcpy(k->parts.data + k->parts.len, m->data, m->len);
  k->parts.len += m->len;
  sk_lane_release(k->in);
  return 0;
}

int lsk_link_peek (lsk_link *k) {
  while (!k->has_current) {
    sk_message m;
    int rc = sk_lane_next(k->in, &m);
    if (rc <= 0) return rc;
    if (m.kind == LINK_PART) {
      if ((rc = add_part(k, &m))) return rc;
      continue;
    }
    if (m.len < sizeof(link_header)) return SKE_CORRUPT;
    k->current = m;
    k->has_current = 1;
  }
  return 1;
}

void lsk_link_take (lsk_link *k) {
  if (k->current.kind & LINK_LONG) lsk_buffer_free(&k->parts);
  k->has_current = 0;
}

const uint8_t *lsk_link_payload (const lsk_link *k, size_t *len) {
  if (k->current.kind & LINK_LONG) {
    *len = k->parts.len;
    return k->parts.data;
  }
  *len = k->current.len - sizeof(link_header);
  return (const uint8_t *)k->current.data + sizeof(link_header);
}

/* ---- what Lua may ask ---- */

/* ready() -> is there a message for this end? */
static int link_ready (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  lua_pushboolean(L, k->has_current || sk_lane_ready(k->in));
  return 1;
}

/* stats() -> items finished, seconds spent in them, start of the timed item
** that runs now (seconds, core.now) or nil */
static int link_stats_get (lua_State *L) {
  lsk_link *k = lsk_checklink(L, 1);
  int64_t since = atomic_load(&k->stats->since_ns);
  lua_pushnumber(L, (lua_Number)atomic_load(&k->stats->items));
  lua_pushnumber(L, (lua_Number)atomic_load(&k->stats->busy_ns) * 1e-9);
  if (since) lua_pushnumber(L, (lua_Number)since * 1e-9);
  else lua_pushnil(L);
  return 3;
}

static const luaL_Reg link_methods[] = {
  { "close", link_close },
  { "reset", link_reset },
  { "ready", link_ready },
  { "stats", link_stats_get },
  { "__gc", link_close },
  { NULL, NULL }
};

static const luaL_Reg functions[] = {
  { "link", core_link },
  { NULL, NULL }
};

void lsk_open_link (lua_State *L) {
  lsk_newclass(L, LINK, link_methods);
  luaL_getmetatable(L, LINK);
  luaL_setfuncs(L, lsk_work_methods, 0);
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
