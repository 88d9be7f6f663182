-- What methods write and whether they return something: declared in the
-- class's `_shared_meta`, else found in its code, else the safe assumption.

local core = require "suitkaise.core"

local meta = {}

local known = setmetatable({}, { __mode = "k" })

local function field(class, name)
  local ok, value = pcall(function() return class[name] end)
  return ok and value or nil
end

local function declared(class, name)
  local all = field(class, "_shared_meta")
  local methods = type(all) == "table" and all.methods
  return type(methods) == "table" and methods[name] or nil
end

local function to_set(list)
  if type(list) ~= "table" then return nil end
  local set = {}
  for _, key in ipairs(list) do set[key] = true end
  return set
end

local function encode_keys(set)
  if not set then return nil end
  local keys = {}
  for key in pairs(set) do keys[#keys + 1] = core.share_path("", key) end
  table.sort(keys)
  return table.concat(keys)
end

local function find(class, name)
  local told = declared(class, name) or {}
  local writes = to_set(told.writes)
  return {
    writes = writes, keys = encode_keys(writes),
    returns = told.returns ~= false, is_local = told.runs == "caller",
  }
end

--- -> { writes = set of fields or nil: all, keys = the same for root.call,
-- returns = true when it may return something }
function meta.of(class, name)
  local methods = known[class]
  if not methods then
    methods = {}
    known[class] = methods
  end
  local found = methods[name]
  if not found then
    found = find(class, name)
    methods[name] = found
  end
  return found
end

--- Does the method run in the process that calls it, on the proxy?
function meta.is_local(class, name)
  return meta.of(class, name).is_local
end

function meta.writes(class, name)
  return meta.of(class, name).writes
end

return meta
