/*
** Processes as their parent sees them: how they end, whoever reaps them.
*/
#include "clean.h"

typedef void (*body) (void *);

/* Start body(arg) as a process of the core's. */
static sk_process *start (body run, void *arg) {
  sk_process *p = NULL;
  int rc = sk_process_fork(&p);
  if (rc == SK_CHILD) {
    alarm(CHILD_SECONDS);
    run(arg);
    sk_process_exit(0);
  }
  REQUIRE(rc == 0);
  return p;
}

/* How it ended, when it has. */
static sk_exit end_of (sk_process *p) {
  int64_t until = now_ns() + LONG;
  sk_exit st = { -9, -9 };
  int rc;
  while ((rc = sk_process_poll(p, &st)) == SKE_BUSY && now_ns() < until)
    rest_ms(1);
  CHECK(rc == 0);
  return st;
}

static void check_ended (sk_process *p, int code, int signal) {
  sk_exit st = end_of(p);
  CHECK(st.code == code);
  CHECK(st.signal == signal);
}

static void run_and_check (body run, void *arg, int code, int signal) {
  sk_process *p = start(run, arg);
  check_ended(p, code, signal);
  check_ended(p, code, signal);  /* again: it stays known */
  sk_process_free(p);
}

/* ---- bodies ---- */

static void nothing (void *arg) {
  (void)arg;
}

static void end_with (void *code) {
  sk_process_exit(*(int *)code);
}

static void end_bare (void *code) {
  _exit(*(int *)code);
}

static void die_by (void *sig) {
  signal(*(int *)sig, SIG_DFL);
  raise(*(int *)sig);
}

static void sleep_for_ever (void *arg) {
  (void)arg;
  for (;;) pause();
}

static void await_and_end (void *arg) {
  CHECK(await(arg, 1));
  sk_process_exit(5);
}

/* ---- how it ended ---- */

CLEAN_TEST("an exit code arrives, as eight bits of it") {
  static int codes[] = { 0, 1, 2, 77, 127, 128, 200, 255 };
  int large = 256 + 3, negative = -1;
  size_t i;
  for (i = 0; i < COUNT(codes); i++)
    run_and_check(end_with, &codes[i], codes[i], 0);
  run_and_check(end_with, &large, 3, 0);
  run_and_check(end_with, &negative, 255, 0);
}

CLEAN_TEST("a process may also end without the core's help") {
  int code = 42;
  run_and_check(end_bare, &code, 42, 0);
}

CLEAN_TEST("a signal that ended it is known") {
  int signals[] = {
    SIGTERM, SIGKILL, SIGHUP, SIGUSR1, SIGALRM, SIGPIPE, SIGSEGV, SIGABRT,
    SIGINT, SIGRTMIN, SIGRTMAX
  };
  size_t i;
  for (i = 0; i < COUNT(signals); i++)
    run_and_check(die_by, &signals[i], -1, signals[i]);
}

CLEAN_TEST("a running process is busy, and then it is not") {
  event *go = shared_memory(sizeof *go);
  sk_process *p = start(await_and_end, go);
  sk_exit st = { 1234, 1234 };
  CHECK(sk_process_poll(p, &st) == SKE_BUSY);
  CHECK(st.code == 1234 && st.signal == 1234);
  tell(go);
  check_ended(p, 5, 0);
  sk_process_free(p);
  munmap(go, sizeof *go);
}

static int is_readable (int fd, int timeout_ms) {
  fd_set set;
  struct timeval t = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
  FD_ZERO(&set);
  FD_SET(fd, &set);
  return select(fd + 1, &set, NULL, NULL, &t) == 1;
}

