/*
** Boards: the last value, whole, whatever happens to the one who posts.
*/
#include "clean.h"
#include "segment.h"

#define BYTES ((size_t)4 << 20)

struct board {
  sk_segment *s;
  sk_board *b;
  event *ready;
};

static struct board open_board (void) {
  struct board x;
  REQUIRE(sk_segment_create("board", 1 << 20, &x.s) == 0);
  REQUIRE(sk_board_create(x.s, BYTES, &x.b) == 0);
  x.ready = shared_memory(sizeof *x.ready);
  return x;
}

static void close_board (struct board *x) {
  munmap(x->ready, sizeof *x->ready);
  sk_board_free(x->b);
  sk_segment_close(x->s);
}

/* A value that tells whether it is whole: its number, again and again. */
static int post (sk_board *b, uint32_t number, size_t words) {
  uint32_t *p = malloc(words * sizeof *p);
  size_t i;
  int rc;
  for (i = 0; i < words; i++) p[i] = number;
  rc = sk_board_post(b, p, words * sizeof *p);
  free(p);
  return rc;
}

/* -> the number of a whole value; 0 when there is none or it is torn */
static uint32_t read_board (const sk_board *b, size_t *words) {
  uint64_t number;
  uint32_t *p, first;
  void *data;
  size_t len, i;
  if (sk_board_read(b, &number, &data, &len)) return 0;
  p = data;
  first = p[0];
  for (i = 0; i < len / sizeof *p; i++) if (p[i] != first) first = 0;
  *words = len / sizeof *p;
  free(data);
  return first;
}

CLEAN_TEST("there is nothing to read before the first value") {
  struct board x = open_board();
  uint64_t number = 9;
  void *data = &x;
  size_t len = 7;
  CHECK(sk_board_read(x.b, &number, &data, &len) == SKE_ABSENT);
  CHECK(number == 9 && data == &x && len == 7);
  CHECK(sk_board_number(x.b) == 0);
  close_board(&x);
}

CLEAN_TEST("a reader gets the last value, of whatever size") {
  struct board x = open_board();
  uint32_t i;
  size_t words;
  for (i = 1; i < 40; i++) {
    CHECK(post(x.b, i, i * 20000) == 0);
    CHECK(sk_board_number(x.b) == i);
    CHECK(read_board(x.b, &words) == i);
    CHECK(words == i * 20000);
  }
  close_board(&x);
}

CLEAN_TEST("one that is too large leaves the one before") {
  struct board x = open_board();
  size_t words;
  CHECK(post(x.b, 1, 10) == 0);
  CHECK(post(x.b, 2, BYTES / 4 + 1) == SKE_FULL);
  CHECK(read_board(x.b, &words) == 1);
  CHECK(post(x.b, 3, BYTES / 4) == 0);
  CHECK(read_board(x.b, &words) == 3);
  close_board(&x);
}

CLEAN_TEST("a reset empties it") {
  struct board x = open_board();
  size_t words;
  CHECK(post(x.b, 1, BYTES / 4) == 0);
  sk_board_reset(x.b);
  CHECK(read_board(x.b, &words) == 0);
  CHECK(post(x.b, 2, 10) == 0);
  CHECK(read_board(x.b, &words) == 2);
  close_board(&x);
}

static void post_for_ever (void *arg) {
  struct board *x = arg;
  uint32_t i = (uint32_t)sk_board_number(x->b) + 1;
  tell(x->ready);
  for (;; i++) post(x->b, i, 1 + i * 7919 % 30000);
}

CLEAN_TEST("no reader ever sees half of a value") {
  struct board x = open_board();
  pid_t pid = child(post_for_ever, &x);
  uint32_t last = 0, i;
  size_t words;
  CHECK(await(x.ready, 1));
  while (sk_board_number(x.b) == 0) rest_ms(1);
  for (i = 0; i < ROUNDS(5000); i++) {
    uint32_t now = read_board(x.b, &words);
    CHECK(now >= last && now > 0);
    CHECK(words == 1 + now * 7919 % 30000);
    last = now;
  }
  killed(pid);
  close_board(&x);
}

CLEAN_TEST("a poster that is killed leaves a whole value") {
  struct board x = open_board();
  uint32_t round, seed = 3;
  size_t words;
  CHECK(post(x.b, 1, 100) == 0);
  for (round = 1; round <= 50; round++) {
    pid_t pid = child(post_for_ever, &x);
    CHECK(await(x.ready, round));
    rest_ms((long)(random_next(&seed) % 3));
    killed(pid);
    CHECK(read_board(x.b, &words) == sk_board_number(x.b));
  }
  close_board(&x);
}
