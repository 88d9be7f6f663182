--- How long sections took: gathered where they run, shown as Timers.
-- @module suitkaise.processing.timers

local sections = require "suitkaise.processing.sections"

local timers = {}

local MAX_TIMES = 100000 -- that a Timer keeps of each section

-- Everything that is measured.
local NAMES = { "full_run" }
for _, name in ipairs(sections.names) do NAMES[#NAMES + 1] = name end

--- Add the times of a batch (section -> array) to those of a state.
function timers.add(state, batch)
  local known = state.times
  if not known then
    known = {}
    state.times = known
  end
  for name, list in pairs(batch) do
    local all = known[name] or {}
    for i = 1, #list do all[#all + 1] = list[i] end
    known[name] = all
    if #all > MAX_TIMES then timers.of(state) end
  end
end

--- The Timers of a state, with all that was added.
function timers.of(state)
  local Timer = require "suitkaise.sktime".Timer
  local shown = state.timers
  if not shown then
    shown = {}
    for _, name in ipairs(NAMES) do
      shown[name] = Timer{ max_times = MAX_TIMES }
    end
    state.timers = shown
  end
  for name, list in pairs(state.times or {}) do
    for i = 1, #list do shown[name]:add_time(list[i]) end
  end
  state.times = nil
  return shown
end

return timers
