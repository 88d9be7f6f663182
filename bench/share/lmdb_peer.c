/*
** LMDB without syncing, one key of 8 bytes in memory: prints what an operation
** takes, in microseconds. usage: lmdb_peer get|set|increment
*/
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TURNS = 100000 };

static MDB_env *env;
static MDB_dbi table;
static MDB_val key = { 1, "n" };

static void must (int rc) {
  if (!rc) return;
  fprintf(stderr, "lmdb_peer: %s\n", mdb_strerror(rc));
  exit(1);
}

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void get (void) {
  static MDB_txn *txn;
  MDB_val value;
  if (!txn) must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
  else must(mdb_txn_renew(txn));
  must(mdb_get(txn, table, &key, &value));
  mdb_txn_reset(txn);
}

static void put (int add) {
  long long n = 0;
  MDB_val value = { sizeof n, &n }, old;
  MDB_txn *txn;
  must(mdb_txn_begin(env, NULL, 0, &txn));
  if (add && !mdb_get(txn, table, &key, &old)) memcpy(&n, old.mv_data, 8);
  n++;
  must(mdb_put(txn, table, &key, &value, 0));
  must(mdb_txn_commit(txn));
}

static void set (void) { put(0); }
static void increment (void) { put(1); }

int main (int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "get";
  void (*turn) (void) = *what == 'g' ? get : *what == 's' ? set : increment;
  char path[] = "/dev/shm/lmdb-XXXXXX", lock[64];
  MDB_txn *txn;
  double begun;
  int i;
  close(mkstemp(path));
  snprintf(lock, sizeof lock, "%s-lock", path);
  must(mdb_env_create(&env));
  must(mdb_env_set_mapsize(env, 16 << 20));
  must(mdb_env_open(env, path, MDB_NOSYNC | MDB_WRITEMAP | MDB_NOSUBDIR,
                    0600));
  unlink(path);
  must(mdb_txn_begin(env, NULL, 0, &txn));
  must(mdb_dbi_open(txn, NULL, 0, &table));
  must(mdb_txn_commit(txn));
  set();
  begun = now();
  for (i = 0; i < TURNS; i++) turn();
  printf("%f\n", (now() - begun) / TURNS);
  unlink(lock);
  return 0;
}
