/*
** What the core gives to event loops: descriptors for bells, for the ends of
** processes and for changes of cells, and a loop of its own for a child.
*/
#include "clean.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* Is it readable within so many nanoseconds? */
static int readable (int fd, int64_t ns) {
  struct pollfd p = { fd, POLLIN, 0 };
  return poll(&p, 1, (int)(ns / MS)) == 1;
}

static sk_cell *new_cell (void) {
  sk_segment *root;
  sk_cell *c = NULL;
  REQUIRE(sk_root(&root) == 0);
  REQUIRE(sk_cell_create(root, 0, &c) == 0);
  return c;
}

static int new_watch (void) {
  int fd = -1;
  REQUIRE(sk_cells_watch(&fd) == 0);
  sk_cells_hush(fd);
  return fd;
}

static void set (sk_cell *c, int64_t v) {
  sk_cell_exchange(c, v);
  sk_cell_wake(c);
}

TEST("a watch of cells hears of a cell that is listened to, once") {
  sk_cell *c = new_cell();
  int fd = new_watch();
  CHECK(!sk_readable(fd));
  CHECK(sk_cell_listen(c, 0) == 0);
  set(c, 1);
  CHECK(sk_readable(fd));
  sk_cells_hush(fd);
  CHECK(!sk_readable(fd));
  set(c, 2);  /* nobody listens now */
  CHECK(!sk_readable(fd));
  close(fd);
}

TEST("listening tells of a change that came before") {
  sk_cell *c = new_cell();
  set(c, 1);
  CHECK(sk_cell_listen(c, 0) == 1);
  CHECK(sk_cell_listen(c, 1) == 0);
}

/* The child has a watch of its own and hears of what the parent changes. */
static void hear (sk_cell *c, sk_cell *ready) {
  int fd = -1;
  if (sk_cells_watch(&fd)) _exit(2);
  sk_cells_hush(fd);
  sk_cell_listen(c, 0);
  set(ready, sk_cell_load(ready) + 1);
  _exit(readable(fd, LONG) && sk_cell_load(c) == 1 ? 0 : 3);
}

TEST("the watches of all processes hear of it") {
  sk_cell *c = new_cell(), *ready = new_cell();
  int fd = new_watch(), i;
  pid_t pid[3];
  for (i = 0; i < 3; i++) {
    pid[i] = fork();
    if (pid[i] == 0) hear(c, ready);
    while (sk_cell_load(ready) <= i) sk_cell_wait(ready, i, 10 * MS);
  }
  CHECK(sk_cell_listen(c, 0) == 0);
  set(c, 1);
  CHECK(readable(fd, LONG));
  for (i = 0; i < 3; i++) {
    int status = -1;
    CHECK(waitpid(pid[i], &status, 0) == pid[i]);
    CHECK(status == 0);
  }
  close(fd);
}

TEST("a change wakes a sleeper and the loops") {
  sk_cell *c = new_cell(), *ready = new_cell();
  int fd = new_watch(), status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    alarm(60);
    set(ready, 1);
    while (sk_cell_load(c) == 0) sk_cell_wait(c, 0, LONG);
    _exit(0);
  }
  while (sk_cell_load(ready) == 0) sk_cell_wait(ready, 0, 10 * MS);
  rest_ms(20);  /* it sleeps by now, or does not need to */
  CHECK(sk_cell_listen(c, 0) == 0);
  set(c, 1);
  CHECK(readable(fd, LONG));
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
  close(fd);
}

static sk_process *start_sleeper (void) {
  sk_process *p = NULL;
  int rc = sk_process_fork(&p);
  if (rc == SK_CHILD) {
    alarm(60);
    for (;;) pause();
  }
  REQUIRE(rc == 0);
  return p;
}

TEST("a watch of processes is readable once one of them has ended") {
  sk_process *p[3];
  sk_exit st;
  int fd = -1, i;
  for (i = 0; i < 3; i++) p[i] = start_sleeper();
  REQUIRE(sk_process_watch(p, 3, &fd) == 0);
  CHECK(!sk_readable(fd));
  CHECK(sk_process_kill(p[1], SIGKILL) == 0);
  CHECK(readable(fd, LONG));
  while (sk_process_poll(p[1], &st) == SKE_BUSY) rest_ms(1);
  close(fd);
  fd = -7;
  CHECK(sk_process_watch(p, 3, &fd) == SKE_LOST);
  CHECK(fd == -7);
  for (i = 0; i < 3; i++) sk_process_free(p[i]);
}

TEST("a bell wakes a loop, until it is hushed") {
  sk_segment *root;
  sk_bell *b;
  REQUIRE(sk_root(&root) == 0);
  REQUIRE(sk_bell_create(root, 1, &b) == 0);
  sk_bell_ring(b, SK_LAZY);
  CHECK(!sk_readable(sk_bell_fd(b)));  /* nobody listens */
  sk_bell_listen(b, SK_EAGER);
  sk_bell_ring(b, SK_EAGER);
  CHECK(sk_readable(sk_bell_fd(b)));
  sk_bell_hush(b);
  CHECK(!sk_readable(sk_bell_fd(b)));
  sk_bell_ring(b, SK_LAZY);
  CHECK(!sk_readable(sk_bell_fd(b)));
  sk_bell_destroy(b);
}

static void add (int poller, int fd) {
  struct epoll_event e = { .events = EPOLLIN };
  CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) == 0);
}

TEST("a child with a fresh poller changes nothing of its parent's") {
  int poller = epoll_create1(EPOLL_CLOEXEC), status = -1;
  int source = eventfd(0, EFD_CLOEXEC);
  uint64_t one = 1;
  pid_t pid;
  add(poller, source);
  pid = fork();
  if (pid == 0) {
    struct epoll_event e;
    if (sk_poller_renew(poller)) _exit(2);
    if (write(source, &one, sizeof one) < 0) _exit(3);
    if (epoll_wait(poller, &e, 1, 0) != 0) _exit(4);  /* it is empty */
    if (!epoll_ctl(poller, EPOLL_CTL_DEL, source, &e)) _exit(5);
    if (fcntl(poller, F_GETFD) != FD_CLOEXEC) _exit(6);
    _exit(0);
  }
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
  CHECK(readable(poller, LONG));
  close(poller);
  close(source);
}
