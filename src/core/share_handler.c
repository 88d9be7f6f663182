/*
** Commands for the handler: what it may see and change while it runs, and how
** often it may take the coordinator with it.
*/
#include <string.h>

#include "os.h"
#include "share_coordinator.h"

enum { MOST_FAULTS = 2, MOST_KILLS = 10 };

/* ---- what it sees and changes ---- */

/* May the running handler touch that path? Only at or below its command's:
** that is what readers were told to wait for. What lies in the private root is
** only looked for by what leads there. */
static int allowed (const sk_change *c, const sk_path *path) {
  const sk_path *own = &c->cmd->path;
  if (!share_path_valid(path)) return 0;
  if (path->root == SK_PRIVATE_ROOT) return 1;
  return path->root == own->root &&
         path->depth >= own->depth && path->len >= own->len &&
         !memcmp(path->data, own->data, own->len);
}

int sk_change_get (sk_change *c, const sk_path *path, sk_item *out) {
  return share_path_valid(path) ? share_command_look(c, path, out) : SKE_INVAL;
}

int sk_change_list (sk_change *c, const sk_path *path, const void **data,
                    size_t *len, uint32_t *pairs) {
  struct view v = { c->s, c, 0 };
  struct bytes *b = &c->list_bytes;
  struct place p;
  uint64_t table;
  int rc = SKE_INVAL;
  if (share_path_valid(path)) rc = view_place(&v, path, &p, &table);
  b->len = 0;
  if (!rc) rc = view_list(&v, table, b, pairs);
  if (v.bad) return SKE_CORRUPT;
  if (rc) return rc;
  *data = b->data;
  *len = b->len;
  return 0;
}

uint64_t sk_change_version (sk_change *c, const sk_path *path) {
  struct view v = { c->s, c, 0 };
  struct place p;
  if (!share_path_valid(path) || view_find(&v, path, &p)) return 0;
  return slot_off(p.word) ? p.word : 0;
}

int sk_change_set (sk_change *c, const sk_path *path, const void *value,
                   size_t len) {
  int rc = SKE_INVAL;
  if (allowed(c, path)) rc = share_command_set(c, path, value, len);
  if (rc) c->failed = rc;
  return rc;
}

int sk_change_delete (sk_change *c, const sk_path *path) {
  int rc = SKE_INVAL;
  if (allowed(c, path)) rc = share_command_delete(c, path);
  if (rc) c->failed = rc;
  return rc;
}

/* ---- calling it ---- */

/* Note what we are about to do, for the coordinator after us. */
static int is_poison (struct inflight *f, uint64_t lane, uint64_t pos) {
  if (atomic_load(&f->lane) != lane || atomic_load(&f->pos) != pos) {
    atomic_store(&f->active, 0);
    atomic_store(&f->faults, 0);
    atomic_store(&f->kills, 0);
    atomic_store(&f->lane, lane);
    atomic_store(&f->pos, pos);
  }
  return atomic_load(&f->faults) >= MOST_FAULTS ||
         atomic_load(&f->kills) >= MOST_KILLS;
}

int share_handler_call (sk_coordinator *c, uint32_t lane, uint64_t pos,
                 const sk_command *cmd) {
  struct inflight *f = &c->s->words->inflight;
  int rc;
  if (!c->s->handler) return SKE_INVAL;
  if (is_poison(f, lane, pos)) return SKE_POISON;
  atomic_store(&f->since_ns, os_now_ns());
  atomic_store(&f->active, 1);
  SK_FAULT(FAULT_HANDLER);
  c->change.cmd = cmd;
  rc = c->s->handler(c->s->arg, &c->change, cmd);
  c->change.cmd = NULL;
  atomic_store(&f->active, 0);
  return rc ? rc : c->change.failed;
}
