/*
** Two processes at the worst of moments: a reader stopped in the middle of
** its copy while the value changes, a batch that begins while others write.
*/
#include "share_helper.h"
#include "step.h"

#include <sched.h>

#include "share_coordinator.h"

enum { LARGE = 70000, POINTS = 4 };

static sk_port *other;
static int hook_id;

/* ---- order ---- */

/* Once, when the coordinator has looked at the first lane only: a write there
** is acknowledged, then one in the second lane. */
static void write_both (int id) {
  int64_t first = 1, second = 2;
  sk_item a = { SK_INT, 8, &first }, b = { SK_INT, 8, &second };
  if (id != hook_id) return;
  hook_id = 0;
  CHECK(put_item(port, "x", SK_SET, &a, NULL) == 0);
  CHECK(put_item(other, "x", SK_SET, &b, NULL) == 0);
}

CLEAN_TEST("an acknowledged write comes before one that began after it") {
  open_share(NULL);
  serve();
  CHECK(sk_port_open(share, &other) == 0);
  CHECK(share_port_claim(port) == 0 && share_port_claim(other) == 0);
  CHECK(port->lane < other->lane);
  hook_id = FAULT_BATCH_LANE;
  share_fault_hook = write_both;
  apply();
  CHECK(hook_id == 0);
  share_fault_hook = NULL;
  apply();
  CHECK(get_int("x") == 2);
  sk_port_close(other);
  close_share();
}

/* ---- a reader that is stopped ---- */

/* Of its blocks none stays in quarantine: they are reused at once. */
static void put_large (int c) {
  char *data = malloc(LARGE);
  sk_item item = { TEXT, LARGE, data };
  sk_receipt r;
  memset(data, c, LARGE);
  CHECK(put_item(port, "large", SK_SET, &item, &r) == 0);
  sk_port_forget(port, &r);
  free(data);
}

static int is_whole (const sk_item *item) {
  const char *p = item->data;
  return item->len == LARGE && !memcmp(p, p + 1, LARGE - 1);
}

static void read_large (void *arg) {
  sk_item item;
  (void)arg;
  CHECK(sk_port_get(other, at("large"), 0, LONG, &item, NULL) == 0);
  CHECK(is_whole(&item));
}

static void serve_once (void *arg) {
  sk_coordinator *c;
  (void)arg;
  CHECK(share_coordinator_open(share, 0, &c) == 0);
  while (sk_coordinator_batch(c) > 0) {}
  sk_coordinator_close(c);
}

static void overwrite_twice (void) {
  put_large('b');
  in_child(serve_once, NULL);
  put_large('c');
  in_child(serve_once, NULL);
}

static void die_there (int id) {
  if (id == hook_id) kill(getpid(), SIGKILL);
}

/* The next value is written, and the coordinator dies before the commit. */
static void overwrite_half (void) {
  put_large('d');
  hook_id = FAULT_COMMIT_FILLED;
  share_fault_hook = die_there;
  CHECK(WIFSIGNALED(ended(child(serve_once, NULL))));
  share_fault_hook = NULL;
}

static void stop_and_change (void (*change) (void)) {
  int n, i, over, total = 0;
  pid_t pid;
  if (SANITIZED) return;  /* ten times the instructions, the same accesses */
  open_share(&(sk_share_options){ .lane_bytes = 1 << 20 });
  CHECK(sk_port_open(share, &other) == 0);
  put_large('a');
  in_child(serve_once, NULL);
  pid = step_begin(read_large, NULL);
  while (step_on(pid)) total++;
  CHECK(step_end(pid) == 0);
  for (i = 1; i <= POINTS; i++) {
    put_large('a');
    in_child(serve_once, NULL);
    n = (int)((int64_t)total * i / (POINTS + 1));
    pid = step_to(read_large, NULL, n, &over);
    if (!over) change();
    CHECK(step_end(pid) == 0);
    in_child(serve_once, NULL);
  }
  sk_port_close(other);
  close_share();
}

CLEAN_TEST("a reader stopped anywhere never sees halves of two values") {
  stop_and_change(overwrite_twice);
}

CLEAN_TEST("nor what a coordinator that died had not committed") {
  stop_and_change(overwrite_half);
}

/* ---- an object whose commit is only half done ---- */

enum { SET_BOTH = SK_CALL, LOOKS = 4, STEP = 29 };

static int looks, torn;

