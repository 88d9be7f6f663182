/*
** Lanes: one writer, one reader, a ring of messages in shared memory.
**
** Positions count bytes for ever; the place in the ring is the position
** modulo the ring's size. A message becomes visible with one store of
** `published`, so a killed writer leaves nothing half-done that anybody can
** see. The ring's pages are mapped twice in a row (a mirrored buffer): what
** runs over the end goes on at the start without being split.
**
** A wide lane has a large ring of which only as much exists as is in use. It
** begins again at the ring's start whenever it is empty, so that a lane whose
** reader keeps up stays in the same few pages.
*/
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bell.h"
#include "os.h"

struct lane_words {
  _Alignas(SK_LINE) _Atomic uint64_t published;  /* writer */
  _Atomic uint64_t base;     /* writer, while empty: pos of the ring's start */
  _Atomic uint64_t backed;   /* writer, wide: pages exist up to this pos */
  _Atomic uint64_t dropped;  /* writer, wide: and from this one on */
  uint64_t ring;             /* creator, not wide: its offset */
  uint64_t bytes;            /* creator, not wide: its size */
  _Alignas(SK_LINE) _Atomic uint64_t released;   /* reader */
};

struct record {
  uint32_t len, kind;
};

struct sk_lane {
  struct lane_words *words;
  uint8_t *ring;             /* 2 * bytes of address space */
  size_t bytes;              /* of the ring */
  int is_wide;
  uint64_t head;             /* writer: end of what is published */
  uint64_t seen_released;    /* writer: a recent value of released */
  uint64_t cursor;           /* reader: end of what was taken */
  uint64_t seen_published;   /* reader: a recent value of published */
  sk_bell *reader, *writer;
};

static uint64_t record_bytes (uint64_t len) {
  return (sizeof(struct record) + len + 7) & ~(uint64_t)7;
}

static uint64_t load (const _Atomic uint64_t *word) {
  return atomic_load_explicit(word, memory_order_relaxed);
}

static void store (_Atomic uint64_t *word, uint64_t value) {
  atomic_store_explicit(word, value, memory_order_relaxed);
}

/* Where a pos is. The reader has acquired `published` since the base was
** set: it changes only while there is nothing to read. */
static uint8_t *place (const sk_lane *l, uint64_t pos) {
  return l->ring + ((pos - load(&l->words->base)) & (l->bytes - 1));
}

/* ---- life ---- */

static int map_twice (int fd, uint64_t off, size_t bytes, uint8_t **out) {
  uint8_t *p = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
  int i;
  if (p == MAP_FAILED) return SKE_NOMEM;
  for (i = 0; i < 2; i++) {
    if (mmap(p + (size_t)i * bytes, bytes, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED, fd, (off_t)off) == MAP_FAILED) {
      munmap(p, 2 * bytes);
      return SKE_NOMEM;
    }
  }
  *out = p;
  return 0;
}

static int is_ring_size (size_t bytes) {
  return bytes >= (size_t)sysconf(_SC_PAGESIZE) && !(bytes & (bytes - 1)) &&
         bytes <= UINT32_MAX / 2;
}

static int new_lane (sk_segment *s, sk_bell *reader, sk_bell *writer,
                     sk_lane **out) {
  uint64_t words;
  int rc = sk_segment_alloc(s, sizeof(struct lane_words), SK_LINE, &words);
  sk_lane *l;
  if (rc) return rc;
  l = calloc(1, sizeof *l);
  if (!l) return SKE_NOMEM;
  l->words = sk_segment_at(s, words, sizeof *l->words);
  l->reader = reader;
  l->writer = writer;
  *out = l;
  return 0;
}

int sk_lane_create (sk_segment *s, size_t bytes, sk_bell *reader,
                    sk_bell *writer, sk_lane **out) {
  uint64_t ring;
  sk_lane *l = NULL;
  int rc;
  if (!is_ring_size(bytes)) return SKE_INVAL;
  if (s->fd < 0) return SKE_FULL;  /* sealed: cannot be mapped again */
  rc = new_lane(s, reader, writer, &l);
  if (rc) return rc;
  rc = sk_segment_alloc(s, bytes, (size_t)sysconf(_SC_PAGESIZE), &ring);
  if (!rc) rc = map_twice(s->fd, ring, bytes, &l->ring);
  if (rc) {
    free(l);
    return rc;
  }
  l->words->ring = ring;
  l->words->bytes = l->bytes = bytes;
  *out = l;
  return 0;
}

uint64_t sk_lane_offset (const sk_segment *s, const sk_lane *l) {
  return (uint64_t)((const uint8_t *)l->words - s->base);
}

int sk_lane_attach (sk_segment *s, uint64_t off, sk_bell *reader,
                    sk_bell *writer, sk_lane **out) {
  struct lane_words *w = sk_segment_at(s, off, sizeof *w);
  sk_lane *l;
  int rc;
  if (!w || off % SK_LINE || !is_ring_size((size_t)w->bytes) ||
      !sk_segment_at(s, w->ring, (size_t)w->bytes))
    return SKE_CORRUPT;
  if (s->fd < 0) return SKE_UNKNOWN;
  l = calloc(1, sizeof *l);
  if (!l) return SKE_NOMEM;
  l->words = w;
  l->bytes = (size_t)w->bytes;
  l->reader = reader;
  l->writer = writer;
  rc = map_twice(s->fd, w->ring, l->bytes, &l->ring);
  if (rc) free(l);
  else *out = l;
  return rc;
}

#define WIDE_LEAST ((size_t)1 << 20)

