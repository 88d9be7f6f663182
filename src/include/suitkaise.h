/*
** suitkaise: shared memory, messages and processes, without Lua.
** For the Lua bindings, for C hosts and for C programs that share with them.
** Nothing here prints, exits the caller or touches a Lua state.
*/
#ifndef SUITKAISE_H
#define SUITKAISE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__GNUC__)
#define SK_API __attribute__((visibility("default")))
#else
#define SK_API
#endif

/* ---- errors: every function that can fail returns 0 or one of these ---- */

#define SK_ERRORS(X) \
  X(SKE_SYS, -1, "system call failed") /* errno says which way */ \
  X(SKE_NOMEM, -2, "out of memory") \
  X(SKE_FULL, -3, "no room") \
  X(SKE_TIMEOUT, -4, "timeout") \
  X(SKE_INTR, -5, "interrupted by a signal") \
  X(SKE_INVAL, -6, "invalid argument") \
  X(SKE_CORRUPT, -7, "shared data is damaged") \
  X(SKE_UNKNOWN, -8, "no such shared memory in this process") \
  X(SKE_FOREIGN, -9, "belongs to another process") \
  X(SKE_BUSY, -10, "still running") \
  X(SKE_LOST, -11, "exit status was taken by somebody else") \
  X(SKE_STOPPED, -12, "stopped") \
  X(SKE_DOWN, -13, "coordinator cannot be kept running") \
  X(SKE_MANY, -14, "too many users at once") \
  X(SKE_ABSENT, -15, "no such entry") \
  X(SKE_TYPE, -16, "wrong kind of value") \
  X(SKE_POISON, -17, "command ended the coordinator too often") \
  X(SKE_RAISED, -18, "call raised an error") \
  X(SKE_VERSION, -19, "shared by another version of this library") \
  X(SKE_CLOSED, -20, "other end is closed")

enum sk_error {
#define SK_ERROR_ENUM(name, code, text) name = code,
  SK_ERRORS(SK_ERROR_ENUM)
#undef SK_ERROR_ENUM
  SKE_OK = 0
};

/* One lower-case line for a code; never NULL. */
SK_API const char *sk_strerror (int rc);

/* ---- time ---- */

/* Nanoseconds of the monotonic clock, which all processes share. */
SK_API int64_t sk_now_ns (void);

/* Nanoseconds since 1970 of the clock on the wall, which may be set back. */
SK_API int64_t sk_time_ns (void);

/* Sleep once, for that long at most: 0, or SKE_INTR when a signal ended it. */
SK_API int sk_sleep_ns (int64_t ns);

/* Processors that this process may use. */
SK_API int sk_cpu_count (void);

/* ---- segment: memory that several processes map ----
** Created before a fork, it is seen by the children at the same address.
** Space is handed out once and never taken back while the segment lives.
*/

typedef struct sk_segment sk_segment;

/* Reserve max_bytes of address space; memory is used as it is handed out.
** `label` names the mapping in /proc/PID/maps. Not for concurrent use on one
** sk_segment by threads, apart from sk_segment_alloc and sk_segment_at. */
SK_API int sk_segment_create (const char *label, size_t max_bytes,
                              sk_segment **out);
/* No more growth: gives the segment's descriptor back to the system. */
SK_API void sk_segment_seal (sk_segment *s);
/* Unmap. Every pointer into the segment is dead afterwards. NULL is fine. */
SK_API void sk_segment_close (sk_segment *s);
/* Hand out zeroed space; *off is its offset. Any process may call it. */
SK_API int sk_segment_alloc (sk_segment *s, size_t bytes, size_t align,
                             uint64_t *off);
/* Address of `bytes` at `off`, or NULL when that is not handed-out space. */
SK_API void *sk_segment_at (const sk_segment *s, uint64_t off, size_t bytes);
SK_API uint64_t sk_segment_id (const sk_segment *s);
/* A segment as it travels: a process that has it, its descriptor there, its
** id. SKE_UNKNOWN after sk_segment_seal. */
SK_API int sk_segment_where (const sk_segment *s, pid_t *pid, int *fd,
                             uint64_t *id);
/* Map a segment that a process of this user has, through /proc. A segment that
** this process has already is used once more; each use is closed. `fd` is only
** where it is looked for first: when that process is gone, any other one that
** has it will do, with fd -1. SKE_UNKNOWN: it is not there; SKE_FOREIGN: of
** another user; SKE_CORRUPT, SKE_VERSION: it cannot be used. */
SK_API int sk_segment_attach (pid_t pid, int fd, uint64_t id,
                              sk_segment **out);
