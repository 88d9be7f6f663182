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
/* The value of a number; of NaNs there is one. */
uint64_t memory_number (double n);
/* Set item i, or a key that is a string, of a table that is being built.
** 0: not done, it takes the API. */
int memory_set_item (void *table, uint32_t i, uint64_t value);
int memory_set_pair (void *table, uint64_t key, uint64_t value);

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

#endif
#endif
