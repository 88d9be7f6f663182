/*
** Waiting for the coordinator: spin, then sleep on the epoch, look after the
** coordinator now and then.
**
** A waiter sets bit 0 of the epoch, looks again and sleeps; the coordinator
** stores what was waited for, then adds to the epoch. With a full fence on
** each side one sees the other. The bit needs no repair when a waiter dies.
*/
#include "os.h"
#include "share.h"

#define SPIN_NS 20000
#define FIRST_NAP_NS 1000000
#define PATIENT_NAP_NS 100000
#define LONGEST_NAP_NS 20000000

int64_t share_deadline (int64_t timeout_ns) {
  int64_t now = os_now_ns();
  if (timeout_ns < 0 || timeout_ns > INT64_MAX - now) return -1;
  return now + timeout_ns;
}

void share_pause (void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ __volatile__("yield");
#endif
}

static int spin (sk_port *p, const struct share_wait *w) {
  int64_t until;
  if (p->share->cpus < 2) return 0;
  until = os_now_ns() + SPIN_NS;
  do {
    int i;
    for (i = 0; i < 64; i++) {
      if (w->done(p, w->arg)) return 1;
      share_pause();
    }
  } while (os_now_ns() < until);
  return 0;
}

int share_hopeless (sk_share *s) {
  switch (atomic_load(&s->words->state)) {
    case SK_STOPPED: return SKE_STOPPED;
    case SK_DEGRADED: return SKE_DOWN;
    default: return 0;
  }
}

static int hopeless (sk_share *s, const struct share_wait *w) {
  int rc = share_hopeless(s);
  return rc == SKE_STOPPED && w->while_stopped ? 0 : rc;
}

/* A writer may have died before it rang, the keeper with the rest. */
static void look_after (sk_share *s) {
  sk_bell_ring(s->bell, SK_EAGER);
  share_revive(s);
}

static void nap (sk_port *p, const struct share_wait *w, int64_t ns) {
  _Atomic uint32_t *epoch = &p->share->words->epoch;
  uint32_t seen = atomic_load(epoch);
  while (!(seen & 1) && !w->is_patient)
    if (atomic_compare_exchange_weak(epoch, &seen, seen | 1)) seen |= 1;
  atomic_thread_fence(memory_order_seq_cst);  /* pairs with share_wake */
  if (!w->done(p, w->arg)) os_park(epoch, seen, ns);
}

int share_wait (sk_port *p, const struct share_wait *w) {
  sk_share *s = p->share;
  int64_t ns = w->is_patient ? PATIENT_NAP_NS : FIRST_NAP_NS;
  if (w->done(p, w->arg) || (!w->is_patient && spin(p, w))) return 0;
  for (;;) {
    int64_t now = os_now_ns();
    int rc = hopeless(s, w);
    if (rc) return w->done(p, w->arg) ? 0 : rc;
    if (w->until_ns >= 0) {
      if (now >= w->until_ns) return SKE_TIMEOUT;
      if (ns > w->until_ns - now) ns = w->until_ns - now;
    }
    nap(p, w, ns);
    if (w->done(p, w->arg)) return 0;
    if (ns < LONGEST_NAP_NS) ns *= 2;
    else look_after(s);
  }
}

void share_wake (sk_share *s) {
  _Atomic uint32_t *epoch = &s->words->epoch;
  uint32_t seen;
  atomic_thread_fence(memory_order_seq_cst);  /* pairs with nap */
  seen = atomic_load_explicit(epoch, memory_order_relaxed);
  while (!atomic_compare_exchange_weak(epoch, &seen, (seen + 2) & ~1u)) {}
  if (seen & 1) os_unpark(epoch, INT32_MAX);
  /* pairs with sk_port_listen: all of these are in one order */
  if (atomic_load(&s->words->listened) &&
      atomic_exchange(&s->words->listened, 0))
    os_event_ring(sk_root_event());
}

int sk_port_listen (sk_port *p, int is_late) {
  share_be_present(p->share);
  if (is_late) look_after(p->share);
  atomic_store(&p->share->words->listened, 1);
  atomic_thread_fence(memory_order_seq_cst);  /* pairs with share_wake */
  return 0;
}
