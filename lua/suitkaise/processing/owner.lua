--- The owner's side of an Skprocess: starting, waiting, talking, ending.
-- @module suitkaise.processing.owner

local each = require "suitkaise.each"
local autoreconnect = require "suitkaise.processing.autoreconnect"
local child = require "suitkaise.processing.child"
local config = require "suitkaise.processing.config"
local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local failure = require "suitkaise.processing.failure"
local fields = require "suitkaise.processing.fields"
local identity = require "suitkaise.cerial.identity"
local handing = require "suitkaise.pipe.handing"
local interrupts = require "suitkaise.processing.interrupts"
local monitor = require "suitkaise.processing.monitor"
local registry = require "suitkaise.processing.registry"
local timers = require "suitkaise.processing.timers"
local wait = require "suitkaise.async.wait"

local owner = {}

local SLICE_SECONDS = 0.2     -- a child that closed its descriptors rings not
local OVERDUE_SECONDS = 0.18  -- after a deadline: the monitor does not act
local SLOW_SECONDS = 0.05     -- and then, for one that is just slow
local CLOSE_SECONDS = 5

-- ---- errors ----

local function fail(state, class, message)
  errors.raise(class, { message = state.name .. ": " .. message }, "caller")
end

local function check_own(state)
  if not state.channel:is_own() then
    fail(state, "ClosedError", "it belongs to another process")
  end
end

-- What the channel raised: a value that cannot travel, or a misuse.
local function reraise(state, err)
  if type(err) == "string" and err:find("another process", 1, true) then
    fail(state, "ClosedError", "it belongs to another process")
  end
  errors.reraise(err)
end

-- ---- channels: kept for the next one until the collector comes ----

local spare = setmetatable({}, { __mode = "v" })
local spare_generation

local function open_channel(state, max_queued)
  if spare_generation ~= core.generation() then
    spare_generation, spare[1] = core.generation(), nil
  end
  local channel = spare[1]
  if channel and max_queued == config.MAX_QUEUED then
    spare[1] = nil
    return channel
  end
  local why
  channel, why = core.channel(max_queued)
  if not channel then fail(state, "ProcessError", why) end
  return channel
end

-- Nobody else uses it any more if `is_free`.
local function close_channel(state, is_free)
  local channel = state.channel
  state.channel = nil
  if not is_free or state.config.max_queued ~= config.MAX_QUEUED then
    return channel:close()
  end
  channel:reset()
  spare[1] = channel
end

-- ---- starting ----

local function prepare(object, state)
  state.config = config.check(object, state)
  state.channel = state.channel
    or open_channel(state, state.config.max_queued)
end

local FEW = 8

-- Do so many processes run that forks should not copy what is theirs?
local function are_many()
  local n = 0
  for _ in each(registry.running()) do
    n = n + 1
    if n >= FEW then return true end
  end
  return false
end

-- Tasks no longer wait for the process that there was.
local function release(state)
  for _, source in each(state.sources or {}) do wait.finish(source) end
  state.sources = nil
end

-- Fork the process that runs fn(object, state, ...).
local function fork(object, state, fn, ...)
  state.channel:hide(false)
  local points = handing.points_of(object)
  state.plan = autoreconnect.plan(object)
  identity.give_all(getmetatable(object))
  local process, why = core.fork(fn, object, state, ...)
  if not process then return nil, why end
  if are_many() then state.channel:hide(true) end
  state.process = process
  release(state)
  handing.hand(points, process:pid())
  if state.promised then
    handing.promise(state.promised, process:pid())
    state.promised = nil
  end
  if state.is_monitored then process:set_monitor()
  else state.channel:started(process:pid()) end
  return true
end

