/*
** Named shares: who gets one, who is refused, what the killed leave.
*/
#include "name.h"

#include <sys/mount.h>

/* ---- finding one ---- */

NAME_TEST("another process opens a share by its name, reads and writes") {
  struct other *o = new_other(1);
  pid_t pid = have_other(o);
  REQUIRE(open_a() == 0);
  CHECK(get_int("n") == 7);
  CHECK(put_int("n", 8) == 0 && get_int("n") == 8);
  leave();
  CHECK(exists("a"));
  let_go(o, pid);
  CHECK(!exists("a"));
}

NAME_TEST("only letters, digits, dots, lines and minus make a name") {
  static const char *const bad[] = { "", ".", "..", ".a", "a/b", "/a", "a b",
                                     "a\n", "\xc3\xa4", "../a" };
  char name[66];
  sk_share_options o = small;
  size_t i;
  for (i = 0; i < COUNT(bad); i++) {
    o.name = bad[i];
    CHECK(sk_share_create(&o, &share) == SKE_INVAL);
    CHECK(sk_share_open(bad[i], NULL, &share) == SKE_INVAL);
  }
  memset(name, 'x', 65);
  name[65] = 0;
  o.name = name;
  CHECK(sk_share_create(&o, &share) == SKE_INVAL);
  CHECK(sk_share_open(name, NULL, &share) == SKE_INVAL);
  CHECK(sk_share_open(NULL, NULL, &share) == SKE_INVAL);
  CHECK(files() == 0);
  name[64] = 0;
  REQUIRE(sk_share_create(&o, &share) == 0);
  CHECK(exists(name));
  sk_share_close(share);
  o.name = "A-z_0.9";
  REQUIRE(sk_share_create(&o, &share) == 0);
  CHECK(exists("A-z_0.9"));
  sk_share_close(share);
}

NAME_TEST("a name that nobody has is absent") {
  CHECK(open_a() == SKE_ABSENT);
  CHECK(access(folder, F_OK) != 0);  /* and asking makes nothing */
  create(&small);
  CHECK(sk_share_open("b", NULL, &share) == SKE_ABSENT);
  leave();
  CHECK(open_a() == SKE_ABSENT);
}

NAME_TEST("a name in use is busy, for others and for its own process") {
  struct other *o = new_other(0);
  pid_t pid = have_other(o);
  sk_share *s;
  CHECK(sk_share_create(&small, &share) == SKE_BUSY);
  REQUIRE(open_a() == 0);
  CHECK(sk_share_create(&small, &s) == SKE_BUSY);
  CHECK(get_rc("n") == SKE_ABSENT);
  leave();
  let_go(o, pid);
}

NAME_TEST("opened again it is the same, and closed as often") {
  sk_share *again;
  int before;
  create(&small);
  before = open_descriptors();
  CHECK(sk_share_open("a", NULL, &again) == 0);
  CHECK(again == share && open_descriptors() == before);
  sk_share_close(again);
  CHECK(exists("a"));
  leave();
  CHECK(!exists("a"));
}

NAME_TEST("its file and its folder are for this user alone") {
  struct stat st;
  mode_t mask = umask(0);
  create(&small);
  CHECK(!stat(folder, &st) && (st.st_mode & 07777) == 0700);
  CHECK(!stat(in_folder("a"), &st) && (st.st_mode & 07777) == 0600);
  leave();
  umask(mask);
}

NAME_TEST("two shares of two names have nothing in common") {
  sk_share_options b = small;
  sk_share *other;
  sk_port *p;
  b.name = "b";
  create(&small);
  serve();
  REQUIRE(sk_share_create(&b, &other) == 0);
  REQUIRE(sk_port_open(other, &p) == 0);
  CHECK(put_int("n", 1) == 0);
  apply();
  CHECK(get_int("n") == 1 && get_int_by(p, "n") == NOTHING + SKE_ABSENT);
  sk_port_close(p);
  sk_share_close(other);
  CHECK(!exists("b") && exists("a"));
  close_share();
}

/* ---- the last one out ---- */

static void only_read (void *arg) {
  struct other *o = arg;
  CHECK(await(&o->ready, 1));
  CHECK(open_a() == 0);
  CHECK(get_int("n") == 7);
  tell(&o->ready);
  CHECK(await(&o->go_on, 1));
  CHECK(get_int("n") == 7);
  CHECK(put_int("n", 9) == 0 && get_int("n") == 9);
  leave();
}

