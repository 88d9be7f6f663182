-- What a Progress has beside its count: derived fields, waiting, the bar.

local Bar = require "suitkaise.shared.bar"
local add_wait = require "suitkaise.shared.wait"
local on_collect = require "suitkaise.on_collect"

-- Bars by progress. One that was inherited by a fork is its parent's.
local bars = setmetatable({}, { __mode = "k" })

local function add_fields(fields, raw)
  fields.total = raw.total

  function fields.is_complete(self)
    return raw.wait(self, 0)
  end

  function fields.percent(self)
    local total = tonumber(raw.total(self))
    if total == 0 then return 100 end
    return math.min(100, 100 * tonumber(self.completed) / total)
  end

  function fields.rate(self)
    local elapsed = raw.elapsed(self)
    return elapsed > 0 and tonumber(self.completed) / elapsed or 0
  end

  function fields.eta(self)
    local left = tonumber(raw.total(self)) - tonumber(self.completed)
    if left <= 0 then return 0 end
    local rate = fields.rate(self)
    if rate > 0 then return left / rate end
  end
end

-- Draw what changed; -> is there more to draw?
local function make_redraw(raw)
  return function(self)
    local bar = bars[self]
    local is_live = bar ~= nil
      and bar:update(tonumber(self.completed), raw.elapsed(self))
    if not is_live then raw.watch(self, false) end
    return is_live
  end
end

-- A bar whose line ends when nobody holds its progress any more, or with the
-- program: what is written next has a line of its own.
local function new_bar(total)
  local bar = Bar.new(nil, total)
  bar.ending = on_collect(function() bar:leave() end)
  return bar
end

return function(Progress, raw, hooks, fields)
  local redraw = make_redraw(raw)
  hooks.redraw = redraw
  add_fields(fields, raw)
  add_wait(Progress, raw, hooks, redraw)

  function Progress:bar()
    if getmetatable(self) ~= Progress then
      hooks.refuse("bar", "self", self)
    end
    local bar = bars[self]
    if not (bar and bar:is_mine()) then
      bars[self] = new_bar(tonumber(raw.total(self)))
    end
    raw.watch(self, true)
    redraw(self)
    return self
  end

  function Progress:__tostring()
    return string.format("%.0f/%.0f", tonumber(self.completed),
                         tonumber(raw.total(self)))
  end
end
