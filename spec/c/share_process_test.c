/*
** Shares between processes: who is killed, who goes on, what is left.
*/
#include "share_helper.h"

#include "os.h"
#include "share.h"

enum { CRASH = SK_CALL, HANG, COUNT_UP, LEAVE };

static int handle (void *arg, sk_change *c, const sk_command *cmd) {
  sk_item item;
  int64_t n;
  uint64_t space[2];
  int rc;
  (void)arg;
  switch (cmd->kind) {
    case CRASH: raise(SIGABRT); return 0;
    case LEAVE: _exit(7);
    case HANG: for (;;) pause();
    default:
      if ((rc = sk_change_get(c, &cmd->path, &item))) return rc;
      memcpy(&n, item.data, sizeof n);
      n++;
      item.data = &n;
      return sk_change_set(c, &cmd->path, space, sk_item_put(space, &item));
  }
}

static void with_process (void (*test) (void)) {
  open_share(&(sk_share_options){ .handler = handle,
                                  .call_limit_ns = 200 * MS });
  REQUIRE(sk_share_start(share) == 0);
  CHECK(put_int("n", 0) == 0);
  apply();
  test();
  sk_port_close(port);
  CHECK(sk_share_stop(share, LONG) == 0);
  CHECK(sk_share_pid(share) == 0);
  sk_share_close(share);
}

/* A test with a coordinator in its own process, as users have it. */
#define PROCESS_TEST(name) PROCESS_DEFINE(name, CHECK_PASTE(proc_, __LINE__))
#define PROCESS_DEFINE(text, id) \
  static void id (void); \
  CLEAN_TEST(text) { with_process(id); } \
  static void id (void)

static pid_t keeper_pid (void) {
  int64_t until = now_ns() + LONG;
  pid_t pid;
  while (!(pid = os_lock_holder(share->segment->fd, LOCK_KEEPER, 1)) &&
         now_ns() < until)
    rest_ms(1);
  return pid;
}

/* The coordinator's process, waited for. */
static pid_t serving (void) {
  int64_t until = now_ns() + LONG;
  pid_t pid = 0;
  while (!(pid = sk_share_pid(share)) && now_ns() < until) rest_ms(1);
  return pid;
}

PROCESS_TEST("writes are applied by another process") {
  CHECK(serving() > 0 && serving() != getpid());
  CHECK(put_int("a", 5) == 0);
  CHECK(get_int("a") == 5);
}

PROCESS_TEST("nothing acknowledged is lost when the coordinator is killed") {
  int64_t i, now;
  for (i = 1; i <= 20; i++) {
    CHECK(add_int("n", 1, &now) == 0 && now == i);
    CHECK(put_int("a", i) == 0);
    kill(serving(), SIGKILL);
    CHECK(get_int("a") == i);
    CHECK(get_int("n") == i);
  }
}

PROCESS_TEST("keeper and coordinator killed together are replaced") {
  pid_t keeper = keeper_pid();
  pid_t pid = serving();
  CHECK(keeper > 0 && pid > 0 && pid != keeper);
  kill(keeper, SIGKILL);
  kill(pid, SIGKILL);
  CHECK(put_int("a", 1) == 0);
  CHECK(get_int("a") == 1);
  CHECK(serving() != pid);
}

PROCESS_TEST("the coordinator goes on without its keeper") {
  pid_t keeper = keeper_pid(), pid = serving();
  kill(keeper, SIGKILL);
  CHECK(put_int("a", 1) == 0);
  CHECK(get_int("a") == 1);
  CHECK(serving() == pid);
}

struct adder { int times; };

static void add_many (void *arg) {
  struct adder *a = arg;
  sk_port *own;
  int64_t one = 1;
  sk_item item = { SK_INT, 8, &one };
  int i;
  CHECK(sk_port_open(share, &own) == 0);
  for (i = 0; i < a->times; i++)
    CHECK(put_item(own, "n", SK_ADD, &item, NULL) == 0);
  sk_port_close(own);
}

PROCESS_TEST("writers in many processes lose nothing") {
  struct adder a[8];
  int i;
  for (i = 0; i < 8; i++) a[i].times = ROUNDS(5000);
  in_children(8, add_many, a, sizeof *a);
  CHECK(get_int("n") == 8 * ROUNDS(5000));
}

static void use_inherited (void *arg) {
  (void)arg;
  CHECK(put_int("child", 1) == 0);  /* through the parent's port */
  CHECK(get_int("child") == 1);
}

PROCESS_TEST("a port works on in a forked child, with a lane of its own") {
  CHECK(put_int("parent", 1) == 0);
  in_child(use_inherited, NULL);
  CHECK(put_int("parent", 2) == 0);
  CHECK(get_int("child") == 1 && get_int("parent") == 2);
}

static void add_and_die (void *arg) {
  int64_t one = 1;
  sk_item item = { SK_INT, 8, &one };
  (void)arg;
  CHECK(put_item(port, "n", SK_ADD, &item, NULL) == 0);
  raise(SIGKILL);
}

PROCESS_TEST("what a killed writer had written is applied, its lane reused") {
  int i;
  for (i = 0; i < 100; i++) ended(child(add_and_die, NULL));
  CHECK(get_int("n") == 100);
  CHECK(atomic_load(&share->words->lane_top) <= 3);
}

