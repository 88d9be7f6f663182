-- In the coordinator: what calls do. Each runs alone, on values of the share
-- as they are now; what it changed is kept when it returns, or nothing of it.

local core = require "suitkaise.core"
local serialize = require("suitkaise.cerial").serialize
local errors = require "suitkaise.errors"
local lists = require "suitkaise.share.lists"
local Mirror = require "suitkaise.share.mirror"
local root = require "suitkaise.share.root"
local values = require "suitkaise.share.values"

local traceback = debug.traceback
local SCALAR = { number = true, string = true, boolean = true }

local serve = {}

-- ---- what a call may be ----

local actions = {}

local function store(mirror, writes, ...)
  mirror:keep(writes)
  return ...
end

-- Keys as whoever called has put them -> a set of them; nil: all.
local function set_of(self, keys)
  if not keys then return nil end
  local set = self.key_sets[keys]
  if not set then
    set = {}
    for _, key in ipairs(core.share_keys(keys)) do set[key] = true end
    self.key_sets[keys] = set
  end
  return set
end

local function method_of(self, object, name)
  self.calling = name
  local method = object[name]
  if method == nil then error("the object has no such method", 0) end
  return method
end

--- A method of an object. `keys`: of the fields that it may change, which
-- readers were told to wait for; false: all.
function actions.method(self, path, depth, keys, name, ...)
  local mirror = Mirror.at(self, path, depth)
  local object = mirror.object
  return store(mirror, set_of(self, keys),
               method_of(self, object, name)(object, ...))
end

-- The table that keys lead to, in an object.
local function descend(object, keys)
  for i = 1, #keys do
    object = object[keys[i]]
    if type(object) ~= "table" then
      error("there is no such table in the object any more", 0)
    end
  end
  return object
end

local function writes_of(mirror, field)
  if mirror.is_whole or field == nil then return nil end
  return { [field] = true }
end

--- Something done to a table inside an object: `how` is a name of lists.plain.
function actions.inside(self, path, depth, keys, how, ...)
  local mirror = Mirror.at(self, path, depth)
  local at = descend(mirror.object, keys)
  return store(mirror, writes_of(mirror, keys[1]), lists.plain[how](at, ...))
end

--- A method of an object inside an object.
function actions.inner_method(self, path, depth, keys, name, ...)
  local mirror = Mirror.at(self, path, depth)
  local object = descend(mirror.object, keys)
  return store(mirror, writes_of(mirror, keys[1]),
               method_of(self, object, name)(object, ...))
end

--- Something done to an array or table of the share.
function actions.list(self, path, depth, how, ...)
  return lists.shared[how](self, path, depth, ...)
end

--- Read, change and write back: `change(value, ...)` returns the new one.
function actions.update(self, path, depth, change, ...)
  local value = change(Mirror.copy(self, path, depth), ...)
  self.handle:change_set(path, depth, nil, value)
  if SCALAR[type(value)] then return value end
end

--- From now on live things in objects are connected with these secrets.
function actions.reconnect(self, _, _, auth)
  self.auth = auth or {}
  Mirror.forget(self)
end

-- ---- one call ----

-- xpcall with arguments, which 5.1 has not.
local run = xpcall
if not select(2, xpcall(function(...) return ... end, print, true)) then
  function run(action, handler, ...)
    local n, arguments = select("#", ...), { ... }
    return xpcall(function()
      return action(unpack(arguments, 1, n))
    end, handler)
  end
end

-- What was raised, or its text when it cannot travel.
local function carried(err)
  if SCALAR[type(err)] or err == nil or pcall(serialize, err) then
    return err
  end
  local ok, text = pcall(tostring, err)
  return ok and text or errors.show(err)
end

-- What runs, as its caller would write it.
local function place_of(self)
  local where = self.name and "share " .. errors.show(self.name) or "share"
  for _, key in ipairs(core.share_keys(self.called_at)) do
    where = root.where(where, key)
  end
  return self.calling and where .. ":" .. tostring(self.calling) or where
end

local function report(self)
  return function(err)
    self.has_failed = true
    return {
      error = carried(err), call = place_of(self), pid = core.getpid(),
      traceback = traceback("", 2),
    }
  end
end

--- Made once for each root; the binding calls it with what the command says.
function serve.make(self)
  Mirror.forget(self)
  self.key_sets = {}
  local describe = report(self)
  return function(path, depth, _, is_dropped, what, ...)
    if is_dropped then
      Mirror.forget(self)
      values.forget_new(self)
    end
    self.new_classes, self.has_failed = {}, nil
    self.called_at, self.calling = path, nil
    local action = actions[what]
    if not action then
      errors.raise("ShareError", "unknown call " .. errors.show(what))
    end
    return run(action, describe, self, path, depth, ...)
  end
end

return serve
