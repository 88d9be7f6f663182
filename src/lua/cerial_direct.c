/*
** The encoder's frames over LuaJIT's tables as they are in memory.
**
** No Lua code runs and nothing is collected while this file holds addresses,
** except inside encode_emit, after which everything is read again.
*/
#include "cerial_encode.h"
#include "cerial_memory.h"

#if LSK_MEMORY

/* ---- from memory to the Lua stack ---- */

/* Push any value: it goes through an item of a table of ours. Nothing is
** collected between the two writes, so the collector need not be told. */
static void push_value (lua_State *L, encoder *e, uint64_t v) {
  int scratch = e->base + SLOT_SCRATCH;
  uint64_t *item;
  if (lua_isnil(L, scratch)) {
    lua_createtable(L, 1, 0);
    lua_replace(L, scratch);
  }
  item = (uint64_t *)(uintptr_t)
    ((const gctab *)lua_topointer(L, scratch))->array + 1;
  *item = v;
  lua_rawgeti(L, scratch, 1);
  *item = VALUE_NIL;
}

void direct_push_key (lua_State *L, encoder *e, const frame *f) {
  const gctab *t = f->raw;
  uint32_t at = f->phase == PHASE_VALUE ? f->node : f->node - 1;
  if (at == 0) lua_pushnumber(L, 0);
  else if (at - 1 <= t->hmask) push_value(L, e, nodes_of(t)[at - 1].key);
  else lua_pushnil(L);
}

/* ---- tables ---- */

static uint32_t count_items (lua_State *L, encoder *e, const gctab *t) {
  uint32_t n = t->asize;
  if (n > INT32_MAX) encode_fail(L, e, "a table is too large");
  while (n > 1 && array_of(t)[n - 1] == VALUE_NIL) n--;
  return n > 0 ? n - 1 : 0;
}

/* Pairs, with item 0, which the format does not know as an item. */
static uint32_t count_pairs (const gctab *t, uint64_t index_key,
                             int *has_index) {
  uint32_t i, n = t->asize > 0 && array_of(t)[0] != VALUE_NIL;
  const gcnode *node = nodes_of(t);
  for (i = 0; i <= t->hmask; i++) {
    if (node[i].value == VALUE_NIL) continue;
    n++;
    if (node[i].key == index_key) *has_index = 1;
  }
  return n;
}

static void start_frame (frame *f, const gctab *t, uint32_t items,
                         uint32_t pairs, int with_meta) {
  f->raw = t;
  f->items = items;
  f->pairs = pairs;
  f->phase = with_meta ? PHASE_META : PHASE_ITEMS;
}

enum outcome direct_open (lua_State *L, encoder *e, int with_meta) {
  const gctab *t = lua_topointer(L, -1);
  uint32_t items = count_items(L, e, t);
  int has_index;
  uint32_t pairs = count_pairs(t, VALUE_NIL, &has_index);
  frame *f;
  encode_table_head(L, e, with_meta, items, pairs);
  if (!with_meta && items + pairs == 0) {
    lua_pop(L, 1);
    return EMITTED;
  }
  if (e->heavy) f = encode_push(L, e, FRAME_DIRECT);
  else {
    f = encode_frame(L, e, FRAME_DIRECT);
    lua_pop(L, 1);
  }
  start_frame(f, t, items, pairs, with_meta);
  return OPENED;
}

/* Is all that is known of the metatable that objects go as their fields? */
static int is_plain_class (encoder *e, const gctab *t) {
  const char *meta = object_of(t->metatable);
  const seen_entry *known = seen_find(&e->seen, meta + 1);
  return known && known->number == 1;
}

/* A table that is numbered: open it here when nothing is special about it. */
static enum outcome open_child (lua_State *L, encoder *e, uint64_t v) {
  const gctab *t = object_of(v);
  int with_meta = t->metatable != 0, has_index = 0;
  uint32_t items, pairs;
  frame *f;
  if (!e->heavy && with_meta) {
    special_begin(L, e);
    return RESTART;
  }
  pairs = count_pairs(t, e->index_key, &has_index);
  if (e->heavy && (has_index || seen_find(&e->named, t) ||
                   (with_meta && !is_plain_class(e, t)))) {
    enum outcome now;
    push_value(L, e, v);
    now = encode_numbered(L, e, 0);
    return now == RESTART ? now : OPENED;  /* tables may have changed */
  }
  items = count_items(L, e, t);
  encode_table_head(L, e, with_meta, items, pairs);
  if (!with_meta && items + pairs == 0) return EMITTED;
  if (e->heavy) {
    push_value(L, e, v);
    f = encode_push(L, e, FRAME_DIRECT);
  }
  else f = encode_frame(L, e, FRAME_DIRECT);
  start_frame(f, t, items, pairs, with_meta);
  return OPENED;
}

/* ---- values ---- */

static enum outcome emit_table (lua_State *L, encoder *e, uint64_t v) {
  int fresh;
  seen_entry *entry = encode_seen(L, e, object_of(v), &fresh);
  if (!fresh) {
    encode_ref(L, e, entry, TAG_REF);
    return EMITTED;
  }
  entry->number = e->objects++;
  entry->at = encode_here(e);
  return open_child(L, e, v);
}

