/*
** The encoder's state, shared by the files that write a message:
** cerial_encode.c (any Lua), cerial_special.c (functions, objects and what
** the Lua side describes), cerial_direct.c (LuaJIT's tables in memory).
*/
#ifndef LSK_CERIAL_ENCODE_H
#define LSK_CERIAL_ENCODE_H

#include <math.h>
#include <string.h>

#include "buffer.h"
#include "cerial_format.h"
#include "cerial_seen.h"
#include "lsk.h"

/* Lua stack slots of a run, counted from encoder.base. */
enum {
  SLOT_WORK = 1,   /* what deep frames hold: two entries for each */
  SLOT_ANCHORS,    /* strings and states that only this message holds */
  SLOT_CALLBACKS,  /* functions of lua/suitkaise/cerial/describe.lua */
  SLOT_SCRATCH,    /* a table through which raw values reach the stack */
  SLOT_KEPT,       /* sliced: all that was sent, in a list of arrays */
  SLOTS = SLOT_KEPT
};

enum frame_kind { FRAME_TABLE, FRAME_DIRECT, FRAME_FUNCTION, FRAME_HOOK };

/* What comes next in a frame. */
enum phase {
  PHASE_META, PHASE_ITEMS, PHASE_KEY, PHASE_VALUE,
  PHASE_ENV, PHASE_CELLS, PHASE_CLASS, PHASE_STATE, PHASE_COUNT
};

/* On the Lua stack a frame holds its table (or function, or class) and, above
** it, what it is at: a key, or a hook's state. Only so many frames have a
** place there of their own; deeper ones take turns at one place, and what
** they hold meanwhile is in SLOT_WORK. */
typedef struct frame {
  uint8_t kind, phase;
  uint8_t holds_key;     /* something is above the table */
  uint8_t with_meta;     /* PHASE_COUNT: its metatable comes after its head */
  int index;             /* of the table; 0: FRAME_DIRECT that holds nothing */
  uint32_t items, item;  /* array items or upvalues: how many, how far */
  uint32_t pairs, pair;
  uint32_t node;         /* FRAME_DIRECT: next hash node */
  const void *raw;       /* FRAME_DIRECT: the table in memory */
} frame;

typedef struct encoder {
  lsk_buffer *out;
  lsk_buffer own;        /* serialize's buffer, kept between calls */
  size_t start;          /* where the message begins in out */
  size_t max_bytes;
  seen_set seen;         /* objects, strings and upvalues of this message */
  seen_set named;        /* loaded modules and registered classes */
  frame *frames;
  uint32_t depth, room, max_depth;
  uint32_t objects, strings, cells, anchors, kept;
  uint32_t stamp;        /* changes when package.loaded does */
  uint32_t direct_stamp; /* the same, of direct_stamp */
  int base;
  uint64_t index_key;    /* LuaJIT's value for the string "__index" */
  int how;               /* functions: an index into the option's values */
  int namer;             /* stack index of a function, or 0 */
  uint64_t left;         /* items that this slice may still write */
  uint8_t sliced;        /* the program runs between slices */
  uint8_t heavy;         /* functions or classes were met: look for names */
  uint8_t direct;        /* read LuaJIT's tables in memory */
  uint8_t identify;      /* classes by value have their identity with them */
  uint8_t busy;
} encoder;

#define TWO_63 9223372036854775808.0
#define RUN_LEAST 8    /* shorter runs are not worth their head */
#define RUN_MOST 512u  /* numbers that are looked at before they are written */

/* Numbers of an array that follow each other. */
typedef struct numbers {
  uint32_t n;
  int whole;           /* all of them: `ints` holds them, else `doubles` */
  int64_t ints[RUN_MOST];
  double doubles[RUN_MOST];
} numbers;

/* What emitting a value, or a step of a frame, led to. */
enum outcome { EMITTED, OPENED, RESTART };

/* ---- cerial.c ---- */

void encoder_free (encoder *e);
/* Begin a message in e->own, with the options at 2 to 4: how, max_depth and
** max_bytes. */
void encode_options (lua_State *L, encoder *e);

/* ---- cerial_encode.c ---- */

