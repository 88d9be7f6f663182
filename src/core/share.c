/*
** Shares: made in a segment or found in one, seen as used, and closed.
**
** In a segment, in this order: its header, the layout (share_layout.h), words
** of everybody, words of each lane, the store (journal, roots, what the
** coordinator says of each lane), rings, heap. Rings and heap are reserved, and
** exist as far as they are needed.
*/
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "family.h"
#include "os.h"
#include "share_layout.h"

#define MAX_BYTES (256u << 20)
#define LANE_BYTES (256u << 10)
#define LEAST_LANE 4096
#define LEAST_BYTES 65536
#define USERS 64
#define MOST_USERS 1024
#define HEAP_SLACK (32u << 20)

static uint64_t page_up (uint64_t n) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  return (n + page - 1) / page * page;
}

/* ---- what a process knows ---- */

static int check_options (const sk_share_options *o) {
  if (o->max_users > MOST_USERS) return SKE_INVAL;
  if (o->lane_bytes > UINT32_MAX / 4 || o->max_bytes > SIZE_MAX / 8)
    return SKE_INVAL;
  return 0;
}

static void take_limits (sk_share *s, const sk_share_options *o) {
  s->max_bytes = o->max_bytes ? o->max_bytes : MAX_BYTES;
  if (s->max_bytes < LEAST_BYTES) s->max_bytes = LEAST_BYTES;
  s->max_lanes = o->max_users ? o->max_users : USERS;
  s->lane_bytes = o->lane_bytes ? o->lane_bytes : LANE_BYTES;
  if (s->lane_bytes < LEAST_LANE) s->lane_bytes = LEAST_LANE;
  s->lane_bytes = page_up(s->lane_bytes);
  s->has_calls = o->handler != NULL;
}

/* What is the process's own: how it serves, if it does. */
static void take_handler (sk_share *s, const sk_share_options *o) {
  s->handler = o->handler;
  s->dropped = o->dropped;
  s->arg = o->arg;
  if (o->call_limit_ns) s->call_limit_ns = o->call_limit_ns;
}

void share_destroy (sk_share *s) {
  sk_segment *segment = s->segment;
  if (segment) {
    sk_family_lock();
    if (segment->share == s) segment->share = NULL;
    sk_family_unlock();
    sk_segment_close(segment);
  }
  free(s->claimed);
  free(s);
}

int share_new (const sk_share_options *o, sk_share **out) {
  sk_share *s = calloc(1, sizeof *s);
  if (!s) return SKE_NOMEM;
  take_limits(s, o);
  take_handler(s, o);
  s->users = 1;
  s->cpus = sk_cpu_count();
  s->claimed = calloc(s->max_lanes, 1);
  if (!s->claimed) {
    free(s);
    return SKE_NOMEM;
  }
  *out = s;
  return 0;
}

/* ---- in memory ---- */

static void take_layout (sk_share *s, const struct layout *l) {
  s->base = s->segment->base;
  s->bell = (sk_bell *)(s->base + l->bell);
  s->words = (struct share_words *)(s->base + l->words);
  s->lanes = (struct lane_words *)(s->base + l->lanes);
  s->store = (struct store *)(s->base + l->store);
  s->store_off = l->store;
  s->store_end = l->store_end;
  s->ring_off = l->rings;
  s->heap_off = l->heap;
  s->heap_max = l->heap_max;
  s->lane_bytes = l->lane_bytes;
  s->max_bytes = l->max_bytes;
  s->max_lanes = l->max_lanes;
  s->has_calls = (int)l->has_calls;
  if (!s->call_limit_ns) s->call_limit_ns = l->call_limit_ns;
  memcpy(s->name, l->name, sizeof s->name);
  memcpy(s->folder, l->folder, sizeof s->folder);
}

size_t share_store_bytes (const sk_share *s) {
  return (size_t)(s->store_end - s->store_off);
}

/* Only the coordinator writes there: a wild store elsewhere faults. */
static int protect (const sk_share *s) {
  int rc = os_memory_protect(s->store, share_store_bytes(s), 0);
  return rc ? rc : os_memory_protect(s->base + s->heap_off,
                                     (size_t)s->heap_max, 0);
}

