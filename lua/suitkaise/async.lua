--- async: tasks, and the twin of everything that can wait.
-- A task is a coroutine in libuv's loop (through luv): while it waits, others
-- run, and so does all other luv code of the program.
-- @module suitkaise.async
-- @usage sk.async.run(function()
--   local t = sk.async.spawn(fetch, url)
--   sk.async.sleep(0.1)
--   print(t:await())
-- end)

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local combine = require "suitkaise.async.combine"
local event = require "suitkaise.async.event"
local loop = require "suitkaise.async.loop"
local runs = require "suitkaise.async.run"
local semaphore = require "suitkaise.async.semaphore"
local Task = require "suitkaise.async.task"
local Waiters = require "suitkaise.async.waiters"

local async = {}

local unpack = table.unpack or rawget(_G, "unpack")
local HUGE, now = math.huge, core.now
local time = require "suitkaise.sktime.clock".time

loop.renew()
core.child_hook(loop.renew)
require "suitkaise.sktime.open".follow(loop.current)

-- ---- tasks ----

--- Start a task: fn(...) runs when this one waits, or when the loop turns.
-- @tparam function fn
-- @param ... arguments
-- @treturn Task `await(timeout)`, `result(timeout)`, `cancel()`, `done()`,
--   `on_done(fn)`
-- @raise ArgumentError
-- @usage local task = async.spawn(fetch, "http://localhost/")
-- local page = task:await(5)
function async.spawn(fn, ...)
  return Task.spawn("async.spawn", fn, ...)
end

--- The task that runs; nil outside of tasks.
-- @treturn ?Task
-- @usage print(async.current()) --> nil outside of tasks
function async.current()
  return loop.current()
end

local function check_free(name)
  if loop.is_turning() then
    errors.raise("Error", name .. ": the loop turns already; tasks run in "
      .. "it: use async.spawn", "caller")
  end
end

--- Run a function as a task, and the loop until it has ended. Tasks that it
-- has left are cancelled then.
-- @tparam function main
-- @param ... arguments
-- @return what main returns
-- @raise what main raises; Error when the loop turns already, and when main
--   waits for something that nobody will do
-- @usage local page = async.run(fetch, "http://localhost/")
function async.run(main, ...)
  check_free "async.run"
  loop.uv()
  local before = {}
  for _, task in ipairs(loop.live()) do before[task] = true end
  local task = Task.spawn("async.run", main, ...)
  task.is_watched = true
  local ok, err, is_done = runs.to_the_end(task, before)
  Task.report_failures()
  if not ok then error(err, 0) end
  if is_done then return Task.outcome(task) end
  errors.raise("Error", "async.run: all tasks wait for something that "
    .. "nobody will do", "caller")
end

--- Wait, and let other tasks run meanwhile. Not shorter than asked; in
-- libuv's loop up to a millisecond longer.
-- @tparam number seconds 0 lets the tasks run that are ready
-- @treturn ?number the time afterwards, as of sktime.time; nothing for 0,
--   which is to take as little time as it can
-- @raise ArgumentError, CancelledError
-- @usage async.sleep(0.1)
function async.sleep(seconds)
  if seconds == 0 then return loop.pass "async.sleep" end
  local task = loop.enter "async.sleep"
  -- Calls lie no deeper than here: see body in suitkaise.async.loop.
  local deadline
  if type(seconds) == "number" and seconds > 0 and seconds < HUGE then
    deadline = now() + seconds
  elseif seconds ~= HUGE then
    errors.argument("async.sleep", "seconds", seconds,
                    "a number of seconds of at least 0", "caller")
  end
  loop.park(task, deadline)
  return time()
end

--- Call a function of luv that takes a callback last, and wait for that.
-- @tparam function fn
-- @param ... its arguments, without the callback
-- @return what the callback was called with; when fn itself returned nil and
--   an error, those
-- @usage local err, stat = async.call(uv.fs_stat, "/etc/passwd")
function async.call(fn, ...)
  local task, list = loop.enter "async.call", Waiters.new()
  if not Task.is_callable(fn) then
    errors.argument("async.call", "fn", fn, "a function", "caller")
  end
  local results
  local args = { n = select("#", ...) + 1, ... }
  args[args.n] = function(...)
    if results then return end
    results = { n = select("#", ...), ... }
    if task.list == list then loop.wake(task, true) end
  end
  local started, message, code = fn(unpack(args, 1, args.n))
  if started == nil and message ~= nil then return nil, message, code end
  if not results and loop.park_raw_in(task, list) == loop.CANCEL then
    results = {}
    loop.deliver(task)
  end
  return unpack(results, 1, results.n)
end

--- pcall for tasks: fn may wait in it, in Lua 5.1 too.
-- @tparam function fn
-- @param ... arguments
-- @treturn boolean
-- @return as pcall
-- @usage local ok, err = async.pcall(fetch, url)
function async.pcall(fn, ...)
  return pcall(fn, ...)
end

-- PUC 5.1 is the only one that cannot yield through its own.
if _VERSION == "Lua 5.1" and not rawget(_G, "jit") then
  async.pcall = loop.call
end

--- Call this with errors that nobody waits for, instead of writing them to
-- stderr.
-- @tparam ?function handler gets the error and the task's traceback
-- @usage async.on_unhandled(function(err, traceback)
--   log:write(tostring(err), "\n", traceback, "\n")
-- end)
function async.on_unhandled(handler)
  if handler ~= nil and type(handler) ~= "function" then
    errors.argument("async.on_unhandled", "handler", handler,
                    "a function or nil", "caller")
  end
  Task.on_unhandled = handler
end

-- ---- several tasks ----

