-- What is done to arrays in one step, in the coordinator: to plain tables
-- inside objects, and to tables of the share.

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local kinds = require "suitkaise.share.kinds"
local Mirror = require "suitkaise.share.mirror"
local root = require "suitkaise.share.root"

local lists = { plain = {}, shared = {} }

-- root.refuse raises it as it is, and not as the error of a call.
local function refuse(message, class, argument)
  error(errors.new(class or "ArgumentError", {
    message = message, argument = argument, is_refusal = true,
  }), 0)
end

local function refuse_position(position, n)
  refuse(n == 0 and ("there is no item %.14g"):format(position)
    or ("position must be from 1 to %d, got %.14g"):format(n, position),
    "ArgumentError", "position")
end

-- ---- plain tables ----

function lists.plain.set(t, key, value) t[key] = value end

function lists.plain.insert(t, position, value)
  local n = #t
  if position == nil then position = n + 1 end
  if position < 1 or position > n + 1 then refuse_position(position, n + 1) end
  table.insert(t, position, value)
end

function lists.plain.remove(t, position)
  local n = #t
  if n == 0 and position == nil then return nil end
  if position == nil then position = n end
  if position < 1 or position > n then refuse_position(position, n) end
  return table.remove(t, position)
end

function lists.plain.increment(t, key, n)
  local now = t[key]
  if type(now) ~= "number" then refuse(root.no_number(now), "ShareError") end
  t[key] = now + n
  return t[key]
end

function lists.plain.update(t, key, change, ...)
  t[key] = change(t[key], ...)
end

-- ---- tables of the share ----

-- How many items an array has: its table's entries, if that is all it has.
local function length(self, path, depth)
  local kind, n = self.handle:change_get(path, depth)
  if kind ~= kinds.TABLE then error("it is no table", 0) end
  while n > 0 and self.handle:change_get(path, depth, n) == kinds.ABSENT do
    n = n - 1
  end
  return n
end

-- The value at a key, as the result of a call or to be put elsewhere.
local function take(self, path, depth, key)
  local kind, value = self.handle:change_get(path, depth, key)
  if kind == kinds.TABLE or kind == kinds.OBJECT then
    return Mirror.copy(self, core.share_path(path, key), depth + 1)
  end
  return value
end

local function shift_up(self, path, depth, from, n)
  for i = n, from, -1 do
    self.handle:change_set(path, depth, i + 1, take(self, path, depth, i))
  end
end

function lists.shared.insert(self, path, depth, position, value)
  local n = length(self, path, depth)
  if position == nil then position = n + 1 end
  if position < 1 or position > n + 1 then refuse_position(position, n + 1) end
  shift_up(self, path, depth, position, n)
  self.handle:change_set(path, depth, position, value)
end

function lists.shared.remove(self, path, depth, position)
  local n = length(self, path, depth)
  if n == 0 and position == nil then return nil end
  if position == nil then position = n end
  if position < 1 or position > n then refuse_position(position, n) end
  local value = take(self, path, depth, position)
  for i = position, n - 1 do
    self.handle:change_set(path, depth, i, take(self, path, depth, i + 1))
  end
  self.handle:change_set(path, depth, n, nil)
  return value
end

--- Replace an item of an array, or append one.
function lists.shared.set(self, path, depth, position, value)
  local n = length(self, path, depth)
  local most = value == nil and n or n + 1
  if position < 1 or position > most then refuse_position(position, most) end
  if value == nil and position < n then
    refuse("only the last item can be set to nil; use remove or pop")
  end
  self.handle:change_set(path, depth, position, value)
end

--- Append all items of an array.
function lists.shared.extend(self, path, depth, items)
  local n = length(self, path, depth)
  for i = 1, #items do self.handle:change_set(path, depth, n + i, items[i]) end
end

--- Remove the first item that equals `value` -> was there one?
function lists.shared.remove_value(self, path, depth, value)
  for i = 1, length(self, path, depth) do
    local _, item = self.handle:change_get(path, depth, i)
    if item == value then
      lists.shared.remove(self, path, depth, i)
      return true
    end
  end
  return false
end

--- Take a key's value out -> value; or nothing when there is none.
function lists.shared.pop(self, path, depth, key)
  local value = take(self, path, depth, key)
  if value ~= nil then self.handle:change_set(path, depth, key, nil) end
  return value
end

--- Set all pairs of a plain table.
function lists.shared.merge(self, path, depth, pairs_of)
  for key, value in each(pairs_of) do
    self.handle:change_set(path, depth, key, value)
  end
end

return lists
