--- Points of pipes on their way to another process: what forks them, and what
-- only copies them, says so here. Does not load pipes: who has none pays
-- nothing for them.
-- @module suitkaise.pipe.handing

local each = require "suitkaise.each"
local errors = require "suitkaise.errors"

local handing = {}

-- Fields that are synced hold copies: the point stays where it is used.
handing.is_sync = false

-- All points of this process.
local points = setmetatable({}, { __mode = "k" })

-- Have there been any?
local has_any = false

-- Those that were serialized since `begin`; nil: nobody asks.
local noted

--- A point is here now.
function handing.add(point)
  points[point], has_any = true, true
end

--- A value is about to be serialized: note the points in it.
function handing.begin()
  if has_any then noted = {} end
end

--- A point was serialized.
function handing.note(point)
  if noted then noted[#noted + 1] = point end
end

--- The points that were serialized since `begin`, or nil.
function handing.noted()
  if not noted then return nil end
  local found = noted
  noted = nil
  return found[1] and found or nil
end

--- Points were told to a process: when it ends without them, their anchors
-- wait no longer.
-- @tparam ?table found see noted
-- @tparam int pid
function handing.promise(found, pid)
  for _, point in ipairs(found or {}) do point._end:promise(pid) end
end

--- A locked point was about to go.
-- @raise Error
function handing.refuse_locked()
  errors.raise("Error", {
    message = "the point of a pipe is locked: it stays with its process until "
      .. "its unlock",
  }, "caller")
end

-- Those in a value's tables, whatever their shape.
local function find(value, found)
  local queue, seen = { value }, { [value] = true }
  for i = 1, math.huge do
    local at = queue[i]
    if not at then break end
    if points[at] then
      if at._end:is_locked() then handing.refuse_locked() end
      found[#found + 1] = at
    else
      for _, item in each(at) do
        if type(item) == "table" and not seen[item] then
          seen[item] = true
          queue[#queue + 1] = item
        end
      end
    end
  end
end

-- What a class's own functions have captured.
local function find_captured(class, found)
  for _, fn in each(class) do
    local i = 1
    while type(fn) == "function" do
      local name, value = debug.getupvalue(fn, i)
      if not name then break end
      if value ~= nil and points[value] then found[#found + 1] = value end
      i = i + 1
    end
  end
end

--- The points that an object's process is to have: those in its fields, and
-- those that its class's functions have captured.
-- @tparam table object
-- @treturn table array
-- @raise Error when one of its fields is a locked point
function handing.points_of(object)
  local found = {}
  if next(points) == nil then return found end
  find(object, found)
  local class = getmetatable(object)
  while type(class) == "table" do
    find_captured(class, found)
    local meta = getmetatable(class)
    class = type(meta) == "table" and meta ~= class and meta.__index or nil
  end
  return found
end

--- A process was forked for an object: its points are that process's.
-- @tparam table found see points_of
-- @tparam int pid
function handing.hand(found, pid)
  for _, point in ipairs(found) do point._end:hand(pid) end
end

return handing
