/*
** cerial for the other parts of the binding: values to bytes and back
** without a Lua string in between.
*/
#ifndef LSK_CERIAL_H
#define LSK_CERIAL_H

#include "buffer.h"
#include "lsk.h"

/* Append the value at `index`, bare: no header, for a reader that runs the
** same program. Raises a SerializationError as a Lua error; `b` is then
** still valid and holds what was written. The caller must own `b` so that
** an error cannot leak it. */
void lsk_cerial_encode (lua_State *L, int index, lsk_buffer *b);

/* Push the bare value at `data`, trusted: -> bytes used. Raises a
** DeserializationError as a Lua error. Copies everything out of `data`. */
size_t lsk_cerial_decode (lua_State *L, const uint8_t *data, size_t len);

/* For LSK_OTHER_PROGRAM functions and classes go by name only; from one no
** bytecode is believed. */
enum lsk_reader { LSK_SAME_PROGRAM, LSK_OTHER_PROGRAM };

/* As lsk_cerial_encode, for that reader. At `namer`, if it is not 0, is a
** function that is asked for the name of each metatable that has none: one
** that resolve.lua understands, or nil. */
void lsk_cerial_encode_named (lua_State *L, int index, lsk_buffer *b,
                              enum lsk_reader reader, int namer);
/* As lsk_cerial_decode, of that writer's bytes. */
size_t lsk_cerial_decode_from (lua_State *L, const uint8_t *data, size_t len,
                               enum lsk_reader writer);

#endif
