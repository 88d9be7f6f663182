-- The tasks that wait for a moment: a binary heap by deadline. The deadlines
-- lie in an array of their own, so that moving in the heap touches no task.
-- A task that no longer waits stays in it as a stale entry until its time
-- comes or there are too many of these: `at` says whether it waits, and its
-- deadline is the entry's.

local heap = {}

local times, tasks, size = {}, {}, 0
local stale = 0

local MIN_STALE = 64 -- that many stay, whatever share of the heap they are

local function up(at, time, task)
  while at > 1 do
    local half = (at - at % 2) / 2
    local above = times[half]
    if above <= time then break end
    times[at], tasks[at] = above, tasks[half]
    at = half
  end
  times[at], tasks[at] = time, task
end

local function down(at, time, task)
  while true do
    local child = 2 * at
    if child > size then break end
    if child < size and times[child + 1] < times[child] then
      child = child + 1
    end
    local below = times[child]
    if time <= below then break end
    times[at], tasks[at] = below, tasks[child]
    at = child
  end
  times[at], tasks[at] = time, task
end

local function take_first()
  local time, task = times[size], tasks[size]
  times[size], tasks[size] = nil, nil
  size = size - 1
  if size > 0 then down(1, time, task) end
end

-- Build it anew without the stale entries.
local function clean()
  local n = 0
  for i = 1, size do
    local task = tasks[i]
    if task.at and task.deadline == times[i] then
      n = n + 1
      times[n], tasks[n] = times[i], task
      task.at = false -- an entry of the same time counts once
    end
  end
  for i = n + 1, size do times[i], tasks[i] = nil, nil end
  size, stale = n, 0
  for i = 1, n do tasks[i].at = true end
  for i = (n - n % 2) / 2, 1, -1 do down(i, times[i], tasks[i]) end
end

function heap.push(task, deadline)
  task.deadline, task.at = deadline, true
  size = size + 1
  up(size, deadline, task)
end

--- A task waits no more.
function heap.remove(task)
  task.at = false
  stale = stale + 1
  if stale > MIN_STALE and 2 * stale > size then clean() end
end

--- The earliest deadline and its task, or nil.
function heap.top()
  while size > 0 do
    local task, time = tasks[1], times[1]
    if task.at and task.deadline == time then return time, task end
    stale = stale > 0 and stale - 1 or 0
    take_first()
  end
  return nil
end

--- Take the top out.
function heap.pop()
  tasks[1].at = false
  take_first()
end

--- Forget all: in a forked child they are the parent's.
function heap.clear()
  times, tasks, size, stale = {}, {}, 0, 0
end

return heap
