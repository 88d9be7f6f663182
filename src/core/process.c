/*
** Processes: children that die with their parent, are watched without signal
** handlers and are reaped one by one, never with a wait for just any child.
*/
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "os.h"
#include "segment.h"

/* What a child leaves behind itself, because the host may take its exit
** status first. Space is used again by the process that allocated it. */
struct last_word {
  _Atomic uint32_t told;        /* child: TOLD + exit code */
  struct last_word *spare;      /* for a child of that child: its words go
                                ** with it, and cost nothing more */
  struct last_word *next_free;  /* owner, while free */
};

#define TOLD 0x100u
#define LAST_SIGNAL 31  /* real-time signals are for those who know them */

struct sk_process {
  pid_t pid;
  int fd;              /* readable when it has ended; -1 in other processes */
  int ended;
  int is_monitor;
  sk_exit status;
  uint64_t generation; /* of the owner */
  struct last_word *word;
  struct sk_process *next;
};

static struct sk_process *children;
static struct last_word *free_words;
static struct last_word *own_word;  /* in a child: where its code goes */
static pid_t own_parent, own_pid;

/* ---- the list of children ---- */

static void close_watch (sk_process *p) {
  if (p->fd >= 0) close(p->fd);
  p->fd = -1;
}

static void enlist (sk_process *p) {
  sk_family_lock();
  p->next = children;
  children = p;
  sk_family_unlock();
}

static void delist (sk_process *p) {
  sk_process **at;
  sk_family_lock();
  for (at = &children; *at && *at != p; at = &(*at)->next) {}
  if (*at) *at = p->next;
  sk_family_unlock();
}

void sk_process_forget_all (void) {
  sk_process *p;
  for (p = children; p; p = p->next) close_watch(p);
  children = NULL;
  free_words = NULL;  /* they are still the parent's */
}

static struct last_word *recycled_word (void) {
  struct last_word *w;
  sk_family_lock();
  w = free_words;
  if (w) free_words = w->next_free;
  sk_family_unlock();
  return w;
}

static int new_word (struct last_word **out) {
  struct last_word *w = recycled_word();
  if (!w) {
    sk_segment *s;
    uint64_t off;
    int rc = sk_root(&s);
    if (!rc) rc = sk_segment_alloc(s, 2 * sizeof *w, sizeof(uint64_t), &off);
    if (rc) return rc;
    w = sk_segment_at(s, off, 2 * sizeof *w);
    w->spare = w + 1;
  }
  atomic_store(&w->told, 0);
  *out = w;
  return 0;
}

static void free_word (struct last_word *w) {
  sk_family_lock();
  w->next_free = free_words;
  free_words = w;
  sk_family_unlock();
}

/* Give back what the process holds, apart from itself. */
static void forget (sk_process *p) {
  close_watch(p);
  free_word(p->word);
  delist(p);
}

/* Somebody else reaped it: what it told before it ended must do. */
static sk_exit told (const sk_process *p) {
  uint32_t word = atomic_load(&p->word->told);
  sk_exit st = { -1, 0 };
  if (word & TOLD) st.code = (int)(word & 0xff);
  return st;
}

static void set_ended (sk_process *p, sk_exit st) {
  p->ended = 1;
  p->status = st;
  forget(p);
}

/* ---- fork ---- */

/* Empty the output buffers, so that nobody else writes the same again. A
** thread that reads standard input may hold its lock for long, and flushing
** all waits for every lock: then only the usual two. */
static void flush_output (void) {
  if (ftrylockfile(stdin)) {
    fflush(stdout);
    fflush(stderr);
    return;
  }
  fflush(NULL);
  funlockfile(stdin);
}

/* A host's handlers mean nothing in the child; those for faults may be a
** sanitizer's or a crash reporter's and stay. */
static void reset_signals (void) {
  struct sigaction act;
  int s;
  for (s = 1; s <= LAST_SIGNAL; s++) {
    if (s == SIGSEGV || s == SIGBUS || s == SIGFPE || s == SIGILL ||
        s == SIGTRAP || s == SIGABRT || s == SIGSYS)
      continue;
    if (sigaction(s, NULL, &act)) continue;
    if (act.sa_handler == SIG_IGN && s != SIGCHLD) continue;
    if (act.sa_handler == SIG_DFL && s != SIGINT) continue;
    /* the terminal's Ctrl-C is for the parent, which stops us in order */
    act.sa_handler = s == SIGINT ? SIG_IGN : SIG_DFL;
    act.sa_flags = 0;
    sigaction(s, &act, NULL);
  }
}

