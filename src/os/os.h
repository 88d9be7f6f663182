/*
** What the core needs from the operating system: one file per platform
** implements all of it, and nothing else knows the platform.
** All return 0 or an SKE_* code; errno says more after SKE_SYS.
*/
#ifndef SK_OS_H
#define SK_OS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- memory ---- */

/* Anonymous memory as a file: empty, close-on-exec, never shrinks. */
int os_memory_create (const char *label, int *fd);
/* Make [from, to) real: the pages exist afterwards, or nothing changed. */
int os_memory_grow (int fd, uint64_t from, uint64_t to);
/* Let the process read or also write pages of its own mapping. */
int os_memory_protect (void *at, size_t n, int writable);
/* A page that is zeroed in a forked child, whoever forks. */
int os_fork_mark (_Atomic uint64_t **page);
void os_random (void *buf, size_t n);

/* ---- locks: bytes of a file that a process holds until it ends ----
** Not inherited by fork, free once the holder is dead, and dropped when the
** holder closes any descriptor of the file.
*/

/* 0, or SKE_BUSY while another process holds it. */
int os_lock (int fd, uint64_t at);
/* The same, when it is free. */
int os_lock_wait (int fd, uint64_t at);
void os_unlock (int fd, uint64_t at);
/* The process other than this one that holds one of n bytes, or 0. */
pid_t os_lock_holder (int fd, uint64_t at, uint64_t n);

/* ---- sleeping ---- */

/* Sleep while *word == seen. 0 also for spurious wake-ups. */
int os_park (_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ns);
void os_unpark (_Atomic uint32_t *word, int count);

/* An event: a descriptor that is readable once it was rung. */
int os_event_create (int *fd);
void os_event_ring (int fd);
void os_event_clear (int fd);
/* Sleep until one of the descriptors is readable. */
int os_poll (const int *fds, size_t n, int64_t timeout_ns);

/* ---- processes ---- */

/* A descriptor that is readable once the process has ended. SKE_LOST when it
** has, and was reaped. */
int os_watch (pid_t pid, int *fd);
int os_watch_kill (int fd, pid_t pid, int signal);
/* Reap one child: 0 and what it ended with (a code or -1, a signal or 0),
** SKE_BUSY while it runs, which `block` waits out, or SKE_LOST when somebody
** else has reaped it. */
int os_reap (int fd, pid_t pid, int block, int *code, int *signal);
/* 1 when every thread of the process is stopped. */
int os_stopped (pid_t pid);
/* In a child: have the kernel end it when `parent` dies. `by_main` says that
** the parent's main thread forked it. */
int os_die_with_parent (pid_t parent, int by_main);
int os_is_main_thread (void);
int os_cpu_count (void);

int64_t os_now_ns (void);

#endif
