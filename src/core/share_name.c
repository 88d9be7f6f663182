/*
** Named shares: files in a folder that only this user can enter.
**
** A file gets its name when it is complete and its creator is seen as a user;
** it loses it before its last user goes. Who creates, opens or removes holds
** the file's LOCK_LIFE while it decides. Killed anywhere, a process leaves a
** file without a name, which the next creation removes, or a complete share
** without users, which the next one who wants that name takes over.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os.h"
#include "share_layout.h"

#define NS 1000000000ll
#define PATIENCE_NS (6 * NS)  /* with a process that is stopped while it
                              ** decides, or that stops a coordinator */
#define TRIES 1000
#define NEW ".new-"           /* no share's name begins with a dot */

/* Not errors: the name stands for another file by now, look again; it can be
** used, but not for what is asked. */
enum { AGAIN = 1, UNFIT = 2 };

/* ---- names and folders ---- */

static int is_valid (const char *name) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  size_t n = strspn(name, allowed);
  return n > 0 && n < NAME_ROOM && !name[n] && name[0] != '.';
}

struct place {
  const char *name;
  char path[FOLDER_ROOM];
  int folder;  /* descriptor */
};

static int open_folder (struct place *p, int make) {
  struct os_file file;
  int rc = os_folder_open(p->path, make, &p->folder);
  if (rc) return rc;
  rc = os_file_look(p->folder, &file);
  if (!rc && !(file.is_ours && file.is_private)) rc = SKE_FOREIGN;
  if (rc) close(p->folder);
  return rc;
}

static int find_place (const char *name, int make, struct place *p) {
  int rc;
  if (!is_valid(name)) return SKE_INVAL;
  memset(p, 0, sizeof *p);  /* all of the path goes into the layout */
  p->name = name;
  if ((rc = os_named_folder(p->path, sizeof p->path))) return rc;
  return open_folder(p, make);
}

static int is_same (const struct os_file *a, const struct os_file *b) {
  return a->dev == b->dev && a->ino == b->ino;
}

static int look_at (int folder, const char *name, struct os_file *file) {
  int peek, rc = os_file_peek(folder, name, &peek);
  if (rc) return rc;
  rc = os_file_look(peek, file);
  close(peek);
  return rc;
}

/* 0 when that path still stands for the file, else AGAIN, or an error. */
static int stands (int in, const char *path, const struct os_file *file) {
  struct os_file now;
  int rc = look_at(in, path, &now);
  if (!rc) return is_same(&now, file) ? 0 : AGAIN;
  return rc == SKE_SYS ? rc : AGAIN;
}

static int name_stands (const struct place *p, const struct os_file *file) {
  return stands(p->folder, p->name, file);
}

/* Is the folder still where others look for it? */
static int folder_stands (const struct place *p) {
  struct os_file file;
  int rc = os_file_look(p->folder, &file);
  return rc ? rc : stands(-1, p->path, &file);
}

/* ---- deciding ---- */

/* A process cannot lock itself out: the generation of the one whose thread
** decides. One that was inherited is nobody's. */
static _Atomic uint64_t deciding;

static void nap (void) {
  _Atomic uint32_t nothing = 0;
  os_park(&nothing, 0, NS / 1000);
}

static int begin_turn (void) {
  int64_t until = os_now_ns() + PATIENCE_NS;
  uint64_t self = sk_generation(), seen;
  for (;;) {
    seen = atomic_load(&deciding);
    if (seen != self &&
        atomic_compare_exchange_strong(&deciding, &seen, self))
      return 0;
    if (os_now_ns() > until) return SKE_BUSY;
    nap();
  }
}

static void end_turn (void) {
  atomic_store(&deciding, 0);
}

static int lock_life (int fd) {
  int64_t until = os_now_ns() + PATIENCE_NS;
  int rc;
  while ((rc = os_lock(fd, LOCK_LIFE)) == SKE_BUSY && os_now_ns() < until)
    nap();
  return rc;
}

/* ---- files that are no shares ---- */

/* Remove one unless somebody holds a lock on it: whatever its version, its
** users do. This process does not have it open. */
static int remove_unused (int folder, const char *name, int peek) {
  struct os_file file;
  int fd, rc = os_file_look(peek, &file);
  if (!rc) rc = os_file_open(peek, &fd);
  if (rc) return rc;
  rc = lock_life(fd);
  if (!rc && os_lock_holder(fd, 0, 0)) rc = SKE_BUSY;
  if (!rc) rc = stands(folder, name, &file);
  if (!rc) rc = os_file_remove(folder, name);
  close(fd);
  return rc;
}

