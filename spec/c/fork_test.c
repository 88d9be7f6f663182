/*
** Processes as they begin: what a child has and has not, what it does when
** its parent ends, and forks that fail.
*/
#include "clean.h"

#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>

typedef void (*body) (void *);

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

/* Must end by itself, with code 0. */
static void finish (sk_process *p) {
  int64_t until = now_ns() + LONG;
  sk_exit st = { -9, -9 };
  while (sk_process_poll(p, &st) == SKE_BUSY && now_ns() < until) rest_ms(1);
  CHECK(st.code == 0 && st.signal == 0);
  sk_process_free(p);
}

static void run (body what, void *arg) {
  finish(start(what, arg));
}

static void nothing (void *arg) {
  (void)arg;
}

/* ---- descriptors ---- */

enum { MOST = 256 };  /* descriptors that are looked at */

static uint8_t had[MOST];

static int is_open (int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

static void note_descriptors (void) {
  int fd;
  for (fd = 0; fd < MOST; fd++) had[fd] = (uint8_t)is_open(fd);
}

/* Those opened since are close-on-exec and above 2, and there are n. */
static void check_new_descriptors (int n) {
  int fd;
  for (fd = 0; fd < MOST; fd++) {
    if (had[fd] || !is_open(fd)) continue;
    CHECK(fd > 2);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    n--;
  }
  CHECK(n == 0);
}

static void check_none_new (void *arg) {
  (void)arg;
  check_new_descriptors(0);
}

CLEAN_TEST("a child has its parent's descriptors, and not those of brothers") {
  sk_process *first, *second;
  note_descriptors();
  first = start(nothing, NULL);
  second = start(nothing, NULL);
  check_new_descriptors(2);
  run(check_none_new, NULL);
  finish(first);
  finish(second);
}

static void make_everything (void *arg) {
  sk_segment *s;
  sk_bell *b;
  sk_process *p;
  (void)arg;
  close(0);
  close(1);
  close(2);
  note_descriptors();
  CHECK(sk_segment_create("low", 1 << 20, &s) == 0);
  CHECK(sk_bell_create(s, 1, &b) == 0);
  p = start(nothing, NULL);
  sk_process_stopped(p);
  check_new_descriptors(3);
  finish(p);
  sk_bell_destroy(b);
  sk_segment_close(s);
  check_new_descriptors(0);
}

CLEAN_TEST("no descriptor takes the place of a standard one that is closed") {
  in_child(make_everything, NULL);
}

/* ---- forks that fail ---- */

static void must_not_run (void *arg) {
  atomic_store((event *)arg, 1);
}

static void check_refused (event *ran, int err) {
  sk_process *p = (void *)ran;
  int rc = sk_process_fork(&p), e = errno;
  if (rc == SK_CHILD) {
    must_not_run(ran);
    sk_process_exit(0);
  }
  CHECK(rc == SKE_SYS);
  CHECK(e == err);
  CHECK(p == (void *)ran);
  CHECK(!has_children());
  CHECK(atomic_load(ran) == 0);
}

static event *begun;

/* In the parent: if there is a child at all, let it run now. */
static void let_child_run (void) {
  int i;
  for (i = 0; i < 100 && begun && !atomic_load(begun); i++) rest_ms(1);
}

static void fork_without_descriptors (void *arg) {
  int next;
  note_descriptors();
  run(nothing, NULL);  /* what it needs once it has from now on */
  next = dup(2);
  close(next);
  limit(RLIMIT_NOFILE, (rlim_t)next);
  CHECK(!pthread_atfork(NULL, let_child_run, NULL));
  begun = arg;
  check_refused(arg, EMFILE);
  begun = NULL;
  limit(RLIMIT_NOFILE, MOST);
  check_new_descriptors(0);
  run(nothing, NULL);
}

CLEAN_TEST("without a descriptor for it there never is a child") {
  event *ran = shared_memory(sizeof *ran);
  in_child(fork_without_descriptors, ran);
  munmap(ran, sizeof *ran);
}

static void fork_without_processes (void *arg) {
  note_descriptors();
  CHECK(!setgroups(0, NULL) && !setgid(54321) && !setuid(54321));
  limit(RLIMIT_NPROC, 0);
  check_refused(arg, EAGAIN);
  check_new_descriptors(0);
}

CLEAN_TEST("a fork that the system refuses is an error and leaves nothing") {
  event *ran = shared_memory(sizeof *ran);
  if (geteuid() == 0) in_child(fork_without_processes, ran);
  munmap(ran, sizeof *ran);
}

/* ---- signals ---- */

static void handle (int signal) {
  (void)signal;
}

static void (*handler_of (int signal)) (int) {
  struct sigaction act;
  CHECK(!sigaction(signal, NULL, &act));
  return act.sa_handler;
}

static void check_signals_in_child (void *arg) {
  sigset_t mask;
  (void)arg;
  CHECK(handler_of(SIGTERM) == SIG_DFL);
  CHECK(handler_of(SIGUSR1) == SIG_DFL);
  CHECK(handler_of(SIGCHLD) == SIG_DFL);
  CHECK(handler_of(SIGINT) == SIG_IGN);
  CHECK(handler_of(SIGPIPE) == SIG_IGN);  /* as its parent */
  CHECK(handler_of(SIGHUP) == SIG_DFL);
  CHECK(handler_of(SIGSEGV) == handle);   /* may report crashes */
  CHECK(!sigprocmask(SIG_SETMASK, NULL, &mask));
  CHECK(!sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGTERM));
}

