/*
** The harness of the C tests, main included: for programs of spec/c, one
** source file each. Prints a line per test for tools/run-tests.
**
**   TEST("what it promises") { CHECK(1 + 1 == 2); }
*/
#ifndef SPEC_CHECK_H
#define SPEC_CHECK_H

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct check_test {
  const char *name;
  void (*run) (void);
  struct check_test *next;
};

static struct check_test *check_first;
static struct check_test **check_last = &check_first;
static jmp_buf check_end;  /* leaves the running test */
static int *check_failures;  /* shared: forked children count too */

static void check_add (struct check_test *t) {
  *check_last = t;
  check_last = &t->next;
}

static void check_failed (const char *file, int line, const char *what) {
  __atomic_fetch_add(check_failures, 1, __ATOMIC_SEQ_CST);
  printf("# %s:%d: failed: %s\n", file, line, what);
  fflush(stdout);
}

/* Note a failure and go on. */
#define CHECK(cond) \
  ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))

/* Note a failure and leave the test; not in a forked child. */
#define REQUIRE(cond) \
  ((cond) ? (void)0 : (check_failed(__FILE__, __LINE__, #cond), \
                       longjmp(check_end, 1)))

#define CHECK_PASTE_(a, b) a##b
#define CHECK_PASTE(a, b) CHECK_PASTE_(a, b)

#define TEST(name) CHECK_DEFINE(name, CHECK_PASTE(check_, __LINE__))
#define CHECK_DEFINE(text, id) \
  static void id (void); \
  __attribute__((constructor)) static void CHECK_PASTE(id, _add) (void) { \
    static struct check_test t = { text, id, NULL }; \
    check_add(&t); \
  } \
  static void id (void)

static int check_run (const struct check_test *t) {
  *check_failures = 0;
  printf("# begin %s\n", t->name);
  fflush(stdout);
  if (setjmp(check_end) == 0) t->run();
  return __atomic_load_n(check_failures, __ATOMIC_SEQ_CST);
}

int main (void) {
  const struct check_test *t;
  int n = 0, bad = 0;
  check_failures = mmap(NULL, sizeof *check_failures, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (check_failures == MAP_FAILED) abort();
  for (t = check_first; t; t = t->next) {
    int failures = check_run(t);
    printf("%sok %d - %s\n", failures ? "not " : "", ++n, t->name);
    fflush(stdout);
    bad += failures != 0;
  }
  printf("1..%d\n", n);
  fflush(stdout);  /* a sanitizer may abort from here on */
  return bad != 0;
}

#endif
