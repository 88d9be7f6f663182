/*
** LuaJIT's tables and strings as they are in memory: the structures of
** LuaJIT 2.1 on 64-bit machines with GC64.
**
** Through the Lua API an encoder of tables is several times slower than
** LuaJIT's own. These structures are no interface, so nothing here is used
** before memory_known has compared what the API says of probe tables with
** what the structures say; where they differ, cerial goes through the API.
*/
#ifndef LSK_CERIAL_MEMORY_H
#define LSK_CERIAL_MEMORY_H

#include <string.h>

#include "cerial_calls.h"
#include "cerial_format.h"

#define LSK_MEMORY (LSK_LUAJIT && UINTPTR_MAX == UINT64_MAX)

/* Are the structures what this file thinks? Leaves the stack as it was. */
int memory_known (lua_State *L);
/* A number that changes when the fields of the table do. */
uint32_t memory_stamp (const void *table);
/* The value of the Lua string whose bytes are at `s`. */
uint64_t memory_string (const char *s);
/* Fill n items after item `from` of the new table at `index` with a run of
** numbers. 0: not done. */
int memory_fill (lua_State *L, int index, uint32_t from, int tag,
                 const uint8_t *p, uint32_t n);
#if LSK_MEMORY

typedef struct gctab {
  uint64_t next_object;
  uint8_t marked, type, absent_metamethods;
  int8_t colocated;
  uint32_t unused;
  uint64_t array;   /* values; item 0 is used like any other */
  uint64_t gray_list;
  uint64_t metatable;
  uint64_t node;
  uint32_t asize;   /* items in the array, with 0 */
  uint32_t hmask;   /* nodes - 1 */
} gctab;

typedef struct gcnode {
  uint64_t value, key, next;
} gcnode;

/* Of a string object: where its number, length and bytes are. */
#define STRING_ID 12  /* picks the node */
#define STRING_LENGTH 20
#define STRING_BYTES 24

#define TABLE_OBJECT 11

/* The colours of the collector, in `marked`. */
#define WHITES 3
#define BLACK 4

/* The upper 17 bits of a value say its type, unless it is a number. */
#define TYPE_SHIFT 47
#define POINTER_MASK ((UINT64_C(1) << TYPE_SHIFT) - 1)
#define TYPE_NIL 0xFFFFFFFFu
#define TYPE_FALSE 0xFFFFFFFEu
#define TYPE_TRUE 0xFFFFFFFDu
#define TYPE_STRING 0xFFFFFFFBu
#define TYPE_TABLE 0xFFFFFFF4u
#define TYPE_NUMBERS 0xFFFFFFF2u  /* less than that: a double */
#define VALUE_NIL UINT64_MAX
#define VALUE_FALSE (~(UINT64_C(1) << TYPE_SHIFT))
#define VALUE_TRUE (~(UINT64_C(2) << TYPE_SHIFT))

static inline uint32_t type_of (uint64_t v) {
  return (uint32_t)((int64_t)v >> TYPE_SHIFT);
}

static inline uint64_t make_value (uint32_t type, const void *object) {
  return (uint64_t)type << TYPE_SHIFT | (uint64_t)(uintptr_t)object;
}

static inline const void *object_of (uint64_t v) {
  return (const void *)(uintptr_t)(v & POINTER_MASK);
}

static inline uint64_t *array_of (const gctab *t) {
  return (uint64_t *)(uintptr_t)t->array;
}

static inline gcnode *nodes_of (const gctab *t) {
  return (gcnode *)(uintptr_t)t->node;
}

static inline double to_double (uint64_t v) {
  double d;
  memcpy(&d, &v, sizeof d);
  return d;
}

static inline const char *string_of (uint64_t v, size_t *len) {
  const char *s = object_of(v);
  uint32_t n;
  memcpy(&n, s + STRING_LENGTH, sizeof n);
  *len = n;
  return s + STRING_BYTES;
}

/* ---- writing tables that are being built ---- */

/* The value of a number; of NaNs there is one. */
static inline uint64_t memory_number (double n) {
  uint64_t v;
  memcpy(&v, &n, sizeof v);
  /* a NaN's other bits would be taken for the address of an object */
  if ((v & UINT64_C(0x7FFFFFFFFFFFFFFF)) > UINT64_C(0x7FF0000000000000))
    v = UINT64_C(0xFFF8000000000000);
  return v;
}

/* May objects be put into the table behind the collector's back? Those that
** it has not looked at yet, it still will. */
static inline int is_white (const gctab *t) {
  return (t->marked & WHITES) && !(t->marked & BLACK);
}

/* Set item i. 0: not done, it takes the API. */
static inline int memory_set_item (void *table, uint32_t i, uint64_t value) {
  gctab *t = table;
  if (i >= t->asize || !is_white(t)) return 0;
  array_of(t)[i] = value;
  return 1;
}

/* Set a key that is a string. 0: not done, it takes the API.
** The key goes to the node that its number picks, when that was never used:
** then the key is nowhere else in the table either. */
static inline int memory_set_pair (void *table, uint64_t key,
                                   uint64_t value) {
  gctab *t = table;
  gcnode *n;
  uint32_t id;
  if (t->hmask == 0 || !is_white(t)) return 0;
  memcpy(&id, (const char *)object_of(key) + STRING_ID, sizeof id);
  n = &nodes_of(t)[id & t->hmask];
  if (n->key != VALUE_NIL || n->value != VALUE_NIL) return 0;
  n->key = key;
  n->value = value;
  t->absent_metamethods = 0;  /* nothing is known to be absent any more */
  return 1;
}

#endif
#endif
