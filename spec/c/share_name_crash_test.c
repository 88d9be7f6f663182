/*
** A process killed at any moment while it creates, opens or closes a named
** share: whoever comes next finds nothing, or all of it.
**
** What others see changes with system calls, so the victim is killed before
** and after each of them, and after some of all instructions; with
** SK_STRESS=1 after every one.
*/
#include "name.h"
#include "step.h"

static sk_share *own;

static void create_own (void *arg) {
  (void)arg;
  CHECK(sk_share_create(&small, &own) == 0);
}

static void open_own (void *arg) {
  (void)arg;
  CHECK(sk_share_open("a", NULL, &own) == 0);
}

static void close_own (void *arg) {
  (void)arg;
  sk_share_close(own);
}

/* ---- what the next ones find ---- */

struct finding {
  int rc;      /* of an open */
  int64_t n;   /* of "n" then */
  int files;   /* after a create */
};

/* Without a coordinator that applies what nobody will see. */
static void leave_quickly (void) {
  atomic_store(&share->words->state, SK_STOPPED);
  close_share();
}

static void look_around (void *arg) {
  struct finding *f = arg;
  f->rc = open_a();
  if (!f->rc) {
    f->n = get_int("n");
    leave_quickly();
  }
  CHECK(f->rc == 0 || f->rc == SKE_ABSENT);
  CHECK(sk_share_create(&small, &share) == 0);
  CHECK(sk_port_open(share, &port) == 0);
  f->files = files();
  serve();
  CHECK(put_int("n", 1) == 0);
  apply();
  CHECK(get_int("n") == 1);
  leave_quickly();
  CHECK(files() == 0);
}

static struct finding *found;

static void check_next (void) {
  in_child(look_around, found);
  CHECK(found->files == 1);
}

/* ---- victims ---- */

/* Something that is done before the moments that are looked at. */
struct victim {
  void (*before) (void *);
  void (*body) (void *);
};

static void prepare_and_stop (const struct victim *v) {
  if (v->before) v->before(NULL);
  if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(99);
  raise(SIGSTOP);
  v->body(NULL);
  raise(STEP_OVER);
  _exit(0);
}

static pid_t start (const struct victim *v) {
  int status;
  pid_t pid;
  fflush(NULL);
  pid = fork();
  if (pid == 0) prepare_and_stop(v);
  REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
  return pid;
}

