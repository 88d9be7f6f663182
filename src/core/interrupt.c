/*
** Interruptions: Ctrl-C while somebody waits, and the alarm of a time limit.
*/
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "family.h"
#include "os.h"

int sk_alarm_set (int64_t at_ns, void (*handler) (int)) {
  return os_alarm_set(at_ns, handler);
}

/* ---- Ctrl-C ---- */

static struct sigaction before;
static int waits;  /* that the handler is there for */
static sk_bell *_Atomic to_ring;
static _Atomic int interrupts;

static int is_function (const struct sigaction *act) {
  return act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

/* The host's own handler, as if ours were not there. */
static void call_hosts (int signal, siginfo_t *info, void *context) {
  if (!is_function(&before) || os_is_interpreters(before.sa_handler)) return;
  if (before.sa_flags & SA_SIGINFO)
    before.sa_sigaction(signal, info, context);
  else
    before.sa_handler(signal);
}

static void on_interrupt (int signal, siginfo_t *info, void *context) {
  sk_bell *b = atomic_load(&to_ring);
  atomic_fetch_add(&interrupts, 1);
  /* not sk_bell_ring: it may be about to fall asleep */
  if (b) os_event_ring(sk_bell_fd(b));
  call_hosts(signal, info, context);
}

/* 0 when it was ignored, and is again. */
static int install (void) {
  struct sigaction act;
  memset(&act, 0, sizeof act);
  act.sa_sigaction = on_interrupt;
  act.sa_flags = SA_SIGINFO;
  sigemptyset(&act.sa_mask);
  if (sigaction(SIGINT, &act, &before)) return 0;
  if (before.sa_handler != SIG_IGN) return 1;
  sigaction(SIGINT, &before, NULL);
  return 0;
}

int sk_interrupts_begin (sk_bell *b) {
  int is_begun;
  sk_family_lock();
  atomic_store(&to_ring, b);
  is_begun = waits > 0 || install();
  if (is_begun) waits++;
  sk_family_unlock();
  return is_begun;
}

int sk_interrupts_end (void) {
  sk_family_lock();
  if (--waits == 0) {
    sigaction(SIGINT, &before, NULL);
    atomic_store(&to_ring, NULL);
  }
  sk_family_unlock();
  return atomic_exchange(&interrupts, 0);
}
