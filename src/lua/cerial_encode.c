/*
** Values to bytes: one pass, an explicit stack of frames, and the plain
** types. What is not plain goes through cerial_special.c.
*/
#include <math.h>
#include <stdlib.h>

#include "cerial_encode.h"

#define SHALLOW 40u    /* frames with a place of their own on the Lua stack */
#define STACK_ROOM (3 * (int)SHALLOW + 24)

int encode_fail (lua_State *L, encoder *e, const char *reason) {
  lua_pushstring(L, reason);
  lua_pushnil(L);
  return special_fail(L, e);
}

void encode_grow (lua_State *L, encoder *e, size_t n) {
  if (encode_here(e) > e->max_bytes)
    encode_fail(L, e, "the message is longer than max_bytes");
  if (lsk_buffer_need(e->out, n)) luaL_error(L, "not enough memory");
}

seen_entry *encode_seen (lua_State *L, encoder *e, const void *key,
                         int *fresh) {
  seen_entry *entry = seen_put(&e->seen, key, fresh);
  if (!entry) luaL_error(L, "not enough memory");
  return entry;
}

/* ---- numbers ---- */

void encode_int (lua_State *L, encoder *e, int64_t i) {
  if (i >= INT_LEAST && i <= INT_MOST)
    encode_tag(L, e, TAG_INT + (int)(i - INT_LEAST));
  else if (i == (int8_t)i) encode_raw(L, e, TAG_I8, &i, 1);
  else if (i == (int16_t)i) encode_raw(L, e, TAG_I16, &i, 2);
  else if (i == (int32_t)i) encode_raw(L, e, TAG_I32, &i, 4);
  else encode_raw(L, e, TAG_I64, &i, 8);
}

static void encode_double (lua_State *L, encoder *e, double d) {
  float f = (float)d;
  if ((double)f == d) encode_raw(L, e, TAG_F32, &f, 4);
  else encode_raw(L, e, TAG_F64, &d, 8);
}

/* A number of a VM without integers: whole ones go as integers. */
void encode_number (lua_State *L, encoder *e, double d) {
  int64_t i;
  if (encode_whole(d, &i)) encode_int(L, e, i);
  else encode_double(L, e, d);
}

static void emit_number (lua_State *L, encoder *e, int index) {
#if LSK_INTEGERS
  if (lua_isinteger(L, index))
    encode_int(L, e, (int64_t)lua_tointeger(L, index));
  else
    encode_double(L, e, (double)lua_tonumber(L, index));
#else
  encode_number(L, e, lua_tonumber(L, index));
#endif
}

/* ---- runs of numbers ---- */

static size_t width_of (const int64_t *v, uint32_t n) {
  int64_t low = v[0], high = v[0];
  uint32_t i;
  for (i = 1; i < n; i++) {
    if (v[i] < low) low = v[i];
    if (v[i] > high) high = v[i];
  }
  if (low >= INT8_MIN && high <= INT8_MAX) return 1;
  if (low >= INT16_MIN && high <= INT16_MAX) return 2;
  if (low >= INT32_MIN && high <= INT32_MAX) return 4;
  return 8;
}

static uint8_t *run_head (lua_State *L, encoder *e, int tag, uint32_t n,
                          size_t bytes) {
  encode_tag(L, e, tag);
  encode_varint(L, e, n);
  return encode_room(L, e, bytes);
}

static void write_ints (lua_State *L, encoder *e, const int64_t *v,
                        uint32_t n) {
  size_t width = width_of(v, n);
  int tag = width == 1 ? TAG_RUN_I8 : width == 2 ? TAG_RUN_I16
          : width == 4 ? TAG_RUN_I32 : TAG_RUN_I64;
  uint8_t *p = run_head(L, e, tag, n, n * width);
  uint32_t i;
  e->out->len += n * width;
  switch (width) {
    case 1: for (i = 0; i < n; i++) p[i] = (uint8_t)v[i]; break;
    case 2: for (i = 0; i < n; i++, p += 2) memcpy(p, &v[i], 2); break;
    case 4: for (i = 0; i < n; i++, p += 4) memcpy(p, &v[i], 4); break;
    default: memcpy(p, v, (size_t)n * 8);
  }
}

static void write_doubles (lua_State *L, encoder *e, const double *v,
                           uint32_t n) {
  int tag = LSK_INTEGERS ? TAG_RUN_F64 : TAG_RUN_NUMBER;
  uint8_t *p = run_head(L, e, tag, n, (size_t)n * 8);
  memcpy(p, v, (size_t)n * 8);
  e->out->len += (size_t)n * 8;
}

