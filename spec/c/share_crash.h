/*
** Processes killed after any one of their instructions: the machinery. The
** victim runs on one share; after each instruction its memory, if it is as
** never before, is copied into a second share, where it is looked at.
**
** A test has a handler, a check of what a reader finds before a recovery and
** one of what is there after it.
*/
#ifndef SPEC_SHARE_CRASH_H
#define SPEC_SHARE_CRASH_H

#include "share_helper.h"
#include "step.h"

#include "os.h"
#include "share_coordinator.h"

enum { HEAP_SEEN = 48 << 10, LANES = 2, LANE = 4096 };
enum { FEW_AGAIN = 1, MANY_AGAIN = 40 };  /* states to die in twice */

static sk_share *live, *copy;
static long states, steps;
static int finished;  /* the victim came to its end */

static int handle (void *arg, sk_change *c, const sk_command *cmd);
static void check_reader (void);
static void check_values (sk_port *p);

/* ---- images ---- */

struct part { uint64_t off; size_t n; };

/* What of a share is compared and copied. */
static void parts_of (const sk_share *s, struct part p[3]) {
  uint64_t words = (uint64_t)((uint8_t *)s->words - s->base);
  p[0] = (struct part){ words, (size_t)(s->store_end - words) };
  p[1] = (struct part){ s->ring_off, LANES * LANE };
  p[2] = (struct part){ s->heap_off,
                        atomic_load(&s->store->heap_size) ? HEAP_SEEN : 0 };
}

/* Four sums side by side: most of the time of these tests goes by here. */
static uint64_t hash_of (const sk_share *s) {
  struct part p[3];
  uint64_t h[4] = { 1, 2, 3, 4 };
  size_t i, j, k;
  parts_of(s, p);
  for (i = 0; i < 3; i++) {
    const uint64_t *at = (const uint64_t *)(s->base + p[i].off);
    REQUIRE(p[i].n % sizeof h == 0);
    for (k = 0; k < p[i].n / 8; k += 4)
      for (j = 0; j < 4; j++)
        h[j] = (h[j] ^ at[k + j]) * 0x9e3779b97f4a7c15u + (h[j] >> 31);
  }
  return h[0] ^ h[1] * 3 ^ h[2] * 5 ^ h[3] * 7;
}

static void transfer (sk_share *to, const sk_share *from) {
  struct part p[3];
  size_t i;
  parts_of(from, p);
  for (i = 0; i < 3; i++)
    memcpy(to->base + p[i].off, from->base + p[i].off, p[i].n);
}

#define IMAGE_BYTES (256u << 10)

static uint8_t *save (const sk_share *s) {
  uint8_t *image = malloc(IMAGE_BYTES), *at = image;
  struct part p[3];
  size_t i;
  parts_of(s, p);
  for (i = 0; i < 3; at += p[i++].n) memcpy(at, s->base + p[i].off, p[i].n);
  CHECK(at <= image + IMAGE_BYTES);
  return image;
}

static void load (sk_share *s, const uint8_t *image) {
  struct part p[3];
  size_t i;
  parts_of(s, p);
  for (i = 0; i < 3; i++) {
    if (i == 2) parts_of(s, p);  /* by now it says how large the heap is */
    memcpy(s->base + p[i].off, image, p[i].n);
    image += p[i].n;
  }
}

#define MOST_STATES (1u << 16)

static uint64_t *seen;

static int is_new (uint64_t h) {
  size_t i = h % MOST_STATES;
  h += !h;
  while (seen[i] && seen[i] != h) i = (i + 1) % MOST_STATES;
  if (seen[i]) return 0;
  REQUIRE(states < (long)MOST_STATES / 2);
  seen[i] = h;
  states++;
  return 1;
}

/* ---- shares ---- */

static sk_share *new_share (void) {
  sk_share_options o = { .max_users = LANES, .lane_bytes = LANE,
                         .max_bytes = 65536, .handler = handle };
  sk_share *s;
  REQUIRE(sk_share_create(&o, &s) == 0);
  REQUIRE(!os_memory_protect(s->store, share_store_bytes(s), 1));
  REQUIRE(!os_memory_protect(s->base + s->heap_off, (size_t)s->heap_max, 1));
  REQUIRE(!sk_segment_back(s->segment, s->ring_off, LANES * LANE));
  REQUIRE(!sk_segment_back(s->segment, s->heap_off, HEAP_SEEN));
  return s;
}

