/*
** Waiting for several lanes and processes at once.
*/
#include <stdlib.h>

#include "bell.h"
#include "os.h"

#define SPINS_PER_LOOK 32

static void pause_briefly (void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ __volatile__("yield");
#endif
}

static int any_message (const sk_wait *w) {
  size_t i;
  for (i = 0; i < w->n_lanes; i++)
    if (sk_lane_ready(w->lanes[i])) return 1;
  return 0;
}

static int spin (const sk_wait *w, int64_t until) {
  do {
    int i;
    for (i = 0; i < SPINS_PER_LOOK; i++) {
      if (any_message(w)) return 1;
      pause_briefly();
    }
  } while (os_now_ns() < until);
  return 0;
}

/* Sleep on the bell's event and the processes' descriptors together. */
static int poll_all (const sk_wait *w, int64_t timeout_ns) {
  size_t n = 0, i;
  int *fds = malloc((w->n_procs + 1) * sizeof *fds);
  int rc;
  if (!fds) return SKE_NOMEM;
  fds[n++] = sk_bell_fd(w->bell);
  for (i = 0; i < w->n_procs; i++) {
    int fd = sk_process_fd(w->procs[i]);
    if (fd >= 0) fds[n++] = fd;
  }
  rc = os_poll(fds, n, timeout_ns);
  free(fds);
  if (rc == 0) os_event_clear(sk_bell_fd(w->bell));
  return rc;
}

int sk_wait_any (const sk_wait *w, enum sk_sleep how, int64_t spin_ns,
                 int64_t timeout_ns) {
  uint32_t seen;
  int rc;
  if (any_message(w)) return 0;
  if (timeout_ns < spin_ns) spin_ns = timeout_ns;
  if (spin_ns > 0 && spin(w, os_now_ns() + spin_ns)) return 0;
  seen = sk_bell_listen(w->bell, how);
  if (any_message(w)) rc = 0;
  else if (sk_bell_fd(w->bell) >= 0) rc = poll_all(w, timeout_ns - spin_ns);
  else rc = sk_bell_sleep(w->bell, seen, timeout_ns - spin_ns);
  sk_bell_awake(w->bell);
  return rc;
}