NAME_TEST("the name stays until the last user goes, also one that only reads") {
  struct other *o = new_other(0);
  pid_t pid = child(only_read, o), keeper, server;
  create(&small);
  CHECK(sk_share_start(share) == 0);
  CHECK(put_int("n", 7) == 0 && get_int("n") == 7);
  tell(&o->ready);
  CHECK(await(&o->ready, 2));
  keeper = await_holder(LOCK_KEEPER);
  server = await_holder(LOCK_COORDINATOR);
  leave();  /* its creator */
  CHECK(exists("a") && is_there(server));
  /* the coordinator asks twice in this time whether anybody is left */
  rest_ms(3500);
  CHECK(exists("a") && is_there(server) && is_there(keeper));
  tell(&o->go_on);
  CHECK(ended(pid) == 0);
  CHECK(!exists("a"));
  CHECK(disappears(server, LONG) && disappears(keeper, LONG));
  /* the keeper was our child: the next call of the core reaps it */
  CHECK(has_children() && open_a() == SKE_ABSENT && !has_children());
  free_other(o);
}

static void read_inherited (void *arg) {
  struct other *o = arg;
  CHECK(get_int("n") == 7);  /* now it is a user, too */
  tell(&o->ready);
  CHECK(await(&o->go_on, 1));
  sk_port_close(port);
  sk_share_close(share);
}

NAME_TEST("a forked child that uses it is a user") {
  struct other *o = new_other(0);
  pid_t pid;
  create(&small);
  CHECK(sk_share_start(share) == 0);
  CHECK(put_int("n", 7) == 0 && get_int("n") == 7);
  pid = child(read_inherited, o);
  CHECK(await(&o->ready, 1));
  sk_port_close(port);
  CHECK(await_holder(LOCK_PRESENT) == pid);
  sk_share_close(share);
  CHECK(exists("a"));
  let_go(o, pid);
  CHECK(!exists("a"));
  /* the keeper was this process's child, and ended with the share */
  while (waitpid(-1, NULL, 0) > 0) {}
}

NAME_TEST("three seconds after the last user was killed nothing is left") {
  struct other *o = new_other(1);
  pid_t pid = have_other(o);
  killed(pid);
  CHECK(exists("a") && is_there(o->servers[1]));
  CHECK(disappears(o->servers[1], 3500 * MS));
  CHECK(disappears(o->servers[0], 500 * MS));
  CHECK(!exists("a"));
  free_other(o);
}

NAME_TEST("killed together with its keeper, the coordinator still clears up") {
  struct other *o = new_other(1);
  pid_t pid = have_other(o);
  kill(o->servers[0], SIGKILL);
  killed(pid);
  CHECK(disappears(o->servers[1], 3500 * MS));
  CHECK(!exists("a"));
  free_other(o);
}

NAME_TEST("a coordinator killed after all users is followed by one that "
          "clears up") {
  struct other *o = new_other(1);
  pid_t pid = have_other(o);
  killed(pid);
  kill(o->servers[1], SIGKILL);
  CHECK(disappears(o->servers[0], 4500 * MS));
  CHECK(!exists("a"));
  free_other(o);
}

static void hold_life (void *arg) {
  struct other *o = arg;
  CHECK(await(&o->ready, 1));
  CHECK(open_a() == 0 && os_lock(share->segment->fd, LOCK_LIFE) == 0);
  tell(&o->ready);
  rest_ms(200);  /* others wait for us now */
  _exit(0);
}

NAME_TEST("who comes while another one decides waits for it") {
  struct other *o = new_other(0);
  pid_t pid = child(hold_life, o);
  int64_t before;
  create(&small);
  tell(&o->ready);
  CHECK(await(&o->ready, 2));
  before = now_ns();
  CHECK(exists("a"));
  leave();
  CHECK(!exists("a") && now_ns() - before > MS);
  CHECK(ended(pid) == 0);
  free_other(o);
}

static void *serve_here (void *c) {
  CHECK(sk_coordinator_run(c) == 0);
  return NULL;
}

NAME_TEST("a coordinator in a user's own process never thinks it is alone") {
  pthread_t thread;
  create(&small);
  serve();
  CHECK(!pthread_create(&thread, NULL, serve_here, coordinator));
  CHECK(put_int("n", 1) == 0);
  rest_ms(2500);  /* two looks of the coordinator's */
  CHECK(exists("a"));
  CHECK(put_int("n", 2) == 0 && get_int("n") == 2);
  sk_share_stop(share, LONG);
  pthread_join(thread, NULL);
  close_share();
}

