--- Live things: what describes them travels, as a Reconnector.
-- @module suitkaise.cerial.resources
-- @local

local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local kinds = require "suitkaise.cerial.kinds"
local registry = require "suitkaise.cerial.registry"
local walk = require "suitkaise.cerial.walk"

local resources = {}

-- name of the kind -> { describe, connect }
local by_kind = {}
-- metatable -> kind
local by_metatable = setmetatable({}, { __mode = "k" })
-- the name under which C code keeps a metatable -> kind
local by_type_name = {}

--- What stands for a live thing until it is connected again.
-- @type Reconnector
local Reconnector = {}
Reconnector.__index = Reconnector
Reconnector.__name = "Reconnector"
resources.Reconnector = Reconnector
registry.add("suitkaise.Reconnector", Reconnector)

function Reconnector:__tostring()
  return "Reconnector(" .. tostring(self.kind) .. ")"
end

--- Make the live thing.
-- @param[opt] auth what its kind needs to connect: a password, a table ...
-- @return the live thing
-- @raise Error when its kind is unknown here or it cannot connect
function Reconnector:connect(auth)
  local resource = by_kind[self.kind]
  if not resource then
    errors.raise("Error", ("no resource %q is known here; use "
      .. "cerial.resource"):format(tostring(self.kind)), 2)
  end
  local live, why = resource.connect(self.description, auth)
  if live == nil then
    why = why == nil and "" or ": " .. tostring(why)
    errors.raise("Error", self.kind .. ": cannot connect" .. why, 2)
  end
  return live
end

-- ---- teaching ----

--- Teach a kind of live thing.
-- @tparam string kind names it in the bytes and in `auth`
-- @tparam table|string type the metatable, or the name under which C code
--   keeps it
-- @tparam table resource `describe(value) -> description; or nil, reason` and
--   `connect(description, auth) -> value; or nil, reason`
function resources.add(kind, type_of, resource)
  by_kind[kind] = resource
  if type(type_of) == "table" then by_metatable[type_of] = kind
  else by_type_name[type_of] = kind end
end

local function find_kind(meta)
  local kind = by_metatable[meta]
  if kind then return kind end
  local c_types = debug.getregistry()
  for type_name, candidate in each(by_type_name) do
    if rawget(c_types, type_name) == meta
       or rawget(meta, "__name") == type_name then
      by_metatable[meta] = candidate
      return candidate
    end
  end
  return nil
end

-- ---- both directions ----

--- How a live thing travels: kind, Reconnector; or nil when it is none, or
-- false, reason.
function resources.describe(value, meta)
  local kind = find_kind(meta)
  if not kind then return nil end
  local ok, description, why = pcall(by_kind[kind].describe, value)
  if not ok then
    return false, kind .. " cannot be serialized: " .. tostring(description),
           description
  end
  if description == nil then
    return false, kind .. " cannot be serialized: " .. tostring(why)
  end
  return kinds.REPLACE, setmetatable({
    kind = kind, description = description,
  }, Reconnector)
end

local function choose(auth, kind, field)
  local of_kind = auth and auth[kind]
  if type(of_kind) ~= "table" then return of_kind end
  local chosen = field ~= nil and of_kind[field]
  if chosen == nil or chosen == false then chosen = of_kind["*"] end
  return chosen
end

local STANDARD = { [io.stdin] = true, [io.stdout] = true, [io.stderr] = true }

--- The live things that `value` holds: each, and the Reconnector for it. Those
-- that cannot be described are left out.
-- @param value
-- @treturn table live thing -> Reconnector
function resources.plan(value)
  local plan = {}
  walk.replace(value, function(v)
    local meta = type(v) ~= "string" and debug.getmetatable(v)
    if type(meta) == "table" and plan[v] == nil and not STANDARD[v] then
      local kind, reconnector = resources.describe(v, meta)
      if kind then plan[v] = reconnector end
    end
    return nil
  end)
  return plan
end

--- Replace each Reconnector that `value` holds by the live thing.
-- @param value
-- @tparam ?table auth by kind: what every field needs, or a table by field
--   with `"*"` for the others
-- @tparam ?table plan live things to be replaced as well, see @{plan}
-- @return value, or what replaces it
function resources.reconnect_all(value, auth, plan)
  local live = {}
  return walk.replace(value, function(v, field)
    local reconnector = plan and v ~= nil and plan[v] or v
    if type(reconnector) ~= "table"
       or getmetatable(reconnector) ~= Reconnector then
      return nil
    end
    if live[v] == nil then
      live[v] = reconnector:connect(choose(auth, reconnector.kind, field))
    end
    return live[v]
  end)
end

return resources
