/*
** Segments of other processes: found by a descriptor, mapped once.
**
** Closing any descriptor of a file drops every lock that the process has on
** it. So files are looked at through peeks, which are no descriptors in that
** sense, and opened only when this process has no other one of them.
*/
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "family.h"
#include "os.h"
#include "segment.h"

/* Everything that others rely on, in a file of `size` bytes. */
static int check_header (const struct segment_header *h, uint64_t size) {
  uint64_t top = atomic_load(&h->top), made = atomic_load(&h->size);
  if (memcmp(h->magic, SK_SEGMENT_MAGIC, sizeof h->magic)) return SKE_CORRUPT;
  if (h->version != SK_SEGMENT_VERSION ||
      h->pointer_bytes != sizeof(void *))
    return SKE_VERSION;
  if (h->max < SK_SEGMENT_LEAST || h->max % SK_SEGMENT_STEP ||
      h->max > SIZE_MAX / 2)
    return SKE_CORRUPT;
  if (made < sizeof *h || made > size || made > h->max) return SKE_CORRUPT;
  if (top < sizeof *h || top > h->max) return SKE_CORRUPT;
  return 0;
}

static int read_header (int fd, const struct os_file *file, uint64_t id,
                        struct segment_header *h) {
  ssize_t n;
  if (file->size < sizeof *h) return SKE_CORRUPT;
  n = pread(fd, h, sizeof *h, 0);
  if (n < 0) return SKE_SYS;
  if (n != (ssize_t)sizeof *h) return SKE_CORRUPT;
  if (id && h->id != id) return SKE_UNKNOWN;
  return check_header(h, file->size);
}

static int map_file (sk_segment *s, const struct segment_header *h) {
  void *base = mmap(NULL, (size_t)h->max, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_NORESERVE, s->fd, 0);
  if (base == MAP_FAILED) return SKE_NOMEM;
  s->base = base;
  s->header = base;
  s->max = (size_t)h->max;
  return 0;
}

/* A file that this process does not have open. */
static int open_new (int peek, const struct os_file *file, uint64_t id,
                     sk_segment **out) {
  struct segment_header h;
  sk_segment *s = calloc(1, sizeof *s);
  int rc;
  if (!s) return SKE_NOMEM;
  rc = os_file_open(peek, &s->fd);
  if (rc) {
    free(s);
    return rc;
  }
  rc = read_header(s->fd, file, id, &h);
  if (!rc) rc = map_file(s, &h);
  if (rc) {
    close(s->fd);
    free(s);
    return rc;
  }
  s->dev = file->dev;
  s->ino = file->ino;
  *out = s;
  return 0;
}

int sk_segment_join (int peek, uint64_t id, sk_segment **out) {
  struct os_file file;
  sk_segment *s;
  int rc = os_file_look(peek, &file);
  if (rc) return rc;
  if (file.kind != OS_REGULAR) return SKE_UNKNOWN;
  if (!file.is_ours) return SKE_FOREIGN;
  sk_generation();
  /* all of it under the lock: no other thread may open the same file */
  sk_family_lock();
  s = sk_segment_of_file(file.dev, file.ino);
  if (s && id && s->header->id != id) rc = SKE_UNKNOWN;
  else if (s) s->users++;
  else if (!(rc = open_new(peek, &file, id, &s))) sk_segment_enlist(s);
  sk_family_unlock();
  if (!rc) *out = s;
  return rc;
}

/* ---- by descriptor ---- */

struct search {
  pid_t pid;
  uint64_t id;
  sk_segment *found;
};

/* Only what looks like a segment is opened: of any other file this process
** may hold locks of its own, and opening and closing it would drop them. */
static int try_fd (struct search *s, int fd) {
  int peek, rc = os_file_peek_at(s->pid, fd, &peek);
  if (rc) return rc;
  rc = SKE_UNKNOWN;
  if (os_file_is_memory(peek)) rc = sk_segment_join(peek, s->id, &s->found);
  close(peek);
  return rc;
}

static int try_name (void *arg, const char *name) {
  return name[0] != '.' && !try_fd(arg, atoi(name));
}

/* One that this process has already. */
static int join_mapped (uint64_t id, sk_segment **out) {
  sk_segment *s;
  sk_generation();
  sk_family_lock();
  s = sk_segment_of_id(id);
  if (s) s->users++;
  sk_family_unlock();
  if (s) *out = s;
  return s != NULL;
}

int sk_segment_join_at (pid_t pid, int fd, uint64_t id, sk_segment **out) {
  struct search s = { pid, id, NULL };
  int rc = SKE_UNKNOWN, found;
  if (pid <= 0 || !id) return SKE_INVAL;
  if (join_mapped(id, out)) return 0;
  if (fd >= 0) rc = try_fd(&s, fd);
  if (rc == SKE_UNKNOWN || rc == SKE_ABSENT || rc == SKE_FOREIGN) {
    found = os_process_each(pid, try_name, &s);
    if (found == 1) rc = 0;
    else if (found == SKE_FOREIGN) rc = found;
    else if (rc == SKE_ABSENT) rc = SKE_UNKNOWN;
  }
  if (!rc) *out = s.found;
  return rc;
}

int sk_segment_attach (pid_t pid, int fd, uint64_t id, sk_segment **out) {
  return sk_segment_join_at(pid, fd, id, out);
}

int sk_segment_where (const sk_segment *s, pid_t *pid, int *fd,
                      uint64_t *id) {
  if (s->fd < 0) return SKE_UNKNOWN;
  *pid = getpid();
  *fd = s->fd;
  *id = sk_segment_id(s);
  return 0;
}