/* ---- what the killed leave ---- */

NAME_TEST("when all are killed at once, the next creator finds all data") {
  struct other *o = new_other(1);
  kill_all(o, have_other(o));
  CHECK(exists("a"));
  create(&small);
  CHECK(get_int("n") == 7);
  CHECK(put_int("n", 8) == 0);
  CHECK(get_rc("n") == SKE_STOPPED);  /* until it is started again */
  CHECK(sk_share_start(share) == 0);
  CHECK(get_int("n") == 8);
  leave();
  free_other(o);
}

NAME_TEST("so does the next one who opens it, and need not start it") {
  struct other *o = new_other(1);
  kill_all(o, have_other(o));
  REQUIRE(open_a() == 0);
  CHECK(get_int("n") == 7);
  CHECK(put_int("n", 8) == 0 && get_int("n") == 8);
  leave();
  CHECK(!exists("a"));
  free_other(o);
}

NAME_TEST("a creator that comes back at once goes on, with new servers") {
  struct other *o = new_other(1);
  pid_t pid = have_other(o);
  killed(pid);
  create(&small);  /* while the old coordinator waits for its end */
  CHECK(disappears(o->servers[0], LONG) && disappears(o->servers[1], LONG));
  CHECK(sk_share_start(share) == 0);
  CHECK(get_int("n") == 7);
  leave();
  free_other(o);
}

NAME_TEST("with other limits or on demand it begins anew") {
  sk_share_options o = small;
  int i;
  for (i = 0; i < 4; i++) {
    struct other *killed_one = new_other(1);
    kill_all(killed_one, have_other(killed_one));
    free_other(killed_one);
    o = small;
    if (i == 0) o.max_bytes *= 2;
    if (i == 1) o.lane_bytes *= 2;
    if (i == 2) o.max_users = 5;
    if (i == 3) o.reset = 1;
    create(&o);
    CHECK(get_rc("n") == SKE_ABSENT);
    CHECK(files() == 1);
    leave();
  }
}

static void degrade (void *arg) {
  struct other *o = arg;
  CHECK(sk_share_create(&small, &share) == 0);
  atomic_store(&share->words->state, o->value == 1 ? SK_DEGRADED : SK_STOPPING);
  raise(SIGKILL);
}

NAME_TEST("what was given up or about to stop can be started again") {
  struct other *o = new_other(0);
  for (o->value = 1; o->value <= 2; o->value++) {
    ended(child(degrade, o));
    create(&small);
    CHECK(sk_share_start(share) == 0);
    CHECK(put_int("n", 1) == 0 && get_int("n") == 1);
    leave();
    ended(child(degrade, o));
    REQUIRE(open_a() == 0);
    CHECK(sk_share_start(share) == 0);
    CHECK(put_int("n", 1) == 0 && get_int("n") == 1);
    leave();
  }
  free_other(o);
}

static int handle (void *arg, sk_change *c, const sk_command *cmd) {
  (void)arg;
  (void)c;
  (void)cmd;
  return 0;
}

NAME_TEST("without the creator's handler nobody starts a coordinator") {
  sk_share_options o = small;
  sk_command call = { .kind = SK_CALL, .path = *at("n") };
  struct other *dead = new_other(0);
  o.handler = handle;
  create(&o);
  CHECK(put_int("n", 1) == 0);
  atomic_store(&share->words->state, SK_RUNNING);
  share->handler = NULL;  /* as a process has it that opened it without */
  CHECK(sk_share_start(share) == SKE_INVAL);
  CHECK(sk_port_flush(port, 100 * MS) == SKE_TIMEOUT);
  CHECK(sk_share_pid(share) == 0);
  share->handler = handle;
  CHECK(sk_port_send(port, &call, NULL, LONG) == 0);
  CHECK(sk_port_flush(port, LONG) == 0);
  leave();
  free_other(dead);
}

static void leave_temp (void *arg) {
  int fd;
  (void)arg;
  CHECK(!mkdir(folder, 0700));
  fd = open(in_folder(".new-0123456789abcdef"), O_CREAT | O_RDWR, 0600);
  CHECK(fd >= 0 && os_lock_shared(fd, LOCK_PRESENT) == 0);
  tell(&((struct other *)arg)->ready);
  CHECK(await(&((struct other *)arg)->go_on, 1));
}

