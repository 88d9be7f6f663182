/*
** A named share from a C program of its own: suitkaise.h is all it needs.
**
**   read_share NAME KEY        print what is at KEY, then what comes next
**   read_share NAME KEY N      add N to the number there, print the sum
**
** cc -Isrc/include examples/read_share.c build/c/libsuitkaise.a -lm -pthread
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suitkaise.h"

enum { TEXT = SK_BYTES };
#define PATIENCE_NS 30000000000ll

static int failed (const char *what, int rc) {
  fprintf(stderr, "%s: %s\n", what, sk_strerror(rc));
  return 1;
}

static void print_item (const sk_item *item) {
  int64_t whole;
  double number;
  switch (item->kind) {
    case SK_INT:
      memcpy(&whole, item->data, sizeof whole);
      printf("%lld\n", (long long)whole);
      break;
    case SK_FLOAT:
      memcpy(&number, item->data, sizeof number);
      printf("%.14g\n", number);
      break;
    case SK_TABLE: case SK_OBJECT:
      printf("a table of %u\n", item->len);
      break;
    default:
      printf("%.*s\n", (int)item->len, (const char *)item->data);
  }
  fflush(stdout);
}

/* Print the value, then wait for another one and print that. */
static int watch (sk_port *port, const sk_path *path) {
  sk_seen seen, last;
  sk_item item;
  uint32_t commit = 0;
  int rc = sk_port_await(port, &commit, 0);  /* only to know where we are */
  rc = sk_port_get(port, path, 0, PATIENCE_NS, &item, &last);
  if (rc) return failed("get", rc);
  print_item(&item);
  do {
    rc = sk_port_await(port, &commit, PATIENCE_NS);
    if (!rc) rc = sk_port_get(port, path, 0, PATIENCE_NS, &item, &seen);
    if (rc) return failed("wait", rc);
  } while (seen.word == last.word);
  print_item(&item);
  return 0;
}

static int add (sk_port *port, const sk_path *path, int64_t by) {
  uint64_t payload[2];
  sk_item number = { SK_INT, sizeof by, &by };
  sk_command command = { .kind = SK_ADD, .path = *path, .payload = payload };
  sk_receipt receipt;
  sk_answer answer;
  int rc;
  command.len = sk_item_put(payload, &number);
  rc = sk_port_send(port, &command, &receipt, PATIENCE_NS);
  if (!rc) rc = sk_port_wait(port, &receipt, PATIENCE_NS, &answer);
  if (!rc) rc = answer.rc;
  if (rc) return failed("add", rc);
  print_item(&answer.item);
  return 0;
}

int main (int argc, char **argv) {
  uint64_t space[64];
  sk_path path = { .data = space, .depth = 1 };
  sk_item key = { TEXT, 0, NULL };
  sk_share *share;
  sk_port *port;
  int rc;
  if (argc < 3 || strlen(argv[2]) > 256) {
    fprintf(stderr, "usage: read_share NAME KEY [N]\n");
    return 2;
  }
  key.len = (uint32_t)strlen(argv[2]);
  key.data = argv[2];
  path.len = (uint32_t)sk_item_put(space, &key);
  if ((rc = sk_share_open(argv[1], NULL, &share)))
    return failed(argv[1], rc);
  if ((rc = sk_port_open(share, &port))) {
    sk_share_close(share);
    return failed("port", rc);
  }
  rc = argc > 3 ? add(port, &path, atoll(argv[3])) : watch(port, &path);
  sk_port_close(port);
  sk_share_close(share);
  return rc;
}