SK_API uint64_t sk_segment_size (const sk_segment *s);

/* The segment that a process shares with all its descendants; made on first
** call. Children forked before that have one of their own. */
SK_API int sk_root (sk_segment **out);

/* ---- fork generation ---- */

/* A number that differs between a process and its forked children (however
** they were forked); a load and a compare when nothing happened. */
SK_API uint64_t sk_generation (void);

/* ---- bell: sleep until another process rings ----
** The one sleeper does: seen = sk_bell_listen; look again for work; then
** sk_bell_sleep(seen); then sk_bell_awake. Ringing without a sleeper is a
** fence and a load. A ringer that is killed before it rings costs a sleeper
** one bounded wait: callers pass timeouts of tens of milliseconds, look again
** and sleep again.
*/

typedef struct sk_bell sk_bell;

enum sk_sleep {
  SK_AWAKE = 0,
  SK_LAZY = 1,  /* wake me when there is much to do, or nothing left to do */
  SK_EAGER = 2  /* wake me for anything */
};

/* A bell in `s`. With `pollable` its sleeper can wait for processes too. */
SK_API int sk_bell_create (sk_segment *s, int pollable, sk_bell **out);
/* Give back what the bell holds outside the segment (a descriptor). */
SK_API void sk_bell_destroy (sk_bell *b);
SK_API uint32_t sk_bell_listen (sk_bell *b, enum sk_sleep how);
/* 0 when rung, SKE_TIMEOUT or SKE_INTR; SKE_SYS when the process closed the
** bell's descriptor. */
SK_API int sk_bell_sleep (sk_bell *b, uint32_t seen, int64_t timeout_ns);
SK_API void sk_bell_awake (sk_bell *b);
/* Wake the sleeper if it sleeps at least as lightly as `how`: SK_LAZY wakes
** any sleeper, SK_EAGER only one that asked for anything. */
SK_API void sk_bell_ring (sk_bell *b, enum sk_sleep how);
/* Descriptor that is readable after a ring, for event loops; -1: none. The
** loop does: sk_bell_listen; look for work; sleep on the descriptor; then
** sk_bell_hush, which forgets the rings so far. */
SK_API int sk_bell_fd (const sk_bell *b);
SK_API void sk_bell_hush (sk_bell *b);
/* Is there something to read, now? For loops that are driven from outside. */
SK_API int sk_readable (int fd);

/* ---- cell: one shared atomic 64-bit word on a cache line of its own ----
** Never freed. Any process that sees the segment may do anything with it.
*/

typedef struct sk_cell sk_cell;

SK_API int sk_cell_create (sk_segment *s, int64_t value, sk_cell **out);
/* A cell as it travels: the segment's id and an offset into it. */
SK_API int sk_cell_find (uint64_t segment_id, uint64_t off, sk_cell **out);
SK_API int sk_cell_where (const sk_cell *c, uint64_t *segment_id,
                          uint64_t *off);
/* The segment that it is in; NULL when that is closed. */
SK_API sk_segment *sk_cell_segment (const sk_cell *c);
SK_API int64_t sk_cell_load (const sk_cell *c);
SK_API int64_t sk_cell_add (sk_cell *c, int64_t n);       /* -> new value */
SK_API int64_t sk_cell_exchange (sk_cell *c, int64_t v);  /* -> old value */
SK_API int sk_cell_replace (sk_cell *c, int64_t seen, int64_t v); /* CAS */
/* Two more words beside the value (Progress keeps total and start there). */
SK_API int64_t sk_cell_note (const sk_cell *c, int which);
SK_API void sk_cell_set_note (sk_cell *c, int which, int64_t v);
/* Wait while the value is `seen`; wake-ups may be spurious. */
SK_API int sk_cell_wait (sk_cell *c, int64_t seen, int64_t timeout_ns);
/* Wake everybody who waits: after a change that somebody may wait for. */
SK_API void sk_cell_wake (sk_cell *c);
/* The same for event loops: 1 when the value is not `seen` any more, else the
** next wake of it makes the descriptors of sk_cells_watch readable, those of
** all processes. One such descriptor hears of every cell; its owner then
** calls sk_cells_hush, looks, and listens again. */
SK_API int sk_cell_listen (sk_cell *c, int64_t seen);
SK_API int sk_cells_watch (int *fd);
SK_API void sk_cells_hush (int fd);
/* Ring it for something that is no cell; may be called by signal handlers. */
SK_API void sk_cells_ring (void);

/* ---- lane: a ring of messages from one process to another ----
** One writer, one reader. A message is visible when it is published, whole,
** in order; a writer that dies leaves only whole messages. The ring is mapped
** twice in a row, so that a message is never split.
*/