/* Take the number on top into the run: 0 when it does not belong there. */
static int run_take (lua_State *L, numbers *run) {
#if LSK_INTEGERS
  int is_int = lua_isinteger(L, -1);
  if (run->n == 0) run->whole = is_int;
  if (is_int != run->whole) return 0;
  if (is_int) run->ints[run->n] = (int64_t)lua_tointeger(L, -1);
  else run->doubles[run->n] = (double)lua_tonumber(L, -1);
#else
  double d = lua_tonumber(L, -1);
  run->doubles[run->n] = d;
  if (run->whole) run->whole = encode_whole(d, &run->ints[run->n]);
#endif
  run->n++;
  return 1;
}

/* Collect the numbers that follow item `from` of the table at t. */
static void run_collect (lua_State *L, int t, numbers *run, uint32_t from,
                         uint32_t to) {
  run->n = 0;
  run->whole = 1;
  while (run->n < RUN_MOST && from < to) {
    int belongs;
    lua_rawgeti(L, t, (int)++from);
    belongs = lua_type(L, -1) == LUA_TNUMBER && run_take(L, run);
    lua_pop(L, 1);
    if (!belongs) break;
  }
}

void encode_run (lua_State *L, encoder *e, const numbers *run) {
  uint32_t i;
  if (run->n >= RUN_LEAST) {
    if (run->whole) write_ints(L, e, run->ints, run->n);
    else write_doubles(L, e, run->doubles, run->n);
    return;
  }
  for (i = 0; i < run->n; i++) {
    if (run->whole) encode_int(L, e, run->ints[i]);
    else if (LSK_INTEGERS) encode_double(L, e, run->doubles[i]);
    else encode_number(L, e, run->doubles[i]);
  }
}

/* ---- strings and references ---- */

static inline void mark_shared (encoder *e, seen_entry *known) {
  uint8_t *tag;
  if (known->at == SEEN_MARKED) return;
  tag = e->out->data + e->start + known->at;
  *tag = shared_twin(*tag);
  known->at = SEEN_MARKED;
}

void encode_once (lua_State *L, encoder *e, const char *s, size_t len) {
  uint8_t *p = encode_room(L, e, len + 1 + MAX_VARINT);
  uint8_t *q = p;
  if (len <= SHORT_STRING) *q++ = (uint8_t)(TAG_STRING + len);
  else {
    *q++ = TAG_LONG_STRING;
    q = put_varint(q, len);
  }
  memcpy(q, s, len);
  e->out->len += (size_t)(q - p) + len;
  e->strings++;
}

void encode_string (lua_State *L, encoder *e, const char *s, size_t len) {
  seen_entry *entry = seen_hit(&e->seen, s);
  if (!entry) {
    int fresh;
    entry = encode_seen(L, e, s, &fresh);
    if (fresh) {
      entry->number = e->strings;
      entry->at = encode_here(e);
      encode_once(L, e, s, len);
      return;
    }
  }
  mark_shared(e, entry);
  if (entry->number < SMALL_REF)
    encode_tag(L, e, TAG_STRING_REF + (int)entry->number);
  else {
    encode_tag(L, e, TAG_LONG_STRING_REF);
    encode_varint(L, e, entry->number - SMALL_REF);
  }
}

enum { KEPT_AT_ONCE = 4096 };

/* Sliced: keep the value at `index` until the message ends, also when the
** program drops it: what was sent is known by its address. */
static void keep (lua_State *L, encoder *e, int index) {
  int at = (int)(e->kept++ % KEPT_AT_ONCE) + 2, list = e->base + SLOT_KEPT;
  index = lua_absindex(L, index);
  if (at == 2) {  /* no array grows long: that would take long */
    lua_createtable(L, KEPT_AT_ONCE + 1, 0);
    lua_pushvalue(L, list);
    lua_rawseti(L, -2, 1);
    lua_replace(L, list);
  }
  lua_pushvalue(L, index);
  lua_rawseti(L, list, at);
}

/* The string at `index`. */
static void string_at (lua_State *L, encoder *e, int index) {
  uint32_t before = e->strings;
  size_t len;
  const char *s = lua_tolstring(L, index, &len);
  encode_string(L, e, s, len);
  if (e->sliced && e->strings != before) keep(L, e, index);
}

void encode_ref (lua_State *L, encoder *e, seen_entry *known, int tag) {
  mark_shared(e, known);
  encode_tag(L, e, tag);
  encode_varint(L, e, known->number);
}

/* ---- frames ---- */

static void more_frames (lua_State *L, encoder *e) {
  uint32_t room = e->room ? e->room * 2 : 32;
  frame *frames = realloc(e->frames, room * sizeof *frames);
  if (!frames) luaL_error(L, "not enough memory");
  e->frames = frames;
  e->room = room;
}