--- Wait for all: the first result of each. The first error cancels the rest.
-- @function gather
-- @param ... tasks, or functions to spawn; or one array of them
-- @return their results; an array of them, with `n`, for an array
-- @raise the first error
-- @usage local a, b = async.gather(t1, function() return fetch(url) end)
async.gather = combine.gather

--- Wait for the first that ends, and cancel the others.
-- @function race
-- @param ... tasks, or functions to spawn; or one array of them
-- @return what the winner returns
-- @raise what the winner raises
-- @usage local page = async.race(function() return fetch(here) end,
--                         function() return fetch(there) end)
async.race = combine.race

--- fn(...), for a limited time: then a CancelledError is raised in it.
-- @function with_timeout
-- @tparam number seconds
-- @tparam function fn
-- @param ... arguments
-- @return what fn returns
-- @raise what fn raises; ResultTimeoutError
-- @usage local page = async.with_timeout(5, fetch, url)
async.with_timeout = combine.with_timeout

--- Loop over tasks as they end.
-- @function as_completed
-- @param ... tasks, or functions to spawn; or one array of them
-- @treturn function iterator: a task that has ended
-- @usage for t in async.as_completed(a, b) do print(t:result()) end
async.as_completed = combine.as_completed

-- ---- primitives ----

-- Their methods have pages of their own: see the files.
async.Semaphore = semaphore.Semaphore
async.Lock = semaphore.Lock
async.Event = event.Event
async.Condition = event.Condition
async.Queue = require "suitkaise.async.queue"

-- ---- twins ----

--- A Pool whose calls yield the task that makes them: the methods, options
-- and errors of @{suitkaise.pool}. On Lua 5.1 the loops (imap) block.
-- @function Pool
-- @tparam[opt] table opts
-- @treturn Pool
-- @usage local pool = async.Pool{ workers = 4 }
-- local squares = pool:map(function(x) return x * x end, { 1, 2, 3 })
function async.Pool(opts)
  return require "suitkaise.pool".new_async(opts)
end

--- A function over many items, each a task in this loop: `map`,
-- `unordered_map`, `imap`, `unordered_imap`, `starmap`, `star`, `progress`,
-- `timeout`, `close`, as those of @{suitkaise.pool}. On Lua 5.1 call the
-- iterators of the imaps yourself: a `for` cannot wait there.
-- @function TaskPool
-- @tparam[opt] table opts
-- @tparam[opt=100] int opts.max_concurrent tasks at a time, over all calls
-- @tparam[opt="raise"] string opts.on_error "collect" puts errors in the
--   results instead of raising them
-- @treturn TaskPool
-- @raise ArgumentError
-- @usage local pages = async.TaskPool{ max_concurrent = 50 }:map(fetch, urls)
function async.TaskPool(opts)
  return require "suitkaise.async.taskpool"(opts)
end

--- Pipes whose waits yield the task.
-- @table Pipe
-- @field pair as that of @{suitkaise.pipe}
async.Pipe = {
  pair = function(opts)
    return require "suitkaise.pipe".async_pair(opts)
  end,
}

--- A @{suitkaise.sktime.Yawn} that yields.
-- @tparam number seconds
-- @tparam int yawns
-- @treturn Yawn
-- @usage local yawn = async.Yawn(0.01, 100)
-- for _, row in ipairs(rows) do check(row); yawn() end
function async.Yawn(seconds, yawns)
  return require "suitkaise.sktime".Yawn(seconds, yawns, async.sleep)
end

-- Field -> module, and field of it.
local TWINS = {
  -- Measurements belong to the task: these are the same.
  Timer = { "suitkaise.sktime", "Timer" },
  TimeThis = { "suitkaise.sktime", "TimeThis" },
  timethis = { "suitkaise.sktime", "timethis" },
  Circuit = { "suitkaise.async.circuit" },
  Share = { "suitkaise.async.share" },
  Skprocess = { "suitkaise.async.skprocess" },
  cerial = { "suitkaise.async.cerial" },
}

setmetatable(async, {
  __index = function(self, name)
    local place = TWINS[name]
    if not place then return nil end
    local value = require(place[1])
    if place[2] then value = value[place[2]] end
    self[name] = value
    return value
  end,
})

-- ---- loops that are not libuv's ----

--- Run what is ready and return: for a host whose loop is not libuv's.
-- @tparam[opt=0] number budget seconds; what is then still ready waits for
--   the next step
-- @treturn boolean is something ready still?
-- @usage while true do async.step(0.002); draw() end
function async.step(budget)
  if budget ~= nil and (type(budget) ~= "number" or not (budget >= 0)) then
    errors.argument("async.step", "budget", budget,
                    "a number of seconds of at least 0 or nil", "caller")
  end
  check_free "async.step"
  local poll = loop.uv().backend_fd()
  local limit = core.now() + (budget or 0)
  repeat
    loop.turn(limit)
    local more = loop.has_ready() or core.readable(poll)
  until not more or core.now() >= limit
  return loop.has_ready()
end

--- A descriptor that is readable when something waits for a step: for epoll,
-- poll and their like. What is started outside of tasks needs a step before
-- it counts.
-- @treturn int
-- @usage poll_set:add(async.fd(), function() async.step(0.002) end)
function async.fd()
  return loop.uv().backend_fd()
end

--- When the next step is due.
-- @treturn ?number in seconds of the monotonic clock, which `async.now` reads;
--   nil when only the descriptor can tell
-- @usage local due = async.next_deadline()
-- local seconds = due and math.max(due - async.now(), 0)
function async.next_deadline()
  return loop.next_deadline()
end

--- The clock of next_deadline.
-- @function now
-- @treturn number seconds
-- @usage local began = async.now()
async.now = core.now

return async