NAME_TEST("a file without a name goes when its creator is dead, not before") {
  struct other *o = new_other(0);
  pid_t pid = child(leave_temp, o);
  CHECK(await(&o->ready, 1));
  create(&small);
  CHECK(exists(".new-0123456789abcdef"));
  leave();
  let_go(o, pid);
  create(&small);
  CHECK(!exists(".new-0123456789abcdef") && files() == 1);
  leave();
}

/* ---- refused ---- */

/* Both ways in give `rc`, and touch nothing. */
static void check_refused (int rc) {
  struct stat before, after;
  int there = !lstat(in_folder("a"), &before);
  CHECK(sk_share_open("a", NULL, &share) == rc);
  CHECK(sk_share_create(&small, &share) == rc);
  if (there)
    CHECK(!lstat(in_folder("a"), &after) && before.st_ino == after.st_ino);
}

NAME_TEST("a folder that others can enter, or that is none, is refused") {
  char real[96];
  have_left_over();
  CHECK(!chmod(folder, 0710));
  check_refused(SKE_FOREIGN);
  CHECK(!chmod(folder, 0701));
  check_refused(SKE_FOREIGN);
  CHECK(!chmod(folder, 0700));
  snprintf(real, sizeof real, "%s/real", runtime);
  CHECK(!rename(folder, real) && !symlink(real, folder));
  CHECK(sk_share_open("a", NULL, &share) == SKE_FOREIGN);
  CHECK(sk_share_create(&small, &share) == SKE_FOREIGN);
  CHECK(!unlink(folder));
  CHECK(close(open(folder, O_CREAT | O_WRONLY, 0600)) == 0);
  CHECK(sk_share_open("a", NULL, &share) == SKE_FOREIGN);
  CHECK(sk_share_create(&small, &share) == SKE_FOREIGN);
  CHECK(!unlink(folder) && !rename(real, folder));
  unlink(in_folder("a"));
}

NAME_TEST("a file that others may use is refused") {
  static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0610, 0601, 0666 };
  size_t i;
  have_left_over();
  for (i = 0; i < COUNT(modes); i++) {
    CHECK(!chmod(in_folder("a"), modes[i]));
    check_refused(SKE_FOREIGN);
  }
  unlink(in_folder("a"));
}

NAME_TEST("a file with a second name is refused") {
  have_left_over();
  CHECK(!link(in_folder("a"), in_folder("b")));
  check_refused(SKE_FOREIGN);
  unlink(in_folder("b"));
  unlink(in_folder("a"));
}

NAME_TEST("what is no file is refused, also a link to one") {
  have_left_over();
  CHECK(!rename(in_folder("a"), in_folder("b")));
  CHECK(!symlink("b", in_folder("a")));
  check_refused(SKE_FOREIGN);
  CHECK(!unlink(in_folder("a")) && !mkfifo(in_folder("a"), 0600));
  check_refused(SKE_FOREIGN);
  CHECK(!unlink(in_folder("a")) && !mkdir(in_folder("a"), 0700));
  check_refused(SKE_FOREIGN);
  CHECK(!rmdir(in_folder("a")) && !symlink("none", in_folder("a")));
  check_refused(SKE_FOREIGN);
  unlink(in_folder("a"));
  unlink(in_folder("b"));
}

NAME_TEST("another user's file or folder is refused") {
  if (geteuid() != 0) return;  /* nobody else can make one */
  have_left_over();
  CHECK(!chown(in_folder("a"), 65534, 65534));
  check_refused(SKE_FOREIGN);
  CHECK(!chown(in_folder("a"), 0, 0) && !chown(folder, 65534, 65534));
  check_refused(SKE_FOREIGN);
  CHECK(!chown(folder, 0, 0));
  unlink(in_folder("a"));
}

NAME_TEST("another user's runtime folder is not used") {
  char path[128];
  if (geteuid() != 0) return;
  CHECK(!chown(runtime, 65534, 65534));
  CHECK(os_named_folder(path, sizeof path) == 0);
  CHECK(!strcmp(path, "/dev/shm/suitkaise-0"));
  CHECK(!chown(runtime, 0, 0));
  CHECK(os_named_folder(path, sizeof path) == 0 && !strcmp(path, folder));
  setenv("XDG_RUNTIME_DIR", "relative", 1);
  CHECK(os_named_folder(path, sizeof path) == 0);
  CHECK(!strcmp(path, "/dev/shm/suitkaise-0"));
  CHECK(os_named_folder(path, 8) == SKE_INVAL);
}