--- Begin: the object's fields are those of the child at its start.
function owner.start(object, state)
  if state.phase == "running" and owner.is_alive(state) then
    fail(state, "Error", "it has been started and runs")
  end
  if type(object.__run__) ~= "function" then
    errors.argument(state.name, "__run__", object.__run__, "a function",
                    "caller")
  end
  prepare(object, state)
  check_own(state)
  state.is_monitored = config.needs_monitor(state.config)
  state.look_every = state.is_monitored and config.shortest_limit(state.config)
  state.channel:set_end(state.config.time_limit)
  state.outcome, state.error, state.is_killed = nil, nil, nil
  state.inbox, state.first, state.last = {}, 1, 0
  state.times, state.timers, state.synced, state.run = nil, nil, 0, nil
  local fn = state.is_monitored and monitor.watch or child.live
  local ok, why = fork(object, state, fn)
  if not ok then
    close_channel(state, true)
    fail(state, "ProcessError", "cannot start its process: " .. why)
  end
  state.phase = "running"
  registry.running()[state] = true
end

-- ---- messages ----

local function keep(state, ok, value)
  state.last = state.last + 1
  state.inbox[state.last] = { ok, value }
end

local function note_error(state, said)
  if said.is_handled then
    state.error, state.handling = said.error, said.error
    return
  end
  if said.is_unhandled and state.handling then
    said.error = failure.unhandled(state, said.error, state.handling)
  end
  state.error = said.error
  state.outcome = said.has_result and { result = said.result }
    or { error = said.error }
end

-- What the child says of itself.
local function note(state, kind, ok, value)
  if kind == "times" then
    if ok then timers.add(state, value) end
  elseif not ok then
    state.outcome = { error = errors.new("ResultError", {
      message = state.name .. ": what it said last cannot be read here",
      original_error = value, current_run = state.channel:run(),
    }) }
  elseif kind == "result" then
    state.outcome = { result = value }
  elseif kind == "error" then
    note_error(state, value)
  end
end

-- Take everything in; told values wait in the inbox.
local function drain(state)
  local channel = state.channel
  local kind, ok, value = channel:next()
  while kind do
    if kind == "tell" then keep(state, ok, value)
    else note(state, kind, ok, value) end
    kind, ok, value = channel:next()
  end
end

local function take_kept(state)
  local at = state.first
  if at > state.last then return nil end
  local message = state.inbox[at]
  state.inbox[at] = nil
  state.first = at + 1
  if not message[1] then errors.reraise(message[2]) end
  return true, message[2]
end

-- ---- syncs ----

--- Bring the fields of the last sync into the object.
-- @treturn boolean were there newer ones?
function owner.sync(state)
  local object, channel = state.object[1], state.channel
  if not channel or not object then return false end
  check_own(state)
  local number = fields.receive(object, channel, state.synced)
  state.synced = number or state.synced
  return number ~= nil
end

-- ---- the end ----

local function unhandled_if_handling(state, err)
  if not state.handling or state.is_killed then return err end
  return failure.unhandled(state, err, state.handling)
end

local function outcome_of_death(state, code, signal)
  if state.is_killed then signal = 9 end
  local who = state.is_monitored and not state.is_killed and "its monitor"
    or "it"
  return unhandled_if_handling(state, failure.died(state, who, code, signal,
                                                   state.channel:run()))
end

-- A child without a monitor died: __error__ is for a fresh one.
local function handle_death(state, err)
  local object = state.object[1]
  if state.is_killed or state.handling or state.is_monitored
     or not object or not object.__error__ then
    return false
  end
  state.process:close()
  state.handling = err
  return fork(object, state, child.live_error, err)
end

local GONE_SECONDS = 0.5 -- that a dead monitor's child may take to follow

-- Wait for the end of a child whose monitor is dead. -> has it come?
local function await_gone(pid)
  local deadline = core.now() + GONE_SECONDS
  while pid > 0 and not core.gone(pid) do
    if core.now() >= deadline then return false end
    core.wait({}, {}, "eager", 5e-4)
  end
  return true
end

local function forget(state)
  registry.running()[state] = nil
  release(state)
  state.process:close()
  state.process, state.handling = nil, nil
  state.phase = "ended"
  state.run = state.channel:run()
  local pid, last = state.channel:pid()
  state.last_pid = last
  close_channel(state, not state.is_monitored or await_gone(pid))