CLEAN_TEST("its descriptor is readable once it has ended") {
  event *go = shared_memory(sizeof *go);
  sk_process *p = start(await_and_end, go);
  int fd = sk_process_fd(p);
  CHECK(fd > 2 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
  CHECK(!is_readable(fd, 0));
  tell(go);
  CHECK(is_readable(fd, 20000));
  check_ended(p, 5, 0);
  CHECK(sk_process_fd(p) == -1);
  sk_process_free(p);
  munmap(go, sizeof *go);
}

CLEAN_TEST("a pid is that of the process") {
  sk_process *p = start(sleep_for_ever, NULL);
  CHECK(sk_process_pid(p) > 1 && sk_process_pid(p) != getpid());
  CHECK(!kill(sk_process_pid(p), SIGTERM));
  check_ended(p, -1, SIGTERM);
  sk_process_free(p);
}

/* ---- kill, stop, free ---- */

CLEAN_TEST("it can be killed, and killed again") {
  sk_process *p = start(sleep_for_ever, NULL);
  CHECK(sk_process_kill(p, 0) == 0);
  CHECK(sk_process_kill(p, SIGKILL) == 0);
  CHECK(sk_process_kill(p, SIGKILL) == 0);
  check_ended(p, -1, SIGKILL);
  CHECK(sk_process_kill(p, SIGKILL) == 0);
  sk_process_free(p);
}

CLEAN_TEST("a signal that does not exist is an error") {
  sk_process *p = start(sleep_for_ever, NULL);
  CHECK(sk_process_kill(p, 4711) == SKE_SYS);
  CHECK(errno == EINVAL);
  sk_process_free(p);
}

/* Ask until the answer is that one. */
static int becomes_stopped (sk_process *p, int stopped) {
  int64_t until = now_ns() + LONG;
  while (sk_process_stopped(p) != stopped && now_ns() < until) rest_ms(1);
  return sk_process_stopped(p) == stopped;
}

CLEAN_TEST("a stopped process is known, and can go on") {
  sk_process *p = start(sleep_for_ever, NULL);
  sk_exit st;
  CHECK(!sk_process_stopped(p));
  CHECK(sk_process_kill(p, SIGSTOP) == 0);
  CHECK(becomes_stopped(p, 1));
  CHECK(sk_process_poll(p, &st) == SKE_BUSY);
  CHECK(sk_process_kill(p, SIGCONT) == 0);
  CHECK(becomes_stopped(p, 0));
  CHECK(sk_process_kill(p, SIGSTOP) == 0);
  CHECK(becomes_stopped(p, 1));
  CHECK(sk_process_kill(p, SIGKILL) == 0);
  check_ended(p, -1, SIGKILL);
  CHECK(!sk_process_stopped(p));
  sk_process_free(p);
}

static void rename_and_sleep (void *arg) {
  int fd = open("/proc/self/comm", O_WRONLY | O_CLOEXEC);
  CHECK(fd >= 0 && write(fd, "a) T (b", 7) == 7);
  tell(arg);
  sleep_for_ever(NULL);
}

CLEAN_TEST("a process is not stopped because its name says so") {
  event *named = shared_memory(sizeof *named);
  sk_process *p = start(rename_and_sleep, named);
  CHECK(await(named, 1));
  CHECK(!sk_process_stopped(p));
  CHECK(sk_process_kill(p, SIGSTOP) == 0);
  CHECK(becomes_stopped(p, 1));
  sk_process_free(p);
  munmap(named, sizeof *named);
}

CLEAN_TEST("freeing ends a process that runs, and one that is stopped") {
  sk_process *p = start(sleep_for_ever, NULL);
  pid_t pid = sk_process_pid(p);
  sk_process_free(p);
  CHECK(kill(pid, 0) < 0 && errno == ESRCH);
  p = start(sleep_for_ever, NULL);
  pid = sk_process_pid(p);
  CHECK(sk_process_kill(p, SIGSTOP) == 0);
  sk_process_free(p);
  CHECK(kill(pid, 0) < 0 && errno == ESRCH);
  sk_process_free(NULL);
}

CLEAN_TEST("freeing reaps one that has ended and was not asked") {
  sk_process *p = start(nothing, NULL);
  CHECK(is_readable(sk_process_fd(p), 20000));
  sk_process_free(p);
  CHECK(!has_children());
}

CLEAN_TEST("nothing is left after hundreds of processes") {
  int fds = open_descriptors(), i;
  sk_segment *root;
  uint64_t before, after;
  REQUIRE(sk_root(&root) == 0);
  REQUIRE(sk_segment_alloc(root, 1, 1, &before) == 0);
  for (i = 0; i < 500; i++) {
    sk_process *p = start(i % 5 ? nothing : sleep_for_ever, NULL);
    if (i % 5 && i % 3) check_ended(p, 0, 0);
    sk_process_free(p);
  }
  CHECK(open_descriptors() == fds);
  CHECK(!has_children());
  REQUIRE(sk_segment_alloc(root, 1, 1, &after) == 0);
  CHECK(after - before < 100);  /* room for one at a time is used again */
}

CLEAN_TEST("many may run at once and end in any order") {
  enum { N = 40 };
  sk_process *p[N];
  int codes[N], i;
  for (i = 0; i < N; i++) {
    codes[i] = i;
    p[i] = start(end_with, &codes[i]);
  }
  for (i = N - 1; i >= 0; i--) check_ended(p[i], i, 0);
  for (i = 0; i < N; i += 2) sk_process_free(p[i]);
  for (i = 1; i < N; i += 2) sk_process_free(p[i]);
}

/* ---- when somebody else reaps ---- */

/* As if nobody else had reaped it, or, with an older kernel, -1 and 0. */
static void check_lost (sk_process *p, int code, int signal) {
  sk_exit st = end_of(p);
  CHECK((st.code == code && st.signal == signal) ||
        (st.code == -1 && st.signal == 0));
}

static void host_ignores_children (void *arg) {
  int code = 33, sig = SIGTERM;
  sk_process *p;
  (void)arg;
  signal(SIGCHLD, SIG_IGN);
  run_and_check(end_with, &code, 33, 0);
  p = start(die_by, &sig);
  check_lost(p, -1, SIGTERM);
  sk_process_free(p);
  sk_process_free(start(sleep_for_ever, NULL));
}

CLEAN_TEST("an exit code arrives though the host ignores SIGCHLD") {
  in_child(host_ignores_children, NULL);
}

static void host_reaps_first (void *arg) {
  int code = 7, bare = 8, i;
  (void)arg;
  for (i = 0; i < 50; i++) {
    sk_process *p = start(i % 2 ? end_with : end_bare, i % 2 ? &code : &bare);
    CHECK(waitpid(-1, NULL, 0) == sk_process_pid(p));
    CHECK(is_readable(sk_process_fd(p), 20000));
    if (i % 2) check_ended(p, 7, 0);
    else check_lost(p, 8, 0);
    if (i % 3) CHECK(sk_process_kill(p, SIGTERM) == 0);
    sk_process_free(p);
  }
}

CLEAN_TEST("an exit code arrives though the host reaps every child first") {
  in_child(host_reaps_first, NULL);
}

static void kill_reaped (void *arg) {
  sk_process *p = start(nothing, NULL);
  (void)arg;
  CHECK(waitpid(-1, NULL, 0) == sk_process_pid(p));
  CHECK(sk_process_kill(p, SIGTERM) == 0);
  CHECK(!sk_process_stopped(p));
  sk_process_free(p);
}

CLEAN_TEST("what the host reaped can be killed and freed without harm") {
  in_child(kill_reaped, NULL);
}

static void reap_all (int signal) {
  int err = errno;
  (void)signal;
  while (waitpid(-1, NULL, WNOHANG) > 0) {}
  errno = err;
}

static void host_handles_children (void *arg) {
  struct sigaction act;
  int code = 9, i;
  (void)arg;
  memset(&act, 0, sizeof act);
  act.sa_handler = reap_all;
  sigaction(SIGCHLD, &act, NULL);
  for (i = 0; i < 100; i++) run_and_check(end_with, &code, 9, 0);
}

CLEAN_TEST("an exit code arrives though a SIGCHLD handler reaps") {
  in_child(host_handles_children, NULL);
}

/* As a thread of the host that waits for any child would, in the worst
** moment: before the core has seen the child it forked. */
static int reap_in_fork;

static void reap_at_once (void) {
  if (reap_in_fork) CHECK(waitpid(-1, NULL, 0) > 0);
}

static void host_reaps_during_fork (void *arg) {
  int code = 3;
  sk_process *p;
  (void)arg;
  CHECK(!pthread_atfork(NULL, reap_at_once, NULL));
  reap_in_fork = 1;
  p = start(end_with, &code);
  reap_in_fork = 0;
  CHECK(sk_process_fd(p) == -1);
  CHECK(sk_process_kill(p, SIGTERM) == 0);
  check_ended(p, 3, 0);
  sk_process_free(p);
}

CLEAN_TEST("a child that was reaped before its fork returned has ended well") {
  in_child(host_reaps_during_fork, NULL);
}

static void leave_others_alone (void *arg) {
  pid_t other = child(nothing, NULL);
  sk_process *p = start(nothing, NULL);
  siginfo_t info;
  (void)arg;
  CHECK(!waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT));
  check_ended(p, 0, 0);
  sk_process_free(p);
  sk_process_free(start(sleep_for_ever, NULL));
  CHECK(ended(other) == 0);
}

