/*
** Bytes that grow; see buffer.h.
*/
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "suitkaise.h"

#define FIRST_BYTES 512

void lsk_buffer_init (lsk_buffer *b) {
  memset(b, 0, sizeof *b);
}

void lsk_buffer_borrow (lsk_buffer *b, void *mem, size_t cap) {
  b->data = mem;
  b->len = 0;
  b->cap = cap;
  b->borrowed = 1;
}

static uint8_t *move (lsk_buffer *b, size_t cap) {
  uint8_t *data = malloc(cap);
  if (data) memcpy(data, b->data, b->len);
  return data;
}

int lsk_buffer_need (lsk_buffer *b, size_t n) {
  size_t cap = b->cap < FIRST_BYTES ? FIRST_BYTES : b->cap;
  uint8_t *data;
  if (b->cap - b->len >= n) return 0;
  if (n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4) return SKE_NOMEM;
  while (cap - b->len < n) cap *= 2;
  data = b->borrowed ? move(b, cap) : realloc(b->data, cap);
  if (!data) return SKE_NOMEM;
  b->data = data;
  b->cap = cap;
  b->borrowed = 0;
  return 0;
}

void lsk_buffer_free (lsk_buffer *b) {
  if (!b->borrowed) free(b->data);
  lsk_buffer_init(b);
}