/* The live share is never marked as running: nobody starts a keeper. */
static void serve_live (void *arg) {
  sk_coordinator *c;
  (void)arg;
  CHECK(share_coordinator_open(live, 0, &c) == 0);
  while (sk_coordinator_batch(c) > 0) {}
  sk_coordinator_close(c);
}

static void add_one (sk_port *p) {
  int64_t one = 1;
  sk_item item = { SK_INT, 8, &one };
  sk_receipt r;
  CHECK(put_item(p, "n", SK_ADD, &item, &r) == 0);
  sk_port_forget(p, &r);
}

static void put (sk_port *p, const char *path, const void *data, size_t n) {
  sk_item item = { TEXT, (uint32_t)n, data };
  sk_receipt r;
  CHECK(put_item(p, path, SK_SET, &item, &r) == 0);
  sk_port_forget(p, &r);
}

/* ---- the check of one image ---- */

static void check_image (void) {
  static const char text[100];
  sk_share_stats before, after;
  sk_coordinator *c;
  sk_port *p;
  int64_t n;
  int i;
  transfer(copy, live);
  check_reader();
  REQUIRE(share_coordinator_open(copy, 0, &c) == 0);
  while (sk_coordinator_batch(c) > 0) {}
  CHECK(!atomic_load(&copy->store->journal.state));
  for (i = 0; i < LANES; i++)
    CHECK(atomic_load(&copy->lanes[i].pub) ==
          atomic_load(&copy->store->lanes[i].applied));
  REQUIRE(sk_port_open(copy, &p) == 0);
  check_values(p);
  /* it can be used on, and what is stored is what can be reached */
  n = get_int_by(p, "n");
  add_one(p);
  put(p, "next", text, sizeof text);
  CHECK(sk_coordinator_batch(c) == 2);
  CHECK(get_int_by(p, "n") == n + 1);
  sk_share_get_stats(copy, &before);
  sk_coordinator_close(c);
  REQUIRE(share_coordinator_open(copy, 0, &c) == 0);
  sk_share_get_stats(copy, &after);
  CHECK(before.stored == after.stored);
  sk_coordinator_close(c);
  sk_port_close(p);
}

/* ---- the victim ---- */

static sk_port *victim;

/* Step body in a child that has prepared itself; check every new state. The
** images of new states go into `kept`, if there is one. */
struct images { uint8_t **items; size_t n; };

static void step_through (void (*prepare) (void), void (*body) (void *),
                          struct images *kept) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    if (prepare) prepare();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(99);
    raise(SIGSTOP);
    body(NULL);
    raise(STEP_OVER);
    _exit(0);
  }
  REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
  finished = 0;
  while (step_on(pid)) {
    steps++;
    if (!is_new(hash_of(live))) continue;
    if (kept) {
      kept->items = realloc(kept->items, (kept->n + 1) * sizeof(uint8_t *));
      kept->items[kept->n++] = save(live);
    }
    check_image();
  }
  finished = 1;
  check_image();
  CHECK(step_end(pid) == 0);
}

static void claim_lane (void) {
  CHECK(sk_port_open(live, &victim) == 0);
  CHECK(share_port_claim(victim) == 0);
}

/* ---- begin and end ---- */

static void begin_shares (void) {
  live = new_share();
  copy = new_share();
  seen = calloc(MOST_STATES, sizeof *seen);
  states = steps = 0;
}

static void end (const char *what, long least) {
  printf("# %s: %ld instructions, %ld states\n", what, steps, states);
  CHECK(states >= least);
  sk_share_close(live);
  sk_share_close(copy);
  free(seen);
}

/* A coordinator dies after any instruction of what is queued, and the next
** one after any of its recovery from a few of those deaths, or from many. */
static void crash_twice (const char *what, long least) {
  struct images kept = { NULL, 0 };
  size_t again = getenv("SK_STRESS") ? MANY_AGAIN : FEW_AGAIN, i;
  step_through(NULL, serve_live, &kept);
  printf("# %s: %ld instructions, %ld states\n", what, steps, states);
  CHECK(states >= least);
  for (i = 1; i <= again; i++) {
    load(live, kept.items[kept.n * i / (again + 1)]);
    step_through(NULL, serve_live, NULL);
  }
  for (i = 0; i < kept.n; i++) free(kept.items[i]);
  free(kept.items);
  end("with second crashes", least + 10);
}

#endif