typedef struct sk_lane sk_lane;

typedef struct sk_message {
  const void *data;  /* inside the ring: valid until sk_lane_release */
  uint32_t len;      /* bytes */
  uint32_t kind;     /* the writer's */
  uint64_t pos;      /* where it begins; the next one begins at a later pos */
} sk_message;

/* A lane in `s` with `bytes` of ring (a power of two, whole pages). The
** reader sleeps on `reader`, the writer, when there is no room, on `writer`.
** Create it before the fork that separates the two. */
SK_API int sk_lane_create (sk_segment *s, size_t bytes, sk_bell *reader,
                           sk_bell *writer, sk_lane **out);
/* A wide one: `bytes` are addresses; pages exist only for what waits to be
** read, so that the writer need not wait. Where the system has not as many
** addresses the ring is smaller, see sk_lane_limit. */
SK_API int sk_lane_create_wide (sk_segment *s, size_t bytes, sk_bell *reader,
                                sk_bell *writer, sk_lane **out);
/* A lane as it is known to processes that attach its segment: an offset. Not
** of a wide one, whose ring is a file of its own. */
SK_API int sk_lane_attach (sk_segment *s, uint64_t off, sk_bell *reader,
                           sk_bell *writer, sk_lane **out);
SK_API uint64_t sk_lane_offset (const sk_segment *s, const sk_lane *l);
SK_API void sk_lane_free (sk_lane *l);
/* Shall children forked from now on have the ring? One that has not must not
** use or free the lane. Forks take longer the more they have. */
SK_API void sk_lane_inherit (sk_lane *l, int yes);
/* Become the writer or the reader after one that is dead. */
SK_API void sk_lane_adopt (sk_lane *l);
/* Empty it for a new pair of users. Only when neither end is in use. */
SK_API void sk_lane_reset (sk_lane *l);
/* Largest message that can ever be written at once. */
SK_API size_t sk_lane_limit (const sk_lane *l);

/* Writer: space for a message of up to *room bytes, or NULL if not even
** `need` fit now. Nothing is visible until the publish. */
SK_API void *sk_lane_reserve (sk_lane *l, size_t need, size_t *room);
/* Writer: publish `len` bytes written into the reserved space; -> its pos. */
SK_API uint64_t sk_lane_publish (sk_lane *l, uint32_t kind, size_t len);
/* Writer: wake the reader, see sk_bell_ring. */
SK_API void sk_lane_ring (sk_lane *l, enum sk_sleep how);
/* Writer: 1 when the reader has released everything up to `pos`. */
SK_API int sk_lane_released (const sk_lane *l, uint64_t pos);
/* Writer: bytes published but not yet released by the reader. */
SK_API size_t sk_lane_pending (const sk_lane *l);

/* Reader: the next message: 1, 0 when there is none, or SKE_CORRUPT. Moves
** on to the following one at each call. */
SK_API int sk_lane_next (sk_lane *l, sk_message *m);
/* Reader: give back the space of every message taken so far and ring the
** writer if it waits for room. */
SK_API void sk_lane_release (sk_lane *l);
/* Reader: is there a message? */
SK_API int sk_lane_ready (sk_lane *l);
/* Reader: bytes published that it has not taken. */
SK_API size_t sk_lane_unread (const sk_lane *l);
/* Writer: wait until a message of `need` bytes fits: 0, SKE_TIMEOUT, SKE_INTR,
** SKE_INVAL when it never will, or SKE_CORRUPT. */
SK_API int sk_lane_wait_room (sk_lane *l, size_t need, int64_t timeout_ns);

/* ---- board: the last value that a process has posted, whole ----
** One writer at a time; one that is killed while it posts leaves the value
** before. Pages exist for values of the size that is posted.
*/

typedef struct sk_board sk_board;

/* For values of up to `bytes`, see sk_lane_create_wide. */
SK_API int sk_board_create (sk_segment *s, size_t bytes, sk_board **out);
SK_API void sk_board_free (sk_board *b);
/* Empty it. Only when nobody else uses it. */
SK_API void sk_board_reset (sk_board *b);
SK_API void sk_board_inherit (sk_board *b, int yes);  /* as sk_lane_inherit */
/* Writer: 0, SKE_FULL or SKE_NOMEM, and then the value before stays. */
SK_API int sk_board_post (sk_board *b, const void *data, size_t len);
/* How many values were posted. */
SK_API uint64_t sk_board_number (const sk_board *b);
/* Reader: a copy of the last value, to be freed, and its number; SKE_ABSENT
** when there is none. */
SK_API int sk_board_read (const sk_board *b, uint64_t *number, void **data,
                          size_t *len);

