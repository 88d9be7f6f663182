-- TaskPool: a function over many items, each a task in this loop, so many at a
-- time. Everything but the engine is Pool's.

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local combine = require "suitkaise.async.combine"
local loop = require "suitkaise.async.loop"
local options = require "suitkaise.options"
local Pool = require "suitkaise.pool"
local Task = require "suitkaise.async.task"
local wait = require "suitkaise.async.wait"
local Waiters = require "suitkaise.async.waiters"

local unpack = table.unpack or rawget(_G, "unpack")

local TaskPool = { __name = "TaskPool" }
TaskPool.__index = TaskPool
TaskPool.pool_class = TaskPool
TaskPool.__close, TaskPool.__tostring = Pool.__close, Pool.__tostring

local MAX_CONCURRENT = 100

local SPEC = {
  max_concurrent = { type = "integer", min = 1, default = MAX_CONCURRENT },
  on_error = { values = { "raise", "collect" }, default = "raise" },
}

-- ---- the engine ----

-- Messages about items are those of a Pool's workers.

-- Iterators are called in tasks of their own, not by the consumer.
local engine = { pulls_aside = true }
local pump

local function item_is_late(seconds, err)
  errors.raise("ResultTimeoutError", {
    message = ("no result within %g s"):format(seconds),
    timeout = seconds, original_error = err,
  }, 0)
end

function engine.equip(job, fn)
  local how = job.how
  local limit = how.item_timeout
  local call = fn
  if how.star then
    call = function(item)
      if type(item) ~= "table" then
        error("star: item must be a table, got " .. errors.show(item), 0)
      end
      return fn(unpack(item, 1, item.n or #item))
    end
  end
  job.fn = not limit and call or function(item)
    return combine.limited(TaskPool.__name, limit, item_is_late, call, item)
  end
  job.tasks, job.sleeper = {}, Waiters.new()
  how.pcall = wait.yielding().pcall
  job.mean = 1 -- items take long: see to them at every step of a loop
  return true
end

local function wake_consumer(job)
  local task = job:has_news() and job.sleeper:pop()
  if task then loop.wake(task, true) end
end

local function finish_item(pool, job, index, task)
  pool.running = pool.running - 1
  job.tasks[task] = nil
  if job.cancelled then
    job.sent = job.sent - 1
  elseif task.failed then
    job:fail(index, job:task_error(index, {
      error = task.err, traceback = task.traceback, pid = core.getpid(),
    }))
  else
    job:succeed(index, (Task.outcome(task)))
  end
  pump(pool)
  wake_consumer(job)
end

local function start_item(pool, job, index)
  local task = Task.spawn("TaskPool", job.fn, job.items[index])
  task.is_watched = true
  pool.running = pool.running + 1
  job.tasks[task] = index
  loop.watch(task, function() finish_item(pool, job, index, task) end)
end

-- Start the next item of a job: -> did it? May wait in the iterator.
local function start_one(pool, job)
  if pool.running >= pool.workers or job.cancelled then return false end
  if not job:prepare(1) then return false end
  if pool.running >= pool.workers or job.cancelled then return false end
  local index = job:take_range(1)
  if index then start_item(pool, job, index) end
  return index ~= nil
end

-- An iterator is called in a task of its own: it may wait, for what the
-- consumer does with the results so far, too.
local function pull_in_task(pool, job)
  if job.puller then return end
  job.puller = Task.spawn("TaskPool", function()
    while start_one(pool, job) do end
  end)
  job.puller.is_watched = true
  loop.watch(job.puller, function()
    job.puller = nil
    wake_consumer(job)
  end)
end

local function has_room(pool, job)
  return pool.running < pool.workers and not job.cancelled
    and (not job.limit or job.next <= job.limit)
end

-- Start as many items as may run, of each job in turn.
function pump(pool)
  local has_started
  repeat
    has_started = false
    for i = #pool.jobs, 1, -1 do
      local job = pool.jobs[i]
      if job.cancelled then table.remove(pool.jobs, i)
      elseif job.pull and not job.total then
        if has_room(pool, job) then pull_in_task(pool, job) end
      elseif start_one(pool, job) then
        has_started = true
      end
    end
  until not has_started
end

function engine.add(pool, job)
  loop.enter(TaskPool.__name .. ":" .. job.mode)
  pool.jobs[#pool.jobs + 1] = job
end

function engine.turn(pool)
  pump(pool)
end
engine.tend = engine.turn

function engine.run(pool, job, _, ready, deadline)
  while not ready(job) do
    engine.turn(pool)
    if ready(job) then return true end
    if core.now() >= deadline then return false end
    local task = loop.enter(TaskPool.__name)
    loop.park_in(task, job.sleeper, deadline < math.huge and deadline or nil)
  end
  return true
end

--- End a job; its tasks have ended when this returns.
function engine.remove(pool, job)
  if job.removed then return end
  job.cancelled, job.removed = true, true
  for i, other in ipairs(pool.jobs) do
    if other == job then table.remove(pool.jobs, i) break end
  end
  local tasks = {}
  for task in each(job.tasks) do tasks[#tasks + 1] = task end
  tasks[#tasks + 1] = job.puller
  combine.end_tasks(tasks)
  wake_consumer(job)
end

function engine.break_workers() end

function engine.is_in_hooks() return false end

-- ---- the class ----

-- Stands where a Pool has its workers.
local Crew = {}
Crew.__index = Crew
function Crew.finish() end
function Crew.kill() end

local methods = {
  "map", "unordered_map", "imap", "unordered_imap", "star", "progress",
  "timeout", "close", "terminate",
}

local function check_self(self, name)
  local class = getmetatable(self)
  if class ~= TaskPool and class ~= Pool.View then
    errors.argument("TaskPool:" .. name, "self", self,
                    "a TaskPool (call it with a colon)", "caller")
  end
end

for _, name in ipairs(methods) do
  local method = Pool[name]
  TaskPool[name] = function(self, ...)
    check_self(self, name)
    return method(self, ...)
  end
end

--- The same as `pool:star():map(fn, items)`.
function TaskPool:starmap(fn, items)
  check_self(self, "starmap")
  return self:star():map(fn, items)
end
TaskPool.verbs = { starmap = TaskPool.starmap }

local function new(_, opts)
  local checked = options.check("TaskPool", opts, SPEC, "caller")
  checked.chunk, checked.retries = 1, 0
  return setmetatable({
    workers = checked.max_concurrent, options = checked, running = 0,
    engine = engine, waiter = wait.yielding(),
    jobs = {}, job_ids = 0, generation = core.generation(),
    crew = setmetatable({}, Crew), is_unsettled = false,
  }, TaskPool)
end

--- Tasks cannot leave their process.
function TaskPool.__serialize()
  errors.raise("SerializationError", "a TaskPool cannot leave its process", 0)
end

return setmetatable(TaskPool, { __call = new })
