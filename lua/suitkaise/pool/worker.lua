--- A worker process: takes items from its link, calls the function, answers.
-- Runs in the child from the fork to its end; nothing returns from here into
-- the program that was forked.
-- @module suitkaise.pool.worker

local cerial = require "suitkaise.cerial"
local core = require "suitkaise.core"

local worker = {}

local SLICE_SECONDS = 0.5 -- how often one that waits looks for its parent

-- Kept from what a function does to the globals, which it shares with us.
local error, pcall, tostring, type = error, pcall, tostring, type
local traceback = debug.traceback

-- The message handler of every item: what the owner makes a TaskError of.
function worker.describe(err)
  return {
    error = err,
    traceback = traceback("", 2),
    pid = core.getpid(),
  }
end

-- The same with the error's text in place of a value that cannot travel.
-- An error that came when there was no memory or stack for a handler has not
-- been described.
function worker.reduce(description)
  if type(description) ~= "table" then
    description = { error = description }
  end
  local ok, text = pcall(tostring, description.error)
  description.error = ok and text or type(description.error)
  return description
end

-- A function that cannot be built here fails with each of its items, so that
-- the owner hears of it in the ordinary way.
local function load_job(bytes)
  local ok, job = pcall(cerial.deserialize, bytes, { trusted = true })
  if ok then
    local class = job.is_class and job.fn
    if class then job.fn = function(...) return (class(...):run()) end end
    return job
  end
  return { fn = function() error(job, 0) end }
end

local function do_one(link, job)
  link:each_is(true)
  link:run(job.fn, job.star, job.timed, worker.describe, worker.reduce)
end

-- Wait for the process that does an item. One that ends without an answer takes
-- this one along, in the same way: so the owner hears what became of the item
-- as it hears of any worker.
local function wait_for_one(link, process, answered)
  local code, signal, has_ended = process:poll()
  while not has_ended do
    core.wait({}, { process }, "eager", SLICE_SECONDS)
    if core.orphaned() then core.exit(0) end
    code, signal, has_ended = process:poll()
  end
  local pid = process:pid()
  process:close()
  if link:stats() == answered then
    link:each_died(pid)
    core.follow(code, signal)
  end
end

-- Each item of a message in a process of its own.
local function run_each(link, job)
  link:each_begin()
  while link:each_claim() do
    local answered = link:stats()
    local process, why = core.fork(do_one, link, job)
    if process then
      wait_for_one(link, process, answered)
      link:each_next()
    else
      do_one(link, { fn = function() error("isolate: " .. why, 0) end })
      link:each_is(false)
    end
  end
  link:each_end()
end

--- Serve one link until its owner says quit or is gone.
-- @param link of suitkaise.core, made by the owner
function worker.serve(link)
  local jobs = {}
  while true do
    link:await()
    local kind, id = link:peek()
    if kind == "work" then
      local job = jobs[id]
      if job.isolate then run_each(link, job)
      else link:run(job.fn, job.star, job.timed, worker.describe, worker.reduce)
      end
    elseif kind == "job" then
      jobs[id] = load_job(link:take())
    elseif kind == "drop" then
      link:take()
      jobs[id] = nil
    elseif kind == "quit" then
      return
    end -- nothing: a long message has not arrived whole
  end
end

return worker
