/*
** Bells: how a process sleeps until another one has work for it.
**
** The sleeper writes `asleep` and then looks for work; a ringer publishes
** work and then reads `asleep`. With a full fence between each pair at least
** one of the two sees the other (Dekker), so no wake-up is lost while both
** live. A ringer killed in between is what bounded waits are for.
*/
#include <unistd.h>

#include "bell.h"
#include "os.h"

int sk_bell_create (sk_segment *s, int pollable, sk_bell **out) {
  uint64_t off;
  int fd = -1;
  sk_bell *b;
  int rc = sk_segment_alloc(s, sizeof *b, SK_LINE, &off);
  if (rc) return rc;
  if (pollable && (rc = os_event_create(&fd))) return rc;
  b = sk_segment_at(s, off, sizeof *b);
  atomic_store(&b->event, fd + 1);
  *out = b;
  return 0;
}

void sk_bell_destroy (sk_bell *b) {
  int fd = atomic_exchange(&b->event, 0) - 1;
  if (fd >= 0) close(fd);
}

int sk_bell_fd (const sk_bell *b) {
  return atomic_load_explicit(&b->event, memory_order_relaxed) - 1;
}

uint32_t sk_bell_listen (sk_bell *b, enum sk_sleep how) {
  uint32_t seen = atomic_load_explicit(&b->rings, memory_order_acquire);
  atomic_store_explicit(&b->asleep, (uint32_t)how, memory_order_relaxed);
  atomic_thread_fence(memory_order_seq_cst);  /* pairs with sk_bell_ring */
  return seen;
}

int sk_bell_sleep (sk_bell *b, uint32_t seen, int64_t timeout_ns) {
  int fd = sk_bell_fd(b), rc;
  if (fd < 0) return os_park(&b->rings, seen, timeout_ns);
  if (atomic_load(&b->rings) != seen) timeout_ns = 0;
  rc = os_poll(&fd, 1, timeout_ns);
  if (rc == 0) os_event_clear(fd);
  return atomic_load(&b->rings) != seen ? 0 : rc;
}

void sk_bell_awake (sk_bell *b) {
  atomic_store_explicit(&b->asleep, SK_AWAKE, memory_order_relaxed);
}

void sk_bell_ring (sk_bell *b, enum sk_sleep how) {
  uint32_t asleep;
  int fd;
  atomic_thread_fence(memory_order_seq_cst);  /* pairs with sk_bell_listen */
  asleep = atomic_load_explicit(&b->asleep, memory_order_relaxed);
  do {
    if (asleep == SK_AWAKE || asleep < (uint32_t)how) return;
  } while (!atomic_compare_exchange_weak(&b->asleep, &asleep, SK_AWAKE));
  atomic_fetch_add(&b->rings, 1);
  fd = sk_bell_fd(b);
  if (fd >= 0) os_event_ring(fd);
  else os_unpark(&b->rings, INT32_MAX);
}

void sk_bell_hush (sk_bell *b) {
  int fd = sk_bell_fd(b);
  sk_bell_awake(b);
  if (fd >= 0) os_event_clear(fd);
}

int sk_readable (int fd) {
  return os_poll(&fd, 1, 0) == 0;
}
