-- Waiting for other processes without blocking: messages in links, the ends
-- of children, changes of cells. A task that waits yields; before libuv
-- sleeps, `settle` arms what the waiting tasks need and nothing else.
--
-- A source is what a waiter waits for: { links = {...}, processes = {...} }.
-- While tasks wait for it, `source.sleepers` lists them. The first of them is
-- woken for news; what it takes in may be another's, which is then woken by
-- `hub.share_news`.

local core = require "suitkaise.core"
local loop = require "suitkaise.async.loop"
local spin = require "suitkaise.async.spin"
local Waiters = require "suitkaise.async.waiters"
local each = require "suitkaise.each"
local on_collect = require "suitkaise.on_collect"

local hub = {}

local WEAK_KEYS, WEAK_VALUES = { __mode = "k" }, { __mode = "v" }

-- source -> true: those with sleepers, which hold them
local sources = setmetatable({}, WEAK_KEYS)
local bell           -- uv_poll on the state's bell
local is_listening = false

-- ---- the bell ----

-- Something came: the first sleeper of each source looks.
local function wake_first(source)
  local list = source.sleepers
  local task = list[list.first]
  if task then loop.wake(task, true) end
end

local function on_bell()
  core.hush()
  spin.heard()
  for source in each(sources) do
    if source.sleepers.n > 0 then wake_first(source) end
  end
end

local function start_bell()
  if is_listening and not bell:is_closing() then return end
  if not bell or bell:is_closing() then
    bell = loop.uv().new_poll(core.bell_fd())
  end
  bell:start("r", on_bell)
  is_listening = true
end

local function stop_bell()
  if not is_listening then return end
  is_listening = false
  core.hush()
  if not bell:is_closing() then bell:stop() end
end

-- ---- the ends of processes ----

local function stop_watch(source)
  local watch = source.watch
  if watch and watch.is_on then
    watch.is_on = false
    if not watch.poll:is_closing() then watch.poll:stop() end
  end
end

-- poll -> its descriptor, which may be closed only after the poll is stopped;
-- so neither is collected before that.
local polls = {}
-- Stopped, to be closed by a running loop: what is closing when the state ends
-- crashes luv 1.44.
local retired = {}

local function retire(poll, fd, generation)
  if generation ~= core.generation() or not polls[poll] then return end
  polls[poll] = nil
  if not poll:is_closing() then
    poll:stop()
    retired[#retired + 1] = poll
  end
  fd:close()
end

local function close_retired()
  for i = #retired, 1, -1 do
    local poll = retired[i]
    retired[i] = nil
    if not poll:is_closing() then poll:close() end
  end
end

local function new_watch(source)
  local fd = core.watch(source.processes)
  if not fd then return nil end
  local poll, generation = loop.uv().new_poll(fd:fd()), core.generation()
  polls[poll] = fd
  return {
    of = source.processes, fd = fd, poll = poll, generation = generation,
    sentinel = on_collect(function() retire(poll, fd, generation) end),
  }
end

-- What libuv calls does not keep the source: a pool that nobody closed would
-- never be collected.
local function new_waker(source)
  local held = setmetatable({ source }, WEAK_VALUES)
  return function()
    local it = held[1]
    if not it then return end
    stop_watch(it) -- readable until somebody has reaped it
    if it.sleepers and it.sleepers.n > 0 then wake_first(it) end
  end
end

-- One descriptor for all of them, made anew when they are others. -> false
-- when one has ended already
local function start_watch(source)
  local watch = source.watch
  if watch and watch.of ~= source.processes then
    hub.close(source)
    watch = nil
  end
  if watch and watch.is_on or not source.processes[1] then return true end
  if not watch then
    watch = new_watch(source)
    if not watch then return false end
    source.watch = watch
  end
  watch.poll:start("r", new_waker(source))
  watch.is_on = true
  return true
end

--- Give back what a source holds: when its processes change, or at its end.
function hub.close(source)
  local watch = source.watch
  if not watch then return end
  source.watch = nil
  retire(watch.poll, watch.fd, watch.generation)
end

-- ---- before libuv sleeps ----

local settler = {}

function settler.settle()
  local is_any = false
  for source in each(sources) do
    if source.sleepers.n == 0 then
      sources[source] = nil
      stop_watch(source)
    else
      is_any = true
      if not start_watch(source)
         or core.listen(source.links, source.how) then
        wake_first(source)
      end
    end
  end
  if is_any then start_bell() else stop_bell() end
  if retired[1] then close_retired() end
end

function settler.renew()
  sources = setmetatable({}, WEAK_KEYS)
  polls, retired = {}, {}
  bell, is_listening = nil, false
end

loop.settlers[#loop.settlers + 1] = settler

-- See suitkaise.async.spin: at the links of sources that want that.
spin.lookers[#spin.lookers + 1] = function()
  local is_awaited = nil
  for source in each(sources) do
    if source.is_looked_at and source.sleepers.n > 0 then
      if core.has_message(source.links) then
        wake_first(source)
        return true
      end
      is_awaited = false
    end
  end
  return is_awaited
end

-- ---- what waiters call ----

--- Wait until something happens in a source: -> false when it did not within
-- so many seconds.
-- @tparam table source
-- @tparam string how "lazy" or "eager", see core.wait
-- @tparam number seconds
-- @tparam[opt] table goal goal:has_news(): has this task what it wants?
function hub.wait(source, how, seconds, goal)
  local task = loop.enter()
  if seconds <= 0 then
    loop.pass()
    return false
  end
  local list = source.sleepers or Waiters.new()
  source.sleepers, source.how = list, how
  sources[source] = true
  task.goal = goal
  local value = loop.park_raw_in(task, list, core.now() + seconds)
  task.goal = nil
  if value == loop.CANCEL then loop.deliver(task) end
  return value ~= loop.TIMEOUT
end

local function has_news(task)
  local goal = task.goal
  return goal and goal:has_news()
end

--- Something was taken in: wake those who now have what they want.
function hub.share_news(source)
  source.sleepers:each(has_news, loop.wake, true)
end

return hub
