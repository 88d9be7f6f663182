/*
** For LuaJIT's compiler, through FFI: what can be done at once. Nothing here
** sleeps, forks or touches a Lua state; when it cannot be done at once the
** ordinary way in share.c is taken.
**
** A key is a string (`key` of klen bytes) or, with key NULL, a number.
*/
#include <math.h>
#include <string.h>

#include "share.h"

#define EXACT 9007199254740992.0

enum { MOST_PATH = 512, MOST_BYTES = 2048 };

/* This way cannot do it, whatever the reason: what sk_port_try says as well. */
enum { SLOW = SKE_BUSY };

SK_API int lsk_share_quick_get (lsk_share *h, const char *path, size_t len,
                                uint32_t depth, const char *key, size_t klen,
                                double nkey, int how);
SK_API int lsk_share_quick_set (lsk_share *h, const char *path, size_t len,
                                uint32_t depth, const char *key, size_t klen,
                                double nkey, uint32_t kind, const char *s,
                                size_t slen, double number);

static size_t put_number (void *at, double d, int is_key) {
  sk_item item = { SK_FLOAT, 8, &d };
  int64_t i;
  if (d == floor(d) && fabs(d) <= EXACT &&
      (is_key || !(d == 0 && signbit(d)))) {
    i = (int64_t)d;
    item.kind = SK_INT;
    item.data = &i;
  }
  return sk_item_put(at, &item);
}

/* -> bytes of the path in `space`, or 0 */
static size_t put_path (uint8_t *space, const char *path, size_t len,
                        const char *key, size_t klen, double nkey) {
  sk_item item = { LSK_STRING, (uint32_t)klen, key };
  if (len + klen + 16 > MOST_PATH) return 0;
  memcpy(space, path, len);
  if (key) return len + sk_item_put(space + len, &item);
  if (nkey != nkey) return 0;
  return len + put_number(space + len, nkey, 1);
}

static sk_path to_path (const uint8_t *space, size_t len, uint32_t depth) {
  sk_path path = { space, (uint32_t)len, (depth & 0xFFFFu) + 1, depth >> 16 };
  return path;
}

int lsk_share_quick_fresh (const lsk_share *h, const sk_seen *seen) {
  return h->share && sk_share_fresh(h->share, seen);
}

/* -> 0 and h->look; SKE_ABSENT; or something that share.c will say better */
int lsk_share_quick_get (lsk_share *h, const char *path, size_t len,
                         uint32_t depth, const char *key, size_t klen,
                         double nkey, int how) {
  _Alignas(8) uint8_t space[MOST_PATH];
  lsk_look *look = &h->look;
  sk_path full;
  sk_item item;
  int64_t i;
  int rc;
  if (!h->share || !(len = put_path(space, path, len, key, klen, nkey)))
    return SLOW;
  full = to_path(space, len, depth);
  rc = sk_port_get(h->port, &full, how, 0, &item, &look->seen);
  if (rc) return rc == SKE_TYPE ? SKE_ABSENT : rc;
  look->kind = item.kind;
  look->len = item.len;
  look->data = item.data;
  switch (item.kind) {
    case SK_INT:
      memcpy(&i, item.data, sizeof i);
      look->number = (double)i;
      break;
    case SK_FLOAT: memcpy(&look->number, item.data, sizeof(double)); break;
    case LSK_BOOLEAN:
      look->number = item.len && *(const uint8_t *)item.data;
      break;
    default: break;
  }
  return 0;
}

/* kind 0 deletes */
int lsk_share_quick_set (lsk_share *h, const char *path, size_t len,
                         uint32_t depth, const char *key, size_t klen,
                         double nkey, uint32_t kind, const char *s,
                         size_t slen, double number) {
  _Alignas(8) uint8_t space[MOST_PATH], value[MOST_BYTES];
  sk_command cmd = { .kind = kind ? SK_SET : SK_DELETE, .payload = value };
  sk_item item = { kind, (uint32_t)slen, s };
  uint8_t on = number != 0;
  if (!h->share || h->change) return SLOW;
  if (!(len = put_path(space, path, len, key, klen, nkey))) return SLOW;
  if (slen > MOST_BYTES - 16) return SLOW;
  if (kind == SK_FLOAT) cmd.len = put_number(value, number, 0);
  else if (kind == LSK_BOOLEAN) {
    item.len = 1;
    item.data = &on;
    cmd.len = sk_item_put(value, &item);
  }
  else if (kind) cmd.len = sk_item_put(value, &item);
  cmd.path = to_path(space, len, depth);
  return sk_port_try(h->port, &cmd);
}
