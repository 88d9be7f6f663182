-- What Dict, List and Results are made of: tables of a share with methods.
-- Made by themselves they live in a share of the library's, which starts with
-- the first of them.

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local proxy = require "suitkaise.share.proxy"
local root = require "suitkaise.share.root"
local Share = require "suitkaise.share"
local travel = require "suitkaise.share.travel"
local values = require "suitkaise.share.values"

local states = proxy.states

local collection = {}

-- ---- where they live ----

local default, made = nil, 0

local function default_state()
  if not default then default = Share() end
  return states[default]
end

-- A new table of the default share, that a proxy of `metatable` stands for.
local function new_table(metatable, content)
  local st = default_state()
  made = made + 1
  local key = ("%s:%x.%x"):format(metatable.__name, core.getpid(), made)
  proxy.write(st, key, content)
  return proxy.make(metatable, {
    root = st.root, path = core.share_path("", key), depth = 1,
    where = metatable.__name, metatable = metatable,
  })
end

-- ---- what methods begin with ----

--- Refuse an argument of a method, at the user's line.
function collection.refuse(class, method, argument, value, expected)
  errors.argument(class.__name .. ":" .. method, argument, value, expected,
                  "caller")
end

--- The state of `self`, which must be one of the class.
function collection.state_of(class, self, method)
  local st = states[self]
  if not st or st.metatable ~= class then
    collection.refuse(class, method, "self", self, "a " .. class.__name
                      .. " (call it with a colon)")
  end
  return st
end

--- Have something done in the coordinator, in one step -> its results.
function collection.apply(st, how, ...)
  return root.call(st.root, st.where, st.path, st.depth, nil, false, "list",
                   how, ...)
end

--- The same, without waiting for it.
function collection.queue(st, how, ...)
  root.send(st.root, st.where, st.path, st.depth, nil, false, "list", how,
            ...)
end

function collection.clear(st)
  root.clear(st.root, st.where, st.path, st.depth)
end

--- The plain table of an argument.
function collection.check_plain(fname, argument, value)
  local st = states[value]
  if st and not st.class then
    return st.keys and values.copy(value) or proxy.copy_table(st)
  end
  if type(value) ~= "table" or getmetatable(value) then
    errors.argument(fname, argument, value, "a plain table", "caller")
  end
  return values.to_plain(value)
end

--- The same of what a new one begins with.
function collection.plain_or_empty(class, initial)
  return initial == nil and {}
    or collection.check_plain(class, "initial", initial)
end

-- ---- classes ----

--- A class whose proxies are called by their methods first.
-- @tparam string name
-- @tparam function content_of(...) -> the table that a new one begins with
-- @treturn table the class; its `methods`
function collection.new_class(name, content_of)
  local class = { __name = name, methods = {} }
  -- the same one for tasks of sk.async: what waits yields the task
  function class.methods.asynced(self)
    return proxy.asynced(collection.state_of(class, self, "asynced"))
  end
  class.__tostring = proxy.tostring
  class.__eq = proxy.equal
  travel.add("suitkaise.shared.collections", name, class, travel.describe,
             travel.restore(class))
  return setmetatable(class, {
    __call = function(_, ...) return new_table(class, content_of(...)) end,
    __tostring = function() return "class " .. name end,
  })
end

return collection