/* Files whose creators died before they got their name. */
static int sweep_one (void *arg, const char *name) {
  int folder = *(int *)arg, peek;
  struct os_file file;
  if (strncmp(name, NEW, sizeof NEW - 1)) return 0;
  if (os_file_peek(folder, name, &peek)) return 0;
  if (!os_file_look(peek, &file) && file.kind == OS_REGULAR &&
      file.is_ours && file.links == 1)
    remove_unused(folder, name, peek);
  close(peek);
  return 0;
}

/* ---- new ones ---- */

static int publish (const struct place *p, const char *temp) {
  int rc = os_file_rename(p->folder, temp, p->name);
  if (rc) return rc == SKE_BUSY || rc == SKE_ABSENT ? AGAIN : rc;
  rc = folder_stands(p);
  if (rc) os_file_remove(p->folder, p->name);  /* nobody would find it */
  return rc;
}

/* In a file that has no name yet; its creator is a user from the start, or it
** would be swept away. */
static int make_in (sk_share *s, int fd) {
  sk_segment *segment;
  int rc = os_lock_shared(fd, LOCK_PRESENT);
  if (rc) {
    close(fd);
    return rc;
  }
  rc = sk_segment_make(fd, (size_t)share_bytes(s), &segment);
  return rc ? rc : share_make(s, segment);
}

static int make_file (const struct place *p, sk_share *s) {
  char temp[sizeof NEW + 16];
  uint64_t number;
  int fd, rc;
  os_random(&number, sizeof number);
  snprintf(temp, sizeof temp, NEW "%016llx", (unsigned long long)number);
  if ((rc = os_file_create(p->folder, temp, &fd))) return rc;
  rc = make_in(s, fd);
  if (!rc) rc = publish(p, temp);
  if (rc) os_file_remove(p->folder, temp);
  return rc;
}

static int make_new (const struct place *p, const sk_share_options *o,
                     sk_share **out) {
  sk_share *s;
  int rc = share_new(o, &s);
  if (rc) return rc;
  memcpy(s->name, p->name, strlen(p->name) + 1);
  memcpy(s->folder, p->path, sizeof s->folder);
  rc = share_bytes(s) > SIZE_MAX ? SKE_NOMEM : make_file(p, s);
  if (rc) share_destroy(s);
  else *out = s;
  return rc;
}

/* ---- those that are there ---- */

/* Where the last users died. */
static void set_stopped (sk_share *s, int also_running) {
  uint32_t state = atomic_load(&s->words->state);
  if (state != SK_RUNNING || also_running)
    atomic_store(&s->words->state, SK_STOPPED);
}

static int fits (const sk_share *s, const sk_share_options *o) {
  sk_share *wanted;
  int same;
  if (o->reset || share_new(o, &wanted)) return 0;
  same = wanted->max_bytes == s->max_bytes &&
         wanted->max_lanes == s->max_lanes &&
         wanted->lane_bytes == s->lane_bytes &&
         wanted->has_calls == s->has_calls;
  share_destroy(wanted);
  return same;
}

/* With LOCK_LIFE held. */
static int take_over (sk_share *s, const sk_share_options *o) {
  int rc;
  if (share_has_others(s)) return SKE_BUSY;
  if ((rc = share_end_servers(s))) return rc;
  if (!fits(s, o)) return UNFIT;
  if ((rc = share_be_present(s))) return rc;
  set_stopped(s, 1);
  s->creator = sk_generation();
  return 0;
}

/* With LOCK_LIFE held. */
static int come_in (sk_share *s) {
  if (!share_has_others(s) && !sk_share_pid(s)) set_stopped(s, 0);
  return share_be_present(s);
}