static void check_signals (void *arg) {
  sigset_t mask;
  (void)arg;
  signal(SIGTERM, handle);
  signal(SIGUSR1, handle);
  signal(SIGINT, handle);
  signal(SIGSEGV, handle);
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_DFL);
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  sk_process_free(start(check_signals_in_child, NULL));
  run(check_signals_in_child, NULL);
  CHECK(handler_of(SIGTERM) == handle);
  CHECK(handler_of(SIGINT) == handle);
  CHECK(handler_of(SIGSEGV) == handle);
  CHECK(handler_of(SIGCHLD) == SIG_IGN);
  sigprocmask(SIG_SETMASK, NULL, &mask);
  CHECK(sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGTERM));
}

CLEAN_TEST("a host's handlers and mask are its own, not its children's") {
  in_child(check_signals, NULL);
}

static event *handled;

static void count_handled (int signal) {
  (void)signal;
  atomic_fetch_add(handled, 1);
}

static void fork_under_fire (void *arg) {
  sigset_t mask;
  int i;
  handled = arg;
  signal(SIGUSR1, count_handled);
  for (i = 0; i < 20; i++) {
    raise(SIGUSR1);
    run(nothing, NULL);
  }
  sigprocmask(SIG_SETMASK, NULL, &mask);
  CHECK(!sigismember(&mask, SIGUSR1));
  CHECK(atomic_load(handled) == 20);  /* none of them in a child */
}

CLEAN_TEST("a host's signals reach the host while it forks") {
  event *count = shared_memory(sizeof *count);
  in_child(fork_under_fire, count);
  munmap(count, sizeof *count);
}

/* ---- output ---- */

static void print_more (void *f) {
  fprintf(f, "child\n");
}

static void check_output (void *arg) {
  FILE *f = fdopen(memfd_create("output", MFD_CLOEXEC), "w+");
  char text[64] = "";
  (void)arg;
  CHECK(f != NULL);
  fprintf(f, "parent\n");
  run(print_more, f);
  fprintf(f, "parent\n");
  CHECK(!fflush(f));
  CHECK(pread(fileno(f), text, sizeof text - 1, 0) == 20);
  CHECK(!strcmp(text, "parent\nchild\nparent\n"));
  fclose(f);
}