uint64_t share_bytes (const sk_share *s) {
  uint64_t fixed = s->max_lanes * (sizeof(struct lane_words) +
                                   sizeof(struct lane_state) + s->lane_bytes);
  /* thrice the values: fragments, tables and what long commands bring along */
  return fixed + 3 * s->max_bytes + HEAP_SLACK;
}

static void init_words (sk_share *s) {
  int i;
  for (i = 0; i < SK_ROOTS; i++) s->store->roots[i].kind = SK_TABLE;
  atomic_store(&s->words->ticket, 1);
  atomic_store(&s->words->state, SK_STOPPED);
}

static void begin_layout (const sk_share *s, struct layout *l) {
  memset(l, 0, sizeof *l);
  l->page_bytes = (uint32_t)page_up(1);
  l->max_lanes = s->max_lanes;
  l->has_calls = (uint32_t)s->has_calls;
  l->lane_bytes = s->lane_bytes;
  l->max_bytes = s->max_bytes;
  l->call_limit_ns = s->call_limit_ns;
  l->max = s->segment->max;
  memcpy(l->name, s->name, sizeof l->name);
  memcpy(l->folder, s->folder, sizeof l->folder);
}

int share_make (sk_share *s, sk_segment *segment) {
  struct layout l;
  uint64_t at, rest;
  int rc;
  s->segment = segment;
  begin_layout(s, &l);
  rc = layout_plan(&l);
  at = sizeof(struct segment_header);
  if (!rc) rc = sk_segment_alloc(segment, (size_t)(l.store_end - at), 1, &at);
  if (!rc) rc = sk_segment_rest(segment, &at, &rest);
  if (rc) return rc;
  take_layout(s, &l);
  init_words(s);
  layout_seal(&l, segment);
  s->creator = sk_generation();
  sk_family_lock();
  segment->share = s;
  sk_family_unlock();
  rc = share_be_present(s);
  return rc ? rc : protect(s);
}

static int make_anonymous (const sk_share_options *o, sk_share *s) {
  const char *label = o->label ? o->label : "suitkaise-share";
  sk_segment *segment;
  int rc;
  if (share_bytes(s) > SIZE_MAX) return SKE_NOMEM;
  rc = sk_segment_create(label, (size_t)share_bytes(s), &segment);
  return rc ? rc : share_make(s, segment);
}

int sk_share_create (const sk_share_options *given, sk_share **out) {
  static const sk_share_options defaults;
  const sk_share_options *o = given ? given : &defaults;
  sk_share *s;
  int rc;
  share_reap_keepers();
  if ((rc = check_options(o))) return rc;
  if (o->name) return share_name_create(o, out);
  if ((rc = share_new(o, &s))) return rc;
  if ((rc = make_anonymous(o, s))) share_destroy(s);
  else *out = s;
  return rc;
}

/* ---- of other processes ---- */

int share_is_known (const sk_segment *segment) {
  int known;
  sk_family_lock();
  known = segment->share != NULL;
  sk_family_unlock();
  return known;
}

/* The one that this process has already, with one user more. */
static sk_share *use_known (sk_segment *segment, const sk_share_options *o) {
  sk_share *s;
  sk_family_lock();
  s = segment->share;
  if (s) {
    s->users++;
    if (!s->handler) take_handler(s, o);
  }
  sk_family_unlock();
  if (s) sk_segment_close(segment);  /* it has a use of its own */
  return s;
}

/* Two threads may be at it: the first one's is everybody's. */
static sk_share *enlist (sk_share *s, const sk_share_options *o) {
  sk_segment *segment = s->segment;
  int first;
  sk_family_lock();
  first = !segment->share;
  if (first) segment->share = s;
  sk_family_unlock();
  if (first) return s;
  s->segment = NULL;
  share_destroy(s);
  return use_known(segment, o);
}

static int is_last_in_process (sk_share *s) {
  int last;
  sk_family_lock();
  last = --s->users == 0;
  sk_family_unlock();
  return last;
}

void share_drop (sk_share *s) {
  if (is_last_in_process(s)) share_destroy(s);
}