CLEAN_TEST("children of the host's own are left to the host") {
  in_child(leave_others_alone, NULL);
}

/* A plain child with that pid, when the system lets us have it. */
static pid_t child_with_pid (pid_t wanted) {
  FILE *f = fopen("/proc/sys/kernel/ns_last_pid", "we");
  pid_t pid;
  if (!f) return -1;
  fprintf(f, "%ld", (long)wanted - 1);
  if (fclose(f)) return -1;
  pid = child(nothing, NULL);
  if (pid == wanted) return pid;
  CHECK(ended(pid) == 0);
  return -1;
}

static void host_reuses_pid (void *arg) {
  int code = 4, tries;
  (void)arg;
  for (tries = 0; tries < 20; tries++) {
    sk_process *p = start(end_with, &code);
    pid_t pid = sk_process_pid(p), other;
    CHECK(waitpid(-1, NULL, 0) == pid);
    other = child_with_pid(pid);
    if (other > 0) {
      siginfo_t info;
      CHECK(!waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT));
    }
    check_ended(p, 4, 0);
    sk_process_free(p);
    if (other < 0) continue;
    CHECK(ended(other) == 0);  /* is still there for the host to reap */
    return;
  }
}

CLEAN_TEST("a child of the host's that got a reused pid is not mistaken") {
  in_child(host_reuses_pid, NULL);
}

