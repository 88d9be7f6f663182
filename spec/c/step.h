/*
** Stop a process after any one of its instructions: for tests that ask what
** others see of an operation that was cut off in the middle.
*/
#ifndef SPEC_STEP_H
#define SPEC_STEP_H

#include <sys/ptrace.h>

#include "clean.h"

#define STEP_OVER SIGUSR1  /* the child's sign that body has returned */

/* A loop over all moments of an operation: for (n = 1; !over; STEP_NEXT(n)).
** A sanitizer makes them ten times as many, and some of its own each time. */
#define STEP_NEXT(n) ((n) += SANITIZED ? 1 + (n) / 10 : 1)

/* Start body(arg) in a child that stands before its first instruction. */
static inline pid_t step_begin (void (*body) (void *), void *arg) {
  pid_t pid;
  int status;
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(99);
    raise(SIGSTOP);
    body(arg);
    raise(STEP_OVER);
    alarm(CHILD_SECONDS);  /* from here on it may run by itself */
    fflush(NULL);
    _exit(0);
  }
  REQUIRE(pid > 0);
  REQUIRE(waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFSTOPPED(status));  /* else it must not be traced here */
  return pid;
}

/* One instruction on; 0 when body has returned. */
static inline int step_on (pid_t pid) {
  int status;
  REQUIRE(!ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL));
  REQUIRE(waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFSTOPPED(status));
  return WSTOPSIG(status) != STEP_OVER;
}

/* A child stopped after n instructions of body(arg), or after all of them:
** then *over is set. */
static inline pid_t step_to (void (*body) (void *), void *arg, int n,
                             int *over) {
  pid_t pid = step_begin(body, arg);
  while (n > 0 && step_on(pid)) n--;
  *over = n > 0;
  return pid;
}

/* Let it go on to its end; -> its wait status. */
static inline int step_end (pid_t pid) {
  int status;
  for (;;) {
    REQUIRE(!ptrace(PTRACE_CONT, pid, NULL, NULL));
    REQUIRE(waitpid(pid, &status, 0) == pid);
    if (!WIFSTOPPED(status)) return status;
  }
}

#endif
