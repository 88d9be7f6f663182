--- Pool: a function over many items, on all cores.
--
-- Workers are forked once and reused. Items and results travel by value, each
-- on its own; closures are carried with what they capture.
-- @classmod suitkaise.pool
-- @usage local pool = sk.Pool{ workers = 4 }
-- for v in pool:unordered_imap(parse, files) do print(v) end
-- pool:close()

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local Crew = require "suitkaise.pool.crew"
local worker_engine = require "suitkaise.pool.engine"
local Job = require "suitkaise.pool.job"
local on_collect = require "suitkaise.on_collect"
local many = require "suitkaise.many"
local options = require "suitkaise.options"
local registry = require "suitkaise.processing.registry"
local views = require "suitkaise.views"
local wait = require "suitkaise.async.wait"

local Pool = { __name = "Pool" }
Pool.__index = Pool

local CLOSE_SECONDS = 5
local MAX_WORKERS = 1024
-- How far an imap reads ahead of its loop, in items for each worker.
local WINDOW = 4
local MAX_IMAP_CHUNK = 256
-- Items that take longer are worth a look at the workers at each step of a
-- loop; with quicker ones that would cost more than it brings.
local TEND_SECONDS = 2e-5

local SPEC = {
  workers = { type = "integer", min = 1 },
  retries = { type = "integer", min = 0, default = 0 },
  chunk = { type = "integer", min = 1, values = { "auto" },
            default = "auto" },
  isolate = { type = "boolean", default = false },
  on_error = { values = { "raise", "collect" }, default = "raise" },
}

-- ---- life ----

--- Start a pool of worker processes.
-- @function Pool
-- @tparam[opt] table opts
-- @tparam[opt=number of cores] int opts.workers
-- @tparam[opt=0] int opts.retries how often an item is tried again after its
--   worker died
-- @tparam[opt="auto"] int|string opts.chunk items that travel together, in a
--   loop at most 256; "auto" finds out from how long they take
-- @tparam[opt=false] boolean opts.isolate each item is done in a process of
--   its own, forked for it
-- @tparam[opt="raise"] string opts.on_error "collect" puts errors in the
--   results instead of raising them
-- @treturn Pool
-- @raise ArgumentError; Error when the system has no more processes or memory
-- @usage local pool = sk.Pool{ workers = 4, retries = 1 }
local function new(_, opts)
  local checked = options.check("Pool", opts, SPEC, "caller")
  local workers = checked.workers or core.cpu_count()
  if workers > MAX_WORKERS then
    errors.argument("Pool", "workers", workers,
                    "a whole number of at most " .. MAX_WORKERS, "caller")
  end
  if checked.chunk ~= "auto" then
    checked.chunk = math.floor(checked.chunk) -- 2.0 is 2
  end
  local self = setmetatable({
    workers = workers, options = checked,
    engine = worker_engine, jobs = {}, by_id = {}, job_ids = 0,
    generation = core.generation(),
    is_unsettled = false, -- see engine
  }, Pool)
  self.crew = Crew.start(workers)
  registry.pools()[self] = true
  return self
end

--- A pool whose calls yield the task that makes them: `sk.async.Pool`.
-- @local
function Pool.new_async(opts)
  local waiter = wait.yielding()
  local self = new(Pool, opts)
  self.waiter = waiter
  return self
end

-- How a call waits. `is_loop`: in the iterator of a `for`.
local function waiter_of(self, said, is_loop)
  local is_async = self.waiter or said and said.asynced
  if not is_async or is_loop and not wait.can_yield_in_loops then
    return wait.blocking
  end
  return wait.yielding()
end

-- Is it ours to use, or to end?
local function check_owner(self, name)
  local engine = self.engine
  if self.generation ~= core.generation() then
    errors.raise("ClosedError", {
      message = name .. ": this pool belongs to another process, which made "
        .. "it before it forked this one; make a pool here",
    }, "caller")
  end
  if self.is_unsettled and engine.is_in_hooks(self) then
    errors.raise("Error", {
      message = name .. ": the pool is busy with the value whose "
        .. "serialization hook this is",
    }, "caller")
  end
