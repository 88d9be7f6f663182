--- The loop of the tasks: who is ready, who waits until when, and how that
-- fits into libuv's loop. Nothing here knows what tasks wait for.
--
-- Tasks run in one place, `run_ready`, which is called by an idle handle of
-- libuv that is active while a task is ready. So they run in whatever loop
-- turns: the host's, async.run's or async.step's.
-- @module suitkaise.async.loop

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local heap = require "suitkaise.async.heap"
local spin = require "suitkaise.async.spin"
local threads = require "suitkaise.async.threads"

local loop = {}

local create, status = coroutine.create, coroutine.status
local resume, running = coroutine.resume, coroutine.running
local yield = coroutine.yield
local can_yield = rawget(coroutine, "isyieldable") -- not in PUC 5.1
  or function() return true end
local close = rawget(coroutine, "close") -- Lua 5.4
local traceback = debug.traceback
local unpack = table.unpack or rawget(_G, "unpack")
local now = core.now
local push_sleeper = heap.push
local ceil = math.ceil
local getmetatable, setmetatable = getmetatable, setmetatable
local select, tostring = select, tostring

local SLICE = 1e-3    -- seconds that tasks run before sockets have their turn
local MAX_LOOK = 64   -- switches between two looks at the clock, at most
local EXPIRE = 512    -- sleepers that are woken before others have their turn
local GRACE = 1       -- seconds in which a cancelled task may clean up
local MAX_RAISED = 100 -- times that a task may disregard its end after that
local LONGEST = 1000000000 -- milliseconds that a timer of libuv is set to

-- What a coroutine yields to this module, and is resumed with. They are
-- compared with values of the user: with tables, that might call an __eq.
local function PARK() end
local function ENDED() end
local function CALL() end
local function ABANDON() end
local function CANCEL() end
local function TIMEOUT() end
loop.TIMEOUT, loop.CANCEL = TIMEOUT, CANCEL

-- States of a task; one that runs is "ready".
local NEW, READY, PARKED, DONE = "new", "ready", "parked", "done"

local Cancelled = errors.define "CancelledError"

local uv                        -- luv, once it is needed
local idle, timer               -- our handles in its loop
local is_idling, timer_at       -- is `idle` active? what `timer` is set to
local generation                -- of the process whose loop that is

local current                   -- the task that runs
local is_running = false        -- are we in run_ready?
local ready, n_ready = {}, 0    -- those that run next
local urgent, n_urgent = {}, 0  -- woken by libuv: they go before the others
local spare = {}                -- the array that `urgent` is not
local batch, n_batch, at = {}, 0, 0 -- those that run now, and where we are
local live, n_live = {}, 0      -- all tasks that have not ended
local foreign = {}              -- those of the process that forked this one
local look, looks = 1, 0        -- switches until the next look at the clock

--- Called before the loop sleeps: see to what tasks wait for outside.
loop.settlers = {}

--- Called with a task that failed and that nobody waits for.
loop.on_failure = function() end

-- ---- libuv ----

local run_ready, on_timer

local function on_idle()
  run_ready(now() + SLICE)
end

-- A host may have closed every handle in the loop, ours too.
local function usable(handle)
  return handle and not handle:is_closing()
end

local function start_idle()
  if generation ~= core.generation() then loop.renew() end
  is_idling = true -- a finalizer that spawns does not make another
  if not usable(idle) then idle = uv.new_idle() end
  idle:start(on_idle)
end

local function stop_idle()
  if is_idling and usable(idle) then idle:stop() end
  is_idling = false
end

--- What a timer of libuv is set to: it takes neither less than 0 nor what is
-- no integer.
function loop.milliseconds(left)
  return left > LONGEST and LONGEST or left > 0 and ceil(left) or 0
end

-- Let libuv's timer fire when the first sleeper is due. It counts whole
-- milliseconds of the same clock; a deadline between two waits for the later.
local function arm_timer()
  local deadline = heap.top()
  if not deadline then
    if timer_at and usable(timer) then timer:stop() end
    timer_at = nil
    return
  end
  local due = ceil(deadline * 1000)
  if due == timer_at and usable(timer) then return end
  if not usable(timer) then timer = uv.new_timer() end
  timer:start(loop.milliseconds(due - uv.now()), 0, on_timer)
  timer_at = due
