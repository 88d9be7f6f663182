/*
** The keeper: a process that starts the coordinator and the next one when it
** dies, within a budget. It is an image of the process that started the
** share, runs nothing of the users' and can be replaced itself.
*/
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "os.h"
#include "share_coordinator.h"

#define NS 1000000000ll
#define BUDGET 5               /* deaths without a commit ... */
#define BUDGET_NS (10 * NS)    /* ... in so long */
#define HOPELESS 3             /* exit code: starting again is no use */
#define END_NS NS              /* for processes that are about to end */

/* ---- the coordinator's process ---- */

static void serve (sk_share *s) {
  sk_coordinator *c;
  int rc = share_coordinator_open(s, 1, &c);
  if (!rc) rc = sk_coordinator_run(c);
  fflush(NULL);  /* what handlers printed */
  _exit(rc == 0 ? 0 : rc == SKE_CORRUPT ? HOPELESS : 1);
}

/* ---- the keeper's ---- */

struct watch {
  sk_share *s;
  uint64_t commits;    /* at the last start */
  int64_t since_ns;    /* of the first death that counts */
  int deaths;
  int hung;            /* we killed it */
};

static void kill_hung (struct watch *w, int fd, pid_t pid) {
  struct inflight *f = &w->s->words->inflight;
  int64_t since = atomic_load(&f->since_ns);
  if (!atomic_load(&f->active)) return;
  if (os_now_ns() - since < w->s->call_limit_ns) return;
  w->hung = 1;
  os_watch_kill(fd, pid, SIGKILL);
}

/* Wait for the coordinator's end; -> its wait status. */
static int await_end (struct watch *w, pid_t pid) {
  int status = 0, fd = -1;
  if (w->s->call_limit_ns > 0 && !os_watch(pid, &fd)) {
    while (os_poll(&fd, 1, w->s->call_limit_ns / 4 + 1))
      kill_hung(w, fd, pid);
    close(fd);
  }
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  return status;
}

/* Whose fault was it? Deaths in a handler are counted for its command; -> was
** it one? */
static int blame (struct watch *w, int status) {
  struct inflight *f = &w->s->words->inflight;
  int killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !w->hung;
  if (!atomic_load(&f->active)) return 0;
  if (killed) atomic_fetch_add(&f->kills, 1);
  else atomic_fetch_add(&f->faults, 1);
  atomic_store(&f->active, 0);
  return 1;
}

/* Its own exit code, or -1: a handler may have ended it with any. */
static int exit_code (int status, int in_handler) {
  return WIFEXITED(status) && !in_handler ? WEXITSTATUS(status) : -1;
}

static int within_budget (struct watch *w) {
  uint64_t commits = atomic_load(&w->s->words->commits);
  int64_t now = os_now_ns();
  if (commits != w->commits || now - w->since_ns > BUDGET_NS) {
    w->deaths = 0;
    w->since_ns = now;
  }
  w->commits = commits;
  return ++w->deaths <= BUDGET;
}

static void give_up (sk_share *s) {
  atomic_store(&s->words->state, SK_DEGRADED);
  share_wake(s);
}

static int wanted (const sk_share *s) {
  uint32_t state = atomic_load(&s->words->state);
  return state == SK_RUNNING || state == SK_STOPPING;
}

static void keep (sk_share *s) {
  struct watch w = { s, UINT64_MAX, 0, 0, 0 };
  while (wanted(s)) {
    pid_t pid = fork();
    int status, code;
    if (pid == 0) serve(s);
    if (pid < 0) {
      give_up(s);
      return;
    }
    w.hung = 0;
    status = await_end(&w, pid);
    code = exit_code(status, blame(&w, status));
    if (code == 0) return;
    atomic_fetch_add(&s->words->restarts, 1);
    if (!within_budget(&w) || code == HOPELESS) {
      give_up(s);
      return;
    }
  }
}

