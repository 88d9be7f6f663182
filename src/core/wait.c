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

static int spin (const sk_wait *w, int64_t spin_ns) {
  int64_t begun = os_now_ns();
  do {
    int i;
    for (i = 0; i < SPINS_PER_LOOK; i++) {
      if (any_message(w)) return 1;
      pause_briefly();
    }
  } while (os_now_ns() - begun < spin_ns);
  return 0;
}

/* Sleep on the bell's event and the processes' descriptors together. One
** without a descriptor has ended, and that is known. */
static int poll_all (const sk_wait *w, int64_t timeout_ns) {
  int *fds = malloc((w->n_procs + 1) * sizeof *fds);
  size_t i;
  int rc = 0;
  if (!fds) return SKE_NOMEM;
  fds[0] = sk_bell_fd(w->bell);
  for (i = 0; i < w->n_procs; i++) {
    fds[i + 1] = sk_process_fd(w->procs[i]);
    if (fds[i + 1] < 0) goto done;
  }
  rc = os_poll(fds, w->n_procs + 1, timeout_ns);
  if (rc == 0) os_event_clear(fds[0]);
done:
  free(fds);
  return rc;
}

int sk_wait_any (const sk_wait *w, enum sk_sleep how, int64_t spin_ns,
                 int64_t timeout_ns) {
  uint32_t seen;
  int rc;
  if (w->n_procs && sk_bell_fd(w->bell) < 0) return SKE_INVAL;
  if (any_message(w)) return 0;
  if (timeout_ns < 0) timeout_ns = 0;
  if (spin_ns < 0) spin_ns = 0;
  if (timeout_ns < spin_ns) spin_ns = timeout_ns;
  if (spin_ns > 0 && spin(w, spin_ns)) return 0;
  seen = sk_bell_listen(w->bell, how);
  if (any_message(w)) rc = 0;
  else if (sk_bell_fd(w->bell) >= 0) rc = poll_all(w, timeout_ns - spin_ns);
  else rc = sk_bell_sleep(w->bell, seen, timeout_ns - spin_ns);
  sk_bell_awake(w->bell);
  return rc;
}

int sk_poller_renew (int fd) {
  return os_poller_renew(fd);
}

int sk_process_watch (sk_process *const *procs, size_t n, int *fd) {
  int *fds = malloc((n + 1) * sizeof *fds);
  size_t i;
  int rc = 0;
  if (!fds) return SKE_NOMEM;
  for (i = 0; i < n && !rc; i++) {
    fds[i] = sk_process_fd(procs[i]);
    if (fds[i] < 0) rc = SKE_LOST;
  }
  if (!rc) rc = os_poller_create(fds, n, 0, fd);
  free(fds);
  return rc;
}