end

-- The process has ended, with this: take its last words and forget it, or go
-- on with the child that handles its death.
local function settle(state, code, signal)
  local ok, err = pcall(drain, state)
  if not ok then
    state.outcome = { error = errors.new("ProcessError", {
      message = state.name .. ": what it sent cannot be read",
      original_error = err, current_run = state.channel:run(),
    }) }
  end
  if not state.outcome then
    err = state.late and unhandled_if_handling(state, state.late)
      or outcome_of_death(state, code, signal)
    if not state.late and handle_death(state, err) then return end
    state.outcome = { error = err }
  end
  state.late = nil
  state.error = state.error or state.outcome.error
  pcall(owner.sync, state)
  forget(state)
end

-- Has it ended? Then it is settled.
local function poll(state)
  if state.phase ~= "running" then return true end
  check_own(state)
  local code, signal, has_ended = state.process:poll()
  if has_ended then settle(state, code, signal) end
  return state.phase ~= "running"
end

-- End its processes now.
local function kill_all(state)
  local pid = state.is_monitored and (state.channel:pid()) or 0
  state.process:finish()
  await_gone(pid)
end

-- Limits hold, and ends are noticed, also when the monitor is stopped.
-- -> seconds until there may be something to do: a section that has not begun
-- is late after the shortest limit at the earliest
local function enforce(state)
  if not state.look_every then return nil end
  local section, seconds = state.channel:overdue(OVERDUE_SECONDS)
  if not section then
    if state.channel:has_finished() and state.process:stopped() then
      kill_all(state)
      return 0
    end
    return math.min(seconds or state.look_every, state.look_every)
  end
  if not state.process:stopped() then return SLOW_SECONDS end
  state.late = failure.late(state, section, seconds, state.channel:run())
  kill_all(state)
  return 0
end

-- ---- waiting ----

local function slice(left, due, for_messages)
  if due and due < left then left = due end
  if for_messages and SLICE_SECONDS < left then left = SLICE_SECONDS end
  return left < math.huge and left or nil
end

-- What tasks wait for: the end, and messages when they are wanted.
local function source_of(state, for_messages)
  local sources = state.sources or {}
  state.sources = sources
  local name = for_messages and "messages" or "ending"
  sources[name] = sources[name] or {
    links = { for_messages and state.channel or nil },
    processes = { state.process },
    is_looked_at = for_messages,
  }
  return sources[name]
end

-- The same in a task; Ctrl-C is not looked for.
local function sleep_in_task(state, seconds, for_messages, waiter)
  waiter.events(source_of(state, for_messages),
                for_messages and "eager" or "lazy", seconds or SLICE_SECONDS)
end

-- Sleep once, at most until the deadline; Ctrl-C raises when all have ended.
local function sleep(state, deadline, for_messages, waiter)
  local left = deadline and math.max(deadline - core.now(), 0) or math.huge
  local due = enforce(state)
  if waiter ~= wait.blocking then
    return sleep_in_task(state, slice(left, due, for_messages), for_messages,
                         waiter)
  end
  local pressed = state.channel:wait(
    state.process, slice(left, due, for_messages), for_messages,
    interrupts.are_on())
  if pressed > 0 then interrupts.obey(pressed, poll, deadline) end
end

--- Wait for its end.
-- @treturn boolean false when the deadline came first
function owner.await(state, deadline, waiter)
  while not poll(state) do
    if deadline and core.now() >= deadline then return false end
    sleep(state, deadline, false, waiter)
  end
  return true
end

local function check_started(state, name)
  if state.phase == "new" then
    fail(state, "Error", name .. ": it has not been started")
  end
  if state.channel then check_own(state) end
end

owner.check_started = check_started
owner.poll = poll

--- Sleep once, at most until the deadline.
function owner.doze(state, deadline, for_messages, waiter)
  if not poll(state) then sleep(state, deadline, for_messages, waiter) end
end

