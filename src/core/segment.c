/*
** Segments: memory that processes share and that grows in place.
**
** The whole address range is reserved once, over a small file; growing makes
** more of the file exist. A child forked before the growth sees it at the
** same addresses, because its mapping covers the range too.
*/
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "family.h"
#include "os.h"
#include "segment.h"

#define STEP SK_SEGMENT_STEP
#define LEAST SK_SEGMENT_LEAST
#define ROOT_MAX (SIZE_MAX > UINT32_MAX ? (size_t)(1ull << 34) : 1u << 28)

static sk_segment *all;
static sk_segment *_Atomic root;
static _Atomic int root_event = -1;  /* inherited with it */

/* The next multiple of `to`, or UINT64_MAX: more than there ever is. */
static uint64_t round_up (uint64_t n, uint64_t to) {
  uint64_t over = n % to;
  if (!over) return n;
  return n > UINT64_MAX - (to - over) ? UINT64_MAX : n + (to - over);
}

/* Reserve as much of `want` as the address space limit lets us. */
static void *reserve (int fd, size_t want, size_t *got) {
  for (; want >= LEAST; want = want / 2 / STEP * STEP) {
    void *p = mmap(NULL, want, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p != MAP_FAILED) {
      *got = want;
      return p;
    }
  }
  return NULL;
}

static int grow (sk_segment *s, uint64_t need) {
  uint64_t size = atomic_load(&s->header->size);
  uint64_t want = need < size + size / 8 ? size + size / 8 : need;
  int rc;
  if (s->fd < 0) return SKE_FULL;
  if (need <= size) return 0;  /* somebody else was faster */
  want = round_up(want, STEP);
  if (want > s->max) want = s->max;
  /* several processes may do this at once: the same pages, no harm */
  rc = os_memory_grow(s->fd, size, want);
  if (rc) return rc;
  while (size < want &&
         !atomic_compare_exchange_weak(&s->header->size, &size, want)) {}
  return 0;
}

static void fill_header (sk_segment *s, uint64_t size) {
  struct segment_header *h = s->header;
  memcpy(h->magic, SK_SEGMENT_MAGIC, sizeof h->magic);
  h->version = SK_SEGMENT_VERSION;
  h->pointer_bytes = sizeof(void *);
  os_random(&h->id, sizeof h->id);
  h->max = s->max;
  atomic_store(&h->top, sizeof *h);
  atomic_store(&h->size, size);
}

void sk_segment_enlist (sk_segment *s) {
  s->users = 1;
  s->next = all;
  all = s;
}

static int map_new (sk_segment *s, size_t want) {
  struct os_file file;
  int rc = os_memory_grow(s->fd, 0, STEP);
  if (!rc) rc = os_file_look(s->fd, &file);
  if (rc) return rc;
  if (want < LEAST) want = LEAST;
  if (want > SIZE_MAX - STEP) want = SIZE_MAX - STEP;
  s->base = reserve(s->fd, (size_t)round_up(want, STEP), &s->max);
  if (!s->base) return SKE_NOMEM;
  s->dev = file.dev;
  s->ino = file.ino;
  s->header = (struct segment_header *)s->base;
  return 0;
}

int sk_segment_make (int fd, size_t max_bytes, sk_segment **out) {
  sk_segment *s = calloc(1, sizeof *s);
  int rc = SKE_NOMEM;
  sk_generation();
  if (s) {
    s->fd = fd;
    rc = map_new(s, max_bytes);
  }
  if (rc) {
    close(fd);
    free(s);
    return rc;
  }
  fill_header(s, STEP);
  sk_family_lock();
  sk_segment_enlist(s);
  sk_family_unlock();
  *out = s;
  return 0;
}

int sk_segment_create (const char *label, size_t max_bytes,
                       sk_segment **out) {
  int fd, rc = os_memory_create(label, &fd);
  return rc ? rc : sk_segment_make(fd, max_bytes, out);
}

