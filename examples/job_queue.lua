-- A job queue: a worker does one job after another, a job that fails is tried
-- again, and one that always fails goes to the dead-letter list. What a job
-- does to its worker (errors, crashes, loops without end) harms no other job.
--
--   luajit examples/job_queue.lua

local sk = require "suitkaise"

local ATTEMPTS = 3

-- ---- the jobs: what can go wrong in them ----

local handlers = {}

function handlers.double(x)
  return x * 2
end

function handlers.flaky(counter)
  if counter:increment() < ATTEMPTS then error("not yet", 0) end
  return "at last"
end

function handlers.invalid(text)
  error("no number in " .. text, 0)
end

function handlers.crash()
  os.exit(3)
end

function handlers.endless()
  while true do end
end

-- ---- the worker ----

local Job = sk.Skprocess:extend "Job"

function Job:init(id, kind, argument)
  self.id, self.kind, self.argument = id, kind, argument
  self.config.runs = 1
  self.config.lives = ATTEMPTS      -- a death costs an attempt, too
  self.config.timeouts.run = 0.2
end

function Job:__run__()
  self.value = handlers[self.kind](self.argument)
end

function Job:__result__()
  return self.value
end

-- ---- the queue ----

local function run_all(jobs, at_once)
  local running, done, dead = {}, {}, {}
  local next_job = 1
  while next_job <= #jobs or running[1] do
    while #running < at_once and jobs[next_job] do
      local job = jobs[next_job]
      running[#running + 1] = { job = job, future = job:background():run() }
      next_job = next_job + 1
    end
    local first = table.remove(running, 1)
    local ok, value = pcall(first.future.result, first.future)
    if ok then
      done[#done + 1] = { id = first.job.id, value = value }
    elseif sk.is(value, "Interrupted") then -- Ctrl-C is no job's fault
      error(value, 0)
    else
      dead[#dead + 1] = { id = first.job.id, error = value }
    end
  end
  return done, dead
end

local jobs = {
  Job(1, "double", 21), Job(2, "flaky", sk.Counter(0)),
  Job(3, "invalid", "hello"), Job(4, "double", 4), Job(5, "crash"),
  Job(6, "endless"), Job(7, "double", 0.5),
}

local done, dead = run_all(jobs, 2)

for _, entry in ipairs(done) do
  print(("done  %d: %s"):format(entry.id, tostring(entry.value)))
end
for _, entry in ipairs(dead) do
  local err = entry.error
  print(("dead  %d: %s%s"):format(
    entry.id, getmetatable(err).__name,
    err.original_error and ": " .. tostring(err.original_error)
      or err.exit_code and ": exit code " .. err.exit_code
      or err.timeout and ": more than " .. err.timeout .. " s" or ""))
end
