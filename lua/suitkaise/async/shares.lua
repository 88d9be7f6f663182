-- Waiting for a share without blocking.
--
-- A wait is a look that fails, then a rest, and again. The coordinator answers
-- within microseconds while it is awake, and the core looks for twenty of them
-- by itself; so the first rest lets the tasks run that are ready, no more.
-- Then the share's next change is to ring the program's event (see cells.lua).
-- A share of another program does not ring it: no sleep is longer than a few
-- milliseconds at first, and twenty at last.

local cells = require "suitkaise.async.cells"
local loop = require "suitkaise.async.loop"

local shares = {}

local FIRST_NAP = 1e-3
local LONGEST_NAP = 20e-3

--- In a task that may wait here: it, else nil.
shares.current = loop.current

--- A protected call in which one can wait.
shares.pcall = require "suitkaise.async.wait".yielding().pcall

--- Rest number `n` of a wait, for `left` seconds at most. The caller looks
-- again afterwards. -> true when the task was cancelled: the caller tidies up
-- and calls shares.deliver
function shares.rest(handle, n, left)
  local task = loop.current()
  if loop.is_cancelled(task) then return true end
  if n == 1 then
    loop.pass "share"
    return false
  elseif n % 2 == 0 then
    local is_late = n > 10
    handle:listen(is_late)
    return false
  end
  local nap = FIRST_NAP * 2 ^ ((n - 3) / 2)
  if nap > LONGEST_NAP then nap = LONGEST_NAP end
  return cells.hear(task, nap < left and nap or left)
end

--- Raise the cancellation.
function shares.deliver()
  loop.deliver(loop.current())
end

return shares