/* ---- claims: a message that holds numbered items, taken one by one ----
** The first 8 bytes of the message are its claim word. The reader takes the
** lowest item left; the writer can take back those that nobody has begun.
*/

/* Writer, before the publish: items 0 .. n-1 are up for taking. */
SK_API void sk_claim_init (void *data, uint32_t n);
/* Reader: the next item's number, or -1 when none is left. */
SK_API int64_t sk_claim_take (void *data);
/* Writer: leave at most `keep` untaken items; -> the first number taken back
** in *from and how many. */
SK_API uint32_t sk_claim_revoke (sk_lane *l, uint64_t pos, uint32_t keep,
                                 uint32_t *from);
/* Writer: how many items the reader has taken, and how many it may take. */
SK_API void sk_claim_state (sk_lane *l, uint64_t pos, uint32_t *taken,
                            uint32_t *end);

/* ---- pipe: two ends, each of one process at a time ----
** The anchor belongs to the process that made the pipe, the point to the one
** that took it last. What a process sent before it died is still received;
** a message that it had not sent whole never was. One sk_pipe per process and
** pipe, counted by uses of its sides. Not for threads.
*/

typedef struct sk_pipe sk_pipe;

enum sk_side { SK_ANCHOR, SK_POINT };

/* Both ends are the caller's, each used once. With `one_way` only the anchor
** sends. `bytes`, a power of two, may be on the way in each direction. */
SK_API int sk_pipe_create (int one_way, size_t bytes, sk_pipe **out);
/* Attach by what sk_pipe_where says, for one more use of `side`. */
SK_API int sk_pipe_attach (pid_t pid, int fd, uint64_t id, enum sk_side side,
                           sk_pipe **out);
SK_API int sk_pipe_where (sk_pipe *p, pid_t *pid, int *fd, uint64_t *id);
/* One use less. The last one of an end that is the caller's closes it, unless
** it was said to travel. NULL is fine. */
SK_API void sk_pipe_free (sk_pipe *p, enum sk_side side);
/* 0: `side` is the caller's. Takes the point, if the caller may: it inherited
** it from its owner by a fork, was made its heir, or was told to welcome it;
** or its owner is dead and it never was the caller's. SKE_FOREIGN, SKE_CLOSED
** (by a close of this very end), SKE_BUSY (its owner was stopped in the midst
** of a message). */
SK_API int sk_pipe_own (sk_pipe *p, enum sk_side side);
/* The point was received: it is taken now, or by the next use of it. */
SK_API int sk_pipe_receive (sk_pipe *p);
SK_API void sk_pipe_welcome (sk_pipe *p);
/* The point is about to travel as bytes: it stays until somebody takes it.
** SKE_FOREIGN: it is somebody else's, who lives. */
SK_API int sk_pipe_travel (sk_pipe *p);
/* It travels to that process: when that ends without it, the anchor has nobody
** to wait for until the point is used. */
SK_API void sk_pipe_promise (sk_pipe *p, pid_t to);
/* The point, if it is the caller's, now is to be that process's. */
SK_API void sk_pipe_hand (sk_pipe *p, pid_t heir);
/* A locked point is not inherited by a fork, nor made to travel (SKE_BUSY). */
SK_API void sk_pipe_lock (sk_pipe *p, int on);
SK_API int sk_pipe_is_locked (const sk_pipe *p);
SK_API void sk_pipe_close (sk_pipe *p, enum sk_side side);
/* Send bytes[*sent ...]; 0 when all were, SKE_FULL when there is no more room
** now: *sent says how many were. SKE_CLOSED: by the other end. SKE_INVAL: this
** end does not send. */
SK_API int sk_pipe_put (sk_pipe *p, enum sk_side side, const void *bytes,
                        size_t len, size_t *sent);
/* The next message: 1, 0 when there is none whole, or an error. It is valid
** until sk_pipe_done. */
SK_API int sk_pipe_next (sk_pipe *p, enum sk_side side, void **data,
                         size_t *len);
SK_API void sk_pipe_done (sk_pipe *p, enum sk_side side);
/* Sleep until there may be a message, or (need > 0) room to go on with `need`
** more bytes: 0, SKE_TIMEOUT, SKE_INTR, or SKE_CLOSED: the other end is closed
** or its process dead, and there is nothing to read. */
SK_API int sk_pipe_wait (sk_pipe *p, enum sk_side side, size_t need,
                         int64_t timeout_ns);