/* Write a value. OPENED also when Lua code ran: look at everything again. */
static enum outcome emit (lua_State *L, encoder *e, uint64_t v) {
  uint32_t type = type_of(v);
  size_t len;
  const char *s;
  if (type < TYPE_NUMBERS) {
    encode_number(L, e, to_double(v));
    return EMITTED;
  }
  switch (type) {
    case TYPE_STRING:
      s = string_of(v, &len);
      encode_string(L, e, s, len);
      return EMITTED;
    case TYPE_TABLE: return emit_table(L, e, v);
    case TYPE_NIL: encode_tag(L, e, TAG_NIL); return EMITTED;
    case TYPE_FALSE: encode_tag(L, e, TAG_FALSE); return EMITTED;
    case TYPE_TRUE: encode_tag(L, e, TAG_TRUE); return EMITTED;
    default: break;
  }
  if (!e->heavy) {
    special_begin(L, e);
    return RESTART;
  }
  push_value(L, e, v);
  return encode_emit(L, e) == RESTART ? RESTART : OPENED;
}

/* ---- a frame's steps ---- */

static void take_run (numbers *run, const uint64_t *a, uint32_t most) {
  uint32_t n = 0;
  run->whole = 1;
  if (most > RUN_MOST) most = RUN_MOST;
  while (n < most && type_of(a[n]) < TYPE_NUMBERS &&
         encode_whole(to_double(a[n]), &run->ints[n])) n++;
  if (n < most && type_of(a[n]) < TYPE_NUMBERS) {
    run->whole = 0;
    while (n < most && type_of(a[n]) < TYPE_NUMBERS) n++;
    memcpy(run->doubles, a, n * sizeof *a);
  }
  run->n = n;
}

static enum outcome step_items (lua_State *L, encoder *e, frame *f) {
  const gctab *t = f->raw;
  const uint64_t *a = array_of(t);
  if (f->items > 0 && t->asize <= f->items) encode_changed(L, e);
  while (f->item < f->items) {
    uint64_t v = a[f->item + 1];
    if (type_of(v) < TYPE_NUMBERS) {
      numbers run;
      take_run(&run, a + f->item + 1, f->items - f->item);
      encode_run(L, e, &run);
      f->item += run.n;
    }
    else {
      enum outcome now;
      f->item++;
      now = emit(L, e, v);
      if (now != EMITTED) return now;
    }
  }
  f->phase = PHASE_KEY;
  return EMITTED;
}

/* Item 0 comes first of the pairs, as node number 0; nodes count from 1. */
static int node_at (const frame *f, const gctab *t, uint64_t *key,
                    uint64_t *value) {
  if (f->node == 0) {
    *key = 0;  /* the bits of 0.0 */
    *value = t->asize > 0 ? array_of(t)[0] : VALUE_NIL;
  }
  else {
    *key = nodes_of(t)[f->node - 1].key;
    *value = nodes_of(t)[f->node - 1].value;
  }
  return *value != VALUE_NIL;
}

static enum outcome step_pairs (lua_State *L, encoder *e, frame *f) {
  const gctab *t = f->raw;
  enum outcome now;
  uint64_t key, value;
  while (f->pair < f->pairs || f->phase == PHASE_VALUE) {
    if (f->node > (uint64_t)t->hmask + 1) encode_changed(L, e);
    if (!node_at(f, t, &key, &value)) {
      if (f->phase == PHASE_VALUE) encode_changed(L, e);
      f->node++;
      continue;
    }
    if (f->phase == PHASE_KEY) {
      f->phase = PHASE_VALUE;
      f->pair++;
      now = emit(L, e, key);
      if (now != EMITTED) return now;
    }
    f->phase = PHASE_KEY;
    f->node++;
    now = emit(L, e, value);
    if (now != EMITTED) return now;
  }
  encode_pop(L, e);
  return OPENED;
}

static enum outcome step_meta (lua_State *L, encoder *e, frame *f) {
  const gctab *t = f->raw;
  f->phase = PHASE_ITEMS;
  if (!t->metatable) encode_changed(L, e);
  push_value(L, e, make_value(TYPE_TABLE, object_of(t->metatable)));
  return encode_class(L, e);
}

enum outcome direct_step (lua_State *L, encoder *e) {
  for (;;) {
    frame *f;
    enum outcome now;
    if (e->depth == 0) return EMITTED;
    f = &e->frames[e->depth - 1];
    if (f->kind != FRAME_DIRECT) return OPENED;
    switch (f->phase) {
      case PHASE_META: now = step_meta(L, e, f); break;
      case PHASE_ITEMS: now = step_items(L, e, f); break;
      default: now = step_pairs(L, e, f);
    }
    if (now == RESTART) return now;
  }
}

#else  /* no LuaJIT whose memory is known: never called */

enum outcome direct_step (lua_State *L, encoder *e) {
  (void)L, (void)e;
  return EMITTED;
}

enum outcome direct_open (lua_State *L, encoder *e, int with_meta) {
  (void)L, (void)e, (void)with_meta;
  return EMITTED;
}

void direct_push_key (lua_State *L, encoder *e, const frame *f) {
  (void)e, (void)f;
  lua_pushnil(L);
}

#endif
