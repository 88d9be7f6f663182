/*
** A share as the core's own files see it: what lies in its segment, and what
** each process knows of it. doc/protocol.md says who writes which word when.
*/
#ifndef SK_SHARE_H
#define SK_SHARE_H

#include "bell.h"
#include "segment.h"
#include "share_fault.h"

enum {
  MARKS = 128,      /* stripes of pending writes, per lane */
  REPLIES = 64,     /* answers that one port may wait for */
  OPS = 64,         /* stores of a commit that fit into the journal */
  DEPTH = 100,      /* keys of a path, tables in tables */
  LOCK_COORDINATOR = 0, LOCK_KEEPER = 1,
  LOCK_LIFE = 2,      /* who creates, opens or removes a name */
  LOCK_PRESENT = 3,   /* every user at once, also one that only reads */
  LOCK_LANES = 16,
  KEPT = 64,          /* descriptors that the coordinator may keep */
  NAME_ROOM = 65, FOLDER_ROOM = 191
};

/* ---- words that everybody may write ---- */

/* What the coordinator is in the middle of, for the one after it. */
struct inflight {
  _Atomic uint64_t active;  /* coordinator: 1 while a handler runs */
  _Atomic uint64_t lane, pos;
  _Atomic uint64_t faults;  /* keeper: deaths by its own fault in there */
  _Atomic uint64_t kills;   /* keeper: deaths by SIGKILL in there */
  _Atomic int64_t since_ns;
};

struct share_words {
  _Alignas(SK_LINE) _Atomic uint64_t ticket;     /* writers: fetch_add */
  _Alignas(SK_LINE) _Atomic uint64_t published;  /* writers: fetch_add */
  _Alignas(SK_LINE) _Atomic uint64_t consumed;   /* coordinator */
  _Alignas(SK_LINE) _Atomic uint32_t epoch;  /* coordinator adds 2; waiters set
                                             ** bit 0: futex */
  _Atomic uint32_t listened;     /* loops set, the coordinator clears */
  _Alignas(SK_LINE) _Atomic uint32_t state;  /* anyone, by CAS */
  _Atomic uint32_t lane_top;     /* claimers, by CAS: lanes ever claimed */
  _Atomic uint64_t stored;       /* coordinator: bytes of values */
  _Atomic uint64_t commits;      /* coordinator */
  _Atomic uint64_t restarts;     /* keeper */
  struct inflight inflight;
};

/* One writer's words. */
struct lane_words {
  _Alignas(SK_LINE) _Atomic uint64_t pub;  /* owner: bytes published */
  _Atomic uint64_t nonce;                  /* owner, at the claim */
  _Atomic uint32_t ready;                  /* claimer: its ring exists */
  _Alignas(SK_LINE) _Atomic uint64_t marks[MARKS]; /* owner */
};

/* ---- the store: written by the coordinator, by commits ---- */

struct op {
  uint64_t off, value;
};

struct journal {
  _Atomic uint64_t state;  /* 1: the stores below are to be done */
  uint64_t n;
  uint64_t sum;
  uint64_t block;          /* 0, or where the ops are when they are many */
  struct op ops[OPS];
};

struct reply {
  _Atomic uint64_t status;  /* error << 32 | kind */
  _Atomic uint64_t value;   /* a number, or a slot word */
};

struct lane_state {
  _Alignas(SK_LINE) _Atomic uint64_t applied;  /* bytes */
  _Atomic uint64_t loan;    /* slot word: the parts of a long command */
  _Atomic uint64_t loaned;  /* bytes of it that have come */
  struct reply replies[REPLIES];
};

/* A table: in a block, or as a root in the store. */
struct table {
  uint32_t kind, none;      /* as of every block: SK_TABLE, 0 */
  _Atomic uint64_t array;   /* slot word of its buckets */
  _Atomic uint64_t count;   /* entries that have a value */
  _Atomic uint64_t used;    /* buckets taken */
};