static void begin_child (pid_t parent, int by_main, struct last_word *word) {
  sigset_t none;
  sk_generation();
  own_word = word;
  if (word->spare) free_word(word->spare);
  own_parent = parent;
  own_pid = getpid();
  reset_signals();  /* before the next, which may set a handler */
  os_die_with_parent(parent, by_main);
  if (getppid() != parent) _exit(128 + SIGHUP);  /* it died before that */
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Watch a child just forked; one that cannot be watched is no use. */
static int watch (sk_process *p) {
  int rc = os_watch(p->pid, &p->fd), err = errno;
  if (!rc || rc == SKE_LOST) return 0;  /* lost: it has ended already */
  kill(p->pid, SIGKILL);
  while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {}
  errno = err;
  return rc;
}

static int fork_watched (sk_process *p) {
  sigset_t every, before;
  pid_t parent = getpid();
  int by_main = os_is_main_thread(), spare, rc, err;
  /* a place for its descriptor, so that there is no child without one */
  if ((rc = os_event_create(&spare))) return rc;
  flush_output();
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  p->pid = fork();
  err = errno;
  close(spare);
  if (p->pid == 0) {
    begin_child(parent, by_main, p->word);
    return SK_CHILD;
  }
  if (p->pid < 0) rc = SKE_SYS;
  else if ((rc = watch(p))) err = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = err;
  return rc;
}

int sk_process_fork (sk_process **out) {
  sk_process *p = calloc(1, sizeof *p);
  int rc;
  if (!p) return SKE_NOMEM;
  p->fd = -1;
  p->generation = sk_generation();
  rc = new_word(&p->word);
  if (!rc) {
    enlist(p);  /* first: another thread's child must know it, to forget it */
    rc = fork_watched(p);
    if (rc < 0) forget(p);
  }
  if (rc == SK_CHILD) return rc;  /* p is the parent's: not a page to touch */
  if (rc) {
    free(p);
    return rc;
  }
  if (p->fd < 0) set_ended(p, told(p));
  *out = p;
  return 0;
}

void sk_process_exit (int code) {
  flush_output();
  /* a process that the child forked by other means has no say here */
  if (own_pid == getpid())
    atomic_store(&own_word->told, TOLD + (uint32_t)(code & 0xff));
  _exit(code & 0xff);
}

void sk_process_follow (const sk_exit *st) {
  if (st->signal > 0) {
    struct rlimit none = { 0, 0 };
    sigset_t all;
    setrlimit(RLIMIT_CORE, &none);  /* that process has left its own */
    signal(st->signal, SIG_DFL);
    sigfillset(&all);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    kill(getpid(), st->signal);
  }
  sk_process_exit(st->code >= 0 ? st->code : 1);
}

int sk_process_orphaned (void) {
  return own_pid == getpid() && getppid() != own_parent;
}

int sk_process_gone (pid_t pid) {
  sk_exit st;
  int fd = -1, is_gone;
  if (os_watch(pid, &fd)) return errno == ESRCH || errno == EINVAL;
  is_gone = !os_poll(&fd, 1, 0);
  /* orphans of a process that is the system's first are its children */
  if (is_gone) os_reap(fd, pid, 0, &st.code, &st.signal);
  close(fd);
  return is_gone;
}

/* ---- watching ---- */

pid_t sk_process_pid (const sk_process *p) {
  return p->pid;
}

int sk_process_fd (const sk_process *p) {
  return p->fd;
}

static int is_own (const sk_process *p) {
  return p->generation == sk_generation();
}

/* Reap it; SKE_BUSY while it runs, unless `block`. */
static int reap (sk_process *p, int block) {
  sk_exit st;
  int rc = os_reap(p->fd, p->pid, block, &st.code, &st.signal);
  if (rc == SKE_BUSY) return rc;
  set_ended(p, rc == SKE_LOST ? told(p) : st);
  return 0;
}

int sk_process_poll (sk_process *p, sk_exit *st) {
  if (!p->ended) {
    if (!is_own(p)) return SKE_FOREIGN;
    if (reap(p, 0)) return SKE_BUSY;
  }
  *st = p->status;
  return 0;
}

int sk_process_stopped (const sk_process *p) {
  return !p->ended && is_own(p) && os_stopped(p->pid);
}

int sk_process_kill (sk_process *p, int signal) {
  if (p->ended) return 0;
  if (!is_own(p)) return SKE_FOREIGN;
  if (!os_watch_kill(p->fd, p->pid, signal)) return 0;
  return errno == ESRCH ? 0 : SKE_SYS;
}

int sk_process_wait (const sk_process *p, int64_t timeout_ns) {
  int fd = p->fd;
  return fd < 0 ? 0 : os_poll(&fd, 1, timeout_ns);
}

/* ---- monitors: processes that take a child of theirs with them ---- */

#define FOLLOW_NS 200000000  /* that a monitor may take to end */

void sk_process_set_monitor (sk_process *p) {
  p->is_monitor = 1;
}

static _Atomic pid_t own_child;  /* 0: none now, -1: it must not live */

static void on_term (int signal) {
  pid_t pid = atomic_exchange(&own_child, -1);
  (void)signal;
  if (pid > 0) kill(pid, SIGKILL);
}

int sk_monitor_begin (void) {
  struct sigaction act;
  memset(&act, 0, sizeof act);
  act.sa_handler = on_term;
  sigemptyset(&act.sa_mask);
  return sigaction(SIGTERM, &act, NULL) ? SKE_SYS : 0;
}

int sk_monitor_follow (const sk_process *p) {
  pid_t none = 0;
  if (atomic_compare_exchange_strong(&own_child, &none, p ? p->pid : 0))
    return 1;
  if (none > 0 && !p) {
    atomic_compare_exchange_strong(&own_child, &none, 0);
    return atomic_load(&own_child) == 0;
  }
  if (p) kill(p->pid, SIGKILL);
  return 0;
}

void sk_process_end (sk_process *p) {
  if (p->ended || !is_own(p)) return;
  if (p->is_monitor && !sk_process_stopped(p)) {
    sk_process_kill(p, SIGTERM);
    if (!sk_process_wait(p, FOLLOW_NS)) return;
  }
  sk_process_kill(p, SIGKILL);
  while (sk_process_wait(p, INT64_MAX) == SKE_INTR) {}
}

void sk_process_free (sk_process *p) {
  if (!p) return;
  if (!p->ended && is_own(p)) {
    sk_process_end(p);
    reap(p, 1);
  }
  free(p);
}