end

local function check_usable(self, name)
  check_owner(self, name)
  if self.is_closed then
    errors.raise("ClosedError", { message = name .. ": the pool is closed" },
                 "caller")
  end
  if self.is_unsettled then self.engine.settle_anew(self) end
end

-- A class that shares the methods of Pool, with an engine of its own, has
-- itself as `pool_class`: see async/taskpool.lua.
local function is_pool(self)
  local meta = getmetatable(self)
  return meta == Pool
    or type(meta) == "table" and rawget(meta, "pool_class") == meta
end

local function check_pool(self, name)
  if not is_pool(self) then
    errors.argument(name, "self", self, "a Pool (call it with a colon)",
                    "caller")
  end
end

local function kind_of(pool)
  return getmetatable(pool).__name
end

local function name_of(pool, job)
  return kind_of(pool) .. ":" .. job.mode
end

-- -> false when it was closed before
local function begin_end(self, name, how)
  check_pool(self, "Pool:" .. name)
  if self.is_closed then return false end
  check_owner(self, kind_of(self) .. ":" .. name)
  for i = #self.jobs, 1, -1 do
    local job = self.jobs[i]
    job:break_off(errors.new("ClosedError", {
      message = "the pool was " .. how .. " before the loop had ended",
    }))
    if not self.is_unsettled then self.engine.remove(self, job) end
  end
  self.is_closed = true
  wait.share_news(self.crew)
  return true
end

--- Let the workers finish the items that they have begun, and end them.
-- Closing twice is fine.
-- @tparam[opt=5] number timeout seconds; workers that take longer are killed,
--   stopped ones at once
-- @usage pool:close()
function Pool:close(timeout)
  check_pool(self, "Pool:close")
  if timeout ~= nil and not views.is_seconds(timeout) then
    errors.argument(kind_of(self) .. ":close", "timeout", timeout,
                    "a number of seconds of at least 0", "caller")
  end
  if begin_end(self, "close", "closed") then
    self.crew:finish(timeout or CLOSE_SECONDS, waiter_of(self))
  end
end

--- Kill the workers at once.
-- @usage pool:terminate()
function Pool:terminate()
  if begin_end(self, "terminate", "terminated") then self.crew:kill() end
end

-- The end of a block that holds it: `local pool <close> = sk.Pool()`.
function Pool:__close()
  self:close()
end

function Pool:__tostring()
  return string.format("%s: %d workers%s", kind_of(self), self.workers,
                       self.is_closed and ", closed" or "")
end

-- A pool that is sent to another process is of no use there, and says so.
function Pool:__serialize()
  return { workers = self.workers }
end

function Pool.__deserialize(state)
  return setmetatable({ workers = state.workers, generation = "" }, Pool)
end

-- ---- views: a pool with modifiers ----

-- `how` holds what the modifiers said; every modifier makes a new view.
local View = { __name = "Pool view" }
Pool.View = View -- see async/taskpool.lua

local function pool_and_how(self, name)
  if getmetatable(self) == View then return self.pool, self.how end
  check_pool(self, "Pool:" .. name)
  return self, {}
end

local function view_of(self, name, value)
  local pool, how = pool_and_how(self, name)
  return setmetatable({ pool = pool, how = views.with(how, name, value) },
                      View)
end

local modifiers = {}

--- Unpack each item: `fn(item[1], item[2], ...)`.
-- @function Pool:star
-- @treturn Pool a view of the same pool
-- @usage pool:star():map(fn, { { 1, 2 }, { 3, 4 } })
function modifiers:star()
  return view_of(self, "star", true)
end

