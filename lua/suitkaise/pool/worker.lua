--- A worker process: takes items from its link, calls the function, answers.
-- Runs in the child from the fork to its end; nothing returns from here into
-- the program that was forked.
-- @module suitkaise.pool.worker

local cerial = require "suitkaise.cerial"
local core = require "suitkaise.core"

local worker = {}

-- Kept from what a function does to the globals, which it shares with us.
local pcall, tostring, type = pcall, tostring, type
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
  if ok then return job end
  return { fn = function() error(job, 0) end }
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
      link:run(job.fn, job.star, job.timed, worker.describe, worker.reduce)
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
