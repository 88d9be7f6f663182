/*
** The scout only looks: whatever comes next in a lane, the same happens with
** tables that it fetches ahead for as with small ones.
*/
#include "share_helper.h"

#include "share_coordinator.h"

enum { WIDE_TABLE = 20000, ROUND = 400 };

static int64_t model[2][WIDE_TABLE + 1];  /* 0: no such key */

static const char *name_of (int table, int64_t key) {
  static char names[4][32];
  static int turn;
  char *name = names[turn = (turn + 1) % 4];
  snprintf(name, sizeof names[0], "%c.%lld", "ab"[table], (long long)key);
  return name;
}

static void fill (int table) {
  int64_t key;
  CHECK(put_table(table ? "b" : "a") == 0);
  for (key = 1; key <= WIDE_TABLE; key++) {
    CHECK(put_int(name_of(table, key), key) == 0);
    model[table][key] = key;
    if (key % ROUND == 0) apply();
  }
}

static void check_all (void) {
  int table;
  int64_t key;
  for (table = 0; table < 2; table++)
    for (key = 1; key <= WIDE_TABLE; key++) {
      int64_t is = get_int(name_of(table, key)), was = model[table][key];
      if (is != (was ? was : NOTHING + SKE_ABSENT))
        CHECK(is == was);  /* says which */
    }
}

/* Is the lane's scout at work, and how far ahead? */
static uint64_t ahead (void) {
  const struct scout *t = &coordinator->scouts[port->lane];
  return t->rest || !t->n ? 0 : t->n - t->applied;
}

SHARE_TEST("it looks ahead in wide tables, and rests in small ones") {
  int64_t key;
  CHECK(put_table("t") == 0);
  for (key = 1; key <= 100; key++) CHECK(put_int("t.1", key) == 0);
  apply();
  CHECK(coordinator->scouts[port->lane].rest > 0);
  fill(0);
  for (key = 1; key <= 700; key++)
    CHECK(put_int(name_of(0, key * 7 % WIDE_TABLE + 1), key) == 0);
  apply();
  CHECK(coordinator->scouts[port->lane].rest == 0);
  CHECK(ahead() <= 7 && coordinator->scouts[port->lane].n > 100);
  CHECK(get_int(name_of(0, 700 * 7 % WIDE_TABLE + 1)) == 700);
}

static void one_of_many (uint32_t *seed) {
  int table = (int)(random_next(seed) % 2);
  int64_t key = random_next(seed) % WIDE_TABLE + 1;
  const char *path = name_of(table, key);
  switch (random_next(seed) % 16) {
    case 0: CHECK(put_int("n", key) == 0); break;
    case 1: CHECK(put_table("c") == 0 && put_int("c.1", key) == 0); break;
    case 2: CHECK(order("c", SK_DELETE) == 0); break;
    case 3: CHECK(put_int("c.d.e", 1) == 0); break;  /* leads nowhere */
    case 4: case 5:
      CHECK(order(path, SK_DELETE) == 0);
      model[table][key] = 0;
      break;
    default:
      CHECK(put_int(path, key + 1) == 0);
      model[table][key] = key + 1;
  }
}

SHARE_TEST("random commands on two wide tables do what they say") {
  uint32_t seed = 7;
  int round, i;
  fill(0);
  fill(1);
  for (round = 0; round < 40; round++) {
    for (i = 0; i < ROUND; i++) one_of_many(&seed);
    apply();
    if (round % 10 == 9) serve_anew();
  }
  check_all();
}

SHARE_TEST("a table that goes while it is looked at is no harm") {
  uint32_t seed = 3;
  int64_t key;
  int round, i;
  fill(0);
  fill(1);
  for (round = 0; round < 5; round++) {
    for (i = 0; i < 100; i++) one_of_many(&seed);
    CHECK(order("a", SK_DELETE) == 0);
    memset(model[0], 0, sizeof model[0]);
    for (i = 0; i < 100; i++) one_of_many(&seed);
    CHECK(put_table("a") == 0);
    memset(model[0], 0, sizeof model[0]);
    for (key = 1; key <= 100; key++) {
      CHECK(put_int(name_of(0, key), round + 1) == 0);
      model[0][key] = round + 1;
    }
    apply();
  }
  check_all();
}

/* What a writer that has gone mad leaves behind its good commands. */
static void scribble (uint32_t *seed) {
  uint64_t size = share->lane_bytes, i;
  uint64_t from = port->head - 8ull * (random_next(seed) % 500 + 1);
  for (i = from; i < port->head; i++)
    if (random_next(seed) % 8 == 0)
      port->ring[i % size] = (uint8_t)random_next(seed);
}

SHARE_TEST("rubbish ahead harms nobody") {
  uint32_t seed = 11;
  int round, i;
  fill(0);
  fill(1);
  CHECK(put_int("kept", 1) == 0);
  apply();
  for (round = 0; round < 300; round++) {
    for (i = 0; i < 40; i++) one_of_many(&seed);
    scribble(&seed);
    CHECK(sk_coordinator_batch(coordinator) >= 0);
  }
  CHECK(put_int("kept", 2) == 0);
  apply();
  CHECK(get_int("kept") == 2);
}