struct store {
  _Alignas(SK_LINE) struct journal journal;
  _Alignas(SK_LINE) _Atomic uint64_t moves; /* commits that freed tables,
                                            ** entries or bucket arrays */
  _Atomic uint64_t heap_size;               /* bytes of the heap that exist */
  _Atomic uint64_t errors;                  /* number of the next error */
  struct table roots[SK_ROOTS];
  struct lane_state lanes[];
};

/* ---- the heap: blocks of whole units ---- */

enum { UNIT = 16, VERSION_BITS = 28 };

#define VERSION_MASK ((1ull << VERSION_BITS) - 1)

struct block {        /* a value; its bytes follow */
  uint32_t kind, len;
};

struct array {
  uint64_t log2;
  _Atomic uint64_t buckets[];  /* entry's unit << 28 | top bits of its hash */
};

struct entry {
  _Atomic uint64_t slot;  /* unit of its value's block << 28 | version */
  uint64_t hash;          /* of the whole path */
  uint32_t kind, len;     /* of the key; its bytes follow */
};

static inline uint64_t slot_off (uint64_t word) {
  return word >> VERSION_BITS << 4;
}

static inline uint64_t slot_word (uint64_t off, uint64_t version) {
  return off >> 4 << VERSION_BITS | (version & VERSION_MASK);
}

/* In the slot word of an object: its entries are being changed. */
#define SLOT_BUSY (1ull << (VERSION_BITS - 1))

/* A slot's next word: its version counts below that bit. */
static inline uint64_t slot_next (uint64_t word, uint64_t off) {
  return slot_word(off, (word + 1) & (SLOT_BUSY - 1));
}

static inline uint64_t units_up (uint64_t bytes) {
  return (bytes + UNIT - 1) & ~(uint64_t)(UNIT - 1);
}

static inline uint64_t array_bytes (uint64_t log2) {
  return units_up(sizeof(struct array) + (sizeof(uint64_t) << log2));
}

/* ---- commands in a lane ---- */

enum { PART = 0, KIND_MAX = UINT16_MAX };
enum { WANTS_REPLY = 1, IS_LONG = 2 };

struct record {
  uint32_t len;       /* with this header; a multiple of 8 */
  uint16_t kind;      /* sk_command_kind or PART */
  uint8_t flags;
  uint8_t reply;      /* index, if WANTS_REPLY */
  uint64_t ticket;
  uint32_t path_len;  /* bytes after the header; the payload follows */
  uint16_t depth, root;
};

_Static_assert(sizeof(struct record) == 24, "layout is shared");

/* In front of a part of a long command. */
struct part_head {
  uint64_t total, at;  /* bytes in all, and those that came before */
};

/* ---- what a process knows ---- */

struct sk_share {
  sk_segment *segment;
  uint8_t *base;
  struct share_words *words;
  struct lane_words *lanes;
  struct store *store;
  sk_bell *bell;            /* the coordinator sleeps on it */
  uint64_t store_off, store_end, ring_off, heap_off, heap_max;
  uint64_t lane_bytes, max_bytes;
  uint32_t max_lanes;
  int64_t call_limit_ns;
  sk_handler *handler;
  sk_dropped *dropped;
  void *arg;
  uint64_t creator;         /* generation */
  _Atomic uint64_t present; /* generation that holds LOCK_PRESENT */
  int has_calls;            /* its creator had a handler */
  char name[NAME_ROOM];     /* or "" */
  char folder[FOLDER_ROOM]; /* that it is in */
  int kept[KEPT];           /* descriptors that the coordinator keeps */
  size_t n_kept;
  int cpus;
  _Atomic int serving;      /* a thread of this process is the coordinator */
  _Atomic uint64_t launching; /* generation of a thread that starts one */
  pid_t keeper;             /* that this process started, or 0 */
  uint64_t keeper_parent;   /* generation */
  /* under sk_family_lock */
  uint32_t users;           /* of this struct, in this process */
  uint64_t generation;      /* whose claims these are */
  uint8_t *claimed;         /* lanes that threads of this process have */
};