/* A terminal's signals are for the host; ours go with the share. */
static void settle_signals (void) {
  static const int ignored[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE };
  sigset_t none;
  size_t i;
  for (i = 0; i < sizeof ignored / sizeof *ignored; i++)
    signal(ignored[i], SIG_IGN);
  signal(SIGCHLD, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The host's files, sockets and pipes are not held open by us. Before any lock
** is taken: closing drops those of a file. */
static void let_go (sk_share *s) {
  int event = sk_root_event();
  size_t n = sk_segment_fds(NULL, 0);
  int *keep = calloc(n + s->n_kept + 1, sizeof *keep);
  sk_generation();  /* first: forgetting children closes numbers, too */
  if (!keep) return;
  sk_segment_fds(keep, n);
  if (event >= 0) keep[n++] = event;
  memcpy(keep + n, s->kept, s->n_kept * sizeof *keep);
  os_close_others(keep, n + s->n_kept);
  free(keep);
}

static void keeper_main (sk_share *s) {
  atomic_store(&s->serving, 0);  /* that was another process */
  share_become_server();
  settle_signals();
  let_go(s);
  if (os_lock(s->segment->fd, LOCK_KEEPER)) _exit(0);  /* there is one */
  keep(s);
  _exit(0);
}

/* ---- starting ---- */

/* Is the keeper that this process started still there? Reaps it if not. */
static int has_keeper (sk_share *s, int options) {
  pid_t got;
  if (!s->keeper || s->keeper_parent != sk_generation()) return 0;
  do {
    got = waitpid(s->keeper, NULL, options);
  } while (got < 0 && errno == EINTR);
  if (got != 0) s->keeper = 0;
  return got == 0;
}

static int fork_keeper (sk_share *s) {
  sigset_t every, before;
  pid_t pid;
  int err;
  fflush(NULL);
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  pid = fork();
  err = errno;
  if (pid == 0) keeper_main(s);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = err;
  if (pid < 0) return SKE_SYS;
  s->keeper = pid;
  s->keeper_parent = sk_generation();
  return 0;
}

/* Start a keeper unless ours is there; another's makes it end at once. */
static int launch (sk_share *s) {
  uint64_t self = sk_generation(), busy = atomic_load(&s->launching);
  int rc = 0;
  /* another thread of this process is at it */
  if (busy == self) return 0;
  if (!atomic_compare_exchange_strong(&s->launching, &busy, self)) return 0;
  if (!has_keeper(s, WNOHANG)) rc = fork_keeper(s);
  atomic_store(&s->launching, 0);
  return rc;
}

static int served (const sk_share *s) {
  return os_lock_holder(s->segment->fd, LOCK_COORDINATOR, 2) != 0;
}

int share_can_serve (const sk_share *s) {
  return s->handler || !s->has_calls;
}

void share_revive (sk_share *s) {
  if (wanted(s) && share_can_serve(s) && !s->serving && !served(s)) launch(s);
}

int sk_share_start (sk_share *s) {
  _Atomic uint32_t *state = &s->words->state;
  uint32_t seen = atomic_load(state);
  if (!share_can_serve(s)) return SKE_INVAL;
  do {
    if (seen == SK_STOPPING) return SKE_BUSY;
    if (seen == SK_RUNNING) break;
  } while (!atomic_compare_exchange_weak(state, &seen, SK_RUNNING));
  return served(s) ? 0 : launch(s);
}

/* ---- stopping ---- */

static void nap (sk_share *s, int64_t ns) {
  uint32_t seen = atomic_load(&s->words->epoch);
  while (!(seen & 1) && !atomic_compare_exchange_weak(&s->words->epoch, &seen,
                                                      seen | 1)) {}
  os_park(&s->words->epoch, seen | 1, ns);
}

static void end_process (sk_share *s, uint64_t lock) {
  pid_t pid = os_lock_holder(s->segment->fd, lock, 1);
  if (pid > 0) kill(pid, SIGKILL);
}

/* Until both processes are gone, which they are soon. */
static void await_processes (sk_share *s) {
  int64_t until = os_now_ns() + END_NS;
  while (served(s)) {
    if (os_now_ns() > until) {
      end_process(s, LOCK_KEEPER);
      end_process(s, LOCK_COORDINATOR);
    }
    nap(s, NS / 1000);
  }
  has_keeper(s, 0);
}

int share_end_servers (sk_share *s) {
  int64_t until = os_now_ns() + END_NS;
  while (served(s)) {
    if (os_now_ns() > until) return SKE_BUSY;
    end_process(s, LOCK_KEEPER);
    end_process(s, LOCK_COORDINATOR);
    nap(s, NS / 1000);
  }
  return 0;
}

int sk_share_stop (sk_share *s, int64_t timeout_ns) {
  _Atomic uint32_t *state = &s->words->state;
  int64_t until = share_deadline(timeout_ns);
  uint32_t seen = SK_RUNNING;
  int rc = 0;
  atomic_compare_exchange_strong(state, &seen, SK_STOPPING);
  while (!rc && (seen = atomic_load(state)) == SK_STOPPING) {
    sk_bell_ring(s->bell, SK_EAGER);
    share_revive(s);
    nap(s, NS / 100);
    if (until >= 0 && os_now_ns() > until) rc = SKE_TIMEOUT;
  }
  if (rc) {
    seen = SK_STOPPING;
    if (!atomic_compare_exchange_strong(state, &seen, SK_STOPPED)) rc = 0;
    else {
      end_process(s, LOCK_KEEPER);
      end_process(s, LOCK_COORDINATOR);
    }
  }
  await_processes(s);
  return rc;
}

/* ---- keepers of shares that this process has closed ---- */

enum { LEFT = 64 };

static struct left {
  pid_t pid;
  uint64_t parent;
} left[LEFT];

void share_leave_keeper (sk_share *s) {
  uint64_t self = sk_generation();
  int i;
  if (!s->keeper || s->keeper_parent != self) return;
  sk_family_lock();
  for (i = 0; i < LEFT && left[i].pid && left[i].parent == self; i++) {}
  if (i < LEFT) left[i] = (struct left){ s->keeper, self };
  sk_family_unlock();
}

void share_reap_keepers (void) {
  uint64_t self = sk_generation();
  int i;
  sk_family_lock();
  for (i = 0; i < LEFT; i++)
    if (left[i].pid && (left[i].parent != self ||
                        waitpid(left[i].pid, NULL, WNOHANG)))
      left[i].pid = 0;
  sk_family_unlock();
}