/* Is there, as far as a glance tells, no need to wait? A glance does not see
** that the other process has ended. */
SK_API int sk_pipe_look (sk_pipe *p, enum sk_side side, size_t need);
/* For event loops: 1 when there is no need to wait, else the next change makes
** the descriptors of sk_cells_watch readable, of processes with this root. The
** end of a process does not. */
SK_API int sk_pipe_listen (sk_pipe *p, enum sk_side side, size_t need);

/* ---- process: children that cannot be lost ---- */

typedef struct sk_process sk_process;

typedef struct sk_exit {
  int code;    /* exit code, or -1 */
  int signal;  /* signal that ended it, or 0 */
} sk_exit;

#define SK_CHILD 1

/* Fork. -> SK_CHILD in the child (which dies with its parent, ignores SIGINT
** and must end in sk_process_exit), 0 in the parent with *out set. Output
** buffers of stdio are flushed first. */
SK_API int sk_process_fork (sk_process **out);
/* End a child: flush stdio, leave the code for the parent, _exit. */
SK_API void sk_process_exit (int code) __attribute__((noreturn));
/* End as another process did, which was to do what this one is for. */
SK_API void sk_process_follow (const sk_exit *st) __attribute__((noreturn));
SK_API pid_t sk_process_pid (const sk_process *p);
/* Descriptor that is readable once the process has ended. */
SK_API int sk_process_fd (const sk_process *p);
/* Has it ended? 0 and *st filled, or SKE_BUSY. Reaps only this child. */
SK_API int sk_process_poll (sk_process *p, sk_exit *st);
/* 1 when it is stopped (SIGSTOP, a debugger). */
SK_API int sk_process_stopped (const sk_process *p);
SK_API int sk_process_kill (sk_process *p, int signal);
/* Sleep until it has ended: 0, SKE_TIMEOUT, SKE_INTR, or SKE_SYS. */
SK_API int sk_process_wait (const sk_process *p, int64_t timeout_ns);
/* Kill it and wait for its end: it is still to be polled. */
SK_API void sk_process_end (sk_process *p);
/* Forget it. A child that still runs is killed and reaped first, if it is
** the caller's. NULL is fine. */
SK_API void sk_process_free (sk_process *p);

/* A monitor is a child that has one child itself, and takes it with it when it
** is ended. The owner says so of its child. */
SK_API void sk_process_set_monitor (sk_process *p);
/* In the monitor, once. */
SK_API int sk_monitor_begin (void);
/* In the monitor: this is its child now (NULL: none, before it is reaped). 0:
** the monitor is to end, and the child was killed. */
SK_API int sk_monitor_follow (const sk_process *p);

/* 1 when there is no such process any more: a child of a child that has been
** killed, which may have become the caller's to reap. */
SK_API int sk_process_gone (pid_t pid);

/* In a child of sk_process_fork: 1 when its parent is gone. */
SK_API int sk_process_orphaned (void);
/* In a child: an empty poller takes the place of the one behind `fd`, which
** an event loop made before the fork. What the child then does with that loop
** does not change what its parent watches. */
SK_API int sk_poller_renew (int fd);
/* A descriptor that is readable while one of the processes has ended, for
** event loops. The caller closes it, before any of the processes is freed
** or soon after: it does not keep them. SKE_LOST: one has ended already. */
SK_API int sk_process_watch (sk_process *const *procs, size_t n, int *fd);

/* ---- waiting for several things at once ---- */

typedef struct sk_wait {
  sk_bell *bell;             /* the caller's own, and the lanes' reader bell */
  sk_lane *const *lanes;     /* a message in one of them ends the wait */
  size_t n_lanes;
  sk_process *const *procs;  /* so does the end of one, now or before */
  size_t n_procs;
} sk_wait;

/* 0 when there is something, SKE_TIMEOUT or SKE_INTR; SKE_SYS when the process
** closed the bell's descriptor, SKE_INVAL for processes and a bell without
** one. Spins for spin_ns before it sleeps. Never longer than timeout_ns. */
SK_API int sk_wait_any (const sk_wait *w, enum sk_sleep how, int64_t spin_ns,
                        int64_t timeout_ns);

/* ---- interruptions ---- */

/* Have `handler` called, in a signal, when sk_now_ns gets to at_ns; 0: not
** any more. One per process, for children of sk_process_fork: it interrupts
** blocking calls. The handler may set it again. */
SK_API int sk_alarm_set (int64_t at_ns, void (*handler) (int));

