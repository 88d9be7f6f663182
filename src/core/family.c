/*
** Fork generations: how everything else finds out that it runs in a child.
*/
#include <pthread.h>

#include "family.h"
#include "os.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A page that the kernel zeroes in every child. Without it (an old kernel)
** the process id tells, at the price of a system call. */
static _Atomic uint64_t *mark;
static uint64_t generation;

void sk_family_lock (void) {
  pthread_mutex_lock(&lock);
}

void sk_family_unlock (void) {
  pthread_mutex_unlock(&lock);
}

static uint64_t renew (void) {
  uint64_t old = generation;
  if (!mark && os_fork_mark(&mark)) {
    static _Atomic uint64_t fallback;
    mark = &fallback;
  }
  /* random, not counted: the children of one process must differ too */
  do {
    os_random(&generation, sizeof generation);
  } while (generation == 0 || generation == old);
  atomic_store_explicit(mark, 1, memory_order_relaxed);
  if (old) sk_process_forget_all();
  return generation;
}

uint64_t sk_generation (void) {
  if (mark && atomic_load_explicit(mark, memory_order_relaxed))
    return generation;
  return renew();
}