static int find_new (sk_segment *segment, const sk_share_options *o,
                     sk_share **out) {
  sk_share_options limits = *o;
  struct layout l;
  sk_share *s;
  int rc = layout_read(segment, &l);
  if (rc) return rc;
  limits.max_users = l.max_lanes;  /* the rest is in the layout */
  if ((rc = share_new(&limits, &s))) return rc;
  s->segment = segment;
  take_layout(s, &l);
  if ((rc = protect(s))) {
    s->segment = NULL;
    share_destroy(s);
  }
  else *out = s;
  return rc;
}

int share_find (sk_segment *segment, const sk_share_options *o,
                sk_share **out) {
  sk_share *s = use_known(segment, o);
  int rc = 0;
  if (!s) {
    rc = segment->fd < 0 ? SKE_UNKNOWN : find_new(segment, o, &s);
    if (rc) sk_segment_close(segment);
    else s = enlist(s, o);
  }
  if (!rc) *out = s;
  return rc;
}

int sk_share_attach (pid_t pid, int fd, uint64_t segment_id,
                     const sk_share_options *given, sk_share **out) {
  static const sk_share_options defaults;
  sk_segment *segment;
  sk_share *s;
  int rc;
  share_reap_keepers();
  rc = sk_segment_join_at(pid, fd, segment_id, &segment);
  if (!rc) rc = share_find(segment, given ? given : &defaults, &s);
  if (rc) return rc;
  if ((rc = share_be_present(s))) share_drop(s);
  else *out = s;
  return rc;
}

int sk_share_where (const sk_share *s, pid_t *pid, int *fd, uint64_t *id) {
  return sk_segment_where(s->segment, pid, fd, id);
}

/* ---- being a user ---- */

static int is_server;  /* keepers, coordinators: they are no users */

void share_become_server (void) {
  is_server = 1;
}

static int is_present (const sk_share *s) {
  return atomic_load_explicit(&s->present, memory_order_relaxed) ==
         sk_generation();
}

int share_be_present (sk_share *s) {
  int rc;
  if (is_server || is_present(s)) return 0;
  rc = os_lock_shared(s->segment->fd, LOCK_PRESENT);
  if (!rc) atomic_store(&s->present, sk_generation());
  return rc;
}

int share_has_others (const sk_share *s) {
  return os_lock_holder(s->segment->fd, LOCK_PRESENT,
                        LOCK_LANES - LOCK_PRESENT + s->max_lanes) != 0;
}

int share_is_alone (const sk_share *s) {
  return !is_present(s) &&
         !os_lock_holder(s->segment->fd, LOCK_LIFE,
                         LOCK_LANES - LOCK_LIFE + s->max_lanes);
}

int sk_share_keep_fd (sk_share *s, int fd) {
  if (fd < 0) return SKE_INVAL;
  if (s->n_kept == KEPT) return SKE_FULL;
  s->kept[s->n_kept++] = fd;
  return 0;
}

/* ---- the end ---- */

void sk_share_close (sk_share *s) {
  enum { PATIENCE_S = 5 };
  int last;
  if (!s || !is_last_in_process(s)) return;
  last = s->name[0] ? share_name_leave(s) : s->creator == sk_generation();
  if (last && (share_can_serve(s) || sk_share_pid(s)))
    sk_share_stop(s, PATIENCE_S * 1000000000ll);
  share_leave_keeper(s);
  share_destroy(s);
  share_reap_keepers();
}

sk_segment *sk_share_segment (sk_share *s) {
  return s->segment;
}

pid_t sk_share_pid (sk_share *s) {
  return os_lock_holder(s->segment->fd, LOCK_COORDINATOR, 1);
}

enum sk_share_state sk_share_state (const sk_share *s) {
  return (enum sk_share_state)atomic_load(&s->words->state);
}

void sk_share_get_stats (const sk_share *s, sk_share_stats *out) {
  out->published = atomic_load(&s->words->published);
  out->consumed = atomic_load(&s->words->consumed);
  out->stored = atomic_load(&s->words->stored);
  out->heap = atomic_load(&s->store->heap_size);
  out->commits = atomic_load(&s->words->commits);
  out->restarts = atomic_load(&s->words->restarts);
}
