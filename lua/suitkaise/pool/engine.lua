--- The owner's side of a pool: hands items out, takes results in, moves work
-- from the busy to the idle and makes up for workers that die.
--
-- A worker has two or more messages ("chunks") of items in its lane, so that
-- it never waits for the owner. It claims item by item; what it has not begun
-- the owner can take back (work stealing over index ranges, as in
-- Chase and Lev, "Dynamic Circular Work-Stealing Deque", 2005, with one
-- thief), and after a death the claim says which item it was doing.
--
-- While what the engine knows differs from what the links hold,
-- `pool.is_unsettled` is true. Who finds it true was called by a value's
-- serialization hook, or after an error that came in between, such as the
-- interpreter's own for Ctrl-C: see engine.settle_anew.
-- @module suitkaise.pool.engine

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local wait = require "suitkaise.async.wait"

local engine = {}

local AHEAD_SECONDS = 2e-3 -- work that a worker has before it
local AHEAD_CHUNKS = 2     -- at least so many messages
local MAX_CHUNKS = 2048    -- at most so many
local STEAL_SECONDS = 5e-5 -- less work than that is not worth moving
local LAZY_SECONDS = 1e-3  -- a wait that lets results gather first
local SLICE_SECONDS = 0.05 -- longest sleep: a lost wake-up costs no more
local DEATH_ROUNDS = 64    -- look for deaths that often when there is no rest

-- ---- a worker's chunks: a queue of { job, first, n, done, pos } ----

local function push_chunk(slot, chunk)
  slot.last = slot.last + 1
  slot.chunks[slot.last] = chunk
  slot.waiting = slot.waiting + chunk.n
end

local function drop_finished(slot)
  local chunk = slot.chunks[slot.first]
  while chunk and chunk.done >= chunk.n do
    slot.chunks[slot.first] = nil
    slot.first = slot.first + 1
    chunk = slot.chunks[slot.first]
  end
end

-- Results come in the order in which the items were claimed.
local function count_done(slot, n)
  slot.waiting = slot.waiting - n
  slot.deaths = 0
  while n > 0 do
    local chunk = slot.chunks[slot.first]
    local d = math.min(n, chunk.n - chunk.done)
    chunk.done = chunk.done + d
    n = n - d
    drop_finished(slot)
  end
end

-- Take back what the worker has not begun of a chunk, but for `keep` items.
local function revoke(pool, slot, chunk, keep)
  if not chunk.pos then return 0 end
  pool.is_unsettled = true
  local n, from = slot.link:revoke(chunk.pos, keep)
  if n == 0 then
    pool.is_unsettled = false
    return 0
  end
  chunk.n = chunk.n - n
  slot.waiting = slot.waiting - n
  chunk.job:give_back(chunk.first + from, chunk.first + from + n - 1)
  drop_finished(slot)
  local last = slot.chunks[slot.last]
  if last and last.done >= last.n then
    slot.chunks[slot.last] = nil
    slot.last = slot.last - 1
  end
  pool.is_unsettled = false
  return n
end

-- ---- giving out ----

-- Send a range; -> how many of it, and where. An item that cannot be
-- serialized ends its job; then nothing of the range was sent.
local function put(slot, job, i, j)
  local n, pos, index = slot.link:put_work(job.id, job.items, i, j)
  if n then return n, pos end
  job:break_off(errors.new("SerializationError", {
    message = "items[" .. index .. "] cannot be sent to a worker",
    index = index, original_error = pos,
  }))
  return 0
end

-- Finish a message that was longer than its lane had room for.
local function flush(pool, slot)
  if not slot.unplaced then return slot.link:flush() end
  pool.is_unsettled = true
  local done, pos = slot.link:flush()
  if pos then
    slot.unplaced.pos = pos
    slot.unplaced = nil
  end
  pool.is_unsettled = false
  return done
end

local function introduce(pool, slot, job)
  if not slot.known[job.id] then
    if not slot.link:put("job", job.id, job.bytes) then return false end
    slot.known[job.id] = true
  end
  return flush(pool, slot)
end

