-- The loop, until a task has ended: what async.run is made of. A time limit
-- (suitkaise.skfunction.interrupt) may break off `run.turn`, and tasks, but
-- nothing else here: what is left is always cleared away.

local loop = require "suitkaise.async.loop"

local run = {}

local MAX_ROUNDS = 100 -- of tasks that cancelled tasks start, and these

-- Cancel the tasks that are left, and wait for their ends; then those that
-- these have started meanwhile. Who keeps starting tasks is left lying.
local function end_rest(before)
  for _ = 1, MAX_ROUNDS do
    local left = {}
    for _, task in ipairs(loop.live()) do
      if not before[task] then
        left[#left + 1] = task
        loop.cancel(task)
      end
    end
    if not left[1] then return end
    for _, task in ipairs(left) do
      while not task:done() and (loop.turn_once() or loop.has_ready()) do end
    end
  end
end

--- Turn the loop until a task has ended, or nothing is left to do.
function run.turn(task)
  while not task:done() do
    if not loop.turn_once() and not task:done() and not loop.has_ready() then
      return
    end
  end
end

--- The same; then end all tasks but those that are in `before`. -> true, or
-- false and what broke it off; and was the task done?
function run.to_the_end(task, before)
  local ok, err = pcall(run.turn, task)
  local is_done = task:done()
  end_rest(before)
  return ok, err, is_done
end

return run
