-- What cerial's specs share: the ways of its code, and deep comparison.
local cerial = require "suitkaise.cerial"
local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"

local helper = {}

helper.TRUST = { trusted = true }

--- fn(name, use) for each way tables are read: through the Lua API, and,
-- where the self-test allows it, in LuaJIT's memory.
function helper.each_way(fn)
  local was = core.cerial_direct(true)
  local works = core.cerial_direct(was)
  fn("through the API", function() core.cerial_direct(false) end)
  if works then
    fn("in memory", function() core.cerial_direct(true) end)
  end
end

--- To bytes and back, trusted.
function helper.copy(value, how)
  return cerial.deserialize(cerial.serialize(value, how), helper.TRUST)
end

local function same_leaf(a, b)
  if type(a) ~= type(b) then return false end
  if a ~= a then return b ~= b end
  if type(a) ~= "number" then return a == b end
  return a == b and (a ~= 0 or 1 / a == 1 / b)
    and (not math.type or math.type(a) == math.type(b))
end

--- Are two values the same, down to the shape of their graph? Tables that
-- are keys cannot be compared this way.
function helper.same(a, b)
  local seen, todo = {}, { { a, b } }
  while #todo > 0 do
    local pair = table.remove(todo)
    local x, y = pair[1], pair[2]
    if type(x) ~= "table" or type(y) ~= "table" then
      if not same_leaf(x, y) then return false end
    elseif seen[x] then
      if seen[x] ~= y then return false end
    else
      seen[x] = y
      for k, v in each(x) do
        todo[#todo + 1] = { v, (rawget(y, k)) }
      end
      for k in each(y) do
        if rawget(x, k) == nil then return false end
      end
      todo[#todo + 1] = { getmetatable(x), (getmetatable(y)) }
    end
  end
  return true
end

--- The error that fn raises, which must be of this class.
function helper.error_of(class, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("no error was raised", 2) end
  if not errors.is(err, class) then
    error("another error was raised: " .. tostring(err), 2)
  end
  return err
end

return helper