end

--- luv itself, with a loop that is this process's own.
function loop.uv()
  if generation ~= core.generation() then loop.renew() end
  return uv
end

-- A task of the process that forked this one goes on there. Here it has ended
-- and waits in nothing that this process might wake it from. Its coroutine is
-- kept: to collect it would close what is the parent's.
local function disown(task)
  local list = task.list
  if list then list:remove(task) end
  task.state, task.at = DONE, false
  task.waiters, task.watcher, task.failed = nil, nil, true
  task.err = errors.new("Error", "the task is one of the process that forked "
    .. "this one, and goes on there")
end

--- Begin anew: after a fork everything here is the parent's.
function loop.renew()
  for i = 1, n_live do disown(live[i]) end
  if n_live > 0 then foreign[#foreign + 1] = live end
  local fresh = require "suitkaise.async.luv"
  generation = core.generation()
  uv = fresh.open()
  idle, timer, is_idling, timer_at = nil, nil, false, nil
  current, is_running = nil, false
  ready, n_ready, batch, n_batch, at = {}, 0, {}, 0, 0
  urgent, n_urgent = {}, 0
  live, n_live = {}, 0
  heap.clear()
  for _, settler in ipairs(loop.settlers) do settler.renew() end
end

-- ---- waking ----

local function push_ready(task, value)
  task.state, task.value = READY, value
  if is_running then
    n_ready = n_ready + 1
    ready[n_ready] = task
  else
    n_urgent = n_urgent + 1
    urgent[n_urgent] = task
  end
  if not is_idling then start_idle() end
end

-- Take a parked task out of whatever it waits in.
local function leave(task)
  if task.at then heap.remove(task) end
  local list = task.list
  if list then list:remove(task) end
end

--- Let a parked task go on; its park returns `value`.
function loop.wake(task, value)
  leave(task)
  push_ready(task, value)
end
local wake = loop.wake

-- What ends a task's wait at its deadline: the time, or its grace.
local function expired(task, moment)
  if task.grace and moment >= task.grace and not task.shield then
    return CANCEL
  end
  return TIMEOUT
end

--- Wake the sleepers that are due, a bounded number at a time.
local function expire(moment)
  for _ = 1, EXPIRE do
    local deadline, task = heap.top()
    if not deadline or deadline > moment then return end
    heap.pop()
    wake(task, expired(task, moment))
  end
end

function on_timer()
  timer_at = nil
  expire(now())
  arm_timer()
end

-- ---- the end of a task ----

-- Functions that want to know of its end. One is there without a list: that
-- is what gather and its like need for each of their tasks.
local function call_watchers(task)
  local watcher = task.watcher
  task.watcher = nil
  if type(watcher) == "function" then return watcher(task) end
  for i = 1, #watcher do watcher[i](task) end
end

--- Call fn(task) when it has ended. It must not raise.
function loop.watch(task, fn)
  local watcher = task.watcher
  if not watcher then
    task.watcher = fn
  elseif type(watcher) == "function" then
    task.watcher = { watcher, fn }
  else
    watcher[#watcher + 1] = fn
  end
end

-- The last of the array takes its place.
local function bury(task)
  local place, last = task.place, live[n_live]
  live[place], last.place = last, place
  live[n_live] = nil
  n_live = n_live - 1
end

local function end_task(task)
  if task.at or task.list then leave(task) end -- a wait that failed
  task.state, task.thread, task.value = DONE, nil, nil
  bury(task)
  if task.waiters then
    task.waiters:empty(wake, true)
    task.waiters = nil
  end
  if task.watcher then call_watchers(task) end
end

--- A task that has ended: nobody may have asked for its error yet.
function loop.doubt(task)
  if task.failed and not task.failure and not task.is_watched
     and not errors.is(task.err, "CancelledError") then
    loop.on_failure(task)
  end
end

local function fail(task, err, trace)
  local is_wanted = task.waiters and task.waiters.n > 0 or task.watcher
  task.failed, task.err, task.traceback = true, err, trace
  end_task(task)
  if not is_wanted then loop.doubt(task) end
end

local function cancelled_error()
  return errors.new("CancelledError", "the task was cancelled")
end

-- It did not end though it was told to again and again.
local function abandon(task)
  local thread = task.thread
  fail(task, cancelled_error())
  if close then pcall(close, thread) end
end

-- ---- running ----

local function stray_error(thread)
  return errors.new("Error", {
    message = "a task called coroutine.yield: it would wait for ever "
      .. "(async.sleep(0) lets other tasks run)",
  }), traceback(thread)
end

local returned -- what the function that ended last returned, if anything

local function keep_results(...)
  local n = select("#", ...)
  if n > 0 then returned = { n = n, ... } end
  return ENDED
end

local function take_results()
  local results = returned
  returned = nil
  return results
end

-- What a task's coroutine runs: one function after another, so that most
-- tasks need no coroutine of their own. It takes few slots of the stack: with
-- three more, async.sleep would make every stack grow.
local function body(fn, value)
  while true do
    if value == nil then keep_results(fn()) else keep_results(fn(value)) end
    -- A spare coroutine holds nothing.
    fn, value = nil, nil -- luacheck: ignore 311
    fn, value = yield(ENDED)
  end
end

local function body_n(fn, ...)
  return keep_results(fn(...))
end

-- A protected call, for Lua 5.1: it runs in a coroutine of its own, which the
-- task is until it ends. -> what the task's coroutine then comes back with
local function begin_call(task)
  local call, outer = task.calls, task.outer or {}
  outer[#outer + 1] = task.thread
  task.outer, task.thread, task.calls = outer, create(body_n), nil
  return resume(task.thread, call.fn, unpack(call, 1, call.n))
end

local function end_call(task, ok, err)
  local outer, results = task.outer, take_results()
  task.thread = outer[#outer]
  outer[#outer] = nil
  if not ok then return resume(task.thread, false, err) end
  if not results then return resume(task.thread, true) end
  return resume(task.thread, true, unpack(results, 1, results.n))
end

-- A task's coroutine came back for good: who is told of it, in the middle of
-- the loop, is in no task.
local function finish(task, ok, first)
  local thread = task.thread
  current = nil
  if not ok then
    -- Many are cancelled at once, and a traceback is slow to make.
    local is_end = rawequal(getmetatable(first), Cancelled)
    return fail(task, first, not is_end and traceback(thread) or nil)
  end
  if first == ABANDON then return abandon(task) end
  if first ~= ENDED then return fail(task, stray_error(thread)) end
  if status(thread) == "suspended" then threads.give(thread) end
  if returned then task.results = take_results() end
  return end_task(task)
end

-- A task's coroutine came back, and does not just wait.
local function leave_off(task, ok, first)
  while not ok or first ~= PARK do
    if ok and first == CALL then
      ok, first = begin_call(task)
    elseif task.outer and task.outer[1]
           and (not ok or first == ENDED) then
      ok, first = end_call(task, ok, first)
    else
      return finish(task, ok, first)
    end
  end
end

local function begin(task)
  local args, fn, value = task.args, task.value, task.slot
  task.value, task.slot, task.state = nil, nil, READY
  if not args then return resume(task.thread, fn, value) end
  task.args = nil
  return resume(task.thread, fn, unpack(args, 1, args.n))
end

-- Is it `limit`? Quick tasks are asked rarely, slow ones after each.
local last_look = 0
local function is_time(limit)
  local moment = now()
  local took = moment - last_look
  last_look, looks = moment, 0
  if took > SLICE / 4 then look = 1
  elseif look < MAX_LOOK then look = 2 * look end
  return moment >= limit
end

-- The tasks of one batch: -> was there time for all of them?
local function run_batch(limit)
  while at < n_batch do
    at = at + 1
    local task = batch[at]
    batch[at] = false
    current = task
    local ok, first
    local value, state = task.value, task.state
    if state == READY then
      if value ~= nil then task.value = nil end
      ok, first = resume(task.thread, value)
    elseif state == NEW then
      ok, first = begin(task)
    else -- cancelled before it began
      current = nil -- a finalizer that runs here is in no task
      ok, first = true, PARK
    end
    if not ok or first ~= PARK then leave_off(task, ok, first) end
    looks = looks + 1
    if looks >= look and is_time(limit) then return false end
  end
  return true
end

-- What libuv woke does not wait for the end of a long batch.
local function run_urgent(limit)
  local list, n = urgent, n_urgent
  local before, n_before, at_before = batch, n_batch, at
  urgent, n_urgent, spare = spare, 0, list
  batch, n_batch, at = list, n, 0
  run_batch(limit)
  for i = at + 1, n do
    n_urgent = n_urgent + 1
    urgent[n_urgent] = list[i]
  end
  batch, n_batch, at = before, n_before, at_before
end

local function settle()
  for _, settler in ipairs(loop.settlers) do settler.settle() end
  arm_timer()
  if not loop.has_ready() then stop_idle()
  elseif not (is_idling and usable(idle)) then start_idle() end
end

-- Nothing is ready: is there news, or soon? Not where the loop does not sleep.
local function has_news(limit)
  if n_ready > 0 or at < n_batch or now() >= limit
     or uv.loop_mode() == "nowait" then
    return false
  end
  local deadline = heap.top()
  return spin.look(deadline and deadline < limit and deadline or limit)
end

--- Run tasks until none is ready or it is `limit`.
function run_ready(limit)
  if is_running then return end -- a task turned the loop itself
  is_running, last_look, looks = true, now(), 0
  if n_urgent > 0 then run_urgent(limit) end
  repeat
    repeat
      if at >= n_batch then
        batch, ready = ready, batch
        n_batch, n_ready, at = n_ready, 0, 0
      end
    until not run_batch(limit) or n_ready == 0
    current = nil
  until not has_news(limit)
  is_running = false
  settle()
end

-- ---- what tasks and primitives call ----

--- Make a task that is ready to run. Whatever makes a table or a coroutine may
-- run finalizers, which may spawn: all that is made first.
function loop.spawn(class, fn, n, ...)
  local is_plain = n == 0 or n == 1 and (...) ~= nil
  local thread = is_plain and (threads.take() or create(body))
    or create(body_n)
  local task = setmetatable({
    thread = thread, state = NEW,
    value = fn,           -- what it is resumed with
    slot = (...),         -- its place in `list`; first, its one argument
    place = 0,            -- in `live`
    deadline = 0, at = false, -- see heap
  }, class)
  if not is_plain then task.args = { n = n, ... } end
  n_live = n_live + 1
  live[n_live], task.place = task, n_live
  n_ready = n_ready + 1
  ready[n_ready] = task
  if not is_idling then start_idle() end
  return task
end

--- The task that runs, or nil.
function loop.current()
  local task = current
  if task and running() == task.thread then return task end
  return nil
end

local function refuse(name)
  local where = " outside of a task; use async.run or async.spawn"
  if current and running() ~= current.thread then
    where = " in a coroutine of its own inside a task; only the task itself "
      .. "can wait"
  elseif current then
    where = " where Lua cannot yield: in a finalizer, say, or for table.sort"
  end
  errors.raise("Error", {
    message = (name and name .. ": called" or "a wait was called") .. where,
  }, "caller")
end

-- Raise the cancellation in the task that runs.
local function deliver(task)
  task.pending = nil
  task.grace = task.grace or now() + GRACE
  task.raised = (task.raised or 0) + 1
  -- Many are cancelled at once: no look at this one and who called it.
  errors.raise(Cancelled, {
    message = "the task was cancelled", where = errors.caller(3),
  }, 0)
end

local function heed(task)
  if task.shield then return end
  if task.pending then deliver(task) end
  if task.grace and now() >= task.grace then
    if task.raised > MAX_RAISED then yield(ABANDON) end
    push_ready(task) -- others run, whatever this one does
    yield(PARK)
    deliver(task)
  end
end

-- Its last wait raised an error: Lua could not yield there (in the comparison
-- of a table.sort, say), and the task has caught that.
local function recover(task)
  leave(task)
  task.state = READY
end

--- Will its next wait raise? For who has to tidy up before it does.
function loop.is_cancelled(task)
  if task.shield or not task.cancels then return false end
  return task.pending or task.grace ~= nil and now() >= task.grace
end

--- Before a wait: the task that runs, which may wait. Raises when there is
-- none, and when it was cancelled.
function loop.enter(name)
  local task = current
  if not task or running() ~= task.thread or not can_yield() then
    refuse(name)
  end
  if task.state ~= READY then recover(task) end
  if task.cancels then heed(task) end
  return task
end

--- Sleep until somebody wakes the task, at most until `deadline`: -> what it
-- was woken with: loop.TIMEOUT when the time is up, loop.CANCEL when it was
-- cancelled, which loop.deliver then raises. Comes after enter.
function loop.park_raw(task, deadline)
  local grace = task.grace
  if grace and not task.shield and (not deadline or grace < deadline) then
    deadline = grace
  end
  task.state = PARKED
  if deadline then push_sleeper(task, deadline) end
  return yield(PARK)
end

--- The same in a list that others wake tasks from.
function loop.park_raw_in(task, list, deadline)
  list:push(task)
  return loop.park_raw(task, deadline)
end

--- Raise the cancellation that a park came back with.
loop.deliver = deliver

--- Sleep, see park_raw; a cancellation is raised.
function loop.park(task, deadline)
  local grace = task.grace
  if grace and not task.shield and (not deadline or grace < deadline) then
    deadline = grace
  end
  task.state = PARKED
  if deadline then push_sleeper(task, deadline) end
  local value = yield(PARK)
  if value == CANCEL then deliver(task) end
  return value
end

--- The same in a list that others wake tasks from.
function loop.park_in(task, list, deadline)
  list:push(task)
  return loop.park(task, deadline)
end

--- Let the other tasks that are ready run first. Where Lua cannot yield it is
-- Lua that says so: to be in the queue twice does a task no harm, and to ask
-- before costs a tenth of a switch.
function loop.pass(name)
  local task = current
  if not task or running() ~= task.thread then refuse(name) end
  if task.state ~= READY then recover(task) end
  if task.cancels then heed(task) end
  n_ready = n_ready + 1
  ready[n_ready] = task
  yield(PARK)
end

--- Have a task raise a CancelledError where it waits, or at its next wait.
-- -> false when it has ended
function loop.cancel(task)
  local state = task.state
  if state == DONE then return false end
  if state == NEW then
    fail(task, cancelled_error())
    return true
  end
  task.cancels = (task.cancels or 0) + 1
  task.pending = true
  if state == PARKED and not task.shield then wake(task, CANCEL) end
  return true
end

--- Call a function; its errors come back as with pcall. The task can wait in
-- it, in Lua 5.1 too.
function loop.call(fn, ...)
  local task = current
  if not task or running() ~= task.thread then return pcall(fn, ...) end
  task.calls = { fn = fn, n = select("#", ...), ... }
  return yield(CALL)
end

--- Every task that has not ended.
function loop.live()
  local list = {}
  for i = 1, n_live do list[i] = live[i] end
  return list
end

--- Is there a task that could run now?
function loop.has_ready()
  return n_ready > 0 or at < n_batch or n_urgent > 0
end

--- Does somebody turn libuv's loop just now?
function loop.is_turning()
  return is_running or loop.uv().loop_mode() ~= nil
end

--- When there is something to do next: seconds of core.now, or nil.
function loop.next_deadline()
  local moment = now()
  if loop.has_ready() then return moment end
  loop.uv().update_time()
  -- libuv says 0 as well when it has nothing at all to do
  local left = uv.loop_alive() and uv.backend_timeout()
  local soonest = left and left >= 0 and moment + left / 1000 or nil
  local deadline = heap.top()
  if deadline and (not soonest or deadline < soonest) then
    soonest = deadline
  end
  return soonest
end

--- One pass of libuv's loop that does not wait, and the sleepers that are due.
function loop.turn()
  expire(now())
  return uv.run("nowait")
end

--- One pass that waits until something happens: -> may more happen?
function loop.turn_once()
  return uv.run("once")
end

--- Tell of an error that nobody can catch.
function loop.report(err, what, trace)
  local ok, text = pcall(tostring, err)
  if not ok then text = errors.show(err) end
  io.stderr:write("suitkaise: error ", what, ": ", text,
                  trace and "\n" .. trace or "", "\n")
end

return loop