/* Write the value on top of the stack, pop it. */
enum outcome encode_emit (lua_State *L, encoder *e);
/* The same for a metatable: one that has a name goes by it. */
enum outcome encode_class (lua_State *L, encoder *e);
/* Append the value at `index` to e->out. */
void encode_message (lua_State *L, encoder *e, int index);
/* The same in slices, each in a stack frame that begins with the value and
** holds what the last one left: 1: it is complete. */
int encode_slice (lua_State *L, encoder *e, uint64_t items, int is_first);
/* Write the table on top, which is numbered already, and pop it. */
enum outcome encode_numbered (lua_State *L, encoder *e, int is_meta);
/* Begin a frame that holds nothing. */
frame *encode_frame (lua_State *L, encoder *e, enum frame_kind kind);
/* Begin a frame that holds the value on top, which stays there. */
frame *encode_push (lua_State *L, encoder *e, enum frame_kind kind);
/* The frame is complete: go back to the one around it. */
void encode_pop (lua_State *L, encoder *e);
/* Push what frame number `depth` holds: 0: its table, 1: its key. */
void encode_push_held (lua_State *L, encoder *e, uint32_t depth, int which);
/* Start to write the table on top of the stack; pops it. */
enum outcome encode_open (lua_State *L, encoder *e, int with_meta);
/* Refer to what was sent; `tag` is TAG_REF or TAG_CELL_REF. */
void encode_ref (lua_State *L, encoder *e, seen_entry *known, int tag);
void encode_int (lua_State *L, encoder *e, int64_t i);
void encode_number (lua_State *L, encoder *e, double d);
/* A string that may come again; it must live until the message ends. */
void encode_string (lua_State *L, encoder *e, const char *s, size_t len);
/* A string that is not looked for again. */
void encode_once (lua_State *L, encoder *e, const char *s, size_t len);
void encode_table_head (lua_State *L, encoder *e, int with_meta,
                        uint32_t items, uint32_t pairs);
void encode_run (lua_State *L, encoder *e, const numbers *run);
/* A table is not what it was when its frame began: raise. */
void encode_changed (lua_State *L, encoder *e);
/* Raise the SerializationError `reason` about the value at work. */
int encode_fail (lua_State *L, encoder *e, const char *reason);
seen_entry *encode_seen (lua_State *L, encoder *e, const void *key,
                         int *fresh);

/* ---- cerial_special.c ---- */

/* The value on top is no plain value: describe it. Pops it. */
enum outcome special_emit (lua_State *L, encoder *e);
/* Look for a name of the table on top, which is numbered already. 1: it has
** one, which was written, and the table popped. */
int special_name (lua_State *L, encoder *e, int is_meta);
/* The table on top has a metatable, on top of it. Pops both. */
enum outcome special_object (lua_State *L, encoder *e);
/* From here on names are looked for; 1 when the message has to restart. */
int special_begin (lua_State *L, encoder *e);
enum outcome special_step (lua_State *L, encoder *e, frame *f);
/* Raise about the value at work: reason and cause are on top. */
int special_fail (lua_State *L, encoder *e);

/* ---- cerial_direct.c ---- */

/* Write items until a frame of another kind or a special value is next. */
enum outcome direct_step (lua_State *L, encoder *e);
/* Start to write the table on top of the stack. */
enum outcome direct_open (lua_State *L, encoder *e, int with_meta);
/* The key that frame f is at: pushed, for error paths. */
void direct_push_key (lua_State *L, encoder *e, const frame *f);

/* ---- small parts that every file needs ---- */

void encode_grow (lua_State *L, encoder *e, size_t n);

/* Is d a whole number that an int64 holds exactly, and not -0? */
static inline int encode_whole (double d, int64_t *i) {
  if (!(d >= -TWO_63 && d < TWO_63)) return 0;
  *i = (int64_t)d;
  return (double)*i == d && (*i != 0 || !signbit(d));
}

/* Room for n bytes at the returned place. */
static inline uint8_t *encode_room (lua_State *L, encoder *e, size_t n) {
  if (e->out->cap - e->out->len < n) encode_grow(L, e, n);
  return e->out->data + e->out->len;
}

static inline void encode_tag (lua_State *L, encoder *e, int tag) {
  *encode_room(L, e, 1) = (uint8_t)tag;
  e->out->len++;
}

static inline uint8_t *put_varint (uint8_t *p, uint64_t v) {
  while (v >= 0x80) {
    *p++ = (uint8_t)(v | 0x80);
    v >>= 7;
  }
  *p++ = (uint8_t)v;
  return p;
}

static inline void encode_varint (lua_State *L, encoder *e, uint64_t v) {
  uint8_t *p = encode_room(L, e, MAX_VARINT);
  e->out->len += (size_t)(put_varint(p, v) - p);
}

/* A tag and its operand of n bytes. */
static inline void encode_raw (lua_State *L, encoder *e, int tag,
                               const void *operand, size_t n) {
  uint8_t *p = encode_room(L, e, n + 1);
  p[0] = (uint8_t)tag;
  memcpy(p + 1, operand, n);
  e->out->len += n + 1;
}

/* Where the message is now; places are relative to its start. */
static inline size_t encode_here (const encoder *e) {
  return e->out->len - e->start;
}

#endif
