/*
** A share's layout, on record: planned by its creator, checked by all others.
**
** Whoever attaches plans it again from the limits and wants the same offsets,
** so none of them is ever believed.
*/
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os.h"
#include "share_layout.h"

#define MAGIC "SKSHARE1"
/* Raised when a word changes its meaning and none its place: `shape` tells
** the rest. 2: the top bit of an object's version says that it is busy. */
#define VERSION 2
#define ENDIAN 0x01020304u
#define MOST_LANES 1024
#define LEAST_HEAP 65536

/* ---- sums ---- */

#define FNV_BASIS 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

static uint64_t fnv (const void *data, size_t n) {
  const uint8_t *at = data;
  uint64_t h = FNV_BASIS;
  size_t i;
  for (i = 0; i < n; i++) h = (h ^ at[i]) * FNV_PRIME;
  return h;
}

#define AT(type, member) (uint32_t)offsetof(struct type, member)
#define SIZE(type) (uint32_t)sizeof(struct type)

/* Everything that two builds must agree on to share memory. */
static const uint32_t shape[] = {
  SIZE(segment_header), AT(segment_header, size), AT(segment_header, top),
  SIZE(sk_bell), AT(sk_bell, asleep), AT(sk_bell, event),
  SIZE(inflight), AT(inflight, pos), AT(inflight, faults),
  AT(inflight, kills), AT(inflight, since_ns),
  SIZE(share_words), AT(share_words, ticket), AT(share_words, published),
  AT(share_words, consumed), AT(share_words, epoch),
  AT(share_words, listened), AT(share_words, state),
  AT(share_words, lane_top), AT(share_words, stored),
  AT(share_words, commits), AT(share_words, restarts),
  AT(share_words, inflight),
  SIZE(lane_words), AT(lane_words, nonce), AT(lane_words, ready),
  AT(lane_words, marks),
  SIZE(op), SIZE(journal), AT(journal, n), AT(journal, sum),
  AT(journal, block), AT(journal, ops), SIZE(reply), AT(reply, value),
  SIZE(lane_state), AT(lane_state, loan), AT(lane_state, loaned),
  AT(lane_state, replies), SIZE(table), AT(table, array), AT(table, count),
  AT(table, used), SIZE(store), AT(store, moves), AT(store, heap_size),
  AT(store, errors), AT(store, roots), AT(store, lanes),
  SIZE(block), SIZE(array), AT(array, buckets), SIZE(entry),
  AT(entry, hash), AT(entry, kind), SIZE(record), AT(record, ticket),
  AT(record, path_len), AT(record, root), SIZE(layout), AT(layout, sum),
  MARKS, REPLIES, OPS, DEPTH, UNIT, VERSION_BITS, SK_ROOTS, SK_BYTES,
  SK_CALL, SK_RUNNING, SK_DEGRADED, LOCK_LANES
};

/* ---- the plan ---- */

static uint64_t up (uint64_t n, uint64_t to) {
  return (n + to - 1) / to * to;
}

int layout_plan (struct layout *l) {
  uint64_t page = l->page_bytes, lanes = l->max_lanes;
  uint64_t at = sizeof(struct segment_header) + sizeof *l;
  l->bell = up(at, SK_LINE);
  l->words = up(l->bell + sizeof(sk_bell), SK_LINE);
  l->lanes = up(l->words + sizeof(struct share_words), SK_LINE);
  l->store = up(l->lanes + lanes * sizeof(struct lane_words), page);
  l->store_end = up(l->store + sizeof(struct store) +
                    lanes * sizeof(struct lane_state), page);
  l->rings = l->store_end;
  l->heap = l->rings + lanes * l->lane_bytes;
  if (l->heap > l->max || l->max - l->heap < LEAST_HEAP) return SKE_NOMEM;
  l->heap_max = (l->max - l->heap) / page * page;
  return 0;
}

static struct layout *place_of (const sk_segment *s) {
  return (struct layout *)(s->base + sizeof(struct segment_header));
}

