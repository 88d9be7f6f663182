/*
** Pipes: order, room, ownership, and ends whose process is gone.
*/
#include "clean.h"

#define RING ((size_t)1 << 16)

static int put (sk_pipe *p, enum sk_side side, const void *data, size_t len) {
  size_t sent = 0;
  return sk_pipe_put(p, side, data, len, &sent);
}

static int put_text (sk_pipe *p, enum sk_side side, const char *text) {
  return put(p, side, text, strlen(text));
}

/* Is that the next message? */
static int gets (sk_pipe *p, enum sk_side side, const char *text) {
  void *data;
  size_t len;
  if (sk_pipe_next(p, side, &data, &len) != 1) return 0;
  return len == strlen(text) && !memcmp(data, text, len);
}

static int is_empty (sk_pipe *p, enum sk_side side) {
  void *data;
  size_t len;
  return sk_pipe_next(p, side, &data, &len) == 0;
}

static sk_pipe *new_pipe (int one_way) {
  sk_pipe *p = NULL;
  CHECK(sk_pipe_create(one_way, RING, &p) == 0);
  return p;
}

static void free_pipe (sk_pipe *p) {
  sk_pipe_free(p, SK_ANCHOR);
  sk_pipe_free(p, SK_POINT);
}

/* Run body(p) in a forked child and wait for its end. */
static void in_fork (void (*body) (sk_pipe *), sk_pipe *p) {
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

/* ---- messages ---- */

CLEAN_TEST("messages come in order, both ways") {
  sk_pipe *p = new_pipe(0);
  CHECK(put_text(p, SK_ANCHOR, "one") == 0);
  CHECK(put_text(p, SK_ANCHOR, "two") == 0);
  CHECK(put_text(p, SK_POINT, "back") == 0);
  CHECK(gets(p, SK_POINT, "one") && gets(p, SK_POINT, "two"));
  CHECK(gets(p, SK_ANCHOR, "back") && is_empty(p, SK_ANCHOR));
  free_pipe(p);
}

CLEAN_TEST("a message longer than the ring goes in parts, as there is room") {
  sk_pipe *p = new_pipe(0);
  size_t len = 5 * RING + 3, sent = 0, got = 0, rounds = 0;
  char *text = malloc(len);
  void *data = NULL;
  int rc;
  memset(text, 'x', len);
  do {
    rc = sk_pipe_put(p, SK_ANCHOR, text, len, &sent);
    CHECK(sk_pipe_next(p, SK_POINT, &data, &got) == (sent == len));
    rounds++;
  } while (rc == SKE_FULL && rounds < 100);
  CHECK(rc == 0 && rounds > 4);
  CHECK(got == len && !memcmp(data, text, len));
  sk_pipe_done(p, SK_POINT);
  free(text);
  free_pipe(p);
}

CLEAN_TEST("a message that is not sent to its end is none") {
  sk_pipe *p = new_pipe(0);
  char text[2 * RING];
  memset(text, 'x', sizeof text);
  CHECK(put(p, SK_ANCHOR, text, sizeof text) == SKE_FULL);
  CHECK(is_empty(p, SK_POINT));
  CHECK(put_text(p, SK_ANCHOR, "next") == 0);
  CHECK(gets(p, SK_POINT, "next"));
  free_pipe(p);
}

CLEAN_TEST("a one-way pipe goes from the anchor to the point only") {
  sk_pipe *p = new_pipe(1);
  void *data;
  size_t len;
  CHECK(put_text(p, SK_ANCHOR, "there") == 0 && gets(p, SK_POINT, "there"));
  CHECK(put_text(p, SK_POINT, "back") == SKE_INVAL);
  CHECK(sk_pipe_next(p, SK_ANCHOR, &data, &len) == SKE_INVAL);
  CHECK(sk_pipe_wait(p, SK_ANCHOR, 0, MS) == SKE_INVAL);
  CHECK(sk_pipe_look(p, SK_ANCHOR, 0));
  free_pipe(p);
}

CLEAN_TEST("a wait ends in time") {
  sk_pipe *p = new_pipe(0);
  CHECK(sk_pipe_wait(p, SK_ANCHOR, 0, 0) == SKE_TIMEOUT);
  CHECK(sk_pipe_wait(p, SK_ANCHOR, 0, 2 * MS) == SKE_TIMEOUT);
  CHECK(put_text(p, SK_POINT, "x") == 0);
  CHECK(sk_pipe_wait(p, SK_ANCHOR, 0, LONG) == 0);
  CHECK(sk_pipe_wait(p, SK_ANCHOR, 1, LONG) == 0);
  free_pipe(p);
}

CLEAN_TEST("a glance tells what there is no need to wait for") {
  sk_pipe *p = new_pipe(0);
  CHECK(!sk_pipe_look(p, SK_ANCHOR, 0) && sk_pipe_look(p, SK_ANCHOR, 1));
  CHECK(put_text(p, SK_POINT, "x") == 0);
  CHECK(sk_pipe_look(p, SK_ANCHOR, 0) && gets(p, SK_ANCHOR, "x"));
  CHECK(!sk_pipe_look(p, SK_ANCHOR, 0));
  sk_pipe_close(p, SK_POINT);
  CHECK(sk_pipe_look(p, SK_ANCHOR, 0));
  free_pipe(p);
}

/* ---- ends ---- */

CLEAN_TEST("a closed end: first what was sent, then SKE_CLOSED") {
  sk_pipe *p = new_pipe(0);
  CHECK(put_text(p, SK_ANCHOR, "last") == 0);
  sk_pipe_close(p, SK_ANCHOR);
  CHECK(sk_pipe_wait(p, SK_POINT, 0, LONG) == 0);
  CHECK(gets(p, SK_POINT, "last"));
  CHECK(sk_pipe_wait(p, SK_POINT, 0, LONG) == SKE_CLOSED);
  CHECK(sk_pipe_wait(p, SK_POINT, 1, LONG) == SKE_CLOSED);
  CHECK(put_text(p, SK_POINT, "x") == SKE_CLOSED);
  CHECK(sk_pipe_own(p, SK_ANCHOR) == SKE_CLOSED);
  CHECK(sk_pipe_own(p, SK_POINT) == 0);
  free_pipe(p);
}

static void use_and_die (sk_pipe *p) {
  CHECK(sk_pipe_own(p, SK_ANCHOR) == SKE_FOREIGN);
  CHECK(put_text(p, SK_POINT, "mine") == 0);
}

CLEAN_TEST("a fork takes the point by its use; its death is noticed") {
  sk_pipe *p = new_pipe(0);
  in_fork(use_and_die, p);
  CHECK(gets(p, SK_ANCHOR, "mine"));
  CHECK(sk_pipe_wait(p, SK_ANCHOR, 0, LONG) == SKE_CLOSED);
  CHECK(sk_pipe_own(p, SK_POINT) == SKE_FOREIGN);
  CHECK(put_text(p, SK_POINT, "x") == SKE_FOREIGN);
  CHECK(sk_pipe_travel(p) == 0);  /* nobody's: it may be had again */
  in_fork(use_and_die, p);
  CHECK(gets(p, SK_ANCHOR, "mine"));
  free_pipe(p);
}

static void read_parts (sk_pipe *p) {
  CHECK(is_empty(p, SK_POINT));
}

static void read_next (sk_pipe *p) {
  CHECK(gets(p, SK_POINT, "next"));
}

CLEAN_TEST("of a message whose reader died in its midst the rest is dropped") {
  sk_pipe *p = new_pipe(0);
  char text[RING + RING / 2];
  size_t sent = 0;
  memset(text, 'x', sizeof text);
  CHECK(sk_pipe_put(p, SK_ANCHOR, text, sizeof text, &sent) == SKE_FULL);
  in_fork(read_parts, p);
  /* to a dead end nobody would send on */
  sk_pipe_travel(p);
  CHECK(sk_pipe_receive(p) == 0);
  CHECK(sk_pipe_put(p, SK_ANCHOR, text, sizeof text, &sent) == 0);
  CHECK(put_text(p, SK_ANCHOR, "next") == 0);
  in_fork(read_next, p);
  free_pipe(p);
}

static void refused (sk_pipe *p) {
  CHECK(sk_pipe_own(p, SK_POINT) == SKE_FOREIGN);
}

CLEAN_TEST("a locked point is not inherited, and does not travel") {
  sk_pipe *p = new_pipe(0);
  sk_pipe_lock(p, 1);
  CHECK(sk_pipe_is_locked(p));
  in_fork(refused, p);
  CHECK(sk_pipe_travel(p) == SKE_BUSY);
  sk_pipe_hand(p, getpid());
  CHECK(sk_pipe_own(p, SK_POINT) == 0);
  sk_pipe_lock(p, 0);
  CHECK(sk_pipe_travel(p) == 0);
  in_fork(use_and_die, p);
  free_pipe(p);
}

CLEAN_TEST("an heir that died without a use is noticed") {
  sk_pipe *p = new_pipe(0);
  pid_t pid = fork();
  int status;
  if (pid == 0) {
    pause();
    _exit(0);
  }
  sk_pipe_hand(p, pid);
  CHECK(sk_pipe_own(p, SK_POINT) == SKE_FOREIGN);
  CHECK(sk_pipe_wait(p, SK_ANCHOR, 0, 2 * MS) == SKE_TIMEOUT);
  kill(pid, SIGKILL);
  CHECK(sk_pipe_wait(p, SK_ANCHOR, 0, LONG) == SKE_CLOSED);  /* a zombie */
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(sk_pipe_wait(p, SK_ANCHOR, 0, LONG) == SKE_CLOSED);
  free_pipe(p);
}

CLEAN_TEST("a pipe is attached once, and closed with its last use") {
  sk_pipe *p = new_pipe(0), *again = NULL;
  uint64_t id;
  pid_t pid;
  int fd;
  CHECK(sk_pipe_where(p, &pid, &fd, &id) == 0);
  CHECK(sk_pipe_attach(pid, fd, id, SK_POINT, &again) == 0 && again == p);
  CHECK(sk_pipe_attach(pid, fd, id + 1, SK_POINT, &again) == SKE_UNKNOWN);
  sk_pipe_free(p, SK_POINT);
  CHECK(sk_pipe_receive(p) == 0);
  CHECK(put_text(p, SK_POINT, "x") == 0 && gets(p, SK_ANCHOR, "x"));
  sk_pipe_free(p, SK_POINT);
  CHECK(sk_pipe_wait(p, SK_ANCHOR, 0, LONG) == SKE_CLOSED);
  sk_pipe_free(p, SK_ANCHOR);
}

CLEAN_TEST("what is no pipe is not attached as one") {
  sk_segment *s;
  sk_pipe *p = NULL;
  uint64_t id, off;
  pid_t pid;
  int fd;
  CHECK(sk_segment_create("other", 1 << 20, &s) == 0);
  CHECK(sk_segment_where(s, &pid, &fd, &id) == 0);
  CHECK(sk_pipe_attach(pid, fd, id, SK_POINT, &p) == SKE_CORRUPT);
  CHECK(sk_segment_alloc(s, 4096, 128, &off) == 0);
  memset(sk_segment_at(s, off, 4096), 0xff, 4096);
  CHECK(sk_pipe_attach(pid, fd, id, SK_POINT, &p) == SKE_CORRUPT);
  CHECK(p == NULL);
  sk_segment_close(s);
}