static void host_closes_everything (void *arg) {
  int code = 6, fd;
  sk_process *p = start(end_with, &code), *q = start(sleep_for_ever, NULL);
  (void)arg;
  for (fd = 3; fd < 100; fd++) close(fd);
  check_ended(p, 6, 0);
  CHECK(sk_process_kill(q, SIGTERM) == 0);
  check_ended(q, -1, SIGTERM);
  sk_process_free(p);
  sk_process_free(q);
  q = start(sleep_for_ever, NULL);
  close(sk_process_fd(q));
  sk_process_free(q);
}

CLEAN_TEST("processes are watched though the host closed their descriptors") {
  in_child(host_closes_everything, NULL);
}

/* ---- seen from elsewhere ---- */

static void use_as_stranger (void *arg) {
  sk_process *p = arg;
  sk_exit st;
  CHECK(sk_process_poll(p, &st) == SKE_FOREIGN);
  CHECK(sk_process_kill(p, SIGKILL) == SKE_FOREIGN);
  CHECK(!sk_process_stopped(p));
  CHECK(sk_process_fd(p) == -1);
  sk_process_free(p);
}

CLEAN_TEST("a process is its parent's: children can do nothing to it") {
  sk_process *p = start(sleep_for_ever, NULL);
  sk_process *brother = start(use_as_stranger, p);
  check_ended(brother, 0, 0);
  sk_process_free(brother);
  in_child(use_as_stranger, p);
  CHECK(sk_process_kill(p, SIGTERM) == 0);
  check_ended(p, -1, SIGTERM);
  sk_process_free(p);
}

static void use_ended_as_stranger (void *arg) {
  check_ended(arg, 0, 0);
}

CLEAN_TEST("how a process ended is known to children forked later") {
  sk_process *p = start(nothing, NULL);
  check_ended(p, 0, 0);
  in_child(use_ended_as_stranger, p);
  sk_process_free(p);
}

static void start_many (void *first) {
  int i;
  for (i = 0; i < ROUNDS(50); i++) {
    int code = *(int *)first + i;
    run_and_check(i % 2 ? end_with : end_bare, &code, code, 0);
    if (i % 8 == 0) sk_process_free(start(sleep_for_ever, NULL));
  }
}

CLEAN_TEST("threads may start and reap processes at the same time") {
  int first[4] = { 0, 50, 100, 150 };
  in_threads(4, start_many, first, sizeof *first);
}
