/*
** cerial's bytes: header and tags. doc/format.md is the description; a tag
** never changes its meaning within a version. Everything is little-endian.
*/
#ifndef LSK_CERIAL_FORMAT_H
#define LSK_CERIAL_FORMAT_H

#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "cerial copies numbers as they are in memory");

#define CERIAL_MAGIC "\xA7SK"
#define CERIAL_VERSION 1
#define CERIAL_HEADER 4  /* bytes: magic and version */

/* Tags that carry their operand. "Shared" twins are referred to later, so
** the reader has to remember the value; the others it may forget. */
enum {
  TAG_INT = 0x00,           /* 32 tags: -4 .. 27 */
  TAG_STRING = 0x20,        /* 32 tags: 0 .. 31 bytes follow */
  TAG_STRING_SHARED = 0x40,
  TAG_MAP = 0x60,           /* 16 tags: 0 .. 15 pairs, no array part */
  TAG_MAP_SHARED = 0x70,
  TAG_STRING_REF = 0x80,    /* 64 tags: the string of that number */
  TAG_ARRAY = 0xC0,         /* 8 tags: 0 .. 7 items, no pairs */
  TAG_ARRAY_SHARED = 0xC8
};

/* Tags by themselves; of the first group the odd one is the shared twin. */
enum {
  TAG_TABLE = 0xD0,         /* items, pairs: varints */
  TAG_OBJECT = 0xD2,        /* items, pairs, metatable */
  TAG_HOOKED = 0xD4,        /* class, state of its __serialize */
  TAG_FUNCTION = 0xD6,      /* VM, bytecode, upvalues, environment, cells */
  TAG_REFERENCE = 0xD8,     /* "module:path" of a function or file */
  TAG_CLASS = 0xDA,         /* name */
  TAG_MODULE = 0xDC,        /* name */
  TAG_LONG_STRING = 0xDE,   /* length: varint */
  TAG_STRUCT = 0xE0,        /* name of a ctype, bytes */
  TAG_GLOBALS = 0xE2,       /* the table of globals */
  TAG_CELL = 0xE4,          /* a new upvalue: its value follows */
  TAG_CELL_SHARED,
  TAG_CELL_REF,             /* the upvalue of that number: varint */
  TAG_REF,                  /* the object of that number: varint */
  TAG_LONG_STRING_REF,      /* number - 64: varint */
  TAG_NIL,
  TAG_FALSE,
  TAG_TRUE,
  TAG_I8,
  TAG_I16,
  TAG_I32,
  TAG_I64,
  TAG_F32,
  TAG_F64,
  TAG_CINT64,               /* LuaJIT's int64_t, uint64_t and complex */
  TAG_CUINT64,
  TAG_CCOMPLEX,
  TAG_RUN_I8,               /* count: varint, then so many array items */
  TAG_RUN_I16,
  TAG_RUN_I32,
  TAG_RUN_I64,
  TAG_RUN_F64,
  TAG_RUN_NUMBER,           /* doubles of a VM without integers */
  TAG_IDENTIFIED = 0xFC     /* a class's identity; its table follows */
};

/* The shared twin of a tag. */
static inline uint8_t shared_twin (uint8_t tag) {
  if (tag < TAG_STRING_SHARED) tag += TAG_STRING_SHARED - TAG_STRING;
  else if (tag < TAG_ARRAY) tag |= TAG_MAP_SHARED - TAG_MAP;
  else if (tag < TAG_TABLE) tag |= TAG_ARRAY_SHARED - TAG_ARRAY;
  else tag |= 1;
  return tag;
}

#define INT_LEAST (-4)
#define INT_MOST 27
#define SHORT_STRING 31
#define SMALL_MAP 15
#define SMALL_ARRAY 7
#define SMALL_REF 64
#define MAX_VARINT 10

/* The kinds in which lua/suitkaise/cerial/ describes a value. */
enum {
  KIND_REFERENCE = 1, KIND_FULL, KIND_CLASS, KIND_MODULE, KIND_GLOBALS,
  KIND_HOOK, KIND_REPLACE, KIND_STRUCT, KIND_INT64, KIND_UINT64,
  KIND_COMPLEX
};

/* What lua/suitkaise/cerial/ gives to core.cerial_setup, by index. */
enum {
  CALL_NAME = 1,    /* table, stamp, is_identified -> kind, name; or nil, its
                    ** identity */
  CALL_OBJECT,      /* table, metatable -> kind, ...; or nil */
  CALL_SPECIAL,     /* value, stamp, how -> kind, ...; false, reason; nil */
  CALL_FAIL,        /* path's parts, how many, reason, cause: raises */
  CALL_RESOLVE,     /* kind, name, trusted -> value; or nil, reason */
  CALL_REVIVE,      /* hook's record, trusted -> object; or false, reason */
  CALL_STAND_IN,    /* hook's record -> a table for references into it */
  CALL_BUILD,       /* kind, name or bytes, bytes, trusted -> cdata */
  CALL_REPLACE,     /* root, pairs of stand-in and object -> root */
  CALL_REFUSE,      /* reason, position, cause: raises */
  THE_VM,           /* which bytecode this VM makes and reads */
  THE_REGISTERED,   /* class or ctype -> name */
  CALL_ENVIRONMENT, /* function, its environment -> what to send instead */
  CALL_KNOWN        /* identity, its copy -> the class to take */
};

#endif