frame *encode_frame (lua_State *L, encoder *e, enum frame_kind kind) {
  frame *f;
  if (e->depth >= e->max_depth)
    encode_fail(L, e, "the value is nested deeper than max_depth");
  if (e->depth == e->room) more_frames(L, e);
  f = &e->frames[e->depth++];
  memset(f, 0, sizeof *f);
  f->kind = (uint8_t)kind;
  return f;
}

static int work_index (uint32_t depth, int which) {
  return (int)depth * 2 + 1 + which;
}

/* Keep the value at `index` for frame number `depth`. */
static void work_set (lua_State *L, encoder *e, uint32_t depth, int which,
                      int index) {
  if (lua_isnil(L, e->base + SLOT_WORK)) {
    lua_createtable(L, 8, 0);
    lua_replace(L, e->base + SLOT_WORK);
  }
  lua_pushvalue(L, index);
  lua_rawseti(L, e->base + SLOT_WORK, work_index(depth, which));
}

static void work_get (lua_State *L, encoder *e, uint32_t depth, int which) {
  lua_rawgeti(L, e->base + SLOT_WORK, work_index(depth, which));
}

void encode_push_held (lua_State *L, encoder *e, uint32_t depth, int which) {
  if (depth < SHALLOW || depth == e->depth - 1)
    lua_pushvalue(L, e->frames[depth].index + which);
  else work_get(L, e, depth, which);
}

/* Frame number `depth`, the outermost but SHALLOW or deeper, gives its place
** to the value on top. */
static int take_turns (lua_State *L, encoder *e, uint32_t depth) {
  int place = e->frames[depth].index;
  if (e->frames[depth].holds_key) work_set(L, e, depth, 1, place + 1);
  lua_replace(L, place);
  lua_settop(L, place);
  return place;
}

frame *encode_push (lua_State *L, encoder *e, enum frame_kind kind) {
  frame *f = encode_frame(L, e, kind);
  uint32_t depth = e->depth - 1;
  f->index = lua_gettop(L);
  if (depth >= SHALLOW) {
    work_set(L, e, depth, 0, f->index);
    if (depth > SHALLOW) f->index = take_turns(L, e, depth - 1);
  }
  return f;
}

void encode_pop (lua_State *L, encoder *e) {
  uint32_t outer = --e->depth - 1;  /* not used when there is none */
  int place = e->frames[e->depth].index;
  if (place == 0) return;
  lua_settop(L, place - 1);
  if (e->depth <= SHALLOW) return;
  work_get(L, e, outer, 0);
  if (e->frames[outer].holds_key) work_get(L, e, outer, 1);
}

/* ---- tables ---- */

void encode_table_head (lua_State *L, encoder *e, int with_meta,
                        uint32_t items, uint32_t pairs) {
  if (!with_meta && items == 0 && pairs <= SMALL_MAP)
    encode_tag(L, e, TAG_MAP + (int)pairs);
  else if (!with_meta && pairs == 0 && items <= SMALL_ARRAY)
    encode_tag(L, e, TAG_ARRAY + (int)items);
  else {
    encode_tag(L, e, with_meta ? TAG_OBJECT : TAG_TABLE);
    encode_varint(L, e, items);
    encode_varint(L, e, pairs);
  }
}

/* Is the value at `index` a key of the array part? */
static int is_item (lua_State *L, int index, uint32_t items) {
  lua_Number n;
  if (items == 0 || lua_type(L, index) != LUA_TNUMBER) return 0;
  n = lua_tonumber(L, index);
  return n >= 1 && n <= (lua_Number)items && n == floor(n);
}

static uint32_t count_pairs (lua_State *L, encoder *e, uint32_t items) {
  uint32_t pairs = 0;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pop(L, 1);
    if (is_item(L, -1, items)) continue;
    if (++pairs == UINT32_MAX) encode_fail(L, e, "a table is too large");
  }
  return pairs;
}

static enum outcome open_table (lua_State *L, encoder *e, int with_meta) {
  size_t items = lua_rawlen(L, -1);
  uint32_t pairs;
  frame *f;
  if (items > INT32_MAX) encode_fail(L, e, "a table is too large");
  if (e->sliced) {
    f = encode_push(L, e, FRAME_TABLE);
    f->items = (uint32_t)items;
    f->with_meta = (uint8_t)with_meta;
    f->phase = PHASE_COUNT;
    return OPENED;
  }
  pairs = count_pairs(L, e, (uint32_t)items);
  encode_table_head(L, e, with_meta, (uint32_t)items, pairs);
  if (!with_meta && items == 0 && pairs == 0) {
    lua_pop(L, 1);
    return EMITTED;
  }
  f = encode_push(L, e, FRAME_TABLE);
  f->items = (uint32_t)items;
  f->pairs = pairs;
  f->phase = with_meta ? PHASE_META : items ? PHASE_ITEMS : PHASE_KEY;
  return OPENED;
}

