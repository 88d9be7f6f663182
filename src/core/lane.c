/*
** Lanes: one writer, one reader, a ring of messages in shared memory.
**
** Positions count bytes for ever; the place in the ring is the position
** modulo the ring's size. A message becomes visible with one store of
** `published`, so a killed writer leaves nothing half-done that anybody can
** see. The ring's pages are mapped twice in a row (a mirrored buffer): what
** runs over the end goes on at the start without being split.
*/
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bell.h"
#include "os.h"

struct lane_words {
  _Alignas(SK_LINE) _Atomic uint64_t published;  /* writer */
  _Alignas(SK_LINE) _Atomic uint64_t released;   /* reader */
};

struct record {
  uint32_t len, kind;
};

struct sk_lane {
  struct lane_words *words;
  uint8_t *ring;             /* 2 * bytes of address space */
  size_t bytes;              /* of the ring */
  uint64_t head;             /* writer: end of what is published */
  uint64_t seen_released;    /* writer: a recent value of released */
  uint64_t cursor;           /* reader: end of what was taken */
  uint64_t seen_published;   /* reader: a recent value of published */
  sk_bell *reader, *writer;
};

static uint64_t record_bytes (uint64_t len) {
  return (sizeof(struct record) + len + 7) & ~(uint64_t)7;
}

/* ---- life ---- */

static int map_twice (const sk_segment *s, uint64_t off, size_t bytes,
                      uint8_t **out) {
  uint8_t *p = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
  int i;
  if (p == MAP_FAILED) return SKE_NOMEM;
  for (i = 0; i < 2; i++) {
    if (mmap(p + (size_t)i * bytes, bytes, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED, s->fd, (off_t)off) == MAP_FAILED) {
      munmap(p, 2 * bytes);
      return SKE_NOMEM;
    }
  }
  *out = p;
  return 0;
}

int sk_lane_create (sk_segment *s, size_t bytes, sk_bell *reader,
                    sk_bell *writer, sk_lane **out) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uint64_t words, ring;
  sk_lane *l;
  int rc;
  if (bytes < page || (bytes & (bytes - 1)) || bytes > UINT32_MAX / 2)
    return SKE_INVAL;
  if (s->fd < 0) return SKE_FULL;  /* sealed: cannot be mapped again */
  rc = sk_segment_alloc(s, sizeof(struct lane_words), SK_LINE, &words);
  if (!rc) rc = sk_segment_alloc(s, bytes, page, &ring);
  if (rc) return rc;
  l = calloc(1, sizeof *l);
  if (!l) return SKE_NOMEM;
  if ((rc = map_twice(s, ring, bytes, &l->ring))) {
    free(l);
    return rc;
  }
  l->words = sk_segment_at(s, words, sizeof *l->words);
  l->bytes = bytes;
  l->reader = reader;
  l->writer = writer;
  *out = l;
  return 0;
}

void sk_lane_free (sk_lane *l) {
  if (!l) return;
  munmap(l->ring, 2 * l->bytes);
  free(l);
}

void sk_lane_reset (sk_lane *l) {
  l->head = l->seen_released = l->cursor = l->seen_published = 0;
  atomic_store(&l->words->published, 0);
  atomic_store(&l->words->released, 0);
}

size_t sk_lane_limit (const sk_lane *l) {
  return l->bytes - sizeof(struct record);
}

/* ---- writer ---- */

static uint64_t room (const sk_lane *l) {
  return l->bytes - (l->head - l->seen_released);
}

/* 1 when a message of `need` bytes fits, 0, or SKE_CORRUPT. */
static int fits (sk_lane *l, size_t need) {
  uint64_t now;
  if (need > sk_lane_limit(l)) return 0;
  if (room(l) >= record_bytes(need)) return 1;
  /* pairs with sk_lane_release: the reader is done with those bytes */
  now = atomic_load_explicit(&l->words->released, memory_order_acquire);
  if (l->head - now > l->bytes) return SKE_CORRUPT;
  l->seen_released = now;
  return room(l) >= record_bytes(need);
}

void *sk_lane_reserve (sk_lane *l, size_t need, size_t *got) {
  if (fits(l, need) <= 0) return NULL;
  *got = (size_t)(room(l) - sizeof(struct record));
  return l->ring + l->head % l->bytes + sizeof(struct record);
}

uint64_t sk_lane_publish (sk_lane *l, uint32_t kind, size_t len) {
  struct record r;
  uint64_t pos = l->head;
  r.len = (uint32_t)len;
  r.kind = kind;
  memcpy(l->ring + pos % l->bytes, &r, sizeof r);
  l->head = pos + record_bytes(len);
  /* pairs with sk_lane_next; killed before: it never happened */
  atomic_store_explicit(&l->words->published, l->head, memory_order_release);
  return pos;
}