/* -> whether nobody else in this process uses it any more. */
static int drop (sk_segment *s) {
  sk_segment **p;
  int last;
  sk_family_lock();
  last = --s->users == 0;
  for (p = &all; last && *p && *p != s; p = &(*p)->next) {}
  if (last && *p) *p = s->next;
  sk_family_unlock();
  return last;
}

void sk_segment_close (sk_segment *s) {
  if (!s || !drop(s)) return;
  munmap(s->base, s->max);
  sk_segment_seal(s);
  free(s);
}

void sk_segment_seal (sk_segment *s) {
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
}

int sk_segment_alloc (sk_segment *s, size_t bytes, size_t align,
                      uint64_t *off) {
  struct segment_header *h = s->header;
  uint64_t top = atomic_load(&h->top), at, end;
  do {
    at = round_up(top, align ? align : 1);
    if (at > s->max || bytes > s->max - at) return SKE_FULL;
    end = at + bytes;
    if (end > atomic_load(&h->size)) {
      int rc = grow(s, end);
      if (rc) return rc;
    }
  } while (!atomic_compare_exchange_weak(&h->top, &top, end));
  *off = at;
  return 0;
}

int sk_segment_rest (sk_segment *s, uint64_t *off, uint64_t *bytes) {
  struct segment_header *h = s->header;
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  uint64_t top = atomic_load(&h->top), at;
  do {
    at = round_up(top, page);
    if (at >= s->max) return SKE_FULL;
  } while (!atomic_compare_exchange_weak(&h->top, &top, s->max));
  *off = at;
  *bytes = s->max - at;
  return 0;
}

int sk_segment_back (sk_segment *s, uint64_t off, uint64_t bytes) {
  if (s->fd < 0 || off > s->max || bytes > s->max - off) return SKE_FULL;
  return os_memory_grow(s->fd, off, off + bytes);
}

void *sk_segment_at (const sk_segment *s, uint64_t off, size_t bytes) {
  uint64_t top = atomic_load(&s->header->top);
  if (off < sizeof *s->header || off > top || bytes > top - off) return NULL;
  return s->base + off;
}

uint64_t sk_segment_id (const sk_segment *s) {
  return s->header->id;
}

uint64_t sk_segment_size (const sk_segment *s) {
  return atomic_load(&s->header->size);
}

sk_segment *sk_segment_of (const void *p) {
  const uint8_t *at = p;
  sk_segment *s;
  sk_family_lock();
  for (s = all; s && !(at >= s->base && at < s->base + s->max); s = s->next) {}
  sk_family_unlock();
  return s;
}

sk_segment *sk_segment_of_id (uint64_t id) {
  sk_segment *s;
  for (s = all; s && s->header->id != id; s = s->next) {}
  return s;
}

sk_segment *sk_segment_by_id (uint64_t id) {
  sk_segment *s;
  sk_family_lock();
  s = sk_segment_of_id(id);
  sk_family_unlock();
  return s;
}

sk_segment *sk_segment_of_file (uint64_t dev, uint64_t ino) {
  sk_segment *s;
  for (s = all; s && (s->dev != dev || s->ino != ino); s = s->next) {}
  return s;
}

size_t sk_segment_fds (int *fds, size_t room) {
  sk_segment *s;
  size_t n = 0;
  sk_family_lock();
  for (s = all; s; s = s->next) {
    if (s->fd < 0) continue;
    if (n < room) fds[n] = s->fd;
    n++;
  }
  sk_family_unlock();
  return n;
}

int sk_root_event (void) {
  return atomic_load(&root_event);
}

int sk_root (sk_segment **out) {
  sk_segment *none = NULL, *mine;
  int rc, event = -1;
  if (!atomic_load(&root)) {
    if ((rc = sk_segment_create("suitkaise", ROOT_MAX, &mine))) return rc;
    /* without it event loops look now and then */
    if (os_event_create(&event)) event = -1;
    /* another thread may have been faster: its root is everybody's */
    if (atomic_compare_exchange_strong(&root, &none, mine)) {
      atomic_store(&root_event, event);
    } else {
      sk_segment_close(mine);
      if (event >= 0) close(event);
    }
  }
  *out = atomic_load(&root);
  return 0;
}