enum outcome encode_open (lua_State *L, encoder *e, int with_meta) {
  return e->direct ? direct_open(L, e, with_meta)
                   : open_table(L, e, with_meta);
}

enum outcome encode_numbered (lua_State *L, encoder *e, int is_meta) {
  if (!e->heavy) {
    if (!lua_getmetatable(L, -1)) return encode_open(L, e, 0);
    lua_pop(L, 1);
    if (special_begin(L, e)) {
      lua_pop(L, 1);
      return RESTART;
    }
  }
  if (special_name(L, e, is_meta)) return EMITTED;
  if (lua_getmetatable(L, -1)) return special_object(L, e);
  return encode_open(L, e, 0);
}

static enum outcome emit_table (lua_State *L, encoder *e, int is_meta) {
  int fresh;
  seen_entry *entry = encode_seen(L, e, lua_topointer(L, -1), &fresh);
  if (!fresh) {
    encode_ref(L, e, entry, TAG_REF);
    lua_pop(L, 1);
    return EMITTED;
  }
  entry->number = e->objects++;
  entry->at = encode_here(e);
  if (e->sliced) keep(L, e, -1);
  return encode_numbered(L, e, is_meta);
}

/* ---- one value ---- */

enum outcome encode_emit (lua_State *L, encoder *e) {
  switch (lua_type(L, -1)) {
    case LUA_TNIL: encode_tag(L, e, TAG_NIL); break;
    case LUA_TBOOLEAN:
      encode_tag(L, e, lua_toboolean(L, -1) ? TAG_TRUE : TAG_FALSE);
      break;
    case LUA_TNUMBER: emit_number(L, e, -1); break;
    case LUA_TSTRING: string_at(L, e, -1); break;
    case LUA_TTABLE: return emit_table(L, e, 0);
    default:
      if (e->sliced) keep(L, e, -1);
      return special_emit(L, e);
  }
  lua_pop(L, 1);
  return EMITTED;
}

enum outcome encode_class (lua_State *L, encoder *e) {
  if (lua_istable(L, -1)) return emit_table(L, e, 1);
  return encode_emit(L, e);
}

/* ---- the steps of a table's frame ---- */

enum {
  RUN_COST = 32,       /* what a run of numbers counts for */
  COUNTED_AS_ONE = 8   /* pairs that are counted for the cost of one */
};

/* One more item was written: is the slice over? */
static inline int spend (encoder *e, uint64_t cost) {
  e->left = e->left > cost ? e->left - cost : 0;
  return e->left == 0;
}

/* Sliced: count the pairs, then write the head. */
static enum outcome step_count (lua_State *L, encoder *e, frame *f) {
  if (!f->holds_key) {
    lua_pushnil(L);
    f->holds_key = 1;
  }
  for (;;) {
    uint32_t n;
    for (n = 0; n < COUNTED_AS_ONE; n++) {
      if (!lua_next(L, f->index)) break;
      lua_pop(L, 1);
      if (!is_item(L, -1, f->items) && ++f->pairs == UINT32_MAX)
        encode_fail(L, e, "a table is too large");
    }
    if (n < COUNTED_AS_ONE) break;
    if (spend(e, 1)) return EMITTED;
  }
  f->holds_key = 0;
  encode_table_head(L, e, f->with_meta, f->items, f->pairs);
  f->phase = f->with_meta ? PHASE_META : f->items ? PHASE_ITEMS : PHASE_KEY;
  if (!f->with_meta && f->items == 0 && f->pairs == 0) encode_pop(L, e);
  return EMITTED;
}

static enum outcome step_items (lua_State *L, encoder *e, frame *f) {
  int t = f->index;
  while (f->item < f->items) {
    enum outcome now;
    lua_rawgeti(L, t, (int)f->item + 1);
    if (lua_type(L, -1) == LUA_TNUMBER) {
      numbers run;
      lua_pop(L, 1);
      run_collect(L, t, &run, f->item, f->items);
      encode_run(L, e, &run);
      f->item += run.n;
      if (spend(e, RUN_COST)) return EMITTED;
      continue;
    }
    f->item++;
    now = encode_emit(L, e);
    if (now != EMITTED || spend(e, 1)) return now;
  }
  f->phase = PHASE_KEY;
  return EMITTED;
}

