/*
** The words for errors, the clock and the processors.
*/
#include "clean.h"

#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

TEST("every error has a line of its own, in lower case") {
  static const int codes[] = {
#define CODE(name, code, text) name,
    SK_ERRORS(CODE)
#undef CODE
  };
  size_t i, k;
  for (i = 0; i < COUNT(codes); i++) {
    const char *text = sk_strerror(codes[i]);
    CHECK(codes[i] < 0);
    CHECK(text[0] >= 'a' && text[0] <= 'z' && !strchr(text, '\n'));
    for (k = 0; k < i; k++) CHECK(strcmp(text, sk_strerror(codes[k])));
  }
}

TEST("any other number has words too") {
  CHECK(!strcmp(sk_strerror(0), "no error"));
  CHECK(!strcmp(sk_strerror(1), "unknown error"));
  CHECK(!strcmp(sk_strerror(-1000), "unknown error"));
  CHECK(!strcmp(sk_strerror(INT32_MIN), "unknown error"));
}

TEST("the clock never goes back") {
  int64_t last = sk_now_ns(), now;
  int i;
  for (i = 0; i < 10000; i++) {
    now = sk_now_ns();
    CHECK(now >= last);
    last = now;
  }
}

struct moment { int64_t at; };

static void note_moment (void *arg) {
  ((struct moment *)arg)->at = sk_now_ns();
}

TEST("the clock is the same in every process") {
  struct moment *m = shared_memory(sizeof *m);
  int64_t before = sk_now_ns();
  in_child(note_moment, m);
  CHECK(m->at >= before && m->at <= sk_now_ns());
  munmap(m, sizeof *m);
}

TEST("the other clock tells the time since 1970") {
  int64_t before = (int64_t)time(NULL), now = sk_time_ns() / 1000000000;
  CHECK(now >= before && now <= (int64_t)time(NULL) + 1);
}

TEST("a sleep lasts as long as it is told, and no signal is nothing") {
  int64_t before = sk_now_ns();
  CHECK(!sk_sleep_ns(2000000));
  CHECK(sk_now_ns() - before >= 2000000);
  CHECK(!sk_sleep_ns(0));
  CHECK(!sk_sleep_ns(-1));
  CHECK(!sk_sleep_ns(INT64_MIN));
}

static void ignore (int signal) {
  (void)signal;
}

TEST("a signal ends a sleep") {
  struct itimerval soon = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
  struct sigaction sa = { 0 }, old;
  sa.sa_handler = ignore;
  sigaction(SIGALRM, &sa, &old);
  setitimer(ITIMER_REAL, &soon, NULL);
  CHECK(sk_sleep_ns(INT64_MAX) == SKE_INTR);
  setitimer(ITIMER_REAL, &never, NULL);
  sigaction(SIGALRM, &old, NULL);
}

static void use_one_processor (void *arg) {
  cpu_set_t one;
  int cpu = sched_getcpu();
  (void)arg;
  CPU_ZERO(&one);
  CPU_SET((size_t)cpu, &one);
  CHECK(!sched_setaffinity(0, sizeof one, &one));
  CHECK(sk_cpu_count() == 1);
}

TEST("only the processors that a process may use are counted") {
  CHECK(sk_cpu_count() >= 1);
  CHECK(sk_cpu_count() <= sysconf(_SC_NPROCESSORS_CONF));
  in_child(use_one_processor, NULL);
}