/* While a wait lasts, Ctrl-C (SIGINT) rings `b`, which has a descriptor, and
** is counted. A handler that was there is called too, unless it is a
** standalone interpreter's, and is back after the end. 0: SIGINT is ignored,
** nothing was begun. */
SK_API int sk_interrupts_begin (sk_bell *b);
/* -> how often since the last time that this was above 0. */
SK_API int sk_interrupts_end (void);

/* ---- share: a tree of tables that all processes read and change ----
** Writes go through lanes to one coordinator, which applies them one after
** another, each exactly once, whoever is killed. Reads go to memory; they wait
** for the writes that were published before them and touch what they read.
**
** A value, a key and a path are made of items, see sk_item_put.
**
** A C program uses a named share of another one so (examples/read_share.c):
**   sk_share_open("stats", NULL, &share); sk_port_open(share, &port);
**   sk_port_get     reads, once what was written before is applied
**   sk_port_await   sleeps until something was changed: get, await, get ...
**   sk_port_send    writes; with a receipt, sk_port_wait gives the answer
**   sk_port_close(port); sk_share_close(share);
** Every call may fail because the others stopped the share (SKE_STOPPED),
** cannot serve it (SKE_DOWN) or are slow (SKE_TIMEOUT); after each of them the
** program may go on. It need not care who is killed.
*/

typedef struct sk_share sk_share;
typedef struct sk_port sk_port;      /* one thread's access to a share */
typedef struct sk_change sk_change;  /* what a command is about to change */

enum sk_item_kind {
  SK_INT = 1,    /* int64_t */
  SK_FLOAT,      /* double */
  SK_TABLE,      /* n pairs follow: the item of a key, then its value's */
  SK_OBJECT,     /* the same, but its entries are one unit: sk_port_list sees
                 ** them as of one instant. No tables in it. */
  SK_BYTES       /* this and above: bytes that only the caller understands */
};

typedef struct sk_item {
  uint32_t kind;
  uint32_t len;      /* bytes; of a table or object: pairs */
  const void *data;  /* not of a table or object */
} sk_item;

/* Bytes that an item takes with its header; a table's: without its pairs. */
SK_API size_t sk_item_size (const sk_item *item);
/* Write it at `at` (8-byte aligned); -> sk_item_size. */
SK_API size_t sk_item_put (void *at, const sk_item *item);
/* Read the one at `at`, with `room` bytes left; -> its size or 0. */
SK_API size_t sk_item_get (const void *at, size_t room, sk_item *item);

enum { SK_ROOT = 0, SK_ERRORS_ROOT = 1, SK_PRIVATE_ROOT = 2, SK_ROOTS = 3 };

/* The way to an entry: the keys' items one after another. */
typedef struct sk_path {
  const void *data;
  uint32_t len;    /* bytes */
  uint32_t depth;  /* items; 0: the root itself */
  uint32_t root;   /* which tree: the users', errors nobody waited for, or
                   ** what the caller keeps beside them */
} sk_path;

/* An entry of SK_ERRORS_ROOT, of kind SK_BYTES, unless a handler's answer was
** there to be kept; the path's bytes follow. */
struct sk_report {
  int32_t rc;
  uint32_t depth;  /* keys of the path, plus 65536 times its root */
};

enum sk_command_kind {
  SK_SET = 1,  /* payload: the value's items; replaces all that was there */
  SK_DELETE,
  SK_ADD,      /* payload: a number; answers the new one */
  SK_CLEAR,    /* the table at the path, or the root */
  SK_READ,     /* answers the value, of a table only its size */
  SK_LIST,     /* answers a table's pairs, see sk_port_list */
  SK_SYNC,     /* changes nothing: its answer says that all before is done */
  SK_CALL      /* this and above: for the share's handler */
};

typedef struct sk_command {
  uint32_t kind;
  sk_path path;
  const void *payload;
  size_t len;
  /* of a call: the keys' items of the entries below the path that alone it
  ** writes, so that readers of others need not wait; NULL: any of them */
  const void *writes;
  uint32_t writes_len;
  int inside;      /* a call: it does not replace what is at its path */
  int is_answered; /* in a handler: somebody waits for the answer */
} sk_command;

/* Runs commands of SK_CALL and above, in the coordinator. 0: all that it
** changed is kept; an error: nothing of it. It may be run again when the
** coordinator was killed before the end. */
typedef int sk_handler (void *arg, sk_change *c, const sk_command *cmd);
/* What the handler changed last was not kept after all: no room. */
typedef void sk_dropped (void *arg);

