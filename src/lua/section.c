/*
** Sections: the hooks of a process, each under its limits.
**
** At a limit a signal sets a debug hook, which raises the error in the Lua
** code that runs. Where that does not get through (compiled loops, blocked
** calls, code that swallows errors, a stopped process) the monitor ends the
** process a moment later, and when there is none any more, its owner.
*/
#include <signal.h>

#include "channel.h"
#include "process.h"

#define END_GRACE_NS 50000000    /* a section goes on after the time is over */
#define SOFT_GRACE_NS 100000000  /* for a section that is cancelled first */
#define KILL_GRACE_NS 100000000  /* the monitor waits after a deadline */

#define LATE "suitkaise.channel.late"
#define HOOK_MASK (LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT)

/* The section that runs in this process: for the signal's handler. */
static struct {
  lua_State *_Atomic L;       /* the coroutine whose code runs */
  lua_State *hooked;          /* the one whose hook was replaced */
  life *life;
  sk_bell *bell;              /* rung when the time is over */
  int64_t deadline_ns;
  int is_soft;
  volatile sig_atomic_t is_armed;
  volatile sig_atomic_t is_set;  /* the alarm, maybe of a section before */
  volatile sig_atomic_t has_fired;
  lua_Hook hook;              /* what was there */
  int mask, count;
} running;

/* ---- the limit ---- */