/* On to where a system call begins or ends; 0 when body has returned. */
static int to_call (pid_t pid) {
  int status;
  REQUIRE(!ptrace(PTRACE_SYSCALL, pid, NULL, NULL));
  REQUIRE(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
  return WSTOPSIG(status) != STEP_OVER;
}

/* Killed at the n-th such place; 0 when there is none. */
static int kill_at_call (const struct victim *v, int n) {
  pid_t pid = start(v);
  int more = 1;
  while (more && n-- > 0) more = to_call(pid);
  killed(pid);
  return more;
}

static int kill_at_instruction (const struct victim *v, long n) {
  pid_t pid = start(v);
  int more = 1;
  while (more && n-- > 0) more = step_on(pid);
  killed(pid);
  return more;
}

static void kill_everywhere (const char *what, const struct victim *v,
                             void (*between) (void)) {
  int stress = getenv("SK_STRESS") != NULL, n;
  long at, killed_at = 0;
  int more = 1;
  for (n = 0; more; n++) {
    more = kill_at_call(v, n + 1);
    check_next();
    if (between) between();
  }
  CHECK(n > 10);
  more = !SANITIZED;
  for (at = 1; more; at += 1 + at / (stress ? 300 : 2)) {
    more = kill_at_instruction(v, at);
    check_next();
    if (between) between();
    killed_at++;
  }
  printf("# %s: killed at %d system calls, %ld instructions\n", what, n,
         killed_at);
}

/* ---- the tests ---- */

static void begin (void) {
  found = shared_memory(sizeof *found);
}

static void end (void) {
  munmap(found, sizeof *found);
}

NAME_TEST("a creator may be killed anywhere") {
  static const struct victim creator = { NULL, create_own };
  begin();
  kill_everywhere("create", &creator, NULL);
  end();
}

static void create_and_die (void *arg) {
  (void)arg;
  CHECK(sk_share_create(&small, &share) == 0);
  CHECK(sk_port_open(share, &port) == 0);
  serve();
  CHECK(put_int("n", 7) == 0);
  apply();
  raise(SIGKILL);
}

/* A share that all its users were killed of, with something in it. */
static void have_dead (void) {
  ended(child(create_and_die, NULL));
}

static void found_all (void) {
  CHECK(found->rc == 0 && found->n == 7);
  have_dead();
}

NAME_TEST("so may one that takes over what was left, and nothing is lost") {
  static const struct victim heir = { NULL, create_own };
  begin();
  have_dead();
  kill_everywhere("take over", &heir, found_all);
  unlink(in_folder("a"));
  end();
}

NAME_TEST("so may one that opens what was left") {
  static const struct victim heir = { NULL, open_own };
  begin();
  have_dead();
  kill_everywhere("open", &heir, found_all);
  unlink(in_folder("a"));
  end();
}

NAME_TEST("so may the last one out") {
  static const struct victim closer = { create_own, close_own };
  begin();
  kill_everywhere("close", &closer, NULL);
  end();
}

static void create_stale (void *arg) {
  int fd;
  (void)arg;
  mkdir(folder, 0700);
  fd = open(in_folder(".new-1"), O_CREAT | O_WRONLY, 0600);
  CHECK(fd >= 0);
  close(fd);
  fd = open(in_folder("a"), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  CHECK(fd >= 0 && write(fd, "rubbish", 7) == 7);
  close(fd);
}

NAME_TEST("so may one that first clears away what cannot be used") {
  static const struct victim cleaner = { create_stale, create_own };
  int n, more = 1;
  begin();
  for (n = 1; more; n++) {
    more = kill_at_call(&cleaner, n);
    in_child(create_own, NULL);  /* which leaves it behind, complete */
    CHECK(files() == 1);
    check_next();
  }
  CHECK(n > 20);
  end();
}

static void finish (pid_t pid) {
  while (to_call(pid)) {}
}

/* ---- the last user goes while somebody opens ---- */

static struct arrival { int rc; uint64_t ino; } *arrival;

static void arrive (void *arg) {
  (void)arg;
  arrival->rc = sk_share_open("a", NULL, &own);
  if (!arrival->rc) arrival->ino = own->segment->ino;
}

/* Does somebody decide about the name just now? */
static int is_life_held (void) {
  int fd = open(in_folder("a"), O_RDWR), held;
  if (fd < 0) return 0;
  held = os_lock_holder(fd, LOCK_LIFE, 1) != 0;
  close(fd);
  return held;
}

static int has_name (uint64_t ino) {
  struct stat st;
  return !lstat(in_folder("a"), &st) && st.st_ino == ino;
}

NAME_TEST("who opens while the last user goes is in the share of that name, "
          "or in none") {
  static const struct victim guest = { NULL, arrive };
  int n, more = 1, came = 0, missed = 0;
  begin();
  arrival = shared_memory(sizeof *arrival);
  for (n = 1; more; n++) {
    struct other *o = new_other(0);
    pid_t host = have_other(o), pid = start(&guest);
    int i;
    for (i = 0; more && i < n; i++) more = to_call(pid);
    if (is_life_held()) killed(host);  /* it could not decide anything */
    else {
      tell(&o->go_on);
      CHECK(ended(host) == 0);
    }
    if (more) finish(pid);
    CHECK(arrival->rc == 0 || arrival->rc == SKE_ABSENT);
    if (arrival->rc == 0) CHECK(has_name(arrival->ino));
    came += arrival->rc == 0;
    missed += arrival->rc != 0;
    killed(pid);
    unlink(in_folder("a"));
    free_other(o);
  }
  printf("# %d came in time, %d too late\n", came, missed);
  CHECK(came > 5 && missed > 5);
  munmap(arrival, sizeof *arrival);
  end();
}

/* ---- the folder is replaced while somebody creates in it ---- */

static char aside[96];

static void move_folder (void) {
  snprintf(aside, sizeof aside, "%s/aside", runtime);
  if (access(folder, F_OK)) return;
  CHECK(!rename(folder, aside) && !mkdir(folder, 0700));
}

static void remove_aside (void) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", aside);
  CHECK(system(command) == 0);
}

NAME_TEST("a creator whose folder is replaced has its name in the new one") {
  static const struct victim creator = { NULL, create_own };
  int n, more = 1;
  begin();
  for (n = 1; more; n++) {
    pid_t pid = start(&creator);
    int i;
    for (i = 0; more && i < n; i++) more = to_call(pid);
    if (more) {
      move_folder();
      finish(pid);
      /* after its last look at the folder nothing can be done about it */
      if (exists("a")) {
        CHECK(open_a() == 0);
        leave();
      }
      else CHECK(files() == 0);
    }
    killed(pid);
    remove_aside();
    unlink(in_folder("a"));
  }
  CHECK(n > 10);
  end();
}