struct sk_port {
  sk_share *share;
  uint64_t generation;      /* of the process that claimed the lane */
  struct lane_words *words;
  struct lane_state *state;
  uint8_t *ring;
  uint32_t lane;
  uint64_t nonce;
  uint64_t head;            /* end of what is published */
  uint64_t held;            /* bit k: reply k has a receipt */
  uint64_t reply_end[REPLIES];
  uint64_t *wants;          /* per lane: what a read waits for */
  uint32_t n_wants;         /* lanes that were looked at */
  uint8_t *buffer;
  size_t room;
};

/* share_item.c */
uint64_t share_hash_root (uint32_t root);
uint64_t share_hash (uint64_t parent, const sk_item *key);
/* The hash of a valid path; *parent: of the table that it is in. */
uint64_t share_hash_path (const sk_path *path, uint64_t *parent);
/* Does `n` bytes hold exactly one value, nothing deeper than DEPTH? */
int share_item_valid (const void *at, size_t n);
int share_path_valid (const sk_path *path);

static inline int is_table (uint32_t kind) {
  return kind == SK_TABLE || kind == SK_OBJECT;
}

/* What a mark is of. INSIDE and CHILD are of a table's own path: a call may
** have changed anything in it, or one entry was changed. */
enum mark_of { MARK_SELF, MARK_INSIDE, MARK_CHILD };

static inline uint8_t share_mark (uint64_t hash, enum mark_of of) {
  return (uint8_t)((hash ^ hash >> 32 ^ of * 0x55u) % MARKS);
}

/* share_write.c: a lane for the calling process, if it has none. */
int share_port_claim (sk_port *p);
void share_ring_get (const sk_share *s, const uint8_t *ring, uint64_t pos,
                     void *to, size_t n);

/* share_wait.c */
struct share_wait {
  int (*done) (sk_port *p, const void *arg);
  const void *arg;
  int64_t until_ns;  /* < 0: no end */
  int while_stopped; /* wait on although nobody serves */
  int is_patient;    /* look again after a while: do not ask to be woken */
};
int share_wait (sk_port *p, const struct share_wait *w);
int64_t share_deadline (int64_t timeout_ns);
/* Coordinator: let those who wait look again. */
void share_wake (sk_share *s);
/* Why waiting makes no sense now, or 0. */
int share_hopeless (sk_share *s);
void share_pause (void);

/* share_keeper.c: has somebody taken care that the share is served? */
void share_revive (sk_share *s);
/* May this process start a coordinator? Not without the handler. */
int share_can_serve (const sk_share *s);
/* Kill keeper and coordinator and wait for their end; SKE_BUSY if they do not
** come to it. Nothing is lost. */
int share_end_servers (sk_share *s);
/* The keeper goes on without the share: reap it some time. */
void share_leave_keeper (sk_share *s);
void share_reap_keepers (void);

/* share.c: a share without a segment, for the calls below. */
int share_new (const sk_share_options *o, sk_share **out);
void share_destroy (sk_share *s);
/* Bytes that its segment needs. */
uint64_t share_bytes (const sk_share *s);
size_t share_store_bytes (const sk_share *s);
/* Make it in a segment, which it takes over; the caller destroys it when that
** fails. */
int share_make (sk_share *s, sk_segment *segment);
/* The process's share in a segment of others, one use of which it takes over,
** also when it fails. */
int share_find (sk_segment *segment, const sk_share_options *o,
                sk_share **out);
/* Take back a find. */
void share_drop (sk_share *s);
/* Does this process have the segment's share? */
int share_is_known (const sk_segment *segment);

/* share.c: be seen as a user from here on, in this process: called wherever a
** forked child may use a share for the first time. */
int share_be_present (sk_share *s);
/* This process is no user, whatever it does: it serves them. */
void share_become_server (void);
/* Is there a user in another process? */
int share_has_others (const sk_share *s);
/* Nobody is there who could write or ask, or is about to come. */
int share_is_alone (const sk_share *s);

/* share_name.c */
int share_name_create (const sk_share_options *o, sk_share **out);
/* End being a user of a named share; -> 1 when it was the last: the name is
** gone then. */
int share_name_leave (sk_share *s);
/* Coordinator: nobody uses it any more: 1 when that is so and it has no name
** any more. */
int share_name_end (sk_share *s);

#endif
