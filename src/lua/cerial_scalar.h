/*
** Values that need no state, encoded and decoded without one.
*/
#ifndef LSK_CERIAL_SCALAR_H
#define LSK_CERIAL_SCALAR_H

#include "buffer.h"
#include "lsk.h"

/* 1: the value was appended; 0: it is none of those. */
int scalar_encode (lua_State *L, int index, lsk_buffer *b);
/* Push the value at `data`: -> bytes used; 0: it is none of those. */
size_t scalar_decode (lua_State *L, const uint8_t *data, size_t len);

#endif