/* Join what the name stands for: to create (`o` says what) or to open it. */
static int join (const struct place *p, int peek, const struct os_file *file,
                 const sk_share_options *o, int create, sk_share **out) {
  sk_segment *segment;
  sk_share *s;
  int rc = sk_segment_join(peek, 0, &segment);
  if (rc) return rc;
  if (create && share_is_known(segment)) {  /* it is this process's own */
    sk_segment_close(segment);
    return SKE_BUSY;
  }
  if ((rc = share_find(segment, o, &s))) return rc;
  if (!(rc = lock_life(s->segment->fd))) {
    rc = name_stands(p, file);
    if (!rc) rc = create ? take_over(s, o) : come_in(s);
    os_unlock(s->segment->fd, LOCK_LIFE);
  }
  if (!rc) *out = s;
  else share_drop(s);
  return rc;
}

static int look_and_join (const struct place *p, int peek,
                          const sk_share_options *o, int create,
                          sk_share **out) {
  struct os_file file;
  int rc = os_file_look(peek, &file);
  if (rc) return rc;
  if (file.links == 0) return AGAIN;
  if (file.kind != OS_REGULAR || !file.is_ours || !file.is_private ||
      file.links != 1)
    return SKE_FOREIGN;
  rc = join(p, peek, &file, o, create, out);
  if (!create) return rc;
  /* nobody can use it as it is */
  if (rc == SKE_CORRUPT || rc == SKE_VERSION || rc == UNFIT) {
    rc = remove_unused(p->folder, p->name, peek);
    if (!rc || rc == SKE_ABSENT) rc = AGAIN;
  }
  return rc;
}

/* ---- the two ways in ---- */

static int create_once (const char *name, const sk_share_options *o,
                        sk_share **out) {
  struct place p;
  int peek, rc = find_place(name, 1, &p);
  if (rc) return rc;
  os_folder_each(p.folder, sweep_one, &p.folder);
  rc = os_file_peek(p.folder, name, &peek);
  if (rc == SKE_ABSENT) rc = make_new(&p, o, out);
  else if (!rc) {
    rc = look_and_join(&p, peek, o, 1, out);
    close(peek);
  }
  close(p.folder);
  return rc;
}

static int open_once (const char *name, const sk_share_options *o,
                      sk_share **out) {
  struct place p;
  int peek, rc = find_place(name, 0, &p);
  if (rc) return rc;
  rc = os_file_peek(p.folder, name, &peek);
  if (!rc) {
    rc = look_and_join(&p, peek, o, 0, out);
    close(peek);
  }
  close(p.folder);
  return rc;
}

typedef int way_in (const char *name, const sk_share_options *o,
                    sk_share **out);

static int enter (way_in *once, const char *name, const sk_share_options *o,
                  sk_share **out) {
  int rc = begin_turn(), tries = TRIES;
  if (rc) return rc;
  do {
    rc = once(name, o, out);
  } while (rc == AGAIN && --tries);
  end_turn();
  return rc == AGAIN ? SKE_BUSY : rc;
}

int share_name_create (const sk_share_options *o, sk_share **out) {
  return enter(create_once, o->name, o, out);
}

int sk_share_open (const char *name, const sk_share_options *given,
                   sk_share **out) {
  static const sk_share_options defaults;
  if (!name) return SKE_INVAL;
  share_reap_keepers();
  return enter(open_once, name, given ? given : &defaults, out);
}

/* ---- the end of a name ---- */

/* With LOCK_LIFE held: nobody else may give the name to another file. */
static void remove_name (const sk_share *s) {
  struct os_file file;
  struct place p;
  p.name = s->name;
  memcpy(p.path, s->folder, sizeof p.path);
  if (!is_valid(p.name) || open_folder(&p, 0)) return;
  if (!os_file_look(s->segment->fd, &file) && !name_stands(&p, &file))
    os_file_remove(p.folder, p.name);
  close(p.folder);
}

int share_name_leave (sk_share *s) {
  int fd = s->segment->fd, last = 0;
  if (begin_turn()) return 0;
  if (!lock_life(fd)) {
    last = !share_has_others(s);
    if (last) remove_name(s);
    os_unlock(fd, LOCK_PRESENT);
    atomic_store(&s->present, 0);
    os_unlock(fd, LOCK_LIFE);
  }
  end_turn();
  return last;
}

int share_name_end (sk_share *s) {
  int fd = s->segment->fd, gone;
  if (!s->name[0]) return 1;
  if (os_lock(fd, LOCK_LIFE)) return 0;  /* somebody comes or goes */
  gone = !share_has_others(s);
  if (gone) remove_name(s);
  os_unlock(fd, LOCK_LIFE);
  return gone;
}