--- Show how far a call is.
-- @function Pool:progress
-- @tparam[opt=true] boolean|function show a bar on the terminal, or
--   `function(completed, total)` (total is nil for an iterator)
-- @treturn Pool a view of the same pool
-- @usage pool:progress(true):map(fn, items)
-- pool:progress(function(completed, total)
--   print(completed, total)
-- end):map(fn, items)
function modifiers:progress(show)
  local pool = pool_and_how(self, "progress")
  if show == nil then show = true end
  if type(show) ~= "boolean" and type(show) ~= "function" then
    errors.argument(kind_of(pool) .. ":progress", "show", show,
                    "true, false or a function", "caller")
  end
  return view_of(self, "progress", show)
end

--- Limit the time: of a whole map, or of each item of an imap. Workers that
-- are late are killed and replaced.
-- @function Pool:timeout
-- @tparam number seconds
-- @treturn Pool a view of the same pool
-- @raise by the verbs: ResultTimeoutError (`timeout`)
-- @usage local ok, err = pcall(function()
--   return pool:timeout(30):map(fn, items)
-- end)
function modifiers:timeout(seconds)
  local pool = pool_and_how(self, "timeout")
  if not views.is_seconds(seconds) or seconds == 0 then
    errors.argument(kind_of(pool) .. ":timeout", "seconds", seconds,
                    "a number of seconds above 0", "caller")
  end
  return view_of(self, "timeout", seconds)
end

--- Yield the task that makes the call instead of blocking; see
-- @{suitkaise.async}.
-- @function Pool:asynced
-- @treturn Pool a view of the same pool
-- @usage pool:asynced():map(fn, items)
function modifiers:asynced()
  return view_of(self, "asynced", true)
end

--- Have `map` or `unordered_map` return a Future at once. Its cancellation
-- replaces the workers that are busy with it.
-- @function Pool:background
-- @treturn Pool a view of the same pool
-- @raise by the loops: Error
-- @usage local future = pool:background():map(fn, items)
-- local results = future:result()
function modifiers:background()
  return view_of(self, "background", true)
end

-- ---- making a job ----

-- A class of processes is called for each item, and its object runs.
local function is_process_class(fn)
  local meta = type(fn) == "table" and getmetatable(fn)
  return type(meta) == "table" and rawget(fn, "__index") ~= nil
    and errors.is(setmetatable({}, fn), "Skprocess")
end

local function is_callable(fn)
  local meta = getmetatable(fn)
  return type(fn) == "function"
    or type(meta) == "table" and type(meta.__call) == "function"
end

local MAX_COUNT = "a whole number of items, at most 2147483647"

-- -> how many items an array has; nil for an iterator, which is anything that
-- can be called
local function check_items(name, items)
  if is_callable(items) then return nil end
  if type(items) ~= "table" then
    errors.argument(name, "items", items, "an array or an iterator",
                    "caller")
  end
  local total, found = Job.count(items)
  if not total then
    errors.argument(name, "the length of items", found, MAX_COUNT, "caller")
  end
  return total
end

local function new_job(self, mode, said, fn, items)
  local name = kind_of(self) .. ":" .. mode
  check_usable(self, name)
  if not is_callable(fn) then
    errors.argument(name, "fn", fn, "a function", "caller")
  end
  local total = check_items(name, items)
  local lazily = mode:find "imap" ~= nil
  if said.background and (lazily or self.engine ~= worker_engine) then
    errors.raise("Error", {
      message = name .. ": only the maps of a Pool can run in the background",
    }, "caller")
  end
  local how = {
    mode = mode, star = said.star, chunk = self.options.chunk,
    retries = self.options.retries, on_error = self.options.on_error,
    isolate = self.options.isolate, progress = said.progress,
    item_timeout = lazily and said.timeout or nil,
    max_chunk = lazily and MAX_IMAP_CHUNK or nil,
    pcall = waiter_of(self, said, lazily).pcall,
  }
  self.job_ids = self.job_ids + 1
  local job = Job.new(self.job_ids, items, total, how)
  how.is_class = is_process_class(fn)
  local ok, why = self.engine.equip(job, fn)
  if not ok then
    errors.raise("SerializationError", {
      message = name .. ": fn cannot be sent to a worker",
      original_error = why,
    }, "caller")
  end
  check_usable(self, name) -- still, after hooks and metamethods
  return job