static void open_and_wait (void *arg) {
  sk_port *own;
  event *e = arg;
  CHECK(sk_port_open(share, &own) == 0);
  CHECK(sk_port_flush(own, LONG) == 0);
  port = own;
  CHECK(put_int("x", 1) == 0);
  tell(&e[0]);
  CHECK(await(&e[1], 1));
}

CLEAN_TEST("one user too many is told so") {
  event *e = shared_memory(2 * sizeof *e);
  pid_t pid;
  open_share(&(sk_share_options){ .max_users = 1 });
  REQUIRE(sk_share_start(share) == 0);
  pid = child(open_and_wait, e);
  CHECK(await(&e[0], 1));
  CHECK(put_int("a", 1) == SKE_MANY);
  tell(&e[1]);
  CHECK(ended(pid) == 0);
  CHECK(put_int("a", 1) == 0);
  close_share();
  munmap(e, 2 * sizeof *e);
}

PROCESS_TEST("a call that crashes the coordinator is dropped after two tries") {
  sk_answer a;
  CHECK(ask_item("n", CRASH, NULL, &a) == SKE_POISON);
  CHECK(ask_item("n", LEAVE, NULL, &a) == SKE_POISON);
  CHECK(ask_item("n", COUNT_UP, NULL, &a) == 0);
  CHECK(get_int("n") == 1);
}

PROCESS_TEST("a call that never ends is killed and dropped") {
  sk_answer a;
  CHECK(ask_item("n", HANG, NULL, &a) == SKE_POISON);
  CHECK(ask_item("n", COUNT_UP, NULL, &a) == 0);
}

PROCESS_TEST("a coordinator that cannot live is given up, and said to be") {
  sk_item item;
  int i;
  CHECK(sk_share_stop(share, LONG) == 0);
  CHECK(put_int("a", 1) == 0);
  REQUIRE(!mprotect(share->store, share_store_bytes(share),
                    PROT_READ | PROT_WRITE));
  atomic_store(&share->store->journal.state, 1);
  share->store->journal.n = OPS + 1;  /* nobody could have written that */
  CHECK(sk_share_start(share) == 0);
  CHECK(sk_port_get(port, at("a"), 0, LONG, &item, NULL) == SKE_DOWN);
  CHECK(get_int("n") == 0);
  CHECK(put_int("a", 2) == SKE_DOWN);
  for (i = 0; sk_share_pid(share) && i < 1000; i++) rest_ms(1);
}

PROCESS_TEST("stop applies what was queued, start goes on") {
  int i;
  for (i = 0; i < 1000; i++) CHECK(put_int("a", i) == 0);
  CHECK(sk_share_stop(share, LONG) == 0);
  CHECK(get_int("a") == 999);
  CHECK(put_int("a", 5) == 0);
  CHECK(sk_share_start(share) == 0);
  CHECK(get_int("a") == 5);
}

PROCESS_TEST("stop kills a coordinator that is stopped, and nothing is lost") {
  kill(serving(), SIGSTOP);
  CHECK(put_int("a", 1) == 0);
  CHECK(sk_share_stop(share, 100 * MS) == SKE_TIMEOUT);
  CHECK(sk_share_pid(share) == 0);
  CHECK(sk_share_start(share) == 0);
  CHECK(get_int("a") == 1);
}

PROCESS_TEST("a reader of a stopped coordinator waits no longer than it says") {
  sk_item item;
  pid_t pid = serving();
  kill(pid, SIGSTOP);
  CHECK(put_int("a", 1) == 0);
  CHECK(sk_port_get(port, at("a"), 0, 50 * MS, &item, NULL) == SKE_TIMEOUT);
  kill(pid, SIGCONT);
  CHECK(get_int("a") == 1);
}

static void create_and_leave (void *arg) {
  pid_t *pids = arg;
  open_share(NULL);
  CHECK(sk_share_start(share) == 0);
  CHECK(put_int("a", 1) == 0);
  CHECK(get_int("a") == 1);
  pids[0] = sk_share_pid(share);
  pids[1] = keeper_pid();
  raise(SIGKILL);
}

static int is_there (pid_t pid) {
  char path[32], line[256] = "";
  FILE *f;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  f = fopen(path, "re");
  if (!f) return 0;
  if (!fgets(line, sizeof line, f)) line[0] = 0;
  fclose(f);
  return line[0] && !strstr(line, ") Z");
}

CLEAN_TEST("nothing is left three seconds after the last user was killed") {
  pid_t *pids = shared_memory(2 * sizeof *pids);
  int64_t until;
  ended(child(create_and_leave, pids));
  CHECK(pids[0] > 0 && pids[1] > 0);
  until = now_ns() + 3500 * MS;
  while ((is_there(pids[0]) || is_there(pids[1])) && now_ns() < until)
    rest_ms(10);
  CHECK(!is_there(pids[0]) && !is_there(pids[1]));
  munmap(pids, 2 * sizeof *pids);
}

static void write_the_store (void *arg) {
  (void)arg;
  signal(SIGSEGV, SIG_DFL);
  atomic_store(&share->store->moves, 7);
}

PROCESS_TEST("a wild store into the store faults instead of damaging it") {
  int status = ended(child(write_the_store, NULL));
  CHECK(status != 0);
  CHECK(atomic_load(&share->store->moves) != 7);
}
