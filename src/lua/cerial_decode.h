/*
** The decoder's state, shared by cerial_decode.c (the loop and the plain
** types) and cerial_revive.c (functions, objects, names).
*/
#ifndef LSK_CERIAL_DECODE_H
#define LSK_CERIAL_DECODE_H

#include <string.h>

#include "cerial_format.h"
#include "lsk.h"

/* Lua stack slots of a run, counted from decoder.base. */
enum {
  HAVE_REFS = 1,  /* objects that are referred to later, by slot */
  HAVE_STRINGS,   /* and strings */
  HAVE_WORK,      /* containers and keys of frames that are deep */
  HAVE_CELLS,     /* function of each upvalue that is referred to later */
  HAVE_METAS,     /* objects and metatables, to be set again at the end */
  HAVE_STANDINS,  /* stand-ins that have to be replaced, with the objects */
  HAVE_KNOWN,     /* classes that are taken instead of those in the bytes */
  HAVE_IDENTITY,  /* of the class that is next */
  HAVE_CALLS,
  HAVES = HAVE_CALLS
};

enum dframe_kind { DFRAME_TABLE, DFRAME_FUNCTION, DFRAME_HOOK };

enum dphase {
  EXPECT_META, EXPECT_ITEM, EXPECT_KEY, EXPECT_VALUE,
  EXPECT_ENV, EXPECT_CELL, EXPECT_CLASS, EXPECT_STATE, EXPECT_NOTHING
};

typedef struct dframe {
  uint8_t kind, phase;
  uint32_t items, item;
  uint32_t pairs;       /* that are still to come */
  uint32_t slot;        /* DFRAME_HOOK: in HAVE_REFS, 0: not referred to */
  uint32_t number;
  int index;            /* of the container on the Lua stack */
  void *raw;            /* the table in LuaJIT's memory, or NULL */
  uint32_t key_slot;    /* the key is this string, and not on the Lua stack */
  uint32_t known;       /* 0, or what takes the table's place, in HAVE_KNOWN */
} dframe;

/* Numbers to slots: what number n was, if it is referred to later. */
typedef struct slot_map {
  uint32_t *slots;      /* 0: not shared; else slot and flags */
  uint32_t room, next;  /* next: number of the next object */
  uint32_t used;
  uint64_t *values;     /* LuaJIT: by slot, the value in memory; 0: unknown */
  uint32_t values_room;
} slot_map;

#define SLOT_IS_CLASS 0x80000000u    /* may be a metatable for the untrusted */
#define SLOT_IS_PENDING 0x40000000u  /* a hooked object not revived yet */
#define SLOT_BITS 0x3FFFFFFFu

typedef struct decoder {
  const uint8_t *start, *at, *end;
  size_t owed;          /* bytes that open frames still need at least */
  dframe *frames;
  uint32_t depth, room, max_depth;
  slot_map objects, strings, cells;
  uint32_t metas, standins, known;
  int base;
  int trusted;
  int no_bytecode;       /* not even when trusted */
  int is_class;         /* the value on top came by a class's name */
  uint32_t made;        /* a bit for each of HAVE_* that is a table by now */
  uint8_t direct;
  uint8_t busy;
} decoder;

/* ---- cerial.c ---- */

void decoder_free (decoder *d);
/* Take the options at 2 and 3: trusted, max_depth. */
void decode_options (lua_State *L, decoder *d);
/* Refuse what does not begin as a message does. */
void decode_header (lua_State *L, decoder *d, const uint8_t *s, size_t len);

/* ---- cerial_decode.c ---- */

/* Raise the DeserializationError `reason`. */
int decode_fail (lua_State *L, decoder *d, const char *reason);
uint64_t decode_varint (lua_State *L, decoder *d);
uint32_t decode_count (lua_State *L, decoder *d);
/* Push the number of this tag, or one of a run of this tag. */
void decode_number_value (lua_State *L, decoder *d, int tag);
void decode_run_value (lua_State *L, decoder *d, int tag, const uint8_t *p);
size_t decode_run_width (int tag);
/* Push the string that comes next. */
void decode_string (lua_State *L, decoder *d);
/* The value on top becomes the container of a new frame. */
dframe *decode_push (lua_State *L, decoder *d, enum dframe_kind kind);
/* The next number: -> its slot, 0 when it is not shared. */
uint32_t decode_slot (lua_State *L, slot_map *map, int shared);
/* Number the object on top; keep it when it is shared. -> slot or 0 */
uint32_t decode_number (lua_State *L, decoder *d, slot_map *map, int have,
                        int shared);
/* Set entry n of the table HAVE_* to the value on top (popped). */
void decode_keep (lua_State *L, decoder *d, int have, uint32_t n);
void decode_message (lua_State *L, decoder *d, const uint8_t *data,
                     size_t len);
/* The same in slices, each in a stack frame that begins with the bytes and
** holds what the last one left: 1: the value is on top. */
int decode_slice (lua_State *L, decoder *d, const uint8_t *data, size_t len,
                  uint64_t items, int is_first);

/* A value whose tag was read: 1: a frame was opened; 0: it was pushed. */
int decode_value (lua_State *L, decoder *d, int tag);
int decode_string_tag (lua_State *L, decoder *d, int tag);
/* A value is on top: hand it to its frame. 1: the root is on top. */
int decode_deliver (lua_State *L, decoder *d);
/* The innermost frame is complete. 1: the root is on top. */
int decode_close (lua_State *L, decoder *d);

/* ---- cerial_quick.c: LuaJIT's tables in memory ---- */

/* Keep the value in memory of the string or table on top, at this slot; of
** anything else, that it is unknown. */
void quick_keep (lua_State *L, slot_map *map, uint32_t slot);
/* Read the next item or pair of frame f straight into its table. -1: it is
** not of that kind, and nothing was read; else as decode_close. */
int quick_step (lua_State *L, decoder *d, dframe *f);
/* The value on top belongs to the key of f->key_slot. */
void quick_take (lua_State *L, decoder *d, dframe *f);

/* ---- cerial_revive.c ---- */

/* Read what follows a tag of the special kinds: 1: a frame was opened; 0:
** the value was pushed. */
int revive_read (lua_State *L, decoder *d, int tag);
/* The value on top arrived in a frame of the special kinds. */
void revive_take (lua_State *L, decoder *d, dframe *f);
/* The frame's last value has arrived: its container becomes the result. */
void revive_end (lua_State *L, decoder *d, dframe *f);
/* Untrusted: a class must come next, by its name. */
void revive_want_class (lua_State *L, decoder *d);
void revive_meta (lua_State *L, decoder *d, dframe *f);
/* Replace the container on top by what takes its place. */
void revive_known (lua_State *L, decoder *d, uint32_t known);
/* A reference to a hooked object that is still being read. */
void revive_standin (lua_State *L, decoder *d, uint32_t number);
/* The root is on top: what could only be done at the end. */
void revive_finish (lua_State *L, decoder *d);

/* ---- small parts that every file needs ---- */

/* n bytes of the message. */
static inline const uint8_t *decode_bytes (lua_State *L, decoder *d,
                                           size_t n) {
  const uint8_t *p = d->at;
  if (n > (size_t)(d->end - p)) decode_fail(L, d, "the bytes end too early");
  d->at += n;
  return p;
}

/* The slot of a number that the message refers to. */
static inline uint32_t decode_find (lua_State *L, decoder *d,
                                    const slot_map *map, uint64_t number) {
  uint32_t slot = 0;
  if (number < map->next && number < map->room) slot = map->slots[number];
  if (slot == 0)
    decode_fail(L, d, "a reference to something that was not sent");
  return slot;
}

#endif