void encode_changed (lua_State *L, encoder *e) {
  encode_fail(L, e, "a hook changed this table while it was serialized");
}

/* The value of the key that is held. */
static enum outcome step_value (lua_State *L, encoder *e, frame *f) {
  f->phase = PHASE_KEY;
  lua_pushvalue(L, f->index + 1);
  lua_rawget(L, f->index);
  return encode_emit(L, e);
}

/* A key and its value are on top. One that can become a frame is written
** with nothing above it; its value is fetched again. */
static enum outcome step_pair (lua_State *L, encoder *e, frame *f) {
  switch (lua_type(L, -2)) {
    case LUA_TSTRING:
      string_at(L, e, -2);
      return encode_emit(L, e);
    case LUA_TNUMBER:
      emit_number(L, e, -2);
      return encode_emit(L, e);
    default:
      f->phase = PHASE_VALUE;
      lua_pop(L, 1);
      lua_pushvalue(L, -1);
      return encode_emit(L, e);
  }
}

static enum outcome step_pairs (lua_State *L, encoder *e, frame *f) {
  if (!f->holds_key) {
    lua_pushnil(L);
    f->holds_key = 1;
  }
  while (f->pair < f->pairs) {
    enum outcome now;
    if (!lua_next(L, f->index)) encode_changed(L, e);
    if (is_item(L, -2, f->items)) {
      lua_pop(L, 1);
      continue;
    }
    f->pair++;
    now = step_pair(L, e, f);
    if (now == EMITTED && f->phase == PHASE_VALUE) now = step_value(L, e, f);
    if (now != EMITTED || spend(e, 1)) return now;
  }
  encode_pop(L, e);
  return EMITTED;
}

static enum outcome step_table (lua_State *L, encoder *e, frame *f) {
  switch (f->phase) {
    case PHASE_COUNT: return step_count(L, e, f);
    case PHASE_META:
      f->phase = PHASE_ITEMS;
      if (!lua_getmetatable(L, f->index)) encode_changed(L, e);
      return encode_class(L, e);
    case PHASE_ITEMS: return step_items(L, e, f);
    case PHASE_VALUE: return step_value(L, e, f);
    default: return step_pairs(L, e, f);
  }
}

static enum outcome step (lua_State *L, encoder *e) {
  frame *f = &e->frames[e->depth - 1];
  switch (f->kind) {
    case FRAME_TABLE: return step_table(L, e, f);
    case FRAME_DIRECT: return direct_step(L, e);
    default: return special_step(L, e, f);
  }
}

/* ---- a whole message ---- */

static void reset (lua_State *L, encoder *e) {
  e->out->len = e->start;
  seen_clear(&e->seen);
  e->depth = e->objects = e->strings = e->cells = e->anchors = 0;
  e->kept = 0;
  lua_settop(L, e->base + SLOTS);
}

/* Write on until the message is complete, the slice is over, or all has to
** begin again, with names looked for: that happens once at most. */
static enum outcome go_on (lua_State *L, encoder *e, enum outcome now) {
  while (now != RESTART && e->depth > 0 && e->left > 0) {
    now = step(L, e);
    spend(e, 1);
  }
  return now;
}

static enum outcome begin (lua_State *L, encoder *e, int index) {
  reset(L, e);
  lua_pushvalue(L, index);
  return encode_emit(L, e);
}

static void check_length (lua_State *L, encoder *e) {
  if (encode_here(e) > e->max_bytes)
    encode_fail(L, e, "the message is longer than max_bytes");
}

void encode_message (lua_State *L, encoder *e, int index) {
  index = lua_absindex(L, index);
  luaL_checkstack(L, SLOTS + STACK_ROOM, "cerial");
  e->start = e->out->len;
  e->base = lua_gettop(L);
  e->heavy = e->sliced = 0;
  e->left = UINT64_MAX;
  while (go_on(L, e, begin(L, e, index)) == RESTART) { /* once */ }
  check_length(L, e);
  lua_settop(L, e->base);
}

int encode_slice (lua_State *L, encoder *e, uint64_t items, int is_first) {
  enum outcome now = EMITTED;
  luaL_checkstack(L, SLOTS + STACK_ROOM, "cerial");
  e->base = 1;
  e->left = items;
  if (is_first) {
    e->start = e->out->len;
    e->heavy = 0;
    e->sliced = 1;
    now = begin(L, e, 1);
  }
  while ((now = go_on(L, e, now)) == RESTART) now = begin(L, e, 1);
  if (e->depth > 0) return 0;
  check_length(L, e);
  return 1;
}
