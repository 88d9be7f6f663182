/*
** Bytes that grow, on the heap or, to begin with, in memory of somebody
** else's (a lane's free space), so that what fits is written in place.
*/
#ifndef LSK_BUFFER_H
#define LSK_BUFFER_H

#include <stddef.h>
#include <stdint.h>

typedef struct lsk_buffer {
  uint8_t *data;
  size_t len, cap;
  int borrowed;  /* data is not ours to free */
} lsk_buffer;

void lsk_buffer_init (lsk_buffer *b);
/* Write into `cap` bytes at `mem` first; more than that moves to the heap.
** `b` must be empty (fresh or freed). */
void lsk_buffer_borrow (lsk_buffer *b, void *mem, size_t cap);
/* Room for n more bytes: 0, or SKE_NOMEM with the content left as it was. */
int lsk_buffer_need (lsk_buffer *b, size_t n);
void lsk_buffer_free (lsk_buffer *b);

#endif