function owner.wait(state, timeout, waiter)
  check_started(state, "wait")
  local is_over_now = owner.await(state, timeout and core.now() + timeout,
                                  waiter)
  if not is_over_now then owner.sync(state) end
  return is_over_now
end

function owner.result(state, timeout, waiter)
  check_started(state, "result")
  if not owner.await(state, timeout and core.now() + timeout, waiter) then
    owner.sync(state)
    errors.raise("ResultTimeoutError", {
      message = ("%s: no result within %g s"):format(state.name, timeout),
      timeout = timeout,
    }, "caller")
  end
  local outcome = state.outcome
  if outcome.error then errors.reraise(outcome.error) end
  return outcome.result
end

-- ---- talking ----

-- These points are under way to it, or will be when it is started.
local function promise(state, points)
  if state.process then
    return handing.promise(points, state.process:pid())
  end
  state.promised = state.promised or {}
  for _, point in ipairs(points) do
    state.promised[#state.promised + 1] = point
  end
end

function owner.tell(state, value)
  if state.phase == "ended" then return false end
  if not state.channel then prepare(state.object[1], state) end
  local channel = state.channel
  handing.begin()
  local ok, sent, waiting, bytes = pcall(channel.tell, channel, value,
                                         state.config.max_queued)
  local points = handing.noted()
  if not ok then reraise(state, sent) end
  if sent then
    if points then promise(state, points) end
    return true
  end
  errors.raise("QueueFullError", {
    message = failure.full(state, "it", waiting, bytes),
    queued_bytes = waiting,
  }, "caller")
end

-- The next message that is there: true and its value.
local function next_told(state)
  if state.first <= state.last then return take_kept(state) end
  local channel = state.channel
  if not channel then return nil end
  local called, kind, ok, value = pcall(channel.next, channel)
  while called and kind and kind ~= "tell" do
    note(state, kind, ok, value)
    kind, ok, value = channel:next()
  end
  if not called then reraise(state, kind) end
  if not kind then return nil end
  if not ok then errors.reraise(value) end
  return true, value
end

function owner.listen(state, timeout, waiter)
  check_started(state, "listen")
  local found, value = next_told(state)
  local deadline = timeout and core.now() + timeout
  while not found do
    if state.phase == "ended" then return nil, "closed" end
    sleep(state, deadline, true, waiter)
    found, value = next_told(state)
    if not found and not poll(state) and deadline
       and core.now() >= deadline then
      return nil, "timeout"
    end
    if not found then found, value = next_told(state) end
  end
  return value
end

-- ---- ending ----

function owner.stop(state)
  if state.phase ~= "running" then return end
  check_own(state)
  state.channel:stop()
end

function owner.kill(state)
  if poll(state) then return end
  check_own(state)
  state.is_killed = true
  kill_all(state)
  poll(state)
end

--- Stop it, and kill it when that takes too long.
function owner.close(state, waiter)
  if state.phase ~= "running" or not state.channel:is_own() then return end
  owner.stop(state)
  if not owner.await(state, core.now() + CLOSE_SECONDS, waiter) then
    owner.kill(state)
  end
end

-- ---- what is known of it ----

local PID_SECONDS = 2 -- that a monitor may take to fork its child

function owner.pid(state)
  if state.phase ~= "running" then return state.last_pid end
  local deadline = core.now() + PID_SECONDS
  local _, pid = state.channel:pid()
  while pid == 0 and not poll(state) and core.now() < deadline do
    core.wait({}, {}, "eager", 1e-4)
    if state.channel then _, pid = state.channel:pid() end
  end
  if state.phase ~= "running" then pid = state.last_pid end
  return pid ~= 0 and pid or nil
end

function owner.is_alive(state)
  return not poll(state)
end

function owner.error_of(state)
  poll(state)
  return state.error
end

function owner.current_run(state)
  if state.phase == "running" then return state.channel:run() end
  return state.run or 0
end

function owner.timers(state)
  if not poll(state) then drain(state) end
  return timers.of(state)
end

return owner