end

local function raise_whole(job)
  local trouble = job.broken or job.source_error
  if trouble then errors.reraise(trouble[1]) end
end

-- ---- map ----

local function finish_map(self, job)
  self.engine.remove(self, job)
  raise_whole(job)
  local results = job.values
  results.n = job.total
  if job.first_failed and job.how.on_error == "raise" then
    local err = job.failed[job.first_failed]
    err.results = results
    errors.reraise(err)
  end
  return results
end

local function late_error(name, job, seconds)
  return errors.new("ResultTimeoutError", {
    message = string.format("%s: %s of %s items done within %g s", name,
                            job.done, job.total or "unknown", seconds),
    timeout = seconds,
  })
end

-- `background()`: see suitkaise.pool.background.
local function begin_background(pool, said, job)
  local future = require "suitkaise.pool.background".start{
    pool = pool, job = job, name = name_of(pool, job),
    timeout = said.timeout, finish = finish_map, late = late_error,
    check = check_usable,
  }
  return (pool.waiter or said.asynced) and future:asynced() or future
end

local function run_to_end(pool, job, waiter, deadline)
  pool.engine.add(pool, job)
  local in_time = pool.engine.run(pool, job, waiter, job.has_ended, deadline)
  job:show(true)
  return in_time
end

local function run_map(self, mode, fn, items)
  local pool, said = pool_and_how(self, mode)
  local job, engine = new_job(pool, mode, said, fn, items), pool.engine
  if said.background then return begin_background(pool, said, job) end
  local deadline = said.timeout and core.now() + said.timeout or math.huge
  local waiter = waiter_of(pool, said)
  local ok, done = waiter.pcall(run_to_end, pool, job, waiter, deadline)
  if ok and done then return finish_map(pool, job) end
  if not pool.is_unsettled then engine.remove(pool, job) end
  if not ok then error(done, 0) end -- of the progress function, or Ctrl-C
  local late = late_error(name_of(pool, job), job, said.timeout)
  engine.break_workers(pool, job, late, waiter)
  errors.reraise(late)
end

--- Results in the order of the items.
-- All items are done even when some fail; then the error of the first of them
-- is raised, with the other results in its field `results`.
-- @function Pool:map
-- @tparam function fn gets an item, its first result counts; closures and
--   Skfunctions too. Or a class below Skprocess: it is called with the item,
--   the object runs, its result is the item's
-- @tparam table|function items an array (`items.n` counts when it is there),
--   or anything that can be called: returns the next item, nil at the end
-- @treturn table array, `n` items; nil results leave holes
-- @raise TaskError (`index`, `item`, `original_error`, `traceback`, `pid`);
--   SerializationError when fn or an item cannot travel
-- @usage local squares = pool:map(function(x) return x * x end, { 1, 2, 3 })
function modifiers:map(fn, items)
  return run_map(self, "map", fn, items)
end

--- Results in the order in which they are done.
-- @function Pool:unordered_map
-- @tparam function fn see @{map}
-- @tparam table|function items see @{map}
-- @treturn table array, `n` items
-- @raise see @{map}
-- @usage local pages = pool:unordered_map(fetch, urls)
function modifiers:unordered_map(fn, items)
  return run_map(self, "unordered_map", fn, items)
end

-- ---- imap ----

-- The next outcome of each kind of loop: index, or nil when there is none yet.
local next_of = {}

function next_of.unordered_imap(job)
  if job.head >= job.tail then return nil end
  job.head = job.head + 1
  local h = job.head
  local index, value = job.keys[h], job.values[h]
  job.keys[h], job.values[h] = nil, nil
  if job.head == job.tail then job.head, job.tail = 0, 0 end
  return index, value
end

