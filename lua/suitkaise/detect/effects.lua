--- Which fields are read and written, from what a function does and what the
-- methods of its class share. Part of suitkaise.detect.heap.
-- @module suitkaise.detect.effects

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local aliases = require "suitkaise.detect.aliases"
local each = require "suitkaise.each"

local ANYWHERE = aliases.ANYWHERE

-- A field that the class sets to numbers and strings only, and never looks
-- into, is not one table with another that is set.
local function is_plain(self, name)
  return self.aliases.numbers[name] and not self.aliases.tables[name]
end

-- How a field changes: it is set to something else; its own table changes;
-- one deeper down does.
local REBOUND, SHALLOW, DEEP = 1, 2, 3

-- How a field changes when one that it shares a table with does: nil when
-- not, as one that seems plain only does when that table may be its own.
local function level_of(self, name, other, level)
  local same = self.aliases.same[name]
  local is_same = same and same[other]
  local may_be_it = level == DEEP or level == SHALLOW and is_same
  if not may_be_it and (is_plain(self, name) or is_plain(self, other)) then
    return nil
  end
  return (level == REBOUND or is_same) and level or DEEP
end

-- Add the names of all fields that share a table with some: what is also in
-- some field or other is in any.
local function spread(self, names, level, reached)
  local links, queue = self.aliases.links, {}
  local function add(name, to)
    if to and (reached[name] or 0) < to then
      reached[name] = to
      queue[#queue + 1] = name
    end
  end
  for name in each(names) do add(name, level) end
  for name in each(next(names) and links[ANYWHERE] or {}) do
    add(name, level_of(self, ANYWHERE, name, level))
  end
  while #queue > 0 do
    local name = table.remove(queue)
    local now = reached[name]
    for other in each(links[name] or {}) do
      add(other, level_of(self, name, other, now))
    end
  end
end

local function spread_writes(self)
  local reached = {}
  spread(self, self.deep, DEEP, reached)
  spread(self, self.shallow, SHALLOW, reached)
  spread(self, self.writes, REBOUND, reached)
  return reached
end

local function all_writes(self)
  local shared = self.aliases
  if next(self.writes) == nil then
    local is_clear = not shared.is_unknown or next(self.outside_writes) == nil
    return is_clear and {} or "all"
  end
  local reached = spread_writes(self)
  if shared.is_all or shared.is_unknown or reached[ANYWHERE] then
    return "all"
  end
  local writes = {}
  for name in each(shared.near) do writes[name] = true end
  for name, level in each(reached) do
    writes[name] = true
    if self:is_held(name) or shared.near[name]
       or level == DEEP and shared.is_all_inside then
      return "all"
    end
  end
  return writes
end

-- -> the fields that are read, and that are written: sets, or "all"
return function(self)
  local writes = self.writes_all and "all" or all_writes(self)
  local reads = self.reads_all and "all" or self.reads
  -- What a field leads to is not known.
  if self.aliases.is_unknown and next(self.reads) then reads = "all" end
  return reads, writes
end
