/*
** What Counter is measured against: the bare instruction, in a loop in C.
*/
#include <stdatomic.h>
#include <stdint.h>

void atomic_add (_Atomic int64_t *word, int64_t times);

void atomic_add (_Atomic int64_t *word, int64_t times) {
  for (; times > 0; times--) atomic_fetch_add(word, 1);
}
