/*
** Bells: who is woken by whom, that no wake-up is lost, and what happens when
** a ringer dies, a descriptor is closed or a signal comes.
*/
#include "clean.h"
#include "step.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>

static sk_segment *segment;

/* A test with a segment of its own, once with a bell that sleeps on a futex
** and once with one that sleeps on a descriptor. */
#define BELL_TEST(name) BELL_DEFINE(name, CHECK_PASTE(bell_, __LINE__))
#define BELL_DEFINE(text, id) \
  static void id (sk_bell *b, int pollable); \
  CLEAN_TEST(text) { with_bell(id, 0); with_bell(id, 1); } \
  static void id (sk_bell *b, int pollable)

static sk_bell *bell (int pollable) {
  sk_bell *b = NULL;
  REQUIRE(sk_bell_create(segment, pollable, &b) == 0);
  return b;
}

static void with_bell (void (*test) (sk_bell *b, int pollable),
                       int pollable) {
  sk_bell *b;
  REQUIRE(sk_segment_create("bells", 1 << 20, &segment) == 0);
  b = bell(pollable);
  test(b, pollable);
  sk_bell_destroy(b);
  sk_segment_close(segment);
}

/* ---- life ---- */

BELL_TEST("only a pollable bell has a descriptor, close-on-exec") {
  int fd = sk_bell_fd(b);
  CHECK(pollable ? fd > 2 : fd == -1);
  if (pollable) CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

BELL_TEST("a destroyed bell holds no descriptor and can still be rung") {
  int fds = open_descriptors();
  (void)b;
  b = bell(pollable);
  CHECK(open_descriptors() == fds + pollable);
  sk_bell_destroy(b);
  CHECK(open_descriptors() == fds);
  CHECK(sk_bell_fd(b) == -1);
  sk_bell_listen(b, SK_EAGER);
  sk_bell_ring(b, SK_LAZY);
  sk_bell_destroy(b);
  CHECK(open_descriptors() == fds);
}

static void create_without_descriptors (void *arg) {
  sk_bell *b = arg;
  limit(RLIMIT_NOFILE, 0);
  CHECK(sk_bell_create(segment, 1, &b) == SKE_SYS);
  CHECK(errno == EMFILE);
  CHECK(b == arg);
  CHECK(sk_bell_create(segment, 0, &b) == 0);
}

BELL_TEST("without a descriptor left only the other kind can be had") {
  (void)pollable;
  in_child(create_without_descriptors, b);
}

/* ---- one sleeper, one ringer ---- */

BELL_TEST("a ring between listening and sleeping is not slept over") {
  uint32_t seen = sk_bell_listen(b, SK_EAGER);
  (void)pollable;
  sk_bell_ring(b, SK_EAGER);
  CHECK(sk_bell_sleep(b, seen, LONG) == 0);
  sk_bell_awake(b);
}

BELL_TEST("a sleep that nobody ends lasts as long as it may") {
  int64_t begun = now_ns();
  uint32_t seen = sk_bell_listen(b, SK_EAGER);
  (void)pollable;
  CHECK(sk_bell_sleep(b, seen, 20 * MS) == SKE_TIMEOUT);
  CHECK(now_ns() - begun >= 20 * MS);
  CHECK(sk_bell_sleep(b, seen, 0) == SKE_TIMEOUT);
  CHECK(sk_bell_sleep(b, seen, -1) == SKE_TIMEOUT);
  CHECK(sk_bell_sleep(b, seen, INT64_MIN) == SKE_TIMEOUT);
  sk_bell_awake(b);
}

BELL_TEST("ringing one who is awake leaves nothing to wake up from later") {
  uint32_t seen;
  (void)pollable;
  sk_bell_ring(b, SK_EAGER);
  sk_bell_ring(b, SK_LAZY);
  seen = sk_bell_listen(b, SK_EAGER);
  CHECK(sk_bell_sleep(b, seen, 0) == SKE_TIMEOUT);
  sk_bell_awake(b);
  sk_bell_ring(b, SK_LAZY);
  seen = sk_bell_listen(b, SK_EAGER);
  CHECK(sk_bell_sleep(b, seen, 0) == SKE_TIMEOUT);
  sk_bell_awake(b);
}

BELL_TEST("a sleeper is woken by what it asked to be woken by") {
  static const struct { enum sk_sleep asleep, ring; int wakes; } cases[] = {
    { SK_AWAKE, SK_LAZY, 0 },  { SK_LAZY, SK_LAZY, 1 },
    { SK_EAGER, SK_LAZY, 1 },  { SK_AWAKE, SK_EAGER, 0 },
    { SK_LAZY, SK_EAGER, 0 },  { SK_EAGER, SK_EAGER, 1 }
  };
  size_t i;
  (void)pollable;
  for (i = 0; i < COUNT(cases); i++) {
    uint32_t seen = sk_bell_listen(b, cases[i].asleep);
    sk_bell_ring(b, cases[i].ring);
    CHECK(sk_bell_sleep(b, seen, 0) == (cases[i].wakes ? 0 : SKE_TIMEOUT));
    sk_bell_awake(b);
  }
}

BELL_TEST("one sleep costs ringers one wake-up, however many ring") {
  uint32_t seen = sk_bell_listen(b, SK_EAGER), i;
  (void)pollable;
  for (i = 0; i < 10; i++) sk_bell_ring(b, SK_EAGER);
  CHECK(sk_bell_sleep(b, seen, LONG) == 0);
  CHECK(sk_bell_listen(b, SK_EAGER) == seen + 1);
  CHECK(sk_bell_sleep(b, seen + 1, 0) == SKE_TIMEOUT);
  sk_bell_awake(b);
}

static int is_readable (int fd) {
  struct pollfd p = { fd, POLLIN, 0 };
  return poll(&p, 1, 0) == 1;
}

BELL_TEST("its descriptor is readable after a ring, and until the sleep") {
  uint32_t seen = sk_bell_listen(b, SK_EAGER);
  if (!pollable) return;
  CHECK(!is_readable(sk_bell_fd(b)));
  sk_bell_ring(b, SK_EAGER);
  CHECK(is_readable(sk_bell_fd(b)));
  CHECK(sk_bell_sleep(b, seen, LONG) == 0);
  CHECK(!is_readable(sk_bell_fd(b)));
  sk_bell_awake(b);
}

BELL_TEST("an event that can count no further still wakes") {
  uint64_t most = UINT64_MAX - 1;
  uint32_t seen = sk_bell_listen(b, SK_EAGER);
  if (!pollable) return;
  CHECK(write(sk_bell_fd(b), &most, sizeof most) == sizeof most);
  sk_bell_ring(b, SK_EAGER);
  CHECK(sk_bell_sleep(b, seen, LONG) == 0);
  CHECK(!is_readable(sk_bell_fd(b)));
  sk_bell_awake(b);
}

/* ---- between processes and threads ---- */

struct work {
  sk_bell *b;
  _Atomic int64_t *done;   /* pieces of work there are */
  event *events;           /* 0: somebody may begin; 1: the sleeper woke */
  int64_t pieces;
  enum sk_sleep how;
};

/* Until all pieces are there; a wake-up that is lost shows as a timeout. */
static void sleep_for_work (struct work *w, enum sk_sleep how) {
  int64_t seen_pieces = 0;
  while (seen_pieces < w->pieces) {
    uint32_t seen = sk_bell_listen(w->b, how);
    int64_t now = atomic_load(w->done);
    if (now == seen_pieces) {
      CHECK(sk_bell_sleep(w->b, seen, LONG) == 0);
      now = atomic_load(w->done);
    }
    sk_bell_awake(w->b);
    seen_pieces = now;
  }
}

static void do_work (void *arg) {
  struct work *w = arg;
  int64_t i;
  uint32_t seed = (uint32_t)getpid();
  for (i = 0; i < w->pieces; i++) {
    atomic_fetch_add_explicit(w->done, 1, memory_order_relaxed);
    sk_bell_ring(w->b, w->how);
    if (random_next(&seed) % 8 == 0) sched_yield();
  }
}

enum { RINGERS = 3, PIECES = 20000 };

static void lose_nothing (sk_bell *b, enum sk_sleep asleep,
                          enum sk_sleep ring, int threads) {
  _Atomic int64_t *done = shared_memory(sizeof *done);
  struct work w = { b, done, NULL, ROUNDS(PIECES), ring };
  struct work all = w;
  pid_t pids[RINGERS];
  pthread_t ids[RINGERS];
  struct thread_call call = { do_work, &w };
  int i;
  all.pieces = RINGERS * w.pieces;
  for (i = 0; i < RINGERS; i++) {
    if (threads) pthread_create(&ids[i], NULL, thread_main, &call);
    else pids[i] = child(do_work, &w);
  }
  sleep_for_work(&all, asleep);
  for (i = 0; i < RINGERS; i++) {
    if (threads) pthread_join(ids[i], NULL);
    else CHECK(ended(pids[i]) == 0);
  }
  munmap(done, sizeof *done);
}

BELL_TEST("no wake-up by another process is lost") {
  (void)pollable;
  lose_nothing(b, SK_EAGER, SK_EAGER, 0);
  lose_nothing(b, SK_EAGER, SK_LAZY, 0);
  lose_nothing(b, SK_LAZY, SK_LAZY, 0);
}

BELL_TEST("no wake-up by another thread is lost") {
  (void)pollable;
  lose_nothing(b, SK_EAGER, SK_EAGER, 1);
  lose_nothing(b, SK_LAZY, SK_LAZY, 1);
}

/* One listens and looks at the moment when the other works and rings: one of
** the two must see the other. Again and again, without anybody asleep. */
enum { LINES = 6 };

struct line { _Alignas(128) _Atomic uint32_t word; };

struct meeting {
  sk_bell *b;
  struct line here[2], work, data[2][LINES];
};

static void meet (struct meeting *m, int who, uint32_t round) {
  int spins = 0;
  volatile uint32_t delay;
  atomic_store(&m->here[who].word, round);
  while (atomic_load(&m->here[!who].word) < round)
    if (++spins % 256 == 0) sched_yield();
  for (delay = round * 2654435761u >> (26 + who); delay; delay--) {}
}

/* Stores that the next one has to queue behind, for lines that the other has
** read. */
static void be_busy (struct meeting *m, int who, uint32_t i) {
  int k;
  for (k = 0; k < LINES; k++)
    atomic_store_explicit(&m->data[who][k].word, i, memory_order_relaxed);
}

static void look_at_other (struct meeting *m, int who) {
  int k;
  for (k = 0; k < LINES; k++) atomic_load(&m->data[!who][k].word);
}

static void listen_often (struct meeting *m) {
  uint32_t i;
  for (i = 1; i <= (uint32_t)ROUNDS(100000); i++) {
    uint32_t seen;
    int saw;
    look_at_other(m, 0);
    meet(m, 0, 2 * i);
    if (i % 2) be_busy(m, 0, i);
    seen = sk_bell_listen(m->b, SK_EAGER);
    saw = atomic_load_explicit(&m->work.word, memory_order_relaxed) == i;
    meet(m, 0, 2 * i + 1);
    CHECK(saw || sk_bell_listen(m->b, SK_AWAKE) != seen);
    sk_bell_awake(m->b);
  }
}

static void ring_often (struct meeting *m) {
  uint32_t i;
  for (i = 1; i <= (uint32_t)ROUNDS(100000); i++) {
    look_at_other(m, 1);
    meet(m, 1, 2 * i);
    if (i % 2 == 0) be_busy(m, 1, i);
    atomic_store_explicit(&m->work.word, i, memory_order_relaxed);
    sk_bell_ring(m->b, SK_EAGER);
    meet(m, 1, 2 * i + 1);
  }
}

struct meeter { struct meeting *m; void (*role) (struct meeting *m); };

static void meet_often (void *arg) {
  struct meeter *one = arg;
  one->role(one->m);
}

BELL_TEST("who listens while another rings sees the work or is rung for") {
  struct meeting m = { .b = b };
  struct meeter both[2] = { { &m, listen_often }, { &m, ring_often } };
  if (!pollable) in_threads(2, meet_often, both, sizeof *both);
}

/* Two that wake each other for every piece. */
static void answer (void *arg) {
  struct work *w = arg;
  struct work *other = w + 1;
  int64_t i;
  for (i = 0; i < w->pieces; i++) {
    struct work one = *w;
    one.pieces = i + 1;
    while (atomic_load(w->done) < one.pieces) {
      uint32_t seen = sk_bell_listen(w->b, SK_EAGER);
      if (atomic_load(w->done) < one.pieces)
        CHECK(sk_bell_sleep(w->b, seen, LONG) == 0);
      sk_bell_awake(w->b);
    }
    atomic_fetch_add(other->done, 1);
    sk_bell_ring(other->b, SK_EAGER);
  }
}

BELL_TEST("two that wake each other in turn never both sleep") {
  _Atomic int64_t *done = shared_memory(2 * sizeof *done);
  struct work there[3], here[2];
  sk_bell *mine = bell(pollable);
  pid_t pid;
  memset(there, 0, sizeof there);
  there[0].b = b;
  there[0].done = &done[0];
  there[0].pieces = ROUNDS(5000);
  there[1].b = mine;
  there[1].done = &done[1];
  here[0] = there[1];
  here[0].pieces = there[0].pieces;
  here[1] = there[0];
  pid = child(answer, there);
  atomic_fetch_add(&done[0], 1);  /* the first piece goes out */
  sk_bell_ring(b, SK_EAGER);
  answer(here);
  CHECK(ended(pid) == 0);
  CHECK(done[1] == here[0].pieces);
  sk_bell_destroy(mine);
  munmap(done, 2 * sizeof *done);
}

/* ---- death ---- */

static void work_and_die (void *arg) {
  struct work *w = arg;
  atomic_fetch_add(w->done, 1);
  kill(getpid(), SIGKILL);
}

BELL_TEST("a ringer killed before it rings costs one bounded wait") {
  _Atomic int64_t *done = shared_memory(sizeof *done);
  struct work w = { b, done, NULL, 1, SK_EAGER };
  uint32_t seen = sk_bell_listen(b, SK_EAGER);
  int status;
  (void)pollable;
  status = ended(child(work_and_die, &w));
  CHECK(WIFSIGNALED(status));
  CHECK(sk_bell_sleep(b, seen, 10 * MS) == SKE_TIMEOUT);
  CHECK(atomic_load(done) == 1);
  sk_bell_awake(b);
  munmap(done, sizeof *done);
}

static void ring (void *b) {
  sk_bell_ring(b, SK_EAGER);
}

BELL_TEST("a ringer killed after any instruction leaves a bell that works") {
  int n, over = 0;
  (void)pollable;
  for (n = 1; !over; STEP_NEXT(n)) {
    uint32_t seen = sk_bell_listen(b, SK_EAGER);
    int rc;
    killed(step_to(ring, b, n, &over));
    rc = sk_bell_sleep(b, seen, 1);
    CHECK(rc == 0 || (rc == SKE_TIMEOUT && !over));
    sk_bell_awake(b);
    seen = sk_bell_listen(b, SK_EAGER);
    in_child(ring, b);
    CHECK(sk_bell_sleep(b, seen, LONG) == 0);
    sk_bell_awake(b);
  }
  CHECK(n > 20);
}

static void sleep_long (void *arg) {
  struct work *w = arg;
  uint32_t seen = sk_bell_listen(w->b, SK_EAGER);
  tell(&w->events[0]);
  CHECK(sk_bell_sleep(w->b, seen, LONG) == 0);
  sk_bell_awake(w->b);
  tell(&w->events[1]);
}

BELL_TEST("a sleeper that was killed is no obstacle to its successor") {
  event *events = shared_memory(2 * sizeof *events);
  struct work w = { b, NULL, events, 0, SK_EAGER };
  pid_t first, second;
  (void)pollable;
  first = child(sleep_long, &w);
  CHECK(await(&events[0], 1));
  killed(first);
  sk_bell_ring(b, SK_EAGER);
  if (pollable) {  /* the dead one's wake-up may lie in the descriptor */
    uint32_t seen = sk_bell_listen(b, SK_EAGER);
    sk_bell_sleep(b, seen, 0);
    sk_bell_awake(b);
  }
  second = child(sleep_long, &w);
  CHECK(await(&events[0], 2));
  sk_bell_ring(b, SK_EAGER);
  CHECK(ended(second) == 0);
  munmap(events, 2 * sizeof *events);
}

/* ---- signals ---- */

static void ignore_signal (int signal) {
  (void)signal;
}

static void sleep_until_signal (void *arg) {
  struct work *w = arg;
  struct sigaction act;
  uint32_t seen;
  memset(&act, 0, sizeof act);
  act.sa_handler = ignore_signal;
  act.sa_flags = SA_RESTART;
  sigaction(SIGUSR2, &act, NULL);
  seen = sk_bell_listen(w->b, SK_EAGER);
  tell(&w->events[0]);
  CHECK(sk_bell_sleep(w->b, seen, LONG) == SKE_INTR);
  tell(&w->events[1]);
}

BELL_TEST("a signal ends a sleep, and says so") {
  event *events = shared_memory(2 * sizeof *events);
  struct work w = { b, NULL, events, 0, SK_EAGER };
  pid_t pid = child(sleep_until_signal, &w);
  (void)pollable;
  CHECK(await(&events[0], 1));
  while (!atomic_load(&events[1])) {  /* it may not have begun to sleep yet */
    kill(pid, SIGUSR2);
    rest_ms(1);
  }
  CHECK(ended(pid) == 0);
  munmap(events, 2 * sizeof *events);
}

/* ---- descriptors that others close ---- */

static void put_in_place (int fd, int other) {
  CHECK(other >= 0);
  CHECK(dup2(other, fd) == fd);
  if (other != fd) close(other);
}

static void ring_into_file (void *arg) {
  struct work *w = arg;
  int fd = sk_bell_fd(w->b), pipes[2], i;
  char byte;
  put_in_place(fd, memfd_create("mine", 0));
  for (i = 0; i < 3; i++) sk_bell_ring(w->b, SK_EAGER);
  CHECK(lseek(fd, 0, SEEK_END) == 0);
  CHECK(!pipe2(pipes, O_NONBLOCK));
  put_in_place(fd, pipes[1]);
  sk_bell_listen(w->b, SK_EAGER);
  sk_bell_ring(w->b, SK_EAGER);
  CHECK(read(pipes[0], &byte, 1) < 0 && errno == EAGAIN);
  close(fd);
  sk_bell_listen(w->b, SK_EAGER);
  sk_bell_ring(w->b, SK_EAGER);
}

BELL_TEST("a ring never goes into what was opened in the descriptor's place") {
  struct work w = { b, NULL, NULL, 0, SK_EAGER };
  if (!pollable) return;
  sk_bell_listen(b, SK_EAGER);
  in_child(ring_into_file, &w);
  sk_bell_awake(b);
}

static void ring_without_descriptor (void *arg) {
  struct work *w = arg;
  close(sk_bell_fd(w->b));
  sk_bell_ring(w->b, SK_EAGER);
}

BELL_TEST("a ring by one without the descriptor is heard before the sleep") {
  struct work w = { b, NULL, NULL, 0, SK_EAGER };
  uint32_t seen = sk_bell_listen(b, SK_EAGER);
  int64_t begun = now_ns();
  if (!pollable) return;
  in_child(ring_without_descriptor, &w);
  CHECK(sk_bell_sleep(b, seen, LONG) == 0);
  CHECK(now_ns() - begun < LONG);
  sk_bell_awake(b);
}

static void sleep_on_pipe (void *arg) {
  struct work *w = arg;
  int fd = sk_bell_fd(w->b), pipes[2];
  uint32_t seen = sk_bell_listen(w->b, SK_EAGER);
  char text[9] = "";
  CHECK(!pipe(pipes));
  CHECK(write(pipes[1], "precious", 8) == 8);
  put_in_place(fd, pipes[0]);
  sk_bell_sleep(w->b, seen, MS);
  CHECK(read(fd, text, 8) == 8);
  CHECK(!strcmp(text, "precious"));
}

BELL_TEST("a sleep eats nothing of what is in the descriptor's place") {
  struct work w = { b, NULL, NULL, 0, SK_EAGER };
  if (pollable) in_child(sleep_on_pipe, &w);
}

static void sleep_on_nothing (void *arg) {
  struct work *w = arg;
  uint32_t seen = sk_bell_listen(w->b, SK_EAGER);
  close(sk_bell_fd(w->b));
  CHECK(sk_bell_sleep(w->b, seen, LONG) == SKE_SYS);
  CHECK(errno == EBADF);
}

BELL_TEST("a sleep on a descriptor that the host closed is an error") {
  struct work w = { b, NULL, NULL, 0, SK_EAGER };
  if (pollable) in_child(sleep_on_nothing, &w);
}
