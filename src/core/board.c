/*
** Boards: a value that one process replaces whole, again and again, and that
** others read whole.
**
** Two slots: value n goes into slot n mod 2, so that a writer that is killed
** leaves the value before, and a reader has one whole turn to copy.
*/
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os.h"
#include "segment.h"

struct board_words {
  _Alignas(SK_LINE) _Atomic uint64_t begun;  /* writer: number being posted */
  _Atomic uint64_t done;                     /* writer: number posted */
  _Atomic uint64_t len[2];                   /* writer: bytes, per slot */
  _Atomic uint64_t backed[2];                /* writer: pages exist up to */
};

struct sk_board {
  struct board_words *words;
  uint8_t *slots;
  size_t bytes;  /* of one slot */
};

#define LEAST ((size_t)1 << 20)
#define KEEP ((uint64_t)256 << 10)  /* bytes of a slot that a reset leaves */

static int map_slots (sk_board *b, size_t bytes) {
  int fd, is_long = 0, rc = os_memory_create("suitkaise-board", &fd);
  void *p = MAP_FAILED;
  if (rc) return rc;
  for (;; bytes /= 2) {
    if (!is_long) is_long = !(rc = os_memory_stretch(fd, 2 * bytes));
    if (is_long) p = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                      fd, 0);
    if (p != MAP_FAILED || bytes <= LEAST) break;
  }
  close(fd);
  if (p == MAP_FAILED) return rc ? rc : SKE_NOMEM;
  b->slots = p;
  b->bytes = bytes;
  return 0;
}

int sk_board_create (sk_segment *s, size_t bytes, sk_board **out) {
  uint64_t off;
  sk_board *b;
  int rc;
  if (bytes < LEAST || (bytes & (bytes - 1)) || bytes > SIZE_MAX / 4)
    return SKE_INVAL;
  rc = sk_segment_alloc(s, sizeof *b->words, SK_LINE, &off);
  if (rc) return rc;
  b = calloc(1, sizeof *b);
  if (!b) return SKE_NOMEM;
  if ((rc = map_slots(b, bytes))) {
    free(b);
    return rc;
  }
  b->words = sk_segment_at(s, off, sizeof *b->words);
  *out = b;
  return 0;
}

void sk_board_free (sk_board *b) {
  if (!b) return;
  munmap(b->slots, 2 * b->bytes);
  free(b);
}

void sk_board_inherit (sk_board *b, int yes) {
  os_memory_inherit(b->slots, 2 * b->bytes, yes);
}

static uint8_t *slot (const sk_board *b, uint64_t number) {
  return b->slots + (number & 1) * b->bytes;
}

void sk_board_reset (sk_board *b) {
  uint64_t i;
  for (i = 0; i < 2; i++) {
    uint64_t backed = atomic_load(&b->words->backed[i]);
    if (backed <= KEEP) continue;
    os_memory_discard(slot(b, i) + KEEP, (size_t)(backed - KEEP));
    atomic_store(&b->words->backed[i], KEEP);
  }
  atomic_store(&b->words->begun, 0);
  atomic_store(&b->words->done, 0);
}

static int back (sk_board *b, uint64_t number, size_t len) {
  _Atomic uint64_t *backed = &b->words->backed[number & 1];
  int rc;
  if (len <= atomic_load(backed)) return 0;
  rc = os_memory_populate(slot(b, number), len);
  if (!rc) atomic_store(backed, len);
  return rc;
}

int sk_board_post (sk_board *b, const void *data, size_t len) {
  struct board_words *w = b->words;
  uint64_t number = atomic_load(&w->done) + 1;
  int rc;
  if (len > b->bytes) return SKE_FULL;
  if ((rc = back(b, number, len))) return rc;
  atomic_store(&w->begun, number);
  atomic_thread_fence(memory_order_seq_cst);  /* pairs with sk_board_read */
  memcpy(slot(b, number), data, len);
  atomic_store(&w->len[number & 1], len);
  /* killed before: the value before is still the last one */
  atomic_store_explicit(&w->done, number, memory_order_release);
  return 0;
}

uint64_t sk_board_number (const sk_board *b) {
  return atomic_load_explicit(&b->words->done, memory_order_acquire);
}

/* Copy the last value; SKE_BUSY when it was written over meanwhile. */
static int copy (const sk_board *b, uint64_t *number, void **data,
                 size_t *len) {
  uint64_t n = sk_board_number(b);
  uint64_t size = atomic_load(&b->words->len[n & 1]);
  void *p;
  if (n == 0) return SKE_ABSENT;
  if (size > b->bytes) return SKE_CORRUPT;
  if (!(p = malloc((size_t)size + 1))) return SKE_NOMEM;
  memcpy(p, slot(b, n), (size_t)size);
  atomic_thread_fence(memory_order_seq_cst);  /* pairs with sk_board_post */
  if (atomic_load(&b->words->begun) >= n + 2) {
    free(p);
    return SKE_BUSY;
  }
  *number = n;
  *data = p;
  *len = (size_t)size;
  return 0;
}

int sk_board_read (const sk_board *b, uint64_t *number, void **data,
                   size_t *len) {
  int rc;
  do {
    rc = copy(b, number, data, len);
  } while (rc == SKE_BUSY);
  return rc;
}