void sk_lane_ring (sk_lane *l, enum sk_sleep how) {
  sk_bell_ring(l->reader, how);
}

static uint64_t released (const sk_lane *l) {
  return atomic_load_explicit(&l->words->released, memory_order_acquire);
}

int sk_lane_released (const sk_lane *l, uint64_t pos) {
  return released(l) > pos;
}

size_t sk_lane_pending (const sk_lane *l) {
  uint64_t n = l->head - released(l);
  return (size_t)(n < l->bytes ? n : l->bytes);
}

/* Sleep once, unless it fits: as fits, or what ended the sleep. */
static int sleep_until_fits (sk_lane *l, size_t need, int64_t timeout_ns) {
  uint32_t seen = sk_bell_listen(l->writer, SK_EAGER);
  int rc = fits(l, need), slept = 0;
  if (rc == 0) {
    slept = sk_bell_sleep(l->writer, seen, timeout_ns);
    rc = fits(l, need);
  }
  sk_bell_awake(l->writer);
  return rc ? rc : slept;
}

int sk_lane_wait_room (sk_lane *l, size_t need, int64_t timeout_ns) {
  int64_t begun, left = timeout_ns < 0 ? 0 : timeout_ns, all = left;
  int rc = fits(l, need);
  if (need > sk_lane_limit(l)) return SKE_INVAL;
  if (rc) return rc > 0 ? 0 : rc;
  begun = os_now_ns();
  /* others ring that bell too: asleep again for what is left of the time */
  while (!(rc = sleep_until_fits(l, need, left))) {
    left = all - (os_now_ns() - begun);
    if (left <= 0) return SKE_TIMEOUT;
  }
  return rc > 0 ? 0 : rc;
}

/* ---- reader ---- */

int sk_lane_ready (sk_lane *l) {
  if (l->cursor != l->seen_published) return 1;
  l->seen_published = atomic_load_explicit(&l->words->published,
                                           memory_order_acquire);
  return l->cursor != l->seen_published;
}

int sk_lane_next (sk_lane *l, sk_message *m) {
  const uint8_t *at = l->ring + l->cursor % l->bytes;
  struct record r;
  uint64_t left;
  if (!sk_lane_ready(l)) return 0;
  left = l->seen_published - l->cursor;
  if (left > l->bytes || left < sizeof r) return SKE_CORRUPT;
  memcpy(&r, at, sizeof r);
  if (record_bytes(r.len) > left) return SKE_CORRUPT;
  m->data = at + sizeof r;
  m->len = r.len;
  m->kind = r.kind;
  m->pos = l->cursor;
  l->cursor += record_bytes(r.len);
  return 1;
}

void sk_lane_release (sk_lane *l) {
  /* pairs with the acquire in sk_lane_reserve */
  atomic_store_explicit(&l->words->released, l->cursor, memory_order_release);
  sk_bell_ring(l->writer, SK_EAGER);
}

/* ---- claims ----
** One word, {end, taken}, that the reader counts up and the writer cuts down,
** both by compare-and-swap: an item is either begun or taken back, never both.
*/

static uint64_t claim_word (uint32_t taken, uint32_t end) {
  return (uint64_t)end << 32 | taken;
}

void sk_claim_init (void *data, uint32_t n) {
  uint64_t word = claim_word(0, n);
  memcpy(data, &word, sizeof word);
}

int64_t sk_claim_take (void *data) {
  _Atomic uint64_t *word = data;
  uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
  uint32_t taken;
  do {
    taken = (uint32_t)seen;
    if (taken >= (uint32_t)(seen >> 32)) return -1;
  } while (!atomic_compare_exchange_weak(word, &seen, seen + 1));
  return taken;
}

static _Atomic uint64_t *claim_at (sk_lane *l, uint64_t pos) {
  return (_Atomic uint64_t *)(void *)(l->ring + pos % l->bytes +
                                      sizeof(struct record));
}

uint32_t sk_claim_revoke (sk_lane *l, uint64_t pos, uint32_t keep,
                          uint32_t *from) {
  _Atomic uint64_t *word = claim_at(l, pos);
  uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
  uint32_t taken, end;
  do {
    taken = (uint32_t)seen;
    end = (uint32_t)(seen >> 32);
    if (end <= taken || end - taken <= keep) return 0;
  } while (!atomic_compare_exchange_weak(word, &seen,
                                         claim_word(taken, taken + keep)));
  *from = taken + keep;
  return end - taken - keep;
}

void sk_claim_state (sk_lane *l, uint64_t pos, uint32_t *taken,
                     uint32_t *end) {
  uint64_t seen = atomic_load_explicit(claim_at(l, pos), memory_order_acquire);
  *taken = (uint32_t)seen;
  *end = (uint32_t)(seen >> 32);
}
