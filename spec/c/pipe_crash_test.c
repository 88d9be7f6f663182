/*
** The owner of a pipe's point is killed after every instruction of its sends
** and its receipts: what others find is always whole.
*/
#include "step.h"

#define RING ((size_t)1 << 14)

enum { MESSAGES = 3 };

/* Every moment takes long: without SK_STRESS only some, others each time. */
enum { STRIDE = 13 };

static int first_moment (void) {
  return getenv("SK_STRESS") ? 1 : 1 + (int)getpid() % STRIDE;
}

static int next_moment (int n) {
  if (!getenv("SK_STRESS")) n += STRIDE - 1;
  return STEP_NEXT(n);
}

static int put (sk_pipe *p, enum sk_side side, int n) {
  size_t sent = 0;
  return sk_pipe_put(p, side, &n, sizeof n, &sent);
}

/* The next message, or 0. */
static int next (sk_pipe *p, enum sk_side side) {
  void *data;
  size_t len;
  int n;
  if (sk_pipe_next(p, side, &data, &len) != 1 || len != sizeof n) return 0;
  memcpy(&n, data, sizeof n);
  return n;
}

static void send_all (void *arg) {
  int n;
  for (n = 1; n <= MESSAGES; n++) put(arg, SK_POINT, n);
}

static void receive_all (void *arg) {
  int n;
  for (n = 1; n <= MESSAGES; n++) next(arg, SK_POINT);
}

static void kill_it (pid_t pid) {
  int status;
  kill(pid, SIGKILL);
  REQUIRE(waitpid(pid, &status, 0) == pid);
}

/* What the next owner does with the point, in a fork. */
static void as_next_owner (sk_pipe *p, void (*body) (sk_pipe *)) {
  int status;
  pid_t pid;
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    body(p);
    _exit(0);
  }
  REQUIRE(waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
}

static void send_one (sk_pipe *p) {
  CHECK(put(p, SK_POINT, 99) == 0);
}

CLEAN_TEST("a sender killed anywhere has sent the first few, whole") {
  int n, over = 0;
  for (n = first_moment(); !over; n = next_moment(n)) {
    sk_pipe *p;
    pid_t pid;
    int i, got;
    REQUIRE(sk_pipe_create(0, RING, &p) == 0);
    pid = step_to(send_all, p, n, &over);
    kill_it(pid);
    for (i = 1; (got = next(p, SK_ANCHOR)) != 0; i++) CHECK(got == i);
    CHECK(i <= MESSAGES + 1 && (!over || i == MESSAGES + 1));
    as_next_owner(p, send_one);
    CHECK(next(p, SK_ANCHOR) == 99);
    CHECK(sk_pipe_wait(p, SK_ANCHOR, 0, LONG) == SKE_CLOSED);
    sk_pipe_free(p, SK_POINT);
    sk_pipe_free(p, SK_ANCHOR);
  }
}

/* What the last one left: the last few, in order. */
static void receive_rest (sk_pipe *p) {
  int first = next(p, SK_POINT), n;
  CHECK(first >= 0 && first <= MESSAGES);
  for (n = first + 1; first && n <= MESSAGES; n++)
    CHECK(next(p, SK_POINT) == n);
  CHECK(next(p, SK_POINT) == 0);
}

CLEAN_TEST("a receiver killed anywhere leaves the last few, whole") {
  int n, over = 0;
  for (n = first_moment(); !over; n = next_moment(n)) {
    sk_pipe *p;
    pid_t pid;
    int i;
    REQUIRE(sk_pipe_create(0, RING, &p) == 0);
    for (i = 1; i <= MESSAGES; i++) CHECK(put(p, SK_ANCHOR, i) == 0);
    pid = step_to(receive_all, p, n, &over);
    kill_it(pid);
    as_next_owner(p, receive_rest);
    sk_pipe_free(p, SK_POINT);
    sk_pipe_free(p, SK_ANCHOR);
  }
}