static void open_as_nobody (void *arg) {
  (void)arg;
  if (setgid(65534) || setuid(65534)) _exit(1);
  CHECK(sk_share_open("a", NULL, &share) == SKE_ABSENT);  /* its own "a" */
  CHECK(open(in_folder("a"), O_RDONLY) < 0 && errno == EACCES);
}

NAME_TEST("another user gets no share of ours") {
  struct other *o = new_other(0);
  pid_t pid = have_other(o);
  if (geteuid() == 0) in_child(open_as_nobody, NULL);
  CHECK(exists("a"));
  let_go(o, pid);
}

/* ---- races ---- */

struct racer { struct other *o; int rc; };

static void race_to_create (void *arg) {
  struct other *o = arg;
  int rc;
  CHECK(await(&o->go_on, 1));
  rc = sk_share_create(&small, &share);
  CHECK(rc == 0 || rc == SKE_BUSY);
  if (!rc) atomic_fetch_add(&o->rc, 1);
  tell(&o->ready);
  CHECK(await(&o->ready, 4));
  if (!rc) sk_share_close(share);
}

NAME_TEST("of several creators at once exactly one wins") {
  int round, i;
  for (round = 0; round < ROUNDS(100); round++) {
    struct other *o = new_other(0);
    pid_t pids[4];
    for (i = 0; i < 4; i++) pids[i] = child(race_to_create, o);
    tell(&o->go_on);
    for (i = 0; i < 4; i++) CHECK(ended(pids[i]) == 0);
    CHECK(atomic_load(&o->rc) == 1);
    CHECK(files() == 0);
    free_other(o);
  }
}

static void come_and_go (void *arg) {
  uint32_t seed = *(uint32_t *)arg;
  for (;;) {
    int rc = random_next(&seed) % 2 ? sk_share_create(&small, &share)
                                    : sk_share_open("a", NULL, &share);
    CHECK(rc == 0 || rc == SKE_BUSY || rc == SKE_ABSENT);
    if (rc) continue;
    CHECK(sk_port_open(share, &port) == 0);
    CHECK(put_int("n", 1) == 0);
    leave();
  }
}

NAME_TEST("creators, openers and closers killed at any time leave order") {
  int64_t until = now_ns() + (getenv("SK_STRESS") ? 60 : 2) * SECOND;
  uint32_t seed = 4711, seeds[4];
  pid_t pids[4];
  long kills = 0;
  int i;
  for (i = 0; i < 4; i++) {
    seeds[i] = random_next(&seed);
    pids[i] = child(come_and_go, &seeds[i]);
  }
  while (now_ns() < until) {
    struct timespec t = { 0, (long)(random_next(&seed) % 5000000) };
    nanosleep(&t, NULL);
    i = (int)(random_next(&seed) % 4);
    killed(pids[i]);
    kills++;
    seeds[i] = random_next(&seed);
    pids[i] = child(come_and_go, &seeds[i]);
  }
  for (i = 0; i < 4; i++) killed(pids[i]);
  printf("# %ld kills\n", kills);
  create(&small);
  CHECK(files() == 1);
  CHECK(sk_share_start(share) == 0);
  CHECK(put_int("n", 2) == 0 && get_int("n") == 2);
  leave();
}

/* ---- limits ---- */

static void write_and_wait (void *arg) {
  struct other *o = arg;
  CHECK(await(&o->ready, 1));
  CHECK(open_a() == 0);
  CHECK(put_int("n", 1) == 0);
  tell(&o->ready);
  CHECK(await(&o->go_on, 1));
  leave();
}

NAME_TEST("one writer more than there are lanes is told so, and may read") {
  struct other *o = new_other(0);
  pid_t pids[4];
  int i;
  for (i = 0; i < 4; i++) pids[i] = child(write_and_wait, o);
  create(&small);
  tell(&o->ready);
  CHECK(await(&o->ready, 5));
  CHECK(put_int("n", 2) == SKE_MANY);
  CHECK(sk_share_start(share) == 0);
  CHECK(get_int("n") == 1);
  tell(&o->go_on);
  for (i = 0; i < 4; i++) CHECK(ended(pids[i]) == 0);
  CHECK(put_int("n", 2) == 0 && get_int("n") == 2);
  leave();
  free_other(o);
}

