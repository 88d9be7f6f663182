/*
** Monitors, alarms and Ctrl-C.
*/
#include "clean.h"
#include "segment.h"

struct family {
  event ready, go;
  _Atomic pid_t grandchild;
};

static struct family *family;

static void sleep_for_ever (void) {
  for (;;) rest_ms(1000);
}

/* In the monitor: one child, until it ends. */
static void be_monitor (void) {
  sk_process *p;
  int rc;
  CHECK(sk_monitor_begin() == 0);
  rc = sk_process_fork(&p);
  if (rc == SK_CHILD) sleep_for_ever();
  CHECK(rc == 0);
  atomic_store(&family->grandchild, sk_process_pid(p));
  if (sk_monitor_follow(p)) tell(&family->ready);
  while (sk_process_wait(p, LONG) == SKE_INTR) {}
  CHECK(!sk_monitor_follow(NULL));
  sk_process_free(p);
  sk_process_exit(5);
}

static sk_process *start_monitor (void) {
  sk_process *p = NULL;
  int rc;
  family = shared_memory(sizeof *family);
  rc = sk_process_fork(&p);
  if (rc == SK_CHILD) be_monitor();
  REQUIRE(rc == 0);
  sk_process_set_monitor(p);
  CHECK(await(&family->ready, 1));
  return p;
}

static int await_gone (pid_t pid) {
  int64_t until = now_ns() + LONG;
  while (!sk_process_gone(pid) && now_ns() < until) rest_ms(1);
  return sk_process_gone(pid);
}

CLEAN_TEST("a monitor that is ended takes its child along, and reaps it") {
  sk_process *p = start_monitor();
  sk_exit st;
  CHECK(!sk_process_gone(atomic_load(&family->grandchild)));
  sk_process_end(p);
  CHECK(sk_process_poll(p, &st) == 0);
  CHECK(st.code == 5);
  CHECK(sk_process_gone(atomic_load(&family->grandchild)));
  sk_process_free(p);
  munmap(family, sizeof *family);
}

CLEAN_TEST("so does one that is forgotten") {
  sk_process *p = start_monitor();
  sk_process_free(p);
  CHECK(sk_process_gone(atomic_load(&family->grandchild)));
  munmap(family, sizeof *family);
}

CLEAN_TEST("one that is stopped is killed, and its child with it") {
  sk_process *p = start_monitor();
  sk_exit st;
  sk_process_kill(p, SIGSTOP);
  while (!sk_process_stopped(p)) rest_ms(1);
  sk_process_end(p);
  CHECK(sk_process_poll(p, &st) == 0);
  CHECK(st.signal == SIGKILL);
  CHECK(await_gone(atomic_load(&family->grandchild)));
  sk_process_free(p);
  munmap(family, sizeof *family);
}

static void follow_too_late (void *arg) {
  sk_process *p = NULL;
  sk_exit st = { 0, 0 };
  int rc;
  (void)arg;
  CHECK(sk_monitor_begin() == 0);
  raise(SIGTERM);
  rc = sk_process_fork(&p);
  if (rc == SK_CHILD) sleep_for_ever();
  CHECK(!sk_monitor_follow(p));
  while (sk_process_wait(p, LONG) == SKE_INTR) {}
  CHECK(sk_process_poll(p, &st) == 0);
  CHECK(st.signal == SIGKILL);
  sk_process_free(p);
}

CLEAN_TEST("a monitor told to end before it has a child gets none") {
  in_child(follow_too_late, NULL);
}

CLEAN_TEST("a child is not gone while it runs") {
  sk_process *p = NULL;
  pid_t pid;
  int rc = sk_process_fork(&p);
  if (rc == SK_CHILD) sleep_for_ever();
  pid = sk_process_pid(p);
  CHECK(!sk_process_gone(pid));
  CHECK(sk_process_wait(p, 0) == SKE_TIMEOUT);
  sk_process_end(p);
  CHECK(sk_process_wait(p, LONG) == 0);
  sk_process_free(p);
  CHECK(sk_process_gone(pid));
}

/* ---- how it ended, when the host took the status ---- */