typedef struct sk_share_options {
  const char *label;       /* in /proc/PID/maps; NULL: "suitkaise-share" */
  size_t max_bytes;        /* of stored values; 0: 256 MiB */
  uint32_t max_users;      /* ports that write at once; 0: 64 */
  size_t lane_bytes;       /* what one of them can queue; 0: 256 KiB */
  int64_t call_limit_ns;   /* a longer call is killed; 0: no limit */
  sk_handler *handler;
  sk_dropped *dropped;     /* or NULL */
  void *arg;
  const char *name;        /* others can open it by; NULL: only descendants
                           ** and those who attach see it */
  int reset;               /* do not go on with what killed users left */
} sk_share_options;

/* A name is 1 to 64 of A-Z a-z 0-9 _ . - and begins with no dot (SKE_INVAL).
** One that is in use: SKE_BUSY. One whose users were all killed is taken over
** with all that is in it, if its limits are the same, and stopped until
** sk_share_start. SKE_FOREIGN: the file or folder of that name is not only
** this user's. */
SK_API int sk_share_create (const sk_share_options *o, sk_share **out);
/* Use a share that another process of this user made: by its name, or by a
** descriptor of it, as sk_segment_attach does. Of the options only handler,
** dropped, arg and call_limit_ns count; NULL: none. Without the handler that
** its creator had, this process never starts its coordinator. A process has
** each share once: opened again, it is the same, and closed as often.
** SKE_ABSENT: no such name; SKE_FOREIGN, SKE_CORRUPT, SKE_VERSION: it cannot
** be used. */
SK_API int sk_share_open (const char *name, const sk_share_options *o,
                          sk_share **out);
SK_API int sk_share_attach (pid_t pid, int fd, uint64_t segment_id,
                            const sk_share_options *o, sk_share **out);
SK_API int sk_share_where (const sk_share *s, pid_t *pid, int *fd,
                           uint64_t *segment_id);
/* The coordinator's process has, of all descriptors, only 0 to 2, where 0
** reads nothing, those of segments, and the ones named here before it starts:
** for handlers that write to files opened before. SKE_FULL: 64 are. */
SK_API int sk_share_keep_fd (sk_share *s, int fd);
/* Start the coordinator, in a process of its own, unless it runs. */
SK_API int sk_share_start (sk_share *s);
/* Apply what is queued, then end the coordinator. Writes queue from here on.
** SKE_TIMEOUT: it was killed instead, nothing is lost. */
SK_API int sk_share_stop (sk_share *s, int64_t timeout_ns);
/* Unmap; the creator's also stops it, that of a named share only when no
** other process uses it: then the name goes, too. Close its ports first. NULL
** is fine. */
SK_API void sk_share_close (sk_share *s);
/* The coordinator's process, 0 when there is none. */
SK_API pid_t sk_share_pid (sk_share *s);
SK_API sk_segment *sk_share_segment (sk_share *s);

enum sk_share_state { SK_RUNNING = 1, SK_STOPPING, SK_STOPPED, SK_DEGRADED };
SK_API enum sk_share_state sk_share_state (const sk_share *s);

typedef struct sk_share_stats {
  uint64_t published, consumed;  /* commands */
  uint64_t stored;               /* bytes of values */
  uint64_t heap;                 /* bytes that exist for them */
  uint64_t commits, restarts;
} sk_share_stats;

SK_API void sk_share_get_stats (const sk_share *s, sk_share_stats *out);

/* A port may outlive forks: a child gets a lane of its own on first use. */
SK_API int sk_port_open (sk_share *s, sk_port **out);
SK_API void sk_port_close (sk_port *p);

/* ---- writing ---- */

/* What to ask for an answer with. */
typedef struct sk_receipt {
  uint64_t end;    /* the command is done when its lane got there */
  uint32_t reply;  /* which of the port's replies */
} sk_receipt;

typedef struct sk_answer {
  int rc;
  sk_item item;  /* in the port's buffer, until its next use; kind 0: none */
} sk_answer;

enum { SK_FOR_EVER = -1 };

/* Queue a command: it will be applied exactly once when 0 is returned. With a
** receipt its answer can be asked for, up to 64 at once (else SKE_BUSY);
** without, an error goes to SK_ERRORS_ROOT, except that a write that may not
** fit waits and returns SKE_FULL. */
SK_API int sk_port_send (sk_port *p, const sk_command *cmd, sk_receipt *r,
                         int64_t timeout_ns);
/* The same without a receipt, if it can be done at once: never sleeps, never
** starts a process. SKE_BUSY: use sk_port_send. */
SK_API int sk_port_try (sk_port *p, const sk_command *cmd);
/* Wait for the answer; SKE_TIMEOUT leaves the receipt good. */
SK_API int sk_port_wait (sk_port *p, const sk_receipt *r, int64_t timeout_ns,
                         sk_answer *out);