void layout_seal (struct layout *l, const sk_segment *s) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  memcpy(l->magic, MAGIC, sizeof l->magic);
  l->version = VERSION;
  l->endian = ENDIAN;
  l->shape = fnv(shape, sizeof shape);
  l->pointer_bytes = sizeof(void *);
  l->segment_id = s->header->id;
  os_random(l->uuid, sizeof l->uuid);
  os_boot_id(l->boot);
  l->created_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  l->uid = (uint32_t)geteuid();
  l->pid = (uint32_t)getpid();
  l->sum = fnv(l, offsetof(struct layout, sum));
  memcpy(place_of(s), l, sizeof *l);
}

/* ---- reading it ---- */

static int check_maker (const struct layout *l) {
  uint8_t boot[16];
  if (memcmp(l->magic, MAGIC, sizeof l->magic)) return SKE_CORRUPT;
  if (l->endian != ENDIAN || l->version != VERSION ||
      l->shape != fnv(shape, sizeof shape) ||
      l->pointer_bytes != sizeof(void *) ||
      l->page_bytes != (uint32_t)sysconf(_SC_PAGESIZE))
    return SKE_VERSION;
  if (l->sum != fnv(l, offsetof(struct layout, sum))) return SKE_CORRUPT;
  if (l->uid != (uint32_t)geteuid()) return SKE_FOREIGN;
  os_boot_id(boot);
  /* a file that outlived the system: what was in memory last is lost */
  return memcmp(boot, l->boot, sizeof boot) ? SKE_CORRUPT : 0;
}

static int check_limits (const struct layout *l) {
  if (l->max_lanes < 1 || l->max_lanes > MOST_LANES) return SKE_CORRUPT;
  if (!l->lane_bytes || l->lane_bytes % l->page_bytes ||
      l->lane_bytes > UINT32_MAX)
    return SKE_CORRUPT;
  if (l->max_bytes > SIZE_MAX / 8) return SKE_CORRUPT;
  if (l->name[NAME_ROOM - 1] || l->folder[FOLDER_ROOM - 1])
    return SKE_CORRUPT;
  return 0;
}

static int check_plan (const struct layout *l, const sk_segment *s) {
  struct layout again = *l;
  again.max = s->max;
  if (layout_plan(&again) || memcmp(&again, l, sizeof again))
    return SKE_CORRUPT;
  if (l->segment_id != s->header->id) return SKE_CORRUPT;
  if (atomic_load(&s->header->top) != s->max) return SKE_CORRUPT;
  return 0;
}

/* Everything that is said to exist must: a store into the rest of the mapping
** would be the end of this process. */
static int check_size (const struct layout *l, const sk_segment *s) {
  struct os_file file;
  const struct store *store = (const struct store *)(s->base + l->store);
  const struct lane_words *lanes =
    (const struct lane_words *)(s->base + l->lanes);
  uint64_t heap;
  uint32_t i;
  int rc = os_file_look(s->fd, &file);
  if (rc) return rc;
  if (atomic_load(&s->header->size) < l->store_end ||
      file.size < l->store_end)
    return SKE_CORRUPT;
  for (i = 0; i < l->max_lanes; i++)
    if (atomic_load(&lanes[i].ready) &&
        l->rings + (i + 1) * l->lane_bytes > file.size)
      return SKE_CORRUPT;
  heap = atomic_load(&store->heap_size);
  if (heap > l->heap_max || (heap && l->heap + heap > file.size))
    return SKE_CORRUPT;
  return 0;
}

int layout_read (const sk_segment *s, struct layout *out) {
  struct layout l;
  int rc = SKE_CORRUPT;
  if (atomic_load(&s->header->size) <
      sizeof(struct segment_header) + sizeof l)
    return rc;
  memcpy(&l, place_of(s), sizeof l);
  rc = check_maker(&l);
  if (!rc) rc = check_limits(&l);
  if (!rc) rc = check_plan(&l, s);
  if (!rc) rc = check_size(&l, s);
  if (!rc) *out = l;
  return rc;
}