-- One chunk of a job for a worker; false when there is no work or no room.
local function give(pool, slot, job)
  local size = job:chunk_size(#pool.crew)
  if not job:prepare(size) or not slot.process then return false end
  if not introduce(pool, slot, job) then return false end
  pool.is_unsettled = true
  local i, j = job:take_range(size)
  local n, pos = 0, nil
  if i then
    n, pos = put(slot, job, i, j)
    job:give_back(i + n, j)
  end
  if n > 0 then
    local chunk = { job = job, first = i, n = n, done = 0, pos = pos }
    push_chunk(slot, chunk)
    if not pos then slot.unplaced = chunk end
  end
  pool.is_unsettled = false
  return pos ~= nil
end

local function wants_more(slot, job)
  local chunks = slot.last - slot.first + 1
  if chunks < AHEAD_CHUNKS then return true end
  if chunks >= MAX_CHUNKS then return false end
  if job.how.is_background then return true end
  return job.mean ~= nil and slot.waiting * job.mean < AHEAD_SECONDS
end

local function send_drops(slot)
  while slot.drops[1] and slot.link:put("drop", slot.drops[1]) do
    table.remove(slot.drops, 1)
  end
end

-- One chunk for a worker that wants one.
local function fill(pool, slot)
  if not flush(pool, slot) then return false end
  send_drops(slot)
  for _, job in ipairs(pool.jobs) do
    if job:has_more() and wants_more(slot, job) and give(pool, slot, job) then
      return true
    end
  end
  return false
end

-- A chunk for each worker in turn, until none can take another one. They are
-- woken at the end: a wake-up costs more than a small item.
local function fill_all(pool)
  local given
  repeat
    given = false
    for _, slot in ipairs(pool.crew) do
      if slot.process and fill(pool, slot) then
        given, slot.to_wake = true, true
      end
    end
  until not given
  for _, slot in ipairs(pool.crew) do
    if slot.to_wake then
      slot.link:ring()
      slot.to_wake = false
    end
  end
end

-- ---- taking in ----

local function learn(slot, job)
  local items, busy = slot.link:stats()
  job:learn(items - slot.items, busy - slot.busy)
  slot.items, slot.busy = items, busy
end

-- Results of a job; one that cannot be rebuilt here is an error of its item.
local function collect(slot, job)
  local n, why, index = job:collect(slot.link)
  if not index then return n end
  job:fail(index, job:task_error(index, { error = why, pid = slot.pid }))
  return n + 1
end

-- An item's error, likewise.
local function take_failure(slot, job, index)
  local ok, details = slot.link:take_value()
  if not ok then details = { error = details } end
  details.pid = details.pid or slot.pid
  job:fail(index, job:task_error(index, details))
end

-- A job that nobody wants any more stays known until its last item is back.
local function forget(pool, job)
  pool.by_id[job.id] = nil
  for _, slot in ipairs(pool.crew) do
    if slot.known and slot.known[job.id] then
      slot.known[job.id] = nil
      slot.drops[#slot.drops + 1] = job.id
    end
  end
end

-- Everything that the worker has sent; -> how many outcomes.
local function take_in(pool, slot)
  local link, total = slot.link, 0
  local kind, id, index = link:peek()
  while kind do
    local job, n = pool.by_id[id], 1
    pool.is_unsettled = true
    if kind == "done" then
      n = collect(slot, job)
      learn(slot, job)
    else
      take_failure(slot, job, index)
    end
    count_done(slot, n)
    if job.removed and job.sent == 0 then forget(pool, job) end
    pool.is_unsettled = false
    total = total + n
    kind, id, index = link:peek()
  end
  return total
end

-- ---- stealing ----

local function most_loaded(pool, idle)
  local best
  for _, slot in ipairs(pool.crew) do
    if slot ~= idle and slot.process
       and (not best or slot.waiting > best.waiting) then
      best = slot
    end
  end
  return best
end

-- Take work for an idle worker from the end of the longest queue: a whole
-- chunk when it is not the one that is being done, else half of its rest.
-- Little work stays where it is, unless nothing has moved for a while.
local function steal(pool, idle, is_stuck)
  local victim = most_loaded(pool, idle)
  local chunk = victim and victim.chunks[victim.last]
  if not chunk or chunk.n - chunk.done < 1 then return false end
  local left = chunk.n - chunk.done
  local seconds = left * (chunk.job.mean or 1)
  if seconds < STEAL_SECONDS and not is_stuck then return false end
  local keep = victim.last > victim.first and 0 or math.floor((left - 1) / 2)
  return revoke(pool, victim, chunk, keep) > 0
end

-- ---- deaths ----

local function died_error(slot, code, signal)
  local how = signal and "was killed by " .. core.signal_name(signal)
    or code and "ended with exit code " .. code
    or "ended; its exit status was taken by the program"
  local item_pid = slot.link:dead_item() -- of an isolated item
  local pid = item_pid or slot.pid
  return errors.new("WorkerDiedError", {
    message = (item_pid and "process " or "worker ") .. pid .. " " .. how,
    pid = pid, signal = signal, exit_code = code,
  })
end

-- The first item of a chunk that has no result, if the worker had begun it.
local function interrupted(slot, chunk)
  local taken = chunk.pos and slot.link:claimed(chunk.pos) or 0
  return taken > chunk.done
end

-- The item that a worker was doing when it died is tried again or fails;
-- everything else that it had goes back. A death in an item is the item's
-- fault and no sign that workers cannot live.
local function settle(pool, slot, why)
  for c = slot.first, slot.last do
    local chunk = slot.chunks[c]
    local job, first = chunk.job, chunk.first + chunk.done
    if interrupted(slot, chunk) then
      slot.deaths = 0
      local deaths = (job.deaths[first] or 0) + 1
      job.deaths[first] = deaths
      if deaths > job.how.retries or slot.late or job.cancelled then
        job:fail(first, job:task_error(first, { error = why, pid = slot.pid }))
      else
        job:give_back(first, first)
      end
      first = first + 1
    end
    job:give_back(first, chunk.first + chunk.n - 1)
    if job.removed and job.sent == 0 then forget(pool, job) end
  end
end

-- No worker can be kept alive: nothing that is left can be done.
local function give_up(pool, why)
  for _, job in ipairs(pool.jobs) do
    job:break_off(errors.new("WorkerDiedError", {
      message = "no worker can be kept alive: " .. tostring(why),
    }))
  end
end

local function bury(pool, slot, code, signal)
  take_in(pool, slot)
  pool.is_unsettled = true
  local why = slot.late or died_error(slot, code, signal)
  settle(pool, slot, why)
  local ok, trouble = pool.crew:replace(slot)
  if not ok and not pool.crew.processes[1] then give_up(pool, trouble) end
  pool.is_unsettled = false
end

local function look_for_deaths(pool)
  local found = false
  for _, slot in ipairs(pool.crew) do
    if slot.process then
      local code, signal, ended = slot.process:poll()
      if ended then
        bury(pool, slot, code, signal)
        found = true
      end
    end
  end
  return found
end

-- ---- time limits ----

local function timeout_error(limit)
  return errors.new("ResultTimeoutError", {
    message = "no result within " .. limit .. " s", timeout = limit,
  })
end

local function make_late(slot, why)
  slot.late = why
  slot.process:kill()
end

-- When the first item that this worker has will have had its time; nil when
-- there is no limit. One that was stopped before it began an item will never
-- begin it: it has as long from when that is seen first.
local function ends_at(slot, now)
  local chunk = slot.chunks[slot.first]
  local limit = chunk and chunk.job.how.item_timeout
  if not limit then return nil end
  local _, _, since = slot.link:stats()
  if since or not slot.process:stopped() then
    slot.stopped_since = nil
    return (since or now) + limit, limit
  end
  slot.stopped_since = slot.stopped_since or now
  return slot.stopped_since + limit, limit
end

-- Kill the workers whose item has had its time; -> when the next one's ends.
local function enforce_limits(pool)
  local soonest, now = math.huge, nil
  for _, slot in ipairs(pool.crew) do
    if slot.process and not slot.late then
      now = now or core.now()
      local ends, limit = ends_at(slot, now)
      if ends and now >= ends then make_late(slot, timeout_error(limit))
      elseif ends then soonest = math.min(soonest, ends) end
    end
  end
  return soonest
end

-- ---- the loop ----

--- One round: everything that can be done without waiting.
-- @tparam table pool
-- @tparam[opt] boolean is_stuck nothing came in for a while
-- @return true when something came in
function engine.turn(pool, is_stuck)
  local outcomes = 0
  for _, slot in ipairs(pool.crew) do
    if slot.process then outcomes = outcomes + take_in(pool, slot) end
  end
  fill_all(pool)
  for _, slot in ipairs(pool.crew) do
    if slot.process and slot.last < slot.first
       and steal(pool, slot, is_stuck) and fill(pool, slot) then
      slot.link:ring()
    end
  end
  return outcomes > 0
end

-- Sleep until something happens, the deadline at the latest; -> was it lazy
-- and in vain?
local function sleep(pool, job, waiter, lazy, now, deadline)
  local ends = math.min(deadline, enforce_limits(pool))
  local longest = lazy and LAZY_SECONDS or SLICE_SECONDS
  return waiter.events(pool.crew, lazy and "lazy" or "eager",
                       math.max(0, math.min(ends - now, longest)), job)
end

--- See to the workers while results wait already: give them more, end those
-- that are late, replace those that died.
function engine.tend(pool)
  engine.turn(pool)
  enforce_limits(pool)
  look_for_deaths(pool)
end

--- Work until `ready(job)` is true: true, or false when the time is up. Other
-- tasks may work on other jobs of the pool meanwhile.
-- Interpreted, so that the debug hook of a host's Ctrl-C gets through.
-- @tparam table pool
-- @tparam table job the caller's own
-- @tparam table waiter see suitkaise.async.wait
-- @tparam function ready
-- @tparam number deadline in seconds of core.now
function engine.run(pool, job, waiter, ready, deadline)
  local lazy, rounds = true, 0
  while not ready(job) do
    local came = engine.turn(pool, not lazy)
    local now = core.now()
    rounds = rounds + 1
    if not came or rounds % DEATH_ROUNDS == 0 then
      came = look_for_deaths(pool) or came
    end
    if now >= deadline then return ready(job) end
    if came then
      lazy = true
      wait.share_news(pool.crew)
      waiter.pass()
    elseif not ready(job) then
      lazy = sleep(pool, job, waiter, lazy, now, deadline)
    end
  end
  return true
end

if jit then jit.off(engine.run) end

-- ---- jobs ----

-- Loops that were left early, and nobody holds any more.
local function sweep(pool)
  for i = #pool.jobs, 1, -1 do
    local job = pool.jobs[i]
    if job.cancelled then engine.remove(pool, job) end
  end
end

--- Give a job what its workers need: -> true, or false and why not.
function engine.equip(job, fn)
  local how = job.how
  local ok, bytes = pcall(core.cerial_encode, {
    fn = fn, star = how.star, timed = how.item_timeout ~= nil,
    isolate = how.isolate, is_class = how.is_class,
  }, nil, nil, nil, true)
  job.bytes = bytes
  return ok, bytes
end

--- Let a job begin.
function engine.add(pool, job)
  sweep(pool)
  pool.by_id[job.id] = job
  pool.jobs[#pool.jobs + 1] = job
  local ok, why = pool.crew:revive()
  if not ok then give_up(pool, why) end
end

--- End a job, finished or not: what was not begun is taken back.
function engine.remove(pool, job)
  if job.removed then return end
  job.cancelled, job.removed = true, true
  for i, other in ipairs(pool.jobs) do
    if other == job then table.remove(pool.jobs, i) break end
  end
  for _, slot in ipairs(pool.crew) do
    for c = slot.process and slot.last or 0, slot.first or 1, -1 do
      local chunk = slot.chunks[c]
      if chunk and chunk.job == job then revoke(pool, slot, chunk, 0) end
    end
  end
  if job.sent == 0 then forget(pool, job) end
end

local function is_in_the_way(slot, job)
  if not slot.process then return false end
  local chunk = slot.chunks[slot.first]
  return chunk and chunk.job == job or slot.process:stopped()
end

--- Kill and replace the workers that are busy with a job, or stopped.
function engine.break_workers(pool, job, why, waiter)
  local late = {}
  for _, slot in ipairs(pool.crew) do
    if is_in_the_way(slot, job) then
      late[slot] = slot.process
      make_late(slot, why)
    end
  end
  for slot, process in each(late) do
    local source = { links = {}, processes = { process } }
    while slot.process == process and not look_for_deaths(pool) do
      waiter.events(source, "eager", SLICE_SECONDS)
    end
    wait.close(source)
  end
end

--- Is a value of this pool being sent or taken in? Then this is one of its
-- serialization hooks.
function engine.is_in_hooks(pool)
  for _, slot in ipairs(pool.crew) do
    if slot.link:in_hooks() then return true end
  end
  return false
end

--- After an error in the midst of things: end every job, start over.
function engine.settle_anew(pool)
  for i = #pool.jobs, 1, -1 do
    pool.jobs[i]:break_off(errors.new("Error", {
      message = "the pool was interrupted and has begun anew",
    }))
    pool.jobs[i] = nil
  end
  pool.by_id = {}
  pool.crew:restart()
  pool.is_unsettled = false
end

return engine