/* Nobody wants the answer any more. */
SK_API void sk_port_forget (sk_port *p, const sk_receipt *r);

/* ---- reading ---- */

/* Where and as what an entry was seen. */
typedef struct sk_seen {
  uint64_t off, word, moves;
} sk_seen;

/* 1 when nothing is queued and the entry is as it was. */
SK_API int sk_share_fresh (const sk_share *s, const sk_seen *seen);
/* The value at a path, in the port's buffer until its next use; of a table
** or object only how many entries it has. SKE_ABSENT, SKE_TYPE when the way
** leads through something that is no table. It waits for what replaces the
** value, with SK_INSIDE also for calls that change what is in it, with
** SK_ENTRIES for any change of an entry. With a timeout of 0 it never sleeps
** and never starts a process. */
enum { SK_INSIDE = 1, SK_ENTRIES = 2 };
/* Added to `how`: what a read waits for is known to be applied. */
enum { SK_APPLIED = 4 };
SK_API int sk_port_get (sk_port *p, const sk_path *path, int how,
                        int64_t timeout_ns, sk_item *out, sk_seen *seen);
/* The pairs of a table, as after a table's item; of tables in it only the
** size. `len` bytes in `data`; each as fresh as a single read, those of an
** object as of one instant. `seen` of an object is fresh until any of its
** entries changes. */
SK_API int sk_port_list (sk_port *p, const sk_path *path, int64_t timeout_ns,
                         const void **data, size_t *len, uint32_t *pairs,
                         sk_seen *seen);
/* Wait until all that was published before is applied. */
SK_API int sk_port_flush (sk_port *p, int64_t timeout_ns);
/* Wait for a commit after `before` (what this returned last, or 0). */
SK_API int sk_port_await (sk_port *p, uint32_t *before, int64_t timeout_ns);

/* The same for event loops, which may not sleep. sk_port_wants: what a read of
** that path (NULL: a flush) that begins now has to wait for, as *n numbers, at
** most `room`, one per process; 0: nothing. sk_port_reached: 0 when that is
** applied, SKE_TIMEOUT when not yet, SKE_STOPPED or SKE_DOWN. Then read with
** SK_APPLIED, or by sk_port_list_applied. After sk_port_listen the next change
** makes the descriptors of sk_cells_watch readable (in the program that made
** the share; elsewhere look now and then); look again between the two.
** `is_late`: a wait that takes long looks after the coordinator. */
SK_API int sk_port_wants (sk_port *p, const sk_path *path, int how,
                          uint64_t *wants, uint32_t room, uint32_t *n);
SK_API int sk_port_reached (sk_port *p, const uint64_t *wants, uint32_t n);
SK_API int sk_port_list_applied (sk_port *p, const sk_path *path,
                                 int64_t timeout_ns, const void **data,
                                 size_t *len, uint32_t *pairs, sk_seen *seen);
SK_API int sk_port_listen (sk_port *p, int is_late);

/* ---- in a handler: see and change the tree ---- */

/* The value at a path, what this command changed included. `data` of bytes
** is valid until the handler returns. */
SK_API int sk_change_get (sk_change *c, const sk_path *path, sk_item *out);
/* The pairs of a table or object, as sk_port_list gives them, valid until the
** next call with this change. */
SK_API int sk_change_list (sk_change *c, const sk_path *path,
                           const void **data, size_t *len, uint32_t *pairs);
/* A number that is another one after every change of the entry, of an object
** also of what is in it; 0: there is none. */
SK_API uint64_t sk_change_version (sk_change *c, const sk_path *path);
SK_API int sk_change_set (sk_change *c, const sk_path *path,
                          const void *value, size_t len);
SK_API int sk_change_delete (sk_change *c, const sk_path *path);
/* The answer, also beside an error; the last one counts. Nobody may wait. */
SK_API int sk_change_answer (sk_change *c, const sk_item *item);

/* ---- for coordinators of one's own: a host's process, tests ---- */

typedef struct sk_coordinator sk_coordinator;

/* Become the coordinator: SKE_BUSY while there is another one. Finishes what
** a killed one left half-done. Its process may not close other descriptors
** of the segment. */
SK_API int sk_coordinator_open (sk_share *s, sk_coordinator **out);
/* Apply all that was published before the call; -> commands or an error. */
SK_API int sk_coordinator_batch (sk_coordinator *c);
SK_API void sk_coordinator_close (sk_coordinator *c);
/* Serve until the share is stopped; returns 0 then. */
SK_API int sk_coordinator_run (sk_coordinator *c);

#endif