static void create_with_few_descriptors (void *arg) {
  int rc = SKE_SYS, before = open_descriptors();
  rlim_t n;
  (void)arg;
  for (n = 3; rc && n < 64; n++) {
    limit(RLIMIT_NOFILE, n);
    rc = sk_share_create(&small, &share);
    limit(RLIMIT_NOFILE, 256);
    CHECK(rc == 0 || rc == SKE_SYS);
    if (!rc) break;
    CHECK(open_descriptors() == before);
    CHECK(files() == 0);
  }
  CHECK(rc == 0);
  for (n = 3; n < 64; n++) {
    limit(RLIMIT_NOFILE, n);
    rc = sk_share_open("b", NULL, &share);
    CHECK(rc == SKE_SYS || rc == SKE_ABSENT);
  }
  limit(RLIMIT_NOFILE, 256);
  sk_share_close(share);
  CHECK(open_descriptors() == before);
}

NAME_TEST("without descriptors left creating fails and leaves nothing") {
  in_child(create_with_few_descriptors, NULL);
}

static void create_large (void *arg) {
  int before = open_descriptors();
  (void)arg;
  signal(SIGXFSZ, SIG_DFL);
  limit(RLIMIT_FSIZE, 4096);
  CHECK(sk_share_create(&small, &share) == SKE_SYS && errno == EFBIG);
  CHECK(files() == 0 && open_descriptors() == before);
}

NAME_TEST("over the limit on file sizes creating fails and leaves nothing") {
  in_child(create_large, NULL);
}

static void fill_file_system (void *arg) {
  static const char bytes[2000];
  sk_item item = { TEXT, sizeof bytes, bytes };
  int *can = arg, rc = 0, i;
  if (unshare(CLONE_NEWNS) ||
      mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
      mount("tmpfs", runtime, "tmpfs", 0, "size=16k,mode=700"))
    return;
  *can = 1;
  CHECK(sk_share_create(&small, &share) == SKE_NOMEM);
  CHECK(files() == 0);
  CHECK(!mount("tmpfs", runtime, "tmpfs", MS_REMOUNT, "size=160k"));
  create(&small);
  CHECK(sk_share_start(share) == 0);
  /* no page of it is ever missing: an error, not a signal */
  for (i = 0; !rc && i < 1000; i++) {
    char path[16];
    snprintf(path, sizeof path, "k.%d", i);
    if (i == 0) rc = put_table("k");
    else rc = put_item(port, path, SK_SET, &item, NULL);
  }
  CHECK(rc == SKE_NOMEM || rc == SKE_FULL);
  leave();
  CHECK(files() == 0);
}

NAME_TEST("on a full file system there are errors, no signals") {
  int *can = shared_memory(sizeof *can);
  in_child(fill_file_system, can);
  if (!*can) printf("# may not mount here\n");
  munmap(can, sizeof *can);
}

/* ---- without fork: a program of its own ---- */

static FILE *run_reader (const char *arguments) {
  char self[256], command[512];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  REQUIRE(n > 0);
  self[n] = 0;
  *strrchr(self, '/') = 0;
  snprintf(command, sizeof command, "%s/../example/read_share %s", self,
           arguments);
  return popen(command, "re");
}

static int line_is (FILE *f, const char *expected) {
  char line[128] = "";
  return fgets(line, sizeof line, f) && !strcmp(line, expected);
}

NAME_TEST("a C program with the header alone reads, waits and writes") {
  FILE *f;
  create(&small);
  CHECK(sk_share_start(share) == 0);
  CHECK(put_int("hits", 41) == 0 && put_text("who", "me") == 0);
  f = run_reader("a hits");
  REQUIRE(f != NULL);
  CHECK(line_is(f, "41\n"));  /* now it waits */
  CHECK(add_int("hits", 1, NULL) == 0);
  CHECK(line_is(f, "42\n"));
  CHECK(pclose(f) == 0);
  f = run_reader("a hits 8");
  CHECK(line_is(f, "50\n") && pclose(f) == 0);
  CHECK(get_int("hits") == 50);
  f = run_reader("a none 2>&1");
  CHECK(line_is(f, "get: no such entry\n") && pclose(f) == 256);
  f = run_reader("b hits 2>&1");
  CHECK(line_is(f, "b: no such entry\n") && pclose(f) == 256);
  CHECK(exists("a"));
  leave();
}