static void host_reaps (void *arg) {
  sk_process *p = NULL;
  sk_exit st = { -9, -9 };
  int rc = sk_process_fork(&p);
  (void)arg;
  if (rc == SK_CHILD) {
    signal(SIGABRT, SIG_DFL);
    raise(SIGABRT);
  }
  CHECK(waitpid(-1, NULL, 0) == sk_process_pid(p));
  while (sk_process_poll(p, &st) == SKE_BUSY) rest_ms(1);
  /* older kernels do not tell */
  CHECK(st.signal == SIGABRT || (st.signal == 0 && st.code == -1));
  sk_process_free(p);
}

CLEAN_TEST("the signal is known, where the kernel keeps it") {
  in_child(host_reaps, NULL);
}

/* ---- alarms ---- */

static volatile sig_atomic_t alarms;

static void on_alarm (int signal) {
  (void)signal;
  alarms++;
}

static void set_alarms (void *arg) {
  int64_t begun = now_ns();
  (void)arg;
  CHECK(sk_alarm_set(sk_now_ns() + 20 * MS, on_alarm) == 0);
  while (!alarms && now_ns() < begun + LONG) {}
  CHECK(alarms == 1);
  CHECK(now_ns() - begun >= 20 * MS);
  CHECK(sk_alarm_set(sk_now_ns() + 20 * MS, on_alarm) == 0);
  CHECK(sk_alarm_set(0, on_alarm) == 0);
  rest_ms(40);
  CHECK(alarms == 1);
  CHECK(sk_alarm_set(sk_now_ns() - SECOND, on_alarm) == 0);  /* over already */
  while (alarms == 1 && now_ns() < begun + LONG) {}
  CHECK(alarms == 2);
}

static void set_alarms_twice (void *arg) {
  set_alarms(arg);
  alarms = 0;
  in_child(set_alarms, arg);  /* timers are not inherited */
}

CLEAN_TEST("an alarm comes at its time, once, in each process of its own") {
  in_child(set_alarms_twice, NULL);
}

/* ---- Ctrl-C ---- */

static volatile sig_atomic_t calls;

static void hosts_handler (int signal) {
  (void)signal;
  calls++;
}

static sk_bell *pollable_bell (void) {
  sk_segment *root;
  sk_bell *b = NULL;
  CHECK(sk_root(&root) == 0);
  CHECK(sk_bell_create(root, 1, &b) == 0);
  return b;
}

static void interrupt_wait (void *arg) {
  sk_bell *b = pollable_bell();
  sk_wait w = { b, NULL, 0, NULL, 0 };
  (void)arg;
  signal(SIGINT, hosts_handler);
  CHECK(sk_interrupts_begin(b) == 1);
  raise(SIGINT);  /* before the sleep: it does not fall asleep */
  CHECK(sk_wait_any(&w, SK_LAZY, 0, LONG) == 0);
  CHECK(sk_interrupts_end() == 1);
  CHECK(calls == 1);  /* the host's is called as well */
  raise(SIGINT);
  CHECK(calls == 2);  /* and there again */
  CHECK(sk_interrupts_begin(b) == 1);
  CHECK(sk_interrupts_end() == 0);
  sk_bell_destroy(b);
}

CLEAN_TEST("Ctrl-C ends a wait, once it is begun, and the host hears of it") {
  in_child(interrupt_wait, NULL);
}

static void ignore_interrupts (void *arg) {
  sk_bell *b = pollable_bell();
  (void)arg;
  signal(SIGINT, SIG_IGN);
  CHECK(sk_interrupts_begin(b) == 0);
  raise(SIGINT);
  CHECK(signal(SIGINT, SIG_IGN) == SIG_IGN);
  sk_bell_destroy(b);
}

CLEAN_TEST("where Ctrl-C is ignored it stays so") {
  in_child(ignore_interrupts, NULL);
}

static void nest_interrupts (void *arg) {
  sk_bell *b = pollable_bell();
  (void)arg;
  signal(SIGINT, SIG_DFL);
  CHECK(sk_interrupts_begin(b) == 1);
  CHECK(sk_interrupts_begin(b) == 1);
  CHECK(sk_interrupts_end() == 0);
  raise(SIGINT);  /* still ours */
  CHECK(sk_interrupts_end() == 1);
  CHECK(signal(SIGINT, SIG_DFL) == SIG_DFL);
  sk_bell_destroy(b);
}

CLEAN_TEST("waits may overlap") {
  in_child(nest_interrupts, NULL);
}