/* The error, in whatever code runs, as often as it is swallowed. */
static void interrupt (lua_State *L, lua_Debug *ar) {
  (void)ar;
  if (!running.is_armed) {
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  luaL_checkstack(L, 4, "late");
  lua_getfield(L, LUA_REGISTRYINDEX, LATE);
  lua_pushinteger(L, (lua_Integer)atomic_load(&running.life->section));
  lua_pushnumber(L, (lua_Number)atomic_load(&running.life->limit_ns) * 1e-9);
  lua_call(L, 2, 1);
  lua_error(L);
}

static void fire (void) {
  lua_State *L = atomic_load(&running.L);
  if (!running.has_fired) {
    running.hooked = L;
    running.hook = lua_gethook(L);
    running.mask = lua_gethookmask(L);
    running.count = lua_gethookcount(L);
  }
  running.has_fired = 1;
  lua_sethook(L, interrupt, HOOK_MASK, 1);
}

static int64_t next_alarm (int64_t now) {
  int64_t end = atomic_load(&running.life->end_ns);
  if (end > now && (!running.deadline_ns || end < running.deadline_ns))
    return end;
  return running.deadline_ns;
}

static void on_alarm (int signal) {
  int64_t now = sk_now_ns(), end;
  (void)signal;
  if (!running.is_armed) return;
  end = atomic_load(&running.life->end_ns);
  if (end && now >= end && !atomic_exchange(&running.life->stop, 1)) {
    sk_bell_ring(running.bell, SK_LAZY);
    lsk_channel_wake(running.life);
  }
  if (running.deadline_ns && now >= running.deadline_ns) fire();
  else sk_alarm_set(next_alarm(now), on_alarm);
}

/* ---- one section ---- */

enum { ARG_CHANNEL = 1, ARG_SECTION, ARG_LIMIT, ARG_BOUNDED, ARG_FN, ARG_SELF,
       ARG_DESCRIBE, ARG_SOFT };

/* The section's own limit, or the end of the whole process if that is first. */
static void set_deadline (lua_State *L, life *f, int64_t now) {
  int64_t deadline = lsk_after(now, L, ARG_LIMIT);
  int64_t limit = deadline ? deadline - now : 0;
  int64_t end = lua_toboolean(L, ARG_BOUNDED) ? atomic_load(&f->end_ns) : 0;
  if (end && (!deadline || end + END_GRACE_NS < deadline)) {
    deadline = end + END_GRACE_NS;
    limit = 0;  /* none of its own */
  }
  if (end && now >= end) atomic_store(&f->stop, 1);
  running.deadline_ns = running.is_soft ? 0 : deadline;
  if (deadline && running.is_soft) deadline += SOFT_GRACE_NS;
  atomic_store_explicit(&f->limit_ns, limit, memory_order_relaxed);
  atomic_store_explicit(&f->deadline_ns, deadline, memory_order_relaxed);
}

static void begin (lua_State *L, lsk_channel *c, int64_t now) {
  life *f = c->life;
  int64_t alarm = 0;
  atomic_store(&running.L, L);
  running.life = f;
  running.bell = c->child;
  running.has_fired = 0;
  atomic_store_explicit(&f->since_ns, now, memory_order_relaxed);
  set_deadline(L, f, now);
  atomic_store_explicit(&f->section, (uint32_t)lua_tointeger(L, ARG_SECTION),
                        memory_order_release);
  /* one system call for each section with a limit, not two: the alarm is put
  ** off by the next one, and means nothing in between */
  if (running.deadline_ns || running.is_soft) alarm = next_alarm(now);
  if (!alarm && !running.is_set) return;
  running.is_armed = alarm != 0;
  running.is_set = running.is_armed;
  sk_alarm_set(alarm, on_alarm);
}

/* -> nanoseconds that it took */
static int64_t end (lua_State *L, life *f, int64_t begun) {
  int64_t now = sk_now_ns();
  running.is_armed = 0;
  if (running.has_fired) {
    /* what another coroutine had is gone; its hook goes when it is called */
    if (running.hooked == L)
      lua_sethook(L, running.hook, running.mask, running.count);
    else
      lua_sethook(L, NULL, 0, 0);
  }
  atomic_store_explicit(&f->deadline_ns, 0, memory_order_relaxed);
  atomic_store_explicit(&f->section, 0, memory_order_relaxed);
  atomic_store_explicit(&f->busy_ns,
    atomic_load_explicit(&f->busy_ns, memory_order_relaxed) + now - begun,
    memory_order_relaxed);
  return now - begun;
}

/* Message handler: nothing is raised in it. */
static int describe (lua_State *L) {
  running.is_armed = 0;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* section(number, limit, is_bounded, fn, self, describe, is_soft) -> did
** fn(self) go well, what it returned or describe(error) did, did it take longer
** than the limit, which limit held (0: the time of the whole process). A soft
** one ends itself at `deadline`; nothing interrupts it then, but a moment later
** the monitor. */
static int channel_section (lua_State *L) {
  lsk_channel *c = lsk_checkchannel(L, ARG_CHANNEL);
  int64_t begun = sk_now_ns(), took;
  int failed;
  lua_settop(L, ARG_SOFT);
  running.is_soft = lua_toboolean(L, ARG_SOFT);
  lua_settop(L, ARG_DESCRIBE);
  lua_pushcclosure(L, describe, 1);
  lua_pushvalue(L, ARG_FN);
  lua_pushvalue(L, ARG_SELF);
  begin(L, c, begun);
  failed = lua_pcall(L, 1, 1, ARG_DESCRIBE);
  running.is_armed = 0;
  /* one that the hook forked and let return from it has no say */
  if (sk_generation() != c->child_generation) sk_process_exit(0);
  took = end(L, c->life, begun);
  lsk_channel_record(c, (uint32_t)lua_tointeger(L, ARG_SECTION), took);
  lua_pushboolean(L, !failed);
  lua_insert(L, -2);
  lua_pushboolean(L, running.has_fired);
  lua_pushnumber(L, (lua_Number)atomic_load(&c->life->limit_ns) * 1e-9);
  return 4;
}

/* deadline() -> when a soft section is to end, in seconds of core.now, or
** nil */
static int channel_deadline (lua_State *L) {
  life *f = lsk_checkchannel(L, 1)->life;
  int64_t deadline = atomic_load(&f->deadline_ns);
  if (!deadline) return 0;
  lua_pushnumber(L, (lua_Number)(deadline - SOFT_GRACE_NS) * 1e-9);
  return 1;
}

/* running(co): that coroutine runs from now on (nil: the main one), where each
** has a hook of its own */
static int channel_running (lua_State *L) {
  lua_State *co = lua_tothread(L, 2);
  if (!co) {
    lua_getfield(L, LUA_REGISTRYINDEX, LATE ".main");
    co = lua_tothread(L, -1);
  }
  if (co) atomic_store(&running.L, co);
  if (running.has_fired && running.is_armed) fire();
  return 0;
}

/* on_late(fn): fn(section, limit) makes the error of a limit; limit 0: the
** time of the whole process is over */
static int channel_on_late (lua_State *L) {
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  lua_setfield(L, LUA_REGISTRYINDEX, LATE);
  lua_pushthread(L);
  lua_setfield(L, LUA_REGISTRYINDEX, LATE ".main");
  return 0;
}

/* ---- the monitor ---- */

/* watch(process, least) -> true when it has ended; false, section, limit when
** the section that runs is late; nothing after `least` seconds: the shortest
** limit that there is (nil: none), so that no section is overlooked */
static int channel_watch (lua_State *L) {
  life *f = lsk_checkchannel(L, 1)->life;
  sk_process *p = lsk_checkprocess(L, 2);
  int64_t wait = lsk_optseconds(L, 3, INT64_MAX);
  int64_t deadline = atomic_load(&f->deadline_ns), left;
  int64_t limit = atomic_load(&f->limit_ns);
  uint32_t section = atomic_load(&f->section);
  left = deadline ? deadline + KILL_GRACE_NS - sk_now_ns() : INT64_MAX;
  if (left <= 0 && deadline == atomic_load(&f->deadline_ns)) {
    lua_pushboolean(L, 0);
    lua_pushinteger(L, (lua_Integer)section);
    lua_pushnumber(L, (lua_Number)limit * 1e-9);
    return 3;
  }
  if (sk_process_wait(p, left < wait ? left : wait) == SKE_TIMEOUT) return 0;
  lua_pushboolean(L, 1);
  return 1;
}

/* overdue(grace) -> section, limit when the section that runs is later than
** that; nothing else, but seconds until it may be (nil: no limit) */
static int channel_overdue (lua_State *L) {
  life *f = lsk_checkchannel(L, 1)->life;
  int64_t grace = lsk_optseconds(L, 2, 0);
  int64_t deadline = atomic_load(&f->deadline_ns), left;
  uint32_t section = atomic_load(&f->section);
  if (!deadline) return 0;
  left = deadline + grace - sk_now_ns();
  if (left > 0) lua_pushnil(L);
  else lua_pushinteger(L, (lua_Integer)section);
  lua_pushnumber(L, (lua_Number)(left > 0 ? left : atomic_load(&f->limit_ns))
                      * 1e-9);
  return 2;
}

const luaL_Reg lsk_section_methods[] = {
  { "section", channel_section },
  { "on_late", channel_on_late },
  { "deadline", channel_deadline },
  { "running", channel_running },
  { "watch", channel_watch },
  { "overdue", channel_overdue },
  { NULL, NULL }
};