static int set_both (void *arg, sk_change *c, const sk_command *cmd) {
  static const char *const paths[] = { "o.a", "o.b" };
  uint64_t space[2];
  int64_t v;
  size_t i;
  int rc = 0;
  (void)arg;
  memcpy(&v, (const char *)cmd->payload + 8, sizeof v);
  for (i = 0; i < 2 && !rc; i++) {
    sk_item item = { SK_INT, 8, &v };
    rc = sk_change_set(c, at(paths[i]), space, sk_item_put(space, &item));
  }
  return rc;
}

/* The two fields as a list has them; 0: it could not be had at once. */
static int list_both (int64_t v[2]) {
  const void *data;
  size_t len, i;
  uint32_t pairs;
  const uint8_t *at_item;
  if (sk_port_list(other, at("o"), 0, &data, &len, &pairs, NULL)) return 0;
  CHECK(pairs == 2);
  at_item = data;
  for (i = 0; i < 2; i++) {
    sk_item key, value;
    at_item += sk_item_get(at_item, len, &key);
    at_item += sk_item_get(at_item, len, &value);
    memcpy(&v[i], value.data, sizeof *v);
  }
  return 1;
}

/* A reader stopped after any few of its instructions, while a call or two
** are applied, for which it need not wait. */
static void read_both (void *arg) {
  int64_t v[2] = { 0, 0 };
  (void)arg;
  CHECK(list_both(v));
  CHECK(v[0] == v[1]);
}

static void call_both (int64_t v) {
  sk_item item = { SK_INT, 8, &v };
  CHECK(put_item(port, "o", SET_BOTH, &item, NULL) == 0);
  in_child(serve_once, NULL);
}

static void open_both (void) {
  sk_share_options o = { .handler = set_both };
  sk_item table = { SK_OBJECT, 0, NULL };
  open_share(&o);
  CHECK(sk_port_open(share, &other) == 0);
  CHECK(put_item(port, "o", SK_SET, &table, NULL) == 0);
  call_both(1);
}

CLEAN_TEST("nor two fields of an object, of before and after a call") {
  int n, over = 0;
  pid_t pid;
  if (SANITIZED) return;
  open_both();
  for (n = 1; !over; n += STEP) {
    pid = step_to(read_both, NULL, n, &over);
    call_both(n);
    CHECK(step_end(pid) == 0);
  }
  CHECK(n > 30 * STEP);
  sk_port_close(other);
  close_share();
}

/* A reader that looked at the marks before the call was sent looks at the
** object between any two of the commit's stores. */
static void look_between (int id) {
  int64_t v[2];
  if (id != FAULT_COMMIT_STORED && id != FAULT_COMMIT_POINT) return;
  looks++;
  if (list_both(v) && v[0] != v[1]) torn++;
}

CLEAN_TEST("nor when the commit itself is half done") {
  int64_t v;
  open_both();
  serve();
  looks = torn = 0;
  for (v = 2; v <= 4; v++) {
    sk_item item = { SK_INT, 8, &v };
    int64_t seen[2] = { 0, 0 };
    CHECK(put_item(port, "o", SET_BOTH, &item, NULL) == 0);
    memset((void *)port->words->marks, 0, sizeof port->words->marks);
    share_fault_hook = look_between;
    apply();
    share_fault_hook = NULL;
    CHECK(list_both(seen) && seen[0] == v && seen[1] == v);
  }
  CHECK(looks >= LOOKS);
  CHECK(torn == 0);
  sk_port_close(other);
  close_share();
}

/* ---- a wake-up that never comes ---- */

static int is_applied (sk_port *p, const void *end) {
  return atomic_load(&p->state->applied) >= *(const uint64_t *)end;
}

static void wait_for_answer (void *arg) {
  int64_t one = 1;
  sk_item item = { SK_INT, 8, &one };
  struct share_wait w = { is_applied, NULL, -1, 1, 0 };
  sk_receipt r;
  (void)arg;
  CHECK(put_item(other, "x", SK_SET, &item, &r) == 0);
  w.arg = &r.end;
  CHECK(share_wait(other, &w) == 0);
}

CLEAN_TEST("a coordinator that dies before it wakes who waits leaves nobody "
           "asleep") {
  pid_t waiting;
  open_share(NULL);
  CHECK(sk_port_open(share, &other) == 0);
  waiting = child(wait_for_answer, NULL);
  while (!(atomic_load(&share->words->epoch) & 1)) sched_yield();
  hook_id = FAULT_BATCH_APPLIED;
  share_fault_hook = die_there;
  CHECK(WIFSIGNALED(ended(child(serve_once, NULL))));
  share_fault_hook = NULL;
  CHECK(ended(waiting) == 0);
  sk_port_close(other);
  close_share();
}
