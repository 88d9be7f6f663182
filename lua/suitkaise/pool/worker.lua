--- A worker process: takes items from its link, calls the function, answers.
-- Runs in the child from the fork to its end; nothing returns from here into
-- the program that was forked.
-- @module suitkaise.pool.worker

local cerial = require "suitkaise.cerial"
local core = require "suitkaise.core"

local worker = {}

-- An error as it is sent: the value itself when it can travel, else its text.
local function portable(err)
  if pcall(cerial.serialize, err) then return err end
  local ok, text = pcall(tostring, err)
  return ok and text or type(err)
end

-- The message handler of every item: what the owner makes a TaskError of.
local function describe(err)
  return {
    error = portable(err),
    traceback = debug.traceback("", 2),
    pid = core.getpid(),
  }
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
      link:run(job.fn, job.star, job.timed, describe)
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