CLEAN_TEST("what was printed before a fork is printed once, in order") {
  in_child(check_output, NULL);
}

static void fork_and_exit (void *arg) {
  pid_t pid = fork();
  (void)arg;
  if (pid == 0) sk_process_exit(99);
  CHECK(WEXITSTATUS(ended(pid)) == 99);
  _exit(0);  /* tells nothing itself */
}

CLEAN_TEST("what a child forks by other means does not speak for it") {
  sk_process *p = start(fork_and_exit, NULL);
  sk_exit st = { 0, 0 };
  CHECK(waitpid(sk_process_pid(p), NULL, 0) > 0);
  CHECK(sk_process_poll(p, &st) == 0);
  CHECK(st.code == -1 || st.code == 0);  /* newer kernels know: not 99 */
  sk_process_free(p);
}

/* ---- generations ---- */

struct seen { _Atomic uint64_t generations[3]; };

static void note_grandchild (void *arg) {
  struct seen *s = arg;
  atomic_store(&s->generations[2], sk_generation());
}

static void note_child (void *arg) {
  struct seen *s = arg;
  atomic_store(&s->generations[1], sk_generation());
  run(note_grandchild, s);
}

CLEAN_TEST("children of children can be started, each of its own generation") {
  struct seen *s = shared_memory(sizeof *s);
  atomic_store(&s->generations[0], sk_generation());
  run(note_child, s);
  CHECK(s->generations[1] && s->generations[0] != s->generations[1]);
  CHECK(s->generations[2] && s->generations[1] != s->generations[2]);
  CHECK(s->generations[0] != s->generations[2]);
  munmap(s, sizeof *s);
}

/* ---- hosts with threads ---- */

static void *use_heap (void *stop) {
  while (!atomic_load((event *)stop)) {
    void *p = malloc(100 + (size_t)rand() % 5000);
    FILE *f = fopen("/dev/null", "we");
    if (f) {
      fprintf(f, "%p", p);
      fclose(f);
    }
    free(p);
  }
  return NULL;
}

static void allocate_and_print (void *arg) {
  sk_segment *s;
  sk_cell *c;
  free(malloc(10000));
  fprintf(arg, "x");
  CHECK(sk_segment_create("thread", 1 << 20, &s) == 0);
  CHECK(sk_cell_create(s, 1, &c) == 0);
  sk_segment_close(s);
}

static void *read_input (void *told) {
  tell(told);
  getchar();
  return NULL;
}

/* A thread of the host waits for input, as a prompt does. */
static void fork_beside_reader (void *arg) {
  event told = 0;
  pthread_t thread;
  int pipes[2];
  (void)arg;
  CHECK(!pipe(pipes) && dup2(pipes[0], 0) == 0);
  CHECK(!pthread_create(&thread, NULL, read_input, &told));
  CHECK(await(&told, 1));
  rest_ms(20);  /* to be in the midst of reading; it must do if not */
  run(nothing, NULL);
  close(pipes[1]);
  pthread_join(thread, NULL);
}

CLEAN_TEST("a thread that reads standard input does not hold up a fork") {
  pid_t pid = child(fork_beside_reader, NULL);
  int64_t until = now_ns() + LONG / 4;
  int status = -1;
  while (waitpid(pid, &status, WNOHANG) == 0 && now_ns() < until) rest_ms(1);
  if (status) killed(pid);
  CHECK(status == 0);
}

CLEAN_TEST("a child of a host with busy threads finds every lock open") {
  event stop = 0;
  pthread_t threads[2];
  FILE *f = fopen("/dev/null", "we");
  int i;
  for (i = 0; i < 2; i++) pthread_create(&threads[i], NULL, use_heap, &stop);
  for (i = 0; i < ROUNDS(100); i++) run(allocate_and_print, f);
  tell(&stop);
  for (i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  fclose(f);
}
