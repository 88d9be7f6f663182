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
/* Make the file that long without making any page of it real. */
int os_memory_stretch (int fd, uint64_t to);
/* Make pages of a shared mapping real, or give them back, content and all. */
int os_memory_populate (void *at, size_t n);
void os_memory_discard (void *at, size_t n);
/* Shall a forked child have that mapping? At first it shall. */
void os_memory_inherit (void *at, size_t n, int yes);
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
/* One that many processes hold at once. */
int os_lock_shared (int fd, uint64_t at);
/* As os_lock, but wait until it is free. */
int os_lock_wait (int fd, uint64_t at);
void os_unlock (int fd, uint64_t at);
/* The process other than this one that holds one of n bytes (0: all from
** there on), or 0; -1 when it has no number here. */
pid_t os_lock_holder (int fd, uint64_t at, uint64_t n);

/* ---- files: those of other processes, and those with names ----
** SKE_ABSENT when there is none, SKE_FOREIGN when it is not for us (a symbolic
** link, no permission), SKE_BUSY when the name is taken.
*/

enum os_kind { OS_REGULAR, OS_FOLDER, OS_OTHER };

struct os_file {
  uint64_t dev, ino;  /* which one */
  uint64_t size, links;
  enum os_kind kind;
  int is_ours;        /* this user's */
  int is_private;     /* no permissions for anybody else */
};

int os_file_look (int fd, struct os_file *out);
/* A descriptor that stands for a file without opening it: closing it drops no
** lock. `folder` < 0: where the process is. No symbolic link is followed. */
int os_file_peek (int folder, const char *name, int *peek);
/* The same for an open file of a process. */
int os_file_peek_at (pid_t pid, int fd, int *peek);
/* Does a peek of a process's file stand for shared memory, by its name? */
int os_file_is_memory (int peek);
/* Open what a peek stands for, to read and write. */
int os_file_open (int peek, int *fd);
/* A new file that only this user can open. */
int os_file_create (int folder, const char *name, int *fd);
/* In one step, and only when `to` is free. */
int os_file_rename (int folder, const char *from, const char *to);
int os_file_remove (int folder, const char *name);
int os_folder_open (const char *path, int make, int *fd);
/* Call `each` until it returns something else than 0, which is returned. */
int os_folder_each (int folder, int (*each) (void *arg, const char *name),
                    void *arg);
/* The same with the numbers of a process's descriptors. */
int os_process_each (pid_t pid, int (*each) (void *arg, const char *fd),
                     void *arg);
/* Where this user's named files are. SKE_INVAL: the path is too long. */
int os_named_folder (char *path, size_t room);
/* Differs after each start of the system; zeros where nobody knows. */
void os_boot_id (uint8_t id[16]);
/* Close all descriptors but 0 to 2 and those of `keep`, which is sorted, and
** let 0 read nothing. Their numbers are not used again. */
void os_close_others (int *keep, size_t n);

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

/* A poller: a descriptor that is readable while one of n others is. With
** `once`: after one of them was rung, until os_poller_clear. */
int os_poller_create (const int *fds, size_t n, int once, int *fd);
void os_poller_clear (int fd);
/* Put an empty poller in the place of one that a fork left shared. */
int os_poller_renew (int fd);

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

/* ---- interruptions ---- */

/* Have `handler` called in this thread at `at_ns` (0: not at all), by a
** signal; each process sets its own. Safe to call in the handler. */
int os_alarm_set (int64_t at_ns, void (*handler) (int));
/* 1 when a signal's handler is that of a standalone interpreter. */
int os_is_interpreters (void (*handler) (int));
int os_cpu_count (void);

int64_t os_now_ns (void);   /* monotonic */
int64_t os_time_ns (void);  /* since 1970 */

#endif
