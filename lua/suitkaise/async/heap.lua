-- The tasks that wait for a moment: a binary heap by their field `deadline`.
-- A task knows its place in it (`at`), so that it can be taken out again.

local heap = {}
local items, size = {}, 0

local function up(task, at)
  local deadline = task.deadline
  while at > 1 do
    local half = (at - at % 2) / 2
    local above = items[half]
    if above.deadline <= deadline then break end
    items[at], above.at = above, at
    at = half
  end
  items[at], task.at = task, at
end

local function down(task, at)
  local deadline = task.deadline
  while true do
    local child = 2 * at
    if child > size then break end
    if child < size and items[child + 1].deadline < items[child].deadline then
      child = child + 1
    end
    local below = items[child]
    if deadline <= below.deadline then break end
    items[at], below.at = below, at
    at = child
  end
  items[at], task.at = task, at
end

function heap.push(task, deadline)
  task.deadline = deadline
  size = size + 1
  up(task, size)
end

--- Take a task out, wherever it is.
function heap.remove(task)
  local at, last = task.at, items[size]
  items[size], task.at = nil, false
  size = size - 1
  if last == task then return end
  down(last, at)
  if last.at == at then up(last, at) end
end

--- The task with the earliest deadline, or nil.
function heap.top()
  return items[1]
end

--- Forget all: in a forked child they are the parent's.
function heap.clear()
  items, size = {}, 0
end

return heap
