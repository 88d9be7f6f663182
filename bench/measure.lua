-- What the benches share: clock, medians, peers in other programs, and lines
-- that say what was measured, by how many runs, and the ratio.

local core = require "suitkaise.core"

local measure = {}

measure.now = core.now

--- Seconds that fn(...) takes.
function measure.time(fn, ...)
  local begun = core.now()
  fn(...)
  return core.now() - begun
end

function measure.median(list)
  table.sort(list)
  return list[math.floor((#list + 1) / 2)]
end

--- Measure several contenders in turn, `rounds` times each, so that a change
-- of the machine's speed meets all of them: -> name -> median.
-- @tparam {{name,function},...} contenders; each function returns its figure,
--   or nil when it cannot run here
function measure.in_turn(contenders, rounds)
  local figures, medians = {}, {}
  for _ = 1, rounds or 5 do
    for _, contender in ipairs(contenders) do
      local name, run = contender[1], contender[2]
      figures[name] = figures[name] or {}
      table.insert(figures[name], run())
    end
  end
  for name, list in pairs(figures) do medians[name] = measure.median(list) end
  return medians
end

--- The first line that a program prints, as a number; nil when it fails.
function measure.program(command)
  local pipe = io.popen(command .. " 2>/dev/null")
  local line = pipe and pipe:read "*l"
  if pipe then pipe:close() end
  return tonumber(line)
end

local function show(value, unit)
  if not value then return "not here" end
  return string.format("%.4g %s", value, unit)
end

--- Print one comparison: ours, each peer, ours / peer, and what is asked.
function measure.report(title, unit, figures, asked)
  print(title)
  print(string.format("  %-34s %14s", "suitkaise", show(figures.ours, unit)))
  local names = {}
  for name in pairs(figures) do
    if name ~= "ours" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    print(string.format("  %-34s %14s   ours / this: %.2f", name,
                        show(figures[name], unit),
                        figures.ours / figures[name]))
  end
  if asked then print("  asked: " .. asked) end
end

return measure