function next_of.imap(job)
  local index = job.head + 1
  local value = job.ready[index]
  if value == nil and not job.failed[index] then return nil end
  job.head = index
  job.ready[index] = nil
  return index, value
end

-- An outcome leaves the job: its value, or its error raised at the loop.
local function deliver(job, index, value)
  local err = job.failed[index]
  job.yielded = job.yielded + 1
  job.failed[index], job.deaths[index] = nil, nil
  if job.pull then job.items[index] = nil end
  if err and job.how.on_error == "raise" then errors.reraise(err) end
  if err then value = err end
  if value == nil then value = false end  -- nil would end the loop
  return value, index
end

-- The iterator of the items cannot wait for what becomes of them.
local function check_not_pulling(job, name)
  if job.pulling then
    errors.raise("Error", {
      message = name .. ": the loop's items are being read just now",
    }, "caller")
  end
end

local function open_window(pool, job)
  local chunk = job:chunk_size(pool.workers)
  job.limit = job.yielded + pool.workers * math.max(WINDOW, 4 * chunk)
end

-- The iterator of a loop. Nobody holds `sentinel` but this: see iterate.
local new_iterator = many(function(pool, job, waiter, take, sentinel)
  local index, value, over
  local engine, name = pool and pool.engine, pool and name_of(pool, job)
  local function ready()
    job:show()
    index, value = take(job)
    return index ~= nil or job:is_finished()
  end
  return function()
    if over then return nil end
    check_usable(pool, name)
    if not engine.pulls_aside then check_not_pulling(job, name) end
    open_window(pool, job)
    index, value = take(job)
    if index == nil then engine.run(pool, job, waiter, ready, math.huge)
    elseif (job.mean or 0) > TEND_SECONDS then engine.tend(pool) end
    if index ~= nil then return deliver(job, index, value) end
    over = sentinel ~= nil
    job:show(true)
    engine.remove(pool, job)
    raise_whole(job)
    return nil
  end
end)

local function iterate(self, mode, fn, items)
  local pool, said = pool_and_how(self, mode)
  local job, engine = new_job(pool, mode, said, fn, items), pool.engine
  job.yielded = 0
  local sentinel = on_collect(function() -- when the loop was broken off
    if not job.removed and pool.generation == core.generation() then
      job.cancelled = true
      if job.bar then job.bar:leave() end
    end
  end)
  local next_value = new_iterator(pool, job, waiter_of(pool, said, true),
                                  next_of[mode], sentinel)
  engine.add(pool, job)
  open_window(pool, job)
  engine.turn(pool)
  return next_value, nil, nil, not newproxy and sentinel or nil
end

--- Loop over the results in the order of the items, lazily: items are read
-- only a bounded distance ahead, so endless iterators work. A nil result
-- arrives as false, because nil would end the loop.
-- An item's error is raised in its place; calling the iterator again goes on
-- with the next item.
-- @function Pool:imap
-- @tparam function fn see @{map}
-- @tparam table|function items see @{map}
-- @treturn function iterator: result, number of the item
-- @raise see @{map}
-- @usage for line in pool:imap(parse, io.lines "log") do print(line) end
function modifiers:imap(fn, items)
  return iterate(self, "imap", fn, items)
end

--- Loop over the results as they are done; see @{imap}.
-- @function Pool:unordered_imap
-- @tparam function fn see @{map}
-- @tparam table|function items see @{map}
-- @treturn function iterator: result, number of the item
-- @raise see @{map}
-- @usage for page, i in pool:unordered_imap(fetch, urls) do print(i, page) end
function modifiers:unordered_imap(fn, items)
  return iterate(self, "unordered_imap", fn, items)
end

for name, method in each(modifiers) do Pool[name] = method end

-- A class with an engine of its own may have more verbs.
function View.__index(self, key)
  local method = modifiers[key]
  if method ~= nil then return method end
  local verbs = getmetatable(rawget(self, "pool")).verbs
  return verbs and verbs[key]
end

return setmetatable(Pool, { __call = new })
