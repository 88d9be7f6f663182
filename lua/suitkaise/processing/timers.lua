--- How long sections took: gathered where they run, shown as Timers.
-- @module suitkaise.processing.timers

local sections = require "suitkaise.processing.sections"

local timers = {}

local MAX_TIMES = 100000 -- that a Timer keeps of each section

-- Everything that is measured, by its number.
local NAMES = { [0] = "full_run" }
for i, name in ipairs(sections.names) do NAMES[i] = name end

--- Add a batch of times: section's number, seconds, and so on.
function timers.add(state, batch)
  local batches = state.times or { n = 0 }
  state.times = batches
  batches[#batches + 1] = batch
  batches.n = batches.n + #batch / 2
  if batches.n > MAX_TIMES then timers.of(state) end
end

--- The Timers of a state, with all that was added.
function timers.of(state)
  local Timer = require "suitkaise.sktime".Timer
  local shown = state.timers
  if not shown then
    shown = {}
    for i = 0, #NAMES do
      shown[NAMES[i]] = Timer{ max_times = MAX_TIMES }
    end
    state.timers = shown
  end
  for _, batch in ipairs(state.times or {}) do
    for i = 1, #batch, 2 do
      local name = NAMES[batch[i]]
      if name then shown[name]:add_time(batch[i + 1]) end
    end
  end
  state.times = nil
  return shown
end

return timers
