/*
** What a process knows of itself: which fork it is, and the lock around the
** few things that its threads share. For the core's own files.
*/
#ifndef SK_FAMILY_H
#define SK_FAMILY_H

#include "suitkaise.h"

/* The lock of the process-wide lists. The forking thread holds it across every
** fork: a child never inherits it locked by a thread that it lacks. */
void sk_family_lock (void);
void sk_family_unlock (void);

/* Called once in a forked child, with the lock held, before anything else of
** the core runs: process.c forgets the children that are its parent's. */
void sk_process_forget_all (void);

#endif
