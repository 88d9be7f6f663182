-- What methods write and whether they return something: declared in the
-- class's `_shared_meta`, else found in its code, else the safe assumption.

local core = require "suitkaise.core"
local detect = require "suitkaise.detect"
local each = require "suitkaise.each"

local meta = {}

local known = setmetatable({}, { __mode = "k" })

-- Keys as the core takes them, one after another; nil for all.
local function encode_keys(set)
  if not set then return nil end
  local keys = {}
  for key in each(set) do keys[#keys + 1] = core.share_path("", key) end
  table.sort(keys)
  return table.concat(keys)
end

local function find(class, name)
  local found = detect.declared(class).methods[name] or {}
  local writes, returns = found.writes, found.returns
  -- what the method reads is not of interest here
  if writes == nil or returns == nil then
    local ok, detected = pcall(detect.method, class, name)
    detected = ok and detected or {}
    if writes == nil then writes = detected.writes end
    if returns == nil then returns = detected.returns end
  end
  if writes == "all" then writes = nil end
  return {
    writes = writes, keys = encode_keys(writes), returns = returns ~= false,
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

--- The function that a class has for what runs in the process that calls it,
-- on the proxy: `Class._shared_local = { name = function(proxy, ...) }`.
function meta.local_method(class, name)
  local all = class._shared_local
  return type(all) == "table" and all[name] or nil
end

return meta
