/*
** Fork generations: how everything else finds out that it runs in a child.
*/
#include <pthread.h>

#include "family.h"
#include "os.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The mark is 0 in a process that has no generation of its own yet. It lies
** in a page that the kernel zeroes in every child; where that cannot be had,
** in `plain`, and the C library's fork zeroes it. */
static _Atomic uint64_t unmarked;  /* never anything but 0 */
static _Atomic uint64_t plain;
static _Atomic uint64_t *_Atomic mark = &unmarked;
static _Atomic uint64_t generation;

void sk_family_lock (void) {
  pthread_mutex_lock(&lock);
}

void sk_family_unlock (void) {
  pthread_mutex_unlock(&lock);
}

static int is_marked (void) {
  return atomic_load(atomic_load(&mark)) != 0;  /* pairs with renew */
}

static void after_fork_in_child (void) {
  if (atomic_load(&mark) != &unmarked) atomic_store(atomic_load(&mark), 0);
  sk_family_unlock();
}

static void find_mark (void) {
  _Atomic uint64_t *page = &plain;
  /* nobody but the forking thread holds the lock in a child */
  pthread_atfork(sk_family_lock, sk_family_unlock, after_fork_in_child);
  os_fork_mark(&page);
  atomic_store(&mark, page);
}

static void renew (void) {
  uint64_t old = atomic_load(&generation), fresh;
  if (atomic_load(&mark) == &unmarked) find_mark();
  /* random, not counted: the children of one process must differ too */
  do {
    os_random(&fresh, sizeof fresh);
  } while (fresh == 0 || fresh == old);
  if (old) sk_process_forget_all();
  atomic_store(&generation, fresh);
  atomic_store(atomic_load(&mark), 1);  /* last: others then look no further */
}

uint64_t sk_generation (void) {
  if (!is_marked()) {
    sk_family_lock();
    if (!is_marked()) renew();
    sk_family_unlock();
  }
  return atomic_load(&generation);
}
