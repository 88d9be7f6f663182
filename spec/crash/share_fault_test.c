/*
** Processes killed at named places of the core: each place and each time it
** is passed, one after another; then at random, many processes at once.
** SK_STRESS=1: a minute of it instead of two seconds.
*/
#include "share_helper.h"

#include <sched.h>

#include "share_coordinator.h"

enum { WRITERS = 3, MANY_OPS = SK_CALL, RATE = 3000 };
enum { KEYS = 100 };  /* more stores than the journal holds */

/* ---- dying ---- */

struct account {
  _Atomic uint64_t hits[FAULTS], deaths[FAULTS];
  _Atomic uint64_t started[WRITERS], acked[WRITERS];
  _Atomic int stop;
};

static struct account *account;
static int fatal_id, fatal_time;   /* enumerated */
static uint32_t rate, seed;        /* random */

static void die (int id) {
  atomic_fetch_add(&account->deaths[id], 1);
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static void on_fault (int id) {
  atomic_fetch_add(&account->hits[id], 1);
  if (id == fatal_id && --fatal_time == 0) die(id);
  if (rate && random_next(&seed) % rate == 0) die(id);
}

static uint64_t total (const _Atomic uint64_t *counts) {
  uint64_t sum = 0;
  int i;
  for (i = 0; i < FAULTS; i++) sum += atomic_load(&counts[i]);
  return sum;
}

/* ---- the share ---- */

static int handle (void *arg, sk_change *c, const sk_command *cmd) {
  int64_t i;
  (void)arg;
  (void)cmd;
  for (i = 0; i < KEYS; i++) {
    char path[16];
    uint64_t space[2];
    sk_item item = { SK_INT, 8, &i };
    int rc;
    snprintf(path, sizeof path, "o.%d", (int)i);
    rc = sk_change_set(c, at(path), space, sk_item_put(space, &item));
    if (rc) return rc;
  }
  return 0;
}

static void serve_once (void *arg) {
  sk_coordinator *c;
  (void)arg;
  CHECK(share_coordinator_open(share, 0, &c) == 0);
  while (sk_coordinator_batch(c) > 0) {}
  sk_coordinator_close(c);
}

/* Nobody starts a keeper: the share is never marked as running. */
static void begin (void) {
  account = shared_memory(sizeof *account);
  share_fault_hook = on_fault;
  fatal_id = 0;
  rate = 0;
  open_share(&(sk_share_options){ .max_users = 8, .lane_bytes = 8192,
                                  .handler = handle });
}

static void finish (void) {
  sk_port_close(port);
  sk_share_close(share);
  munmap(account, sizeof *account);
}

/* ---- one death after another ---- */

static char text[5000];

static void work (void *arg) {
  sk_port *p;
  int64_t one = 1;
  sk_item item = { SK_INT, 8, &one }, table = { SK_TABLE, 0, NULL };
  sk_item big = { TEXT, sizeof text, text };
  sk_command call = { .kind = MANY_OPS, .path = *at("o") };
  sk_receipt r;
  (void)arg;
  CHECK(sk_port_open(share, &p) == 0);
  CHECK(put_item(p, "o", SK_SET, &table, &r) == 0);
  CHECK(put_item(p, "n", SK_SET, &item, &r) == 0);
  atomic_fetch_add(&account->started[0], 1);
  CHECK(put_item(p, "n", SK_ADD, &item, &r) == 0);
  atomic_fetch_add(&account->acked[0], 1);
  CHECK(sk_port_send(p, &call, NULL, LONG) == 0);
  CHECK(put_item(p, "big", SK_SET, &big, &r) == 0);
  atomic_fetch_add(&account->acked[0], 1);
  sk_port_close(p);
}

static int die_at (void (*body) (void *), int id, int time) {
  int status;
  fatal_id = id;
  fatal_time = time;
  status = ended(child(body, NULL));
  fatal_id = 0;
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void check_outcome (void) {
  uint64_t acked = atomic_load(&account->acked[0]);
  int64_t n;
  sk_item item;
  int rc;
  in_child(serve_once, NULL);
  CHECK(!atomic_load(&share->store->journal.state));
  n = get_int("n");
  if (acked >= 1) CHECK(n == 2);
  else CHECK(n == 2 || n == 1 || n == NOTHING + SKE_ABSENT);
  rc = get_rc("big");
  if (acked >= 2) CHECK(rc == 0 && size_of("o") == KEYS);
  CHECK(get_rc("o.0") == SKE_ABSENT || size_of("o") == KEYS);
  rc = sk_port_get(port, at("big"), 0, 0, &item, NULL);
  if (!rc) CHECK(item.len == sizeof text);
}

/* In a share of its own each; the stores of long commits in leaps. */
static void enumerate (int writer) {
  int id, time, died;
  for (id = 1; id < FAULTS; id++)
    for (time = 1, died = 1; died; time++) {
      open_share(&(sk_share_options){ .max_users = 8, .lane_bytes = 16384,
                                      .handler = handle });
      atomic_store(&account->started[0], 0);
      atomic_store(&account->acked[0], 0);
      if (writer) died = die_at(work, id, time);
      else {
        in_child(work, NULL);
        died = die_at(serve_once, id, time);
      }
      check_outcome();
      sk_port_close(port);
      sk_share_close(share);
      if (time > 60 && id == FAULT_COMMIT_STORED) time += 29;
    }
}

CLEAN_TEST("a writer dies at every place, each time it comes by") {
  begin();
  sk_port_close(port);
  sk_share_close(share);
  enumerate(1);
  printf("# %d deaths\n", (int)total(account->deaths));
  CHECK(total(account->deaths) >= 40);
  munmap(account, sizeof *account);
}

static void recover_and_die (void) {
  if (!die_at(serve_once, FAULT_COMMIT_POINT, 3)) return;
  die_at(serve_once, FAULT_REDO_BEGUN, 1);
  die_at(serve_once, FAULT_REDO_DONE, 1);
  die_at(serve_once, FAULT_RECOVERED, 1);
}

CLEAN_TEST("a coordinator dies at every place, each time it comes by") {
  int id;
  begin();
  sk_port_close(port);
  sk_share_close(share);
  enumerate(0);
  open_share(&(sk_share_options){ .handler = handle });
  atomic_store(&account->acked[0], 0);
  in_child(work, NULL);
  recover_and_die();
  check_outcome();
  printf("# %d deaths\n", (int)total(account->deaths));
  CHECK(total(account->deaths) >= 100);
  for (id = 1; id < FAULTS; id++) CHECK(atomic_load(&account->hits[id]) > 0);
  finish();
}

/* ---- deaths at random ---- */

struct job { int number; };

static void random_deaths (uint32_t how_often) {
  rate = how_often;
  seed = (uint32_t)getpid() * 2654435761u | 1;
}

static void serve_and_die (void *arg) {
  sk_coordinator *c;
  (void)arg;
  random_deaths(RATE);
  while (!atomic_load(&account->stop)) {
    if (share_coordinator_open(share, 1, &c)) _exit(9);
    while (!atomic_load(&account->stop))
      if (sk_coordinator_batch(c) < 0) _exit(9);
    sk_coordinator_close(c);
  }
}

/* Add to one's own number; it is never behind what was acknowledged. */
static void write_and_die (void *arg) {
  struct job *job = arg;
  int64_t one = 1, v;
  sk_item item = { SK_INT, 8, &one }, string = { TEXT, 0, text };
  char mine[16];
  sk_port *p;
  snprintf(mine, sizeof mine, "n%d", job->number);
  random_deaths(RATE);
  if (sk_port_open(share, &p)) _exit(9);
  while (!atomic_load(&account->stop)) {
    uint64_t acked = atomic_load(&account->acked[job->number]);
    atomic_fetch_add(&account->started[job->number], 1);
    if (put_item(p, mine, SK_ADD, &item, NULL)) _exit(9);
    atomic_fetch_add(&account->acked[job->number], 1);
    string.len = random_next(&seed) % 3000;
    if (put_item(p, "text", SK_SET, &string, NULL)) _exit(9);
    if (random_next(&seed) % 4) continue;
    v = get_int_by(p, mine);
    if (v >= 0 && v < (int64_t)acked) _exit(8);
    if (v < 0 && v != NOTHING + SKE_STOPPED) _exit(7);
  }
}

static void judge (int status, const char *who) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  printf("# %s ended with %x\n", who, (unsigned)status);
  CHECK(WIFSIGNALED(status));
  atomic_store(&account->stop, 1);
}

static void storm (int64_t until, struct job *jobs) {
  pid_t pids[WRITERS + 1] = { 0 };
  int i, status;
  while (now_ns() < until && !atomic_load(&account->stop)) {
    for (i = 0; i <= WRITERS; i++) {
      if (pids[i] && waitpid(pids[i], &status, WNOHANG) != pids[i]) continue;
      if (pids[i]) judge(status, i < WRITERS ? "writer" : "coordinator");
      pids[i] = i < WRITERS ? child(write_and_die, &jobs[i])
                            : child(serve_and_die, NULL);
    }
    sched_yield();
  }
  atomic_store(&account->stop, 1);
  for (i = 0; i <= WRITERS; i++) killed(pids[i]);
}

CLEAN_TEST("whoever dies at random, every acknowledged write counts once") {
  struct job jobs[WRITERS];
  int64_t seconds = getenv("SK_STRESS") ? 60 : 2;
  char path[16];
  int i;
  begin();
  for (i = 0; i < WRITERS; i++) {
    jobs[i].number = i;
    snprintf(path, sizeof path, "n%d", i);
    CHECK(put_int(path, 0) == 0);
  }
  in_child(serve_once, NULL);
  storm(now_ns() + seconds * SECOND, jobs);
  in_child(serve_once, NULL);
  for (i = 0; i < WRITERS; i++) {
    int64_t n;
    snprintf(path, sizeof path, "n%d", i);
    n = get_int(path);
    CHECK(n >= (int64_t)atomic_load(&account->acked[i]));
    CHECK(n <= (int64_t)atomic_load(&account->started[i]));
  }
  printf("# %d deaths in %d s, %d commits, %d redone\n",
         (int)total(account->deaths), (int)seconds,
         (int)atomic_load(&share->words->commits),
         (int)atomic_load(&account->hits[FAULT_REDO_DONE]));
  CHECK(total(account->deaths) > 20);
  finish();
}