/* A ring of its own that is all hole; smaller where there are not as many
** addresses. */
static int map_hole (sk_lane *l, size_t bytes) {
  int fd, is_long = 0, rc = os_memory_create("suitkaise-lane", &fd);
  if (rc) return rc;
  for (;; bytes /= 2) {
    if (!is_long) is_long = !(rc = os_memory_stretch(fd, bytes));
    if (is_long) rc = map_twice(fd, 0, bytes, &l->ring);
    if (!rc || bytes <= WIDE_LEAST) break;
  }
  close(fd);
  if (rc) return rc;
  l->bytes = bytes;
  l->is_wide = 1;
  return 0;
}

int sk_lane_create_wide (sk_segment *s, size_t bytes, sk_bell *reader,
                         sk_bell *writer, sk_lane **out) {
  sk_lane *l = NULL;
  int rc;
  if (!is_ring_size(bytes) || bytes < WIDE_LEAST) return SKE_INVAL;
  if ((rc = new_lane(s, reader, writer, &l))) return rc;
  if ((rc = map_hole(l, bytes))) {
    free(l);
    return rc;
  }
  *out = l;
  return 0;
}

void sk_lane_free (sk_lane *l) {
  if (!l) return;
  munmap(l->ring, 2 * l->bytes);
  free(l);
}

/* ---- pages of a wide lane ---- */

#define STEP ((uint64_t)64 << 10)  /* pages are made in lots of these */
#define KEEP ((uint64_t)1 << 20)   /* and kept for use again */
#define DROP ((uint64_t)4 << 20)   /* used ones are given back in lots */

static uint64_t round_to_step (uint64_t n) {
  return (n + STEP - 1) / STEP * STEP;
}

static void discard (sk_lane *l, uint64_t from, uint64_t to) {
  if (to > from) os_memory_discard(place(l, from), (size_t)(to - from));
}

/* The lane is empty: let `head` be at the ring's start. */
static void rewind_to (sk_lane *l, uint64_t head) {
  struct lane_words *w = l->words;
  uint64_t base = load(&w->base), first = load(&w->dropped);
  uint64_t end = load(&w->backed);
  uint64_t keep = first == base ? base + KEEP : first;
  if (end > keep) discard(l, keep, end);
  else keep = end;
  store(&w->base, head);
  store(&w->dropped, head);
  store(&w->backed, head + (keep - first));
}

/* Give pages back that the reader is done with. */
static void drop (sk_lane *l) {
  uint64_t from = load(&l->words->dropped);
  uint64_t n = (l->seen_released - from) / STEP * STEP;
  if (l->seen_released < from + DROP) return;
  discard(l, from, from + n);
  store(&l->words->dropped, from + n);
}

/* Make the bytes up to `end`, which have room in the ring, exist. */
static int back (sk_lane *l, uint64_t end) {
  struct lane_words *w = l->words;
  uint64_t base = load(&w->base), from = load(&w->backed);
  uint64_t to = base + round_to_step(end - base);
  int rc;
  if (to > l->seen_released + l->bytes) to = end;
  drop(l);
  rc = os_memory_populate(place(l, from), (size_t)(to - from));
  if (rc) return rc;
  if (to - load(&w->dropped) > l->bytes)  /* those pages are in use again */
    store(&w->dropped, base + round_to_step(to - l->bytes - base));
  store(&w->backed, to);
  return 0;
}

void sk_lane_reset (sk_lane *l) {
  if (l->is_wide) rewind_to(l, 0);
  l->head = l->seen_released = l->cursor = l->seen_published = 0;
  atomic_store(&l->words->published, 0);
  atomic_store(&l->words->released, 0);
}

void sk_lane_inherit (sk_lane *l, int yes) {
  os_memory_inherit(l->ring, 2 * l->bytes, yes);
}

void sk_lane_adopt (sk_lane *l) {
  l->head = atomic_load(&l->words->published);
  l->cursor = atomic_load(&l->words->released);
  l->seen_released = l->seen_published = l->cursor;
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

/* Place for `need` bytes in a wide lane, and how much there is. */
static int prepare_wide (sk_lane *l, size_t need, uint64_t *free_bytes) {
  uint64_t base = load(&l->words->base), exists;
  int rc;
  if (l->head - base >= STEP / 2) {
    l->seen_released = atomic_load_explicit(&l->words->released,
                                            memory_order_acquire);
    if (l->seen_released == l->head) rewind_to(l, l->head);
  }
  exists = load(&l->words->backed) - l->head;
  if (exists < record_bytes(need)) {
    if ((rc = back(l, l->head + record_bytes(need)))) return rc;
    exists = load(&l->words->backed) - l->head;
  }
  if (exists < *free_bytes) *free_bytes = exists;
  return 0;
}

void *sk_lane_reserve (sk_lane *l, size_t need, size_t *got) {
  uint64_t free_bytes;
  if (fits(l, need) <= 0) return NULL;
  free_bytes = room(l);
  if (l->is_wide && prepare_wide(l, need, &free_bytes)) return NULL;
  *got = (size_t)(free_bytes - sizeof(struct record));
  return place(l, l->head) + sizeof(struct record);
}

uint64_t sk_lane_publish (sk_lane *l, uint32_t kind, size_t len) {
  struct record r;
  uint64_t pos = l->head;
  r.len = (uint32_t)len;
  r.kind = kind;
  memcpy(place(l, pos), &r, sizeof r);
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
  const uint8_t *at;
  struct record r;
  uint64_t left;
  if (!sk_lane_ready(l)) return 0;
  at = place(l, l->cursor);
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

size_t sk_lane_unread (const sk_lane *l) {
  uint64_t n = atomic_load(&l->words->published) - l->cursor;
  return (size_t)(n < l->bytes ? n : l->bytes);
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
  return (_Atomic uint64_t *)(void *)(place(l, pos) + sizeof(struct record));
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
