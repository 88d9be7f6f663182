/*
** Two processes, a processor each, add to one word in memory that they share:
** prints how many million additions a second they reach together.
** usage: two_atomic TIMES
*/
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
  _Alignas(128) _Atomic int64_t word;
  _Alignas(128) _Atomic int ready;
  double seconds[2];
};

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add (struct shared *s, int k, int64_t times) {
  double begun;
  int64_t i;
  cpu_set_t cpu;
  CPU_ZERO(&cpu);
  CPU_SET((size_t)k, &cpu);
  sched_setaffinity(0, sizeof cpu, &cpu);
  atomic_fetch_add(&s->ready, 1);
  while (atomic_load(&s->ready) < 2) {}
  begun = now();
  for (i = 0; i < times; i++) atomic_fetch_add(&s->word, 1);
  s->seconds[k] = now() - begun;
}

int main (int argc, char **argv) {
  int64_t times = argc > 1 ? atoll(argv[1]) : 10000000;
  struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int k;
  for (k = 0; k < 2; k++)
    if (fork() == 0) {
      add(s, k, times);
      _exit(0);
    }
  while (wait(NULL) > 0) {}
  printf("%f\n", (double)times / 1e6 * (1 / s->seconds[0] +
                                        1 / s->seconds[1]));
  return atomic_load(&s->word) != times * 2;
}
